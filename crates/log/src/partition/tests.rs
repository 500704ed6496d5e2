//! One partition: appending, rolling, failing, producers; below it reading,
//! waiting and retention.

mod reads;
mod retention;
mod waiting;

use super::*;
use crate::config::{CleanupPolicy, Durability, TimestampType};
use crate::error::{AppendError, LogError, ReadError};
use crate::testing::*;
use bytes::Bytes;
use millstream_core::env::{Fs, SyncKind};
use millstream_wire::batch::{
    BatchBuilder, BatchOptions, BatchView, ControlKind, LOG_OVERHEAD_BYTES, set_max_timestamp,
    split_batches,
};
use millstream_wire::compression::Compression;
use std::time::Duration;

fn values(range: std::ops::Range<usize>) -> Vec<(i64, Vec<u8>)> {
    range
        .map(|i| (i as i64, format!("value-{i}").into_bytes()))
        .collect()
}

fn append_values(log: &PartitionLog, range: std::ops::Range<usize>) {
    for i in range {
        append(
            log,
            batch_of(
                NOBODY,
                NOW_MS + i as i64,
                &[format!("value-{i}").as_bytes()],
            ),
        );
    }
}

#[test]
fn what_was_appended_is_read_across_segments() {
    let disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_values(&log, 0..200);
    assert!(log.segments_count() > 5);
    assert_eq!(read_values(&log, UpTo::LogEnd), values(0..200));
    assert_eq!(read_values(&log, UpTo::HighWatermark), []);
    log.flush().unwrap();
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(0..200));
}

#[test]
fn offsets_and_leader_epoch_are_set_and_the_checksum_still_holds() {
    let disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append(&log, batch(3));
    let info = log
        .append_as_leader(batch(2), AppendOrigin::Client, LeaderEpoch(7))
        .unwrap();
    assert_eq!(
        (info.first_offset, info.last_offset),
        (Offset(3), Offset(4))
    );
    let batches = read_batches(&log, UpTo::LogEnd);
    let header = batches[1].header();
    assert_eq!((header.base_offset, header.partition_leader_epoch), (3, 7));
    batches[1].verify_crc().unwrap();
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(0)),
        Some((LeaderEpoch(0), Offset(3)))
    );
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(7)),
        Some((LeaderEpoch(7), Offset(5)))
    );
    let stale = log.append_as_leader(batch(1), AppendOrigin::Client, LeaderEpoch(6));
    assert!(matches!(stale, Err(AppendError::StaleLeaderEpoch { .. })));
}

