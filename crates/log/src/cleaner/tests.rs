//! One round at a time, on a log with small segments.

use super::CleanerConfig;
use crate::config::{CleanupPolicy, LogConfig};
use crate::manager::LogManager;
use crate::partition::{PartitionLog, UpTo};
use crate::testing::*;
use millstream_core::env::{Fs, Keep};
use millstream_core::ids::Offset;
use millstream_wire::batch::{BatchView, ControlKind};
use millstream_wire::compression::Compression;
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY_MS: i64 = 24 * 3_600_000;

/// Segments of some batches; everything dirty is due.
pub(super) fn compacted() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        dirty_ratio_min_ppm: 0,
        segment_bytes: 1200,
        index_interval_bytes: 150,
        ..LogConfig::default()
    }
}

/// Closes the active segment, so that the cleaner may have all before it.
pub(super) fn roll(log: &PartitionLog) {
    log.flush().unwrap();
    log.force_roll();
    append(log, keyed(NOBODY, &[(b"the active segment", Some(b"v"))]));
    log.flush().unwrap();
}

fn put(log: &PartitionLog, key: &str, value: &str) -> i64 {
    let batch = keyed(NOBODY, &[(key.as_bytes(), Some(value.as_bytes()))]);
    append(log, batch).first_offset.0
}

fn delete(log: &PartitionLog, key: &str) -> i64 {
    append(log, keyed(NOBODY, &[(key.as_bytes(), None)]))
        .first_offset
        .0
}

fn clean(manager: &LogManager) {
    let before = manager.metrics();
    assert!(manager.clean_next(), "nothing was due");
    assert_eq!(manager.uncleanable(), []);
    assert_eq!(manager.metrics().cleanings, before.cleanings + 1);
}

/// Offset and value by key, of what is there of the keys asked for.
fn found(log: &PartitionLog, keys: &[&str]) -> BTreeMap<String, Vec<(i64, Option<String>)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (offset, key, value) in read_keyed(log, UpTo::HighWatermark) {
        let key = String::from_utf8(key).unwrap();
        if keys.contains(&key.as_str()) {
            let value = value.map(|v| String::from_utf8(v).unwrap());
            found.entry(key).or_default().push((offset, value));
        }
    }
    found
}

fn of(key: &str, records: &[(i64, Option<&str>)]) -> (String, Vec<(i64, Option<String>)>) {
    let records = records.iter().map(|(o, v)| (*o, v.map(str::to_owned)));
    (key.to_owned(), records.collect())
}

fn headers(log: &PartitionLog) -> Vec<BatchView> {
    read_batches(log, UpTo::HighWatermark)
}

#[test]
fn of_each_key_the_newest_record_stays_at_its_offset() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    for i in 0..200 {
        put(&log, &format!("key-{}", i % 7), &format!("value-{i}"));
    }
    roll(&log);
    let (end, bytes) = (log.log_end_offset(), log.size_bytes());
    clean(&manager);
    assert!(log.size_bytes() < bytes / 4);
    assert_eq!(log.log_end_offset(), end);
    for i in 193..200_i64 {
        let key = format!("key-{}", i % 7);
        let value = format!("value-{i}");
        assert_eq!(
            found(&log, &[&key]),
            BTreeMap::from([of(&key, &[(i, Some(&value))])])
        );
    }
    assert_eq!(manager.cleaned_to(&orders()), Some(Offset(200)));
    assert!(!manager.clean_next(), "all is clean");
    // Small segments become one when they are cleaned next.
    let segments = log.segments_count();
    put(&log, "another", "value");
    roll(&log);
    clean(&manager);
    assert!(log.segments_count() < segments);
}

