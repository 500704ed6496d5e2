//! Record batches: what is built is read back, what is cut or altered is
//! refused, and a broker's patches leave a valid batch.

#![allow(clippy::unwrap_used)] // A test file: a panic is a failed test.

use bytes::{Bytes, BytesMut};
use millstream_wire::batch::{
    BatchBuilder, BatchError, BatchHeader, BatchOptions, BatchView, ControlKind, EndTxnMarker,
    HEADER_BYTES, RecordHeader, TimestampType, set_base_offset, set_leader_epoch,
    set_log_append_time, split_batches,
};
use millstream_wire::compression::{Compression, CompressionError};

fn batch(options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    builder
        .append(1_000, Some(b"k1"), Some(b"v1"), &[])
        .unwrap();
    builder
        .append(
            990,
            None,
            None,
            &[("a", Some(b"1")), ("b", None), ("a", Some(b"2"))],
        )
        .unwrap();
    builder
        .append(1_500, Some(b""), Some(&[7; 300]), &[])
        .unwrap();
    builder.build().unwrap()
}

fn plain() -> Bytes {
    batch(BatchOptions::default())
}

#[test]
fn records_come_back_in_order_with_nulls_and_duplicate_headers() {
    for compression in Compression::ALL {
        let bytes = batch(BatchOptions {
            base_offset: 40,
            compression,
            ..Default::default()
        });
        let view = BatchView::parse(&bytes).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.header().compression(), Ok(compression));
        assert_eq!((view.base_offset(), view.last_offset()), (40, 42));
        assert_eq!(
            (view.header().base_timestamp, view.header().max_timestamp),
            (1_000, 1_500)
        );
        let records: Vec<_> = view.records().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].key.as_deref(), Some(&b"k1"[..]));
        assert_eq!((records[1].offset, records[1].timestamp), (41, 990));
        assert_eq!((&records[1].key, &records[1].value), (&None, &None));
        let headers: Vec<_> = records[1]
            .headers
            .iter()
            .map(|header| (header.key_text().into_owned(), header.value.as_deref()))
            .collect();
        assert_eq!(
            headers,
            [
                ("a".to_owned(), Some(&b"1"[..])),
                ("b".to_owned(), None),
                ("a".to_owned(), Some(&b"2"[..]))
            ]
        );
        assert_eq!(records[2].key.as_deref(), Some(&b""[..]));
        assert_eq!(records[2].value.as_deref(), Some(&[7; 300][..]));
    }
}

#[test]
fn uncompressed_records_are_slices_of_the_batch() {
    let bytes = plain();
    let range = bytes.as_ptr_range();
    for record in BatchView::parse(&bytes).unwrap().records().unwrap() {
        for part in [record.as_ref().unwrap().key.clone(), record.unwrap().value] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                assert!(range.contains(&part.as_ptr()), "copied");
            }
        }
    }
}

#[test]
fn a_batch_cut_anywhere_is_truncated() {
    let bytes = plain();
    for end in 0..bytes.len() {
        let error = BatchView::parse(&bytes.slice(..end)).unwrap_err();
        assert!(error.is_truncated(), "cut at {end}: {error}");
    }
}

#[test]
fn a_header_alone_is_enough_to_scan() {
    let bytes = plain();
    let header = BatchHeader::parse(&bytes[..HEADER_BYTES]).unwrap();
    assert_eq!(header.size_bytes(), bytes.len());
    assert_eq!(header.records_count, 3);
    assert_eq!(header.next_offset(), 3);
}

#[test]
fn a_concatenation_is_split_and_a_cut_tail_is_told_apart() {
    let mut all = BytesMut::new();
    for base_offset in [0, 3, 6] {
        all.extend_from_slice(&batch(BatchOptions {
            base_offset,
            ..Default::default()
        }));
    }
    let all = all.freeze();
    let offsets: Vec<_> = split_batches(all.clone())
        .map(|batch| batch.unwrap().base_offset())
        .collect();
    assert_eq!(offsets, [0, 3, 6]);

    let cut: Vec<_> = split_batches(all.slice(..all.len() - 1)).collect();
    assert_eq!(cut.len(), 3);
    assert!(cut[1].is_ok());
    assert!(cut[2].as_ref().is_err_and(BatchError::is_truncated));
}

