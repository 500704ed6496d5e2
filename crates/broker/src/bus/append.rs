//! Records into batches, batches into logs, with the sequences of one
//! producer.

use super::bus_error;
use crate::error::ApiError;
use crate::state::BrokerState;
use crate::topics::{HostedPartition, HostedTopic, INTERNAL_TOPICS};
use crate::txn::Producer;
use bytes::Bytes;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{BusError, ProduceRecord};
use millstream_log::{AppendError, AppendOrigin, PartitionLog};
use millstream_wire::batch::{BatchBuilder, BatchError, BatchOptions};
use std::collections::HashMap;
use std::sync::Arc;

/// Largest batch that is built, where the topic would take more; a record
/// larger than this gets a batch of its own.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that a record takes at most beside key, value and headers.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// Bytes that a header takes at most beside key and value.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// Appends for one producer instance.
pub(super) struct Appender {
    state: Arc<BrokerState>,
    producer: Producer,
    is_transactional: bool,
    /// The next sequence of each partition.
    sequences: HashMap<TopicPartition, i32>,
}

/// Where an append went.
pub(super) struct Placed {
    pub(super) log: Arc<PartitionLog>,
    pub(super) first_offset: Offset,
    pub(super) end_offset: Offset,
}

impl Appender {
    pub(super) fn new(state: Arc<BrokerState>, producer: Producer, is_transactional: bool) -> Self {
        Self {
            state,
            producer,
            is_transactional,
            sequences: HashMap::new(),
        }
    }

    /// Goes on as another instance, whose sequences begin anew.
    pub(super) fn go_on_as(&mut self, producer: Producer) {
        if self.producer != producer {
            self.producer = producer;
            self.sequences.clear();
        }
    }

    /// Whether records may be sent to a partition at all.
    pub(super) fn check(
        &self,
        partition: &TopicPartition,
        records: &[ProduceRecord],
    ) -> Result<(), BusError> {
        let (hosted, _) = self.find(partition)?;
        if INTERNAL_TOPICS.contains(&&*hosted.topic.name) {
            return Err(BusError::Invalid(format!(
                "topic {} is written by the coordinators only",
                partition.topic
            )));
        }
        if hosted.settings.is_compacted() && records.iter().any(|record| record.key.is_none()) {
            return Err(BusError::Invalid(format!(
                "topic {} is compacted: every record needs a key",
                partition.topic
            )));
        }
        if let Some((isr, isr_min)) = hosted.lacks_replicas(partition.partition.0) {
            return Err(BusError::Retriable(format!(
                "{partition} has {isr} in-sync replica(s), min.insync.replicas is {isr_min}"
            )));
        }
        Ok(())
    }

    /// Appends all records in order; `None` when there are none. Does not
    /// wait until they are committed. On an error the batches before the
    /// refused one stay.
    pub(super) fn append(
        &mut self,
        partition: &TopicPartition,
        records: &[ProduceRecord],
    ) -> Result<Option<Placed>, BusError> {
        let (hosted, HostedPartition { log, leader_epoch }) = self.find(partition)?;
        let bytes_max = (log.config().message_bytes_max as usize).min(BATCH_BYTES_MAX);
        let mut placed: Option<Placed> = None;
        let mut rest = records;
        while !rest.is_empty() {
            let sequence = self.sequences.get(partition).copied().unwrap_or(0);
            let (batch, count) = self
                .build(rest, sequence, bytes_max)
                .map_err(|error| BusError::Invalid(format!("{partition}: {error}")))?;
            let bytes = batch.len() as u64;
            let info = log
                .append_as_leader(batch, AppendOrigin::Client, leader_epoch)
                .map_err(|error| self.refused(error, partition))?;
            self.sequences
                .insert(partition.clone(), sequence_after(sequence, count));
            hosted.stats.appended(count as u64, bytes);
            let first_offset = placed
                .as_ref()
                .map_or(info.first_offset, |p| p.first_offset);
            let log = Arc::clone(&log);
            placed = Some(Placed {
                log,
                first_offset,
                end_offset: info.end_offset(),
            });
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(placed)
    }

    fn find(
        &self,
        partition: &TopicPartition,
    ) -> Result<(Arc<HostedTopic>, HostedPartition), BusError> {
        let topic = &partition.topic;
        let hosted = self
            .state
            .hosted(topic)
            .ok_or_else(|| BusError::UnknownTopic(topic.clone()))?;
        let found = hosted
            .partition(partition.partition.0)
            .map_err(|code| bus_error(ApiError::new(code, code.name()), topic))?;
        Ok((hosted, found))
    }

    /// As many records as fit one batch, at least one.
    fn build(
        &self,
        records: &[ProduceRecord],
        base_sequence: i32,
        bytes_max: usize,
    ) -> Result<(Bytes, usize), BatchError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: self.producer.id.0,
            producer_epoch: self.producer.epoch.0,
            base_sequence,
            is_transactional: self.is_transactional,
            ..BatchOptions::default()
        });
        let now_ms = self.state.clock().now_ms();
        for record in records {
            if !builder.is_empty() && builder.size_bytes() + size_bytes(record) > bytes_max {
                break;
            }
            let headers: Vec<(&str, Option<&[u8]>)> = record
                .headers
                .iter()
                .map(|h| (h.key.as_str(), h.value.as_deref()))
                .collect();
            builder.append(
                record.timestamp_ms.unwrap_or(now_ms),
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )?;
        }
        let count = builder.records_count();
        Ok((builder.build()?, count))
    }

    fn refused(&self, error: AppendError, partition: &TopicPartition) -> BusError {
        match error {
            AppendError::InvalidProducerEpoch { .. } => {
                BusError::Fenced(format!("producer {}", self.producer.id))
            }
            other => bus_error(other.into(), &partition.topic),
        }
    }
}

/// More than the record takes.
fn size_bytes(record: &ProduceRecord) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record
        .headers
        .iter()
        .map(|h| h.key.len() + length(&h.value) + HEADER_OVERHEAD_BYTES)
        .sum();
    length(&record.key) + length(&record.value) + headers + RECORD_OVERHEAD_BYTES
}

/// Sequences go from 0 to `i32::MAX` and begin again.
fn sequence_after(sequence: i32, count: usize) -> i32 {
    let sequences = i64::from(i32::MAX) + 1;
    let next = (i64::from(sequence) + count as i64) % sequences;
    i32::try_from(next).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_begin_again_after_the_largest() {
        assert_eq!(sequence_after(0, 5), 5);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 5), 3);
    }
}