#[test]
fn the_active_segment_and_an_open_transaction_are_left_alone() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    put(&log, "a", "1");
    put(&log, "a", "2");
    log.flush().unwrap();
    assert!(!manager.clean_next(), "one segment, the active one");
    append(&log, keyed(transactional(1, 0), &[(b"b", Some(b"1"))]));
    roll(&log);
    let twice = [(0, Some("1")), (1, Some("2"))];
    assert!(!manager.clean_next(), "its segment is not stable");
    assert_eq!(found(&log, &["a"]), BTreeMap::from([of("a", &twice)]));
    end_transaction(&log, 1, ControlKind::Commit);
    roll(&log);
    clean(&manager);
    assert_eq!(found(&log, &["a"]), BTreeMap::from([of("a", &twice[1..])]));
}

#[test]
fn a_tombstone_stays_until_its_horizon_and_hides_what_it_ended() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    put(&log, "a", "1");
    let tombstone = delete(&log, "a");
    roll(&log);
    clean(&manager);
    assert_eq!(
        found(&log, &["a"]),
        BTreeMap::from([of("a", &[(tombstone, None)])])
    );
    let header = headers(&log)
        .iter()
        .map(|b| b.header().clone())
        .find(|h| h.base_offset == tombstone)
        .unwrap();
    assert!(header.attributes.has_delete_horizon());
    assert_eq!(header.base_timestamp, NOW_MS + DAY_MS);
    // One round before the horizon, one after it.
    disk.clock.advance_ms(DAY_MS - 1);
    put(&log, "b", "1");
    roll(&log);
    clean(&manager);
    assert_eq!(found(&log, &["a"]).len(), 1);
    disk.clock.advance_ms(1);
    put(&log, "b", "2");
    roll(&log);
    clean(&manager);
    assert_eq!(found(&log, &["a"]).len(), 0);
}

#[test]
fn aborted_records_go_and_their_marker_follows_once_its_horizon_has_passed() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    put(&log, "a", "committed");
    append(
        &log,
        keyed(transactional(1, 0), &[(b"a", Some(b"aborted"))]),
    );
    let marker = end_transaction(&log, 1, ControlKind::Abort).first_offset;
    roll(&log);
    clean(&manager);
    assert_eq!(
        found(&log, &["a"]),
        BTreeMap::from([of("a", &[(0, Some("committed"))])])
    );
    let has_marker = |log: &PartitionLog| {
        headers(log)
            .iter()
            .any(|b| b.base_offset() == marker.0 && b.header().records_count == 1)
    };
    // The producer's last batch is kept, emptied; so is the entry.
    assert_eq!(
        log.aborted_transactions(Offset(0), Offset(9))
            .unwrap()
            .len(),
        1
    );
    assert!(has_marker(&log));
    // The producer goes on, so that its batch is not needed any more.
    append(&log, keyed(transactional(1, 1), &[(b"b", Some(b"1"))]));
    end_transaction(&log, 1, ControlKind::Commit);
    for _ in 0..2 {
        put(&log, "c", "1");
        roll(&log);
        clean(&manager);
        assert!(has_marker(&log));
    }
    assert_eq!(log.aborted_transactions(Offset(0), Offset(9)).unwrap(), []);
    disk.clock.advance_ms(DAY_MS);
    put(&log, "c", "2");
    roll(&log);
    clean(&manager);
    assert!(!has_marker(&log));
}

#[test]
fn a_producers_last_batch_is_kept_so_that_its_sequence_is_remembered() {
    let mut disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    for sequence in 0..3 {
        append(
            &log,
            keyed(idempotent(1, sequence), &[(b"a", Some(b"by 1"))]),
        );
    }
    put(&log, "a", "by nobody");
    put(&log, "z", "the end of the group");
    roll(&log);
    clean(&manager);
    let kept: Vec<(i64, i32, i32)> = headers(&log)
        .iter()
        .map(|b| b.header())
        .filter(|h| h.producer_id == 1)
        .map(|h| (h.base_offset, h.base_sequence, h.records_count))
        .collect();
    assert_eq!(kept, [(2, 2, 0)]);
    manager.checkpoint_logs(1);
    // Found again in the batches alone.
    for name in disk.names().iter().filter(|n| n.ends_with(".snapshot")) {
        use millstream_core::env::Fs;
        disk.fs.remove_file(&disk.file(name)).unwrap();
    }
    disk.kill();
    let (_manager, log) = disk.reopen();
    let again = append(&log, keyed(idempotent(1, 2), &[(b"a", Some(b"by 1"))]));
    assert!(again.duplicate);
    assert_eq!(again.first_offset, Offset(2));
    append(&log, keyed(idempotent(1, 3), &[(b"a", Some(b"by 1"))]));
}

