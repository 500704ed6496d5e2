//! Thousands of crash points, by seed: a folder with several partitions is
//! worked on until the power goes (or the process is killed) between any two
//! changes of the disk, is opened again, compared with what was promised, and
//! worked on further. Then the same with I/O errors and a full disk instead.
//!
//! What `crash_tests` shows place by place, this looks for everywhere. It
//! differs from `model_tests` in that it stops *within* every operation:
//! append, roll, flush, checkpoint, truncation, deletion of records,
//! retention, creation and deletion of partitions, recovery itself and the
//! clean stop.
//!
//! `MILLSTREAM_CRASH_POINTS` sets how many points each test runs,
//! `MILLSTREAM_CRASH_SEED` where it begins. Each seed stands for itself, and
//! `MILLSTREAM_CRASH_TRACE` prints its steps.

use crate::config::LogConfig;
use crate::error::OpenError;
use crate::manager::LogManager;
use crate::partition::{AppendOrigin, PartitionLog, UpTo};
use crate::testing::*;
use millstream_core::env::{Change, ChangeKind, Fs, Keep};
use millstream_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

/// Points of each test when nothing else is asked.
const POINTS_DEFAULT: usize = 1500;
/// As many of errors: a few seconds, too.
const ERRORS_DEFAULT: usize = 800;
/// Lives of one disk: after so many crashes the next seed begins anew.
const LIVES_MAX: usize = 8;
/// Steps of one life when nothing ends it before.
const STEPS_MAX: usize = 40;
const PARTITIONS: i32 = 3;
/// Below this a test has not done what it says, whatever it was asked.
const POINTS_MIN: usize = 100;

/// SplitMix64: the seed is all that a run depends on.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as usize) as i64
    }
}

/// What is known of one partition.
#[derive(Debug, Default, Clone)]
struct Known {
    /// Its id; another one is another topic of the same name.
    id: u128,
    /// Where each batch begins, what it holds, and its sequence if it has one.
    batches: BTreeMap<i64, Sent>,
    /// One past the last that may be there.
    end: i64,
    /// All below must be there.
    promised: i64,
    /// The log begins at `start`, or up to `start_max` if a deletion happened
    /// that nobody was told of.
    start: i64,
    start_max: i64,
    /// Its creation was cut off and it is there all the same: without records
    /// that were promised it may still go.
    unsure: bool,
}

#[derive(Clone)]
struct Sent {
    values: Vec<Vec<u8>>,
    sequence: Option<i32>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} records, sequence {:?}",
            self.values.len(),
            self.sequence
        )
    }
}

/// Whether a partition is there.
#[derive(Debug, Clone)]
enum Presence {
    Here(Known),
    Gone,
    /// A creation or deletion was cut off: either.
    Unclear(Known),
}

struct World {
    disk: Disk,
    chance: Chance,
    partitions: Vec<Presence>,
    written: usize,
    ids: u128,
    /// Why the story cannot go on: the power is off, or a log has stopped.
    over: bool,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1200,
        index_interval_bytes: 200,
        retention_bytes: Some(4000),
        ..LogConfig::default()
    }
}

