//! Many partitions: what is counted here is work (bytes read, syncs, open
//! files), never time.

use crate::config::LogConfig;
use crate::error::{OpenError, ReadError};
use crate::manager::{LogManager, LogManagerOptions, NewPartition};
use crate::partition::{FetchRequest, PartitionLog, UpTo};
use crate::testing::*;
use crate::together::TOGETHER_MIN;
use millstream_core::env::{CountingFs, FsCounts, Keep, RealFs};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_wire::batch::ControlKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A data folder on the machine's own disk, all of whose work is counted.
struct Counted {
    dir: tempfile::TempDir,
    fs: CountingFs,
}

impl Counted {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            fs: CountingFs::new(RealFs::shared()),
        }
    }

    fn options(&self) -> LogManagerOptions {
        LogManagerOptions {
            flush_threads: 0,
            fs: self.fs.shared(),
            boot_id: Some("boot".to_owned()),
            ..LogManagerOptions::new(self.dir.path(), "cluster", 1)
        }
    }

    fn open(&self) -> Arc<LogManager> {
        self.open_with_flushers(0)
    }

    fn open_with_flushers(&self, flush_threads: usize) -> Arc<LogManager> {
        let began = Instant::now();
        let manager = loop {
            let opened = LogManager::open(LogManagerOptions {
                flush_threads,
                ..self.options()
            });
            match opened {
                // The flushers of a manager that was dropped end by themselves.
                Err(OpenError::Locked(_)) if began.elapsed() < PATIENCE => {
                    std::thread::yield_now();
                }
                opened => break opened.unwrap(),
            }
        };
        assert!(manager.offline().is_empty(), "{:?}", manager.offline());
        manager
    }

    /// What `work` asks of the disk.
    fn count<T>(&self, work: impl FnOnce() -> T) -> (T, FsCounts) {
        let before = self.fs.counts();
        let result = work();
        (result, self.fs.counts().since(&before))
    }
}

fn many(count: i32) -> Vec<NewPartition> {
    let new = |partition| NewPartition {
        topic_partition: TopicPartition::new("many", partition),
        topic_id: topic_id(),
        config: LogConfig::default(),
    };
    (0..count).map(new).collect()
}

