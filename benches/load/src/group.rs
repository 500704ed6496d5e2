//! How long a group takes until each of its members has partitions.

use crate::arguments::Arguments;
use anyhow::{Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(120);

/// `--bootstrap ADDRESS --topic NAME --members N`: the topic must have at
/// least as many partitions. All members join at once.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let topic = arguments.text("topic")?;
    let members: usize = arguments.number("members")?;
    let consumers = (0..members)
        .map(|_| -> Result<BaseConsumer> {
            Ok(arguments
                .client()?
                .set("group.id", format!("bench-join-{}", std::process::id()))
                .set("session.timeout.ms", "30000")
                .create()?)
        })
        .collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    for consumer in &consumers {
        consumer.subscribe(&[topic])?;
    }
    loop {
        let mut assigned = 0;
        for consumer in &consumers {
            consumer.poll(Duration::ZERO);
            assigned += usize::from(consumer.assignment()?.count() > 0);
        }
        if assigned == members {
            let seconds = began.elapsed().as_secs_f64();
            // Not closed: one after the other that takes seconds, and when the
            // others rebalance meanwhile it may never end, because a close
            // that has ended still hands out a revocation, which then waits
            // for an answer of the consumer's own thread.
            std::mem::forget(consumers);
            return Ok(json!({ "members": members, "seconds": seconds }));
        }
        if began.elapsed() > WAIT_MAX {
            bail!("{assigned} of {members} members have partitions after {WAIT_MAX:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
