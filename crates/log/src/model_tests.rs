//! Random appends, transactions, deletions, checkpoints, kills and power
//! losses, against a model that keeps everything in a list.
//!
//! After every step: what is committed reads exactly as the model has it,
//! offsets follow one another, the last stable offset and the aborted
//! transactions are those of the model, and producers have the model's state.
//! After power loss the log ends somewhere between what was promised and what
//! was appended; after a kill or a clean stop it ends where it ended.

use crate::config::LogConfig;
use crate::manager::LogManager;
use crate::partition::{AppendOrigin, PartitionLog, UpTo};
use crate::testing::*;
use millstream_core::env::Keep;
use millstream_core::ids::{LeaderEpoch, Offset};
use millstream_wire::batch::ControlKind;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    /// By nobody, or by an idempotent producer.
    Append {
        producer: Option<i64>,
        records: usize,
    },
    /// In a transaction, which begins with it when none is open.
    AppendInTransaction {
        producer: i64,
        records: usize,
    },
    End {
        producer: i64,
        abort: bool,
    },
    /// Sends one of the producer's last batches once more.
    Retry {
        producer: i64,
        back: usize,
    },
    NewEpoch,
    Flush,
    Checkpoint,
    DeleteRecords {
        percent: i64,
    },
    Retention,
    Truncate {
        percent: i64,
    },
    Kill,
    PowerLoss {
        seed: u64,
    },
    /// Power loss after a few more syncs of a checkpoint.
    PowerLossWithin {
        syncs: usize,
        seed: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let producer = 0..3_i64;
    prop_oneof![
        6 => (prop::option::of(producer.clone()), 1..12_usize)
            .prop_map(|(producer, records)| Step::Append { producer, records }),
        4 => (10..12_i64, 1..8_usize)
            .prop_map(|(producer, records)| Step::AppendInTransaction { producer, records }),
        3 => (10..12_i64, any::<bool>()).prop_map(|(producer, abort)| Step::End { producer, abort }),
        2 => (producer, 0..5_usize).prop_map(|(producer, back)| Step::Retry { producer, back }),
        1 => Just(Step::NewEpoch),
        5 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        1 => (0..=100_i64).prop_map(|percent| Step::DeleteRecords { percent }),
        1 => Just(Step::Retention),
        1 => (0..=100_i64).prop_map(|percent| Step::Truncate { percent }),
        2 => Just(Step::Kill),
        3 => any::<u64>().prop_map(|seed| Step::PowerLoss { seed }),
        2 => (0..12_usize, any::<u64>())
            .prop_map(|(syncs, seed)| Step::PowerLossWithin { syncs, seed }),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone)]
struct Batch {
    first: i64,
    last: i64,
    epoch: i32,
    producer: i64,
    sequence: i32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Data,
    InTransaction,
    Marker { abort: bool },
}

struct World {
    disk: Disk,
    manager: Arc<LogManager>,
    log: Arc<PartitionLog>,
    batches: Vec<Batch>,
    /// All below is promised.
    promised: i64,
    start: i64,
    epoch: i32,
}

/// What the model says of a producer.
#[derive(Debug, Default, Clone, PartialEq)]
struct State {
    last_sequence: i32,
    transaction_start: Option<i64>,
    last_offset: i64,
}

impl World {
    fn new() -> Self {
        let config = LogConfig {
            retention_bytes: Some(6000),
            segment_bytes: 3000,
            index_interval_bytes: 300,
            ..LogConfig::default()
        };
        let disk = Disk::new(config);
        let (manager, log) = disk.open();
        Self {
            disk,
            manager,
            log,
            batches: Vec::new(),
            promised: 0,
            start: 0,
            epoch: 0,
        }
    }

