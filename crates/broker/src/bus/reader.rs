//! Reading: assigned partitions in turn, waiting on their logs.

use super::{bus_error, log_of};
use crate::state::BrokerState;
use async_trait::async_trait;
use millstream_core::ids::{Offset, ProducerId, TopicPartition};
use millstream_core::ports::{
    BusError, BusReader, FetchedRecords, Isolation, Record, RecordHeader,
};
use millstream_log::{
    AbortedTransaction, FetchRequest, FetchedBatches, PartitionLog, ReadError, UpTo,
};
use millstream_wire::batch::{BatchError, BatchView, ControlKind, EndTxnMarker, split_batches};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A reader this many records behind the end reads what may no longer be in
/// the page cache, so it reads on a thread that may block.
const CATCH_UP_RECORDS: i64 = 100_000;

/// Reads assigned partitions.
pub(super) struct EmbeddedReader {
    state: Arc<BrokerState>,
    up_to: UpTo,
    assigned: Vec<Assigned>,
    /// Which partition is read first by the next poll.
    turn: usize,
    waker: Arc<Notify>,
}

struct Assigned {
    partition: TopicPartition,
    log: Arc<PartitionLog>,
    offset: Offset,
}

impl EmbeddedReader {
    pub(super) fn new(
        state: Arc<BrokerState>,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Self, BusError> {
        let up_to = match isolation {
            Isolation::ReadUncommitted => UpTo::HighWatermark,
            Isolation::ReadCommitted => UpTo::LastStable,
        };
        let mut reader = Self {
            state,
            up_to,
            assigned: Vec::new(),
            turn: 0,
            waker: Arc::new(Notify::new()),
        };
        for (partition, offset) in start {
            reader.assign(partition, *offset)?;
        }
        Ok(reader)
    }

    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        let log = log_of(&self.state, partition)?;
        match self.assigned.iter_mut().find(|a| a.partition == *partition) {
            Some(assigned) => {
                assigned.log = log;
                assigned.offset = offset;
            }
            None => self.assigned.push(Assigned {
                partition: partition.clone(),
                log,
                offset,
            }),
        }
        Ok(())
    }

    /// Reads what is there now, in turn. The offsets move at the very end,
    /// after the last await, so that a dropped poll loses nothing.
    async fn read(&mut self, bytes_max: usize) -> Result<Vec<FetchedRecords>, BusError> {
        let count = self.assigned.len();
        let mut left = bytes_max;
        let mut fetched = Vec::new();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let Some(assigned) = self.assigned.get(place) else {
                continue;
            };
            if left == 0 && !fetched.is_empty() {
                break;
            }
            if let Some((records, bytes)) =
                self.read_one(assigned, left, fetched.is_empty()).await?
            {
                left = left.saturating_sub(bytes);
                fetched.push((place, records));
            }
        }
        for (place, records) in &fetched {
            if let Some(assigned) = self.assigned.get_mut(*place) {
                assigned.offset = records.next_offset;
            }
            self.turn = place + 1;
        }
        Ok(fetched.into_iter().map(|(_, records)| records).collect())
    }

    async fn read_one(
        &self,
        assigned: &Assigned,
        left: usize,
        first: bool,
    ) -> Result<Option<(FetchedRecords, usize)>, BusError> {
        let progress = assigned.log.progress();
        let end_offset = self.end(assigned);
        let inside = assigned.offset >= progress.log_start_offset
            && assigned.offset <= progress.log_end_offset;
        if inside && assigned.offset >= end_offset {
            return match progress.failure {
                Some(_) => Err(self.gone(assigned)),
                None => Ok(None),
            };
        }
        let request = FetchRequest {
            offset: assigned.offset,
            bytes_max: left,
            min_one_batch: first,
            up_to: self.up_to,
        };
        let batches = read_log(&assigned.log, request, end_offset)
            .await
            .map_err(|error| read_error(error, assigned))?;
        if batches.next_offset == assigned.offset {
            return Ok(None);
        }
        let bytes = batches.batches.len();
        let (next_offset, last_stable_offset) = (batches.next_offset, batches.last_stable_offset);
        let end_offset = match self.up_to {
            UpTo::LastStable => last_stable_offset,
            _ => batches.high_watermark,
        };
        let records = records(batches, assigned.offset).map_err(|error| {
            BusError::Fatal(format!(
                "{} from offset {}: {error}",
                assigned.partition, assigned.offset
            ))
        })?;
        if let Some(hosted) = self.state.hosted(&assigned.partition.topic) {
            hosted.stats.fetched(records.len() as u64, bytes as u64);
        }
        let topic_partition = assigned.partition.clone();
        Ok(Some((
            FetchedRecords {
                topic_partition,
                records,
                next_offset,
                end_offset,
            },
            bytes,
        )))
    }

    fn end(&self, assigned: &Assigned) -> Offset {
        match self.up_to {
            UpTo::LastStable => assigned.log.last_stable_offset(),
            _ => assigned.log.high_watermark(),
        }
    }

    /// Why a log that has stopped gives nothing more.
    fn gone(&self, assigned: &Assigned) -> BusError {
        match log_of(&self.state, &assigned.partition) {
            Ok(log) if Arc::ptr_eq(&log, &assigned.log) => {
                BusError::Fatal(format!("{}: its log has stopped", assigned.partition))
            }
            // Deleted, and perhaps created again: not the one we read.
            Ok(_) => BusError::UnknownTopic(assigned.partition.topic.clone()),
            Err(error) => error,
        }
    }
}

