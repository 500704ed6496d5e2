//! The consumer group protocol (KIP-848) over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

use millstream_wire::ErrorCode;
use millstream_wire::messages::api_versions::ApiVersionsRequest;
use millstream_wire::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedGroup,
};
use millstream_wire::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use millstream_wire::messages::delete_groups::DeleteGroupsRequest;
use millstream_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use millstream_wire::messages::describe_groups::DescribeGroupsRequest;
use millstream_wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_wire::messages::init_producer_id::InitProducerIdRequest;
use millstream_wire::messages::list_config_resources::ListConfigResourcesRequest;
use millstream_wire::messages::list_groups::ListGroupsRequest;
use millstream_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use millstream_wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use support::kafka::create_topic;
use support::{Client, TestBroker, eventually, options};
use uuid::Uuid;

/// The type of resource (`ConfigResource.Type`).
const GROUP: i8 = 32;

async fn start(dir: &std::path::Path) -> TestBroker {
    let mut options = options(dir);
    let settings = [
        ("offsets.topic.num.partitions", "3"),
        ("group.consumer.min.session.timeout.ms", "100"),
        ("group.consumer.session.timeout.ms", "5000"),
    ];
    for (name, value) in settings {
        options.configs.insert(name.into(), value.into());
    }
    TestBroker::with(options).await
}

fn joining(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: member.into(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(topics.iter().map(|t| (*t).to_owned()).collect()),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

/// In a new transaction, which is left open.
async fn commit_in_transaction(client: &mut Client, epoch: i32) -> i16 {
    let init = InitProducerIdRequest {
        transactional_id: Some("t".into()),
        transaction_timeout_ms: 10_000,
        producer_id: -1,
        producer_epoch: -1,
    };
    let producer = client.call(&init, 5).await;
    assert_eq!(producer.error_code, 0);
    let request = TxnOffsetCommitRequest {
        transactional_id: "t".into(),
        group_id: "g".into(),
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        generation_id_or_member_epoch: epoch,
        member_id: "m1".into(),
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "a".into(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: 2,
                committed_offset: 5,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let response = client.call(&request, 5).await;
    response.topics[0].partitions[0].error_code
}

fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: member.into(),
        member_epoch: epoch,
        ..Default::default()
    }
}

fn partitions(response: &ConsumerGroupHeartbeatResponse) -> Vec<i32> {
    let assignment = response.assignment.as_ref().expect("an assignment");
    let topics = assignment.topic_partitions.iter();
    topics.flat_map(|topic| topic.partitions.clone()).collect()
}

async fn describe(client: &mut Client, group: &str, version: i16) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.into()],
        include_authorized_operations: true,
    };
    client.call(&request, version).await.groups.remove(0)
}

async fn commit(client: &mut Client, id: Uuid, epoch: i32, version: i16) -> i16 {
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        member_id: "m1".into(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic {
            name: "a".into(),
            topic_id: id,
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 5,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    client.call(&request, version).await.topics[0].partitions[0].error_code
}

async fn fetched(client: &mut Client, id: Uuid, epoch: i32, version: i16) -> (i16, i64) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            member_id: Some("m1".into()),
            member_epoch: epoch,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "a".into(),
                topic_id: id,
                partition_indexes: vec![0],
            }]),
        }],
        ..Default::default()
    };
    let group = client.call(&request, version).await.groups.remove(0);
    let topic = group.topics.first();
    let offset = topic.map_or(-1, |topic| topic.partitions[0].committed_offset);
    (group.error_code, offset)
}

/// Sets, or with `None` removes, a setting of the group.
async fn set_on_group(client: &mut Client, group: &str, name: &str, value: Option<&str>) -> i16 {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: GROUP,
            resource_name: group.into(),
            configs: vec![AlterableConfig {
                name: name.into(),
                config_operation: i8::from(value.is_none()),
                value: value.map(Into::into),
            }],
        }],
        ..Default::default()
    };
    client.call(&request, 1).await.responses[0].error_code
}

