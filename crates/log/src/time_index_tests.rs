//! What crashes leave of time indexes. The largest timestamp of a closed
//! segment is the last entry of its file, and nobody looks further: an entry
//! that is missing lets records expire early and look-ups by time skip them.

use crate::LogManager;
use crate::config::LogConfig;
use crate::partition::{PartitionLog, UpTo};
use crate::testing::*;
use millstream_core::env::{Fs, Keep};
use std::sync::Arc;

/// Offsets and timestamps grow together here.
fn append_at(log: &PartitionLog, offset: i64) {
    append(log, batch_of(NOBODY, NOW_MS + offset, &[&[b'v'; 100]]));
}

fn assert_found_by_time(log: &PartitionLog, end: i64) {
    for offset in 0..end {
        let found = log.offset_for_timestamp(NOW_MS + offset, UpTo::LogEnd);
        let found = found.unwrap().map(|found| found.offset.0);
        assert_eq!(found, Some(offset));
    }
    let newest = log.max_timestamp().unwrap().map(|newest| newest.offset.0);
    assert_eq!(newest, Some(end - 1));
}

/// An open, so that nothing in memory hides what the files lack.
fn reopened_cleanly(disk: &Disk) -> (Arc<LogManager>, Arc<PartitionLog>) {
    let (manager, log) = disk.reopen();
    assert_found_by_time(&log, log.log_end_offset().0);
    manager.shutdown().unwrap();
    drop((manager, log));
    disk.reopen()
}

/// So that the last batch of a segment is none that gets an entry anyway.
fn one_entry_a_segment() -> LogConfig {
    LogConfig {
        index_interval_bytes: 1200,
        ..small_segments()
    }
}

fn bases(disk: &Disk) -> Vec<i64> {
    let names = disk.names();
    let logs = names.iter().filter_map(|name| name.strip_suffix(".log"));
    logs.map(|base| base.parse().unwrap()).collect()
}

/// The largest timestamps of the segments' time indexes, as the files have
/// them, against those of the batches.
fn assert_time_indexes_end(disk: &Disk, log: &PartitionLog) {
    let bases = bases(disk);
    let ends = bases
        .iter()
        .skip(1)
        .copied()
        .chain([log.log_end_offset().0]);
    for (base, end) in bases.iter().zip(ends) {
        let bytes = disk
            .fs
            .read_to_vec(&disk.file(&format!("{base:020}.timeindex")));
        let bytes = bytes.unwrap();
        let last: [u8; 8] = bytes[bytes.len() - 12..][..8].try_into().unwrap();
        assert_eq!(i64::from_be_bytes(last), NOW_MS + end - 1, "{base}");
    }
}

#[test]
fn a_segment_that_a_kill_left_unindexed_is_found_by_time_for_good() {
    let mut disk = Disk::new(one_entry_a_segment());
    let (manager, log) = disk.open();
    append_at(&log, 0);
    manager.checkpoint_logs(1);
    (1..70).for_each(|offset| append_at(&log, offset));
    assert!(log.segments_count() > 3);
    disk.kill();
    let (_manager, log) = reopened_cleanly(&disk);
    assert_time_indexes_end(&disk, &log);
    assert_found_by_time(&log, 70);
}

#[test]
fn a_segment_that_is_closed_right_after_a_checkpoint_is_found_by_time() {
    let mut disk = Disk::new(one_entry_a_segment());
    let (manager, log) = disk.open();
    let mut end = 0;
    while log.segments_count() < 3 {
        // Every append may be the one that rolls.
        manager.checkpoint_logs(1);
        append_at(&log, end);
        log.flush().unwrap();
        end += 1;
    }
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = reopened_cleanly(&disk);
    assert_time_indexes_end(&disk, &log);
    assert_found_by_time(&log, end);
}

#[test]
fn a_torn_index_is_rebuilt_for_good() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    (0..70).for_each(|offset| append_at(&log, offset));
    let first = disk.file("00000000000000000000.timeindex");
    manager.shutdown().unwrap();
    drop((manager, log));
    let file = disk.fs.shared().open(&first, false).unwrap();
    file.set_size(file.size().unwrap() - 5).unwrap();
    let (manager, log) = disk.reopen();
    drop((manager, log));
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_time_indexes_end(&disk, &log);
    assert_found_by_time(&log, 70);
}
