//! Groups and offsets over real sockets, at every version that is announced.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

use bytes::Bytes;
use millstream_wire::ErrorCode;
use millstream_wire::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use millstream_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_wire::messages::delete_groups::DeleteGroupsRequest;
use millstream_wire::messages::describe_groups::DescribeGroupsRequest;
use millstream_wire::messages::find_coordinator::FindCoordinatorRequest;
use millstream_wire::messages::heartbeat::HeartbeatRequest;
use millstream_wire::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use millstream_wire::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use millstream_wire::messages::list_groups::ListGroupsRequest;
use millstream_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use millstream_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use millstream_wire::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use support::{Client, TestBroker, eventually, options};
use uuid::Uuid;

async fn broker() -> (TestBroker, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (start(dir.path()).await, dir)
}

async fn start(dir: &std::path::Path) -> TestBroker {
    let mut options = options(dir);
    for (name, value) in [
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "3"),
    ] {
        options.configs.insert(name.into(), value.into());
    }
    TestBroker::with(options).await
}

async fn create_topic(client: &mut Client, name: &str) -> Uuid {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let response = client.call(&request, 7).await;
    assert_eq!(response.topics[0].error_code, 0);
    response.topics[0].topic_id
}

fn join_request(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: -1,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"subscription"),
        }],
        ..Default::default()
    }
}

/// Joins as clients of that version do: from version 4 in two steps.
async fn join(client: &mut Client, group: &str, version: i16) -> JoinGroupResponse {
    let mut request = join_request(group, "");
    request.rebalance_timeout_ms = if version >= 1 { 30_000 } else { -1 };
    let response = client.call(&request, version).await;
    if version < 4 {
        assert_eq!(response.error_code, 0, "version {version}");
        return response;
    }
    assert_eq!(
        response.error_code,
        ErrorCode::MemberIdRequired.code(),
        "version {version}"
    );
    request.member_id = response.member_id;
    let response = client.call(&request, version).await;
    assert_eq!(response.error_code, 0, "version {version}");
    response
}

fn sync_request(group: &str, member: &str, generation: i32, version: i16) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.into(),
        protocol_type: (version >= 5).then(|| "consumer".into()),
        protocol_name: (version >= 5).then(|| "range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.into(),
            assignment: Bytes::from_static(b"all"),
        }],
        ..Default::default()
    }
}

fn commit_request(group: &str, topic: &str, id: Uuid, offset: i64) -> OffsetCommitRequest {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: Some("here".into()),
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            topic_id: id,
            partitions: vec![partition(0), partition(9)],
        }],
        ..Default::default()
    }
}

