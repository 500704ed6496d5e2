use super::*;
use crate::command::NewTopic;
use crate::image::{Job, JobState, SqlObject, SqlObjectKind};
use millstream_core::ids::PartitionId;

fn with_brokers(ids: &[i32]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for id in ids {
        apply(&mut image, register(*id, 1)).unwrap();
    }
    image
}

fn register(id: i32, incarnation: u128) -> Command {
    Command::RegisterBroker {
        id: BrokerId(id),
        host: "localhost".into(),
        port: 9092,
        rack: None,
        incarnation: uuid::Uuid::from_u128(incarnation),
    }
}

fn new_topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.into(),
        id: uuid::Uuid::from_u128(name.bytes().map(u128::from).sum::<u128>() + 1),
        partitions,
        replication_factor: 1,
        assignments: None,
        configs: ConfigMap::new(),
        internal: false,
        created_at_ms: 7,
    }
}

fn create(image: &mut MetadataImage, name: &str, partitions: i32) -> Result<Reply, Refusal> {
    apply(image, Command::CreateTopic(new_topic(name, partitions)))
}

#[test]
fn a_topic_is_found_by_name_and_id_until_it_is_deleted() {
    let mut image = with_brokers(&[1]);
    let Ok(Reply::Topic(topic)) = create(&mut image, "orders", 3) else {
        panic!()
    };
    assert_eq!(image.topic("orders"), Some(&topic));
    assert_eq!(image.topic_by_id(topic.id), Some(&topic));
    assert_eq!(
        topic.partition(PartitionId(2)).unwrap().leader,
        Some(BrokerId(1))
    );
    assert_eq!(topic.partition(PartitionId(3)), None);
    assert_eq!(topic.partition(PartitionId(-1)), None);

    apply(
        &mut image,
        Command::DeleteTopic {
            name: "orders".into(),
            id: None,
        },
    )
    .unwrap();
    assert_eq!(image.topic("orders"), None);
    assert_eq!(image.topic_by_id(topic.id), None);
}

#[test]
fn a_refused_command_changes_nothing() {
    let mut image = with_brokers(&[1]);
    create(&mut image, "orders", 3).unwrap();
    let before = image.clone();
    assert_eq!(
        create(&mut image, "orders", 1),
        Err(Refusal::TopicExists("orders".into()))
    );
    assert!(matches!(
        create(&mut image, "a/b", 1),
        Err(Refusal::InvalidTopicName(_))
    ));
    assert!(matches!(
        create(&mut image, "none", 0),
        Err(Refusal::InvalidPartitions(_))
    ));
    assert!(matches!(
        create(&mut image, "many", i32::MAX),
        Err(Refusal::LimitReached(_))
    ));
    let copies = NewTopic {
        replication_factor: 2,
        ..new_topic("copies", 1)
    };
    assert_eq!(
        apply(&mut image, Command::CreateTopic(copies)),
        Err(Refusal::InvalidReplicationFactor {
            asked: 2,
            available: 1
        })
    );
    let other = Some(uuid::Uuid::from_u128(99));
    assert_eq!(
        apply(
            &mut image,
            Command::DeleteTopic {
                name: "orders".into(),
                id: other
            }
        ),
        Err(Refusal::TopicIdMismatch("orders".into()))
    );
    assert_eq!(image, before);
}

#[test]
fn names_that_share_a_metric_name_collide() {
    let mut image = with_brokers(&[1]);
    create(&mut image, "a.b", 1).unwrap();
    assert!(matches!(
        create(&mut image, "a_b", 1),
        Err(Refusal::TopicCollides { .. })
    ));
    create(&mut image, "a-b", 1).unwrap();
}

#[test]
fn partitions_can_only_be_added() {
    let mut image = with_brokers(&[1]);
    create(&mut image, "orders", 2).unwrap();
    let grow = |count| Command::CreatePartitions {
        topic: "orders".into(),
        count,
        assignments: None,
    };
    assert!(matches!(
        apply(&mut image, grow(2)),
        Err(Refusal::InvalidPartitions(_))
    ));
    assert!(matches!(
        apply(&mut image, grow(1)),
        Err(Refusal::InvalidPartitions(_))
    ));
    apply(&mut image, grow(5)).unwrap();
    assert_eq!(image.topic("orders").unwrap().partition_count(), 5);
}

