//! Retention, deleted records, truncation.

use super::*;

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
fn retention_of_no_bytes_deletes_the_active_segment_too() {
    let config = LogConfig {
        retention_bytes: Some(0),
        ..small_segments()
    };
    let disk = Disk::new(config);
    let (_manager, log) = disk.open();
    append_values(&log, 0..50);
    assert_eq!(log.enforce_retention(NOW_MS).unwrap(), 0, "not committed");
    log.flush().unwrap();
    log.enforce_retention(NOW_MS).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(50), Offset(50))
    );
    assert_eq!(log.size_bytes(), 0);
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
    for i in 0..100 {
        let value = format!("value-{i}");
        let record = (&b"k"[..], Some(value.as_bytes()));
        append(&log, keyed_at(NOBODY, NOW_MS + i, &[record]));
    }
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
