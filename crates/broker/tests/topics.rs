//! Topics and settings over a real socket.

mod support;

use millstream_wire::ErrorCode;
use millstream_wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use millstream_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use millstream_wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use millstream_wire::messages::describe_cluster::DescribeClusterRequest;
use millstream_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use millstream_wire::messages::describe_log_dirs::DescribeLogDirsRequest;
use millstream_wire::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use millstream_wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse,
};
use std::time::{Duration, Instant};
use support::kafka::{batch, create_topic, produce};
use support::{Client, PATIENCE, TestBroker, options};
use uuid::Uuid;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn code(error_code: i16) -> ErrorCode {
    ErrorCode::from(error_code)
}

async fn metadata(client: &mut Client, names: Option<&[&str]>, version: i16) -> MetadataResponse {
    let topics = names.map(|names| {
        names
            .iter()
            .map(|name| MetadataRequestTopic {
                name: Some((*name).into()),
                ..Default::default()
            })
            .collect()
    });
    client
        .call(
            &MetadataRequest {
                topics,
                ..Default::default()
            },
            version,
        )
        .await
}

#[tokio::test]
async fn null_topics_mean_all_and_empty_means_none() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "a", 1, &[]).await;
    create_topic(&mut client, "b", 1, &[]).await;
    for version in 0..=13 {
        let some = metadata(&mut client, Some(&["a"]), version).await;
        assert_eq!(some.topics.len(), 1, "version {version}");
        assert_eq!(some.brokers.len(), 1);
        let none = metadata(&mut client, Some(&[]), version).await;
        let expected = if version == 0 { 2 } else { 0 };
        assert_eq!(none.topics.len(), expected, "version {version}: empty");
        if version > 0 {
            assert_eq!(metadata(&mut client, None, version).await.topics.len(), 2);
        }
        if version >= 10 {
            assert!(!some.topics[0].topic_id.is_nil());
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_is_created_when_it_is_asked_for_and_only_if_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.configs.insert("num.partitions".into(), "3".into());
    let broker = TestBroker::with(options).await;
    let mut client = broker.client().await;
    let made = metadata(&mut client, Some(&["auto"]), 12).await;
    assert_eq!(
        (made.topics[0].error_code, made.topics[0].partitions.len()),
        (0, 3)
    );
    let produced = produce(&mut client, "auto", 2, batch(&["a"])).await;
    assert_eq!(produced.error_code, 0, "it can be written to at once");
    let bad = metadata(&mut client, Some(&["no/topic"]), 12).await;
    assert_eq!(
        code(bad.topics[0].error_code),
        ErrorCode::InvalidTopicException
    );

    let asked = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("not-made".into()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let refused = client.call(&asked, 12).await;
    assert_eq!(
        code(refused.topics[0].error_code),
        ErrorCode::UnknownTopicOrPartition
    );

    alter(
        &mut client,
        BROKER,
        "",
        "auto.create.topics.enable",
        0,
        "false",
    )
    .await
    .unwrap();
    let off = metadata(&mut client, Some(&["not-made"]), 12).await;
    assert_eq!(
        code(off.topics[0].error_code),
        ErrorCode::UnknownTopicOrPartition
    );
    broker.stop().await;
}

async fn create(client: &mut Client, topic: CreatableTopic, validate: bool) -> (ErrorCode, String) {
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 1_000,
        validate_only: validate,
    };
    let result = client.call(&request, 7).await.topics.remove(0);
    (
        code(result.error_code),
        result.error_message.unwrap_or_default(),
    )
}

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_topic_that_cannot_be_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let config = |name: &str, value: &str| CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        }],
        ..topic("t")
    };
    let assigned = |partition_index, broker_id| CreatableTopic {
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![CreatableReplicaAssignment {
            partition_index,
            broker_ids: vec![broker_id],
        }],
        ..topic("t")
    };
    let cases = [
        (topic(".."), ErrorCode::InvalidTopicException),
        (
            CreatableTopic {
                num_partitions: 0,
                ..topic("t")
            },
            ErrorCode::InvalidPartitions,
        ),
        (
            CreatableTopic {
                num_partitions: -7,
                ..topic("t")
            },
            ErrorCode::InvalidPartitions,
        ),
        (
            CreatableTopic {
                replication_factor: 2,
                ..topic("t")
            },
            ErrorCode::InvalidReplicationFactor,
        ),
        (
            config("compression.lz4.level", "3"),
            ErrorCode::InvalidConfig,
        ),
        (config("retention.ms", "soon"), ErrorCode::InvalidConfig),
        (config("no.such.setting", "1"), ErrorCode::InvalidConfig),
        (assigned(0, 9), ErrorCode::InvalidReplicaAssignment),
        (assigned(1, 1), ErrorCode::InvalidReplicaAssignment),
    ];
    for (topic, expected) in cases {
        for validate in [true, false] {
            let (error, message) = create(&mut client, topic.clone(), validate).await;
            assert_eq!(error, expected, "{topic:?}");
            assert!(!message.is_empty());
        }
    }
    assert_eq!(
        create(&mut client, topic("t"), true).await.0,
        ErrorCode::None
    );
    assert_eq!(
        metadata(&mut client, None, 12).await.topics.len(),
        0,
        "only validated"
    );
    assert_eq!(
        create(&mut client, assigned(0, 1), false).await.0,
        ErrorCode::None
    );
    assert_eq!(
        create(&mut client, topic("t"), false).await.0,
        ErrorCode::TopicAlreadyExists
    );

    let twice = CreateTopicsRequest {
        topics: vec![topic("u"), topic("u")],
        timeout_ms: 1_000,
        validate_only: false,
    };
    let results = client.call(&twice, 7).await.topics;
    assert_eq!(results.len(), 1);
    assert_eq!(code(results[0].error_code), ErrorCode::InvalidRequest);
    broker.stop().await;
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id_with_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "by-name", 2, &[]).await;
    let id = create_topic(&mut client, "by-id", 1, &[]).await;
    assert!(dir.path().join("by-name-1").exists());
    let by_id = |topic_id, name: Option<&str>| DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id,
        }],
        timeout_ms: 1_000,
        ..Default::default()
    };
    let mut delete = async |request: &DeleteTopicsRequest, version| {
        let response = client.call(request, version).await;
        (
            code(response.responses[0].error_code),
            response.responses[0].topic_id,
        )
    };
    let by_name = DeleteTopicsRequest {
        topic_names: vec!["by-name".into()],
        timeout_ms: 1_000,
        ..Default::default()
    };
    assert_eq!(delete(&by_name, 4).await.0, ErrorCode::None);
    assert_eq!(
        delete(&by_name, 4).await.0,
        ErrorCode::UnknownTopicOrPartition
    );
    assert_eq!(delete(&by_id(id, None), 6).await, (ErrorCode::None, id));
    assert_eq!(
        delete(&by_id(id, None), 6).await.0,
        ErrorCode::UnknownTopicId
    );
    assert_eq!(
        delete(&by_id(id, Some("by-id")), 6).await.0,
        ErrorCode::InvalidRequest
    );
    assert!(!dir.path().join("by-name-1").exists());
    assert!(!dir.path().join("by-id-0").exists());
    broker.stop().await;
}

