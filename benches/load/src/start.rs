//! The moment of the first accepted record, for the time that a start takes.

use crate::arguments::Arguments;
use anyhow::{Result, bail};
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// `--bootstrap ADDRESS --topic NAME`; to be started before the server.
///
/// Answers the wall clock time of the acknowledgement, in nanoseconds. The
/// client tries to connect every few milliseconds.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let producer: BaseProducer<Context> = arguments
        .producer()?
        .set("linger.ms", "0")
        // librdkafka asks for a producer id at most every 500 ms, which would
        // be its own time and not the server's.
        .set("enable.idempotence", "false")
        .set("reconnect.backoff.ms", "2")
        .set("reconnect.backoff.max.ms", "5")
        .set("retry.backoff.ms", "5")
        .set("retry.backoff.max.ms", "10")
        .set("topic.metadata.refresh.fast.interval.ms", "5")
        .set("topic.metadata.propagation.max.ms", "60000")
        .create_with_context(Context::default())?;
    let topic = arguments.text("topic")?;
    if let Err((error, _)) = producer.send(
        BaseRecord::<str, str, ()>::to(topic)
            .partition(0)
            .payload("first"),
    ) {
        return Err(error.into());
    }
    let deadline = SystemTime::now() + WAIT_MAX;
    loop {
        producer.poll(Duration::from_millis(1));
        if let Some(at) = producer.context().take() {
            return Ok(json!({ "accepted_ns": at?.to_string() }));
        }
        if SystemTime::now() > deadline {
            bail!("no record was accepted within {WAIT_MAX:?}");
        }
    }
}

#[derive(Default)]
struct Context(Mutex<Option<Result<u128, String>>>);

impl Context {
    fn take(&self) -> Option<Result<u128>> {
        let mut slot = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.take()
            .map(|outcome| outcome.map_err(anyhow::Error::msg))
    }
}

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = match result {
            Ok(_) => Ok(SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos()),
            Err((error, _)) => Err(error.to_string()),
        };
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(outcome);
    }
}
