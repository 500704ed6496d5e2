//! One producer.

use super::LastBatches;

/// Batches remembered for the detection of duplicates: as many as a client
/// may have in flight.
pub(crate) const LAST_BATCHES_MAX: usize = 5;

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMetadata {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    /// `last_offset` minus the first offset.
    pub(crate) offset_delta: i32,
    pub(crate) timestamp_ms: i64,
}

impl BatchMetadata {
    pub(crate) fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    pub(crate) fn first_sequence(&self) -> i32 {
        ((i64::from(self.last_sequence) - i64::from(self.offset_delta)) & i64::from(i32::MAX))
            as i32
    }
}

/// What is known of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) producer_id: i64,
    /// -1 is none seen.
    pub(crate) epoch: i16,
    /// Oldest first.
    pub(crate) batches: LastBatches,
    /// Of the last batch or marker.
    pub(crate) last_timestamp_ms: i64,
    /// -1 is none seen.
    pub(crate) coordinator_epoch: i32,
    pub(crate) transaction_start: Option<i64>,
}

impl ProducerEntry {
    pub(crate) fn new(producer_id: i64) -> Self {
        Self {
            producer_id,
            epoch: -1,
            batches: LastBatches::new(),
            last_timestamp_ms: -1,
            coordinator_epoch: -1,
            transaction_start: None,
        }
    }

    /// -1 is none in this epoch.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }

    pub(crate) fn add_batch(&mut self, epoch: i16, batch: BatchMetadata) {
        self.set_epoch(epoch);
        if self.batches.len() == LAST_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.last_timestamp_ms = batch.timestamp_ms;
        self.batches.push_back(batch);
    }

    /// A new epoch begins without batches.
    pub(crate) fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}
