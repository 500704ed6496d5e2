//! The data folder on the machine's own disk, with the flusher's threads.

use super::*;
use crate::config::Durability;
use crate::partition::UpTo;
use crate::testing::*;
use millstream_core::env::ChangeKind;
use millstream_core::ids::TopicId;

fn options(dir: &Path) -> LogManagerOptions {
    LogManagerOptions {
        flush_threads: 4,
        ..LogManagerOptions::new(dir, "cluster", 1)
    }
}

#[test]
fn a_folder_is_opened_by_one_process_only() {
    let dir = tempfile::tempdir().unwrap();
    let first = LogManager::open(options(dir.path())).unwrap();
    let second = LogManager::open(options(dir.path()));
    assert!(matches!(second, Err(OpenError::Locked(_))));
    first.shutdown().unwrap();
    drop(first);
    LogManager::open(options(dir.path())).unwrap();
}

#[test]
fn a_folder_of_another_node_or_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    LogManager::open(options(dir.path()))
        .unwrap()
        .shutdown()
        .unwrap();
    let other = LogManager::open(LogManagerOptions::new(dir.path(), "cluster", 2));
    assert!(matches!(other, Err(OpenError::ForeignFolder { .. })));
    let other = LogManager::open(LogManagerOptions::new(dir.path(), "elsewhere", 1));
    assert!(matches!(other, Err(OpenError::ForeignFolder { .. })));
}

#[test]
fn a_partition_of_another_topic_with_the_same_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(dir.path())).unwrap();
    manager
        .create(&orders(), topic_id(), LogConfig::default())
        .unwrap();
    let other = manager.create(&orders(), TopicId::from_u128(7), LogConfig::default());
    assert!(matches!(other, Err(OpenError::TopicIdMismatch { .. })));
    manager
        .create(&orders(), topic_id(), LogConfig::default())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_become_durable_together() {
    // More than the flusher handles one by one.
    const PARTITIONS: i32 = 600;
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(dir.path())).unwrap();
    let logs: Vec<_> = (0..PARTITIONS)
        .map(|p| {
            let partition = TopicPartition::new("many", p);
            // Only the appends are to wait for the disk here.
            let config = LogConfig {
                durability: Durability::Fsync,
                ..LogConfig::default()
            };
            manager.create(&partition, topic_id(), config).unwrap()
        })
        .collect();
    for round in 0..3_i64 {
        let ends: Vec<Offset> = logs
            .iter()
            .map(|log| append(log, batch(2)).end_offset())
            .collect();
        for (log, end) in logs.iter().zip(ends) {
            log.wait_high_watermark(end).await.unwrap();
            assert_eq!(end, Offset(2 * round + 2));
        }
    }
    manager.shutdown().unwrap();
    drop((manager, logs));
    let manager = LogManager::open(options(dir.path())).unwrap();
    assert_eq!(manager.all().len(), PARTITIONS as usize);
    for log in manager.all() {
        assert_eq!(log.high_watermark(), Offset(6));
        assert_eq!(read_values(&log, UpTo::HighWatermark).len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_during_a_sync_share_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(dir.path())).unwrap();
    let log = manager
        .create(&orders(), topic_id(), LogConfig::default())
        .unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for _ in 0..20 {
                    let end = append(&log, batch(1)).end_offset();
                    log.wait_high_watermark(end).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counts = manager.metrics();
    assert_eq!(counts.appends, 64 * 20);
    assert!(counts.syncs < counts.appends / 2, "{counts:?}");
    manager.shutdown().unwrap();
}

#[tokio::test]
async fn waits_end_when_the_topic_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(LogManagerOptions {
        flush_threads: 0,
        ..LogManagerOptions::new(dir.path(), "cluster", 1)
    })
    .unwrap();
    let log = manager
        .create(&orders(), topic_id(), LogConfig::default())
        .unwrap();
    let end = append(&log, batch(1)).end_offset();
    manager.delete(&orders()).unwrap();
    log.wait_high_watermark(end).await.unwrap_err();
    assert!(matches!(
        manager.delete(&orders()),
        Err(LogError::Unknown(_))
    ));
    assert!(!dir.path().join("orders-0").exists());
}

