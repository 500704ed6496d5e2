//! Append, read, offsets, waiting, retention, truncation on one partition.

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
fn fetch_mid_batch_returns_the_whole_batch() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(10));
    append(&log, batch(10));
    let fetched = log.read(fetch(14, UpTo::LogEnd)).unwrap();
    let first = BatchView::parse(&fetched.batches).unwrap();
    assert_eq!((first.base_offset(), first.last_offset()), (10, 19));
    assert_eq!(fetched.next_offset, Offset(20));
}

#[test]
fn the_first_batch_comes_even_when_larger_than_asked_only_if_wanted() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(500));
    append(&log, batch(1));
    let request = FetchRequest {
        bytes_max: 100,
        ..fetch(0, UpTo::LogEnd)
    };
    let one = log.read(request).unwrap();
    assert_eq!(split_batches(one.batches).count(), 1);
    assert_eq!(one.next_offset, Offset(500));
    let none = log
        .read(FetchRequest {
            min_one_batch: false,
            ..request
        })
        .unwrap();
    assert!(none.batches.is_empty());
    assert_eq!(none.next_offset, Offset(0));
}

#[test]
fn reads_stay_within_bytes_max_in_whole_batches() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    for _ in 0..100 {
        append(&log, batch(1));
    }
    let size = batch(1).len();
    let fetched = log
        .read(FetchRequest {
            bytes_max: size * 3 + 5,
            ..fetch(50, UpTo::LogEnd)
        })
        .unwrap();
    assert_eq!(fetched.batches.len(), size * 3);
    assert_eq!(fetched.next_offset, Offset(53));
}

#[test]
fn offsets_outside_the_log_are_refused_and_its_end_is_empty() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(5));
    assert!(log.read(fetch(5, UpTo::LogEnd)).unwrap().batches.is_empty());
    // Not committed yet, but there: an empty answer, not an error.
    assert!(
        log.read(fetch(3, UpTo::HighWatermark))
            .unwrap()
            .batches
            .is_empty()
    );
    for offset in [-1, 6] {
        let outside = log.read(fetch(offset, UpTo::LogEnd));
        assert!(
            matches!(outside, Err(ReadError::OffsetOutOfRange { .. })),
            "{offset}"
        );
    }
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

#[tokio::test]
async fn waiting_for_the_high_watermark_ends_at_the_sync_or_the_failure() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let end = append(&log, batch(3)).end_offset();
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_high_watermark(end).await }
    });
    assert!(!waiting.is_finished());
    log.flush().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    waited.unwrap().unwrap().unwrap();

    let end = append(&log, batch(3)).end_offset();
    disk.fs.fail_syncs(|_| true);
    log.flush().unwrap_err();
    let failed = tokio::time::timeout(Duration::from_secs(10), log.wait_high_watermark(end)).await;
    failed.unwrap().unwrap_err();
}

#[tokio::test]
async fn one_waker_serves_many_partitions() {
    let disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    let other = TopicPartition::new("other", 0);
    let other = manager
        .create(&other, topic_id(), LogConfig::default())
        .unwrap();
    let waker = Arc::new(tokio::sync::Notify::new());
    log.wake_on_progress(&waker);
    other.wake_on_progress(&waker);
    append(&other, batch(1));
    other.flush().unwrap();
    tokio::time::timeout(Duration::from_secs(10), waker.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_waker_is_told_what_may_be_read_and_nothing_else() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let waker = Arc::new(tokio::sync::Notify::new());
    let is_woken = || is_ready(waker.notified());
    log.wake_on_progress(&waker);
    append(&log, batch(2));
    assert!(!is_woken(), "nobody may read it yet");
    log.flush().unwrap();
    assert!(is_woken());
    log.wake_on_progress(&waker);
    log.delete_records_before(Offset(1)).unwrap();
    assert!(is_woken(), "the log begins later");
    log.wake_on_progress(&waker);
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"x"]));
    log.flush().unwrap();
    assert!(is_woken(), "committed, but not stable");
    log.wake_on_progress(&waker);
    end_transaction(&log, 1, ControlKind::Commit);
    assert!(!is_woken());
    log.flush().unwrap();
    assert!(is_woken());
    log.wake_on_progress(&waker);
    log.truncate_to(Offset(2)).unwrap();
    assert!(is_woken(), "the log ends earlier");
    log.wake_on_progress(&waker);
    append(&log, batch(1));
    disk.fs.fail_syncs(|_| true);
    log.flush().unwrap_err();
    assert!(is_woken(), "the log has stopped");
}

