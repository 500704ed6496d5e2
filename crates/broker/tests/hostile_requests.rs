//! Every request at every version, made up and then mutated, through the
//! dispatch of a running broker. Nothing may panic, and whoever behaves is
//! served all the while.
//!
//! `MILLSTREAM_FUZZ_FACTOR` multiplies how many there are.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use bytes::{BufMut, BytesMut};
use millstream_wire::frame::encode_request;
use millstream_wire::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use millstream_wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use millstream_wire::messages::delete_groups::DeleteGroupsRequest;
use millstream_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use millstream_wire::messages::describe_groups::DescribeGroupsRequest;
use millstream_wire::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use millstream_wire::messages::describe_transactions::DescribeTransactionsRequest;
use millstream_wire::messages::find_coordinator::FindCoordinatorRequest;
use millstream_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use millstream_wire::mutate::{Random, mutate};
use millstream_wire::testing::Source;
use millstream_wire::{ApiKey, ErrorCode, Request};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::kafka::create_topic;
use support::{Client, TestBroker, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Requests of each kind at each version.
const EACH: usize = 4;
/// Connections that are open at a time, each with one request: some requests
/// wait, and what waits holds up its own connection only.
const OPEN_MAX: usize = 100;

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn no_request_at_any_version_does_harm() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut polite = broker.client().await;
    create_topic(&mut polite, "orders", 1, &[]).await;
    let factor = std::env::var("MILLSTREAM_FUZZ_FACTOR").map_or(1, |n| n.parse().unwrap());
    let mut random = Random::new(3);
    let (mut open, mut sent, mut well_formed) = (Vec::new(), 0, 0);
    for api in ApiKey::ALL {
        let (request, _) = api.messages();
        for version in request.version_first..=request.version_last {
            for n in 0..EACH * factor {
                let choices = random.bytes(120);
                let body = (request.sample)(version, &mut Source::new(&choices)).unwrap();
                let mut body = body.to_vec();
                if n % 2 == 1 {
                    mutate(&mut body, &mut random);
                } else {
                    well_formed += 1;
                }
                let mut stream = TcpStream::connect(broker.handle.address()).await.unwrap();
                stream
                    .write_all(&frame(*api, version, &body))
                    .await
                    .unwrap();
                open.push(stream);
                sent += 1;
                if open.len() == OPEN_MAX {
                    let answer = polite.call(&MetadataRequest::default(), 12).await;
                    assert!(!answer.brokers.is_empty());
                    open.clear();
                }
            }
        }
    }
    assert!(sent > 500, "{sent} requests only");
    let state = broker.handle.state();
    // The others wait for something, or were refused before they had a name.
    eventually("most requests were dispatched", async || {
        let apis = state.stats().snapshot().apis;
        let counted: u64 = apis.values().map(|api| api.requests).sum();
        counted as usize > well_formed / 2
    })
    .await;
    drop(open);
    let answer = polite.call(&MetadataRequest::default(), 12).await;
    assert!(!answer.brokers.is_empty());
    broker.stop().await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}

/// Mentions of one name in one request.
const MENTIONS: usize = 20_000;
/// Bytes that an answer about one name may have.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends a request that names one thing again and again, and gives the size
/// of the answer's frame.
async fn answer_bytes<R: Request>(client: &mut Client, request: &R, version: i16) -> usize {
    let sent = encode_request(request, version, 7, None).unwrap();
    assert!(sent.to_bytes().unwrap().len() > MENTIONS, "a long request");
    client.send(request, version).await;
    client.frame().await.map_or(0, |frame| frame.len())
}