fn name(p: usize) -> TopicPartition {
    TopicPartition::new("orders", p as i32)
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            disk: Disk::new(config()),
            chance: Chance(seed),
            partitions: vec![Presence::Gone; PARTITIONS as usize],
            written: 0,
            ids: 0,
            over: false,
        }
    }

    /// One life: opens the folder, checks it, works until the end of the
    /// power, of a log or of the steps.
    fn live(&mut self) {
        self.over = false;
        trace(|| format!("a life begins: {:?}", self.partitions));
        let Ok(manager) = self.disk.try_manager() else {
            assert!(self.disk.fs.is_off(), "it does not open, with the power on");
            return;
        };
        if self.disk.fs.is_off() {
            // What is open in memory now says nothing of the disk.
            return;
        }
        self.compare(&manager);
        for _ in 0..STEPS_MAX {
            if self.over || self.disk.fs.is_off() {
                return;
            }
            let p = self.chance.below(self.partitions.len());
            self.step(&manager, p);
        }
        if self.chance.below(2) == 0 && !self.disk.fs.is_off() {
            self.stop(&manager);
        }
    }

    fn stop(&mut self, manager: &LogManager) {
        if manager.shutdown().is_ok() && !self.disk.fs.is_off() {
            for presence in &mut self.partitions {
                if let Presence::Here(known) = presence {
                    known.promised = known.end;
                }
            }
        }
    }

    fn step(&mut self, manager: &LogManager, p: usize) {
        let choice = self.chance.below(40);
        trace(|| format!("partition {p}, choice {choice}: {:?}", self.partitions[p]));
        let Presence::Here(known) = self.partitions[p].clone() else {
            return self.create(manager, p);
        };
        let log = manager.get(&name(p)).expect("a partition that is there");
        match choice {
            0..=17 => self.append(&log, p, known),
            18..=25 => self.flush(&log, p, known),
            26..=28 => self.checkpoint(manager),
            29..=31 => self.delete_records(&log, p, known),
            32..=34 => self.retain(&log, p, known),
            35..=37 => self.truncate(&log, p, known),
            _ => self.delete(manager, p, known),
        }
    }

    fn create(&mut self, manager: &LogManager, p: usize) {
        // An unclear one that shows itself is taken as it is.
        if let (Presence::Unclear(known), Some(_)) =
            (self.partitions[p].clone(), manager.get(&name(p)))
        {
            self.partitions[p] = Presence::Here(Known {
                unsure: true,
                ..known
            });
            return;
        }
        self.ids += 1;
        let known = Known {
            id: self.ids,
            ..Known::default()
        };
        let id = TopicId::from_u128(known.id);
        self.partitions[p] = match manager.create(&name(p), id, config()) {
            Ok(_) => Presence::Here(known),
            Err(_) => {
                // Nobody was told that it is there; the name may be.
                self.over = true;
                Presence::Unclear(known)
            }
        };
    }

    fn append(&mut self, log: &PartitionLog, p: usize, mut known: Known) {
        let count = self.chance.below(6) + 1;
        let sequence = (self.chance.below(2) == 0)
            .then(|| next_sequence(&known))
            .flatten();
        let values: Vec<Vec<u8>> = (0..count)
            .map(|i| format!("record {} of {p}, {i}", self.written).into_bytes())
            .collect();
        self.written += 1;
        let sent = Sent { values, sequence };
        match log.append_as_leader(sent.batch(p), AppendOrigin::Client, LeaderEpoch(0)) {
            Ok(info) => {
                assert_eq!((info.first_offset.0, info.duplicate), (known.end, false));
                known.batches.insert(known.end, sent);
                known.end += count as i64;
            }
            Err(_) if log.failure().is_some() => {
                // It could not be undone: whether it is there shows later.
                known.batches.insert(known.end, sent);
                known.end += count as i64;
                self.over = true;
            }
            Err(_) => assert_eq!(log.log_end_offset(), Offset(known.end), "undone"),
        }
        self.partitions[p] = Presence::Here(known);
    }

    fn flush(&mut self, log: &PartitionLog, p: usize, mut known: Known) {
        match log.flush() {
            Ok(end) => {
                assert_eq!(end, Offset(known.end));
                known.promised = known.end;
            }
            Err(_) => {
                let refused = log.append_as_leader(batch(1), AppendOrigin::Client, LeaderEpoch(0));
                assert!(refused.is_err(), "a failed sync stops the log");
                self.over = true;
            }
        }
        self.partitions[p] = Presence::Here(known);
    }

    fn checkpoint(&mut self, manager: &LogManager) {
        manager.checkpoint_logs(1);
        for (p, presence) in self.partitions.iter_mut().enumerate() {
            if let (Presence::Here(known), Some(log)) = (presence, manager.get(&name(p))) {
                known.promised = known.promised.max(log.high_watermark().0);
                self.over |= log.failure().is_some();
            }
        }
    }

    fn delete_records(&mut self, log: &PartitionLog, p: usize, mut known: Known) {
        let to = self.chance.between(known.start, known.promised);
        known.start_max = known.start_max.max(to);
        if log.delete_records_before(Offset(to)).is_ok() {
            known.start = to;
        } else {
            known.start = known.start.max(log.log_start_offset().0);
        }
        self.over |= log.failure().is_some();
        self.partitions[p] = Presence::Here(known);
    }

    fn retain(&mut self, log: &PartitionLog, p: usize, mut known: Known) {
        // Of a deletion that failed before the checkpoint may still tell.
        let failed_before = known.start_max;
        known.start_max = known.promised;
        if log.enforce_retention(NOW_MS).is_ok() {
            known.start = log.log_start_offset().0;
            known.start_max = known.start.max(failed_before);
        } else {
            known.start = known.start.max(log.log_start_offset().0);
        }
        self.over |= log.failure().is_some();
        self.partitions[p] = Presence::Here(known);
    }

    fn truncate(&mut self, log: &PartitionLog, p: usize, mut known: Known) {
        let to = self.chance.between(known.start, known.end);
        let batch_begin = known.batches.range(..=to).next_back().map_or(0, |b| *b.0);
        if to < known.end {
            known.promised = known.promised.min(batch_begin.max(known.start));
        }
        match log.truncate_to(Offset(to)) {
            Ok(end) => {
                assert!(end.0 <= to);
                known.cut(end.0);
                // It is on disk when it is answered, all below the new end too.
                known.promised = known.promised.min(end.0);
            }
            Err(error) => {
                trace(|| format!("truncate to {to}: {error}"));
                self.over = true;
            }
        }
        self.partitions[p] = Presence::Here(known);
    }

    fn delete(&mut self, manager: &LogManager, p: usize, known: Known) {
        self.partitions[p] = match manager.delete(&name(p)) {
            Ok(()) => Presence::Gone,
            Err(_) => {
                self.over = true;
                Presence::Unclear(known)
            }
        };
    }

    /// What is there now, against what was promised; from here on it is known.
    fn compare(&mut self, manager: &LogManager) {
        trace(|| {
            let files = (0..3).map(|p| {
                self.disk
                    .fs
                    .list(&Path::new("/var/data").join(format!("orders-{p}")))
            });
            format!("{:?}", files.collect::<Vec<_>>())
        });
        for (topic_partition, why) in manager.offline() {
            // Power loss kept the log of a partition whose creation was killed,
            // with records that nobody was promised, and not its topic's id.
            let p = topic_partition.partition.0 as usize;
            let excused = match &self.partitions[p] {
                Presence::Here(known) | Presence::Unclear(known) => {
                    known.promised == 0 && matches!(*why, OpenError::Malformed { .. })
                }
                Presence::Gone => false,
            };
            assert!(excused, "{why}: {:?}", self.partitions[p]);
            self.partitions[p] = Presence::Gone;
            if manager.delete(&topic_partition).is_err() {
                self.over = true;
                return;
            }
        }
        for p in 0..self.partitions.len() {
            let log = manager.get(&name(p));
            self.partitions[p] = match (self.partitions[p].clone(), log) {
                (Presence::Here(known), Some(log)) => Presence::Here(compare(p, known, &log)),
                (Presence::Here(known), None) if known.unsure && known.promised == 0 => {
                    Presence::Gone
                }
                (Presence::Here(known), None) => panic!("partition {p} is gone: {known:?}"),
                (Presence::Gone, Some(log)) => panic!("{} is back", log.folder().display()),
                (Presence::Gone | Presence::Unclear(_), None) => Presence::Gone,
                (Presence::Unclear(known), Some(log)) if log.topic_id().as_u128() == known.id => {
                    // Of a deletion that was cut off nothing is promised but
                    // that what is read was written.
                    let promised = known.promised.min(log.log_end_offset().0);
                    Presence::Here(compare(
                        p,
                        Known {
                            promised,
                            unsure: true,
                            ..known
                        },
                        &log,
                    ))
                }
                (Presence::Unclear(_), Some(log)) => {
                    panic!("{} is another", log.folder().display())
                }
            };
        }
    }
}

