//! Produce, Fetch and what is about offsets, over a real socket.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

#[path = "records/epochs.rs"]
mod epochs;
#[path = "records/fetches.rs"]
mod fetches;
#[path = "records/offsets.rs"]
mod offsets;

use bytes::Bytes;
use millstream_wire::ErrorCode;
use millstream_wire::batch::{
    BatchBuilder, BatchOptions, TimestampType, set_log_append_time, set_max_timestamp,
    split_batches,
};
use millstream_wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use millstream_wire::messages::delete_topics::DeleteTopicsRequest;
use millstream_wire::messages::fetch::{FetchRequest, FetchResponse};
use millstream_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_wire::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use std::time::{Duration, Instant};
use support::kafka::{
    batch, batch_with, create_topic, fetch_request, fetch_topic, only, produce, produce_request,
    records,
};
use support::{Client, TestBroker};
use uuid::Uuid;

async fn broker_with(topic: &str) -> (tempfile::TempDir, TestBroker, Client) {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, topic, 2, &[]).await;
    (dir, broker, client)
}

fn code(error_code: i16) -> ErrorCode {
    ErrorCode::from(error_code)
}

async fn fetch(client: &mut Client, request: &FetchRequest) -> FetchResponse {
    client.call(request, 12).await
}

#[tokio::test]
async fn a_duplicate_is_acknowledged_with_its_first_offset_and_a_gap_is_not() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let idempotent = |sequence| {
        let options = BatchOptions {
            producer_id: 42,
            producer_epoch: 0,
            base_sequence: sequence,
            ..Default::default()
        };
        batch_with(options, &["a", "b"])
    };
    for offset in [0, 2, 4] {
        let produced = produce(&mut client, "t", 0, idempotent(offset)).await;
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (0, i64::from(offset))
        );
    }
    let again = produce(&mut client, "t", 0, idempotent(2)).await;
    assert_eq!((again.error_code, again.base_offset), (0, 2));
    let gap = produce(&mut client, "t", 0, idempotent(100)).await;
    assert_eq!(code(gap.error_code), ErrorCode::OutOfOrderSequenceNumber);
    broker.stop().await;
}