#[async_trait]
impl BusReader for EmbeddedReader {
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError> {
        let deadline = tokio::time::Instant::now() + wait_max;
        loop {
            // Registered before the look: what happens in between wakes us.
            for assigned in &self.assigned {
                assigned.log.wake_on_progress(&self.waker);
            }
            let fetched = self.read(bytes_max).await?;
            if !fetched.is_empty() {
                return Ok(fetched);
            }
            let woken = tokio::time::timeout_at(deadline, self.waker.notified()).await;
            if woken.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        self.assign(partition, offset)
    }
}

async fn read_log(
    log: &Arc<PartitionLog>,
    request: FetchRequest,
    end_offset: Offset,
) -> Result<FetchedBatches, ReadError> {
    if end_offset.0.saturating_sub(request.offset.0) <= CATCH_UP_RECORDS {
        return log.read(request);
    }
    let behind = Arc::clone(log);
    match tokio::task::spawn_blocking(move || behind.read(request)).await {
        Ok(read) => read,
        // The runtime is ending; a read on this thread is still right.
        Err(_) => log.read(request),
    }
}

fn read_error(error: ReadError, assigned: &Assigned) -> BusError {
    match error {
        ReadError::OffsetOutOfRange { offset, .. } => BusError::OffsetOutOfRange {
            topic_partition: assigned.partition.clone(),
            offset,
        },
        other => bus_error(other.into(), &assigned.partition.topic),
    }
}

/// The records of some batches from `from` on, without control batches and
/// without what was aborted.
fn records(batches: FetchedBatches, from: Offset) -> Result<Vec<Record>, BatchError> {
    let mut aborted = Aborted::new(&batches.aborted);
    let mut records = Vec::new();
    for batch in split_batches(batches.batches) {
        let batch = batch?;
        if aborted.hides(&batch)? || batch.header().is_control() {
            continue;
        }
        records.reserve(
            usize::try_from(batch.header().records_count)
                .unwrap_or(0)
                .min(100_000),
        );
        for record in batch.records()? {
            let record = record?;
            if record.offset >= from.0 {
                records.push(own_record(record));
            }
        }
    }
    Ok(records)
}

fn own_record(record: millstream_wire::batch::Record) -> Record {
    let headers = record
        .headers
        .into_iter()
        .map(|header| RecordHeader {
            key: header.key_text().into_owned(),
            value: header.value,
        })
        .collect();
    Record {
        offset: Offset(record.offset),
        timestamp_ms: record.timestamp,
        key: record.key,
        value: record.value,
        headers,
    }
}

/// Which producers are inside an aborted transaction at the batch that is
/// being read; the rule that every Kafka consumer applies.
struct Aborted<'a> {
    /// By first offset; those that have not begun yet.
    ahead: std::slice::Iter<'a, AbortedTransaction>,
    next: Option<&'a AbortedTransaction>,
    inside: HashSet<ProducerId>,
}

impl<'a> Aborted<'a> {
    fn new(transactions: &'a [AbortedTransaction]) -> Self {
        let mut ahead = transactions.iter();
        let next = ahead.next();
        Self {
            ahead,
            next,
            inside: HashSet::new(),
        }
    }

    fn hides(&mut self, batch: &BatchView) -> Result<bool, BatchError> {
        while let Some(transaction) = self.next
            && transaction.first_offset.0 <= batch.last_offset()
        {
            self.inside.insert(transaction.producer_id);
            self.next = self.ahead.next();
        }
        let header = batch.header();
        let producer = ProducerId(header.producer_id);
        if header.is_control() {
            for record in batch.records()? {
                if EndTxnMarker::parse(&record?)?.kind == ControlKind::Abort {
                    self.inside.remove(&producer);
                }
            }
            return Ok(false);
        }
        Ok(header.is_transactional() && self.inside.contains(&producer))
    }
}