#[test]
fn the_log_of_a_deleted_topic_never_reads_the_next_one_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(dir.path())).unwrap();
    let old = manager
        .create(&orders(), topic_id(), LogConfig::default())
        .unwrap();
    append_durably(&old, b"old");
    manager.checkpoint_logs(1);
    old.close_files();
    manager.delete(&orders()).unwrap();
    let new = manager
        .create(&orders(), TopicId::from_u128(7), LogConfig::default())
        .unwrap();
    append_durably(&new, b"new");
    let read = old.read(fetch(0, UpTo::HighWatermark));
    assert!(read.is_err(), "{read:?}");
    assert_eq!(
        read_values(&new, UpTo::HighWatermark),
        [(0, b"new".to_vec())]
    );
}

#[test]
fn records_without_a_time_are_as_old_as_their_file() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let clock = Arc::clone(&options.clock);
    let manager = LogManager::open(options).unwrap();
    let config = LogConfig {
        retention_ms: Some(DAY_MS),
        ..LogConfig::default()
    };
    let log = manager.create(&orders(), topic_id(), config).unwrap();
    append(&log, batch_of(NOBODY, -1, &[b"no time"]));
    log.flush().unwrap();
    let now_ms = clock.now_ms();
    log.enforce_retention(now_ms).unwrap();
    assert_eq!(log.log_start_offset(), Offset(0));
    log.enforce_retention(now_ms + 2 * DAY_MS).unwrap();
    assert_eq!(log.log_start_offset(), Offset(1));
}

#[test]
fn records_without_a_time_stay_where_files_have_none() {
    let disk = Disk::new(LogConfig {
        retention_ms: Some(1000),
        ..LogConfig::default()
    });
    let (_manager, log) = disk.open();
    append(&log, batch_of(NOBODY, -1, &[b"no time"]));
    log.flush().unwrap();
    log.enforce_retention(NOW_MS + 1_000_000).unwrap();
    assert_eq!(log.log_start_offset(), Offset(0));
}

#[test]
fn a_topic_with_the_longest_name_is_deleted_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(dir.path())).unwrap();
    let partition = TopicPartition::new("t".repeat(249), 7);
    let log = manager
        .create(&partition, topic_id(), LogConfig::default())
        .unwrap();
    append(&log, batch(1));
    manager.delete(&partition).unwrap();
    assert!(!dir.path().join(partition.to_string()).exists());
    let again = manager.create(&partition, TopicId::from_u128(7), LogConfig::default());
    assert_eq!(again.unwrap().log_end_offset(), Offset(0));
}

#[test]
fn what_a_failed_deletion_leaves_does_not_come_back_in_the_next_topic() {
    let disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_durably(&log, b"old");
    disk.fs.fail_changes(|change| {
        (change.kind == ChangeKind::Name).then_some(std::io::ErrorKind::PermissionDenied)
    });
    assert!(matches!(
        manager.delete(&orders()),
        Err(LogError::Io { .. })
    ));
    disk.fs.heal();
    let other = TopicId::from_u128(7);
    let again = manager
        .create(&orders(), other, LogConfig::default())
        .unwrap();
    assert_eq!(again.log_end_offset(), Offset(0));
    append_durably(&again, b"new");
    assert_eq!(
        read_values(&again, UpTo::HighWatermark),
        [(0, b"new".to_vec())]
    );
    manager.shutdown().unwrap();
    drop((manager, again));
    let (_manager, log) = disk.reopen();
    assert_eq!(log.topic_id(), other);
    assert_eq!(log.log_end_offset(), Offset(1));
    assert!(
        disk.fs
            .list(Path::new("/var/data"))
            .unwrap()
            .iter()
            .all(|path| !path.to_string_lossy().ends_with(names::DELETE_FOLDER))
    );
}

#[test]
fn the_files_have_kafkas_names() {
    let dir = tempfile::tempdir().unwrap();
    let manager = LogManager::open(options(dir.path())).unwrap();
    let log = manager
        .create(&orders(), topic_id(), small_segments())
        .unwrap();
    for _ in 0..30 {
        append(&log, batch(1));
    }
    manager.shutdown().unwrap();
    let list = |path: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let top = [
        ".boot-id",
        ".kafka_cleanshutdown",
        ".lock",
        "meta.properties",
        "orders-0",
        "recovery-point-offset-checkpoint",
    ];
    assert_eq!(list(dir.path()), top);
    let files = list(&dir.path().join("orders-0"));
    for name in [
        "00000000000000000000.log",
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
        "00000000000000000000.txnindex",
        "00000000000000000030.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ] {
        assert!(files.iter().any(|file| file == name), "{name} in {files:?}");
    }
    let points = std::fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint"));
    assert_eq!(points.unwrap(), "0\n1\norders 0 30\n");
}
