//! The committed offsets of one group.
//!
//! Pure: [`OffsetTable`] is told what has become durable in
//! `__consumer_offsets` and which transactions have ended.
//!
//! Invariants:
//! - of two commits for a partition the one later *in the log* wins, however
//!   late its durability was reported, so that memory always equals what a
//!   replay would give;
//! - an offset of an open transaction is not visible; it becomes so at the
//!   commit marker and vanishes at the abort marker.

use super::memory::OffsetsCharge;
use millstream_core::ids::ProducerId;
use std::collections::{BTreeMap, HashMap};

/// An offset as committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read; -1 is unknown (KIP-320).
    pub leader_epoch: i32,
    /// Whatever the consumer wants to keep with it.
    pub metadata: String,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub commit_timestamp_ms: i64,
    /// When it expires whatever the retention is (OffsetCommit before
    /// version 5 may say so).
    pub expire_timestamp_ms: Option<i64>,
    /// Where in `__consumer_offsets` it is written: decides between two.
    pub journal_offset: i64,
}

/// Topic and partition, ordered by topic.
pub type PartitionKey = (String, i32);

/// The committed and the pending offsets of one group.
#[derive(Debug, Default)]
pub struct OffsetTable {
    committed: BTreeMap<PartitionKey, CommittedOffset>,
    pending: HashMap<ProducerId, BTreeMap<PartitionKey, CommittedOffset>>,
    /// Commits that are in the log but not known to be durable.
    in_flight: usize,
    /// Where the tombstones of partitions are, while there are such commits:
    /// the older of two records may be reported the later one.
    removed: BTreeMap<PartitionKey, i64>,
    /// What it takes of the node's memory; none in tests.
    charge: Option<OffsetsCharge>,
}

/// What an offset takes beside its texts.
const OFFSET_BYTES: usize = 256;

fn cost(key: &PartitionKey, offset: &CommittedOffset) -> usize {
    OFFSET_BYTES + key.0.len() + offset.metadata.len()
}

impl OffsetTable {
    /// An empty table that counts what it takes.
    pub(super) fn counted(charge: OffsetsCharge) -> Self {
        Self {
            charge: Some(charge),
            ..Self::default()
        }
    }

    /// By how many bytes these offsets would make it larger.
    pub(super) fn grows_by(&self, offsets: &[(PartitionKey, CommittedOffset)]) -> usize {
        offsets
            .iter()
            .map(|(key, offset)| {
                let before = self.committed.get(key).map_or(0, |old| cost(key, old));
                cost(key, offset).saturating_sub(before)
            })
            .sum()
    }

    fn count(&mut self, added: usize, removed: usize) {
        if let Some(charge) = &mut self.charge {
            charge.add(added);
            charge.remove(removed);
        }
    }

