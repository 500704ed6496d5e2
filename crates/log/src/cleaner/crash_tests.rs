//! Power loss and SIGKILL between any two file operations of a cleaning, and
//! of the start after it.
//!
//! Each sync of the cleaner, and the test here that fails without it:
//!
//! | site | test |
//! |---|---|
//! | `sync_log` of the cleaned log | [`the_cleaned_log_is_durable_before_it_replaces_another`] |
//! | `sync_indexes` of the cleaned indexes | [`the_cleaned_indexes_are_durable_before_they_replace_others`] |
//! | first `sync_dir` of a swap, before the log is named `*.swap` | [`no_log_is_committed_before_its_indexes`] |
//! | second, before the old segments go | [`no_segment_goes_before_the_log_that_replaces_it_is_committed`] |
//! | third, before the log takes its place | [`no_log_takes_its_place_before_the_old_segments_are_gone`] |
//! | fourth, before the next round | [`a_swap_is_over_before_the_next_begins`] |
//! | `sync_dir` of a start that finds a `*.log.swap` | [`a_start_commits_what_it_finds_before_anything_goes`] |
//! | replacing `cleaner-offset-checkpoint` | [`the_cleaners_checkpoint_survives_power_loss`] |

use super::CleanerConfig;
use super::model_tests::{Records, check, check_cleaned};
use super::tests::{compacted, roll};
use crate::config::LogConfig;
use crate::manager::LogManager;
use crate::partition::{PartitionLog, UpTo};
use crate::testing::*;
use millstream_core::env::{Fs, Keep, SyncCall, SyncKind};
use millstream_core::ids::Offset;
use millstream_wire::batch::ControlKind;
use std::path::Path;
use std::sync::Arc;

const LAG_MS: i64 = 1000;
/// Random choices of what survives, for each operation.
const SEEDS: u64 = 3;
/// As many of them as it takes to find out that something is missing.
const SEEDS_MAX: u64 = 200;

/// A log that was cleaned once, with tombstones and markers whose time has
/// come, and as much again that is dirty.
struct Scenario {
    disk: Disk,
    records: Records,
    end: Offset,
    /// What becomes of segments together is at most this large.
    group_bytes: u32,
}

/// Every round writes all of the log anew, as one segment.
const ONE_GROUP: u32 = 100_000;
/// Several groups, of several segments each.
const SOME_GROUPS: u32 = 1200;

impl Scenario {
    fn new(group_bytes: u32) -> Self {
        let disk = Disk::new(LogConfig {
            delete_retention_ms: LAG_MS,
            ..compacted()
        });
        let (manager, log) = disk.open();
        let mut records = Records::default();
        fill(&log, &mut records, 0);
        roll(&log);
        assert!(manager.clean_next());
        disk.clock.advance_ms(LAG_MS + 1);
        fill(&log, &mut records, 1);
        roll(&log);
        records.extend(read_keyed(&log, UpTo::HighWatermark));
        manager.checkpoint_logs(1);
        let end = log.log_end_offset();
        Self {
            disk,
            records,
            end,
            group_bytes,
        }
    }

    /// A disk of its own with the same content, and the log on it. The
    /// cleaner's map is small, so that it takes several rounds.
    fn open(&self) -> (Disk, Arc<LogManager>, Arc<PartitionLog>) {
        let disk = self.disk.copy();
        let (manager, log) = disk.reopen();
        log.update_config(LogConfig {
            segment_bytes: self.group_bytes,
            ..disk.config.clone()
        });
        manager.set_cleaner_config(CleanerConfig {
            dedupe_bytes_max: 24 * 10,
            ..CleanerConfig::default()
        });
        (disk, manager, log)
    }

    fn check(&self, log: &PartitionLog) {
        assert_eq!(log.log_end_offset(), self.end);
        check(log, &self.records);
        check_times(log);
    }
}