#[test]
fn replicas_spread_over_brokers_across_topics() {
    let mut image = with_brokers(&[1, 2, 3]);
    for name in ["a", "b", "c"] {
        create(&mut image, name, 1).unwrap();
    }
    let leaders: Vec<_> = image
        .topics()
        .map(|t| t.partitions[0].leader.unwrap().0)
        .collect();
    assert_eq!(leaders, [1, 2, 3]);

    let topic = NewTopic {
        replication_factor: 3,
        ..new_topic("d", 2)
    };
    let Ok(Reply::Topic(topic)) = apply(&mut image, Command::CreateTopic(topic)) else {
        panic!()
    };
    assert_eq!(
        topic.partitions[0].replicas,
        [BrokerId(1), BrokerId(2), BrokerId(3)]
    );
    assert_eq!(
        topic.partitions[1].replicas,
        [BrokerId(2), BrokerId(3), BrokerId(1)]
    );
}

#[test]
fn named_replicas_are_checked() {
    let mut image = with_brokers(&[1, 2]);
    for bad in [
        vec![vec![]],
        vec![vec![1], vec![1, 2]],
        vec![vec![1, 1]],
        vec![vec![9]],
    ] {
        let assignments = Some(
            bad.iter()
                .map(|p| p.iter().map(|id| BrokerId(*id)).collect())
                .collect(),
        );
        let topic = NewTopic {
            assignments,
            ..new_topic("t", 1)
        };
        assert!(matches!(
            apply(&mut image, Command::CreateTopic(topic)),
            Err(Refusal::InvalidAssignment(_))
        ));
    }
}

#[test]
fn a_restarted_leader_gets_a_new_epoch_and_a_repeated_registration_does_not() {
    let mut image = with_brokers(&[1]);
    create(&mut image, "orders", 1).unwrap();
    let epoch = |image: &MetadataImage| image.topic("orders").unwrap().partitions[0].leader_epoch;
    apply(&mut image, register(1, 1)).unwrap();
    assert_eq!(epoch(&image), LeaderEpoch(0));
    apply(&mut image, register(1, 2)).unwrap();
    assert_eq!(epoch(&image), LeaderEpoch(1));
}

#[test]
fn a_partition_change_with_a_past_epoch_is_fenced() {
    let mut image = with_brokers(&[1, 2]);
    let topic = NewTopic {
        replication_factor: 2,
        ..new_topic("t", 1)
    };
    apply(&mut image, Command::CreateTopic(topic.clone())).unwrap();
    let change = |epoch, leader| Command::ChangePartition {
        topic_id: topic.id,
        partition: PartitionId(0),
        leader_epoch: LeaderEpoch(epoch),
        leader: Some(BrokerId(leader)),
        isr: vec![BrokerId(leader)],
    };
    apply(&mut image, change(0, 2)).unwrap();
    assert_eq!(
        image.topic("t").unwrap().partitions[0].leader_epoch,
        LeaderEpoch(1)
    );
    assert!(matches!(
        apply(&mut image, change(0, 1)),
        Err(Refusal::FencedLeaderEpoch { .. })
    ));
    assert!(matches!(
        apply(&mut image, change(1, 3)),
        Err(Refusal::InvalidAssignment(_))
    ));
}

#[test]
fn producer_id_blocks_do_not_overlap() {
    let mut image = with_brokers(&[1]);
    let take = Command::AllocateProducerIds {
        broker: BrokerId(1),
    };
    let first = apply(&mut image, take.clone()).unwrap();
    let second = apply(&mut image, take).unwrap();
    assert_eq!(
        first,
        Reply::ProducerIds {
            first: ProducerId(0),
            count: 1000
        }
    );
    assert_eq!(
        second,
        Reply::ProducerIds {
            first: ProducerId(1000),
            count: 1000
        }
    );
}

#[test]
fn config_lists_are_appended_and_subtracted_without_doubling() {
    let mut image = with_brokers(&[1]);
    create(&mut image, "t", 1).unwrap();
    let mut alter = |op| {
        let changes = vec![ConfigChange {
            name: "cleanup.policy".into(),
            op,
        }];
        apply(
            &mut image,
            Command::AlterConfigs {
                resource: ConfigResource::Topic("t".into()),
                changes,
            },
        )
        .unwrap();
        image
            .topic("t")
            .unwrap()
            .configs
            .get("cleanup.policy")
            .cloned()
    };
    assert_eq!(
        alter(ConfigOp::Set("delete".into())).as_deref(),
        Some("delete")
    );
    assert_eq!(
        alter(ConfigOp::Append("compact,delete".into())).as_deref(),
        Some("delete,compact")
    );
    assert_eq!(
        alter(ConfigOp::Subtract("delete".into())).as_deref(),
        Some("compact")
    );
    assert_eq!(alter(ConfigOp::Delete), None);
}

