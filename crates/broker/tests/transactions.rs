//! Transactions over real sockets, at every version that is announced.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

#[path = "transactions/operators.rs"]
mod operators;
#[path = "transactions/version_2.rs"]
mod version_2;

use millstream_wire::ErrorCode;
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use millstream_wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use millstream_wire::messages::api_versions::ApiVersionsRequest;
use millstream_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_wire::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use millstream_wire::messages::describe_transactions::DescribeTransactionsRequest;
use millstream_wire::messages::end_txn::EndTxnRequest;
use millstream_wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream_wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use millstream_wire::messages::list_transactions::ListTransactionsRequest;
use millstream_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use millstream_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use millstream_wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_wire::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use support::kafka::committed_records;
use support::{Client, TestBroker, eventually, options};
use uuid::Uuid;

const TOPIC: &str = "orders";

const PARTITIONS: i32 = 2;

async fn start(dir: &std::path::Path) -> TestBroker {
    let mut options = options(dir);
    for name in [
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
    ] {
        options.configs.insert(name.into(), "3".into());
    }
    TestBroker::with(options).await
}

async fn broker() -> (TestBroker, Client, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    let topic = CreatableTopic {
        name: TOPIC.into(),
        num_partitions: PARTITIONS,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..Default::default()
    };
    assert_eq!(client.call(&request, 7).await.topics[0].error_code, 0);
    (broker, client, dir)
}

/// A producer instance and the sequences of its partitions.
struct Producer {
    id: i64,
    epoch: i16,
    sequences: [i32; PARTITIONS as usize],
}

impl Producer {
    fn of(response: &InitProducerIdResponse) -> Self {
        Self {
            id: response.producer_id,
            epoch: response.producer_epoch,
            sequences: [0; 2],
        }
    }
}

async fn init(client: &mut Client, id: &str, timeout_ms: i32) -> InitProducerIdResponse {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: timeout_ms,
        ..Default::default()
    };
    client.call(&request, 4).await
}

async fn producer(client: &mut Client, id: &str) -> Producer {
    let response = init(client, id, 60_000).await;
    assert_eq!(response.error_code, 0);
    Producer::of(&response)
}

async fn add(client: &mut Client, id: &str, producer: &Producer, version: i16) -> i16 {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id.into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: (0..PARTITIONS).collect(),
        }],
        ..Default::default()
    };
    let response = client.call(&request, version).await;
    let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
    assert_eq!(results.len(), 2);
    results[0].partition_error_code
}

/// Sends one record in the producer's transaction, as clients of version 1 do.
async fn send(
    client: &mut Client,
    id: &str,
    producer: &mut Producer,
    partition: i32,
    value: &str,
) -> i16 {
    send_at(client, id, producer, partition, value, 9).await
}

async fn send_at(
    client: &mut Client,
    id: &str,
    producer: &mut Producer,
    partition: i32,
    value: &str,
    version: i16,
) -> i16 {
    let sequence = &mut producer.sequences[partition as usize];
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: *sequence,
        is_transactional: true,
        ..Default::default()
    });
    *sequence += 1;
    // Old on purpose: a marker, which is of now, then begins a new segment.
    builder
        .append(1, None, Some(value.as_bytes()), &[])
        .unwrap();
    let records = Some(builder.build().unwrap());
    let partition = PartitionProduceData {
        index: partition,
        records,
    };
    let mut topic = TopicProduceData {
        partition_data: vec![partition],
        ..Default::default()
    };
    if version >= 13 {
        topic.topic_id = topic_id(client).await;
    } else {
        topic.name = TOPIC.into();
    }
    let request = ProduceRequest {
        transactional_id: Some(id.into()),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![topic],
    };
    let response = client.call(&request, version).await;
    response.responses[0].partition_responses[0].error_code
}

async fn end(
    client: &mut Client,
    id: &str,
    producer: &Producer,
    committed: bool,
    version: i16,
) -> i16 {
    let request = end_request(id, producer, committed);
    client.call(&request, version).await.error_code
}