/// Values, tombstones, keys that are never written again, and a transaction
/// that is aborted, over several segments, each record at a time of its own.
fn fill(log: &PartitionLog, records: &mut Records, round: i32) {
    let mut sequence = round * 32;
    for i in 0..24_i32 {
        let at_ms = NOW_MS + i64::from(round * 1000 + i);
        let mut put = |key: String, value: Option<String>| {
            let producer = idempotent(2, sequence);
            sequence += 1;
            let value = value.as_deref().map(str::as_bytes);
            let batch = keyed_at(producer, at_ms, &[(key.as_bytes(), value)]);
            records.note(append(log, batch.clone()).first_offset, &batch);
        };
        let key = format!("key-{}", i % 6);
        // Deleted for good in the first round, again in the second.
        let value = (!(20..=21).contains(&i)).then(|| format!("value-{round}-{i}"));
        put(key.clone(), value);
        if i % 3 == 0 {
            put(format!("once-{round}-{i}"), Some("value".to_owned()));
        }
        if i % 8 == 0 {
            let aborted = keyed(
                transactional(1, round * 3 + i / 8),
                &[(key.as_bytes(), Some(b"aborted"))],
            );
            append(log, aborted);
        }
        if i == 18 {
            end_transaction(log, 1, ControlKind::Abort);
        }
    }
    log.flush().unwrap();
}

/// Each time that a record has finds the first record at or after it.
fn check_times(log: &PartitionLog) {
    let batches = read_batches(log, UpTo::HighWatermark);
    let records: Vec<(i64, i64)> = batches
        .iter()
        .flat_map(|b| b.records().unwrap())
        .map(|r| r.map(|r| (r.timestamp, r.offset)).unwrap())
        .collect();
    for (at_ms, _) in &records {
        let expected = records.iter().find(|(ms, _)| ms >= at_ms);
        let found = log
            .offset_for_timestamp(*at_ms, UpTo::HighWatermark)
            .unwrap();
        assert_eq!(
            found.map(|f| f.offset.0),
            expected.map(|(_, offset)| *offset),
            "at {at_ms}"
        );
    }
}

/// Runs `act` on a copy of the scenario with the power going after each of
/// its file operations in turn, and shows what is there after it came back.
fn at_every_operation(
    scenario: &Scenario,
    keeps: &[Keep],
    act: impl Fn(&LogManager),
    look: impl Fn(Disk, usize, Keep),
) -> usize {
    for keep in keeps {
        let mut operations = 0;
        loop {
            let (mut disk, manager, _log) = scenario.open();
            disk.fs.power_off_after_changes(operations);
            act(&manager);
            let finished = !disk.fs.is_off();
            disk.lose_power(*keep);
            look(disk, operations, *keep);
            if finished {
                break;
            }
            operations += 1;
        }
        if keep == keeps.last().unwrap_or(keep) {
            return operations;
        }
    }
    0
}

fn clean_all(manager: &LogManager) {
    while manager.uncleanable().is_empty() && manager.all().iter().all(|l| l.failure().is_none()) {
        if !manager.clean_next() {
            break;
        }
    }
}

fn keeps(seeds: std::ops::Range<u64>) -> Vec<Keep> {
    let mut keeps = vec![Keep::Nothing, Keep::Everything];
    keeps.extend(seeds.map(Keep::Random));
    keeps
}

#[test]
fn every_keys_newest_record_survives_a_crash_at_any_operation_of_a_cleaning() {
    for group_bytes in [SOME_GROUPS, ONE_GROUP] {
        survives_a_crash_at_any_operation(&Scenario::new(group_bytes));
    }
}

fn survives_a_crash_at_any_operation(scenario: &Scenario) {
    let look = |disk: Disk, at: usize, keep| {
        let (manager, log) = disk.reopen();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scenario.check(&log);
            clean_all(&manager);
            assert_eq!(manager.uncleanable(), []);
            scenario.check(&log);
            check_cleaned(&manager, &log);
        }));
        assert!(checked.is_ok(), "after operation {at} with {keep:?}");
    };
    let operations = at_every_operation(scenario, &keeps(0..SEEDS), clean_all, look);
    assert!(operations > 50, "{operations}");
}

