//! That the end of a log is read from memory, and never anything else for it.

use super::{KEPT_BYTES_MAX, TAIL_BYTES_MAX};
use crate::config::LogConfig;
use crate::files::Files;
use crate::names::Stage;
use crate::partition::{FetchRequest, PartitionLog, UpTo};
use crate::segment::Segment;
use crate::testing::*;
use bytes::Bytes;
use millstream_core::env::Fs;
use millstream_core::ids::Offset;
use millstream_wire::batch::split_batches;
use std::path::Path;
use std::sync::Arc;

/// The offsets that one read gives, or that it failed.
fn offsets(log: &PartitionLog, request: FetchRequest) -> Option<std::ops::Range<i64>> {
    let fetched = log.read(request).ok()?;
    for batch in split_batches(fetched.batches) {
        batch.ok()?.verify_crc().ok()?;
    }
    Some(request.offset.0..fetched.next_offset.0)
}

/// A log of two batches, the second of which is nonsense in the file.
fn damaged_at_the_end(disk: &Disk) -> std::sync::Arc<PartitionLog> {
    let (_manager, log) = disk.open();
    append(&log, batch(3));
    let position = log.size_bytes() as usize;
    append(&log, batch(2));
    log.flush().unwrap();
    disk.fs
        .damage(&disk.file("00000000000000000000.log"), position + 16);
    log
}

#[test]
fn the_last_append_is_read_from_memory_until_it_is_old() {
    let disk = Disk::new(LogConfig::default());
    let log = damaged_at_the_end(&disk);
    let last = fetch(3, UpTo::HighWatermark);
    assert_eq!(offsets(&log, last), Some(3..5));
    log.touched_or_unlisted().unwrap();
    assert_eq!(offsets(&log, last), Some(3..5), "one look");
    log.touched_or_unlisted().unwrap();
    assert_eq!(offsets(&log, last), None, "two looks without an append");
}

#[test]
fn a_log_that_is_not_looked_at_any_more_keeps_nothing() {
    let disk = Disk::new(LogConfig::default());
    let log = damaged_at_the_end(&disk);
    assert!(log.touched_or_unlisted().is_some());
    append(&log, batch(1));
    log.checkpoint().unwrap();
    assert!(log.touched_or_unlisted().is_none());
    assert!(log.active().recent.lock().tail.is_none());
}

#[test]
fn a_read_from_memory_keeps_to_its_bounds() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(3));
    log.flush().unwrap();
    let both = Bytes::from([batch(2), batch(2)].concat());
    let size = both.len();
    append(&log, both);
    let request = |bytes_max, min_one_batch, up_to| FetchRequest {
        bytes_max,
        min_one_batch,
        ..fetch(3, up_to)
    };
    let committed = |bytes_max, min_one| {
        offsets(&log, request(bytes_max, min_one, UpTo::HighWatermark)).unwrap()
    };
    assert_eq!(committed(size, true), 3..3, "not committed yet");
    assert_eq!(offsets(&log, request(size, true, UpTo::LogEnd)), Some(3..7));
    log.flush().unwrap();
    assert_eq!(committed(size, false), 3..7);
    assert_eq!(committed(size - 1, false), 3..5);
    assert_eq!(committed(1, true), 3..5, "one batch, not one append");
    assert_eq!(committed(1, false), 3..3);
    assert_eq!(
        offsets(&log, fetch(5, UpTo::LogEnd)),
        Some(5..7),
        "its second batch"
    );
}

#[test]
fn an_append_that_is_decided_in_part_is_read_in_part() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(3));
    let open = batch_of(transactional(7, 0), NOW_MS, &[b"undecided"]);
    append(&log, Bytes::from([batch(2), open].concat()));
    log.flush().unwrap();
    assert_eq!(log.last_stable_offset(), Offset(5));
    assert_eq!(offsets(&log, fetch(3, UpTo::LastStable)), Some(3..5));
    assert_eq!(offsets(&log, fetch(3, UpTo::HighWatermark)), Some(3..6));
}

#[test]
fn who_reads_on_after_the_last_append_goes_on_in_the_file() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(3));
    log.flush().unwrap();
    assert_eq!(offsets(&log, fetch(0, UpTo::LogEnd)), Some(0..3));
    append(&log, batch(2));
    append(&log, batch(2));
    log.flush().unwrap();
    let position = log.active().recent.lock().position(3);
    assert_eq!(position, Some(batch(3).len() as u64));
    assert_eq!(offsets(&log, fetch(3, UpTo::LogEnd)), Some(3..7));
}

#[test]
fn a_truncation_takes_the_last_append_along() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append(&log, batch(3));
    append(&log, batch(2));
    log.flush().unwrap();
    log.truncate_to(Offset(3)).unwrap();
    assert_eq!(offsets(&log, fetch(3, UpTo::LogEnd)), Some(3..3));
    append(&log, batch_of(NOBODY, NOW_MS, &[b"another"]));
    log.flush().unwrap();
    let values = read_values(&log, UpTo::HighWatermark);
    assert_eq!(values.last().unwrap(), &(3, b"another".to_vec()));
}

#[test]
fn a_segment_that_is_full_keeps_nothing() {
    let disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    let first = log.active();
    append(&log, batch(1));
    while log.segments_count() == 1 {
        assert!(first.recent.lock().tail.is_some());
        append(&log, batch(1));
    }
    assert!(first.recent.lock().tail.is_none());
    assert!(log.active().recent.lock().tail.is_some());
}

#[test]
fn all_that_is_kept_is_bounded() {
    let disk = Disk::new(LogConfig::default());
    let files = Files::new(disk.fs.shared(), 8);
    let folder = Arc::from(Path::new("/var/data/many-0"));
    disk.fs.create_dir_all(&folder).unwrap();
    let segments: Vec<_> = (0..20)
        .map(|base| Segment::create(&files, &folder, base, Stage::InPlace).unwrap())
        .collect();
    let large = Bytes::from(vec![0; TAIL_BYTES_MAX]);
    for segment in &segments {
        segment.keep_tail(large.clone(), 1, 0, 1);
    }
    let kept = |segments: &[Segment]| {
        let has_one = |s: &&Segment| s.recent.lock().tail.is_some();
        segments.iter().filter(has_one).count()
    };
    assert!((1..=KEPT_BYTES_MAX / TAIL_BYTES_MAX).contains(&kept(&segments)));
    segments.iter().for_each(Segment::drop_tail);
    let (last, _) = segments.split_last().unwrap();
    last.keep_tail(large.clone(), 1, 0, 1);
    assert_eq!(kept(&segments), 1, "what was let go is free again");
    last.keep_tail(vec![0; TAIL_BYTES_MAX + 1].into(), 1, 0, 1);
    assert_eq!(kept(&segments), 0, "too large, and the one before is gone");
}