fn create(manager: &LogManager, count: i32) -> Vec<Arc<PartitionLog>> {
    let created = manager.create_all(many(count));
    created.into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_thousand_partitions_are_created_with_a_handful_of_syncs() {
    let disk = Counted::new();
    let manager = disk.open();
    let (logs, cost) = disk.count(|| create(&manager, 1000));
    assert_eq!(logs.len(), 1000);
    // One for what is in the files, one for their names.
    assert!(cost.syncs() <= 2, "{cost:?}");
    assert!(cost.open_files <= 2, "the lock file, twice: {cost:?}");
    append(&logs[999], batch(1));
    logs[999].flush().unwrap();
    assert_eq!(logs[999].high_watermark(), Offset(1));
    let again = manager.create_all(many(1000));
    assert!(
        again
            .iter()
            .zip(&logs)
            .all(|(again, log)| { again.as_ref().is_ok_and(|again| Arc::ptr_eq(again, log)) })
    );
}

#[test]
fn a_thousand_partitions_are_deleted_with_one_sync() {
    let disk = Counted::new();
    let manager = disk.open();
    create(&manager, 1000);
    let names = many(1000).into_iter().map(|new| new.topic_partition);
    let names: Vec<_> = names.collect();
    let (outcomes, cost) = disk.count(|| manager.delete_all(names.clone()));
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(cost.syncs(), 1, "{cost:?}");
    assert!(manager.all().is_empty());
    let folders_left = || {
        let left = std::fs::read_dir(disk.dir.path()).unwrap();
        left.filter(|e| e.as_ref().unwrap().path().is_dir()).count()
    };
    let began = Instant::now();
    while folders_left() > 0 {
        assert!(began.elapsed() < PATIENCE, "folders stay");
        std::thread::yield_now();
    }
    assert!(manager.delete_all(names).iter().all(Result::is_err));
}

#[test]
fn what_a_stop_leaves_of_deleted_partitions_goes_at_the_next_start() {
    let disk = Counted::new();
    let manager = disk.open();
    create(&manager, 200);
    let names = many(200).into_iter().map(|new| new.topic_partition);
    let outcomes = manager.delete_all(names.collect());
    assert!(outcomes.iter().all(Result::is_ok));
    manager.shutdown().unwrap();
    drop(manager);
    // As if it had stopped before the first was removed.
    for i in 0..100 {
        std::fs::create_dir(disk.dir.path().join(format!("many-{i}.0-delete"))).unwrap();
    }
    let manager = disk.open();
    assert!(manager.all().is_empty());
    let began = Instant::now();
    let is_left = || {
        let mut left = std::fs::read_dir(disk.dir.path()).unwrap();
        left.any(|e| e.unwrap().path().to_string_lossy().ends_with("-delete"))
    };
    while is_left() {
        assert!(began.elapsed() < PATIENCE, "folders stay");
        std::thread::yield_now();
    }
    assert_eq!(create(&manager, 200).len(), 200);
    manager.shutdown().unwrap();
}

#[test]
fn opening_after_a_clean_stop_reads_little_and_syncs_nothing_for_each() {
    const PARTITIONS: i32 = 400;
    let disk = Counted::new();
    // Flushers, so that nothing of it is left in their queue.
    let manager = disk.open_with_flushers(1);
    let logs = create(&manager, PARTITIONS);
    for log in logs.iter().take(40) {
        for _ in 0..30 {
            append(log, batch(100));
        }
        log.flush().unwrap();
    }
    let (_, closing) = disk.count(|| manager.shutdown().unwrap());
    assert!(closing.syncs() <= 10, "{closing:?}");
    drop((manager, logs));
    let (manager, cost) = disk.count(|| disk.open());
    // The id of each; for those with records the last index entry and the
    // headers from there on.
    let bytes_max = 40 * 5_000 + 360 * 200 + 50_000;
    assert!(cost.bytes_read < bytes_max, "{cost:?}");
    assert!(cost.syncs() <= 4, "{cost:?}");
    assert!(cost.lists <= PARTITIONS as u64 + 2, "{cost:?}");
    assert!(
        cost.open_files <= 2,
        "an idle partition holds a file: {cost:?}"
    );
    let log = manager.get(&TopicPartition::new("many", 7)).unwrap();
    assert_eq!(log.high_watermark(), Offset(3000));
    assert_eq!(read_values(&log, UpTo::HighWatermark).len(), 3000);
}

#[test]
fn after_a_kill_only_what_lies_beyond_the_recovery_points_is_read() {
    const PARTITIONS: i32 = 200;
    let disk = Counted::new();
    // Flushers, so that nothing of it is left in their queue.
    let manager = disk.open_with_flushers(1);
    let logs = create(&manager, PARTITIONS);
    let mut stored = 0;
    for log in &logs {
        for _ in 0..30 {
            append(log, batch(100));
        }
        log.flush().unwrap();
        stored += log.size_bytes();
    }
    manager.checkpoint_logs(1);
    append(&logs[3], batch(100));
    append(&logs[5], batch(100));
    logs[3].flush().unwrap();
    let tail = logs[3].bytes_since_checkpoint() + logs[5].bytes_since_checkpoint();
    assert!(tail > 0);
    drop((manager, logs));
    let (manager, cost) = disk.count(|| disk.open());
    let untouched = PARTITIONS as u64 * 10_000;
    assert!(cost.bytes_read < untouched + 10 * tail, "{cost:?}");
    assert!(cost.bytes_read < stored / 20, "{cost:?} of {stored}");
    // Only those two have bytes that may not be on the disk.
    assert!(cost.syncs() <= 8, "{cost:?}");
    for (partition, end) in [(3, 3100), (5, 3100), (6, 3000)] {
        let log = manager
            .get(&TopicPartition::new("many", partition))
            .unwrap();
        assert_eq!(log.high_watermark(), Offset(end));
    }
}

#[test]
fn checkpoints_of_many_logs_share_their_syncs() {
    let disk = Counted::new();
    let manager = disk.open();
    let logs = create(&manager, 200);
    for log in &logs {
        append(log, batch(1));
    }
    let (_, cost) = disk.count(|| manager.checkpoint_logs(1));
    // Two for all, two for the one file of recovery points.
    assert_eq!(cost.syncs(), 4, "{cost:?}");
    for log in &logs {
        assert_eq!(log.recovery_point(), Offset(1));
        assert_eq!(log.high_watermark(), Offset(1), "all of it is durable");
    }
    // Nothing was appended since: nothing is looked at.
    let (_, cost) = disk.count(|| manager.checkpoint_logs(1));
    assert_eq!(
        cost,
        FsCounts {
            open_files: cost.open_files,
            open_files_max: cost.open_files_max,
            ..FsCounts::default()
        }
    );
}

#[test]
fn retention_over_many_logs_writes_the_log_starts_once() {
    let disk = Counted::new();
    let manager = disk.open();
    let logs = create(&manager, 100);
    for log in &logs {
        log.update_config(LogConfig {
            retention_bytes: Some(2000),
            retention_ms: None,
            ..small_segments()
        });
        for _ in 0..60 {
            append(log, batch(1));
        }
        log.flush().unwrap();
    }
    let (_, cost) = disk.count(|| manager.enforce_retention());
    assert!(logs.iter().all(|log| log.log_start_offset() > Offset(0)));
    // The producers' snapshots and their names, the file of log starts and its
    // name, the names of what goes.
    assert_eq!(cost.syncs(), 5, "{cost:?}");
    assert!(
        logs.iter()
            .all(|log| !read_values(log, UpTo::LogEnd).is_empty())
    );
}

#[test]
fn open_files_stay_within_their_bound_however_many_logs_are_used() {
    let disk = Counted::new();
    let manager = LogManager::open(LogManagerOptions {
        open_files_max: 16,
        ..disk.options()
    })
    .unwrap();
    let logs = create(&manager, 300);
    for round in 0..2 {
        for log in &logs {
            append(log, batch(2));
            log.flush().unwrap();
        }
        for log in &logs {
            assert_eq!(read_values(log, UpTo::HighWatermark).len(), 2 * (round + 1));
        }
    }
    let counts = disk.fs.counts();
    assert!(counts.open_files_max <= 24, "{counts:?}");
}

#[test]
fn a_reader_of_a_deleted_segment_is_told_that_its_offset_is_gone() {
    let disk = Counted::new();
    let manager = LogManager::open(LogManagerOptions {
        open_files_max: 1,
        ..disk.options()
    })
    .unwrap();
    let log = Arc::clone(&create(&manager, 1)[0]);
    log.update_config(small_segments());
    for _ in 0..100 {
        append(&log, batch(1));
    }
    log.flush().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                match log.read(fetch(0, UpTo::HighWatermark)) {
                    Ok(fetched) => assert!(fetched.next_offset > Offset(0)),
                    Err(ReadError::OffsetOutOfRange { .. }) => return,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        for before in 1..100 {
            log.delete_records_before(Offset(before)).unwrap();
        }
        reader.join().unwrap();
    });
}