async fn topic_id(client: &mut Client) -> Uuid {
    let topic = MetadataRequestTopic {
        name: Some(TOPIC.into()),
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        ..Default::default()
    };
    client.call(&request, 12).await.topics[0].topic_id
}

/// Ends the transaction as clients of version 2 do, and goes on as they do.
async fn end_v2(client: &mut Client, id: &str, producer: &mut Producer, committed: bool) -> i16 {
    let response = client.call(&end_request(id, producer, committed), 5).await;
    if response.error_code == 0 {
        *producer = Producer {
            id: response.producer_id,
            epoch: response.producer_epoch,
            sequences: [0; 2],
        };
    }
    response.error_code
}

fn end_request(id: &str, producer: &Producer, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: id.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    }
}

/// The values of both partitions that a reader of committed records sees.
async fn committed(client: &mut Client) -> Vec<String> {
    let mut values = Vec::new();
    for partition in 0..PARTITIONS {
        let mut offset = 0;
        while let Some(next) = read_committed(client, partition, offset, &mut values).await {
            offset = next;
        }
    }
    values
}

/// One fetch; gives where to read on, until the last stable offset.
async fn read_committed(
    client: &mut Client,
    partition: i32,
    fetch_offset: i64,
    values: &mut Vec<String>,
) -> Option<i64> {
    let partition = FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let request = FetchRequest {
        max_wait_ms: 0,
        max_bytes: 1 << 20,
        isolation_level: 1,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = client.call(&request, 11).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!(data.error_code, 0);
    let stable = data.last_stable_offset;
    let (records, next_offset) = committed_records(data.clone());
    values.extend(records.into_iter().map(|(_, value)| value));
    next_offset.filter(|next| *next < stable)
}

async fn txn_commit_offset(
    client: &mut Client,
    id: &str,
    producer: &Producer,
    offset: i64,
    version: i16,
) -> i16 {
    txn_offset_code(
        client,
        &offset_in_transaction(id, producer, offset),
        version,
    )
    .await
}

fn offset_in_transaction(id: &str, producer: &Producer, offset: i64) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        ..Default::default()
    };
    TxnOffsetCommitRequest {
        transactional_id: id.into(),
        group_id: "g".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        generation_id_or_member_epoch: -1,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: TOPIC.into(),
            partitions: vec![partition],
        }],
        ..Default::default()
    }
}

async fn txn_offset_code(
    client: &mut Client,
    request: &TxnOffsetCommitRequest,
    version: i16,
) -> i16 {
    client.call(request, version).await.topics[0].partitions[0].error_code
}