#[test]
fn a_batch_is_written_anew_only_when_records_in_it_die() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    let batch = |keys: &[&[u8]], codec| {
        let records: Vec<(&[u8], Option<&[u8]>)> =
            keys.iter().map(|k| (*k, Some(&b"value"[..]))).collect();
        keyed_with(NOBODY, codec, &records)
    };
    append(&log, batch(&[b"a", b"b"], Compression::Gzip));
    append(&log, batch(&[b"c", b"d"], Compression::Zstd));
    append(&log, batch(&[b"d", b"e"], Compression::Lz4));
    roll(&log);
    let before = headers(&log);
    clean(&manager);
    let after = headers(&log);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[2], before[2]);
    assert_ne!(after[1], before[1]);
    let header = after[1].header();
    assert_eq!(header.compression(), Ok(Compression::Zstd));
    assert_eq!((header.base_offset, header.last_offset()), (2, 3));
    assert_eq!(header.records_count, 1);
}

#[test]
fn a_map_that_is_too_small_cleans_what_it_holds_and_goes_on() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    manager.set_cleaner_config(CleanerConfig {
        dedupe_bytes_max: 24 * 100,
        ..CleanerConfig::default()
    });
    for i in 0..400 {
        put(&log, &format!("key-{}", i % 200), "value");
    }
    roll(&log);
    let mut rounds = 0;
    while manager.clean_next() {
        rounds += 1;
        assert_eq!(manager.uncleanable(), []);
        assert!(rounds < 10);
    }
    assert!(rounds > 2, "{rounds}");
    let keys: Vec<_> = read_keyed(&log, UpTo::HighWatermark);
    assert_eq!(keys.len(), 201, "200 keys and the active segment's");
}

#[test]
fn a_log_that_cannot_be_cleaned_is_set_aside_and_others_go_on() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    let other = millstream_core::ids::TopicPartition::new("others", 0);
    let id = millstream_core::ids::TopicId::from_u128(43);
    let other_log = manager.create(&other, id, compacted()).unwrap();
    for log in [&log, &other_log] {
        for i in 0..50 {
            put(log, "a", &format!("{i}"));
        }
        roll(log);
    }
    let log_file = disk.file("00000000000000000000.log");
    // The value of the first record; the first byte of the next batch's base
    // offset, which no checksum covers.
    for (tries, position, reason) in [(1, 68, "checksum"), (2, 70, "base offset")] {
        disk.fs.damage(&log_file, position);
        while manager.clean_next() {}
        let uncleanable = manager.uncleanable();
        assert_eq!(uncleanable.len(), 1, "{uncleanable:?}");
        assert_eq!(uncleanable[0].0, orders());
        assert!(uncleanable[0].1.contains(reason), "{uncleanable:?}");
        assert_eq!(manager.metrics().cleanings_failed, tries);
        disk.fs.damage(&log_file, position);
        disk.clock.advance_ms(60_000);
    }
    assert_eq!(found(&other_log, &["a"])["a"].len(), 1);
    assert!(!disk.names().iter().any(|n| n.ends_with(".cleaned")));
    put(&log, "b", "appends go on");
    log.flush().unwrap();
}

