//! The records' framing: what a producer sends passes and is told as the
//! records tell it, what no consumer could read is refused.

#![allow(clippy::unwrap_used)] // A test file: a panic is a failed test.

use bytes::{BufMut, BytesMut};
use millstream_wire::batch::{
    BatchBuilder, BatchError, BatchOptions, BatchView, FramedRecord, HEADER_BYTES,
    set_max_timestamp,
};
use millstream_wire::codec::{DecodeError, put_varint, put_varlong};
use millstream_wire::compression::{Compression, CompressionError};
use std::ops::ControlFlow;

const MIB: usize = 1024 * 1024;

/// A record's bytes, with whatever its fields claim.
struct Raw {
    offset_delta: i32,
    key_length: i32,
    value_length: i32,
    headers_count: i32,
    /// What follows each length, whatever it says.
    bytes: [&'static [u8]; 3],
    /// Added to the record's own length.
    length_off_by: i32,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            offset_delta: 0,
            key_length: 1,
            value_length: 2,
            headers_count: 0,
            bytes: [b"k", b"vv", b""],
            length_off_by: 0,
        }
    }
}

impl Raw {
    fn put(&self, out: &mut BytesMut) {
        let mut body = BytesMut::new();
        body.put_i8(0);
        put_varlong(&mut body, 5);
        put_varint(&mut body, self.offset_delta);
        let lengths = [self.key_length, self.value_length, self.headers_count];
        for (length, bytes) in lengths.into_iter().zip(self.bytes) {
            put_varint(&mut body, length);
            body.put_slice(bytes);
        }
        put_varint(out, body.len() as i32 + self.length_off_by);
        out.put_slice(&body);
    }
}

/// A batch with this for its records' bytes, compressed or not, that says it
/// has so many; its checksum holds.
fn sealed(compression: Compression, records: &[u8], count: i32) -> Result<BatchView, BatchError> {
    sealed_as(compression, &compression.compress(records).unwrap(), count)
}

/// As [`sealed`], with this for the payload as it is stored.
fn sealed_as(
    compression: Compression,
    payload: &[u8],
    count: i32,
) -> Result<BatchView, BatchError> {
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32((HEADER_BYTES - 12 + payload.len()) as i32);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(compression.code().into());
    batch.put_i32(count - 1);
    batch.put_i64(1_000);
    batch.put_i64(1_005);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(count);
    batch.put_slice(payload);
    set_max_timestamp(&mut batch, 1_005).unwrap();
    let view = BatchView::parse(&batch.freeze())?;
    view.verify_crc().unwrap();
    Ok(view)
}

fn raw(records: &[Raw]) -> Vec<u8> {
    let mut out = BytesMut::new();
    records.iter().for_each(|record| record.put(&mut out));
    out.to_vec()
}

fn check(batch: &BatchView) -> Result<Vec<FramedRecord>, BatchError> {
    let mut seen = Vec::new();
    batch.check_framing(MIB, |record| seen.push(record))?;
    Ok(seen)
}

fn second() -> Raw {
    Raw {
        offset_delta: 1,
        ..Raw::default()
    }
}

#[test]
fn what_no_consumer_could_read_is_refused_in_every_codec() {
    let one = |record: Raw| (raw(&[record]), 1);
    let long = raw(&[Raw::default(), second()]);
    let cut = long[..long.len() - 1].to_vec();
    let trailing = [long.as_slice(), b"\0"].concat();
    let wrong: Vec<(&str, (Vec<u8>, i32))> = vec![
        ("fewer records than said", (raw(&[Raw::default()]), 2)),
        ("more records than said", (long.clone(), 1)),
        ("bytes after the last record", (trailing, 2)),
        ("a record cut short", (cut, 2)),
        (
            "the same offset twice",
            (raw(&[Raw::default(), Raw::default()]), 2),
        ),
        (
            "offsets that go down",
            (raw(&[second(), Raw::default()]), 2),
        ),
        (
            "an offset below the batch",
            one(Raw {
                offset_delta: -1,
                ..Raw::default()
            }),
        ),
        (
            "an offset beyond the batch",
            one(Raw {
                offset_delta: 1,
                ..Raw::default()
            }),
        ),
        (
            "a record that says it is longer",
            one(Raw {
                length_off_by: 1,
                ..Raw::default()
            }),
        ),
        (
            "a record that says it is shorter",
            one(Raw {
                length_off_by: -1,
                ..Raw::default()
            }),
        ),
        (
            "a record of negative length",
            one(Raw {
                length_off_by: -100,
                ..Raw::default()
            }),
        ),
        (
            "a key beyond its record",
            one(Raw {
                key_length: 1_000,
                ..Raw::default()
            }),
        ),
        (
            "a value beyond its record",
            one(Raw {
                value_length: i32::MAX,
                ..Raw::default()
            }),
        ),
        (
            "fewer than no headers",
            one(Raw {
                headers_count: -1,
                ..Raw::default()
            }),
        ),
        (
            "more headers than bytes",
            one(Raw {
                headers_count: 3,
                bytes: [b"k", b"vv", &[2, b'h', 0]],
                ..Raw::default()
            }),
        ),
        (
            "a header without a name",
            one(Raw {
                headers_count: 1,
                bytes: [b"k", b"vv", &[1, 0]],
                ..Raw::default()
            }),
        ),
        ("a length that never ends", (vec![0xff; 40], 1)),
        ("nothing", (Vec::new(), 1)),
    ];
    for codec in Compression::ALL {
        for (what, (records, count)) in &wrong {
            // An uncompressed header is held against its bytes.
            let refused = sealed(codec, records, *count).and_then(|batch| check(&batch));
            assert!(refused.is_err(), "{}: {what}", codec.name());
        }
    }
}