/// Value and source of a setting of the group.
async fn setting_of(client: &mut Client, group: &str, name: &str) -> (String, i8) {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: GROUP,
            resource_name: group.into(),
            configuration_keys: Some(vec![name.into()]),
        }],
        ..Default::default()
    };
    let mut result = client.call(&request, 4).await.results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    assert_eq!(result.configs.len(), 1);
    let config = result.configs.remove(0);
    (config.value.unwrap(), config.config_source)
}

async fn groups_with_settings(client: &mut Client) -> Vec<String> {
    let request = ListConfigResourcesRequest {
        resource_types: vec![GROUP],
    };
    let listed = client.call(&request, 1).await.config_resources;
    listed.into_iter().map(|r| r.resource_name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_group_hold_for_it_alone_and_outlive_the_broker() {
    const SESSION: &str = "consumer.session.timeout.ms";
    const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "a", 3, &[]).await;

    let at_default = ("5000".to_owned(), 4);
    assert_eq!(setting_of(&mut client, "g", SESSION).await, at_default);
    let invalid = ErrorCode::InvalidConfig.code();
    for (name, value) in [
        (SESSION, "99"),
        (SESSION, "60001"),
        (HEARTBEAT, "15001"),
        (HEARTBEAT, "often"),
        ("share.session.timeout.ms", "45000"),
        ("retention.ms", "1000"),
    ] {
        let refused = set_on_group(&mut client, "g", name, Some(value)).await;
        assert_eq!(refused, invalid, "{name}={value}");
    }
    let nameless = set_on_group(&mut client, "", SESSION, Some("300")).await;
    assert_eq!(nameless, ErrorCode::InvalidRequest.code());
    assert!(groups_with_settings(&mut client).await.is_empty());

    for (name, value) in [(SESSION, "300"), (HEARTBEAT, "7000")] {
        assert_eq!(set_on_group(&mut client, "g", name, Some(value)).await, 0);
    }
    assert_eq!(groups_with_settings(&mut client).await, ["g"]);
    let joined = client.call(&joining("m1", &["a"]), 1).await;
    assert_eq!((joined.error_code, joined.heartbeat_interval_ms), (0, 7000));
    let mut other = joining("m1", &["a"]);
    other.group_id = "h".into();
    let joined = client.call(&other, 1).await;
    assert_eq!((joined.error_code, joined.heartbeat_interval_ms), (0, 5000));
    eventually("the silent member is removed", async || {
        describe(&mut client, "g", 1).await.group_state == "Empty"
    })
    .await;

    broker.stop().await;
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    let as_set = ("300".to_owned(), 8);
    assert_eq!(setting_of(&mut client, "g", SESSION).await, as_set);
    for name in [SESSION, HEARTBEAT] {
        assert_eq!(set_on_group(&mut client, "g", name, None).await, 0);
    }
    assert_eq!(setting_of(&mut client, "g", SESSION).await, at_default);
    assert!(groups_with_settings(&mut client).await.is_empty());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_commits_and_leaves_at_every_version() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    let id = create_topic(&mut client, "a", 3, &[]).await;
    for version in 0..=1 {
        let joined = client.call(&joining("m1", &["a"]), version).await;
        assert_eq!(
            (joined.error_code, joined.heartbeat_interval_ms),
            (0, 5_000)
        );
        assert_eq!(partitions(&joined), [0, 1, 2]);
        let epoch = joined.member_epoch;
        let again = client.call(&beat("m1", epoch), version).await;
        assert_eq!((again.error_code, again.member_epoch), (0, epoch));
        assert!(again.assignment.is_none());

        for commit_version in [9, 10] {
            assert_eq!(commit(&mut client, id, epoch, commit_version).await, 0);
            assert_eq!(
                fetched(&mut client, id, epoch, commit_version).await,
                (0, 5)
            );
        }
        let stale = ErrorCode::StaleMemberEpoch.code();
        assert_eq!(commit(&mut client, id, epoch - 1, 9).await, stale);
        assert_eq!(fetched(&mut client, id, epoch - 1, 10).await.0, stale);
        let old = ErrorCode::UnsupportedVersion.code();
        assert_eq!(commit(&mut client, id, epoch, 8).await, old);
        // Of a transaction too the epoch is held to; but a producer knows no
        // STALE_MEMBER_EPOCH and would end.
        assert_eq!(commit_in_transaction(&mut client, epoch).await, 0);
        let stale = ErrorCode::IllegalGeneration.code();
        assert_eq!(commit_in_transaction(&mut client, epoch - 1).await, stale);

        let described = describe(&mut client, "g", version).await;
        assert_eq!(
            (described.error_code, described.group_state.as_str()),
            (0, "Stable")
        );
        assert_eq!(described.assignor_name, "uniform");
        assert_eq!(
            (described.group_epoch, described.assignment_epoch),
            (epoch, epoch)
        );
        let member = &described.members[0];
        assert_eq!(
            (member.member_epoch, member.client_id.as_str()),
            (epoch, "test")
        );
        assert_eq!(member.subscribed_topic_names, ["a"]);
        assert_eq!(member.assignment, member.target_assignment);
        assert_eq!(member.assignment.topic_partitions[0].topic_name, "a");
        assert_eq!(member.member_type, if version >= 1 { 1 } else { -1 });

        let left = client.call(&beat("m1", -1), version).await;
        assert_eq!((left.error_code, left.member_epoch), (0, -1));
        let gone = client.call(&beat("m1", epoch), version).await;
        assert_eq!(gone.error_code, ErrorCode::UnknownMemberId.code());
        assert!(gone.error_message.is_some());
        assert_eq!(
            describe(&mut client, "g", version).await.group_state,
            "Empty"
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_is_announced_as_a_finalized_feature() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let versions = client.call(&request, 4).await;
    let keys: Vec<i16> = versions.api_keys.iter().map(|api| api.api_key).collect();
    assert!(keys.contains(&68) && keys.contains(&69));
    let mut features = versions.finalized_features.iter();
    let level = features.find(|feature| feature.name == "group.version");
    assert_eq!(level.unwrap().max_version_level, 1);
    assert!(versions.finalized_features_epoch >= 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_and_the_silent_one_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let (mut first, mut second) = (broker.client().await, broker.client().await);
    let id = create_topic(&mut first, "a", 4, &[]).await;
    first.call(&joining("m1", &["a"]), 1).await;
    let joined = second.call(&joining("m2", &["a"]), 1).await;
    assert_eq!((joined.member_epoch, partitions(&joined).len()), (2, 0));
    let told = first.call(&beat("m1", 1), 1).await;
    let keeps = partitions(&told);
    assert_eq!((told.member_epoch, keeps.len()), (1, 2));
    let mut given_up = beat("m1", 1);
    given_up.topic_partitions = Some(vec![TopicPartitions {
        topic_id: id,
        partitions: keeps,
    }]);
    let on = first.call(&given_up, 1).await;
    assert_eq!((on.error_code, on.member_epoch), (0, 2));
    let got = second.call(&beat("m2", 2), 1).await;
    assert_eq!(partitions(&got).len(), 2);

    // The first one falls silent; the second gets all.
    let mut epoch = 2;
    let mut owns = 2;
    eventually("the second member owns all", async || {
        let answer = second.call(&beat("m2", epoch), 1).await;
        assert_eq!(answer.error_code, 0);
        epoch = answer.member_epoch;
        if answer.assignment.is_some() {
            owns = partitions(&answer).len();
        }
        owns == 4
    })
    .await;
    let fenced = first.call(&beat("m1", 2), 1).await;
    assert_eq!(fenced.error_code, ErrorCode::UnknownMemberId.code());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_go_on_after_a_restart_of_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "a", 2, &[]).await;
    let joined = client.call(&joining("m1", &["a"]), 1).await;
    broker.stop().await;

    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    let loading = ErrorCode::CoordinatorLoadInProgress.code();
    let mut answer = None;
    eventually("loaded", async || {
        let response = client.call(&beat("m1", joined.member_epoch), 1).await;
        let is_loaded = response.error_code != loading;
        answer = Some(response);
        is_loaded
    })
    .await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.error_code, answer.member_epoch),
        (0, joined.member_epoch)
    );
    assert!(answer.assignment.is_none());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_and_mistakes_are_answered_as_kafka_does() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders-1", 1, &[]).await;
    let mut request = joining("m1", &[]);
    request.subscribed_topic_names = None;
    request.subscribed_topic_regex = Some("orders-.*".into());
    let joined = client.call(&request, 1).await;
    assert_eq!((joined.error_code, partitions(&joined).len()), (0, 1));
    create_topic(&mut client, "orders-2", 2, &[]).await;
    let grown = client.call(&beat("m1", joined.member_epoch), 1).await;
    assert_eq!(partitions(&grown).len(), 3);

    request.subscribed_topic_regex = Some("(".into());
    request.member_id = "m2".into();
    let refused = client.call(&request, 1).await.error_code;
    assert_eq!(refused, ErrorCode::InvalidRegularExpression.code());
    let mut request = joining("m2", &["a"]);
    request.server_assignor = Some("sticky".into());
    let refused = client.call(&request, 1).await.error_code;
    assert_eq!(refused, ErrorCode::UnsupportedAssignor.code());
    let mut request = joining("m2", &["a"]);
    request.rebalance_timeout_ms = -1;
    let refused = client.call(&request, 1).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidRequest.code());
    let ahead = client.call(&beat("m1", 99), 1).await.error_code;
    assert_eq!(ahead, ErrorCode::FencedMemberEpoch.code());
    let mut elsewhere = beat("m1", 3);
    elsewhere.group_id = "nowhere".into();
    let unknown = client.call(&elsewhere, 1).await.error_code;
    assert_eq!(unknown, ErrorCode::GroupIdNotFound.code());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumer_groups_are_listed_shown_to_old_consoles_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "a", 2, &[]).await;
    client.call(&joining("m1", &["a"]), 1).await;
    for (filter, count) in [("consumer", 1), ("classic", 0)] {
        let request = ListGroupsRequest {
            types_filter: vec![filter.into()],
            ..Default::default()
        };
        let listed = client.call(&request, 5).await.groups;
        assert_eq!(listed.len(), count, "{filter}");
        assert!(
            listed
                .iter()
                .all(|g| g.group_type == "consumer" && g.group_state == "Stable")
        );
    }
    let request = DescribeGroupsRequest {
        groups: vec!["g".into()],
        ..Default::default()
    };
    let old = client.call(&request, 5).await.groups.remove(0);
    assert_eq!((old.error_code, old.group_state.as_str()), (0, "Stable"));
    assert_eq!(
        (old.protocol_type.as_str(), old.members.len()),
        ("consumer", 1)
    );
    assert!(!old.members[0].member_assignment.is_empty());
    let new = client.call(&request, 6).await.groups.remove(0);
    assert_eq!(new.error_code, ErrorCode::GroupIdNotFound.code());
    let missing = describe(&mut client, "nowhere", 1).await;
    assert_eq!(missing.error_code, ErrorCode::GroupIdNotFound.code());

    let delete = DeleteGroupsRequest {
        groups_names: vec!["g".into()],
    };
    let refused = client.call(&delete, 2).await.results[0].error_code;
    assert_eq!(refused, ErrorCode::NonEmptyGroup.code());
    client.call(&beat("m1", -1), 1).await;
    assert_eq!(client.call(&delete, 2).await.results[0].error_code, 0);
    let gone = describe(&mut client, "g", 1).await;
    assert_eq!(gone.error_code, ErrorCode::GroupIdNotFound.code());
    broker.stop().await;
}
