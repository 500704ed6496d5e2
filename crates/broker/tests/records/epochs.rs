//! Leader epochs: what a restart leaves to those who read before it.

use super::*;

/// A broker in its second epoch, with a topic "t" that has "a" and "b" of the
/// first.
async fn restarted() -> (tempfile::TempDir, TestBroker, Client) {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    produce(&mut client, "t", 0, batch(&["a", "b"])).await;
    drop(client);
    broker.stop().await;
    let broker = TestBroker::start(dir.path()).await;
    let client = broker.client().await;
    (dir, broker, client)
}

#[tokio::test]
async fn records_and_epochs_survive_a_restart_and_old_epochs_are_fenced() {
    let (_dir, broker, mut client) = restarted().await;
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
    let (_dir, broker, mut client) = restarted().await;
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