impl Sent {
    fn batch(&self, p: usize) -> bytes::Bytes {
        let values: Vec<&[u8]> = self.values.iter().map(Vec::as_slice).collect();
        let producer = self
            .sequence
            .map_or(NOBODY, |s| idempotent(p as i64 + 1, s));
        batch_of(producer, NOW_MS, &values)
    }
}

impl Known {
    fn cut(&mut self, end: i64) {
        self.batches
            .retain(|first, sent| first + sent.values.len() as i64 <= end);
        self.end = end;
    }

    fn records(&self, from: i64) -> Vec<(i64, Vec<u8>)> {
        let all = self.batches.iter().flat_map(|(first, sent)| {
            let values = sent.values.iter().enumerate();
            values.map(move |(i, value)| (first + i as i64, value.clone()))
        });
        all.filter(|(offset, _)| *offset >= from).collect()
    }
}

/// The producer's next sequence; `None` when its last batch may be forgotten.
fn next_sequence(known: &Known) -> Option<i32> {
    let last = known.batches.iter().rev().find_map(|(first, sent)| {
        let next = sent.sequence? + sent.values.len() as i32;
        Some((*first, next))
    });
    match last {
        Some((first, next)) => (first >= known.start_max).then_some(next),
        None => (known.start_max == 0).then_some(0),
    }
}

