//! The admin APIs that a cluster of one has a real answer to, at every version.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use millstream_wire::ErrorCode;
use millstream_wire::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use millstream_wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use millstream_wire::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use millstream_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use millstream_wire::messages::describe_quorum::{
    DescribeQuorumRequest, PartitionRequest, TopicRequest,
};
use millstream_wire::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use millstream_wire::messages::list_config_resources::ListConfigResourcesRequest;
use millstream_wire::messages::list_partition_reassignments::ListPartitionReassignmentsRequest;
use std::collections::BTreeMap;
use support::kafka::create_topic;
use support::{Client, TestBroker};

async fn broker() -> (tempfile::TempDir, TestBroker, Client) {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "orders", 2, &[]).await;
    (dir, broker, client)
}

fn code(error_code: i16) -> ErrorCode {
    ErrorCode::from(error_code)
}

fn replace(name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsResource {
    AlterConfigsResource {
        resource_type: 2,
        resource_name: name.into(),
        configs: configs
            .iter()
            .map(|(name, value)| AlterableConfig {
                name: (*name).into(),
                value: value.map(Into::into),
            })
            .collect(),
    }
}

/// What was set on the topic, without defaults.
async fn set_on(client: &mut Client, topic: &str) -> BTreeMap<String, String> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: topic.into(),
            configuration_keys: None,
        }],
        ..Default::default()
    };
    let response = client.call(&request, 4).await;
    let configs = response.results[0].configs.iter();
    configs
        .filter(|config| config.config_source == 1)
        .map(|config| (config.name.clone(), config.value.clone().unwrap()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    owned.collect()
}

#[tokio::test]
async fn alter_configs_replaces_all_that_was_set_at_every_version() {
    let (_dir, broker, mut client) = broker().await;
    for version in 0..=2 {
        let mut alter = async |resources: Vec<AlterConfigsResource>, validate_only| {
            let request = AlterConfigsRequest {
                resources,
                validate_only,
            };
            let response = client.call(&request, version).await;
            let codes = response.responses.iter().map(|r| code(r.error_code));
            (
                codes.collect::<Vec<_>>(),
                set_on(&mut client, "orders").await,
            )
        };
        let both = [
            ("retention.ms", Some("1000")),
            ("segment.bytes", Some("1048576")),
        ];
        let (codes, set) = alter(vec![replace("orders", &both)], false).await;
        assert_eq!(codes, [ErrorCode::None]);
        let were = pairs(&[("retention.ms", "1000"), ("segment.bytes", "1048576")]);
        assert_eq!(set, were);

        // Refused, or only checked: nothing changes.
        let unknown = replace("orders", &[("no.such.thing", Some("1"))]);
        let wrong = replace("orders", &[("retention.ms", Some("soon"))]);
        let null = replace("orders", &[("retention.ms", None)]);
        for (resources, expected) in [
            (vec![unknown], vec![ErrorCode::InvalidConfig]),
            (vec![wrong], vec![ErrorCode::InvalidConfig]),
            (vec![null], vec![ErrorCode::InvalidRequest]),
            (
                vec![replace("nowhere", &[])],
                vec![ErrorCode::UnknownTopicOrPartition],
            ),
            (
                vec![replace("orders", &[]), replace("orders", &both)],
                vec![ErrorCode::InvalidRequest; 2],
            ),
        ] {
            let (codes, set) = alter(resources, false).await;
            assert_eq!((codes, &set), (expected, &were));
        }
        let (codes, set) = alter(vec![replace("orders", &[])], true).await;
        assert_eq!((codes, &set), (vec![ErrorCode::None], &were));

        let one = [("retention.ms", Some("2000"))];
        let (_, set) = alter(vec![replace("orders", &one)], false).await;
        assert_eq!(set, pairs(&[("retention.ms", "2000")]), "the other is gone");
        let (_, set) = alter(vec![replace("orders", &[])], false).await;
        assert_eq!(set, BTreeMap::new());
    }
    broker.stop().await;
}

#[tokio::test]
async fn there_is_no_election_to_hold_and_each_partition_says_why() {
    let (_dir, broker, mut client) = broker().await;
    for version in 0..=2 {
        let mut request = ElectLeadersRequest {
            topic_partitions: Some(vec![TopicPartitions {
                topic: "orders".into(),
                partitions: vec![0, 1, 7],
            }]),
            ..Default::default()
        };
        let response = client.call(&request, version).await;
        assert_eq!(response.error_code, 0);
        let results = &response.replica_election_results;
        assert_eq!((results.len(), results[0].topic.as_str()), (1, "orders"));
        let codes = results[0].partition_result.iter();
        let codes: Vec<_> = codes
            .map(|r| (r.partition_id, code(r.error_code)))
            .collect();
        assert_eq!(
            codes,
            [
                (0, ErrorCode::ElectionNotNeeded),
                (1, ErrorCode::ElectionNotNeeded),
                (7, ErrorCode::UnknownTopicOrPartition)
            ]
        );
        // All: only those that an election was held for, or should have been.
        request.topic_partitions = None;
        let response = client.call(&request, version).await;
        assert_eq!(response.replica_election_results, []);
    }
    let unknown_type = ElectLeadersRequest {
        election_type: 9,
        ..Default::default()
    };
    let response = client.call(&unknown_type, 2).await;
    assert_eq!(code(response.error_code), ErrorCode::InvalidRequest);
    broker.stop().await;
}

#[tokio::test]
async fn partitions_stay_where_they_are_and_cannot_be_sent_elsewhere() {
    let (_dir, broker, mut client) = broker().await;
    let here = broker.handle.state().node_id().0;
    for version in 0..=1 {
        let asked = [
            (0, Some(vec![here])),
            (1, Some(vec![here, 99])),
            (1, Some(vec![here, here])),
            (1, Some(vec![])),
            (1, None),
            (9, Some(vec![here])),
        ];
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: "orders".into(),
                partitions: asked
                    .into_iter()
                    .map(|(partition_index, replicas)| ReassignablePartition {
                        partition_index,
                        replicas,
                    })
                    .collect(),
            }],
            ..Default::default()
        };
        let response = client.call(&request, version).await;
        assert_eq!((response.error_code, response.error_message), (0, None));
        let partitions = response.responses[0].partitions.iter();
        let codes: Vec<_> = partitions.map(|p| code(p.error_code)).collect();
        assert_eq!(
            codes,
            [
                ErrorCode::None,
                ErrorCode::InvalidReplicaAssignment,
                ErrorCode::InvalidReplicaAssignment,
                ErrorCode::InvalidReplicaAssignment,
                ErrorCode::NoReassignmentInProgress,
                ErrorCode::UnknownTopicOrPartition,
            ]
        );
    }
    let list = ListPartitionReassignmentsRequest::default();
    let response = client.call(&list, 0).await;
    assert_eq!((response.error_code, response.topics), (0, vec![]));
    broker.stop().await;
}

