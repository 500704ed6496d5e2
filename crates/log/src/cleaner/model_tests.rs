//! Random records, keys, tombstones, transactions, cleanings, clock, kills
//! and power losses, against a model that keeps every committed record.
//!
//! After every step, whatever was cleaned: each record that is read is the one
//! that was written at its offset; the newest record of each key is there, or,
//! for a tombstone, nothing of the key; offsets and producers are the model's.

use super::tests::compacted;
use crate::config::LogConfig;
use crate::manager::LogManager;
use crate::partition::{PartitionLog, UpTo};
use crate::testing::*;
use bytes::Bytes;
use millstream_core::env::Keep;
use millstream_core::ids::Offset;
use millstream_wire::batch::{BatchView, ControlKind, split_batches};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Committed records: key and value by offset.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Records(BTreeMap<i64, (Vec<u8>, Option<Vec<u8>>)>);

impl Records {
    /// Adds the records of a batch that was appended at an offset.
    pub(super) fn note(&mut self, first: Offset, batch: &Bytes) {
        let batch = BatchView::parse(batch).unwrap();
        for record in batch.records().unwrap() {
            let record = record.unwrap();
            let key = record.key.unwrap().to_vec();
            let value = record.value.map(|v| v.to_vec());
            self.0.insert(first.0 + record.offset, (key, value));
        }
    }

    /// Adds what is not known yet and was not aborted.
    pub(super) fn extend(&mut self, read: Vec<(i64, Vec<u8>, Option<Vec<u8>>)>) {
        for (offset, key, value) in read {
            if value.as_deref() != Some(b"aborted") {
                self.0.entry(offset).or_insert((key, value));
            }
        }
    }

    fn newest(&self, below: Offset) -> BTreeMap<&[u8], (i64, Option<&[u8]>)> {
        let all = self.0.range(..below.0);
        all.map(|(offset, (key, value))| (key.as_slice(), (*offset, value.as_deref())))
            .collect()
    }
}

/// What a consumer with `read_committed` gets.
pub(super) fn read_committed(log: &PartitionLog) -> Records {
    let mut records = Records::default();
    let start = log.log_start_offset().0;
    let mut offset = start;
    loop {
        let fetched = log.read(fetch(offset, UpTo::LastStable)).unwrap();
        if fetched.batches.is_empty() {
            return records;
        }
        for batch in split_batches(fetched.batches) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let header = batch.header();
            let is_aborted = header.is_transactional()
                && fetched.aborted.iter().any(|a| {
                    a.producer_id.0 == header.producer_id
                        && (a.first_offset.0..=a.last_offset.0).contains(&header.base_offset)
                });
            if header.is_control() || is_aborted {
                continue;
            }
            for record in batch.records().unwrap() {
                let record = record.unwrap();
                // As a client does with a batch that begins before its offset.
                if record.offset >= start {
                    let key = record.key.unwrap().to_vec();
                    let value = record.value.map(|v| v.to_vec());
                    records.0.insert(record.offset, (key, value));
                }
            }
        }
        offset = fetched.next_offset.0;
    }
}

/// Holds a log against all records that were ever committed to it.
pub(super) fn check(log: &PartitionLog, written: &Records) {
    let read = read_committed(log);
    for (offset, record) in &read.0 {
        assert_eq!(written.0.get(offset), Some(record), "at {offset}");
    }
    let start = log.log_start_offset().0;
    let stable = log.last_stable_offset();
    let found = read.newest(stable);
    for (key, newest) in written.newest(stable) {
        let key_text = String::from_utf8_lossy(key);
        match (newest.1, found.get(key)) {
            // Deleted with the log's start.
            _ if newest.0 < start => {}
            // The tombstone may be gone, and then so is all that it hid.
            (None, None) => {}
            (_, found) => assert_eq!(found, Some(&newest), "{key_text}"),
        }
    }
}

/// Of what is clean, one record a key.
pub(super) fn check_cleaned(manager: &LogManager, log: &PartitionLog) {
    let Some(cleaned_to) = manager.cleaned_to(&orders()) else {
        return;
    };
    let mut keys = BTreeSet::new();
    for (offset, (key, _)) in read_committed(log).0 {
        assert!(
            offset >= cleaned_to.0 || keys.insert(key.clone()),
            "two of one key below {cleaned_to}: the later at {offset}"
        );
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        producer: Option<i64>,
        keys: Vec<(u8, bool)>,
    },
    AppendInTransaction {
        producer: i64,
        keys: Vec<(u8, bool)>,
    },
    End {
        producer: i64,
        abort: bool,
    },
    Roll,
    Clean,
    /// A round with a map for this many keys.
    CleanALittle {
        keys: usize,
    },
    Advance {
        ms: i64,
    },
    Checkpoint,
    DeleteRecords {
        percent: i64,
    },
    Kill,
    PowerLoss {
        seed: u64,
    },
    PowerLossWithinCleaning {
        operations: usize,
        seed: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec((0..6_u8, prop::bool::weighted(0.25)), 1..6);
    let transactional = || 10..12_i64;
    prop_oneof![
        6 => (prop::option::of(0..3_i64), keys())
            .prop_map(|(producer, keys)| Step::Append { producer, keys }),
        4 => (transactional(), keys())
            .prop_map(|(producer, keys)| Step::AppendInTransaction { producer, keys }),
        4 => (transactional(), any::<bool>())
            .prop_map(|(producer, abort)| Step::End { producer, abort }),
        4 => Just(Step::Roll),
        5 => Just(Step::Clean),
        1 => (1..8_usize).prop_map(|keys| Step::CleanALittle { keys }),
        3 => (0..1500_i64).prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Checkpoint),
        1 => (0..=100_i64).prop_map(|percent| Step::DeleteRecords { percent }),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(|seed| Step::PowerLoss { seed }),
        3 => (0..120_usize, any::<u64>())
            .prop_map(|(operations, seed)| Step::PowerLossWithinCleaning { operations, seed }),
        1 => Just(Step::Restart),
    ]
}

