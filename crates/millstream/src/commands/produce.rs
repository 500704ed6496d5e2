//! `millstream produce`

use super::client::{Connection, TIMEOUT};
use anyhow::{Context, Result, bail};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Write lines of standard input to a topic, one record a line.
#[derive(Debug, clap::Args)]
pub struct Produce {
    /// Topic name.
    topic: String,
    /// Split each line at the first of this text: key before, value after.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Default)]
struct Outcome {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_error: parking_lot::Mutex<Option<String>>,
}

impl ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.first_error
                    .lock()
                    .get_or_insert_with(|| error.to_string());
            }
        }
    }
}

impl Produce {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let mut config = self.connection.client_config();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "30000");
        let producer: ThreadedProducer<Outcome> = config
            .create_with_context(Outcome::default())
            .context("cannot make a producer")?;
        for line in std::io::stdin().lock().lines() {
            self.send(&producer, &line.context("cannot read standard input")?)?;
        }
        producer
            .flush(Duration::from_secs(60))
            .map_err(|e| self.connection.unreachable(e))?;
        let outcome = producer.context();
        let delivered = outcome.delivered.load(Ordering::Relaxed);
        let failed = outcome.failed.load(Ordering::Relaxed);
        if failed > 0 {
            let reason = outcome.first_error.lock().clone().unwrap_or_default();
            bail!(
                "{failed} of {} records were not written: {reason}",
                delivered + failed
            );
        }
        eprintln!("{delivered} records written to {}", self.topic);
        Ok(())
    }

    fn send(&self, producer: &ThreadedProducer<Outcome>, line: &str) -> Result<()> {
        let (key, value) = match &self.key_separator {
            Some(separator) => match line.split_once(separator.as_str()) {
                Some((key, value)) => (Some(key), value),
                None => bail!("the line {line:?} does not have the key separator {separator:?}"),
            },
            None => (None, line),
        };
        let mut record = BaseRecord::<str, str>::to(&self.topic).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                // The client's queue is bounded: wait until some are out.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    producer
                        .flush(TIMEOUT)
                        .map_err(|e| self.connection.unreachable(e))?;
                }
                Err((error, _)) => return Err(error).context("cannot send a record"),
            }
        }
    }
}