#[test]
fn any_altered_byte_under_the_checksum_is_found() {
    let bytes = plain();
    for at in 21..bytes.len() {
        let mut altered = BytesMut::from(&bytes[..]);
        altered[at] ^= 0x20;
        let found = BatchView::parse(&altered.freeze()).and_then(|view| view.verify_crc());
        assert!(found.is_err(), "byte {at}");
    }
}

#[test]
fn offset_and_epoch_are_patched_without_touching_the_checksum() {
    let mut bytes = BytesMut::from(&plain()[..]);
    set_base_offset(&mut bytes, 1 << 40).unwrap();
    set_leader_epoch(&mut bytes, 9).unwrap();
    let view = BatchView::parse(&bytes.freeze()).unwrap();
    view.verify_crc().unwrap();
    assert_eq!(view.last_offset(), (1 << 40) + 2);
    assert_eq!(view.header().partition_leader_epoch, 9);
    assert!(set_base_offset(&mut [0; 4], 1).unwrap_err().is_truncated());
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let mut bytes = BytesMut::from(&plain()[..]);
    set_log_append_time(&mut bytes, 77_000).unwrap();
    let view = BatchView::parse(&bytes.freeze()).unwrap();
    view.verify_crc().unwrap();
    assert_eq!(view.header().timestamp_type(), TimestampType::LogAppendTime);
    for record in view.records().unwrap() {
        assert_eq!(record.unwrap().timestamp, 77_000);
    }
}

#[test]
fn older_message_formats_are_refused_by_name() {
    for magic in [0, 1, 3] {
        let mut bytes = BytesMut::from(&plain()[..]);
        bytes[16] = magic;
        assert_eq!(
            BatchView::parse(&bytes.freeze()),
            Err(BatchError::UnsupportedMagic(magic as i8))
        );
    }
}

#[test]
fn counts_that_the_bytes_cannot_hold_are_refused() {
    let refuses = |at: usize, value: i32| {
        let mut bytes = BytesMut::from(&plain()[..]);
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        BatchView::parse(&bytes.freeze()).is_err()
    };
    for value in [-1, i32::MIN, i32::MAX, 4] {
        assert!(refuses(57, value), "records count {value}");
    }
    for value in [-1, i32::MIN, 0, 48] {
        assert!(refuses(8, value), "batch length {value}");
    }
    for value in [-1, i32::MIN, 0, 1] {
        assert!(refuses(23, value), "last offset delta {value}");
    }
}

#[test]
fn records_left_over_are_an_error() {
    let mut bytes = BytesMut::from(&plain()[..]);
    bytes[57..61].copy_from_slice(&2i32.to_be_bytes());
    let last = BatchView::parse(&bytes.freeze())
        .unwrap()
        .records()
        .unwrap()
        .last();
    assert!(matches!(last, Some(Err(BatchError::TrailingBytes(_)))));
}

#[test]
fn a_compressed_bomb_stops_at_the_callers_cap() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression,
            ..Default::default()
        });
        builder
            .append(0, None, Some(&vec![0; 8 * 1024 * 1024]), &[])
            .unwrap();
        let view = BatchView::parse(&builder.build().unwrap()).unwrap();
        assert_eq!(
            view.records_capped(1024 * 1024).unwrap_err(),
            BatchError::Compression(CompressionError::TooLarge {
                bytes_max: 1024 * 1024
            })
        );
        assert!(view.records().is_ok());
    }
}

#[test]
fn sequences_wrap_after_the_largest() {
    let bytes = batch(BatchOptions {
        producer_id: 5,
        producer_epoch: 1,
        base_sequence: i32::MAX - 1,
        ..Default::default()
    });
    let header = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(header.last_sequence(), 0);
    assert_eq!(BatchHeader::parse(&plain()).unwrap().last_sequence(), -1);
}

#[test]
fn a_marker_comes_back_from_its_control_batch() {
    for kind in [ControlKind::Commit, ControlKind::Abort] {
        let marker = EndTxnMarker {
            kind,
            coordinator_epoch: 12,
        };
        let bytes = marker.to_batch(4_000, 3, 1_700_000_000_000).unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        view.verify_crc().unwrap();
        assert!(view.header().is_control() && view.header().is_transactional());
        assert_eq!(
            (view.header().producer_id, view.header().producer_epoch),
            (4_000, 3)
        );
        assert_eq!(view.header().base_sequence, -1);
        let record = view.records().unwrap().next().unwrap().unwrap();
        assert_eq!(EndTxnMarker::parse(&record), Ok(marker));
    }
}