fn compare(p: usize, mut known: Known, log: &PartitionLog) -> Known {
    assert_eq!(
        log.topic_id().as_u128(),
        known.id,
        "partition {p} is another topic"
    );
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    trace(|| {
        format!(
            "partition {p} is {start}..{end}, the recovery point {}",
            log.recovery_point()
        )
    });
    assert!(
        (known.promised..=known.end.max(known.start_max)).contains(&end),
        "partition {p} ends at {end}: {known:?}"
    );
    assert!(
        (known.start..=known.start_max.max(known.start)).contains(&start),
        "partition {p} begins at {start}: {known:?}"
    );
    known.cut(end);
    (known.start, known.start_max, known.promised) = (start, start, end);
    assert_eq!(
        log.high_watermark(),
        Offset(end),
        "after a recovery all of it is promised"
    );
    // A read in the middle of a batch gives all of it.
    let mut read = read_values(log, UpTo::HighWatermark);
    read.retain(|(offset, _)| *offset >= start);
    let shown = |records: &[(i64, Vec<u8>)]| -> Vec<String> {
        let show = |(o, v): &(i64, Vec<u8>)| format!("{o}: {}", String::from_utf8_lossy(v));
        records.iter().map(show).collect()
    };
    assert_eq!(shown(&read), shown(&known.records(start)), "partition {p}");
    let last = known
        .batches
        .range(start..)
        .rev()
        .find(|(_, s)| s.sequence.is_some());
    if let Some((first, sent)) = last {
        let again = log
            .append_as_leader(sent.batch(p), AppendOrigin::Client, LeaderEpoch(0))
            .unwrap();
        assert_eq!((again.first_offset.0, again.duplicate), (*first, true));
    }
    known
}

fn trace(what: impl FnOnce() -> String) {
    if std::env::var_os("MILLSTREAM_CRASH_TRACE").is_some() {
        println!("{}", what());
    }
}

fn points_wanted(otherwise: usize) -> usize {
    let wanted = std::env::var("MILLSTREAM_CRASH_POINTS").ok();
    wanted.map_or(otherwise, |n| n.parse().unwrap())
}

fn first_seed() -> u64 {
    let wanted = std::env::var("MILLSTREAM_CRASH_SEED").ok();
    wanted.map_or(1, |n| n.parse().unwrap())
}

/// Runs `life` for seed after seed until there were enough points. It says
/// whether it ended at one.
fn until_enough(otherwise: usize, mut story: impl FnMut(u64) -> usize) {
    let (wanted, began) = (points_wanted(otherwise), Instant::now());
    let (mut points, mut seed) = (0, first_seed());
    while points < wanted {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story(seed)));
        points += done.unwrap_or_else(|_| {
            panic!("again with MILLSTREAM_CRASH_SEED={seed} MILLSTREAM_CRASH_POINTS=1")
        });
        seed += 1;
        assert!(points > 0 || seed < first_seed() + 100, "nothing happens");
    }
    assert!(points >= POINTS_MIN.min(wanted), "{points} points only");
    println!(
        "{points} points, {} seeds, {:?}",
        seed - first_seed(),
        began.elapsed()
    );
}

