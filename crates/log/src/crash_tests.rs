//! What power loss and SIGKILL leave behind, on a disk that forgets.
//!
//! Each place in this crate that syncs something, and the test here that
//! fails without it (tried by taking each away; [`every_sync_is_needed`]
//! repeats most of it on every run by having the disk ignore that sync):
//!
//! | site | test |
//! |---|---|
//! | `Segment::sync_log` of the active segment, in a flush | [`acknowledged_records_survive_power_loss`] |
//! | ... of closed segments, in a flush | [`acknowledged_records_survive_power_loss_across_a_roll`] |
//! | `sync_dir` of the partition, in a flush after a roll | [`a_rolled_segment_keeps_its_name`] |
//! | `sync_dir` of the data folder at creation | [`a_created_partition_survives_power_loss`] |
//! | `sync_dir` above a created data folder | [`a_created_partition_survives_power_loss`] |
//! | `IndexFile::sync` of offset and time index, in a checkpoint | [`indexes_below_the_recovery_point_survive_power_loss`] |
//! | ... of the transaction index | [`aborted_transactions_below_the_recovery_point_survive_power_loss`] |
//! | replacing `leader-epoch-checkpoint` | [`leader_epochs_below_the_recovery_point_survive_power_loss`] |
//! | replacing a producer snapshot, in a checkpoint | [`producers_of_deleted_segments_survive_power_loss`] |
//! | ... before the segments that it stands for are deleted | [`truncation::producers_outlive_the_segments_below_the_log_start`] |
//! | ... before a truncation leaves nothing | `model_tests::the_log_keeps_its_promises` |
//! | replacing `recovery-point-offset-checkpoint` | [`a_checkpoint_survives_power_loss`] |
//! | replacing either checkpoint without an older topic of the same name | [`a_deleted_partition_stays_deleted`] |
//! | a flush before it | [`truncation::records_that_were_never_synced_can_be_deleted_before_power_loss`] |
//! | replacing `log-start-offset-checkpoint` | [`deleted_records_stay_deleted_after_power_loss`] |
//! | `sync_dir` between renaming and removing segments, in retention and truncation | [`truncation::retention_never_leaves_a_segment_without_its_log`] |
//! | replacing the recovery point before a truncation | [`truncation::what_is_appended_after_a_truncation_is_verified`] |
//! | `sync_log` after a truncation | [`truncation::a_truncation_survives_power_loss`] |
//! | `sync_log` and `sync_dir` after a recovery that finds a truncation cut off | [`truncation::what_a_truncation_that_was_cut_off_has_taken_stays_gone`] |
//! | `sync_log` after a recovery | [`recovery::what_a_recovery_shows_survives_power_loss`] |
//! | writing again what a recovery shows after a kill | [`recovery::what_a_failed_sync_dropped_and_a_recovery_shows_survives_power_loss`] |
//! | `sync_dir` after a recovery | [`recovery::what_a_recovery_shows_survives_power_loss`], [`recovery::segments_cut_by_a_recovery_stay_gone`] |
//! | copy of what a recovery cuts | [`recovery::what_power_loss_tore_is_cut_and_kept_aside`] |
//! | `sync_dir` after taking the clean-shutdown mark | [`recovery::a_clean_shutdown_mark_is_taken_once`] |
//! | replacing the clean-shutdown mark, `.boot-id`, `meta.properties`, `partition.metadata` | [`small_files_survive_power_loss`] |
//! | `sync_dir` of the data folder at an unclean start | [`recovery::a_partition_whose_creator_was_killed_keeps_its_name`] |
//! | `sync_dir` of the data folder at a deletion | [`a_deleted_partition_stays_deleted`] |

mod flips;
mod recovery;
mod truncation;

use crate::config::{Durability, LogConfig};
use crate::error::OpenError;
use crate::partition::{AppendOrigin, PartitionLog, UpTo};
use crate::testing::*;
use millstream_core::env::{Fs, Keep, SyncCall, SyncKind};
use millstream_core::ids::{LeaderEpoch, Offset};
use millstream_wire::batch::ControlKind;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;

fn value(i: usize) -> Vec<u8> {
    format!("value-{i}").into_bytes()
}

fn expected(range: std::ops::Range<usize>) -> Vec<(i64, Vec<u8>)> {
    range.map(|i| (i as i64, value(i))).collect()
}

