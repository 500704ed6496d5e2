//! Reads a table's topic from its start to its stable end: what the table
//! holds now.
//!
//! `scan.startup.mode` is honoured, but for `latest-offset`: a bounded read
//! from the latest offset would always be empty.

use super::{QueryError, QueryLimits};
use crate::operators::{Context, OperatorError};
use crate::source::Source;
use crate::source::startup::{Held, StartupError, begin};
use arrow::array::RecordBatch;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{Bus, BusError, Isolation};
use millstream_sql::catalog::{StartupMode, TableDef};
use millstream_sql::plan::SourceNode;
use std::collections::HashMap;
use std::time::Duration;

/// One wait for records that are known to be there.
const WAIT: Duration = Duration::from_secs(1);
/// Bytes read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// What a query has read so far, over all its tables.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Records.
    pub records: usize,
    /// Bytes of rows in memory.
    pub bytes: usize,
    /// Records that gave no row, and offsets that could not be read.
    pub skipped: u64,
}

/// Where a bounded read of a table begins and ends.
pub async fn range(
    bus: &dyn Bus,
    table: &TableDef,
) -> Result<Vec<(TopicPartition, Offset, Offset)>, StartupError> {
    let topic = &table.connector.topic;
    let partitions = match bus.topic(topic).await {
        Ok(info) => all_partitions(topic, info.partitions),
        // Created when a job or a producer first uses it; empty until then.
        Err(BusError::UnknownTopic(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let held = Held::of(bus, &partitions).await?;
    let starts = match &table.connector.startup {
        StartupMode::Latest => held.starts.clone(),
        mode => begin(bus, mode, &partitions, &held).await?,
    };
    let ends = held.ends;
    Ok(partitions
        .into_iter()
        .zip(starts.into_iter().zip(ends))
        .map(|(tp, (start, end))| (tp, start, end))
        .collect())
}

/// All rows of a table.
pub async fn scan(
    bus: &dyn Bus,
    node: &SourceNode,
    limits: &QueryLimits,
    scanned: &mut Scanned,
) -> Result<Vec<RecordBatch>, QueryError> {
    let range = range(bus, &node.table).await?;
    let mut open: HashMap<TopicPartition, Offset> = range
        .iter()
        .filter(|(_, start, end)| start < end)
        .map(|(tp, _, end)| (tp.clone(), *end))
        .collect();
    let mut batches = Vec::new();
    if open.is_empty() {
        return Ok(batches);
    }
    let start: Vec<(TopicPartition, Offset)> = range
        .into_iter()
        .filter(|(tp, _, _)| open.contains_key(tp))
        .map(|(tp, start, _)| (tp, start))
        .collect();
    let mut source = Source::new(node)?;
    let mut reader = bus.reader(&start, Isolation::ReadCommitted).await?;
    while !open.is_empty() {
        for mut chunk in reader.poll(WAIT, READ_BYTES).await? {
            let Some(end) = open.get(&chunk.topic_partition).copied() else {
                continue;
            };
            chunk.records.retain(|record| record.offset < end);
            for range in &chunk.unreadable {
                let last = range.last_offset.0.min(end.0 - 1);
                let offsets = last.saturating_sub(range.first_offset.0) + 1;
                scanned.skipped += u64::try_from(offsets).unwrap_or(0);
            }
            if chunk.next_offset >= end {
                open.remove(&chunk.topic_partition);
            }
            if chunk.records.is_empty() {
                continue;
            }
            let mut context = Context::default();
            let rows = source.decode(&chunk, &mut context)?.batch.rows;
            scanned.records += chunk.records.len();
            scanned.bytes += rows.get_array_memory_size();
            scanned.skipped += context.failures.len() as u64;
            check(scanned, limits)?;
            batches.push(rows);
        }
    }
    Ok(batches)
}

fn check(scanned: &Scanned, limits: &QueryLimits) -> Result<(), QueryError> {
    if scanned.records > limits.scan_records_max {
        let text = format!(
            "{} records, at most {}",
            scanned.records, limits.scan_records_max
        );
        return Err(QueryError::TooMuch(text));
    }
    if scanned.bytes > limits.scan_bytes_max {
        let text = format!(
            "{} bytes of rows, at most {}",
            scanned.bytes, limits.scan_bytes_max
        );
        return Err(QueryError::TooMuch(text));
    }
    Ok(())
}

impl From<OperatorError> for QueryError {
    fn from(error: OperatorError) -> Self {
        Self::Source(error.into())
    }
}
