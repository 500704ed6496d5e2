//! What is left of one batch.

use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::partition::AbortedTransaction;
use bytes::Bytes;
use millstream_wire::batch::{
    BatchError, BatchHeader, BatchView, EndTxnMarker, Record, retain_records, without_records,
};
use std::collections::HashMap;

/// What keeps a producer's state in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastOfProducer {
    /// Of its last batch of data, which holds the sequence.
    pub(crate) data_offset: Option<i64>,
    /// Its epoch, which a marker holds when there is no batch.
    pub(crate) epoch: i16,
}

/// Decides about the batches of one group of segments.
pub(super) struct Filter<'a> {
    pub(super) newest: &'a OffsetMap,
    /// The map knows nothing from here on.
    pub(super) map_end: i64,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    pub(super) producers: &'a HashMap<i64, LastOfProducer>,
    /// Last offset of the group: the batch that ends there holds its end.
    pub(super) last_offset: i64,
}

/// What is left of a batch.
#[derive(Debug)]
pub(super) struct Filtered {
    /// Its bytes; `None` when it goes.
    pub(super) bytes: Option<Bytes>,
    /// What the transaction index needs for it.
    pub(super) indexed: Option<AbortedTransaction>,
}

impl Filter<'_> {
    pub(super) fn apply(
        &self,
        transactions: &mut Transactions,
        batch: &BatchView,
    ) -> Result<Filtered, BatchError> {
        let header = batch.header();
        if header.is_control() {
            return self.marker(transactions, batch);
        }
        let is_aborted = transactions.on_batch(header);
        let bytes = if is_aborted {
            self.emptied(header)?
        } else {
            self.records(batch)?
        };
        Ok(Filtered {
            bytes,
            indexed: None,
        })
    }

    fn marker(
        &self,
        transactions: &mut Transactions,
        batch: &BatchView,
    ) -> Result<Filtered, BatchError> {
        let header = batch.header();
        let records = batch.records()?.collect::<Result<Vec<Record>, _>>()?;
        let marker = records.first().map(EndTxnMarker::parse).transpose()?;
        let seen = transactions.on_marker(header, marker);
        let horizon_ms = delete_horizon_ms(header);
        let has_expired = horizon_ms.is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        let bytes = if records.is_empty() || (seen.is_idle && has_expired) {
            self.emptied(header)?
        } else if seen.is_idle && horizon_ms.is_none() {
            Some(retain_records(header, &records, Some(self.horizon_ms()))?)
        } else {
            Some(batch.bytes().clone())
        };
        Ok(Filtered {
            bytes,
            indexed: seen.indexed,
        })
    }

    fn records(&self, batch: &BatchView) -> Result<Option<Bytes>, BatchError> {
        let header = batch.header();
        let horizon_ms = delete_horizon_ms(header);
        let mut kept = Vec::new();
        let mut has_tombstones = false;
        for record in batch.records()? {
            let record = record?;
            if self.is_kept(&record, horizon_ms) {
                has_tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return self.emptied(header);
        }
        let new_horizon_ms = (has_tombstones && horizon_ms.is_none()).then(|| self.horizon_ms());
        let is_whole = usize::try_from(header.records_count) == Ok(kept.len());
        if is_whole && new_horizon_ms.is_none() {
            return Ok(Some(batch.bytes().clone()));
        }
        retain_records(header, &kept, new_horizon_ms).map(Some)
    }

    fn is_kept(&self, record: &Record, horizon_ms: Option<i64>) -> bool {
        if record.offset >= self.map_end {
            return true;
        }
        // A record without a key can be told from no other; it is refused by
        // Produce, so it was there before the topic was compacted. Kafka
        // drops it too.
        let Some(key) = &record.key else {
            return false;
        };
        let is_newest = self
            .newest
            .get(key)
            .is_none_or(|newest| record.offset >= newest);
        let has_expired = || horizon_ms.is_some_and(|horizon_ms| self.now_ms >= horizon_ms);
        is_newest && (record.value.is_some() || !has_expired())
    }

    /// What stays of a batch that has no records left.
    fn emptied(&self, header: &BatchHeader) -> Result<Option<Bytes>, BatchError> {
        let holds_the_end = header.last_offset() == self.last_offset;
        if holds_the_end || self.is_last_of_producer(header) {
            without_records(header).map(Some)
        } else {
            Ok(None)
        }
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.producers.get(&header.producer_id) else {
            return false;
        };
        match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        }
    }

    fn horizon_ms(&self) -> i64 {
        self.now_ms.saturating_add(self.delete_retention_ms)
    }
}

fn delete_horizon_ms(header: &BatchHeader) -> Option<i64> {
    header
        .attributes
        .has_delete_horizon()
        .then_some(header.base_timestamp)
}
