//! Producer state: what the log remembers of each idempotent or transactional
//! producer (KIP-98), and from it the last stable offset.
//!
//! Rules, as Kafka has them:
//! - A batch equal in first and last sequence to one of the producer's last
//!   five is a duplicate and is acknowledged with its first offset.
//! - Otherwise its first sequence must follow the last one (2^31 - 1 is
//!   followed by 0); a new epoch begins at 0. A producer that the log does not
//!   know, because it expired or its records were deleted, may go on with any.
//! - An epoch below the newest seen is fenced.
//! - A transaction is open from its first batch to its marker; the last stable
//!   offset stops before the first open one, and before the first closed one
//!   whose marker is not committed yet.
//!
//! Checking and changing are apart: [`ProducerAppend`] collects what an append
//! would change, and [`ProducerState::apply`] does it once the bytes are
//! written.

mod append;
mod entry;
mod snapshot;

pub(crate) use append::{Checked, ProducerAppend};
pub(crate) use entry::{BatchMetadata, ProducerEntry};
pub(crate) use snapshot::{decode, encode};

use crate::partition::{AbortedTransaction, ProducerSummary};
use millstream_core::ids::{Offset, ProducerEpoch, ProducerId};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Producers remembered by one partition. Beyond it the longest silent ones
/// without an open transaction are forgotten, as if they had expired.
pub(crate) const PRODUCERS_MAX: usize = 50_000;

/// A transaction that a marker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The marker's.
    pub(crate) last_offset: i64,
    pub(crate) aborted: bool,
}

/// The producers of one partition.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ProducerState {
    entries: HashMap<i64, ProducerEntry>,
    /// First offset of each open transaction, and whose.
    open: BTreeMap<i64, i64>,
    /// Ended transactions whose marker is not committed yet: first offset to
    /// marker offset.
    uncommitted: BTreeMap<i64, i64>,
    /// Epoch and lowest sequence of what was refused to a producer before it
    /// came here and will be sent again. Not part of a snapshot.
    held_up: BTreeMap<i64, (i16, i32)>,
}

/// Producers of which [`ProducerState::hold_up`] knows something.
const HELD_UP_MAX: usize = 1_000;

impl ProducerState {
    /// Notes a batch that was refused for now, before this log saw it: those
    /// that its producer has sent after it must not take its place.
    pub(crate) fn hold_up(&mut self, producer_id: i64, epoch: i16, sequence: i32) {
        if self.held_up.len() >= HELD_UP_MAX && !self.held_up.contains_key(&producer_id) {
            self.held_up.pop_first();
        }
        let lowest = self.held_up.entry(producer_id).or_insert((epoch, sequence));
        *lowest = match lowest.0.cmp(&epoch) {
            Ordering::Less => (epoch, sequence),
            Ordering::Equal => (epoch, lowest.1.min(sequence)),
            Ordering::Greater => *lowest,
        };
    }

    /// The lowest sequence that has to come first, if there is one.
    pub(crate) fn held_up(&self, producer_id: i64, epoch: i16) -> Option<i32> {
        let (of_epoch, sequence) = self.held_up.get(&producer_id)?;
        (*of_epoch == epoch).then_some(*sequence)
    }