/// Appends `value(i)` for each, durable after the last.
fn append_all(log: &PartitionLog, range: std::ops::Range<usize>) {
    for i in range {
        append(log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    log.flush().unwrap();
}

fn committed(log: &PartitionLog) -> Vec<(i64, Vec<u8>)> {
    read_values(log, UpTo::HighWatermark)
}

#[test]
fn acknowledged_records_survive_power_loss() {
    let mut disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_all(&log, 0..10);
    append(&log, batch_of(NOBODY, NOW_MS, &[b"not acknowledged"]));
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..10));
    assert_eq!(log.log_end_offset(), Offset(10));
}

#[test]
fn acknowledged_records_survive_power_loss_across_a_roll() {
    let mut disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_all(&log, 0..5);
    // One flush for the end of one segment and the begin of the next.
    append_all(&log, 5..40);
    assert!(log.segments_count() > 1);
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..40));
}

#[test]
fn a_rolled_segment_keeps_its_name() {
    let mut disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_all(&log, 0..100);
    let segments = log.segments_count();
    disk.lose_power(Keep::Nothing);
    let logs = disk
        .names()
        .iter()
        .filter(|name| name.ends_with(".log"))
        .count();
    assert_eq!(logs, segments);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..100));
}

#[test]
fn page_cache_mode_survives_a_kill() {
    let mut disk = Disk::new(LogConfig {
        durability: Durability::PageCache,
        ..small_segments()
    });
    let (_manager, log) = disk.open();
    for i in 0..50 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..50));
}

#[test]
fn a_created_partition_survives_power_loss() {
    let mut disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    assert_eq!(log.topic_id(), topic_id());
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.topic_id(), topic_id());
    assert_eq!(log.log_end_offset(), Offset(0));
}

#[test]
fn a_half_created_partition_is_created_anew() {
    for seed in 0..100 {
        let mut disk = Disk::new(LogConfig::default());
        let manager = disk.manager();
        disk.fs.power_off_after((seed % 5) as usize);
        let created = manager
            .create(&orders(), topic_id(), LogConfig::default())
            .is_ok();
        disk.lose_power(Keep::Random(seed));
        let manager = disk.manager();
        assert!(
            manager.offline().is_empty(),
            "{seed}: {:?}",
            manager.offline()
        );
        assert!(!created || manager.get(&orders()).is_some());
        let log = manager
            .create(&orders(), topic_id(), LogConfig::default())
            .unwrap();
        append_all(&log, 0..3);
        assert_eq!(committed(&log), expected(0..3));
    }
}

#[test]
fn indexes_below_the_recovery_point_survive_power_loss() {
    let mut disk = Disk::new(LogConfig {
        segment_bytes: 20_000,
        ..small_segments()
    });
    let (manager, log) = disk.open();
    append_all(&log, 0..300);
    manager.checkpoint_logs(1);
    let entries = |name: &str| disk.fs.read_to_vec(&disk.file(name)).unwrap().len();
    let before: Vec<usize> = [".index", ".timeindex"]
        .map(|e| entries(&format!("00000000000000000000{e}")))
        .to_vec();
    assert!(before.iter().all(|bytes| *bytes > 0), "{before:?}");
    disk.lose_power(Keep::Nothing);
    let after: Vec<usize> = [".index", ".timeindex"]
        .map(|e| {
            disk.fs
                .read_to_vec(&disk.file(&format!("00000000000000000000{e}")))
                .unwrap()
                .len()
        })
        .to_vec();
    assert_eq!(before, after);
}

#[test]
fn aborted_transactions_below_the_recovery_point_survive_power_loss() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"a"]));
    end_transaction(&log, 1, ControlKind::Abort);
    manager.checkpoint_logs(1);
    // And one that recovery has to find.
    append(&log, batch_of(transactional(1, 1), NOW_MS, &[b"b"]));
    end_transaction(&log, 1, ControlKind::Abort);
    log.flush().unwrap();
    let before = log.aborted_transactions(Offset(0), Offset(4)).unwrap();
    assert_eq!(before.len(), 2);
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(
        log.aborted_transactions(Offset(0), Offset(4)).unwrap(),
        before
    );
    assert_eq!(log.last_stable_offset(), Offset(4));
}

