//! Checking an append against the producer state, without changing it.

use super::{BatchMetadata, CompletedTransaction, ProducerEntry, ProducerState};
use crate::error::AppendError;
use crate::partition::AppendOrigin;
use millstream_core::ids::{ProducerEpoch, ProducerId};
use millstream_wire::batch::{BatchHeader, ControlKind, EndTxnMarker};

/// What [`ProducerAppend::check`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    New,
    /// One of the last five batches.
    Duplicate {
        first_offset: i64,
        last_offset: i64,
        timestamp_ms: i64,
    },
}

/// A producer as it will be after the append.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) entry: ProducerEntry,
    pub(crate) completed: Vec<CompletedTransaction>,
}

/// What an append changes, collected batch by batch.
#[derive(Debug, Default)]
pub(crate) struct ProducerAppend {
    /// One per producer; mostly one.
    changes: Vec<Change>,
}

impl ProducerAppend {
    /// Checks a batch of data that does not have its offset yet, against the
    /// state and what was collected so far.
    pub(crate) fn check(
        &self,
        state: &ProducerState,
        header: &BatchHeader,
        origin: AppendOrigin,
    ) -> Result<Checked, AppendError> {
        let Some(entry) = self.current(state, header.producer_id) else {
            check_held_up(state, header)?;
            let begins_v2 = origin == AppendOrigin::ClientV2 && header.is_transactional();
            if begins_v2 && header.base_sequence != 0 {
                return Err(out_of_order(header, -1));
            }
            return Ok(Checked::New);
        };
        if entry.epoch == header.producer_epoch
            && header.base_sequence >= 0
            && let Some(batch) = find_duplicate(entry, header)
        {
            return Ok(Checked::Duplicate {
                first_offset: batch.first_offset(),
                last_offset: batch.last_offset,
                timestamp_ms: batch.timestamp_ms,
            });
        }
        check_epoch(entry, header.producer_epoch)?;
        if origin.is_client() {
            check_sequence(entry, header)?;
        }
        if entry.transaction_start.is_some() && !header.is_transactional() {
            return Err(AppendError::InvalidTxnState(ProducerId(header.producer_id)));
        }
        Ok(Checked::New)
    }