    /// What is committed for a partition.
    pub fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        // A key by reference would need an owned topic; the range keeps the
        // map ordered by topic for `by_topic` and the look-up is one string.
        self.committed.get(&(topic.to_owned(), partition))
    }

    /// All committed offsets, ordered by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&PartitionKey, &CommittedOffset)> {
        self.committed.iter()
    }

    /// Whether an open transaction may still change the partition's offset.
    pub fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        let key = (topic.to_owned(), partition);
        self.pending
            .values()
            .any(|offsets| offsets.contains_key(&key))
    }

    /// Partitions that only open transactions have offsets for, so far.
    pub fn unstable(&self) -> impl Iterator<Item = &PartitionKey> {
        self.pending.values().flat_map(BTreeMap::keys)
    }

    /// Whether there is nothing in it and nothing on its way.
    pub fn is_unused(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty() && self.in_flight == 0
    }

    /// Whether a commit or an open transaction is about to change it.
    pub fn is_changing(&self) -> bool {
        self.in_flight > 0 || !self.pending.is_empty()
    }

    /// Notes that a commit has been appended; [`OffsetTable::settle`] ends it.
    pub fn begin_commit(&mut self) {
        self.in_flight += 1;
    }

    /// Ends what [`OffsetTable::begin_commit`] began; `durable` are its
    /// offsets, none where it failed.
    pub fn settle(&mut self, durable: Vec<(PartitionKey, CommittedOffset)>) {
        debug_assert!(self.in_flight > 0, "a commit settles once");
        for (key, offset) in durable {
            let removed = self.removed.get(&key).copied();
            if removed.is_none_or(|removed_at| removed_at < offset.journal_offset) {
                self.apply(key, offset);
            }
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.removed.clear();
        }
    }

    /// Makes a durable commit visible, unless a later one already is.
    pub fn apply(&mut self, key: PartitionKey, offset: CommittedOffset) {
        let added = cost(&key, &offset);
        let removed = match self.committed.get_mut(&key) {
            Some(current) if current.journal_offset >= offset.journal_offset => return,
            Some(current) => cost(&key, &std::mem::replace(current, offset)),
            None => {
                self.committed.insert(key, offset);
                0
            }
        };
        self.count(added, removed);
    }

    /// Notes that a partition's offset has been written anew.
    pub fn rewritten(&mut self, key: &PartitionKey, journal_offset: i64) {
        if let Some(current) = self.committed.get_mut(key) {
            debug_assert!(
                current.journal_offset < journal_offset,
                "a rewrite comes later"
            );
            current.journal_offset = journal_offset;
        }
    }

    /// Removes a partition's offset, as its tombstone at `journal_offset`
    /// does in the log.
    pub fn remove(&mut self, key: &PartitionKey, journal_offset: i64) {
        if self.in_flight > 0 {
            let removed = self.removed.entry(key.clone()).or_insert(journal_offset);
            *removed = journal_offset.max(*removed);
        }
        if self
            .committed
            .get(key)
            .is_some_and(|current| current.journal_offset < journal_offset)
        {
            let removed = self.committed.remove(key);
            self.count(0, removed.map_or(0, |removed| cost(key, &removed)));
        }
    }

    /// Keeps an offset of an open transaction back.
    pub fn hold(&mut self, producer: ProducerId, key: PartitionKey, offset: CommittedOffset) {
        let added = cost(&key, &offset);
        let pending = self.pending.entry(producer).or_default();
        let removed = match pending.insert(key.clone(), offset) {
            Some(replaced) => cost(&key, &replaced),
            None => 0,
        };
        self.count(added, removed);
    }

    /// Takes a held offset out again: its record could not be written.
    pub fn release(&mut self, producer: ProducerId, key: &PartitionKey, journal_offset: i64) {
        let Some(offsets) = self.pending.get_mut(&producer) else {
            return;
        };
        if offsets
            .get(key)
            .is_some_and(|held| held.journal_offset == journal_offset)
        {
            let removed = offsets.remove(key).map_or(0, |held| cost(key, &held));
            if offsets.is_empty() {
                self.pending.remove(&producer);
            }
            self.count(0, removed);
        }
    }

    /// Ends a producer's transaction at its marker.
    pub fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        let Some(offsets) = self.pending.remove(&producer) else {
            return;
        };
        for (key, offset) in offsets {
            self.count(0, cost(&key, &offset));
            if committed {
                self.apply(key, offset);
            }
        }
    }

    /// The partitions whose offsets are older than the retention allows.
    /// `idle_since_ms` is when the group lost its last member; none for a
    /// group that never had one, whose offsets age each by itself.
    pub fn expired(
        &self,
        now_ms: i64,
        retention_ms: i64,
        idle_since_ms: Option<i64>,
    ) -> Vec<PartitionKey> {
        let is_expired = |key: &PartitionKey, offset: &CommittedOffset| {
            let since = idle_since_ms.unwrap_or(offset.commit_timestamp_ms);
            let deadline = offset
                .expire_timestamp_ms
                .unwrap_or_else(|| since.saturating_add(retention_ms));
            deadline <= now_ms && !self.is_unstable(&key.0, key.1)
        };
        self.committed
            .iter()
            .filter(|(key, offset)| is_expired(key, offset))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(journal_offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset: journal_offset,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp_ms: 0,
            expire_timestamp_ms: None,
            journal_offset,
        }
    }

    #[test]
    fn a_tombstone_that_is_reported_before_an_older_commit_still_comes_after_it() {
        let key = ("orders".to_owned(), 0);
        let mut table = OffsetTable::default();
        for journal_offset in [10, 12] {
            table.begin_commit();
            table.remove(&key, 11);
            table.settle(vec![(key.clone(), at(journal_offset))]);
            let found = table.get("orders", 0).map(|o| o.offset);
            assert_eq!(found, (journal_offset > 11).then_some(journal_offset));
        }
        assert!(
            table.removed.is_empty(),
            "kept only while commits are on their way"
        );
        // One of an open transaction comes to the log with its marker.
        table.hold(ProducerId(1), key.clone(), at(13));
        table.remove(&key, 14);
        table.end_transaction(ProducerId(1), true);
        assert_eq!(table.get("orders", 0), Some(&at(13)));
    }
}