#[tokio::test]
async fn partitions_are_added_and_can_be_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let mut grow = async |count, validate_only| {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "t".into(),
                count,
                assignments: None,
            }],
            timeout_ms: 1_000,
            validate_only,
        };
        code(client.call(&request, 3).await.results[0].error_code)
    };
    assert_eq!(grow(1, false).await, ErrorCode::InvalidPartitions);
    assert_eq!(grow(3, true).await, ErrorCode::None);
    assert_eq!(grow(3, false).await, ErrorCode::None);
    assert_eq!(grow(2, false).await, ErrorCode::InvalidPartitions);
    assert_eq!(
        produce(&mut client, "t", 2, batch(&["a"])).await.error_code,
        0
    );
    broker.stop().await;
}

async fn alter(
    client: &mut Client,
    resource_type: i8,
    resource: &str,
    name: &str,
    operation: i8,
    value: &str,
) -> Result<(), String> {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name: resource.into(),
            configs: vec![AlterableConfig {
                name: name.into(),
                config_operation: operation,
                value: Some(value.into()),
            }],
        }],
        validate_only: false,
    };
    let response = client.call(&request, 1).await.responses.remove(0);
    if response.error_code == 0 {
        Ok(())
    } else {
        Err(response.error_message.unwrap_or_default())
    }
}

