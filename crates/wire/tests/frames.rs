//! Frames: what a client sends is what a broker reads, and the other way.

#![allow(clippy::unwrap_used)] // A test file: a panic is a failed test.

use bytes::{BufMut, Bytes, BytesMut};
use millstream_wire::codec::{DecodeError, Payload};
use millstream_wire::frame::{
    FrameError, RequestFrame, decode_response, encode_request, encode_response, split_frame,
};
use millstream_wire::messages::fetch::{FetchableTopicResponse, PartitionData};
use millstream_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, HeartbeatRequest,
    HeartbeatResponse,
};
use millstream_wire::{ApiKey, ErrorCode};

const BYTES_MAX: usize = 1024 * 1024;

/// The frame without its length, as a socket's buffer gives it.
fn sent(frame: &millstream_wire::frame::Frame) -> Bytes {
    let mut buffer = BytesMut::from(&frame.to_bytes().unwrap()[..]);
    let frame = split_frame(&mut buffer, BYTES_MAX).unwrap().unwrap();
    assert!(buffer.is_empty());
    frame
}

#[test]
fn a_request_comes_back_with_both_header_versions() {
    let request = HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id: 3,
        member_id: "m".to_owned(),
        ..Default::default()
    };
    for version in [0, 4] {
        let frame = sent(&encode_request(&request, version, 77, Some("client")).unwrap());
        let parsed = RequestFrame::parse(frame).unwrap();
        assert_eq!(parsed.header.api_key, ApiKey::Heartbeat);
        assert_eq!(
            (parsed.header.api_version, parsed.header.correlation_id),
            (version, 77)
        );
        assert_eq!(parsed.header.client_id.as_deref(), Some("client"));
        assert_eq!(parsed.decode::<HeartbeatRequest>(), Ok(request.clone()));

        let response = HeartbeatResponse {
            error_code: ErrorCode::UnknownMemberId.into(),
            ..Default::default()
        };
        let frame = sent(&encode_response(&response, version, 77).unwrap());
        assert_eq!(frame.len(), if version == 0 { 6 } else { 4 + 1 + 6 + 1 });
        assert_eq!(
            decode_response::<HeartbeatRequest>(frame, version),
            Ok((77, response))
        );
    }
}

#[test]
fn the_header_of_an_api_versions_response_never_has_tags() {
    for version in 0..=5 {
        assert_eq!(ApiKey::ApiVersions.response_header_version(version), 0);
    }
    let response = ApiVersionsResponse {
        error_code: 35,
        ..Default::default()
    };
    let frame = sent(&encode_response(&response, 3, 9).unwrap());
    // Correlation id, then at once the error code.
    assert_eq!(&frame[..6], [0, 0, 0, 9, 0, 35]);
}

#[test]
fn an_api_versions_request_of_a_version_to_come_still_has_a_readable_header() {
    let mut frame = BytesMut::new();
    frame.put_i16(18);
    frame.put_i16(99);
    frame.put_i32(5);
    frame.put_slice(&[0, 1, b'c', 0, 0xde, 0xad]);
    let parsed = RequestFrame::parse(frame.freeze()).unwrap();
    assert_eq!(
        (parsed.header.api_version, parsed.header.correlation_id),
        (99, 5)
    );
    assert_eq!(
        parsed.decode::<ApiVersionsRequest>(),
        Err(DecodeError::UnsupportedVersion {
            message: "ApiVersionsRequest",
            version: 99
        })
    );
}

#[test]
fn an_unknown_api_is_named_with_its_correlation_id() {
    let mut frame = BytesMut::new();
    frame.put_i16(1_000);
    frame.put_i16(2);
    frame.put_i32(5);
    assert_eq!(
        RequestFrame::parse(frame.freeze()).unwrap_err(),
        FrameError::UnknownApi {
            api_key: 1_000,
            api_version: 2,
            correlation_id: 5
        }
    );
}

#[test]
fn bytes_after_a_request_are_an_error() {
    let request = encode_request(&HeartbeatRequest::default(), 0, 1, None).unwrap();
    let mut longer = BytesMut::from(&request.to_bytes().unwrap()[4..]);
    longer.put_u8(0);
    let parsed = RequestFrame::parse(longer.freeze()).unwrap();
    assert_eq!(
        parsed.decode::<HeartbeatRequest>(),
        Err(DecodeError::TrailingBytes(1))
    );
}

#[test]
fn a_frame_is_taken_when_it_is_whole_and_refused_when_it_is_too_long() {
    let frame = encode_request(&HeartbeatRequest::default(), 0, 1, None)
        .unwrap()
        .to_bytes()
        .unwrap();
    let mut buffer = BytesMut::new();
    for (at, byte) in frame.iter().enumerate() {
        assert_eq!(split_frame(&mut buffer, BYTES_MAX), Ok(None), "{at} bytes");
        buffer.put_u8(*byte);
    }
    assert_eq!(
        split_frame(&mut buffer, BYTES_MAX),
        Ok(Some(frame.slice(4..)))
    );

    for length in [-1, i32::MIN, 101, i32::MAX] {
        let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
        assert_eq!(
            split_frame(&mut buffer, 100),
            Err(FrameError::Length {
                length,
                bytes_max: 100
            })
        );
    }
    let mut empty = BytesMut::from(&[0; 4][..]);
    assert_eq!(split_frame(&mut empty, 100), Ok(Some(Bytes::new())));
}

#[test]
fn fetched_batches_go_into_a_response_without_a_copy() {
    let batches = [
        Bytes::from(vec![1; 100_000]),
        Bytes::from(vec![2; 10]),
        Bytes::from(vec![3; 50_000]),
    ];
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: (0i32..)
                .zip(&batches)
                .map(|(partition_index, batch)| PartitionData {
                    partition_index,
                    records: Some(batch.clone().into()),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in [4, 12, 18] {
        let frame = encode_response(&response, version, 1).unwrap();
        let shared = |batch: &Bytes| {
            frame.chunks().iter().any(
                |chunk| matches!(chunk, Payload::Here(bytes) if bytes.as_ptr() == batch.as_ptr()),
            )
        };
        assert!(shared(&batches[0]) && shared(&batches[2]), "copied");
        assert!(
            frame.chunks().len() <= 5,
            "a small batch is not worth a chunk"
        );
        assert_eq!(frame.to_bytes().unwrap().len(), frame.size_bytes());
        let (_, decoded) = decode_response::<FetchRequest>(sent(&frame), version).unwrap();
        assert_eq!(decoded, response);
    }
}

#[test]
fn every_api_is_found_by_its_number() {
    for &api in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(api.code()), Some(api));
        assert!(!api.info().versions.is_empty());
    }
    assert!(
        ApiKey::ALL.is_sorted(),
        "the list is in the order of the numbers"
    );
    assert_eq!(ApiKey::from_code(-1), None);
}
