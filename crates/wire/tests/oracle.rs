//! Against a codec that we did not write: every message at every version that
//! both know, and record batches in every compression, both ways.

#![allow(clippy::unwrap_used)] // A test file: a panic is a failed test.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes, VersionRange};
use kafka_protocol::records as their_records;
use millstream_wire::ApiKey;
use millstream_wire::api::AnyMessage;
use millstream_wire::batch::{BatchBuilder, BatchOptions, Record, split_batches};
use millstream_wire::codec::Reader;
use millstream_wire::compression::Compression;
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use millstream_wire::testing::Source;
use proptest::prelude::*;

/// A message of the other codec: decodes and encodes again.
struct Their {
    name: &'static str,
    versions: VersionRange,
    recode: fn(i16, Bytes) -> Result<Bytes, String>,
}

fn their<M: Message + Encodable + Decodable>(name: &'static str) -> Their {
    Their {
        name,
        versions: M::VERSIONS,
        recode: |version, mut bytes| {
            let message = M::decode(&mut bytes, version).map_err(|error| format!("{error:#}"))?;
            if !bytes.is_empty() {
                return Err(format!("{} bytes left", bytes.len()));
            }
            let mut out = BytesMut::new();
            message
                .encode(&mut out, version)
                .map_err(|error| format!("{error:#}"))?;
            Ok(out.freeze())
        },
    }
}

macro_rules! their_messages {
    ($($name:ident),* $(,)?) => {
        vec![$(their::<theirs::$name>(stringify!($name))),*]
    };
}

#[rustfmt::skip]
fn their_messages() -> Vec<Their> {
    their_messages![
        ProduceRequest, ProduceResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
        ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetCommitRequest,
        OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
        FindCoordinatorRequest, FindCoordinatorResponse, JoinGroupRequest,
        JoinGroupResponse, HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest,
        LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse, DescribeGroupsRequest,
        DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse, SaslHandshakeRequest,
        SaslHandshakeResponse, ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest,
        CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
        DeleteRecordsRequest, DeleteRecordsResponse, InitProducerIdRequest,
        InitProducerIdResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddOffsetsToTxnRequest,
        AddOffsetsToTxnResponse, EndTxnRequest, EndTxnResponse, WriteTxnMarkersRequest,
        WriteTxnMarkersResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
        DescribeConfigsRequest, DescribeConfigsResponse, DescribeLogDirsRequest,
        DescribeLogDirsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
        CreatePartitionsRequest, CreatePartitionsResponse, DeleteGroupsRequest,
        DeleteGroupsResponse, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        DescribeClusterRequest, DescribeClusterResponse, DescribeProducersRequest,
        DescribeProducersResponse, DescribeTransactionsRequest,
        DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        AlterConfigsRequest, AlterConfigsResponse, AlterReplicaLogDirsRequest,
        AlterReplicaLogDirsResponse, ElectLeadersRequest, ElectLeadersResponse,
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
        ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
        DescribeQuorumRequest, DescribeQuorumResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
        ConsumerProtocolSubscription, ConsumerProtocolAssignment,
    ]
}

fn our_messages() -> Vec<AnyMessage> {
    let mut all: Vec<_> = ApiKey::ALL
        .iter()
        .flat_map(|api| <[AnyMessage; 2]>::from(api.messages()))
        .collect();
    all.push(AnyMessage::of::<ConsumerProtocolSubscription>());
    all.push(AnyMessage::of::<ConsumerProtocolAssignment>());
    all
}

/// Each of our messages with the other codec's, and the versions of both.
fn pairs() -> Vec<(AnyMessage, Their, std::ops::RangeInclusive<i16>)> {
    let mut theirs = their_messages();
    our_messages()
        .into_iter()
        .map(|ours| {
            let at = theirs.iter().position(|their| their.name == ours.name);
            let their =
                theirs.swap_remove(at.unwrap_or_else(|| panic!("{} has no oracle", ours.name)));
            let versions = ours.version_first.max(their.versions.min)
                ..=ours.version_last.min(their.versions.max);
            assert!(!versions.is_empty(), "{}", ours.name);
            (ours, their, versions)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_message_at_every_version_means_the_same_to_both(
        choices in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        for (ours, their, versions) in pairs() {
            for version in versions {
                let bytes = (ours.sample)(version, &mut Source::new(&choices)).unwrap();
                let recoded = (their.recode)(version, bytes.clone());
                prop_assert_eq!(recoded.as_ref(), Ok(&bytes), "theirs: {} v{}", ours.name, version);
                let again = (ours.recode)(version, &mut Reader::new(recoded.unwrap()));
                prop_assert_eq!(again, Ok(Ok(bytes)), "ours: {} v{}", ours.name, version);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Made {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Unique keys: the other codec keeps headers in a map.
    headers: std::collections::BTreeMap<String, Option<Vec<u8>>>,
}

fn made() -> impl Strategy<Value = Made> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..80));
    (
        1_600_000_000_000i64..1_800_000_000_000,
        bytes(),
        bytes(),
        prop::collection::btree_map("[a-z]{0,6}", bytes(), 0..4),
    )
        .prop_map(|(timestamp, key, value, headers)| Made {
            timestamp,
            key,
            value,
            headers,
        })
}

fn codecs() -> [(Compression, their_records::Compression); 5] {
    [
        (Compression::None, their_records::Compression::None),
        (Compression::Gzip, their_records::Compression::Gzip),
        (Compression::Snappy, their_records::Compression::Snappy),
        (Compression::Lz4, their_records::Compression::Lz4),
        (Compression::Zstd, their_records::Compression::Zstd),
    ]
}

fn our_batch(records: &[Made], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: 1_000,
        compression,
        producer_id: 77,
        producer_epoch: 2,
        base_sequence: 40,
        is_transactional: true,
        ..BatchOptions::default()
    });
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        builder
            .append(
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )
            .unwrap();
    }
    builder.build().unwrap()
}