/// Whether all promises hold after a crash in a swap and another one at any
/// operation of the start that follows, with some of its syncs taken away.
fn start_holds_without(
    ignore: impl Fn(&SyncCall) -> bool + Send + Sync + Clone + 'static,
    seeds: u64,
) -> bool {
    let scenario = Scenario::new(SOME_GROUPS);
    let look = |disk: Disk, at: usize, keep| {
        if !disk.names().iter().any(|n| n.ends_with(".log.swap")) {
            return;
        }
        for seed in 0..seeds {
            for again in 0.. {
                let mut disk = disk.copy();
                disk.fs.ignore_syncs(ignore.clone());
                disk.fs.power_off_after_changes(again);
                let opened = disk.try_manager().is_ok();
                let finished = opened && !disk.fs.is_off();
                disk.lose_power(Keep::Random(seed));
                let (manager, log) = disk.reopen();
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    scenario.check(&log);
                    clean_all(&manager);
                    scenario.check(&log);
                }));
                assert!(checked.is_ok(), "after {at}, {again} with {keep:?}");
                if finished {
                    break;
                }
            }
        }
    };
    let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        at_every_operation(&scenario, &[Keep::Everything], clean_all, look)
    }));
    held.is_ok()
}

#[test]
fn a_crash_of_the_start_after_a_crash_of_a_cleaning_loses_nothing() {
    assert!(start_holds_without(|_| false, 2));
}

#[test]
fn a_start_commits_what_it_finds_before_anything_goes() {
    let first = |call: &SyncCall| {
        call.kind == SyncKind::Folder && call.path.ends_with("orders-0") && call.earlier == 0
    };
    assert!(!start_holds_without(first, SEEDS_MAX));
}

#[test]
fn what_a_crash_leaves_of_a_cleaning_is_removed_at_the_start() {
    let scenario = Scenario::new(SOME_GROUPS);
    let look = |disk: Disk, at: usize, _| {
        let _open = disk.reopen();
        let left: Vec<String> = disk.names();
        let stale = |n: &&String| {
            [".cleaned", ".swap", ".deleted"]
                .iter()
                .any(|end| n.ends_with(end))
        };
        assert_eq!(left.iter().find(stale), None, "after {at}");
    };
    at_every_operation(&scenario, &keeps(0..1), clean_all, look);
}

/// Whether all promises hold after a cleaning with some syncs taken away and
/// a crash at any of its operations.
fn holds_without(
    seeds: u64,
    ignore: impl Fn(&SyncCall) -> bool + Send + Sync + Clone + 'static,
) -> bool {
    let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let scenario = Scenario::new(ONE_GROUP);
        for keep in keeps(0..seeds) {
            for operations in 0.. {
                let (mut disk, manager, log) = scenario.open();
                let folder_syncs = disk.fs.syncs_of(SyncKind::Folder, "orders-0");
                let ignore = ignore.clone();
                disk.fs.ignore_syncs(move |call| {
                    let mut call = call.clone();
                    if call.kind == SyncKind::Folder && call.path.ends_with("orders-0") {
                        // Counted from the first of the cleaning.
                        call.earlier -= folder_syncs;
                    }
                    ignore(&call)
                });
                disk.fs.power_off_after_changes(operations);
                clean_all(&manager);
                let finished = !disk.fs.is_off();
                let indexes = sizes(&disk, &log).filter(|_| finished);
                disk.lose_power(keep);
                let after = indexes.is_some().then(|| sizes_of(&disk));
                let (manager, log) = disk.reopen();
                scenario.check(&log);
                if let (Some(before), Some(after)) = (indexes, after) {
                    assert_eq!(before, after);
                }
                clean_all(&manager);
                scenario.check(&log);
                if finished {
                    break;
                }
            }
        }
    }));
    held.is_ok()
}

/// Sizes of the indexes below the active segment, which the cleaner wrote.
fn sizes(disk: &Disk, log: &PartitionLog) -> Option<Vec<(String, usize)>> {
    let active = log.segments_below(i64::MAX).last()?.base_offset();
    let below = |name: &str| {
        let base = name
            .split('.')
            .next()
            .and_then(|base| base.parse::<i64>().ok());
        base.is_some_and(|base| base < active)
    };
    Some(
        sizes_of(disk)
            .into_iter()
            .filter(|(n, _)| below(n))
            .collect(),
    )
}