/// The committed offset and its metadata, by whatever form the version has.
async fn fetch(
    client: &mut Client,
    group: &str,
    topic: &str,
    id: Uuid,
    version: i16,
) -> (i64, Option<String>) {
    if version < 8 {
        let topics = vec![OffsetFetchRequestTopic {
            name: topic.into(),
            partition_indexes: vec![0],
        }];
        let request = OffsetFetchRequest {
            group_id: group.into(),
            topics: Some(topics),
            ..Default::default()
        };
        let response = client.call(&request, version).await;
        assert_eq!(response.error_code, 0);
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        return (partition.committed_offset, partition.metadata.clone());
    }
    let topics = vec![OffsetFetchRequestTopics {
        name: topic.into(),
        topic_id: id,
        partition_indexes: vec![0],
    }];
    let groups = vec![OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(topics),
        ..Default::default()
    }];
    let request = OffsetFetchRequest {
        groups,
        ..Default::default()
    };
    let response = client.call(&request, version).await;
    assert_eq!(response.groups[0].error_code, 0);
    let partition = &response.groups[0].topics[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    (partition.committed_offset, partition.metadata.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_syncs_beats_and_leaves_at_every_version() {
    let (broker, _dir) = broker().await;
    let mut client = broker.client().await;
    for version in 0..=9 {
        let group = format!("g{version}");
        let joined = join(&mut client, &group, version).await;
        assert_eq!(
            (joined.generation_id, &joined.leader),
            (1, &joined.member_id)
        );
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(&joined.members[0].metadata[..], b"subscription");
        let member = joined.member_id;

        let sync_version = version.min(5);
        let request = sync_request(&group, &member, 1, sync_version);
        let synced = client.call(&request, sync_version).await;
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"all"[..])
        );

        let beat = HeartbeatRequest {
            group_id: group.clone(),
            generation_id: 1,
            member_id: member.clone(),
            ..Default::default()
        };
        assert_eq!(client.call(&beat, version.min(4)).await.error_code, 0);

        let leave_version = version.min(5);
        let identity = MemberIdentity {
            member_id: member.clone(),
            ..Default::default()
        };
        let leave = LeaveGroupRequest {
            group_id: group.clone(),
            member_id: if leave_version < 3 {
                member.clone()
            } else {
                String::new()
            },
            members: if leave_version < 3 {
                Vec::new()
            } else {
                vec![identity]
            },
        };
        let left = client.call(&leave, leave_version).await;
        assert_eq!(left.error_code, 0);
        assert!(left.members.iter().all(|member| member.error_code == 0));
        let gone = client.call(&beat, version.min(4)).await.error_code;
        assert_eq!(gone, ErrorCode::UnknownMemberId.code());
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_member_makes_the_first_join_again() {
    let (broker, _dir) = broker().await;
    let (mut first, mut second) = (broker.client().await, broker.client().await);
    let leader = join(&mut first, "g", 9).await.member_id;
    first.call(&sync_request("g", &leader, 1, 5), 5).await;

    let mut request = join_request("g", "");
    request.rebalance_timeout_ms = 30_000;
    request.member_id = second.call(&request, 9).await.member_id;
    let waiting = second.send(&request, 9).await;
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: leader.clone(),
        ..Default::default()
    };
    let rebalancing = ErrorCode::RebalanceInProgress.code();
    eventually("the rebalance begins", async || {
        first.call(&beat, 4).await.error_code == rebalancing
    })
    .await;
    let mut again = join_request("g", &leader);
    again.rebalance_timeout_ms = 30_000;
    let rejoined = first.call(&again, 9).await;
    assert_eq!((rejoined.generation_id, rejoined.members.len()), (2, 2));
    let joined = second.answer::<JoinGroupRequest>(9, waiting).await;
    assert_eq!((joined.generation_id, joined.leader), (2, leader.clone()));
    assert!(joined.members.is_empty());

    // The follower's sync waits for the leader's.
    let follower_sync = second
        .send(&sync_request("g", &joined.member_id, 2, 5), 5)
        .await;
    let mut assignment = sync_request("g", &leader, 2, 5);
    assignment.assignments.push(SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"some"),
    });
    assert_eq!(&first.call(&assignment, 5).await.assignment[..], b"all");
    let synced = second.answer::<SyncGroupRequest>(5, follower_sync).await;
    assert_eq!(&synced.assignment[..], b"some");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_and_fetched_at_every_version_and_survive_a_restart() {
    let (broker, dir) = broker().await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "orders").await;
    for version in 2..=10 {
        let request = commit_request("simple", "orders", id, 100 + i64::from(version));
        let response = client.call(&request, version).await;
        let codes: Vec<i16> = response.topics[0]
            .partitions
            .iter()
            .map(|p| p.error_code)
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(
            codes,
            [0, unknown],
            "version {version}: partition 9 does not exist"
        );
    }
    let expected = (110, Some("here".to_owned()));
    for version in 1..=10 {
        assert_eq!(
            fetch(&mut client, "simple", "orders", id, version).await,
            expected
        );
        let none = fetch(&mut client, "stranger", "orders", id, version).await;
        assert_eq!(none, (-1, Some(String::new())), "version {version}");
    }
    broker.stop().await;

    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    eventually("the group is loaded", async || {
        client
            .call(&ListGroupsRequest::default(), 5)
            .await
            .error_code
            == 0
    })
    .await;
    assert_eq!(
        fetch(&mut client, "simple", "orders", id, 10).await,
        expected
    );
    let listed = client.call(&ListGroupsRequest::default(), 5).await.groups;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].group_state, "Empty");
    assert_eq!(
        (&*listed[0].group_type, &*listed[0].protocol_type),
        ("classic", "")
    );
    let only_stable = ListGroupsRequest {
        states_filter: vec!["Stable".into()],
        ..Default::default()
    };
    assert_eq!(client.call(&only_stable, 5).await.groups, []);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_a_member_is_held_to_its_generation() {
    let (broker, _dir) = broker().await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "orders").await;
    let mut request = commit_request("g", "orders", id, 5);
    request.topics[0].partitions.truncate(1);
    request.member_id = "ghost".into();
    request.generation_id_or_member_epoch = 4;
    let mut code = async |request: &OffsetCommitRequest, version| {
        client.call(request, version).await.topics[0].partitions[0].error_code
    };
    assert_eq!(code(&request, 8).await, ErrorCode::IllegalGeneration.code());
    assert_eq!(code(&request, 9).await, ErrorCode::GroupIdNotFound.code());
    let member = join(&mut client, "g", 5).await.member_id;
    client.call(&sync_request("g", &member, 1, 3), 3).await;
    let mut code = async |request: &OffsetCommitRequest, version| {
        client.call(request, version).await.topics[0].partitions[0].error_code
    };
    assert_eq!(code(&request, 8).await, ErrorCode::UnknownMemberId.code());
    request.member_id = member;
    assert_eq!(code(&request, 8).await, ErrorCode::IllegalGeneration.code());
    request.generation_id_or_member_epoch = 1;
    assert_eq!(code(&request, 8).await, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_described_and_deleted() {
    let (broker, _dir) = broker().await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "orders").await;
    let member = join(&mut client, "g", 5).await.member_id;
    client.call(&sync_request("g", &member, 1, 3), 3).await;
    client
        .call(&commit_request("simple", "orders", id, 5), 8)
        .await;
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into(), "nobody".into()],
            include_authorized_operations: version >= 3,
        };
        let groups = client.call(&request, version).await.groups;
        assert_eq!(
            (&*groups[0].group_state, &*groups[0].protocol_data),
            ("Stable", "range")
        );
        assert_eq!(&groups[0].members[0].member_assignment[..], b"all");
        assert_eq!(&*groups[0].members[0].client_id, "test");
        assert_eq!(&*groups[0].members[0].client_host, "/127.0.0.1");
        let missing = if version < 6 {
            0
        } else {
            ErrorCode::GroupIdNotFound.code()
        };
        assert_eq!(
            (groups[1].error_code, &*groups[1].group_state),
            (missing, "Dead")
        );
    }
    for version in 0..=2 {
        let names = ["g", "nobody", "simple"].map(str::to_owned).to_vec();
        let request = DeleteGroupsRequest {
            groups_names: names,
        };
        let results = client.call(&request, version).await.results;
        let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
        let not_found = ErrorCode::GroupIdNotFound.code();
        let simple = if version == 0 { 0 } else { not_found };
        assert_eq!(codes, [ErrorCode::NonEmptyGroup.code(), not_found, simple]);
    }
    assert_eq!(fetch(&mut client, "simple", "orders", id, 8).await.0, -1);

    // Who has only been given an id is no member yet.
    let told = client.call(&join_request("pending", ""), 9).await;
    assert_eq!(told.error_code, ErrorCode::MemberIdRequired.code());
    let request = DeleteGroupsRequest {
        groups_names: vec!["pending".into()],
    };
    let deleted = client.call(&request, 2).await;
    assert_eq!(deleted.results[0].error_code, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_offsets_are_deleted() {
    let (broker, _dir) = broker().await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "orders").await;
    client.call(&commit_request("g", "orders", id, 5), 8).await;
    let request = OffsetDeleteRequest {
        group_id: "g".into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "orders".into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let response = client.call(&request, 0).await;
    assert_eq!(
        (
            response.error_code,
            response.topics[0].partitions[0].error_code
        ),
        (0, 0)
    );
    assert_eq!(fetch(&mut client, "g", "orders", id, 8).await.0, -1);

    let mut request = request;
    request.topics[0].partitions[0].partition_index = 7;
    request.topics.push(OffsetDeleteRequestTopic {
        name: "typo".into(),
        ..request.topics[0].clone()
    });
    let response = client.call(&request, 0).await;
    let of_nobody = OffsetDeleteRequest {
        group_id: String::new(),
        ..request
    };
    let refused = client.call(&of_nobody, 0).await.error_code;
    assert_eq!(refused, ErrorCode::InvalidGroupId.code());
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let codes = response.topics.iter().map(|t| t.partitions[0].error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [unknown, unknown]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_first_request_leaves_no_group() {
    let (broker, _dir) = broker().await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "orders").await;
    let join = JoinGroupRequest {
        session_timeout_ms: 1,
        ..join_request("refused-join", "")
    };
    let refused = client.call(&join, 9).await.error_code;
    assert_eq!(refused, ErrorCode::InvalidSessionTimeout.code());
    let heartbeat = ConsumerGroupHeartbeatRequest {
        group_id: "refused-heartbeat".into(),
        member_id: Uuid::new_v4().to_string(),
        member_epoch: 0,
        instance_id: None,
        rebalance_timeout_ms: 1_000,
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("(".into()),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let refused = client.call(&heartbeat, 1).await.error_code;
    assert_eq!(refused, ErrorCode::InvalidRegularExpression.code());
    let commit = commit_request("refused-commit", "typo", Uuid::from_u128(1), 5);
    let committed = client.call(&commit, 8).await;
    let refused = committed.topics[0].partitions[0].error_code;
    assert_eq!(refused, ErrorCode::UnknownTopicOrPartition.code());

    // A group of which something came is there.
    client.call(&commit_request("g", "orders", id, 5), 8).await;
    let listed = client.call(&ListGroupsRequest::default(), 5).await.groups;
    let names: Vec<&str> = listed.iter().map(|group| &*group.group_id).collect();
    assert_eq!(names, ["g"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_are_found_one_by_one_and_in_batches() {
    let (broker, _dir) = broker().await;
    let mut client = broker.client().await;
    let port = i32::from(broker.handle.address().port());
    for (version, key_type) in [(0, 0), (1, 0), (1, 1), (3, 1)] {
        let request = FindCoordinatorRequest {
            key: "x".into(),
            key_type,
            ..Default::default()
        };
        let found = client.call(&request, version).await;
        assert_eq!(
            (found.error_code, found.port),
            (0, port),
            "version {version}"
        );
    }
    for version in 4..=6 {
        let coordinator_keys = vec!["a".into(), String::new()];
        let request = FindCoordinatorRequest {
            key_type: 0,
            coordinator_keys,
            ..Default::default()
        };
        let found = client.call(&request, version).await.coordinators;
        assert_eq!(
            (&*found[0].key, found[0].error_code, found[0].port),
            ("a", 0, port)
        );
        // Consumers with their own assignment may commit to this one.
        assert_eq!((&*found[1].key, found[1].error_code), ("", 0));
    }
    let shares = FindCoordinatorRequest {
        key_type: 2,
        coordinator_keys: vec!["a".into()],
        ..Default::default()
    };
    let found = client.call(&shares, 6).await.coordinators;
    assert_eq!(found[0].error_code, ErrorCode::InvalidRequest.code());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_the_broker_answers_a_waiting_join() {
    let (broker, _dir) = broker().await;
    let (mut first, mut second) = (broker.client().await, broker.client().await);
    let leader = join(&mut first, "g", 5).await.member_id;
    first.call(&sync_request("g", &leader, 1, 3), 3).await;
    let mut request = join_request("g", "");
    request.rebalance_timeout_ms = 30_000;
    let waiting = second.send(&request, 3).await;
    eventually("the rebalance begins", async || {
        let describe = DescribeGroupsRequest {
            groups: vec!["g".into()],
            ..Default::default()
        };
        first.call(&describe, 0).await.groups[0].group_state == "PreparingRebalance"
    })
    .await;
    let began = std::time::Instant::now();
    broker.stop().await;
    let answer = second.answer::<JoinGroupRequest>(3, waiting).await;
    assert_eq!(answer.error_code, ErrorCode::CoordinatorNotAvailable.code());
    assert!(
        began.elapsed() < std::time::Duration::from_secs(9),
        "nobody had to be cut off"
    );
}