#[test]
fn page_cache_mode_commits_at_the_append() {
    let config = LogConfig {
        durability: Durability::PageCache,
        ..LogConfig::default()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    append(&log, batch(5));
    assert_eq!(log.high_watermark(), Offset(5));
    assert_eq!(disk.fs.syncs_of(SyncKind::File, ".log"), 0);
}

#[test]
fn bad_batches_are_refused_and_leave_nothing() {
    let config = LogConfig {
        message_bytes_max: 1000,
        ..LogConfig::default()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    let try_append = |bytes: Vec<u8>| {
        log.append_as_leader(bytes.into(), AppendOrigin::Client, LeaderEpoch(0))
            .unwrap_err()
    };
    let changed = |at: usize, value: u8| {
        let mut bytes = batch(2).to_vec();
        bytes[at] = value;
        bytes
    };
    assert!(matches!(
        try_append(changed(100, 1)),
        AppendError::Corrupt(_)
    ));
    assert!(matches!(
        try_append(changed(16, 1)),
        AppendError::UnsupportedMagic(1)
    ));
    assert!(matches!(
        try_append(batch(2)[..150].to_vec()),
        AppendError::Corrupt(_)
    ));
    assert!(matches!(
        try_append(Vec::new()),
        AppendError::InvalidRecord(_)
    ));
    assert!(matches!(
        try_append(batch(20).to_vec()),
        AppendError::TooLarge {
            bytes_max: 1000,
            ..
        }
    ));
    let late = batch_of(NOBODY, NOW_MS + 2 * 3_600_000, &[b"v"]);
    assert!(matches!(
        try_append(late.to_vec()),
        AppendError::InvalidTimestamp { .. }
    ));
    let no_sequence = batch_of(
        Producer {
            sequence: -1,
            ..idempotent(1, 0)
        },
        NOW_MS,
        &[b"v"],
    );
    assert!(matches!(
        try_append(no_sequence.to_vec()),
        AppendError::InvalidRecord(_)
    ));
    let marker = millstream_wire::batch::EndTxnMarker {
        kind: ControlKind::Commit,
        coordinator_epoch: 0,
    };
    let marker = marker.to_batch(1, 0, NOW_MS).unwrap();
    assert!(matches!(
        try_append(marker.to_vec()),
        AppendError::InvalidRecord(_)
    ));
    assert_eq!(log.log_end_offset(), Offset(0));
    assert_eq!(log.size_bytes(), 0);
}

#[test]
fn a_batch_whose_offsets_have_gaps_is_refused() {
    use millstream_wire::batch::{BatchBuilder, BatchOptions};
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append_at(0, NOW_MS, None, Some(b"a"), &[]).unwrap();
    builder.append_at(5, NOW_MS, None, Some(b"b"), &[]).unwrap();
    let gaps = log.append_as_leader(
        builder.build().unwrap(),
        AppendOrigin::Client,
        LeaderEpoch(0),
    );
    assert!(matches!(gaps, Err(AppendError::InvalidRecord(_))));
}

#[test]
fn an_append_larger_than_a_segment_is_refused() {
    let disk = Disk::new(LogConfig {
        segment_bytes: 1024,
        ..LogConfig::default()
    });
    let (_manager, log) = disk.open();
    let list = log.append_as_leader(batch(20), AppendOrigin::Client, LeaderEpoch(0));
    assert!(matches!(
        list,
        Err(AppendError::ListTooLarge {
            bytes_max: 1024,
            ..
        })
    ));
}

#[test]
fn log_append_time_replaces_the_producers() {
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    let info = append(&log, batch_of(NOBODY, 5, &[b"v"]));
    assert_eq!(info.log_append_time_ms, Some(NOW_MS));
    let stored = &read_batches(&log, UpTo::LogEnd)[0];
    stored.verify_crc().unwrap();
    assert_eq!(
        stored.records().unwrap().next().unwrap().unwrap().timestamp,
        NOW_MS
    );
}

/// sarama 1.23 leaves -1 there.
#[test]
fn a_batch_without_its_largest_timestamp_gets_it() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    for compression in [Compression::None, Compression::Zstd] {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression,
            ..BatchOptions::default()
        });
        for timestamp_ms in [NOW_MS - 2, NOW_MS, NOW_MS - 1] {
            builder.append(timestamp_ms, None, Some(b"v"), &[]).unwrap();
        }
        let sent = builder.build().unwrap();
        let mut without = sent.to_vec();
        set_max_timestamp(&mut without, -1).unwrap();
        let offset = append(&log, without.into()).first_offset;
        let stored = read_batches(&log, UpTo::LogEnd).pop().unwrap();
        stored.verify_crc().unwrap();
        assert_eq!(stored.header().max_timestamp, NOW_MS);
        // As if it had been sent so; the leader epoch is the log's.
        let rest = LOG_OVERHEAD_BYTES + 4..;
        assert_eq!(stored.bytes()[rest.clone()], sent[rest]);
        assert_eq!(stored.base_offset(), offset.0);
    }
    log.flush().unwrap();
    let found = log
        .offset_for_timestamp(NOW_MS, UpTo::HighWatermark)
        .unwrap()
        .unwrap();
    assert_eq!((found.offset, found.timestamp_ms), (Offset(1), NOW_MS));
}

/// Too far ahead, which its header does not tell.
#[test]
fn a_batch_without_its_largest_timestamp_is_checked_by_its_records() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let mut ahead = batch_of(NOBODY, NOW_MS + 3_600_001, &[b"v"]).to_vec();
    set_max_timestamp(&mut ahead, -1).unwrap();
    let refused = log.append_as_leader(ahead.into(), AppendOrigin::Client, LeaderEpoch(0));
    assert!(matches!(refused, Err(AppendError::InvalidTimestamp { .. })));
}

#[test]
fn segments_roll_by_time_of_their_records() {
    let disk = Disk::new(LogConfig {
        segment_ms: 1000,
        ..LogConfig::default()
    });
    let (_manager, log) = disk.open();
    append(&log, batch_of(NOBODY, NOW_MS - 5000, &[b"a"]));
    append(&log, batch_of(NOBODY, NOW_MS - 4000, &[b"b"]));
    assert_eq!(log.segments_count(), 1);
    append(&log, batch_of(NOBODY, NOW_MS - 3999, &[b"c"]));
    assert_eq!(log.segments_count(), 2);
}

