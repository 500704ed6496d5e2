//! Produce, Fetch and what is about offsets, over a real socket.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

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
async fn a_fetch_mid_batch_returns_the_whole_batch() {
    let (_dir, broker, mut client) = broker_with("t").await;
    produce(&mut client, "t", 0, batch(&["a", "b", "c"])).await;
    let fetched = only(
        fetch(&mut client, &fetch_request("t", 0, 1))
            .await
            .responses,
    );
    assert_eq!(fetched.high_watermark, 3);
    let read = records(fetched.records);
    assert_eq!(
        read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    broker.stop().await;
}

#[tokio::test]
async fn the_first_batch_is_returned_though_larger_than_the_bounds() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let big = "x".repeat(50_000);
    for partition in [0, 1] {
        produce(&mut client, "t", partition, batch(&[&big])).await;
        produce(&mut client, "t", partition, batch(&[&big])).await;
    }
    let mut request = fetch_request("t", 0, 0);
    request.max_bytes = 1_000;
    request.topics[0].partitions[0].partition_max_bytes = 500;
    request.topics.push(fetch_topic("t", Uuid::nil(), 1, 0));
    let response = fetch(&mut client, &request).await;
    let partitions: Vec<_> = response
        .responses
        .into_iter()
        .flat_map(|t| t.partitions)
        .collect();
    let counts: Vec<_> = partitions
        .into_iter()
        .map(|p| records(p.records).len())
        .collect();
    assert_eq!(
        counts,
        [1, 0],
        "one batch of the first partition, nothing beyond"
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_at_the_end_waits_and_one_beyond_it_is_told_at_once() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let waiting = |offset, wait_ms| FetchRequest {
        max_wait_ms: wait_ms,
        ..fetch_request("t", 0, offset)
    };
    let began = Instant::now();
    let fetched = only(fetch(&mut client, &waiting(0, 300)).await.responses);
    assert_eq!((fetched.error_code, records(fetched.records).len()), (0, 0));
    assert!(began.elapsed() >= Duration::from_millis(300));

    let began = Instant::now();
    let fetched = only(fetch(&mut client, &waiting(5, 60_000)).await.responses);
    assert_eq!(code(fetched.error_code), ErrorCode::OffsetOutOfRange);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "an error of reading completes the fetch"
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_partition_that_is_not_there_does_not_hurry_the_others() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let nowhere = || fetch_topic("nowhere", Uuid::nil(), 0, 0);
    let unknown = |response: &FetchResponse, topic: usize| {
        let code = code(response.responses[topic].partitions[0].error_code);
        assert_eq!(code, ErrorCode::UnknownTopicOrPartition);
    };
    let mut request = FetchRequest {
        max_wait_ms: 300,
        min_bytes: 1,
        ..fetch_request("t", 0, 0)
    };
    request.topics.push(nowhere());
    let began = Instant::now();
    unknown(&fetch(&mut client, &request).await, 1);
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");

    // In a session too, to which it belongs.
    request.session_epoch = 0;
    let response = fetch(&mut client, &request).await;
    unknown(&response, 1);
    request = FetchRequest {
        session_id: response.session_id,
        session_epoch: 1,
        topics: Vec::new(),
        ..request
    };
    let began = Instant::now();
    unknown(&fetch(&mut client, &request).await, 0);
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");

    // Alone there is nothing to wait for.
    let alone = FetchRequest {
        max_wait_ms: 600_000,
        session_id: 0,
        session_epoch: -1,
        topics: vec![nowhere()],
        ..request
    };
    unknown(&fetch(&mut client, &alone).await, 0);
    broker.stop().await;
}

#[tokio::test]
async fn min_bytes_are_collected_before_the_answer() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let request = FetchRequest {
        max_wait_ms: 60_000,
        min_bytes: 3_000,
        ..fetch_request("t", 0, 0)
    };
    let id = client.send(&request, 12).await;
    let mut producer = broker.client().await;
    for _ in 0..4 {
        produce(&mut producer, "t", 0, batch(&["x".repeat(1_000).as_str()])).await;
    }
    let fetched = only(client.answer::<FetchRequest>(12, id).await.responses);
    assert!(fetched.records.unwrap().len() >= 3_000);
    broker.stop().await;
}

