//! One record, whole.

use super::show::{Message, Shown, message};
use super::{bus_problem, partitions};
use crate::problem::Problem;
use bytes::Bytes;
use millstream_core::ids::Offset;
use millstream_core::ports::{Bus, Isolation, OffsetAt, Record};
use std::time::{Duration, Instant};

/// What of a value a JSON document shows; its bytes as they are have no such
/// bound.
const SHOWN: Shown = Shown {
    value_bytes_max: 8 << 20,
};
/// How long the record may take to be read.
const READ_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// The record, as people see it.
pub(super) async fn shown(
    bus: &dyn Bus,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Message, Problem> {
    let record = record(bus, topic, partition, offset).await?;
    Ok(message(partition, &record, SHOWN))
}

/// Which bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// The bytes of a record's key or value; a null one is none.
pub(super) async fn bytes(
    bus: &dyn Bus,
    topic: &str,
    partition: i32,
    offset: i64,
    part: Part,
) -> Result<Bytes, Problem> {
    let record = record(bus, topic, partition, offset).await?;
    let (name, bytes) = match part {
        Part::Key => ("key", record.key),
        Part::Value => ("value", record.value),
    };
    // The slice keeps its whole batch in memory.
    bytes
        .map(|bytes| Bytes::copy_from_slice(&bytes))
        .ok_or_else(|| Problem::not_found(format!("the record's {name} is null")))
}

async fn record(
    bus: &dyn Bus,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Record, Problem> {
    let not_there = || {
        Problem::not_found(format!(
            "no record at offset {offset} of partition {partition}"
        ))
        .hint(
            "it may have been removed by retention or compaction, be part of a transaction that \
             was aborted or is open, or not be written yet",
        )
    };
    let at = partitions(bus, topic, Some(partition)).await?;
    let bound = async |which| {
        let offsets = bus.offsets(&at, which).await.map_err(bus_problem)?;
        Ok::<_, Problem>(offsets.first().map_or(0, |offset| offset.0))
    };
    let first = bound(OffsetAt::Earliest).await?;
    let end = bound(OffsetAt::LatestStable).await?;
    if !(first..end).contains(&offset) {
        return Err(not_there());
    }
    let start: Vec<_> = at.into_iter().map(|p| (p, Offset(offset))).collect();
    let mut reader = bus
        .reader(&start, Isolation::ReadCommitted)
        .await
        .map_err(bus_problem)?;
    let started = Instant::now();
    while started.elapsed() < READ_TIME_MAX {
        // One byte is one batch.
        for fetched in reader.poll(POLL_WAIT, 1).await.map_err(bus_problem)? {
            let passed = fetched.next_offset.0 > offset;
            let found = fetched.records.into_iter().find(|r| r.offset.0 >= offset);
            match found {
                Some(record) if record.offset.0 == offset => return Ok(record),
                Some(_) => return Err(not_there()),
                None if passed => return Err(not_there()),
                None => {}
            }
        }
    }
    Err(Problem::new(
        axum::http::StatusCode::SERVICE_UNAVAILABLE,
        "the record could not be read in time",
    )
    .hint("try again"))
}