#[test]
fn a_builder_keeps_the_gaps_of_compaction() {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 100,
        ..Default::default()
    });
    builder.append_at(2, 0, None, Some(b"a"), &[]).unwrap();
    builder.append_at(7, 0, None, Some(b"b"), &[]).unwrap();
    assert!(builder.append_at(7, 0, None, None, &[]).is_err());
    let view = BatchView::parse(&builder.build().unwrap()).unwrap();
    let offsets: Vec<_> = view
        .records()
        .unwrap()
        .map(|record| record.unwrap().offset)
        .collect();
    assert_eq!(offsets, [102, 107]);
    assert_eq!(view.last_offset(), 107);
}

/// The records that Kafka's Java client was made to write into the fixtures.
fn record_of_java(i: u32) -> (i64, Option<String>, Option<String>, Vec<RecordHeader>) {
    let timestamp = 1_700_000_000_000 + i64::from(i) * 10 - i64::from(i % 3);
    let key = (!i.is_multiple_of(5)).then(|| format!("key-{i}"));
    let value =
        (!i.is_multiple_of(7)).then(|| format!("value-{i}-{}", "x".repeat(i as usize % 300)));
    let header = |value| RecordHeader {
        key: Bytes::from_static(b"a"),
        value,
    };
    let headers = if i.is_multiple_of(4) {
        vec![header(Some(vec![i as u8].into())), header(None)]
    } else {
        Vec::new()
    };
    (timestamp, key, value, headers)
}

#[test]
fn batches_written_by_kafkas_java_client_are_read() {
    let fixtures: [(Compression, &[u8]); 5] = [
        (
            Compression::None,
            include_bytes!("fixtures/batches/none.bin"),
        ),
        (
            Compression::Gzip,
            include_bytes!("fixtures/batches/gzip.bin"),
        ),
        (
            Compression::Snappy,
            include_bytes!("fixtures/batches/snappy.bin"),
        ),
        (Compression::Lz4, include_bytes!("fixtures/batches/lz4.bin")),
        (
            Compression::Zstd,
            include_bytes!("fixtures/batches/zstd.bin"),
        ),
    ];
    for (compression, bytes) in fixtures {
        let view = BatchView::parse(&Bytes::from_static(bytes)).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.size_bytes(), bytes.len());
        assert_eq!(view.header().compression(), Ok(compression));
        assert_eq!(
            (view.header().producer_id, view.header().base_sequence),
            (4_000, 17)
        );
        assert!(view.header().is_transactional());
        assert_eq!(view.header().partition_leader_epoch, 5);
        view.check_framing(usize::MAX, |_| {}).unwrap();
        let records: Vec<_> = view.records().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(
            records.len(),
            if compression == Compression::None {
                60
            } else {
                600
            }
        );
        for (i, record) in (0u32..).zip(records) {
            let (timestamp, key, value, headers) = record_of_java(i);
            assert_eq!(
                (record.offset, record.timestamp),
                (500 + i64::from(i), timestamp)
            );
            assert_eq!(record.key.as_deref(), key.as_ref().map(String::as_bytes));
            assert_eq!(
                record.value.as_deref(),
                value.as_ref().map(String::as_bytes)
            );
            assert_eq!(record.headers, headers);
        }
    }
}

#[test]
fn an_uncompressed_batch_is_byte_for_byte_what_kafkas_java_client_writes() {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 500,
        partition_leader_epoch: 5,
        producer_id: 4_000,
        producer_epoch: 3,
        base_sequence: 17,
        is_transactional: true,
        ..Default::default()
    });
    for i in 0..60 {
        let (timestamp, key, value, headers) = record_of_java(i);
        let headers: Vec<_> = headers
            .iter()
            .map(|header| ("a", header.value.as_deref()))
            .collect();
        let bytes = |text: &'_ Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        builder
            .append(
                timestamp,
                bytes(&key).as_deref(),
                bytes(&value).as_deref(),
                &headers,
            )
            .unwrap();
    }
    let fixture: &[u8] = include_bytes!("fixtures/batches/none.bin");
    assert_eq!(&builder.build().unwrap()[..], fixture);
}
