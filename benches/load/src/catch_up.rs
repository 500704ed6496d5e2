//! Reading a topic from its beginning to its end.

use crate::arguments::Arguments;
use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const STALL_MAX: Duration = Duration::from_secs(60);

/// `--bootstrap ADDRESS --topic NAME --partitions N`. Answers bytes of values,
/// records and seconds, from the first poll to the last record.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let topic = arguments.text("topic")?;
    let partitions: i32 = arguments.number("partitions")?;
    let consumer: BaseConsumer = arguments
        .client()?
        .set("group.id", "bench-catch-up")
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", "65536")
        .create()?;
    let mut start = TopicPartitionList::new();
    let mut wanted: u64 = 0;
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, STALL_MAX)?;
        wanted += u64::try_from(high - low).context("watermarks")?;
        start.add_partition_offset(topic, partition, Offset::Offset(low))?;
    }
    consumer.assign(&start)?;
    let began = Instant::now();
    let (mut records, mut bytes, mut last) = (0_u64, 0_u64, Instant::now());
    while records < wanted {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                records += 1;
                bytes += message.payload_len() as u64;
                last = Instant::now();
            }
            Some(Err(error)) => return Err(error).context("consume"),
            None if last.elapsed() > STALL_MAX => bail!("{records} of {wanted} records came"),
            None => {}
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(
        json!({ "records": records, "bytes": bytes, "seconds": seconds, "mb_per_s": bytes as f64 / 1e6 / seconds }),
    )
}