    pub(crate) fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.entries.get(&producer_id)
    }

    /// Takes over what an append has changed. Returns the aborted
    /// transactions that it ended, for the transaction index.
    pub(crate) fn apply(&mut self, append: ProducerAppend) -> Vec<AbortedTransaction> {
        let mut aborted = Vec::new();
        for entry in append.into_changes() {
            for transaction in entry.completed {
                self.open.remove(&transaction.first_offset);
                self.uncommitted
                    .insert(transaction.first_offset, transaction.last_offset);
                if transaction.aborted {
                    aborted.push(self.aborted(transaction));
                }
            }
            if let Some(first) = entry.entry.transaction_start {
                self.open.insert(first, entry.entry.producer_id);
            }
            self.held_up.remove(&entry.entry.producer_id);
            self.entries.insert(entry.entry.producer_id, entry.entry);
        }
        self.forget_beyond(PRODUCERS_MAX);
        aborted
    }

    /// With the last stable offset as it is once the marker is committed:
    /// readers below it need look no further for aborted transactions.
    fn aborted(&self, transaction: CompletedTransaction) -> AbortedTransaction {
        let first_open = self.open.keys().next().copied();
        AbortedTransaction {
            producer_id: ProducerId(transaction.producer_id),
            first_offset: Offset(transaction.first_offset),
            last_offset: Offset(transaction.last_offset),
            last_stable_offset: Offset(first_open.unwrap_or(transaction.last_offset + 1)),
        }
    }

    /// Forgets ended transactions whose marker is below the high watermark.
    pub(crate) fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.uncommitted
            .retain(|_, marker| *marker >= high_watermark.0);
    }

    /// First offset that is not decided and committed.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let uncommitted = self.uncommitted.keys().next();
        open.into_iter()
            .chain(uncommitted)
            .min()
            .copied()
            .map(Offset)
    }

    /// Forgets producers without an open transaction that were silent since
    /// `before_ms`.
    pub(crate) fn expire(&mut self, before_ms: i64) {
        self.entries
            .retain(|_, e| e.transaction_start.is_some() || e.last_timestamp_ms >= before_ms);
    }

    fn forget_beyond(&mut self, producers_max: usize) {
        if self.entries.len() <= producers_max {
            return;
        }
        // An eighth at once, so that the sort is rare.
        let surplus = self.entries.len() - producers_max + producers_max / 8;
        let mut idle: Vec<(i64, i64)> = self
            .entries
            .values()
            .filter(|e| e.transaction_start.is_none())
            .map(|e| (e.last_timestamp_ms, e.producer_id))
            .collect();
        idle.sort_unstable();
        for (_, producer_id) in idle.into_iter().take(surplus) {
            self.entries.remove(&producer_id);
        }
    }

    /// All producers, by id.
    pub(crate) fn summaries(&self) -> Vec<ProducerSummary> {
        let mut all: Vec<ProducerSummary> = self
            .entries
            .values()
            .map(|e| ProducerSummary {
                producer_id: ProducerId(e.producer_id),
                epoch: ProducerEpoch(e.epoch),
                last_sequence: e.last_sequence(),
                last_timestamp_ms: e.last_timestamp_ms,
                coordinator_epoch: e.coordinator_epoch,
                transaction_start: e.transaction_start.map(Offset),
            })
            .collect();
        all.sort_unstable_by_key(|s| s.producer_id);
        all
    }

    /// Where the cleaner finds what keeps each producer's state.
    pub(crate) fn last_batches(&self) -> HashMap<i64, crate::cleaner::LastOfProducer> {
        let last = |e: &ProducerEntry| crate::cleaner::LastOfProducer {
            data_offset: e.batches.back().map(|batch| batch.last_offset),
            epoch: e.epoch,
        };
        self.entries
            .iter()
            .map(|(id, entry)| (*id, last(entry)))
            .collect()
    }

    /// Entries by id, for a snapshot.
    pub(crate) fn entries(&self) -> Vec<&ProducerEntry> {
        let mut entries: Vec<&ProducerEntry> = self.entries.values().collect();
        entries.sort_unstable_by_key(|e| e.producer_id);
        entries
    }

    pub(crate) fn from_entries(entries: impl IntoIterator<Item = ProducerEntry>) -> Self {
        let mut state = Self::default();
        for entry in entries {
            if let Some(first) = entry.transaction_start {
                state.open.insert(first, entry.producer_id);
            }
            state.entries.insert(entry.producer_id, entry);
        }
        state
    }
}

/// The batches of a producer that are compared with a new one.
pub(crate) type LastBatches = VecDeque<BatchMetadata>;

#[cfg(test)]
mod tests;
