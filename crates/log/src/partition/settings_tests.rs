//! What topic settings do to an append.

use crate::config::{CleanupPolicy, Durability, LogConfig, StoredCompression, TimestampType};
use crate::error::AppendError;
use crate::partition::{AppendOrigin, PartitionLog, UpTo};
use crate::testing::*;
use bytes::Bytes;
use millstream_core::env::Keep;
use millstream_core::ids::{LeaderEpoch, Offset};
use millstream_wire::batch::{
    BatchBuilder, BatchOptions, BatchView, ControlKind, set_max_timestamp,
};
use millstream_wire::compression::Compression;

fn refused(log: &PartitionLog, batch: Bytes) -> AppendError {
    log.append_as_leader(batch, AppendOrigin::Client, LeaderEpoch(0))
        .unwrap_err()
}

fn stored_as(codec: Compression, level: Option<i32>) -> LogConfig {
    LogConfig {
        compression: StoredCompression::As(codec, level),
        ..LogConfig::default()
    }
}

#[test]
fn batches_are_stored_as_the_topic_wants_them_compressed() {
    for wanted in Compression::ALL {
        let disk = Disk::new(stored_as(wanted, None));
        let (_manager, log) = disk.open();
        for (sequence, sent) in (0..).zip(Compression::ALL) {
            let records = [
                (&b"key"[..], Some(&b"value"[..])),
                (&b"another key"[..], None),
            ];
            let batch = keyed_with(idempotent(7, sequence * 2), sent, &records);
            let info = append(&log, batch.clone());
            // The producer tries again with what it sent.
            let again = append(&log, batch.clone());
            assert!(again.duplicate && again.first_offset == info.first_offset);
            log.flush().unwrap();
            let stored = read_batches(&log, UpTo::HighWatermark).pop().unwrap();
            stored.verify_crc().unwrap();
            assert_eq!(stored.header().compression(), Ok(wanted), "from {sent:?}");
            let sent_batch = BatchView::parse(&batch).unwrap();
            let plain = |b: &BatchView| -> Vec<_> {
                let records = b.records().unwrap().map(Result::unwrap);
                records.map(|r| (r.key, r.value, r.timestamp)).collect()
            };
            assert_eq!(plain(&stored), plain(&sent_batch));
            if sent == wanted {
                let body = |b: &BatchView| b.bytes().slice(61..);
                assert_eq!(body(&stored), body(&sent_batch), "as it came");
            }
        }
    }
}

#[test]
fn markers_are_not_compressed() {
    let disk = Disk::new(stored_as(Compression::Gzip, None));
    let (_manager, log) = disk.open();
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"v"]));
    end_transaction(&log, 1, ControlKind::Commit);
    log.flush().unwrap();
    let codecs: Vec<_> = read_batches(&log, UpTo::HighWatermark)
        .iter()
        .map(|b| b.header().compression().unwrap())
        .collect();
    assert_eq!(codecs, [Compression::Gzip, Compression::None]);
}

#[test]
fn a_level_changes_what_is_stored() {
    let text: Vec<u8> = (0..20_000u32)
        .flat_map(|i| (i * i % 977).to_string().into_bytes())
        .collect();
    for (codec, levels) in [(Compression::Gzip, [1, 9]), (Compression::Zstd, [-50, 19])] {
        let sizes = levels.map(|level| {
            let disk = Disk::new(stored_as(codec, Some(level)));
            let (_manager, log) = disk.open();
            append(&log, batch_of(NOBODY, NOW_MS, &[&text]));
            log.size_bytes()
        });
        assert!(sizes[0] > sizes[1], "{codec:?}: {sizes:?}");
    }
}

#[test]
fn what_is_too_large_once_it_is_decompressed_is_refused() {
    let disk = Disk::new(LogConfig {
        message_bytes_max: 1000,
        ..stored_as(Compression::None, None)
    });
    let (_manager, log) = disk.open();
    let batch = keyed_with(NOBODY, Compression::Zstd, &[(b"k", Some(&[0; 5000][..]))]);
    assert!(batch.len() < 1000);
    assert!(matches!(
        refused(&log, batch),
        AppendError::TooLarge {
            bytes_max: 1000,
            ..
        }
    ));
    assert_eq!(log.log_end_offset(), Offset(0));
}

