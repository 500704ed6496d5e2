//! Fills a topic as fast as the server takes it.

use crate::arguments::Arguments;
use anyhow::{Context, Result, bail};
use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const DRAIN_MAX: Duration = Duration::from_secs(120);
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// `--bootstrap ADDRESS --topic NAME --partitions N --bytes N --size BYTES`.
///
/// Values of `size` bytes in large batches, one partition after the other,
/// until `bytes` of values are acknowledged.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let topic = arguments.text("topic")?;
    let partitions: u64 = arguments.number("partitions")?;
    let bytes: u64 = arguments.number("bytes")?;
    let size: usize = arguments.number("size")?;
    if partitions == 0 || size == 0 {
        bail!("--partitions and --size from 1");
    }
    let failed = Arc::new(AtomicU64::new(0));
    let producer: ThreadedProducer<Reports> = arguments
        .producer()?
        .set("linger.ms", "20")
        .set("batch.size", "900000")
        .set("queue.buffering.max.kbytes", "131072")
        .create_with_context(Reports(Arc::clone(&failed)))?;
    let value: Vec<u8> = (0..size).map(|i| (i * 131 % 251) as u8).collect();
    let records = bytes.div_ceil(size as u64);
    let began = Instant::now();
    for index in 0..records {
        send(&producer, topic, (index % partitions) as i32, &value)?;
    }
    producer.flush(DRAIN_MAX)?;
    let seconds = began.elapsed().as_secs_f64();
    match failed.load(Ordering::Relaxed) {
        0 => Ok(json!({
            "records": records,
            "bytes": records * size as u64,
            "seconds": seconds,
            "mb_per_s": (records * size as u64) as f64 / 1e6 / seconds,
        })),
        count => bail!("{count} records failed"),
    }
}

fn send(
    producer: &ThreadedProducer<Reports>,
    topic: &str,
    partition: i32,
    value: &[u8],
) -> Result<()> {
    let mut record = BaseRecord::<str, [u8], ()>::to(topic)
        .partition(partition)
        .payload(value);
    while let Err((error, refused)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error).context("produce");
        }
        thread::sleep(FULL_PAUSE);
        record = refused;
    }
    Ok(())
}

struct Reports(Arc<AtomicU64>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