/// Whether the future is ready at once.
fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_ready()
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

#[test]
fn records_are_found_by_time() {
    let disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    for i in 0..100_i64 {
        append(
            &log,
            batch_of(NOBODY, NOW_MS + 10 * i, &[b"some value to fill segments"]),
        );
    }
    log.flush().unwrap();
    for (ms, offset) in [
        (-5, Some(0)),
        (0, Some(0)),
        (1, Some(1)),
        (555, Some(56)),
        (990, Some(99)),
        (991, None),
    ] {
        let found = log
            .offset_for_timestamp(NOW_MS + ms, UpTo::HighWatermark)
            .unwrap();
        assert_eq!(found.map(|f| f.offset.0), offset, "{ms}");
    }
    append(&log, batch_of(NOBODY, NOW_MS + 5000, &[b"not committed"]));
    let max = log.max_timestamp().unwrap().unwrap();
    assert_eq!((max.offset, max.timestamp_ms), (Offset(99), NOW_MS + 990));
    assert_eq!(
        log.offset_for_timestamp(NOW_MS + 5000, UpTo::HighWatermark)
            .unwrap(),
        None
    );
}

#[test]
fn a_record_inside_a_batch_is_found_by_time() {
    use millstream_wire::batch::{BatchBuilder, BatchOptions};
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for ms in [0, 30, 10, 20] {
        builder.append(NOW_MS + ms, None, Some(b"v"), &[]).unwrap();
    }
    append(&log, builder.build().unwrap());
    log.flush().unwrap();
    let found = log
        .offset_for_timestamp(NOW_MS + 5, UpTo::HighWatermark)
        .unwrap()
        .unwrap();
    assert_eq!((found.offset, found.timestamp_ms), (Offset(1), NOW_MS + 30));
    assert_eq!(log.max_timestamp().unwrap().unwrap().offset, Offset(1));
}

#[test]
fn retention_by_size_deletes_oldest_segments_only() {
    let config = LogConfig {
        retention_bytes: Some(5000),
        ..small_segments()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    append_values(&log, 0..300);
    // Nothing is committed, so nothing may go.
    assert_eq!(log.enforce_retention(NOW_MS).unwrap(), 0);
    log.flush().unwrap();
    assert!(log.enforce_retention(NOW_MS).unwrap() > 0);
    assert!(
        (5000..7000).contains(&log.size_bytes()),
        "{}",
        log.size_bytes()
    );
    let start = log.log_start_offset().0 as usize;
    assert!(start > 0);
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(start..300));
    assert!(matches!(
        log.read(fetch(0, UpTo::LogEnd)),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
    assert!(!disk.names().iter().any(|name| name.ends_with(".deleted")));
}

#[test]
fn retention_by_age_deletes_the_active_segment_too() {
    let config = LogConfig {
        retention_ms: Some(1000),
        ..small_segments()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    append_values(&log, 0..50);
    log.flush().unwrap();
    assert_eq!(log.enforce_retention(NOW_MS + 500).unwrap(), 0);
    log.enforce_retention(NOW_MS + 2000).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(50), Offset(50))
    );
    assert_eq!(log.size_bytes(), 0);
    append_values(&log, 50..60);
    log.flush().unwrap();
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(50..60));
}

#[test]
fn compacted_logs_keep_everything() {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        retention_ms: Some(0),
        retention_bytes: Some(0),
        ..small_segments()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    append_values(&log, 0..100);
    log.flush().unwrap();
    assert_eq!(log.enforce_retention(NOW_MS + 1_000_000_000).unwrap(), 0);
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(0..100));
}

#[test]
fn deleted_records_stay_deleted_within_a_segment() {
    let disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_values(&log, 0..10);
    let beyond = log.delete_records_before(Offset(5));
    assert!(
        matches!(beyond, Err(LogError::OffsetOutOfRange { .. })),
        "not committed yet"
    );
    log.flush().unwrap();
    assert_eq!(log.delete_records_before(Offset(5)).unwrap(), Offset(5));
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(5..10));
    assert!(log.read(fetch(4, UpTo::LogEnd)).is_err());
    manager.shutdown().unwrap();
    let (_manager, log) = disk.reopen();
    assert_eq!(log.log_start_offset(), Offset(5));
}