#[test]
fn leader_epochs_below_the_recovery_point_survive_power_loss() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    for epoch in [0, 3] {
        log.append_as_leader(batch(2), AppendOrigin::Client, LeaderEpoch(epoch))
            .unwrap();
    }
    manager.checkpoint_logs(1);
    log.append_as_leader(batch(2), AppendOrigin::Client, LeaderEpoch(5))
        .unwrap();
    log.flush().unwrap();
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    let end = |epoch| {
        log.end_offset_for_epoch(LeaderEpoch(epoch))
            .map(|(_, end)| end)
    };
    assert_eq!(
        [end(0), end(3), end(5)],
        [Some(Offset(2)), Some(Offset(4)), Some(Offset(6))]
    );
}

#[test]
fn producers_below_the_recovery_point_survive_power_loss() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    for sequence in 0..4 {
        append(&log, batch_of(idempotent(1, sequence), NOW_MS, &[b"x"]));
    }
    append(&log, batch_of(transactional(2, 0), NOW_MS, &[b"open"]));
    manager.checkpoint_logs(1);
    append(&log, batch_of(idempotent(1, 4), NOW_MS, &[b"x"]));
    log.flush().unwrap();
    let before = log.producers();
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.producers(), before);
    assert_eq!(log.last_stable_offset(), Offset(4));
    // All five, not only the last one before the checkpoint.
    for sequence in 0..5 {
        let again = append(&log, batch_of(idempotent(1, sequence), NOW_MS, &[b"x"]));
        assert!(again.duplicate, "{sequence}");
    }
}

#[test]
fn producers_of_deleted_segments_survive_power_loss() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    append(&log, batch_of(idempotent(1, 0), NOW_MS, &[b"x"]));
    append_all(&log, 1..60);
    manager.checkpoint_logs(1);
    log.delete_records_before(Offset(55)).unwrap();
    assert!(
        !disk
            .names()
            .iter()
            .any(|name| name == "00000000000000000000.log")
    );
    let before = log.producers();
    assert_eq!(before.len(), 1);
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.producers(), before);
}

#[test]
fn epochs_that_were_truncated_do_not_come_back() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..20);
    let at = |log: &PartitionLog, epoch| {
        log.append_as_leader(batch(10), AppendOrigin::Client, LeaderEpoch(epoch))
            .unwrap();
        log.flush().unwrap();
    };
    at(&log, 3);
    manager.checkpoint_logs(1);
    log.truncate_to(Offset(15)).unwrap();
    for _ in 0..3 {
        at(&log, 2);
    }
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(2)));
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(0)),
        Some((LeaderEpoch(0), Offset(15)))
    );
}

#[test]
fn a_checkpoint_survives_power_loss() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    append_all(&log, 0..100);
    manager.checkpoint_logs(1);
    append_all(&log, 100..110);
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(
        log.recovery_point(),
        Offset(100),
        "only what came after was scanned"
    );
    assert_eq!(committed(&log), expected(0..110));
}

#[test]
fn deleted_records_stay_deleted_after_power_loss() {
    let mut disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_all(&log, 0..100);
    log.delete_records_before(Offset(55)).unwrap();
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.log_start_offset(), Offset(55));
    assert_eq!(committed(&log), expected(55..100));
}

#[test]
fn small_files_survive_power_loss() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..10);
    manager.shutdown().unwrap();
    disk.lose_power(Keep::Nothing);
    for name in [
        ".kafka_cleanshutdown",
        ".boot-id",
        "meta.properties",
        "orders-0/partition.metadata",
    ] {
        let content = disk.fs.read_to_vec(&Path::new("/var/data").join(name));
        assert!(!content.unwrap().is_empty(), "{name}");
    }
}

#[test]
fn a_deleted_partition_stays_deleted() {
    for keep in [Keep::Nothing, Keep::Random(7), Keep::Everything] {
        let mut disk = Disk::new(LogConfig::default());
        let (manager, log) = disk.open();
        append_all(&log, 0..10);
        log.delete_records_before(Offset(5)).unwrap();
        manager.checkpoint_logs(1);
        manager.delete(&orders()).unwrap();
        assert!(log.failure().is_some());
        disk.lose_power(keep);
        let (manager, _) = (disk.manager(), ());
        assert!(manager.get(&orders()).is_none());
        assert!(manager.offline().is_empty());
        let log = manager
            .create(&orders(), topic_id(), LogConfig::default())
            .unwrap();
        assert_eq!(log.log_end_offset(), Offset(0));
        append_all(&log, 0..3);
        disk.lose_power(Keep::Nothing);
        let (_manager, log) = disk.reopen();
        assert_eq!(committed(&log), expected(0..3), "{keep:?}");
    }
}

