//! Every message at every version: what is encoded is decoded to the same
//! bytes, and nothing that is cut, altered or made up does harm.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test file: a panic is a failed test.

use bytes::{Bytes, BytesMut};
use millstream_wire::ApiKey;
use millstream_wire::api::AnyMessage;
use millstream_wire::codec::{DecodeError, EncodeError, Message, Reader};
use millstream_wire::messages::fetch::{FetchPartition, FetchTopic};
use millstream_wire::messages::metadata::MetadataRequestTopic;
use millstream_wire::messages::{
    ApiVersionsResponse, CreateTopicsRequest, FetchRequest, FindCoordinatorRequest,
    FindCoordinatorResponse, MetadataRequest, MetadataResponse, OffsetFetchRequest, ProduceRequest,
};
use millstream_wire::records::consumer_groups::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
};
use millstream_wire::records::consumer_offsets::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use millstream_wire::records::transaction_state::{TransactionLogKey, TransactionLogValue};
use millstream_wire::testing::Source;
use proptest::prelude::*;

/// Those of the APIs, then those that are in none.
fn all_messages() -> Vec<AnyMessage> {
    let mut all: Vec<_> = ApiKey::ALL
        .iter()
        .flat_map(|api| <[AnyMessage; 2]>::from(api.messages()))
        .collect();
    all.extend([
        AnyMessage::of::<OffsetCommitKey>(),
        AnyMessage::of::<OffsetCommitValue>(),
        AnyMessage::of::<GroupMetadataKey>(),
        AnyMessage::of::<GroupMetadataValue>(),
        AnyMessage::of::<ConsumerGroupMetadataKey>(),
        AnyMessage::of::<ConsumerGroupMetadataValue>(),
        AnyMessage::of::<ConsumerGroupMemberMetadataKey>(),
        AnyMessage::of::<ConsumerGroupMemberMetadataValue>(),
        AnyMessage::of::<ConsumerGroupTargetAssignmentMetadataKey>(),
        AnyMessage::of::<ConsumerGroupTargetAssignmentMetadataValue>(),
        AnyMessage::of::<ConsumerGroupTargetAssignmentMemberKey>(),
        AnyMessage::of::<ConsumerGroupTargetAssignmentMemberValue>(),
        AnyMessage::of::<ConsumerGroupCurrentMemberAssignmentKey>(),
        AnyMessage::of::<ConsumerGroupCurrentMemberAssignmentValue>(),
        AnyMessage::of::<ConsumerGroupRegularExpressionKey>(),
        AnyMessage::of::<ConsumerGroupRegularExpressionValue>(),
        AnyMessage::of::<TransactionLogKey>(),
        AnyMessage::of::<TransactionLogValue>(),
        AnyMessage::of::<ConsumerProtocolSubscription>(),
        AnyMessage::of::<ConsumerProtocolAssignment>(),
    ]);
    all
}