#[tokio::test]
async fn batches_that_cannot_be_stored_are_refused_by_partition() {
    let (_dir, broker, mut client) = broker_with("t").await;
    create_topic(&mut client, "small", 1, &[("max.message.bytes", "200")]).await;
    create_topic(
        &mut client,
        "compacted",
        1,
        &[("cleanup.policy", "compact")],
    )
    .await;
    create_topic(&mut client, "gzip", 1, &[("compression.type", "gzip")]).await;
    let bounds = ("message.timestamp.before.max.ms", "60000");
    create_topic(&mut client, "fresh", 1, &[bounds]).await;
    let mut refused = async |topic: &str, records: Bytes| {
        let response = produce(&mut client, topic, 0, records).await;
        (code(response.error_code), response.record_errors)
    };
    let two = Bytes::from([batch(&["a"]), batch(&["b"])].concat());
    assert_eq!(refused("t", two).await.0, ErrorCode::InvalidRecord);
    assert_eq!(refused("t", Bytes::new()).await.0, ErrorCode::InvalidRecord);
    let mut damaged = batch(&["a"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(
        refused("t", damaged.into()).await.0,
        ErrorCode::CorruptMessage
    );
    let mut old = batch(&["a"]).to_vec();
    old[16] = 1;
    assert_eq!(refused("t", old.into()).await.0, ErrorCode::InvalidRecord);
    let mut placed = batch(&["a"]).to_vec();
    placed[7] = 5;
    assert_eq!(
        refused("t", placed.into()).await.0,
        ErrorCode::InvalidRecord,
        "a base offset is the log's to give"
    );
    // Two records that are said to be one, and fourteen more than there are
    // offsets: sent like that, if the checksum holds, and damaged if not.
    let long = "x".repeat(100);
    for (last_offset_delta, records_count) in [(0, 1), (1, 15)] {
        let mut wrong = batch(&[&long, &long]).to_vec();
        wrong[26] = last_offset_delta;
        wrong[60] = records_count;
        let damaged = refused("gzip", wrong.clone().into()).await.0;
        assert_eq!(damaged, ErrorCode::CorruptMessage);
        let max_ms = i64::from_be_bytes(wrong[35..43].try_into().unwrap());
        set_max_timestamp(&mut wrong, max_ms).unwrap();
        let sent = refused("gzip", wrong.into()).await.0;
        assert_eq!(sent, ErrorCode::InvalidRecord);
    }
    let large = batch(&["x".repeat(1_000).as_str()]);
    assert_eq!(refused("small", large).await.0, ErrorCode::MessageTooLarge);
    assert_eq!(
        refused("nowhere", batch(&["a"])).await.0,
        ErrorCode::UnknownTopicOrPartition
    );

    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1, Some(b"k"), Some(b"v"), &[]).unwrap();
    builder.append(1, None, Some(b"v"), &[]).unwrap();
    let (error, records) = refused("compacted", builder.build().unwrap()).await;
    assert_eq!(error, ErrorCode::InvalidRecord);
    assert_eq!(
        records.iter().map(|r| r.batch_index).collect::<Vec<_>>(),
        [1]
    );
    let mut damaged = batch(&["no key"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(
        refused("compacted", damaged.into()).await.0,
        ErrorCode::CorruptMessage
    );

    let mut builder = BatchBuilder::new(BatchOptions::default());
    let now_ms = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_millis();
    let now_ms = i64::try_from(now_ms).unwrap();
    for at_ms in [now_ms, now_ms - 120_000, now_ms] {
        builder.append(at_ms, None, Some(b"v"), &[]).unwrap();
    }
    let (error, records) = refused("fresh", builder.build().unwrap()).await;
    assert_eq!(error, ErrorCode::InvalidTimestamp);
    assert_eq!(
        records.iter().map(|r| r.batch_index).collect::<Vec<_>>(),
        [1]
    );

    let odd_acks = client
        .call(&produce_request("t", 0, 2, batch(&["a"])), 9)
        .await;
    assert_eq!(
        code(odd_acks.responses[0].partition_responses[0].error_code),
        ErrorCode::InvalidRequiredAcks
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_topics_compression_is_what_a_fetch_returns() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let configs = [
        ("compression.type", "zstd"),
        ("compression.zstd.level", "7"),
    ];
    create_topic(&mut client, "t", 1, &configs).await;
    let produced = produce(&mut client, "t", 0, batch(&["a", "b"])).await;
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));
    let fetched = only(
        fetch(&mut client, &fetch_request("t", 0, 0))
            .await
            .responses,
    );
    let stored = split_batches(fetched.records.clone().unwrap().read().unwrap())
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(
        stored.header().compression(),
        Ok(millstream_wire::compression::Compression::Zstd)
    );
    let values: Vec<String> = records(fetched.records).into_iter().map(|r| r.1).collect();
    assert_eq!(values, ["a", "b"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_for_more_replicas_than_there_are_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[("min.insync.replicas", "2")]).await;
    for (acks, base_offset) in [(-1, 0), (1, 1)] {
        let taken = client
            .call(&produce_request("t", 0, acks, batch(&["a"])), 9)
            .await;
        let taken = &taken.responses[0].partition_responses[0];
        assert_eq!((taken.error_code, taken.base_offset), (0, base_offset));
    }
    broker.stop().await;
}

#[tokio::test]
async fn log_append_time_is_written_into_the_batch_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(
        &mut client,
        "t",
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    )
    .await;
    let produced = produce(&mut client, "t", 0, batch(&["a"])).await;
    assert!(produced.log_append_time_ms > 1_600_000_000_000);
    let fetched = only(
        fetch(&mut client, &fetch_request("t", 0, 0))
            .await
            .responses,
    );
    let stored = split_batches(fetched.records.unwrap().read().unwrap())
        .next()
        .unwrap()
        .unwrap();
    stored.verify_crc().unwrap();
    let record = stored.records().unwrap().next().unwrap().unwrap();
    assert_eq!(record.timestamp, produced.log_append_time_ms);
    broker.stop().await;
}

#[tokio::test]
async fn only_the_log_calls_timestamps_its_own() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let stamped = ("message.timestamp.type", "LogAppendTime");
    create_topic(&mut client, "stamped", 1, &[stamped]).await;
    let mut marked = batch(&["a", "b"]).to_vec();
    set_log_append_time(&mut marked, 1_000).unwrap();
    let marked = Bytes::from(marked);
    let refused = produce(&mut client, "stamped", 0, marked.clone()).await;
    assert_eq!(code(refused.error_code), ErrorCode::InvalidTimestamp);
    let blamed = refused.record_errors.iter().map(|r| r.batch_index);
    assert_eq!(blamed.collect::<Vec<_>>(), [0, 1]);

    // Where nobody asks for the log's they are the producer's.
    assert_eq!(produce(&mut client, "t", 0, marked).await.error_code, 0);
    let fetched = fetch(&mut client, &fetch_request("t", 0, 0)).await;
    let stored = only(fetched.responses).records.unwrap().read().unwrap();
    let stored = split_batches(stored).next().unwrap().unwrap();
    stored.verify_crc().unwrap();
    assert_eq!(
        (
            stored.header().timestamp_type(),
            stored.header().max_timestamp
        ),
        (TimestampType::CreateTime, 1_000)
    );
    broker.stop().await;
}

#[tokio::test]
async fn every_version_of_produce_and_fetch_carries_the_same_records() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "t", 1, &[]).await;
    for version in 3..=13 {
        let mut request = produce_request("t", 0, -1, batch(&[&format!("v{version}")]));
        if version >= 13 {
            request.topic_data[0].topic_id = id;
        }
        let response = client.call(&request, version).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (0, i64::from(version) - 3)
        );
    }
    for version in 4..=18 {
        let mut request = fetch_request("t", 0, 0);
        request.topics[0].topic_id = id;
        let response = client.call(&request, version).await;
        assert_eq!(response.error_code, 0, "version {version}");
        assert_eq!(
            records(only(response.responses).records).len(),
            11,
            "version {version}"
        );
    }
    broker.stop().await;
}
