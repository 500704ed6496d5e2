//! The request pipeline over a real socket.

mod support;

use millstream_broker::connection::ConnectionLimits;
use millstream_wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use millstream_wire::messages::metadata::MetadataRequest;
use millstream_wire::messages::produce::ProduceRequest;
use millstream_wire::{ErrorCode, Message};
use std::time::{Duration, Instant};
use support::kafka::{batch, create_topic, fetch_request, produce, produce_request};
use support::{PATIENCE, TestBroker, eventually, options};
use tokio::io::AsyncWriteExt;

fn hello() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    // Key 18, version 99, correlation id 7, client id null, no tags.
    let body = [0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0];
    client
        .stream
        .write_all(&(body.len() as i32).to_be_bytes())
        .await
        .unwrap();
    client.stream.write_all(&body).await.unwrap();
    let frame = client.frame().await.unwrap();
    assert_eq!(frame[..4], 7i32.to_be_bytes());
    let response = ApiVersionsResponse::decode_all(0, frame.slice(4..)).unwrap();
    assert_eq!(
        ErrorCode::from(response.error_code),
        ErrorCode::UnsupportedVersion
    );
    assert!(
        response
            .api_keys
            .iter()
            .any(|api| api.api_key == 18 && api.max_version >= 4)
    );

    // The connection goes on.
    let response = client.call(&hello(), 4).await;
    assert_eq!(response.error_code, 0);
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_means_another_broker_is_told_to_start_over() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let cluster = broker.metadata.image().cluster_id().to_owned();
    let here = broker.handle.state().node_id().0;
    let mut client = broker.client().await;
    for (cluster_id, node_id, expected) in [
        (None, -1, ErrorCode::None),
        (Some(cluster.clone()), here, ErrorCode::None),
        (Some("another".into()), here, ErrorCode::RebootstrapRequired),
        (Some(cluster), here + 1, ErrorCode::RebootstrapRequired),
    ] {
        let request = ApiVersionsRequest {
            cluster_id,
            node_id,
            ..hello()
        };
        let response = client.call(&request, 5).await;
        assert_eq!(ErrorCode::from(response.error_code), expected);
        assert_eq!(response.api_keys.is_empty(), expected != ErrorCode::None);
        // Older versions have no room for the question.
        assert_eq!(client.call(&hello(), 4).await.error_code, 0);
    }
    broker.stop().await;
}

#[tokio::test]
async fn produce_is_announced_from_0_and_refused_below_3() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let apis = client.call(&hello(), 3).await.api_keys;
    let of = |key| apis.iter().find(|api| api.api_key == key).unwrap();
    assert_eq!((of(0).min_version, of(0).max_version), (0, 13));
    assert_eq!(of(1).min_version, 4);
    // What is not there is not announced.
    assert!(!apis.iter().any(|api| api.api_key == 71), "telemetry");

    client
        .send(
            &ProduceRequest {
                acks: 1,
                ..Default::default()
            },
            2,
        )
        .await;
    assert_eq!(client.frame().await, None, "the connection is closed");
    broker.stop().await;
}

#[tokio::test]
async fn answers_leave_in_request_order_and_a_long_poll_holds_up_only_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut poller = broker.client().await;
    create_topic(&mut poller, "orders", 1, &[]).await;
    let fetch = millstream_wire::messages::fetch::FetchRequest {
        max_wait_ms: 60_000,
        ..fetch_request("orders", 0, 0)
    };
    let began = Instant::now();
    let poll = poller.send(&fetch, 12).await;
    let behind = poller.send(&hello(), 3).await;

    let mut other = broker.client().await;
    let produced = produce(&mut other, "orders", 0, batch(&["a"])).await;
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));

    let fetched = poller
        .answer::<millstream_wire::messages::fetch::FetchRequest>(12, poll)
        .await;
    let records = support::kafka::only(fetched.responses).records;
    assert_eq!(support::kafka::records(records), [(0, "a".to_owned())]);
    poller.answer::<ApiVersionsRequest>(3, behind).await;
    assert!(
        began.elapsed() < PATIENCE,
        "woken by the append, not by the time"
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_behind_a_waiting_one_does_not_keep_it_from_answering() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "silent", 1, &[]).await;
    create_topic(&mut client, "orders", 1, &[]).await;
    // Large enough to be sent from where it was read, not from a copy.
    let value = "a".repeat(100_000);
    produce(&mut client, "orders", 0, batch(&[&value])).await;
    let fetch = |topic| millstream_wire::messages::fetch::FetchRequest {
        max_wait_ms: 200,
        ..fetch_request(topic, 0, 0)
    };
    let mut sent = Vec::new();
    for topic in ["silent", "orders", "silent", "orders", "orders"] {
        sent.push((topic, client.send(&fetch(topic), 12).await));
    }
    for (topic, id) in sent {
        let fetched = client
            .answer::<millstream_wire::messages::fetch::FetchRequest>(12, id)
            .await;
        let records = support::kafka::records(support::kafka::only(fetched.responses).records);
        let expected = usize::from(topic == "orders");
        assert_eq!(records.len(), expected, "{topic}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn many_pipelined_requests_are_all_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders", 1, &[]).await;
    let mut sent = Vec::new();
    for i in 0..200 {
        let request = produce_request("orders", 0, -1, batch(&[&format!("{i}")]));
        sent.push(client.send(&request, 9).await);
    }
    for (i, id) in sent.into_iter().enumerate() {
        let response = client.answer::<ProduceRequest>(9, id).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, i as i64));
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let limits = ConnectionLimits {
        request_bytes_max: 1024,
        ..Default::default()
    };
    let broker = TestBroker::with(millstream_broker::BrokerOptions {
        limits,
        ..options(dir.path())
    })
    .await;
    for length in [1025i32, i32::MAX, -1, 3] {
        let mut client = broker.client().await;
        client
            .stream
            .write_all(&length.to_be_bytes())
            .await
            .unwrap();
        assert_eq!(client.frame().await, None, "length {length}");
    }
    let mut client = broker.client().await;
    assert_eq!(client.call(&hello(), 3).await.error_code, 0);
    broker.stop().await;
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    for garbage in [&[0xff; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        let mut client = broker.client().await;
        client.stream.write_all(&64i32.to_be_bytes()).await.unwrap();
        let mut body = garbage.to_vec();
        body.resize(64, 7);
        client.stream.write_all(&body).await.unwrap();
        assert_eq!(client.frame().await, None);
    }
    let mut client = broker.client().await;
    assert_eq!(client.call(&hello(), 3).await.error_code, 0);
    broker.stop().await;
}