/// Partitions enough for one sync of all.
const GROUP: i32 = TOGETHER_MIN as i32 + 8;

#[test]
fn partitions_created_together_survive_power_loss_at_any_point() {
    for seed in 0..24 {
        let mut disk = Disk::new(LogConfig::default());
        let manager = disk.manager();
        disk.fs.power_off_after((seed % 4) as usize);
        let created = manager.create_all(many(GROUP));
        let keep = if seed % 7 == 0 {
            Keep::Nothing
        } else {
            Keep::Random(seed)
        };
        disk.lose_power(keep);
        let manager = disk.manager();
        assert!(
            manager.offline().is_empty(),
            "{seed}: {:?}",
            manager.offline()
        );
        for (new, created) in many(GROUP).iter().zip(created) {
            let there = manager.get(&new.topic_partition);
            assert!(created.is_err() || there.is_some(), "{seed}: {new:?}");
        }
        for log in create(&manager, GROUP) {
            append_durably(&log, b"x");
            assert_eq!(log.high_watermark(), Offset(1));
        }
    }
}

#[test]
fn partitions_deleted_together_stay_deleted() {
    for seed in 0..8 {
        let mut disk = Disk::new(LogConfig::default());
        let manager = disk.manager();
        for log in create(&manager, GROUP) {
            append_durably(&log, b"old");
        }
        manager.checkpoint_logs(1);
        let names = many(GROUP).into_iter().map(|new| new.topic_partition);
        assert!(
            manager
                .delete_all(names.collect())
                .iter()
                .all(Result::is_ok)
        );
        disk.lose_power(Keep::Random(seed));
        let manager = disk.manager();
        assert!(manager.all().is_empty() && manager.offline().is_empty());
        for log in create(&manager, GROUP) {
            assert_eq!(log.log_end_offset(), Offset(0), "{seed}");
        }
    }
}

#[test]
fn checkpoints_of_many_logs_survive_power_loss_at_any_point() {
    for seed in 0..30 {
        let mut disk = Disk::new(small_segments());
        let manager = disk.manager();
        let logs = create(&manager, GROUP);
        for log in &logs {
            log.update_config(small_segments());
            for i in 0..(seed % 30) {
                append(
                    log,
                    batch_of(idempotent(1, i as i32), NOW_MS, &[&[b'v'; 300]]),
                );
            }
            log.flush().unwrap();
        }
        disk.fs.power_off_after((seed % 5) as usize);
        manager.checkpoint_logs(1);
        disk.lose_power(Keep::Random(seed));
        let manager = disk.manager();
        assert!(
            manager.offline().is_empty(),
            "{seed}: {:?}",
            manager.offline()
        );
        for before in &logs {
            let log = manager.get(before.topic_partition()).unwrap();
            assert_eq!(log.high_watermark(), Offset((seed % 30) as i64), "{seed}");
            let values = read_values(&log, UpTo::HighWatermark);
            assert_eq!(values.len(), (seed % 30) as usize, "{seed}");
            // What is known of the producer is there too.
            if seed % 30 > 0 {
                let next = idempotent(1, (seed % 30) as i32);
                append(&log, batch_of(next, NOW_MS, &[b"next"]));
            }
        }
    }
}