#[tokio::test]
async fn what_is_there_beyond_the_batches_that_fit_counts_for_min_bytes() {
    let (_dir, broker, mut client) = broker_with("t").await;
    for _ in 0..4 {
        produce(&mut client, "t", 0, batch(&["x".repeat(1_000).as_str()])).await;
    }
    // Two batches fit, which are less than the 2,500 bytes asked for.
    let mut request = FetchRequest {
        max_wait_ms: 600_000,
        min_bytes: 2_500,
        ..fetch_request("t", 0, 0)
    };
    request.topics[0].partitions[0].partition_max_bytes = 2_500;
    let fetched = only(fetch(&mut client, &request).await.responses);
    assert!(fetched.records.unwrap().len() < 2_500);

    // Never more than a full answer is waited for.
    request.topics[0].partitions[0].partition_max_bytes = 1 << 20;
    request.min_bytes = 100_000;
    request.max_bytes = 2_500;
    let fetched = only(fetch(&mut client, &request).await.responses);
    assert!(fetched.records.unwrap().len() < 2_500);
    broker.stop().await;
}

#[tokio::test]
async fn min_bytes_are_not_waited_for_at_the_end_of_each_segment() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let segments = [("segment.bytes", "1048576")];
    create_topic(&mut client, "rolled", 1, &segments).await;
    for _ in 0..3 {
        produce(
            &mut client,
            "rolled",
            0,
            batch(&["x".repeat(600_000).as_str()]),
        )
        .await;
    }
    let mut request = FetchRequest {
        max_wait_ms: 600_000,
        min_bytes: 1_000_000,
        ..fetch_request("rolled", 0, 0)
    };
    request.topics[0].partitions[0].partition_max_bytes = 1 << 20;
    let fetched = only(fetch(&mut client, &request).await.responses);
    assert_eq!(records(fetched.records).len(), 1, "a segment has one");
    broker.stop().await;
}

#[tokio::test]
async fn an_incremental_session_tells_only_news() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let mut request = fetch_request("t", 0, 0);
    request.topics.push(fetch_topic("t", Uuid::nil(), 1, 0));
    request.session_epoch = 0;
    let first = fetch(&mut client, &request).await;
    assert_ne!(first.session_id, 0);
    let partitions: usize = first.responses.iter().map(|t| t.partitions.len()).sum();
    assert_eq!(partitions, 2, "a new session answers everything");

    let again = |epoch| FetchRequest {
        session_id: first.session_id,
        session_epoch: epoch,
        topics: Vec::new(),
        ..fetch_request("t", 0, 0)
    };
    let second = fetch(&mut client, &again(1)).await;
    assert_eq!(
        (second.session_id, second.responses.len()),
        (first.session_id, 0)
    );

    produce(&mut client, "t", 1, batch(&["a"])).await;
    let third = only(fetch(&mut client, &again(2)).await.responses);
    assert_eq!((third.partition_index, third.high_watermark), (1, 1));

    let wrong = fetch(&mut client, &again(9)).await;
    assert_eq!(code(wrong.error_code), ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(wrong.session_id, 0);
    let unknown = FetchRequest {
        session_id: 12345,
        ..again(1)
    };
    let unknown = fetch(&mut client, &unknown).await;
    assert_eq!(code(unknown.error_code), ErrorCode::FetchSessionIdNotFound);
    broker.stop().await;
}

#[tokio::test]
async fn a_session_notices_that_its_topic_was_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let old = create_topic(&mut client, "t", 1, &[]).await;
    let unknown = Uuid::from_u128(77);
    let request = FetchRequest {
        session_epoch: 0,
        max_bytes: 1 << 20,
        topics: vec![fetch_topic("", old, 0, 0), fetch_topic("", unknown, 0, 0)],
        ..Default::default()
    };
    let first = client.call(&request, 16).await;
    let codes = |response: &FetchResponse| -> Vec<(Uuid, ErrorCode)> {
        response
            .responses
            .iter()
            .map(|t| (t.topic_id, code(t.partitions[0].error_code)))
            .collect()
    };
    assert_eq!(
        codes(&first),
        [(old, ErrorCode::None), (unknown, ErrorCode::UnknownTopicId)]
    );
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 1_000,
        ..Default::default()
    };
    assert_eq!(client.call(&delete, 5).await.responses[0].error_code, 0);
    create_topic(&mut client, "t", 1, &[]).await;
    let next = FetchRequest {
        session_id: first.session_id,
        session_epoch: 1,
        topics: Vec::new(),
        ..request
    };
    let second = client.call(&next, 16).await;
    assert_eq!(
        codes(&second),
        [
            (old, ErrorCode::InconsistentTopicId),
            (unknown, ErrorCode::UnknownTopicId)
        ],
        "an id that is not known stays and answers its error"
    );
    broker.stop().await;
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