#[tokio::test]
async fn connections_of_one_address_are_limited_and_places_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options
        .configs
        .insert("max.connections.per.ip".into(), "2".into());
    let broker = TestBroker::with(options).await;
    let mut first = broker.client().await;
    let mut second = broker.client().await;
    first.call(&hello(), 3).await;
    second.call(&hello(), 3).await;
    let mut third = broker.client().await;
    third.send(&hello(), 3).await;
    assert_eq!(third.frame().await, None, "a third connection is refused");
    assert_eq!(
        broker.handle.state().stats().snapshot().connections_refused,
        1
    );

    drop(first);
    eventually("the place is free", async || {
        let mut client = broker.client().await;
        client.send(&hello(), 3).await;
        client.frame().await.is_some()
    })
    .await;
    broker.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_waiting_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options
        .configs
        .insert("connections.max.idle.ms".into(), "300".into());
    let broker = TestBroker::with(options).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders", 1, &[]).await;
    let fetch = millstream_wire::messages::fetch::FetchRequest {
        max_wait_ms: 1_000,
        ..fetch_request("orders", 0, 0)
    };
    assert_eq!(
        client.call(&fetch, 12).await.error_code,
        0,
        "it waited longer than idle"
    );
    assert_eq!(client.frame().await, None, "closed after it was idle");
    broker.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_waits_and_ends_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders", 1, &[]).await;
    let fetch = millstream_wire::messages::fetch::FetchRequest {
        max_wait_ms: 60_000,
        ..fetch_request("orders", 0, 0)
    };
    let id = client.send(&fetch, 12).await;
    let state = std::sync::Arc::clone(broker.handle.state());
    eventually("the fetch has arrived", async || {
        state.stats().snapshot().apis["Fetch"].requests == 1
    })
    .await;
    let began = Instant::now();
    let address = broker.handle.address();
    let (response, ()) = tokio::join!(
        client.answer::<millstream_wire::messages::fetch::FetchRequest>(12, id),
        broker.stop()
    );
    assert_eq!(response.error_code, 0);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn acks_0_has_no_answer_and_a_failure_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders", 1, &[]).await;
    client
        .send(&produce_request("orders", 0, 0, batch(&["a"])), 9)
        .await;
    // The next answer is that of the next request.
    assert_eq!(client.call(&hello(), 3).await.error_code, 0);
    client
        .send(&produce_request("nowhere", 0, 0, batch(&["a"])), 9)
        .await;
    assert_eq!(client.frame().await, None);
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let limits = ConnectionLimits {
        write_stall_max: Duration::from_millis(200),
        ..Default::default()
    };
    let broker = TestBroker::with(millstream_broker::BrokerOptions {
        limits,
        ..options(dir.path())
    })
    .await;
    let mut client = broker.client().await;
    create_topic(
        &mut client,
        "orders",
        1,
        &[("max.message.bytes", "20000000")],
    )
    .await;
    produce(
        &mut client,
        "orders",
        0,
        batch(&["x".repeat(10_000_000).as_str()]),
    )
    .await;
    let fetch = millstream_wire::messages::fetch::FetchRequest {
        max_bytes: 50 << 20,
        ..fetch_request("orders", 0, 0)
    };
    let state = std::sync::Arc::clone(broker.handle.state());
    let mut slow = broker.client().await;
    for _ in 0..4 {
        slow.send(&fetch, 12).await;
    }
    eventually("two connections", async || {
        state.stats().snapshot().connections_accepted == 2
    })
    .await;
    eventually("the slow one is gone", async || {
        state.stats().snapshot().connections_open == 1
    })
    .await;
    broker.stop().await;
}

#[tokio::test]
async fn metadata_of_a_node_that_restarted_keeps_cluster_and_topics() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "orders", 2, &[]).await;
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let before = client.call(&all, 12).await;
    drop(client);
    broker.stop().await;

    let broker = TestBroker::start(dir.path()).await;
    let after = broker.client().await.call(&all, 12).await;
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_eq!(after.topics[0].topic_id, id);
    let port = i32::from(broker.handle.address().port());
    assert_eq!(
        after.brokers[0].port, port,
        "advertised where it listens now"
    );
    // KIP-320: a leader that came back leads in a new epoch.
    let epoch = |m: &millstream_wire::messages::metadata::MetadataResponse| {
        m.topics[0].partitions[0].leader_epoch
    };
    assert_eq!(epoch(&after), epoch(&before) + 1);
    broker.stop().await;
}