#[test]
fn a_failed_sync_of_many_stops_all_of_them() {
    let disk = Disk::new(LogConfig::default());
    let manager = disk.manager();
    let logs = create(&manager, GROUP);
    for log in &logs {
        append(log, batch(1));
    }
    disk.fs
        .fail_syncs(|call| call.path == Path::new("/var/data/.lock"));
    manager.checkpoint_logs(1);
    for log in &logs {
        assert!(log.failure().is_some(), "a lost write was not reported");
        assert_eq!(log.recovery_point(), Offset(0));
        assert_eq!(log.high_watermark(), Offset(0));
    }
}

/// A large request, as a reader that catches up makes it.
fn large(offset: Offset, up_to: UpTo) -> FetchRequest {
    FetchRequest {
        bytes_max: 1 << 20,
        ..fetch(offset.0, up_to)
    }
}

#[test]
fn who_reads_on_is_told_where_the_batches_are_and_they_are_not_read() {
    let disk = Counted::new();
    let manager = disk.open();
    let log = create(&manager, 1).remove(0);
    let value = vec![7; 10_000];
    for i in 0..400 {
        append(&log, batch_of(NOBODY, NOW_MS + i, &[&value]));
    }
    log.flush().unwrap();
    let first = large(Offset(0), UpTo::HighWatermark);
    assert!(
        log.locate(first).unwrap().is_none(),
        "nobody knows where it begins"
    );
    let (read, cost) = disk.count(|| log.read(first).unwrap());
    assert!(cost.bytes_read >= read.batches.len() as u64);

    let mut next = read.next_offset;
    let mut located = 0;
    loop {
        let request = large(next, UpTo::HighWatermark);
        let (found, cost) = disk.count(|| log.locate(request).unwrap());
        let Some(found) = found else {
            break;
        };
        assert!(cost.bytes_read < 4096, "{cost:?}");
        let range = &found.batches;
        assert!((512 << 10..=1 << 20).contains(&range.size), "{range:?}");
        let mut bytes = vec![0; range.size];
        range
            .file
            .read_exact_at(&mut bytes, range.position)
            .unwrap();
        let reader = FetchRequest {
            bytes_max: range.size,
            ..request
        };
        let read = log.read(reader).unwrap();
        assert!(read.batches == bytes, "other bytes than a read gives");
        assert_eq!(read.next_offset, found.next_offset);
        next = found.next_offset;
        located += 1;
    }
    assert!(located >= 3, "{located} of 4 MB");
    // The rest is little, and has no entry behind it.
    let rest = log.read(large(next, UpTo::HighWatermark)).unwrap();
    assert_eq!(rest.next_offset, Offset(400));
}

#[test]
fn what_is_located_is_below_the_bound_and_comes_with_the_aborted_transactions() {
    let disk = Counted::new();
    let manager = disk.open();
    let log = create(&manager, 1).remove(0);
    let value = vec![7; 10_000];
    append(&log, batch_of(NOBODY, NOW_MS, &[&value]));
    for sequence in 0..50 {
        append(
            &log,
            batch_of(transactional(1, sequence), NOW_MS, &[&value]),
        );
    }
    end_transaction(&log, 1, ControlKind::Abort);
    append(&log, batch_of(transactional(2, 0), NOW_MS, &[&value]));
    for _ in 0..100 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value]));
    }
    log.flush().unwrap();
    // The first read makes the place known.
    let one = FetchRequest {
        bytes_max: 1,
        ..fetch(0, UpTo::LastStable)
    };
    assert_eq!(log.read(one).unwrap().next_offset, Offset(1));
    let found = log.locate(large(Offset(1), UpTo::LastStable)).unwrap();
    // The open transaction is within reach, and no batch may be half in.
    assert!(found.is_none_or(|found| found.next_offset <= Offset(52)));
    let near = FetchRequest {
        bytes_max: 300_000,
        ..fetch(1, UpTo::LastStable)
    };
    let found = log.locate(near).unwrap().unwrap();
    assert_eq!(found.last_stable_offset, Offset(52));
    let aborted: Vec<Offset> = found.aborted.iter().map(|a| a.first_offset).collect();
    assert_eq!(aborted, [Offset(1)]);
    // All readers' places are forgotten when the log is cut.
    log.read(one).unwrap();
    log.truncate_to(Offset(30)).unwrap();
    assert!(log.locate(near).unwrap().is_none());
}