fn batch_at(timestamps_ms: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for at_ms in timestamps_ms {
        builder.append(*at_ms, Some(b"k"), Some(b"v"), &[]).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn records_too_far_from_now_are_named() {
    let config = LogConfig {
        timestamp_before_ms_max: 1000,
        timestamp_after_ms_max: 500,
        ..LogConfig::default()
    };
    let disk = Disk::new(config.clone());
    let (_manager, log) = disk.open();
    let times = [-1001, -1000, 0, 500, 501].map(|ms| NOW_MS + ms);
    let AppendError::InvalidTimestamp { records, .. } = refused(&log, batch_at(&times)) else {
        panic!("another error");
    };
    assert_eq!(records, [0, 4]);
    append(&log, batch_at(&times[1..4]));
    // The log's own time has no bounds.
    log.update_config(LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..config
    });
    append(&log, batch_at(&times));
}

#[test]
fn the_largest_timestamp_is_that_of_the_records_whatever_the_header_says() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    for told in [-1, NOW_MS - 1_000, NOW_MS + 500] {
        let mut batch = batch_at(&[NOW_MS - 20, NOW_MS - 5, NOW_MS - 9]).to_vec();
        set_max_timestamp(&mut batch, told).unwrap();
        append(&log, batch.into());
    }
    log.flush().unwrap();
    for batch in read_batches(&log, UpTo::HighWatermark) {
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().max_timestamp, NOW_MS - 5);
    }
}

#[test]
fn a_compacted_topic_names_the_records_without_a_key() {
    let disk = Disk::new(LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        ..LogConfig::default()
    });
    let (_manager, log) = disk.open();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for key in [Some(&b"k"[..]), None, Some(b""), None] {
        builder.append(NOW_MS, key, Some(b"v"), &[]).unwrap();
    }
    let error = refused(&log, builder.build().unwrap());
    let AppendError::Keyless { records } = error else {
        panic!("another error: {error}");
    };
    assert_eq!(records, [1, 3]);
}

/// Milliseconds after which the first segment of a partition is closed.
fn closed_after(partition: i32, config: &LogConfig) -> i64 {
    let disk = Disk::new(config.clone());
    let manager = disk.manager();
    let name = millstream_core::ids::TopicPartition::new("orders", partition);
    let log = manager.create(&name, topic_id(), config.clone()).unwrap();
    (0..)
        .find(|ms| {
            let batch = keyed_at(NOBODY, NOW_MS + ms, &[(b"k", Some(b"v"))]);
            append(&log, batch);
            log.segments_count() == 2
        })
        .unwrap()
}

#[test]
fn jitter_closes_the_segments_of_partitions_at_different_times() {
    let config = LogConfig {
        segment_ms: 100,
        segment_jitter_ms: 80,
        ..LogConfig::default()
    };
    let all: Vec<i64> = (0..12).map(|p| closed_after(p, &config)).collect();
    assert!(all.iter().all(|ms| (20..=101).contains(ms)), "{all:?}");
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 6, "{all:?}");
    let none = LogConfig {
        segment_jitter_ms: 0,
        ..config
    };
    assert!((0..3).all(|p| closed_after(p, &none) == 101));
}

#[test]
fn a_compacted_log_closes_a_segment_in_time_for_its_largest_lag() {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        compaction_lag_ms_max: 30,
        segment_ms: 100,
        ..LogConfig::default()
    };
    assert_eq!(closed_after(0, &config), 31);
}

#[test]
fn flush_messages_makes_records_wait_for_a_sync_in_page_cache_mode() {
    let mut disk = Disk::new(LogConfig {
        durability: Durability::PageCache,
        flush_messages: 3,
        ..LogConfig::default()
    });
    let (_manager, log) = disk.open();
    append(&log, batch_of(NOBODY, NOW_MS, &[b"0"]));
    append(&log, batch_of(NOBODY, NOW_MS, &[b"1"]));
    assert_eq!(log.high_watermark(), Offset(2), "in the page cache");
    append(&log, batch_of(NOBODY, NOW_MS, &[b"2"]));
    append(&log, batch_of(NOBODY, NOW_MS, &[b"3"]));
    assert_eq!(log.high_watermark(), Offset(2), "three are not synced");
    log.flush().unwrap();
    assert_eq!(log.high_watermark(), Offset(4));
    append(&log, batch_of(NOBODY, NOW_MS, &[b"4"]));
    assert_eq!(log.high_watermark(), Offset(5));
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.log_end_offset(), Offset(4));
}

#[test]
fn flush_ms_asks_for_a_sync_of_what_has_waited_so_long() {
    let disk = Disk::new(LogConfig {
        durability: Durability::PageCache,
        flush_ms: 1000,
        ..LogConfig::default()
    });
    let (_manager, log) = disk.open();
    assert!(!log.flush_overdue(NOW_MS + 5000), "nothing is unsynced");
    append(&log, batch(1));
    assert!(!log.flush_overdue(NOW_MS + 999));
    assert!(log.flush_overdue(NOW_MS + 1000));
    log.flush().unwrap();
    assert!(!log.flush_overdue(NOW_MS + 5000));
}