fn their_batch(records: &[Made], compression: their_records::Compression) -> Bytes {
    let records: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(index, record)| their_records::Record {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: 77,
            producer_epoch: 2,
            timestamp_type: their_records::TimestampType::Creation,
            offset: 1_000 + index as i64,
            sequence: 40 + index as i32,
            timestamp: record.timestamp,
            key: record.key.clone().map(Bytes::from),
            value: record.value.clone().map(Bytes::from),
            headers: record
                .headers
                .iter()
                .map(|(key, value)| {
                    (
                        StrBytes::from_string(key.clone()),
                        value.clone().map(Bytes::from),
                    )
                })
                .collect::<IndexMap<_, _>>(),
        })
        .collect();
    let mut out = BytesMut::new();
    their_records::RecordBatchEncoder::encode(
        &mut out,
        &records,
        &their_records::RecordEncodeOptions {
            version: 2,
            compression,
        },
    )
    .unwrap();
    out.freeze()
}

fn assert_same(made: &Made, index: usize, record: &Record) {
    assert_eq!(record.offset, 1_000 + index as i64);
    assert_eq!(record.timestamp, made.timestamp);
    assert_eq!(record.key.as_deref(), made.key.as_deref());
    assert_eq!(record.value.as_deref(), made.value.as_deref());
    let headers: std::collections::BTreeMap<_, _> = record
        .headers
        .iter()
        .map(|header| {
            (
                header.key_text().into_owned(),
                header.value.as_ref().map(|value| value.to_vec()),
            )
        })
        .collect();
    assert_eq!(headers, made.headers);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn our_batches_are_read_by_the_other_codec(records in prop::collection::vec(made(), 1..20)) {
        for (compression, _) in codecs() {
            let mut bytes = our_batch(&records, compression);
            let read = their_records::RecordBatchDecoder::decode(&mut bytes).unwrap().records;
            prop_assert_eq!(read.len(), records.len());
            let ours = split_batches(our_batch(&records, compression)).next().unwrap().unwrap();
            ours.check_framing(usize::MAX, |_| {}).unwrap();
            for (index, (made, record)) in records.iter().zip(&read).enumerate() {
                prop_assert_eq!(record.offset, 1_000 + index as i64);
                prop_assert_eq!(record.sequence, 40 + index as i32);
                prop_assert_eq!(record.timestamp, made.timestamp);
                prop_assert_eq!((record.producer_id, record.producer_epoch), (77, 2));
                prop_assert!(record.transactional && !record.control);
                prop_assert_eq!(record.key.as_deref(), made.key.as_deref());
                prop_assert_eq!(record.value.as_deref(), made.value.as_deref());
                prop_assert_eq!(record.headers.len(), made.headers.len());
            }
        }
    }

    #[test]
    fn batches_of_the_other_codec_are_read(records in prop::collection::vec(made(), 1..20)) {
        for (ours, theirs) in codecs() {
            let bytes = their_batch(&records, theirs);
            let mut index = 0;
            for view in split_batches(bytes) {
                let view = view.unwrap();
                view.verify_crc().unwrap();
                prop_assert_eq!(view.header().compression(), Ok(ours));
                let mut framed = 0;
                view.check_framing(usize::MAX, |_| framed += 1).unwrap();
                prop_assert_eq!(framed, view.header().records_count);
                for record in view.records().unwrap() {
                    assert_same(&records[index], index, &record.unwrap());
                    index += 1;
                }
            }
            prop_assert_eq!(index, records.len());
        }
    }

    #[test]
    fn uncompressed_batches_are_the_same_bytes(
        mut records in prop::collection::vec(made(), 1..20),
    ) {
        // The other codec takes the smallest timestamp for the base, Kafka's
        // own and ours the first.
        records.sort_by_key(|record| record.timestamp);
        let ours = our_batch(&records, Compression::None);
        prop_assert_eq!(ours, their_batch(&records, their_records::Compression::None));
    }
}