#[test]
fn garbage_and_cut_payloads_are_refused_in_every_codec() {
    let records = raw(&[Raw::default(), second()]);
    for codec in Compression::ALL.into_iter().skip(1) {
        let whole = codec.compress(&records).unwrap();
        check(&sealed_as(codec, &whole, 2).unwrap()).unwrap();
        for end in 0..whole.len() {
            let batch = sealed_as(codec, &whole[..end], 2).unwrap();
            let cut = check(&batch);
            // What a codec has behind its last byte of records may be missing.
            let readable = batch.records();
            let readable = readable.is_ok_and(|mut records| records.all(|r| r.is_ok()));
            assert_eq!(cut.is_ok(), readable, "{} cut at {end}", codec.name());
        }
        for garbage in [&b"not compressed at all"[..], &[0xff; 300], &[0; 300]] {
            let refused = check(&sealed_as(codec, garbage, 2).unwrap());
            assert!(refused.is_err(), "{}: {garbage:?}", codec.name());
        }
    }
}

#[test]
fn a_framed_record_is_told_as_the_record_tells_it() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: codec,
            ..Default::default()
        });
        // Some larger than what is expanded at a time, some over its edge.
        for i in 0..400i64 {
            let value = vec![i as u8; (i as usize * 7919) % 200_000];
            let key = (i % 3 != 0).then_some(&b"key"[..]);
            let headers: &[(&str, Option<&[u8]>)] =
                &[("h", Some(&value[..value.len().min(99)])), ("", None)];
            let headers = if i % 5 == 0 { headers } else { &[] };
            let value = (i % 7 != 0).then_some(&value[..]);
            builder.append(10_000 - i, key, value, headers).unwrap();
        }
        let batch = BatchView::parse(&builder.build().unwrap()).unwrap();
        let mut seen = Vec::new();
        batch
            .check_framing(usize::MAX, |record| seen.push(record))
            .unwrap();
        let read: Vec<_> = batch
            .records()
            .unwrap()
            .map(|record| record.unwrap())
            .map(|record| FramedRecord {
                offset_delta: record.offset as i32,
                timestamp: record.timestamp,
                has_key: record.key.is_some(),
            })
            .collect();
        assert_eq!(seen, read, "{}", codec.name());
    }
}

#[test]
fn what_expands_beyond_the_bound_is_refused_and_one_byte_less_is_not() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: codec,
            ..Default::default()
        });
        builder
            .append(0, None, Some(&vec![0; 3 * MIB]), &[])
            .unwrap();
        let batch = BatchView::parse(&builder.build().unwrap()).unwrap();
        let expanded = codec
            .decompress(&batch.bytes().slice(HEADER_BYTES..), usize::MAX)
            .unwrap()
            .len();
        batch.check_framing(expanded, |_| {}).unwrap();
        let bytes_max = expanded - 1;
        assert_eq!(
            batch.check_framing(bytes_max, |_| {}),
            Err(CompressionError::TooLarge { bytes_max }.into()),
            "{}",
            codec.name()
        );
    }
}

#[test]
fn gaps_that_compaction_left_are_walked_and_no_producer_may_send_them() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append_at(2, 0, None, None, &[]).unwrap();
    builder.append_at(9, 0, None, None, &[]).unwrap();
    let batch = BatchView::parse(&builder.build().unwrap()).unwrap();
    assert_eq!(
        check(&batch),
        Err(BatchError::OffsetDelta { index: 0, delta: 2 })
    );
    let mut deltas = Vec::new();
    batch
        .walk_framing(MIB, |record| {
            deltas.push(record.offset_delta);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(deltas, [2, 9]);
}

#[test]
fn an_error_names_the_record_and_what_is_wrong_with_it() {
    let records = raw(&[
        Raw::default(),
        Raw {
            key_length: 500,
            ..second()
        },
    ]);
    for codec in Compression::ALL {
        assert_eq!(
            check(&sealed(codec, &records, 2).unwrap()),
            Err(BatchError::Record {
                index: 1,
                source: DecodeError::Truncated {
                    needed: 500,
                    available: 5
                }
            }),
            "{}",
            codec.name()
        );
    }
}