fn sizes_of(disk: &Disk) -> Vec<(String, usize)> {
    let newest_log = disk
        .names()
        .into_iter()
        .filter(|n| n.ends_with(".log"))
        .max();
    let active = newest_log.unwrap_or_default().replace(".log", "");
    let names = disk.names().into_iter();
    names
        .filter(|n| n.ends_with("index") && !n.starts_with(&active))
        .map(|n| {
            let size = disk.fs.read_to_vec(&disk.file(&n)).unwrap().len();
            (n, size)
        })
        .collect()
}

fn file(suffix: &'static str) -> impl Fn(&SyncCall) -> bool + Clone {
    move |call| call.kind == SyncKind::File && call.path.to_string_lossy().ends_with(suffix)
}

/// The `nth` of the four syncs of the folder in each swap.
fn folder(nth: usize) -> impl Fn(&SyncCall) -> bool + Clone {
    move |call| {
        call.kind == SyncKind::Folder && call.path.ends_with("orders-0") && call.earlier % 4 == nth
    }
}

#[test]
fn the_rule_of_these_tests_holds_when_every_sync_is_there() {
    assert!(holds_without(SEEDS, |_| false));
}

#[test]
fn the_cleaned_log_is_durable_before_it_replaces_another() {
    assert!(!holds_without(SEEDS_MAX, file(".log.cleaned")));
}

#[test]
fn the_cleaned_indexes_are_durable_before_they_replace_others() {
    for index in [".index.cleaned", ".timeindex.cleaned", ".txnindex.cleaned"] {
        assert!(!holds_without(SEEDS_MAX, file(index)), "{index}");
    }
}

#[test]
fn no_log_is_committed_before_its_indexes() {
    assert!(!holds_without(SEEDS_MAX, folder(0)));
}

#[test]
fn no_segment_goes_before_the_log_that_replaces_it_is_committed() {
    assert!(!holds_without(SEEDS_MAX, folder(1)));
}

#[test]
fn no_log_takes_its_place_before_the_old_segments_are_gone() {
    assert!(!holds_without(SEEDS_MAX, folder(2)));
}

#[test]
fn a_swap_is_over_before_the_next_begins() {
    assert!(!holds_without(SEEDS_MAX, folder(3)));
}

#[test]
fn the_cleaners_checkpoint_survives_power_loss() {
    let path = Path::new("/var/data/cleaner-offset-checkpoint");
    let written = |ignored: bool| {
        let scenario = Scenario::new(SOME_GROUPS);
        let (mut disk, manager, _log) = scenario.open();
        if ignored {
            disk.fs.ignore_syncs(file("cleaner-offset-checkpoint.tmp"));
        }
        clean_all(&manager);
        let to = manager.cleaned_to(&orders()).unwrap();
        disk.lose_power(Keep::Nothing);
        let content = disk.fs.read_to_vec(path).unwrap();
        content == format!("0\n1\norders 0 {to}\n").as_bytes()
    };
    assert!(written(false));
    assert!(!written(true));
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let scenario = Scenario::new(SOME_GROUPS);
    let (disk, manager, log) = scenario.open();
    disk.fs
        .fail_writes(|path| path.to_string_lossy().ends_with(".cleaned"));
    let before = read_keyed(&log, UpTo::HighWatermark);
    assert!(manager.clean_next());
    assert_eq!(manager.uncleanable().len(), 1);
    assert_eq!(read_keyed(&log, UpTo::HighWatermark), before);
    assert!(!disk.names().iter().any(|n| n.ends_with(".cleaned")));
    // With room again, and after the pause.
    disk.fs.heal();
    disk.clock.advance_ms(60_000);
    assert!(manager.clean_next());
    assert_eq!(manager.uncleanable(), []);
    scenario.check(&log);
}

#[test]
fn a_failed_sync_within_a_swap_stops_the_log() {
    let scenario = Scenario::new(SOME_GROUPS);
    let (mut disk, manager, log) = scenario.open();
    disk.fs
        .fail_syncs(|call| call.kind == SyncKind::Folder && call.path.ends_with("orders-0"));
    assert!(manager.clean_next());
    assert!(log.failure().is_some());
    scenario.check(&log);
    disk.kill();
    let (_manager, log) = disk.reopen();
    scenario.check(&log);
}