async fn describe(
    client: &mut Client,
    resource_type: i8,
    resource: &str,
    name: &str,
) -> DescribeConfigsResourceResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: resource.into(),
            configuration_keys: Some(vec![name.into()]),
        }],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut result = client.call(&request, 4).await.results.remove(0);
    assert_eq!(
        (result.error_code, result.configs.len()),
        (0, 1),
        "{:?}",
        result.error_message
    );
    result.configs.remove(0)
}

#[tokio::test]
async fn what_a_change_of_settings_cannot_mean_is_refused_by_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let set = |value: Option<&str>| AlterableConfig {
        name: "retention.ms".into(),
        config_operation: 0,
        value: value.map(str::to_owned),
    };
    for (topic, configs, expected) in [
        ("t", vec![set(None)], ErrorCode::InvalidRequest),
        (
            "t",
            vec![set(Some("1")), set(Some("1"))],
            ErrorCode::InvalidRequest,
        ),
        ("", vec![set(Some("1"))], ErrorCode::InvalidRequest),
        (
            "a b",
            vec![set(Some("1"))],
            ErrorCode::InvalidTopicException,
        ),
        (
            "u",
            vec![set(Some("1"))],
            ErrorCode::UnknownTopicOrPartition,
        ),
    ] {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: TOPIC,
                resource_name: topic.into(),
                configs,
            }],
            validate_only: false,
        };
        let response = client.call(&request, 1).await.responses.remove(0);
        assert_eq!(ErrorCode::from(response.error_code), expected, "'{topic}'");
    }
    let wide = "compact, delete,compact";
    alter(&mut client, TOPIC, "t", "cleanup.policy", 0, wide)
        .await
        .unwrap();
    let kept = describe(&mut client, TOPIC, "t", "cleanup.policy").await;
    assert_eq!(kept.value.as_deref(), Some("compact,delete"));
    broker.stop().await;
}

#[tokio::test]
async fn settings_are_described_as_they_are_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options
        .configs
        .insert("log.retention.ms".into(), "4000".into());
    let broker = TestBroker::with(options).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[("cleanup.policy", "compact")]).await;

    let policy = describe(&mut client, TOPIC, "t", "cleanup.policy").await;
    assert_eq!(
        (policy.value.as_deref(), policy.config_source),
        (Some("compact"), 1)
    );
    assert_eq!(policy.config_type, 7, "a list");
    assert!(policy.documentation.is_some_and(|doc| !doc.is_empty()));

    let retention = describe(&mut client, TOPIC, "t", "retention.ms").await;
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("4000"), 4)
    );
    let sources: Vec<_> = retention
        .synonyms
        .iter()
        .map(|s| (s.name.as_str(), s.source))
        .collect();
    assert_eq!(sources, [("log.retention.ms", 4), ("log.retention.ms", 5)]);

    alter(&mut client, BROKER, "1", "log.retention.ms", 0, "3000")
        .await
        .unwrap();
    alter(&mut client, TOPIC, "t", "retention.ms", 0, "2000")
        .await
        .unwrap();
    let retention = describe(&mut client, TOPIC, "t", "retention.ms").await;
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("2000"), 1)
    );
    let log = broker.handle.state().partition("t", 0).unwrap().log;
    assert_eq!(
        log.config().retention_ms,
        Some(2_000),
        "it is in force, not only told"
    );
    alter(&mut client, TOPIC, "t", "retention.ms", 1, "")
        .await
        .unwrap();
    assert_eq!(log.config().retention_ms, Some(3_000));

    alter(&mut client, BROKER, "", "log.retention.ms", 0, "1000")
        .await
        .unwrap();
    let of_all = describe(&mut client, BROKER, "", "log.retention.ms").await;
    assert_eq!(
        (of_all.value.as_deref(), of_all.config_source),
        (Some("1000"), 3)
    );
    let of_one = describe(&mut client, BROKER, "1", "log.retention.ms").await;
    assert_eq!(
        (of_one.value.as_deref(), of_one.config_source),
        (Some("3000"), 2)
    );
    assert_eq!(
        log.config().retention_ms,
        Some(3_000),
        "the broker's own is stronger"
    );

    let at_start = describe(&mut client, BROKER, "1", "group.max.size").await;
    assert!(at_start.read_only);
    broker.stop().await;
}