#[test]
fn a_failed_write_is_undone_and_the_log_goes_on() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_durably(&log, b"a");
    disk.fs
        .fail_writes(|path| path.to_string_lossy().ends_with(".log"));
    let full = log.append_as_leader(batch(3), AppendOrigin::Client, LeaderEpoch(0));
    assert!(matches!(full, Err(AppendError::Io { .. })));
    disk.fs.heal();
    append_durably(&log, b"b");
    let expected = vec![(0, b"a".to_vec()), (1, b"b".to_vec())];
    assert_eq!(read_values(&log, UpTo::HighWatermark), expected);
    let size = disk
        .fs
        .open(&disk.file("00000000000000000000.log"), false)
        .unwrap()
        .size()
        .unwrap();
    assert_eq!(size, log.size_bytes());
}

#[test]
fn a_failed_sync_stops_the_log_for_good_and_keeps_what_was_committed_readable() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_durably(&log, b"a");
    append(&log, batch(1));
    disk.fs
        .fail_syncs(|call| call.path.to_string_lossy().ends_with(".log"));
    let failure = log.flush().unwrap_err();
    assert!(
        failure.what.contains("00000000000000000000.log"),
        "{failure}"
    );
    disk.fs.heal();
    let syncs = disk.fs.sync_calls().len();
    assert_eq!(log.flush().unwrap_err(), failure);
    let refused = log.append_as_leader(batch(1), AppendOrigin::Client, LeaderEpoch(0));
    assert!(matches!(refused, Err(AppendError::Failed(_))));
    assert!(log.checkpoint().is_err());
    assert_eq!(
        disk.fs.sync_calls().len(),
        syncs,
        "a failed sync is never tried again"
    );
    assert_eq!(log.high_watermark(), Offset(1));
    assert_eq!(
        read_values(&log, UpTo::HighWatermark),
        vec![(0, b"a".to_vec())]
    );
}

#[test]
fn last_stable_offset_stops_before_open_transactions() {
    let disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append(&log, batch(1));
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"a", b"b"]));
    append(&log, batch_of(transactional(2, 0), NOW_MS, &[b"c"]));
    append(&log, batch(1));
    log.flush().unwrap();
    assert_eq!(
        (log.high_watermark(), log.last_stable_offset()),
        (Offset(5), Offset(1))
    );
    end_transaction(&log, 1, ControlKind::Abort);
    log.flush().unwrap();
    assert_eq!(log.last_stable_offset(), Offset(3));
    end_transaction(&log, 2, ControlKind::Commit);
    // The marker is not on disk yet.
    assert_eq!(log.last_stable_offset(), Offset(3));
    log.flush().unwrap();
    assert_eq!(log.last_stable_offset(), Offset(7));

    let fetched = log.read(fetch(0, UpTo::LastStable)).unwrap();
    let aborted: Vec<(i64, i64, i64)> = fetched
        .aborted
        .iter()
        .map(|t| (t.producer_id.0, t.first_offset.0, t.last_offset.0))
        .collect();
    assert_eq!(aborted, [(1, 1, 5)]);
    assert!(
        log.aborted_transactions(Offset(6), Offset(7))
            .unwrap()
            .is_empty()
    );
    assert!(
        log.read(fetch(0, UpTo::HighWatermark))
            .unwrap()
            .aborted
            .is_empty()
    );
}

#[test]
fn the_marker_of_a_transaction_that_wrote_nothing_here_is_fine() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    end_transaction(&log, 9, ControlKind::Commit);
    end_transaction(&log, 9, ControlKind::Abort);
    log.flush().unwrap();
    assert_eq!(log.last_stable_offset(), Offset(2));
    assert!(
        log.aborted_transactions(Offset(0), Offset(2))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_duplicate_is_acknowledged_with_its_first_offset_and_not_written() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(10));
    for sequence in [0, 2, 4] {
        append(
            &log,
            batch_of(idempotent(1, sequence), NOW_MS, &[b"a", b"b"]),
        );
    }
    let again = append(&log, batch_of(idempotent(1, 2), NOW_MS, &[b"a", b"b"]));
    assert!(again.duplicate);
    assert_eq!(
        (again.first_offset, again.last_offset),
        (Offset(12), Offset(13))
    );
    assert_eq!(log.log_end_offset(), Offset(16));
    let gap = batch_of(idempotent(1, 8), NOW_MS, &[b"a"]);
    let gap = log.append_as_leader(gap, AppendOrigin::Client, LeaderEpoch(0));
    assert!(matches!(
        gap,
        Err(AppendError::OutOfOrderSequence {
            last_sequence: 5,
            ..
        })
    ));
}