async fn list(client: &mut Client, timestamp: i64, isolation: i8) -> ListOffsetsPartitionResponse {
    list_by(client, timestamp, isolation, 11).await
}

async fn list_by(
    client: &mut Client,
    timestamp: i64,
    isolation: i8,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: -1,
                timestamp,
            }],
        }],
        ..Default::default()
    };
    client.call(&request, version).await.topics[0].partitions[0].clone()
}

#[tokio::test]
async fn offsets_are_listed_by_end_by_time_and_by_largest_time() {
    let (_dir, broker, mut client) = broker_with("t").await;
    produce(&mut client, "t", 0, batch(&["a", "b", "c"])).await;
    let offset_of = async |client: &mut Client, timestamp| {
        let found = list(client, timestamp, 0).await;
        assert_eq!(found.error_code, 0, "{timestamp}");
        (found.offset, found.timestamp, found.leader_epoch)
    };
    assert_eq!(offset_of(&mut client, -1).await, (3, -1, 0));
    assert_eq!(offset_of(&mut client, -2).await, (0, -1, 0));
    assert_eq!(offset_of(&mut client, -3).await, (2, 1_002, 0));
    assert_eq!(offset_of(&mut client, -4).await, (0, -1, 0));
    assert_eq!(offset_of(&mut client, -5).await, (-1, -1, -1));
    assert_eq!(offset_of(&mut client, -6).await, (-1, -1, -1));
    assert_eq!(offset_of(&mut client, 1_001).await, (1, 1_001, 0));
    assert_eq!(offset_of(&mut client, 9_999).await, (-1, -1, -1));
    let odd = list(&mut client, -9, 0).await;
    assert_eq!(code(odd.error_code), ErrorCode::UnsupportedVersion);
    broker.stop().await;
}