    fn end(&self) -> i64 {
        self.batches
            .last()
            .map_or(self.start, |b| (b.last + 1).max(self.start))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append {
                producer: None,
                records,
            } => self.append(NOBODY, *records, Kind::Data),
            Step::Append {
                producer: Some(id),
                records,
            } => {
                self.append(
                    idempotent(*id, self.next_sequence(*id)),
                    *records,
                    Kind::Data,
                );
            }
            Step::AppendInTransaction { producer, records } => {
                let producer = transactional(*producer, self.next_sequence(*producer));
                self.append(producer, *records, Kind::InTransaction);
            }
            Step::End { producer, abort } => self.end_transaction(*producer, *abort),
            Step::Retry { producer, back } => self.retry(*producer, *back),
            Step::NewEpoch => self.epoch += 1,
            Step::Flush => {
                self.log.flush().unwrap();
                self.promised = self.end();
            }
            Step::Checkpoint => {
                self.manager.checkpoint_logs(1);
                assert_eq!(self.log.failure(), None);
                self.promised = self.log.high_watermark().0;
            }
            Step::DeleteRecords { percent } => {
                let before = self.start + (self.promised - self.start) * percent / 100;
                self.log.delete_records_before(Offset(before)).unwrap();
                self.start = before;
            }
            Step::Retention => {
                self.log.enforce_retention(NOW_MS).unwrap();
                self.start = self.log.log_start_offset().0;
            }
            Step::Truncate { percent } => self.truncate(*percent),
            Step::Kill => {
                self.disk.kill();
                let end = self.end();
                self.come_back(end);
            }
            Step::PowerLoss { seed } => self.lose_power(*seed),
            Step::PowerLossWithin { syncs, seed } => {
                self.disk.fs.power_off_after(*syncs);
                self.manager.checkpoint_logs(1);
                self.promised = self.promised.max(self.log.high_watermark().0);
                self.lose_power(*seed);
            }
            Step::Restart => {
                self.manager.shutdown().unwrap();
                let end = self.end();
                self.come_back(end);
            }
        }
    }

    fn append(&mut self, producer: Producer, records: usize, kind: Kind) {
        let first = self.end();
        let values: Vec<Vec<u8>> = (0..records).map(|i| value(first + i as i64)).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let info = self
            .log
            .append_as_leader(
                batch_of(producer, NOW_MS, &values),
                AppendOrigin::Client,
                LeaderEpoch(self.epoch),
            )
            .unwrap();
        assert_eq!((info.first_offset, info.duplicate), (Offset(first), false));
        self.batches.push(Batch {
            first,
            last: first + records as i64 - 1,
            epoch: self.epoch,
            producer: producer.id,
            sequence: producer.sequence,
            kind,
        });
    }

    fn end_transaction(&mut self, id: i64, abort: bool) {
        let kind = if abort {
            ControlKind::Abort
        } else {
            ControlKind::Commit
        };
        let first = self.end();
        let marker = millstream_wire::batch::EndTxnMarker {
            kind,
            coordinator_epoch: 0,
        }
        .to_batch(id, 0, NOW_MS)
        .unwrap();
        self.log
            .append_as_leader(marker, AppendOrigin::Coordinator, LeaderEpoch(self.epoch))
            .unwrap();
        self.batches.push(Batch {
            first,
            last: first,
            epoch: self.epoch,
            producer: id,
            sequence: -1,
            kind: Kind::Marker { abort },
        });
    }

    /// A retry of one of the last five is acknowledged with its offset.
    fn retry(&mut self, id: i64, back: usize) {
        let sent: Vec<&Batch> = self.batches.iter().filter(|b| b.producer == id).collect();
        let Some(batch) = sent
            .iter()
            .rev()
            .nth(back)
            .filter(|b| b.first >= self.start)
        else {
            return;
        };
        let values: Vec<Vec<u8>> = (batch.first..=batch.last).map(value).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let again = batch_of(idempotent(id, batch.sequence), NOW_MS, &values);
        let again = self
            .log
            .append_as_leader(again, AppendOrigin::Client, LeaderEpoch(self.epoch))
            .unwrap();
        assert!(again.duplicate);
        assert_eq!(again.first_offset, Offset(batch.first));
    }

    fn truncate(&mut self, percent: i64) {
        let to = self.start + (self.end() - self.start) * percent / 100;
        let end = self.log.truncate_to(Offset(to)).unwrap().0;
        assert!(end <= to);
        self.batches.retain(|b| b.last < end);
        assert_eq!(self.end().max(self.start), end.max(self.start));
        self.promised = self.promised.min(end);
    }

    fn lose_power(&mut self, seed: u64) {
        self.disk.lose_power(Keep::Random(seed));
        let (manager, log) = self.disk.reopen();
        let end = log.log_end_offset().0;
        assert!((self.promised..=self.end()).contains(&end), "{end}");
        (self.manager, self.log) = (manager, log);
        self.came_back(end);
    }

    fn come_back(&mut self, end: i64) {
        (self.manager, self.log) = self.disk.reopen();
        assert_eq!(self.log.log_end_offset(), Offset(end));
        self.came_back(end);
    }

    fn came_back(&mut self, end: i64) {
        self.batches.retain(|b| b.last < end);
        self.promised = end;
        // A deletion that power loss interrupted may have happened or not.
        assert!(self.log.log_start_offset().0 >= self.start);
        self.start = self.log.log_start_offset().0;
        // A new leader would come with a new epoch.
        self.epoch = self.epoch.max(self.log.latest_epoch().map_or(0, |e| e.0));
    }

    fn next_sequence(&self, id: i64) -> i32 {
        match self.producers().get(&id) {
            Some(state) => state.last_sequence + 1,
            None => 0,
        }
    }

    fn producers(&self) -> BTreeMap<i64, State> {
        let mut producers: BTreeMap<i64, State> = BTreeMap::new();
        for batch in self.batches.iter().filter(|b| b.producer >= 0) {
            let new = State {
                last_sequence: -1,
                ..State::default()
            };
            let state = producers.entry(batch.producer).or_insert(new);
            state.last_offset = batch.last;
            match batch.kind {
                Kind::Marker { .. } => state.transaction_start = None,
                kind => {
                    state.last_sequence = batch.sequence + (batch.last - batch.first) as i32;
                    if kind == Kind::InTransaction {
                        state.transaction_start.get_or_insert(batch.first);
                    }
                }
            }
        }
        producers
    }

    /// Transactions that were aborted: first offset, marker, producer.
    fn aborted(&self) -> Vec<(i64, i64, i64)> {
        let mut open = BTreeMap::new();
        let mut aborted = Vec::new();
        for batch in &self.batches {
            match batch.kind {
                Kind::InTransaction => {
                    open.entry(batch.producer).or_insert(batch.first);
                }
                Kind::Marker { abort } => {
                    if let Some(first) = open.remove(&batch.producer).filter(|_| abort) {
                        aborted.push((first, batch.last, batch.producer));
                    }
                }
                Kind::Data => {}
            }
        }
        aborted.sort_unstable();
        aborted
    }

    fn check(&self) {
        let log = &self.log;
        let progress = log.progress();
        assert_eq!(progress.log_start_offset, Offset(self.start));
        assert_eq!(progress.log_end_offset, Offset(self.end()));
        assert_eq!(progress.high_watermark, Offset(self.promised));
        let mut read = Vec::new();
        for batch in read_batches(log, UpTo::HighWatermark) {
            batch.verify_crc().unwrap();
            read.push((
                batch.base_offset(),
                batch.last_offset(),
                batch.header().partition_leader_epoch,
            ));
        }
        let expected: Vec<(i64, i64, i32)> = self
            .batches
            .iter()
            .filter(|b| b.last >= self.start && b.first < self.promised)
            .map(|b| (b.first, b.last, b.epoch))
            .collect();
        assert_eq!(read, expected);
        for (offset, found) in read_values(log, UpTo::HighWatermark) {
            assert_eq!(found, value(offset));
        }
        self.check_transactions();
    }

    fn check_transactions(&self) {
        let producers = self.producers();
        for summary in self.log.producers() {
            let known = producers.get(&summary.producer_id.0);
            let state = known.unwrap_or_else(|| panic!("{summary:?} is not in the model"));
            let start = summary.transaction_start.map(|o| o.0);
            // What begins below the log start may have been forgotten.
            if state
                .transaction_start
                .is_none_or(|first| first >= self.start)
            {
                assert_eq!(start, state.transaction_start, "{summary:?}");
            }
            if state.last_offset >= self.start && summary.last_sequence != -1 {
                assert_eq!(summary.last_sequence, state.last_sequence, "{summary:?}");
            }
        }
        for (id, state) in &producers {
            let known = self.log.producers().iter().any(|s| s.producer_id.0 == *id);
            assert!(
                known || state.last_offset < self.start,
                "{id} was forgotten"
            );
        }
        let first_open = producers.values().filter_map(|s| s.transaction_start).min();
        if first_open.is_none_or(|first| first >= self.start) {
            let undecided = self.undecided().unwrap_or(self.promised);
            let stable = undecided.min(self.promised).max(self.start);
            assert_eq!(self.log.last_stable_offset(), Offset(stable));
        }
        let aborted: Vec<(i64, i64, i64)> = self
            .log
            .aborted_transactions(Offset(self.start), Offset(self.end()))
            .unwrap()
            .iter()
            .map(|t| (t.first_offset.0, t.last_offset.0, t.producer_id.0))
            .filter(|(first, ..)| *first >= self.start)
            .collect();
        let expected: Vec<(i64, i64, i64)> = self
            .aborted()
            .into_iter()
            .filter(|(first, ..)| *first >= self.start)
            .collect();
        assert_eq!(aborted, expected);
    }

    /// First offset of a transaction that is open, or whose marker is not
    /// committed.
    fn undecided(&self) -> Option<i64> {
        let mut open = BTreeMap::new();
        let mut first = Vec::new();
        for batch in &self.batches {
            match batch.kind {
                Kind::InTransaction => {
                    open.entry(batch.producer).or_insert(batch.first);
                }
                Kind::Marker { .. } => {
                    if let Some(begin) = open.remove(&batch.producer)
                        && batch.last >= self.promised
                    {
                        first.push(begin);
                    }
                }
                Kind::Data => {}
            }
        }
        first.extend(open.into_values());
        first.into_iter().min()
    }
}

fn value(offset: i64) -> Vec<u8> {
    format!("the record at {offset}").into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_keeps_its_promises(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for (i, step) in steps.iter().enumerate() {
            world.take(step);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.check()));
            if checked.is_err() {
                panic!("after step {i}: {step:?}");
            }
        }
    }
}