#[test]
fn truncation_takes_the_end_with_its_state() {
    let disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_values(&log, 0..50);
    append(&log, batch_of(idempotent(1, 0), NOW_MS, &[b"x"]));
    log.append_as_leader(batch(5), AppendOrigin::Client, LeaderEpoch(3))
        .unwrap();
    log.append_as_leader(
        batch_of(transactional(2, 0), NOW_MS, &[b"y"]),
        AppendOrigin::Client,
        LeaderEpoch(3),
    )
    .unwrap();
    log.flush().unwrap();
    log.checkpoint().unwrap();
    // Within the batch of five: the whole batch goes.
    assert_eq!(log.truncate_to(Offset(53)).unwrap(), Offset(51));
    assert_eq!(
        (log.log_end_offset(), log.last_stable_offset()),
        (Offset(51), Offset(51))
    );
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
    assert_eq!(log.producers().len(), 1);
    assert_eq!(log.truncate_to(Offset(20)).unwrap(), Offset(20));
    assert!(log.producers().is_empty());
    append_values(&log, 20..30);
    log.flush().unwrap();
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(0..30));
}

#[test]
fn reads_survive_an_index_that_lies() {
    let disk = Disk::new(LogConfig {
        segment_bytes: 20_000,
        ..small_segments()
    });
    let (manager, log) = disk.open();
    append_values(&log, 0..1000);
    manager.shutdown().unwrap();
    let index = disk
        .fs
        .open(&disk.file("00000000000000000000.index"), false)
        .unwrap();
    let mut lies = Vec::new();
    for i in 0..(index.size().unwrap() / 8) as u32 {
        lies.extend_from_slice(&(i + 1).to_be_bytes());
        lies.extend_from_slice(&(i * 100 + 37).to_be_bytes());
    }
    index.write_all_at(&lies, 0).unwrap();
    let (_manager, log) = disk.reopen();
    // From the end on, so that no read goes on where another one ended.
    for offset in (0..1000).rev() {
        let fetched = log.read(fetch(offset, UpTo::HighWatermark)).unwrap();
        let first = split_batches(fetched.batches).next().unwrap().unwrap();
        assert_eq!(first.header().base_offset, offset);
    }
    assert_eq!(read_values(&log, UpTo::HighWatermark), values(0..1000));
}

#[test]
fn a_read_that_goes_on_where_another_ended_sees_a_truncation_in_between() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_values(&log, 0..10);
    log.flush().unwrap();
    let all = log.read(fetch(0, UpTo::HighWatermark)).unwrap();
    assert_eq!(all.next_offset, Offset(10));
    log.truncate_to(Offset(4)).unwrap();
    // Of another length: offset 10 is not at the position where it was.
    for _ in 4..12 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&[b'x'; 300]]));
    }
    log.flush().unwrap();
    for offset in [10, 4, 11] {
        let fetched = log.read(fetch(offset, UpTo::HighWatermark)).unwrap();
        let batch = split_batches(fetched.batches).next().unwrap().unwrap();
        assert_eq!(batch.header().base_offset, offset);
    }
}

#[test]
fn a_read_that_goes_on_where_another_ended_keeps_to_its_bounds() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_values(&log, 0..10);
    log.flush().unwrap();
    let bounded = |offset: i64, bytes_max: usize, min_one_batch: bool| {
        let request = FetchRequest {
            bytes_max,
            min_one_batch,
            ..fetch(offset, UpTo::HighWatermark)
        };
        log.read(request).unwrap()
    };
    let one = bounded(0, 0, true);
    assert_eq!(one.next_offset, Offset(1));
    for bytes_max in [0, 1, one.batches.len() - 1] {
        assert!(
            bounded(1, bytes_max, false).batches.is_empty(),
            "{bytes_max}"
        );
        assert_eq!(bounded(1, bytes_max, true).next_offset, Offset(2));
        bounded(0, 0, true);
    }
    assert_eq!(
        bounded(1, 2 * one.batches.len(), false).next_offset,
        Offset(3)
    );
}

#[test]
fn damaged_bytes_are_reported_by_the_read() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_values(&log, 0..3);
    log.flush().unwrap();
    let second = batch_of(NOBODY, NOW_MS, &[b"value-0"]).len();
    disk.fs
        .damage(&disk.file("00000000000000000000.log"), second + 16);
    let read = log.read(fetch(1, UpTo::LogEnd));
    assert!(matches!(read, Err(ReadError::Corrupt { position, .. }) if position == second as u64));
}

#[test]
fn empty_reads_allocate_nothing_and_say_where_they_are() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let fetched = log.read(fetch(0, UpTo::HighWatermark)).unwrap();
    assert_eq!(fetched.batches, Bytes::new());
    assert_eq!(fetched.next_offset, Offset(0));
}
