//! The metadata service across restarts.

use millstream_cluster::{
    ClusterError, Command, MetadataOptions, MetadataService, NewTopic, Refusal, Reply,
};
use millstream_core::env::{RealFs, SystemRand};
use millstream_core::ids::BrokerId;
use std::path::Path;
use std::sync::Arc;

async fn start(
    dir: &Path,
    node: i32,
    snapshot_entries: u64,
) -> Result<Arc<MetadataService>, ClusterError> {
    let dir = dir.join("__cluster_metadata");
    let options = MetadataOptions::new(BrokerId(node), dir, RealFs::shared(), SystemRand::shared());
    MetadataService::start(MetadataOptions {
        snapshot_entries,
        ..options
    })
    .await
}

async fn register(service: &MetadataService) {
    let command = Command::RegisterBroker {
        id: BrokerId(1),
        host: "localhost".into(),
        port: 9092,
        rack: None,
        incarnation: uuid::Uuid::from_u128(1),
    };
    assert!(matches!(service.propose(command).await, Ok(Reply::Done)));
}

fn topic(name: &str) -> Command {
    Command::CreateTopic(NewTopic {
        name: name.into(),
        id: uuid::Uuid::new_v4(),
        partitions: 3,
        replication_factor: 1,
        assignments: None,
        configs: Default::default(),
        internal: false,
        created_at_ms: 1,
    })
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), 1, 1_000).await.unwrap();
    register(&service).await;
    service.propose(topic("orders")).await.unwrap();
    service
        .propose(Command::AllocateProducerIds {
            broker: BrokerId(1),
        })
        .await
        .unwrap();
    let before = service.image();
    assert_eq!(before.cluster_id().len(), 22);
    service.shutdown().await;
    assert!(matches!(
        service.propose(topic("late")).await,
        Err(ClusterError::Stopped(_))
    ));

    let service = start(dir.path(), 1, 1_000).await.unwrap();
    let after = service.image();
    assert_eq!(after.cluster_id(), before.cluster_id());
    assert_eq!(after.topic("orders"), before.topic("orders"));
    assert_eq!(after.next_producer_id(), before.next_producer_id());
    assert!(after.topic("late").is_none());
    service.shutdown().await;
}

#[tokio::test]
async fn snapshots_keep_the_log_short_and_a_restart_reads_both() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), 1, 10).await.unwrap();
    register(&service).await;
    for n in 0..100 {
        service.propose(topic(&format!("topic-{n}"))).await.unwrap();
    }
    service.snapshot().await.unwrap();
    service.propose(topic("after-the-snapshot")).await.unwrap();
    let before = service.image();
    service.shutdown().await;

    let log = std::fs::read(dir.path().join("__cluster_metadata/log")).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(!log.contains("\"topic-5\""), "the log was not purged");

    let service = start(dir.path(), 1, 10).await.unwrap();
    let after = service.image();
    assert_eq!(after.topics().len(), 101);
    for topic in before.topics() {
        assert_eq!(after.topic(&topic.name), Some(topic));
        assert_eq!(after.topic_by_id(topic.id), Some(topic));
    }
    service.shutdown().await;
}

#[tokio::test]
async fn racing_proposals_cannot_both_win() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), 1, 1_000).await.unwrap();
    register(&service).await;
    let results = futures::future::join_all((0..16).map(|_| service.propose(topic("one")))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for result in lost {
        assert!(matches!(
            result.unwrap_err(),
            ClusterError::Refused(Refusal::TopicExists(name)) if name == "one"
        ));
    }
    service.shutdown().await;
}

#[tokio::test]
async fn a_change_wakes_whoever_watches() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), 1, 1_000).await.unwrap();
    let mut watch = service.watch();
    watch.mark_unchanged();
    register(&service).await;
    watch.changed().await.unwrap();
    assert!(watch.borrow().broker(BrokerId(1)).is_some());
    service.shutdown().await;
}

#[tokio::test]
async fn the_folder_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    start(dir.path(), 1, 1_000).await.unwrap().shutdown().await;
    let error = start(dir.path(), 2, 1_000).await.err().unwrap();
    assert!(matches!(error, ClusterError::OtherNode { .. }), "{error}");
}

#[tokio::test]
async fn an_emptied_log_is_told_from_the_folder_of_another_node() {
    let dir = tempfile::tempdir().unwrap();
    start(dir.path(), 1, 1_000).await.unwrap().shutdown().await;
    let folder = dir.path().join("__cluster_metadata");
    std::fs::remove_file(folder.join("log")).unwrap();
    let error = start(dir.path(), 1, 1_000).await.err().unwrap();
    assert!(matches!(error, ClusterError::Emptied(_)), "{error}");
    assert!(error.to_string().contains("Restore"), "{error}");
}

#[tokio::test]
async fn a_folder_in_use_is_refused_until_it_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), 1, 1_000).await.unwrap();
    let error = start(dir.path(), 1, 1_000).await.err().unwrap();
    assert!(matches!(error, ClusterError::Locked(_)), "{error}");
    service.shutdown().await;
    start(dir.path(), 1, 1_000).await.unwrap().shutdown().await;
}