    /// Checks a marker.
    pub(crate) fn check_marker(
        &self,
        state: &ProducerState,
        header: &BatchHeader,
        marker: EndTxnMarker,
        origin: AppendOrigin,
    ) -> Result<(), AppendError> {
        let Some(entry) = self.current(state, header.producer_id) else {
            return Ok(());
        };
        match origin {
            AppendOrigin::CoordinatorV2 => check_bumped_epoch(entry, header.producer_epoch)?,
            AppendOrigin::Client | AppendOrigin::ClientV2 | AppendOrigin::Coordinator => {
                check_epoch(entry, header.producer_epoch)?;
            }
        }
        if marker.coordinator_epoch < entry.coordinator_epoch {
            return Err(AppendError::CoordinatorFenced {
                epoch: marker.coordinator_epoch,
                current: entry.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// Collects a batch of data that has its offset.
    pub(crate) fn add(&mut self, state: &ProducerState, header: &BatchHeader) {
        let change = self.change(state, header.producer_id);
        change.entry.add_batch(
            header.producer_epoch,
            BatchMetadata {
                last_sequence: header.last_sequence(),
                last_offset: header.last_offset(),
                offset_delta: header.last_offset_delta,
                timestamp_ms: header.max_timestamp,
            },
        );
        if header.is_transactional() {
            change
                .entry
                .transaction_start
                .get_or_insert(header.base_offset);
        }
    }

    /// Collects a marker that has its offset.
    pub(crate) fn add_marker(
        &mut self,
        state: &ProducerState,
        header: &BatchHeader,
        marker: EndTxnMarker,
    ) {
        let change = self.change(state, header.producer_id);
        change.entry.set_epoch(header.producer_epoch);
        change.entry.coordinator_epoch = marker.coordinator_epoch;
        change.entry.last_timestamp_ms = header.max_timestamp;
        // The marker of a transaction that wrote nothing here ends nothing.
        if let Some(first_offset) = change.entry.transaction_start.take() {
            change.completed.push(CompletedTransaction {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.last_offset(),
                aborted: marker.kind == ControlKind::Abort,
            });
        }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    fn current<'a>(&'a self, state: &'a ProducerState, id: i64) -> Option<&'a ProducerEntry> {
        let collected = self.changes.iter().find(|c| c.entry.producer_id == id);
        collected.map(|c| &c.entry).or_else(|| state.get(id))
    }

    fn change(&mut self, state: &ProducerState, id: i64) -> &mut Change {
        if let Some(at) = self.changes.iter().position(|c| c.entry.producer_id == id) {
            return &mut self.changes[at];
        }
        let entry = state
            .get(id)
            .cloned()
            .unwrap_or_else(|| ProducerEntry::new(id));
        self.changes.push(Change {
            entry,
            completed: Vec::new(),
        });
        let last = self.changes.len() - 1;
        &mut self.changes[last]
    }
}

fn find_duplicate<'a>(entry: &'a ProducerEntry, header: &BatchHeader) -> Option<&'a BatchMetadata> {
    entry.batches.iter().find(|batch| {
        batch.first_sequence() == header.base_sequence
            && batch.last_sequence == header.last_sequence()
    })
}

fn check_epoch(entry: &ProducerEntry, epoch: i16) -> Result<(), AppendError> {
    if epoch < entry.epoch {
        return Err(AppendError::InvalidProducerEpoch {
            producer_id: ProducerId(entry.producer_id),
            epoch: ProducerEpoch(epoch),
            current: ProducerEpoch(entry.epoch),
        });
    }
    Ok(())
}

/// With `transaction.version` 2 a marker's epoch is above that of the batches
/// it ends: one of the same epoch is a late marker of the transaction before,
/// and would end this one. Without an open transaction it is a marker that is
/// written again, which changes nothing. The largest epoch cannot be bumped.
fn check_bumped_epoch(entry: &ProducerEntry, epoch: i16) -> Result<(), AppendError> {
    let ends_nothing = entry.transaction_start.is_none() || epoch == i16::MAX;
    if epoch < entry.epoch || (epoch == entry.epoch && !ends_nothing) {
        return Err(AppendError::InvalidProducerEpoch {
            producer_id: ProducerId(entry.producer_id),
            epoch: ProducerEpoch(epoch),
            current: ProducerEpoch(entry.epoch),
        });
    }
    Ok(())
}

/// A log that does not know a producer takes any sequence as its first; but not
/// that of a batch which was sent after one that has been refused for now.
/// The later one is to be sent again too (Kafka's `ProducerAppendInfo`).
fn check_held_up(state: &ProducerState, header: &BatchHeader) -> Result<(), AppendError> {
    match state.held_up(header.producer_id, header.producer_epoch) {
        Some(lowest) if header.base_sequence > lowest => Err(out_of_order(header, lowest - 1)),
        _ => Ok(()),
    }
}

fn check_sequence(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), AppendError> {
    let last = if header.producer_epoch == entry.epoch {
        entry.last_sequence()
    } else {
        -1
    };
    // Nothing known of this producer: any sequence may come.
    let unknown = entry.epoch < 0;
    let follows = i64::from(header.base_sequence) == i64::from(last) + 1
        || (last == i32::MAX && header.base_sequence == 0);
    if unknown || follows {
        return Ok(());
    }
    Err(out_of_order(header, last))
}

fn out_of_order(header: &BatchHeader, last_sequence: i32) -> AppendError {
    AppendError::OutOfOrderSequence {
        producer_id: ProducerId(header.producer_id),
        sequence: header.base_sequence,
        last_sequence,
    }
}