async fn committed_offset(client: &mut Client, require_stable: bool) -> (i64, i16) {
    let topics = vec![OffsetFetchRequestTopics {
        name: TOPIC.into(),
        partition_indexes: vec![0],
        ..Default::default()
    }];
    let groups = vec![OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: Some(topics),
        ..Default::default()
    }];
    let request = OffsetFetchRequest {
        groups,
        require_stable,
        ..Default::default()
    };
    let response = client.call(&request, 8).await;
    let partition = &response.groups[0].topics[0].partitions[0];
    (partition.committed_offset, partition.error_code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_records_are_read_and_aborted_ones_are_not_at_every_version() {
    let (broker, mut client, _dir) = broker().await;
    let mut expected = Vec::new();
    for version in 0..=4 {
        let id = format!("t{version}");
        let mut me = producer(&mut client, &id).await;
        for (committed_now, value) in [(true, "c"), (false, "a"), (true, "d")] {
            let value = format!("{value}{version}");
            assert_eq!(add(&mut client, &id, &me, version.min(3)).await, 0);
            for partition in 0..PARTITIONS {
                assert_eq!(send(&mut client, &id, &mut me, partition, &value).await, 0);
            }
            assert_eq!(
                committed(&mut client).await.len(),
                expected.len(),
                "nothing yet"
            );
            assert_eq!(end(&mut client, &id, &me, committed_now, version).await, 0);
            if committed_now {
                expected.extend([value.clone(), value]);
            }
            // Visible as soon as the end is answered.
            let mut seen = committed(&mut client).await;
            seen.sort();
            expected.sort();
            assert_eq!(seen, expected);
        }
        assert_eq!(
            end(&mut client, &id, &me, true, version).await,
            0,
            "a retry is answered"
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_instance_fences_the_old_one_and_versions_say_so_in_their_way() {
    let (broker, mut client, _dir) = broker().await;
    let mut old = producer(&mut client, "t").await;
    add(&mut client, "t", &old, 3).await;
    assert_eq!(send(&mut client, "t", &mut old, 0, "old").await, 0);
    let mut new = producer(&mut client, "t").await;
    assert_eq!(new.id, old.id);
    assert!(new.epoch > old.epoch);
    let (fenced, before) = (
        ErrorCode::ProducerFenced.code(),
        ErrorCode::InvalidProducerEpoch.code(),
    );
    assert_eq!(end(&mut client, "t", &old, true, 1).await, before);
    assert_eq!(end(&mut client, "t", &old, true, 2).await, fenced);
    assert_eq!(add(&mut client, "t", &old, 1).await, before);
    assert_eq!(add(&mut client, "t", &old, 2).await, fenced);
    assert_eq!(send(&mut client, "t", &mut old, 0, "zombie").await, before);
    add(&mut client, "t", &new, 3).await;
    assert_eq!(send(&mut client, "t", &mut new, 0, "new").await, 0);
    assert_eq!(end(&mut client, "t", &new, true, 4).await, 0);
    assert_eq!(committed(&mut client).await, ["new"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_takes_too_long_is_aborted() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = Producer::of(&init(&mut client, "t", 200).await);
    add(&mut client, "t", &me, 3).await;
    assert_eq!(send(&mut client, "t", &mut me, 0, "late").await, 0);
    eventually("the transaction is aborted", async || {
        let request = DescribeTransactionsRequest {
            transactional_ids: vec!["t".into()],
        };
        let described = client.call(&request, 0).await;
        described.transaction_states[0].transaction_state == "CompleteAbort"
    })
    .await;
    assert_eq!(
        end(&mut client, "t", &me, true, 4).await,
        ErrorCode::ProducerFenced.code()
    );
    assert_eq!(committed(&mut client).await, Vec::<String>::new());
    let too_long = init(&mut client, "t", 900_001).await.error_code;
    assert_eq!(too_long, ErrorCode::InvalidTransactionTimeout.code());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_outside_its_transaction_is_refused() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    let refused = ErrorCode::InvalidTxnState.code();
    assert_eq!(send(&mut client, "t", &mut me, 0, "early").await, refused);
    add(&mut client, "t", &me, 3).await;
    assert_eq!(
        send(&mut client, "t", &mut me, 0, "overtakes").await,
        ErrorCode::OutOfOrderSequenceNumber.code()
    );
    me.sequences = [0; 2];
    assert_eq!(send(&mut client, "t", &mut me, 0, "in time").await, 0);
    assert_eq!(end(&mut client, "t", &me, true, 4).await, 0);
    assert_eq!(send(&mut client, "t", &mut me, 0, "late").await, refused);
    assert_eq!(committed(&mut client).await, ["in time"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_transaction_appear_when_it_commits_at_every_version() {
    let (broker, mut client, _dir) = broker().await;
    let me = producer(&mut client, "t").await;
    let outside = txn_commit_offset(&mut client, "t", &me, 1, 3).await;
    assert_eq!(
        outside,
        ErrorCode::InvalidTxnState.code(),
        "the group is not part of it"
    );
    let mut before = -1;
    for version in 0..=4 {
        let offset = 10 + i64::from(version);
        let request = AddOffsetsToTxnRequest {
            transactional_id: "t".into(),
            producer_id: me.id,
            producer_epoch: me.epoch,
            group_id: "g".into(),
        };
        assert_eq!(client.call(&request, version).await.error_code, 0);
        assert_eq!(
            txn_commit_offset(&mut client, "t", &me, offset, version).await,
            0
        );
        assert_eq!(committed_offset(&mut client, false).await, (before, 0));
        let unstable = ErrorCode::UnstableOffsetCommit.code();
        assert_eq!(committed_offset(&mut client, true).await, (-1, unstable));
        let commits = version % 2 == 0;
        assert_eq!(end(&mut client, "t", &me, commits, version).await, 0);
        before = if commits { offset } else { before };
        assert_eq!(committed_offset(&mut client, true).await, (before, 0));
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_goes_on_after_a_restart() {
    let (broker, mut client, dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    add(&mut client, "t", &me, 3).await;
    assert_eq!(send(&mut client, "t", &mut me, 0, "before").await, 0);
    broker.stop().await;

    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    eventually("the coordinator has loaded", async || {
        client
            .call(&ListTransactionsRequest::default(), 1)
            .await
            .error_code
            == 0
    })
    .await;
    let listed = client
        .call(&ListTransactionsRequest::default(), 1)
        .await
        .transaction_states;
    assert_eq!(
        (&*listed[0].transactional_id, &*listed[0].transaction_state),
        ("t", "Ongoing")
    );
    assert_eq!(committed(&mut client).await, Vec::<String>::new());
    assert_eq!(send(&mut client, "t", &mut me, 0, "after").await, 0);
    assert_eq!(end(&mut client, "t", &me, true, 4).await, 0);
    assert_eq!(committed(&mut client).await, ["before", "after"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_takes_all_of_its_partitions_or_none() {
    let (broker, mut client, _dir) = broker().await;
    let me = producer(&mut client, "t").await;
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "t".into(),
        v3_and_below_producer_id: me.id,
        v3_and_below_producer_epoch: me.epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: vec![0, 99],
        }],
        ..Default::default()
    };
    let response = client.call(&request, 3).await;
    let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
    let codes: Vec<i16> = results
        .iter()
        .map(|result| result.partition_error_code)
        .collect();
    let (not_tried, unknown) = (
        ErrorCode::OperationNotAttempted.code(),
        ErrorCode::UnknownTopicOrPartition.code(),
    );
    assert_eq!(codes, [not_tried, unknown]);
    let described = DescribeTransactionsRequest {
        transactional_ids: vec!["t".into()],
    };
    let described = client.call(&described, 0).await;
    assert_eq!(described.transaction_states[0].transaction_state, "Empty");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_producers_get_ids_of_their_own_at_every_version() {
    let (broker, mut client, _dir) = broker().await;
    let mut ids = std::collections::BTreeSet::new();
    for version in 0..=5 {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let response = client.call(&request, version).await;
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        assert!(ids.insert(response.producer_id), "version {version}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_producer_id_and_epoch_commit_what_a_restart_interrupted() {
    let (broker, mut client, dir) = broker().await;
    let mut stored = Vec::new();
    for version in 4..=5 {
        let id = format!("sink-{version}");
        let mut me = producer(&mut client, &id).await;
        assert_eq!(send_at(&mut client, &id, &mut me, 0, &id, 12).await, 0);
        stored.push((id, me, version));
    }
    broker.stop().await;

    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    eventually("the coordinator has loaded", async || {
        let list = ListTransactionsRequest::default();
        client.call(&list, 1).await.error_code == 0
    })
    .await;
    let mut expected = Vec::new();
    for (id, me, version) in &stored {
        // A second time after another restart of the job: it is done already.
        for _ in 0..2 {
            assert_eq!(end(&mut client, id, me, true, *version).await, 0);
        }
        expected.push(id.as_str());
        assert_eq!(committed(&mut client).await, expected);
        // The next instance takes the id over.
        assert!(producer(&mut client, id).await.epoch > me.epoch);
        let fenced = ErrorCode::ProducerFenced.code();
        assert_eq!(end(&mut client, id, me, true, *version).await, fenced);
    }
    broker.stop().await;
}
