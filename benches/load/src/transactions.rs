//! Transactions one after the other, each over all partitions of a topic.

use crate::arguments::Arguments;
use crate::percentiles;
use anyhow::Result;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(30);

/// `--bootstrap ADDRESS --topic NAME --partitions N --count N --size BYTES`.
///
/// Answers how long a commit takes once its records are acknowledged, and how
/// long the whole transaction takes from its begin.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let topic = arguments.text("topic")?;
    let partitions: i32 = arguments.number("partitions")?;
    let count: usize = arguments.number("count")?;
    let value = vec![0x5a_u8; arguments.number("size")?];
    let producer: BaseProducer = arguments
        .producer()?
        .set("transactional.id", format!("bench-{}", std::process::id()))
        .set("linger.ms", "0")
        .create()?;
    producer.init_transactions(WAIT_MAX)?;
    let (mut commits, mut wholes) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let began = Instant::now();
        producer.begin_transaction()?;
        for partition in 0..partitions {
            let record = BaseRecord::<[u8], [u8], ()>::to(topic)
                .partition(partition)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(WAIT_MAX)?;
        let flushed = Instant::now();
        producer.commit_transaction(WAIT_MAX)?;
        commits.push(flushed.elapsed().as_nanos() as u64);
        wholes.push(began.elapsed().as_nanos() as u64);
    }
    Ok(json!({
        "commit": percentiles::summary(commits),
        "transaction": percentiles::summary(wholes),
    }))
}
