//! Reading: what comes, how much, and from where.

use super::*;

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
