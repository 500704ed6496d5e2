//! Offsets by time and by end, and where they begin after DeleteRecords.

use super::*;

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