#[test]
fn nothing_promised_is_lost_at_any_crash_point() {
    until_enough(POINTS_DEFAULT, |seed| {
        let mut world = World::new(seed);
        let mut points = 0;
        for _ in 0..LIVES_MAX {
            let most = if world.chance.below(4) == 0 { 12 } else { 90 };
            let changes = world.chance.below(most);
            world.disk.fs.power_off_after_changes(changes);
            world.live();
            points += usize::from(world.disk.fs.is_off());
            let keep = world.chance.below(5);
            match keep {
                0 => world.disk.kill(),
                1 => world.disk.lose_power(Keep::Nothing),
                _ => world
                    .disk
                    .lose_power(Keep::Random(seed << 8 | points as u64)),
            }
        }
        world.disk.fs.heal();
        world.live();
        points
    });
}

/// One error, or a disk that is full for a while, at any change.
#[test]
fn nothing_promised_is_lost_by_io_errors_or_a_full_disk() {
    until_enough(ERRORS_DEFAULT, |seed| {
        let mut world = World::new(seed);
        let mut points = 0;
        for _ in 0..LIVES_MAX {
            let from = world.disk.fs.changes_count() + world.chance.below(90);
            let to = from + [1, 1, 3, 20][world.chance.below(4)];
            let full = world.chance.below(2) == 0;
            world
                .disk
                .fs
                .fail_changes(move |change| fails(change, from..to, full));
            world.live_with_errors(from);
            points += usize::from(world.disk.fs.changes_count() > from);
            world.disk.fs.heal();
            match world.chance.below(3) {
                0 => world.disk.kill(),
                1 => world.disk.lose_power(Keep::Nothing),
                _ => world
                    .disk
                    .lose_power(Keep::Random(seed << 8 | points as u64)),
            }
        }
        world.live();
        points
    });
}

/// A full disk refuses what needs space; an I/O error hits anything.
fn fails(change: &Change, when: std::ops::Range<usize>, full: bool) -> Option<io::ErrorKind> {
    if !when.contains(&change.earlier) {
        return None;
    }
    match (full, change.kind) {
        (true, ChangeKind::Write | ChangeKind::Name) => Some(io::ErrorKind::StorageFull),
        (true, ChangeKind::Resize | ChangeKind::Sync) => None,
        (false, _) => Some(io::ErrorKind::Other),
    }
}

impl World {
    /// As [`World::live`], where an error may keep the folder from opening:
    /// it does so once the error is over.
    fn live_with_errors(&mut self, from: usize) {
        self.over = false;
        trace(|| format!("a life begins, an error at {from}: {:?}", self.partitions));
        let opened = self.disk.try_manager();
        if self.disk.fs.changes_count() > from {
            // An error while opening: clear, or a partition that is offline
            // and untouched. The next life finds everything.
            if let Ok(manager) = &opened {
                for (_, why) in manager.offline() {
                    assert!(!why.to_string().is_empty());
                }
            }
            return;
        }
        let manager = opened.unwrap_or_else(|error| panic!("no error was given: {error}"));
        self.compare(&manager);
        for _ in 0..STEPS_MAX {
            if self.over {
                return;
            }
            let p = self.chance.below(self.partitions.len());
            self.step(&manager, p);
        }
        if self.chance.below(2) == 0 {
            self.stop(&manager);
        }
    }
}

/// The checks must be able to fail: without the syncs that promises rest on,
/// the same stories end badly.
#[test]
fn crash_points_notice_a_sync_that_is_left_out() {
    let noticed = |ignore: fn(&Path) -> bool| {
        (1..60).any(|seed| {
            let story = std::panic::catch_unwind(|| {
                let mut world = World::new(seed);
                world.disk.fs.ignore_syncs(move |call| ignore(&call.path));
                world.live();
                world.disk.lose_power(Keep::Nothing);
                world.live();
            });
            story.is_err()
        })
    };
    assert!(!noticed(|_| false), "with all of them nothing is lost");
    assert!(noticed(|path| path.extension().is_some_and(|e| e == "log")));
    assert!(noticed(|path| path.ends_with("orders-0")));
    assert!(noticed(|path| path.ends_with("data")));
}