struct World {
    disk: Disk,
    manager: Arc<LogManager>,
    log: Arc<PartitionLog>,
    written: Records,
    /// Records of open transactions, by producer.
    open: BTreeMap<i64, Records>,
    sequences: BTreeMap<i64, i32>,
    end: Offset,
}

impl World {
    fn new() -> Self {
        let disk = Disk::new(LogConfig {
            delete_retention_ms: 1000,
            segment_bytes: 700,
            ..compacted()
        });
        let (manager, log) = disk.open();
        Self {
            disk,
            manager,
            log,
            written: Records::default(),
            open: BTreeMap::new(),
            sequences: BTreeMap::new(),
            end: Offset(0),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append { producer, keys } => {
                let producer =
                    producer.map_or(NOBODY, |id| idempotent(id, self.sequence(id, keys)));
                let (first, batch) = self.append(producer, keys);
                self.written.note(first, &batch);
            }
            Step::AppendInTransaction { producer, keys } => {
                let sequence = self.sequence(*producer, keys);
                let (first, batch) = self.append(transactional(*producer, sequence), keys);
                self.open.entry(*producer).or_default().note(first, &batch);
            }
            Step::End { producer, abort } => {
                let kind = if *abort {
                    ControlKind::Abort
                } else {
                    ControlKind::Commit
                };
                end_transaction(&self.log, *producer, kind);
                let ended = self.open.remove(producer).unwrap_or_default();
                if !abort {
                    self.written.0.extend(ended.0);
                }
            }
            Step::Roll => self.log.force_roll(),
            Step::Clean => self.clean(1 << 20),
            Step::CleanALittle { keys } => self.clean(24 * (64 + keys)),
            Step::Advance { ms } => self.disk.clock.advance_ms(*ms),
            Step::Checkpoint => self.manager.checkpoint_logs(1),
            Step::DeleteRecords { percent } => {
                let start = self.log.log_start_offset().0;
                let before = start + (self.log.last_stable_offset().0 - start) * percent / 100;
                self.log.delete_records_before(Offset(before)).unwrap();
            }
            Step::Kill => {
                self.disk.kill();
                self.come_back();
            }
            Step::PowerLoss { seed } => self.lose_power(*seed),
            Step::PowerLossWithinCleaning { operations, seed } => {
                self.disk.fs.power_off_after_changes(*operations);
                self.manager.clean_next();
                self.lose_power(*seed);
            }
            Step::Restart => {
                self.manager.shutdown().unwrap();
                self.come_back();
            }
        }
        // All that is appended is promised at once.
        self.log.flush().unwrap();
        self.end = self.log.log_end_offset().max(self.end);
    }

    fn sequence(&mut self, producer: i64, keys: &[(u8, bool)]) -> i32 {
        let next = self.sequences.entry(producer).or_default();
        let sequence = *next;
        *next += keys.len() as i32;
        sequence
    }

    fn append(&mut self, producer: Producer, keys: &[(u8, bool)]) -> (Offset, Bytes) {
        let value = format!("value at {}", self.end);
        let names: Vec<String> = keys.iter().map(|(key, _)| format!("key-{key}")).collect();
        let records: Vec<Keyed<'_>> = keys
            .iter()
            .zip(&names)
            .map(|((_, is_tombstone), name)| {
                let value = (!is_tombstone).then_some(value.as_bytes());
                (name.as_bytes(), value)
            })
            .collect();
        let batch = keyed(producer, &records);
        let info = append(&self.log, batch.clone());
        assert!(!info.duplicate);
        (info.first_offset, batch)
    }

    fn clean(&mut self, dedupe_bytes_max: usize) {
        self.manager.set_cleaner_config(super::CleanerConfig {
            dedupe_bytes_max,
            ..super::CleanerConfig::default()
        });
        while self.manager.clean_next() {
            assert_eq!(self.manager.uncleanable(), []);
        }
        assert_eq!(self.log.failure(), None);
        check_cleaned(&self.manager, &self.log);
    }

    fn lose_power(&mut self, seed: u64) {
        self.disk.lose_power(Keep::Random(seed));
        self.come_back();
    }

    fn come_back(&mut self) {
        (self.manager, self.log) = self.disk.reopen();
        assert_eq!(self.log.log_end_offset(), self.end);
    }

    fn check(&self) {
        check(&self.log, &self.written);
        for summary in self.log.producers() {
            if summary.last_sequence >= 0 {
                let next = self.sequences[&summary.producer_id.0];
                assert_eq!(summary.last_sequence + 1, next, "{summary:?}");
            }
        }
    }
}

#[test]
fn what_producers_sent_outlives_a_deletion_of_all_before_an_empty_segment() {
    let append = Step::AppendInTransaction {
        producer: 10,
        keys: vec![(0, false)],
    };
    let end = Step::End {
        producer: 10,
        abort: false,
    };
    let deletion = Step::DeleteRecords { percent: 67 };
    let mut world = World::new();
    let steps = [
        append.clone(),
        Step::Checkpoint,
        append,
        Step::Roll,
        Step::Kill,
        end,
        deletion,
        Step::Kill,
    ];
    for step in steps {
        world.take(&step);
        world.check();
    }
    assert_eq!(world.log.producers().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cleaned_log_tells_the_same_of_every_key(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for (i, step) in steps.iter().enumerate() {
            let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                world.take(step);
                world.check();
            }));
            if taken.is_err() {
                panic!("at step {i}: {step:?}");
            }
        }
    }
}