fn recode(message: &AnyMessage, version: i16, bytes: Bytes) -> Result<Bytes, DecodeError> {
    let mut reader = Reader::new(bytes);
    let encoded = (message.recode)(version, &mut reader)?;
    reader.finish()?;
    Ok(encoded.expect("what was decoded at a version can be encoded at it"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_message_comes_back_at_every_version(choices in prop::collection::vec(any::<u8>(), 0..600)) {
        for message in all_messages() {
            for version in message.version_first..=message.version_last {
                let bytes = (message.sample)(version, &mut Source::new(&choices)).unwrap();
                let again = recode(&message, version, bytes.clone());
                prop_assert_eq!(again.as_ref(), Ok(&bytes), "{} v{}", message.name, version);
            }
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    let choices: Vec<u8> = (0..600u32).map(|i| (i * 37 % 251) as u8).collect();
    for message in all_messages() {
        for version in message.version_first..=message.version_last {
            let bytes = (message.sample)(version, &mut Source::new(&choices)).unwrap();
            for end in 0..bytes.len() {
                let cut = (message.recode)(version, &mut Reader::new(bytes.slice(..end)));
                assert!(
                    cut.is_err(),
                    "{} v{version} cut at {end} of {}",
                    message.name,
                    bytes.len()
                );
            }
        }
    }
}

#[test]
fn a_version_outside_the_range_is_refused_both_ways() {
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(
        MetadataRequest::default().encode(14, &mut out),
        Err(EncodeError::UnsupportedVersion {
            message: "MetadataRequest",
            version: 14
        })
    );
    assert_eq!(&out[..], b"before");
    assert_eq!(
        MetadataRequest::decode_all(-1, Bytes::new()),
        Err(DecodeError::UnsupportedVersion {
            message: "MetadataRequest",
            version: -1
        })
    );
}

#[test]
fn a_field_that_the_version_cannot_carry_is_an_error() {
    let request = ProduceRequest {
        transactional_id: Some("t".to_owned()),
        ..Default::default()
    };
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(
        request.encode(2, &mut out),
        Err(EncodeError::FieldNotInVersion {
            field: "ProduceRequest.transactional_id",
            version: 2
        })
    );
    assert_eq!(&out[..], b"before", "a failed encode leaves nothing behind");
    assert_eq!(request.encode(3, &mut out), Ok(()));
}

#[test]
fn an_ignorable_field_is_dropped_by_a_version_without_it() {
    let response = MetadataResponse {
        throttle_time_ms: 9,
        ..Default::default()
    };
    let mut out = BytesMut::new();
    response.encode(0, &mut out).unwrap();
    let back = MetadataResponse::decode_all(0, out.freeze()).unwrap();
    assert_eq!(back.throttle_time_ms, 0);
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all_topics = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let mut out = BytesMut::new();
    assert_eq!(
        all_topics.encode(0, &mut out),
        Err(EncodeError::NullNotInVersion {
            field: "MetadataRequest.topics",
            version: 0
        })
    );
    all_topics.encode(1, &mut out).unwrap();
    assert_eq!(&out[..], [0xff; 4]);
    assert_eq!(
        MetadataRequest::decode_all(1, out.clone().freeze()),
        Ok(all_topics)
    );
    assert_eq!(
        MetadataRequest::decode_all(0, out.freeze()),
        Err(DecodeError::UnexpectedNull)
    );
}

#[test]
fn unknown_tagged_fields_are_skipped_and_must_rise() {
    let mut out = BytesMut::new();
    FindCoordinatorRequest {
        key: "g".to_owned(),
        ..Default::default()
    }
    .encode(3, &mut out)
    .unwrap();
    assert_eq!(out.last(), Some(&0));
    let with_tags = |tags: &[u8]| {
        let mut bytes = out[..out.len() - 1].to_vec();
        bytes.extend_from_slice(tags);
        FindCoordinatorRequest::decode_all(3, bytes.into())
    };
    assert_eq!(with_tags(&[2, 5, 1, 0xaa, 9, 0]).unwrap().key, "g");
    assert_eq!(
        with_tags(&[2, 9, 0, 5, 0]),
        Err(DecodeError::TagOrder {
            previous: 9,
            tag: 5
        })
    );
    assert_eq!(
        with_tags(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(DecodeError::TooManyTags {
            count: u32::MAX as usize,
            max: 10_000
        })
    );
    assert!(matches!(
        with_tags(&[1, 5, 200, 1]),
        Err(DecodeError::Truncated { .. })
    ));
}

#[test]
fn a_known_tagged_field_must_fill_its_size() {
    let mut out = BytesMut::new();
    let response = ApiVersionsResponse {
        finalized_features_epoch: 3,
        ..Default::default()
    };
    response.encode(3, &mut out).unwrap();
    assert_eq!(
        ApiVersionsResponse::decode_all(3, out.clone().freeze()),
        Ok(response)
    );
    // The field of tag 1 is the last: make its size one more than its value.
    let size_at = out.len() - 9;
    assert_eq!(out[size_at], 8);
    out[size_at] = 9;
    out.extend_from_slice(&[0]);
    assert_eq!(
        ApiVersionsResponse::decode_all(3, out.freeze()),
        Err(DecodeError::TagSize { tag: 1, left: 1 })
    );
}

#[test]
fn what_is_not_utf8_in_a_string_is_replaced_as_java_does_it() {
    let request = FindCoordinatorRequest::decode_all(0, Bytes::from_static(b"\0\x04B\xfcro"));
    assert_eq!(request.unwrap().key, "B\u{fffd}ro");
}

#[test]
fn a_decoded_batch_is_a_slice_of_the_frame() {
    use millstream_wire::messages::produce::{PartitionProduceData, TopicProduceData};
    let request = ProduceRequest {
        topic_data: vec![TopicProduceData {
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Bytes::from(vec![7; 100_000])),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut out = BytesMut::new();
    request.encode(9, &mut out).unwrap();
    let frame = out.freeze();
    let decoded = ProduceRequest::decode_all(9, frame.clone()).unwrap();
    let records = decoded.topic_data[0].partition_data[0]
        .records
        .clone()
        .unwrap();
    assert_eq!(records.len(), 100_000);
    assert!(frame.as_ptr_range().contains(&records.as_ptr()), "copied");
}

#[test]
fn known_bytes_of_old_and_flexible_versions() {
    // By hand from the protocol guide, independent of any codec.
    let mut out = BytesMut::new();
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("ab".to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    request.encode(1, &mut out).unwrap();
    assert_eq!(&out[..], [0, 0, 0, 1, 0, 2, b'a', b'b']);
    out.clear();
    request.encode(9, &mut out).unwrap();
    assert_eq!(&out[..], [2, 3, b'a', b'b', 0, 1, 0, 0, 0]);

    out.clear();
    let fetch = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: "t".to_owned(),
            partitions: vec![FetchPartition {
                fetch_offset: 5,
                partition_max_bytes: 16,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    fetch.encode(4, &mut out).unwrap();
    let expected: &[&[u8]] = &[
        &[0xff; 4],
        &500i32.to_be_bytes(),
        &1i32.to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &[0],
        &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1],
        &0i32.to_be_bytes(),
        &5i64.to_be_bytes(),
        &16i32.to_be_bytes(),
    ];
    assert_eq!(&out[..], expected.concat());
}

#[test]
fn defaults_are_those_of_the_protocol() {
    assert_eq!(FetchRequest::default().max_bytes, i32::MAX);
    assert_eq!(FetchRequest::default().session_epoch, -1);
    assert!(MetadataRequest::default().allow_auto_topic_creation);
    assert_eq!(OffsetFetchRequest::default().topics, Some(Vec::new()));
    assert_eq!(CreateTopicsRequest::default().timeout_ms, 60_000);
    assert_eq!(FindCoordinatorResponse::default().error_code, 0);
}

#[test]
fn messages_verified_by_kafka_itself_come_back() {
    let all = all_messages();
    let mut lines_count = 0;
    for line in include_str!("fixtures/kafka_4_4.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("malformed line {line}");
        };
        let message = all.iter().find(|message| message.name == name).unwrap();
        let bytes: Bytes = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        let again = recode(message, version.parse().unwrap(), bytes.clone());
        assert_eq!(again, Ok(bytes), "{name} v{version}");
        lines_count += 1;
    }
    assert!(lines_count > 50, "{lines_count} lines");
}