#[test]
fn a_group_without_settings_is_not_remembered() {
    let mut image = with_brokers(&[1]);
    let mut alter = |id: &str, op| {
        let changes = vec![ConfigChange {
            name: "consumer.session.timeout.ms".into(),
            op,
        }];
        let resource = ConfigResource::Group(id.into());
        let done = apply(&mut image, Command::AlterConfigs { resource, changes });
        let groups: Vec<String> = image.configured_groups().map(str::to_owned).collect();
        done.map(|_| groups)
    };
    assert_eq!(alter("g", ConfigOp::Set("50000".into())).unwrap(), ["g"]);
    assert_eq!(alter("h", ConfigOp::Delete).unwrap(), ["g"]);
    assert!(alter("g", ConfigOp::Delete).unwrap().is_empty());
    for n in 0..CONFIGURED_GROUPS_MAX {
        alter(&n.to_string(), ConfigOp::Set("50000".into())).unwrap();
    }
    let full = alter("one more", ConfigOp::Set("50000".into()));
    assert!(matches!(full, Err(Refusal::LimitReached(_))));
    alter("0", ConfigOp::Set("55000".into())).unwrap();
}

#[test]
fn an_image_of_before_groups_had_settings_is_read() {
    let mut image = serde_json::to_value(with_brokers(&[1])).unwrap();
    image.as_object_mut().unwrap().remove("group_configs");
    let read: MetadataImage = serde_json::from_value(image).unwrap();
    assert_eq!(read, with_brokers(&[1]));
}

#[test]
fn sql_objects_share_one_space_of_names() {
    let mut image = MetadataImage::default();
    let object = |kind| SqlObject {
        name: "orders".into(),
        kind,
        definition: "CREATE ...".into(),
        json: "{}".into(),
        created_at_ms: 1,
    };
    apply(
        &mut image,
        Command::CreateSqlObject(object(SqlObjectKind::Table)),
    )
    .unwrap();
    assert_eq!(
        apply(
            &mut image,
            Command::CreateSqlObject(object(SqlObjectKind::View))
        ),
        Err(Refusal::SqlObjectExists("orders".into()))
    );
    apply(
        &mut image,
        Command::PutSqlObject(object(SqlObjectKind::View)),
    )
    .unwrap();
    assert_eq!(
        image.sql_object("orders").unwrap().kind,
        SqlObjectKind::View
    );
}

#[test]
fn a_job_keeps_its_definition_when_it_is_stopped() {
    let mut image = MetadataImage::default();
    let job = Job {
        id: "1".into(),
        name: "revenue".into(),
        statement: "INSERT INTO ...".into(),
        desired: JobState::Running,
        created_at_ms: 1,
        options: Default::default(),
    };
    apply(&mut image, Command::CreateJob(job.clone())).unwrap();
    let same_name = Job {
        id: "2".into(),
        ..job.clone()
    };
    assert_eq!(
        apply(&mut image, Command::CreateJob(same_name)),
        Err(Refusal::JobExists("revenue".into()))
    );
    apply(
        &mut image,
        Command::SetJobState {
            id: "1".into(),
            desired: JobState::Stopped,
        },
    )
    .unwrap();
    let stopped = image.job_by_name("revenue").unwrap();
    assert_eq!(
        **stopped,
        Job {
            desired: JobState::Stopped,
            ..job
        }
    );
}

#[test]
fn a_change_to_one_topic_shares_all_others() {
    let mut image = with_brokers(&[1]);
    create(&mut image, "a", 100).unwrap();
    create(&mut image, "b", 1).unwrap();
    let before = image.clone();
    create(&mut image, "c", 1).unwrap();
    assert!(Arc::ptr_eq(
        before.topic("a").unwrap(),
        image.topic("a").unwrap()
    ));
}

#[test]
fn of_several_changes_one_that_is_refused_leaves_the_others() {
    let mut image = with_brokers(&[1]);
    let make = |name: &str| Command::CreateTopic(new_topic(name, 2));
    let nested = Command::Each(vec![make("nested")]);
    let each = Command::Each(vec![make("a"), make("a"), nested, make("b")]);
    let Ok(Reply::Each(replies)) = apply(&mut image, each) else {
        panic!()
    };
    assert!(matches!(replies[0], Ok(Reply::Topic(_))));
    assert_eq!(replies[1], Err(Refusal::TopicExists("a".into())));
    assert!(matches!(replies[2], Err(Refusal::LimitReached(_))));
    assert!(matches!(replies[3], Ok(Reply::Topic(_))));
    assert_eq!(image.topics().len(), 2);
    let too_many = Command::Each(vec![make("c"); COMMANDS_MAX + 1]);
    assert!(apply(&mut image, too_many).is_err());
    assert_eq!(image.topics().len(), 2);
}