#[tokio::test]
async fn partitions_are_in_the_one_folder_and_no_other_is_known() {
    let (dir, broker, mut client) = broker().await;
    let to = |path: &std::path::Path, name: &str, partitions: &[i32]| AlterReplicaLogDir {
        path: path.display().to_string(),
        topics: vec![AlterReplicaLogDirTopic {
            name: name.into(),
            partitions: partitions.to_vec(),
        }],
    };
    for version in 1..=2 {
        let request = AlterReplicaLogDirsRequest {
            dirs: vec![
                to(dir.path(), "orders", &[0, 9]),
                to(std::path::Path::new("/elsewhere"), "orders", &[1]),
                to(dir.path(), "nowhere", &[0]),
            ],
        };
        let response = client.call(&request, version).await;
        let results = response.results.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(move |p| {
                (
                    topic.topic_name.as_str(),
                    p.partition_index,
                    code(p.error_code),
                )
            })
        });
        assert_eq!(
            results.collect::<Vec<_>>(),
            [
                ("nowhere", 0, ErrorCode::UnknownTopicOrPartition),
                ("orders", 0, ErrorCode::None),
                ("orders", 9, ErrorCode::UnknownTopicOrPartition),
                ("orders", 1, ErrorCode::LogDirNotFound),
            ]
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_quorum_of_one_is_described_as_it_is() {
    let (_dir, broker, mut client) = broker().await;
    let here = broker.handle.state().node_id().0;
    let ask = |name: &str| DescribeQuorumRequest {
        topics: vec![TopicRequest {
            topic_name: name.into(),
            partitions: vec![PartitionRequest { partition_index: 0 }],
        }],
    };
    for version in 0..=2 {
        let response = client.call(&ask("__cluster_metadata"), version).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((response.error_code, partition.error_code), (0, 0));
        assert_eq!(partition.leader_id, here);
        assert!(partition.leader_epoch > 0);
        assert!(partition.high_watermark > 0);
        assert_eq!(partition.observers, []);
        let voter = &partition.current_voters[0];
        assert_eq!(voter.replica_id, here);
        assert!(voter.log_end_offset >= partition.high_watermark);
        if version >= 1 {
            assert!(voter.last_caught_up_timestamp > 0);
        }
        if version >= 2 {
            assert_eq!(response.nodes[0].node_id, here);
        }
        let before = partition.high_watermark;
        create_topic(&mut client, &format!("t{version}"), 1, &[]).await;
        let after = client.call(&ask("__cluster_metadata"), version).await;
        assert!(after.topics[0].partitions[0].high_watermark > before);

        let other = client.call(&ask("orders"), version).await;
        let error = other.topics[0].partitions[0].error_code;
        assert_eq!(code(error), ErrorCode::UnknownTopicOrPartition);
    }
    broker.stop().await;
}

#[tokio::test]
async fn resources_with_settings_are_listed_by_type() {
    let (_dir, broker, mut client) = broker().await;
    let here = broker.handle.state().node_id().0.to_string();
    let mut list = async |types: &[i8], version| {
        let request = ListConfigResourcesRequest {
            resource_types: types.to_vec(),
        };
        let response = client.call(&request, version).await;
        let resources = response.config_resources.into_iter();
        let resources: Vec<_> = resources
            .map(|r| (r.resource_type, r.resource_name))
            .collect();
        (code(response.error_code), resources)
    };
    assert_eq!(
        list(&[], 0).await,
        (ErrorCode::None, vec![]),
        "no client metrics"
    );
    let all = vec![(2, "orders".to_owned()), (4, here.clone())];
    assert_eq!(list(&[], 1).await, (ErrorCode::None, all));
    assert_eq!(list(&[4], 1).await, (ErrorCode::None, vec![(4, here)]));
    assert_eq!(list(&[16], 1).await, (ErrorCode::None, vec![]));
    assert_eq!(list(&[77], 1).await.0, ErrorCode::UnsupportedVersion);
    broker.stop().await;
}