#[tokio::test]
async fn what_is_named_again_and_again_is_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders", 1, &[]).await;
    let names = || vec!["orders".to_owned(); MENTIONS];

    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "orders".into(),
        configuration_keys: None,
    };
    let describe = DescribeConfigsRequest {
        resources: vec![resource; MENTIONS],
        include_synonyms: true,
        include_documentation: true,
    };
    let answer = client.call(&describe, 4).await;
    assert_eq!(answer.results.len(), 1);
    assert!(answer.results[0].configs.len() > 10);

    let topic = MetadataRequestTopic {
        name: Some("orders".into()),
        ..Default::default()
    };
    let metadata = MetadataRequest {
        topics: Some(vec![topic; MENTIONS]),
        ..Default::default()
    };
    assert_eq!(client.call(&metadata, 12).await.topics.len(), 1);

    let groups = DescribeGroupsRequest {
        groups: names(),
        ..Default::default()
    };
    assert_eq!(client.call(&groups, 5).await.groups.len(), 1);
    let groups = ConsumerGroupDescribeRequest {
        group_ids: names(),
        ..Default::default()
    };
    assert_eq!(client.call(&groups, 0).await.groups.len(), 1);
    let groups = DeleteGroupsRequest {
        groups_names: names(),
    };
    assert_eq!(client.call(&groups, 2).await.results.len(), 1);

    let coordinators = FindCoordinatorRequest {
        coordinator_keys: names(),
        ..Default::default()
    };
    assert_eq!(client.call(&coordinators, 4).await.coordinators.len(), 1);

    let more = CreatePartitionsTopic {
        name: "orders".into(),
        count: 2,
        ..Default::default()
    };
    let more = CreatePartitionsRequest {
        topics: vec![more; MENTIONS],
        timeout_ms: 1_000,
        ..Default::default()
    };
    let answer = client.call(&more, 3).await;
    assert_eq!(answer.results.len(), 1);
    assert_eq!(
        ErrorCode::from(answer.results[0].error_code),
        ErrorCode::InvalidRequest
    );

    // One topic entry again and again, and one partition in one entry.
    for (topics, partitions) in [(MENTIONS, 1), (1, MENTIONS)] {
        let partition = OffsetCommitRequestPartition {
            committed_offset: 5,
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: "orders".into(),
            partitions: vec![partition; partitions],
            ..Default::default()
        };
        let commit = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic; topics],
            ..Default::default()
        };
        let answer = client.call(&commit, 8).await;
        let answered: Vec<_> = answer.topics.iter().flat_map(|t| &t.partitions).collect();
        assert_eq!(answered.len(), 1);
        assert_eq!(answered[0].error_code, 0);

        let topic = OffsetFetchRequestTopics {
            name: "orders".into(),
            partition_indexes: vec![0; partitions],
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics: Some(vec![topic; topics]),
            ..Default::default()
        };
        let fetch = OffsetFetchRequest {
            groups: vec![group],
            ..Default::default()
        };
        let answer = client.call(&fetch, 8).await;
        let answered: Vec<_> = answer.groups[0]
            .topics
            .iter()
            .flat_map(|t| &t.partitions)
            .collect();
        assert_eq!(answered.len(), 1);
        assert_eq!(answered[0].committed_offset, 5);

        let partition = ListOffsetsPartition {
            timestamp: -1,
            ..Default::default()
        };
        let topic = ListOffsetsTopic {
            name: "orders".into(),
            partitions: vec![partition; partitions],
        };
        let offsets = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![topic; topics],
            ..Default::default()
        };
        let answer = client.call(&offsets, 7).await;
        assert_eq!(answer.topics.iter().flat_map(|t| &t.partitions).count(), 1);

        let topic = TopicRequest {
            name: "orders".into(),
            partition_indexes: vec![0; partitions],
        };
        let producers = DescribeProducersRequest {
            topics: vec![topic; topics],
        };
        let answer = client.call(&producers, 0).await;
        assert_eq!(answer.topics.iter().flat_map(|t| &t.partitions).count(), 1);
    }

    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: None,
        ..Default::default()
    };
    let fetch = OffsetFetchRequest {
        groups: vec![group; MENTIONS],
        ..Default::default()
    };
    assert!(answer_bytes(&mut client, &fetch, 8).await < ANSWER_BYTES_MAX);
    let transactions = DescribeTransactionsRequest {
        transactional_ids: names(),
    };
    assert!(answer_bytes(&mut client, &transactions, 0).await < ANSWER_BYTES_MAX);
    broker.stop().await;
}

/// Groups need not be there to have settings: names alone make a long answer.
#[tokio::test]
async fn an_answer_about_settings_is_bounded_whatever_is_named() {
    const NAMES: usize = 210_000;
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let mut polite = broker.client().await;
    let resources = (0..NAMES).map(|i| DescribeConfigsResource {
        resource_type: 32,
        resource_name: format!("{i}"),
        configuration_keys: None,
    });
    let describe = DescribeConfigsRequest {
        resources: resources.collect(),
        ..Default::default()
    };
    let id = client.send(&describe, 4).await;
    // Whoever asks for little is answered meanwhile.
    for _ in 0..10 {
        let answer = polite.call(&MetadataRequest::default(), 12).await;
        assert_eq!(answer.brokers.len(), 1);
    }
    let answer = client.answer::<DescribeConfigsRequest>(4, id).await;
    assert_eq!(answer.results.len(), NAMES);
    let described: usize = answer.results.iter().map(|r| r.configs.len()).sum();
    assert!(described <= 400_010, "{described} settings");
    let last = &answer.results[NAMES - 1];
    assert_eq!(ErrorCode::from(last.error_code), ErrorCode::InvalidRequest);
    assert!(
        last.error_message
            .as_ref()
            .unwrap()
            .contains("several requests")
    );
    broker.stop().await;
}

fn frame(api: ApiKey, version: i16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(api.code());
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(-1);
    if api.request_header_version(version) >= 2 {
        frame.put_u8(0);
    }
    frame.extend_from_slice(body);
    let mut whole = BytesMut::new();
    whole.put_i32(frame.len() as i32);
    whole.unsplit(frame);
    whole
}