/// kafka-python 2.0 asks by version 1, which has no place for an epoch.
#[tokio::test]
async fn offsets_are_listed_for_every_version_and_the_epoch_only_from_four_on() {
    let (_dir, broker, mut client) = broker_with("t").await;
    produce(&mut client, "t", 0, batch(&["a", "b", "c"])).await;
    for version in 1..=11 {
        let epoch = if version < 4 { -1 } else { 0 };
        for (timestamp, offset) in [(-1, 3), (-2, 0), (1_001, 1)] {
            let found = list_by(&mut client, timestamp, 0, version).await;
            assert_eq!(
                (found.error_code, found.offset, found.leader_epoch),
                (0, offset, epoch),
                "version {version}, {timestamp}"
            );
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_acks_1_has_acknowledged_is_there_at_once() {
    let (_dir, broker, mut client) = broker_with("t").await;
    for end in 1..=50 {
        let mut request = produce_request("t", 0, 1, batch(&["a"]));
        request.timeout_ms = 0;
        let answer = client.call(&request, 9).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        assert_eq!(list(&mut client, -1, 0).await.offset, end);
    }
    broker.stop().await;
}

#[tokio::test]
async fn deleted_records_move_the_start_and_are_out_of_range() {
    let (_dir, broker, mut client) = broker_with("t").await;
    produce(&mut client, "t", 0, batch(&["a", "b", "c"])).await;
    let delete = |offset| DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset,
            }],
        }],
        timeout_ms: 1_000,
    };
    let answer = client.call(&delete(2), 2).await.topics[0].partitions[0].clone();
    assert_eq!((answer.error_code, answer.low_watermark), (0, 2));
    assert_eq!(list(&mut client, -2, 0).await.offset, 2);
    let fetched = only(
        fetch(&mut client, &fetch_request("t", 0, 0))
            .await
            .responses,
    );
    assert_eq!(code(fetched.error_code), ErrorCode::OffsetOutOfRange);
    let beyond = client.call(&delete(9), 2).await.topics[0].partitions[0].clone();
    assert_eq!(code(beyond.error_code), ErrorCode::OffsetOutOfRange);
    let all = client.call(&delete(-1), 2).await.topics[0].partitions[0].clone();
    assert_eq!((all.error_code, all.low_watermark), (0, 3));

    // Of a topic that is only compacted it would take the newest value of a
    // key.
    let refused = |policy| match policy {
        "compact" => ErrorCode::PolicyViolation,
        _ => ErrorCode::None,
    };
    for policy in ["compact", "compact,delete"] {
        create_topic(
            &mut client,
            &policy.replace(',', "-"),
            1,
            &[("cleanup.policy", policy)],
        )
        .await;
        let mut request = delete(0);
        request.topics[0].name = policy.replace(',', "-");
        let answer = client.call(&request, 2).await.topics[0].partitions[0].clone();
        assert_eq!(code(answer.error_code), refused(policy), "{policy}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn records_and_epochs_survive_a_restart_and_old_epochs_are_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    produce(&mut client, "t", 0, batch(&["a", "b"])).await;
    drop(client);
    broker.stop().await;

    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let ended = |epoch| OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch: epoch,
            }],
        }],
    };
    let end = client.call(&ended(1), 4).await.topics[0].partitions[0].clone();
    assert_eq!(
        (end.leader_epoch, end.end_offset),
        (1, 2),
        "the present epoch has written nothing yet"
    );
    produce(&mut client, "t", 0, batch(&["c"])).await;
    let fetched = only(
        fetch(&mut client, &fetch_request("t", 0, 0))
            .await
            .responses,
    );
    let values: Vec<_> = records(fetched.records)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, ["a", "b", "c"]);

    let end = client.call(&ended(0), 4).await.topics[0].partitions[0].clone();
    assert_eq!(
        (end.leader_epoch, end.end_offset),
        (0, 2),
        "epoch 0 ended at the restart"
    );
    for unknown in [7, -1] {
        let end = client.call(&ended(unknown), 4).await.topics[0].partitions[0].clone();
        assert_eq!((end.leader_epoch, end.end_offset), (-1, -1), "{unknown}");
    }

    let mut stale = fetch_request("t", 0, 0);
    stale.topics[0].partitions[0].current_leader_epoch = 0;
    let fetched = only(fetch(&mut client, &stale).await.responses);
    assert_eq!(code(fetched.error_code), ErrorCode::FencedLeaderEpoch);
    assert_eq!(fetched.current_leader.leader_id, -1, "before KIP-951");
    // KIP-951: who leads, in which epoch, and where.
    let id = broker.handle.state().hosted("t").unwrap().topic.id;
    let mut by_id = fetch_request("", 0, 0);
    by_id.topics = vec![fetch_topic("", id, 0, 0)];
    by_id.topics[0].partitions[0].current_leader_epoch = 0;
    for version in [16, 18] {
        let response = client.call(&by_id, version).await;
        let endpoint = &response.node_endpoints[0];
        let port = i32::from(broker.handle.address().port());
        assert_eq!((endpoint.node_id, endpoint.port), (1, port));
        let leader = only(response.responses).current_leader;
        assert_eq!((leader.leader_id, leader.leader_epoch), (1, 1));
    }
    assert_eq!(client.call(&by_id, 15).await.node_endpoints, []);
    stale.topics[0].partitions[0].current_leader_epoch = 5;
    let fetched = only(fetch(&mut client, &stale).await.responses);
    assert_eq!(code(fetched.error_code), ErrorCode::UnknownLeaderEpoch);
    broker.stop().await;
}

#[tokio::test]
async fn a_reader_whose_last_epoch_ended_earlier_is_told_where() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    produce(&mut client, "t", 0, batch(&["a", "b"])).await;
    drop(client);
    broker.stop().await;
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    produce(&mut client, "t", 0, batch(&["c"])).await;

    let read_after = |epoch, offset| {
        let mut request = fetch_request("t", 0, offset);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        request
    };
    // Nobody has to wait for what is known: an hour would be noticed.
    let mut parted = FetchRequest {
        max_wait_ms: 3_600_000,
        min_bytes: 1,
        session_epoch: 0,
        ..read_after(0, 3)
    };
    let first = fetch(&mut client, &parted).await;
    parted.session_id = first.session_id;
    parted.topics.clear();
    parted.session_epoch = 1;
    let again = fetch(&mut client, &parted).await;
    for response in [first, again] {
        let partition = only(response.responses);
        let at = &partition.diverging_epoch;
        assert_eq!((at.epoch, at.end_offset), (0, 2));
        assert_eq!((partition.error_code, partition.high_watermark), (0, 3));
        assert!(records(partition.records).is_empty());
    }
    let goes_on = only(fetch(&mut client, &read_after(0, 2)).await.responses);
    assert_eq!(goes_on.diverging_epoch.epoch, -1);
    assert_eq!(records(goes_on.records), [(2, "c".to_owned())]);
    let unknown = only(fetch(&mut client, &read_after(7, 3)).await.responses);
    assert_eq!(code(unknown.error_code), ErrorCode::OffsetOutOfRange);
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