#[test]
fn a_reader_between_two_rounds_is_told_of_every_aborted_record_that_it_gets() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    let log: Arc<PartitionLog> = log;
    for i in 0..40 {
        append(
            &log,
            keyed(transactional(1, i), &[(b"a", Some(b"aborted"))]),
        );
        end_transaction(&log, 1, ControlKind::Abort);
        put(&log, "b", &format!("{i}"));
    }
    roll(&log);
    // A reader that holds on to a segment while it is replaced.
    let held = log.segments_below(i64::MAX);
    let before: Vec<_> = held
        .iter()
        .map(|s| s.read(s.base_offset(), i64::MAX, 1 << 20, true).unwrap())
        .collect();
    clean(&manager);
    for (segment, before) in held.iter().zip(before) {
        let offset = segment.base_offset();
        let again = segment.read(offset, i64::MAX, 1 << 20, true).unwrap();
        assert_eq!(again, before);
        assert_eq!(segment.find(offset).unwrap().map(|(at, _)| at), Some(0));
    }
    assert_eq!(found(&log, &["a"]).len(), 0);
    assert_eq!(found(&log, &["b"])["b"].len(), 1);
}

#[test]
fn compact_and_delete_does_both() {
    let disk = Disk::new(LogConfig {
        cleanup_policy: CleanupPolicy::CompactAndDelete,
        retention_ms: Some(DAY_MS),
        ..compacted()
    });
    let (manager, log) = disk.open();
    for i in 0..100 {
        put(&log, &format!("key-{}", i % 3), "value");
    }
    roll(&log);
    clean(&manager);
    assert_eq!(found(&log, &["key-0", "key-1", "key-2"]).len(), 3);
    disk.clock.advance_ms(2 * DAY_MS);
    log.enforce_retention(NOW_MS + 2 * DAY_MS).unwrap();
    assert_eq!(read_keyed(&log, UpTo::HighWatermark), []);
    assert_eq!(log.log_start_offset(), log.log_end_offset());
}

/// Without a recovery point all is scanned, and the gaps that the cleaner left
/// are neither tears nor flipped bits.
#[test]
fn a_cleaned_log_without_its_checkpoint_is_recovered_whole() {
    let mut disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    for i in 0..30 {
        put(&log, &format!("key-{}", i % 3), &format!("value-{i}"));
    }
    roll(&log);
    clean(&manager);
    put(&log, "key-0", "the last");
    log.flush().unwrap();
    let before = read_keyed(&log, UpTo::HighWatermark);
    assert!(before.len() < 30, "there are gaps");
    drop((manager, log));
    let path = std::path::Path::new("/var/data/recovery-point-offset-checkpoint");
    disk.fs.remove_file(path).unwrap();
    for keep in [Keep::Everything, Keep::Random(1)] {
        disk.lose_power(keep);
        let (_manager, log) = disk.reopen();
        assert_eq!(read_keyed(&log, UpTo::HighWatermark), before);
        assert!(!disk.names().iter().any(|name| name.contains(".cut")));
    }
}

#[test]
fn times_and_offsets_are_found_in_a_cleaned_log() {
    let disk = Disk::new(compacted());
    let (manager, log) = disk.open();
    for i in 0..200_i64 {
        let key = format!("key-{}", i % 60);
        let batch = keyed_at(NOBODY, NOW_MS + i, &[(key.as_bytes(), Some(b"v"))]);
        append(&log, batch);
    }
    roll(&log);
    clean(&manager);
    let at = |ms| {
        log.offset_for_timestamp(NOW_MS + ms, UpTo::HighWatermark)
            .unwrap()
            .map(|found| found.offset)
    };
    assert_eq!(at(0), Some(Offset(140)), "the first that is left");
    assert_eq!(at(170), Some(Offset(170)));
    let read = log.read(fetch(3, UpTo::HighWatermark)).unwrap();
    let first = BatchView::parse(&read.batches).unwrap();
    assert!(first.last_offset() >= 3 && first.last_offset() <= 140);
}
