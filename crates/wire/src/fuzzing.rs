//! The targets of the fuzzers, here so that both the coverage-guided fuzzer
//! in `fuzz/` and an ordinary test run the same code (feature `testing`).
//!
//! A target panics when something is wrong, and otherwise does nothing.

use crate::api::AnyMessage;
use crate::batch::{EndTxnMarker, split_batches};
use crate::codec::Reader;
use crate::frame::{RequestFrame, split_frame};
use crate::messages::ApiKey;
use bytes::{Bytes, BytesMut};

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