/// A run that needs every sync: true when everything promised is there
/// after a power loss that keeps nothing else.
fn promises_hold(ignore: impl Fn(&SyncCall) -> bool + Send + Sync + 'static) -> bool {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut disk = Disk::new(small_segments());
        disk.fs.ignore_syncs(ignore);
        let (manager, log) = disk.open();
        append_all(&log, 0..90);
        append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"a"]));
        end_transaction(&log, 1, ControlKind::Abort);
        manager.checkpoint_logs(1);
        append_all(&log, 92..120);
        log.delete_records_before(Offset(30)).unwrap();
        let aborted = log
            .aborted_transactions(Offset(30), log.log_end_offset())
            .unwrap();
        let (point, records) = (log.recovery_point(), committed(&log));
        let producers = log.producers();
        let indexed = |disk: &Disk| {
            let names = disk.names();
            let sizes = names.iter().filter(|n| n.ends_with("index")).map(|n| {
                let (base, _) = n.split_once('.').unwrap();
                let size = disk.fs.read_to_vec(&disk.file(n)).unwrap().len();
                (base.parse::<i64>().unwrap(), n.clone(), size)
            });
            // Segments that were complete at the checkpoint.
            sizes.filter(|(base, ..)| *base < 60).collect::<Vec<_>>()
        };
        let before = indexed(&disk);
        disk.lose_power(Keep::Nothing);
        let after = indexed(&disk);
        let (_manager, log) = disk.reopen();
        after == before
            && log.recovery_point() == point
            && committed(&log) == records
            && log.producers() == producers
            && log
                .aborted_transactions(Offset(30), log.log_end_offset())
                .unwrap()
                == aborted
            && log.latest_epoch() == Some(LeaderEpoch(0))
            && log.end_offset_for_epoch(LeaderEpoch(0)).is_some()
    }));
    result.unwrap_or(false)
}

#[test]
fn every_sync_is_needed() {
    assert!(promises_hold(|_| false));
    let file = |suffix: &'static str| {
        move |call: &SyncCall| {
            call.kind == SyncKind::File && call.path.to_string_lossy().ends_with(suffix)
        }
    };
    let folder = |path: &'static str| {
        move |call: &SyncCall| call.kind == SyncKind::Folder && call.path == Path::new(path)
    };
    // What these panics print is of no interest.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut unneeded = Vec::new();
    for suffix in [".log", ".index", ".timeindex", ".txnindex", ".tmp"] {
        if promises_hold(file(suffix)) {
            unneeded.push(suffix);
        }
    }
    for path in ["/", "/var", "/var/data", "/var/data/orders-0"] {
        if promises_hold(folder(path)) {
            unneeded.push(path);
        }
    }
    std::panic::set_hook(hook);
    assert!(
        unneeded.is_empty(),
        "nothing notices the loss of: {unneeded:?}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_does_not_stop_the_log() {
    let disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..3);
    manager.checkpoint_logs(1);
    log.close_files();
    disk.fs
        .fail_opens(|path| path.extension().is_some_and(|e| e == "log"));
    let refused = log.append_as_leader(batch(1), AppendOrigin::Client, LeaderEpoch(0));
    assert!(
        matches!(refused, Err(crate::AppendError::Io { .. })),
        "{refused:?}"
    );
    disk.fs.heal();
    assert_eq!(log.failure(), None);
    append_all(&log, 3..5);
    assert_eq!(committed(&log), expected(0..5));
}

/// It must not be told that the batch was refused: it is there.
#[test]
fn an_append_whose_index_cannot_be_opened_is_not_committed() {
    let mut disk = Disk::new(LogConfig {
        durability: Durability::PageCache,
        ..LogConfig::default()
    });
    let (manager, log) = disk.open();
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"a"]));
    manager.shutdown().unwrap();
    drop((manager, log));
    let (_manager, log) = disk.reopen();
    disk.fs
        .fail_opens(|path| path.extension().is_some_and(|e| e == "txnindex"));
    let info = end_transaction(&log, 1, ControlKind::Abort);
    assert!(log.failure().is_some());
    assert!(log.high_watermark() < info.end_offset());
    disk.fs.heal();
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(log.log_end_offset(), info.end_offset());
    let aborted = log.aborted_transactions(Offset(0), Offset(2)).unwrap();
    assert_eq!(aborted.len(), 1);
}
