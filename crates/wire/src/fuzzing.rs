//! The targets of the fuzzers, here so that both the coverage-guided fuzzer
//! in `fuzz/` and an ordinary test run the same code (feature `testing`).
//!
//! A target panics when something is wrong, and otherwise does nothing.

use crate::api::AnyMessage;
use crate::batch::{
    BatchBuilder, BatchError, BatchOptions, BatchView, EndTxnMarker, FramedRecord, Record,
    split_batches,
};
use crate::codec::Reader;
use crate::compression::Compression;
use crate::frame::{RequestFrame, split_frame};
use crate::messages::ApiKey;
use crate::records::consumer_offsets::{
    ConsumerOffsetsKey, GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use crate::records::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::records::transaction_state::{TransactionLogKey, TransactionLogValue};
use bytes::{Bytes, BytesMut};
use std::ops::ControlFlow;

/// Uncompressed bytes that a fuzzed batch may have.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that a fuzzed frame may have.
const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// A socket's bytes: frames, their headers, and their bodies as requests.
pub fn frame(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = split_frame(&mut buffer, FRAME_BYTES_MAX) {
        let Ok(mut request) = RequestFrame::parse(frame) else {
            continue;
        };
        let (message, _) = request.header.api_key.messages();
        check_message(message, request.header.api_version, &mut request.body);
    }
}

/// A message: two bytes choose which, one its version, the rest is it.
pub fn message(data: &[u8]) {
    let [which, kind, version, body @ ..] = data else {
        return;
    };
    let api = ApiKey::ALL.get(usize::from(*which) % ApiKey::ALL.len());
    let Some((request, response)) = api.map(|api| api.messages()) else {
        return;
    };
    let message = if kind % 2 == 0 { request } else { response };
    let versions_count = message.version_last - message.version_first + 1;
    let version = message.version_first + i16::from(*version) % versions_count;
    check_message(
        message,
        version,
        &mut Reader::new(Bytes::copy_from_slice(body)),
    );
}

/// Record batches, as Produce carries them.
pub fn batches(data: &[u8]) {
    for batch in split_batches(Bytes::copy_from_slice(data)) {
        let Ok(batch) = batch else { return };
        let _ = batch.verify_crc();
        check_framing(&batch);
        let Ok(records) = batch.records_capped(BATCH_BYTES_MAX) else {
            continue;
        };
        for record in records {
            let Ok(record) = record else { break };
            assert!((batch.base_offset()..=batch.last_offset()).contains(&record.offset));
            if batch.header().is_control() {
                let _ = EndTxnMarker::parse(&record);
            }
        }
    }
}

/// What the walk over the framing accepts can be read, and tells the same; and
/// it accepts what can be read, if its offsets are those of a producer.
fn check_framing(batch: &BatchView) {
    let mut framed = Vec::new();
    let mut walked = Vec::new();
    let checked = batch.check_framing(BATCH_BYTES_MAX, |record| framed.push(record));
    let lenient = batch.walk_framing(BATCH_BYTES_MAX, |record| {
        walked.push(record);
        ControlFlow::Continue(())
    });
    let read = read_batch(batch).map(|records| {
        let told = |record: &Record| FramedRecord {
            offset_delta: record.offset.wrapping_sub(batch.base_offset()) as i32,
            timestamp: record.timestamp,
            has_key: record.key.is_some(),
        };
        records.iter().map(told).collect::<Vec<_>>()
    });
    match (lenient, &read) {
        (Ok(()), Ok(read)) => assert_eq!(&walked, read, "the walk tells other records"),
        (Err(_), Err(_)) => {}
        (lenient, read) => panic!("the walk says {lenient:?}, the reader {read:?}"),
    }
    let in_order =
        |records: &Vec<FramedRecord>| (0..).zip(records).all(|(i, r)| r.offset_delta == i);
    let may_be_sent = read.as_ref().is_ok_and(in_order);
    assert_eq!(
        checked.is_ok(),
        may_be_sent,
        "{checked:?}, records {read:?}"
    );
    assert!(checked.is_err() || framed == walked);
}

/// The messages inside records of the internal topics and of group members.
#[must_use]
pub fn record_messages() -> Vec<AnyMessage> {
    vec![
        AnyMessage::of::<OffsetCommitKey>(),
        AnyMessage::of::<OffsetCommitValue>(),
        AnyMessage::of::<GroupMetadataKey>(),
        AnyMessage::of::<GroupMetadataValue>(),
        AnyMessage::of::<TransactionLogKey>(),
        AnyMessage::of::<TransactionLogValue>(),
        AnyMessage::of::<ConsumerProtocolSubscription>(),
        AnyMessage::of::<ConsumerProtocolAssignment>(),
    ]
}

/// A message inside a record: two bytes choose which and its version, the
/// rest is it. The rest is read as a key of `__consumer_offsets` too.
pub fn records(data: &[u8]) {
    let [which, version, body @ ..] = data else {
        return;
    };
    let messages = record_messages();
    let message = messages[usize::from(*which) % messages.len()];
    let versions_count = message.version_last - message.version_first + 1;
    let version = message.version_first + i16::from(*version) % versions_count;
    let body = Bytes::copy_from_slice(body);
    check_message(message, version, &mut Reader::new(body.clone()));
    if let Ok(key) = ConsumerOffsetsKey::decode(body)
        && let Ok(encoded) = key.encode()
    {
        assert_eq!(ConsumerOffsetsKey::decode(encoded), Ok(key));
    }
}

/// Record batches compressed anew, as a topic with a `compression.type` of
/// its own stores them: a byte chooses how, the rest is the batches. What can
/// be read before reads the same after.
pub fn recompress(data: &[u8]) {
    let [which, batches @ ..] = data else { return };
    let compression = Compression::ALL[usize::from(*which) % Compression::ALL.len()];
    for batch in split_batches(Bytes::copy_from_slice(batches)) {
        let Ok(batch) = batch else { return };
        let Ok(before) = read_batch(&batch) else {
            continue;
        };
        let Some(again) = rebuild(&before, compression) else {
            continue;
        };
        let again = BatchView::parse(&again);
        let after = again.and_then(|again| {
            again.verify_crc()?;
            read_batch(&again)
        });
        let Ok(after) = after else {
            panic!("what was compressed with {compression:?} cannot be read: {after:?}");
        };
        assert!(
            before.len() == after.len() && before.iter().zip(&after).all(|(b, a)| same(b, a)),
            "{compression:?} changes the records"
        );
    }
}

fn read_batch(batch: &BatchView) -> Result<Vec<Record>, BatchError> {
    batch.records_capped(BATCH_BYTES_MAX)?.collect()
}

/// `None` for records that the builder does not take: header keys that are
/// not UTF-8, times that are too far apart.
fn rebuild(records: &[Record], compression: Compression) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        ..Default::default()
    });
    for record in records {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|h| Some((std::str::from_utf8(&h.key).ok()?, h.value.as_deref())))
            .collect::<Option<_>>()?;
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder
            .append(record.timestamp, key, value, &headers)
            .ok()?;
    }
    builder.build().ok()
}

fn same(a: &Record, b: &Record) -> bool {
    (a.timestamp, &a.key, &a.value, &a.headers) == (b.timestamp, &b.key, &b.value, &b.headers)
}

/// What could be decoded can be encoded, and that is a fixed point: decoding
/// and encoding it again changes nothing.
fn check_message(message: AnyMessage, version: i16, reader: &mut Reader) {
    let Ok(encoded) = (message.recode)(version, reader) else {
        return;
    };
    let name = message.name;
    let Ok(encoded) = encoded else {
        panic!("{name} v{version} was decoded but cannot be encoded: {encoded:?}");
    };
    let again = (message.recode)(version, &mut Reader::new(encoded.clone()));
    assert!(
        again == Ok(Ok(encoded)),
        "{name} v{version} changes when it is encoded again"
    );
}