#[tokio::test]
async fn records_of_long_ago_go_at_the_next_look_at_retention() {
    let name = "log.retention.check.interval.ms";
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.configs.insert(name.into(), "1".into());
    let broker = TestBroker::with(options).await;
    let mut client = broker.client().await;
    let interval = describe(&mut client, BROKER, "1", name).await;
    assert_eq!(interval.value.as_deref(), Some("1"));
    assert!(interval.read_only);
    let values = interval.synonyms.iter().map(|s| s.value.as_deref());
    assert_eq!(values.collect::<Vec<_>>(), [Some("1"), Some("300000")]);

    create_topic(&mut client, "t", 1, &[]).await;
    // Of 1970, as what a client writes that replays history.
    produce(&mut client, "t", 0, batch(&["old"])).await;
    let log = broker.handle.state().partition("t", 0).unwrap().log;
    let began = Instant::now();
    while log.log_start_offset().0 < 1 {
        assert!(began.elapsed() < PATIENCE, "still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_change_that_would_do_nothing_or_harm_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let cases = [
        (TOPIC, "t", "preallocate", 0, "true"),
        (TOPIC, "t", "retention.ms", 2, "5"),
        (TOPIC, "t", "cleanup.policy", 3, "delete"),
        (TOPIC, "t", "cleanup.policy", 2, "shred"),
        (TOPIC, "t", "retention.ms", 9, "5"),
        (TOPIC, "nowhere", "retention.ms", 0, "5"),
        (BROKER, "2", "num.partitions", 0, "5"),
        (BROKER, "1", "group.max.size", 0, "5"),
        (8, "x", "a", 0, "b"),
    ];
    for (resource_type, resource, name, operation, value) in cases {
        let refused = alter(&mut client, resource_type, resource, name, operation, value).await;
        assert!(
            refused.as_ref().is_err_and(|e| !e.is_empty()),
            "{name} {operation} {value}"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_list_that_was_never_set_is_appended_to_as_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    alter(&mut client, TOPIC, "t", "cleanup.policy", 2, "compact")
        .await
        .unwrap();
    let policy = describe(&mut client, TOPIC, "t", "cleanup.policy").await;
    assert_eq!(policy.value.as_deref(), Some("delete,compact"));
    alter(&mut client, TOPIC, "t", "cleanup.policy", 3, "delete")
        .await
        .unwrap();
    let policy = describe(&mut client, TOPIC, "t", "cleanup.policy").await;
    assert_eq!(policy.value.as_deref(), Some("compact"));
    broker.stop().await;
}

#[tokio::test]
async fn the_coordinators_topics_are_protected() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let made = metadata(&mut client, Some(&["__consumer_offsets"]), 12).await;
    assert!(made.topics[0].is_internal);
    assert_eq!(made.topics[0].partitions.len(), 50);
    let refused = produce(&mut client, "__consumer_offsets", 0, batch(&["a"])).await;
    assert_eq!(code(refused.error_code), ErrorCode::InvalidTopicException);
    let delete = DeleteTopicsRequest {
        topic_names: vec!["__consumer_offsets".into()],
        timeout_ms: 1_000,
        ..Default::default()
    };
    let refused = client.call(&delete, 5).await;
    assert_eq!(
        code(refused.responses[0].error_code),
        ErrorCode::InvalidRequest
    );
    broker.stop().await;
}

#[tokio::test]
async fn the_cluster_and_its_folder_are_described() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 2, &[]).await;
    produce(&mut client, "t", 1, batch(&["a"])).await;
    let cluster = client
        .call(
            &DescribeClusterRequest {
                endpoint_type: 1,
                ..Default::default()
            },
            1,
        )
        .await;
    assert_eq!((cluster.cluster_id.len(), cluster.brokers.len()), (22, 1));
    let controllers = client
        .call(
            &DescribeClusterRequest {
                endpoint_type: 2,
                ..Default::default()
            },
            1,
        )
        .await;
    assert_eq!(
        code(controllers.error_code),
        ErrorCode::MismatchedEndpointType
    );

    let dirs = client
        .call(&DescribeLogDirsRequest { topics: None }, 4)
        .await;
    let topic = dirs.results[0]
        .topics
        .iter()
        .find(|t| t.name == "t")
        .unwrap();
    let sizes: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| p.partition_size > 0)
        .collect();
    assert_eq!(sizes, [false, true]);
    broker.stop().await;
}

