//! Many partitions and topics in one request: what is counted is work, not
//! time.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use millstream_core::env::{CountingFs, RealFs};
use millstream_wire::ErrorCode;
use millstream_wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use millstream_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use millstream_wire::messages::describe_log_dirs::DescribeLogDirsRequest;
use support::kafka::{batch, create_topic, fetch_request, only, produce, records};
use support::{TestBroker, options};

/// Of a request that changes the metadata and many logs: the metadata's log,
/// what is in the files, their names, and as much again for what else the
/// broker does meanwhile.
const SYNCS_MAX: u64 = 6;

async fn counted(dir: &std::path::Path) -> (CountingFs, TestBroker) {
    let fs = CountingFs::new(RealFs::shared());
    let broker = TestBroker::with_fs(options(dir), fs.shared()).await;
    (fs, broker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_partitions_are_created_and_added_with_a_handful_of_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, broker) = counted(dir.path()).await;
    let mut client = broker.client().await;
    let before = fs.counts();
    create_topic(&mut client, "wide", 1000, &[]).await;
    let cost = fs.counts().since(&before);
    assert!(cost.syncs() <= SYNCS_MAX, "{cost:?}");
    let before = fs.counts();
    let more = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "wide".into(),
            count: 1500,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    let answer = client.call(&more, 3).await;
    assert_eq!(answer.results[0].error_code, 0);
    let cost = fs.counts().since(&before);
    assert!(cost.syncs() <= SYNCS_MAX, "{cost:?}");
    assert!(
        cost.open_files < 50,
        "an idle partition holds a file: {cost:?}"
    );
    for partition in [0, 999, 1499] {
        let produced = produce(&mut client, "wide", partition, batch(&["a"])).await;
        assert_eq!(produced.error_code, 0);
    }
    broker.stop().await;
    // Opened again, nothing is lost, and nothing is read but small files.
    let (fs, broker) = counted(dir.path()).await;
    let cost = fs.counts();
    assert!(cost.bytes_read < 2_000_000, "{cost:?}");
    let mut client = broker.client().await;
    let fetched = client.call(&fetch_request("wide", 1499, 0), 12).await;
    assert_eq!(records(only(fetched.responses).records).len(), 1);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_topics_of_one_request_share_their_syncs_and_fail_each_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, broker) = counted(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "there", 1, &[]).await;
    let names: Vec<String> = (0..200).map(|i| format!("topic-{i}")).collect();
    let mut asked = names.clone();
    asked.insert(100, "there".into());
    asked.insert(50, "not a name".into());
    let topic = |name: &String| CreatableTopic {
        name: name.clone(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: asked.iter().map(topic).collect(),
        timeout_ms: 10_000,
        validate_only: false,
    };
    let before = fs.counts();
    let created = client.call(&request, 7).await;
    let cost = fs.counts().since(&before);
    assert!(cost.syncs() <= SYNCS_MAX, "{cost:?}");
    for (asked, answer) in asked.iter().zip(&created.topics) {
        let expected = match asked.as_str() {
            "there" => ErrorCode::TopicAlreadyExists,
            "not a name" => ErrorCode::InvalidTopicException,
            _ => ErrorCode::None,
        };
        assert_eq!(*asked, answer.name);
        assert_eq!(ErrorCode::from(answer.error_code), expected, "{asked}");
        assert_eq!(answer.topic_id.is_nil(), expected != ErrorCode::None);
    }
    produce(&mut client, "topic-199", 1, batch(&["a"])).await;
    let request = DeleteTopicsRequest {
        topics: names
            .iter()
            .chain([&"missing".to_owned()])
            .map(|name| DeleteTopicState {
                name: Some(name.clone()),
                ..Default::default()
            })
            .collect(),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let before = fs.counts();
    let deleted = client.call(&request, 6).await;
    let cost = fs.counts().since(&before);
    assert!(cost.syncs() <= SYNCS_MAX, "{cost:?}");
    let failed: Vec<_> = deleted
        .responses
        .iter()
        .filter(|answer| answer.error_code != 0)
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name.as_deref(), Some("missing"));
    assert_eq!(broker.handle.state().hosted_all().len(), 1);
    broker.stop().await;
}

#[tokio::test]
async fn the_log_folder_tells_its_volume_and_only_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, broker) = counted(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "a", 3, &[]).await;
    create_topic(&mut client, "b", 1, &[]).await;
    produce(&mut client, "a", 2, batch(&["x"])).await;
    let before = fs.counts();
    let all = client
        .call(&DescribeLogDirsRequest { topics: None }, 5)
        .await;
    let cost = fs.counts().since(&before);
    assert_eq!((cost.opens, cost.lists, cost.bytes_read), (0, 0, 0));
    let folder = &all.results[0];
    assert!(folder.total_bytes > 0 && !folder.is_cordoned);
    assert!((1..=folder.total_bytes).contains(&folder.usable_bytes));
    assert_eq!(folder.topics.len(), 2);
    let stored = std::fs::metadata(dir.path().join("a-2/00000000000000000000.log"));
    let sizes = |name: &str, results: &[_]| -> Vec<(i32, i64)> {
        let folder: &millstream_wire::messages::describe_log_dirs::DescribeLogDirsResult =
            &results[0];
        let topic = folder.topics.iter().find(|topic| topic.name == name);
        let partitions = topic.into_iter().flat_map(|topic| &topic.partitions);
        partitions
            .map(|p| (p.partition_index, p.partition_size))
            .collect()
    };
    let size = stored.unwrap().len() as i64;
    assert_eq!(sizes("a", &all.results), [(0, 0), (1, 0), (2, size)]);
    let asked = DescribeLogDirsRequest {
        topics: Some(vec![
            millstream_wire::messages::describe_log_dirs::DescribableLogDirTopic {
                topic: "a".into(),
                partitions: vec![2, 7],
            },
        ]),
    };
    let some = client.call(&asked, 1).await;
    assert_eq!(some.results[0].topics.len(), 1);
    assert_eq!(sizes("a", &some.results), [(2, size)]);
    broker.stop().await;
}