#[tokio::test]
async fn files_of_a_topic_that_the_metadata_does_not_have_are_removed_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "kept", 1, &[]).await;
    // As a crash between the two steps of a deletion leaves it.
    let config = millstream_log::LogConfig::default();
    let stray = millstream_core::ids::TopicPartition::new("stray", 0);
    broker
        .handle
        .state()
        .logs()
        .create(&stray, Uuid::from_u128(5), config)
        .unwrap();
    drop(client);
    broker.stop().await;
    assert!(dir.path().join("stray-0").exists());

    let broker = TestBroker::start(dir.path()).await;
    assert!(!dir.path().join("stray-0").exists());
    assert!(dir.path().join("kept-0").exists());
    broker.stop().await;
}

#[tokio::test]
async fn topics_are_described_page_by_page_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    for (name, partitions) in [("b", 5), ("a", 2), ("c", 1)] {
        create_topic(&mut client, name, partitions, &[]).await;
    }
    // Pages of three partitions, over all topics and over named ones.
    let named = ["c", "b", "a", "missing"].map(|name| TopicRequest { name: name.into() });
    for (topics, and_a_missing_one) in [(vec![], false), (named.to_vec(), true)] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<Cursor>, 0);
        loop {
            let page = client
                .call(
                    &DescribeTopicPartitionsRequest {
                        topics: topics.clone(),
                        response_partition_limit: 3,
                        cursor: cursor.take(),
                    },
                    0,
                )
                .await;
            pages += 1;
            assert!(
                page.topics
                    .iter()
                    .map(|t| t.partitions.len())
                    .sum::<usize>()
                    <= 3
            );
            for topic in page.topics {
                let name = topic.name.unwrap();
                if name == "missing" {
                    assert_eq!(code(topic.error_code), ErrorCode::UnknownTopicOrPartition);
                    seen.push((name, -1));
                    continue;
                }
                assert_eq!(code(topic.error_code), ErrorCode::None);
                assert!(!topic.topic_id.is_nil());
                for partition in topic.partitions {
                    assert_eq!(partition.replica_nodes, vec![partition.leader_id]);
                    seen.push((name.clone(), partition.partition_index));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let mut expected: Vec<(String, i32)> = [("a", 2), ("b", 5), ("c", 1)]
            .into_iter()
            .flat_map(|(name, count)| (0..count).map(move |p| (name.to_owned(), p)))
            .collect();
        if and_a_missing_one {
            expected.push(("missing".into(), -1));
        }
        assert_eq!(seen, expected);
        assert_eq!(pages, 3);
    }
    broker.stop().await;
}
