//! What clients are told when the disk fails.

mod support;

use millstream_core::env::{CrashFs, Fs, SyncKind};
use millstream_wire::ErrorCode;
use millstream_wire::batch::split_batches;
use millstream_wire::messages::describe_log_dirs::DescribeLogDirsRequest;
use millstream_wire::messages::describe_topic_partitions::DescribeTopicPartitionsRequest;
use millstream_wire::messages::init_producer_id::InitProducerIdRequest;
use millstream_wire::messages::metadata::{MetadataRequest, MetadataResponsePartition};
use millstream_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use std::path::Path;
use support::Client;
use support::TestBroker;
use support::kafka::{batch, create_topic, fetch_request, only, produce, produce_request, records};

async fn broker_on(fs: &CrashFs) -> TestBroker {
    assert!(fs.create_dir_all(Path::new("/data")).is_ok());
    assert!(fs.sync_dir(Path::new("/")).is_ok());
    TestBroker::with_fs(support::options(Path::new("/data")), fs.shared()).await
}

/// From now on, of the log that these tests write to.
fn fail_syncs_of_the_partition(fs: &CrashFs) {
    fs.fail_syncs(|call| {
        call.kind == SyncKind::File && call.path.to_string_lossy().contains("/t-0/")
    });
}

/// Its logs have failed, and say so again.
async fn stop(broker: TestBroker) {
    let _ = broker.handle.shutdown().await;
    broker.metadata.shutdown().await;
}

/// UNKNOWN_SERVER_ERROR, which it once was, is fatal to the producers and
/// consumers of Java and librdkafka; after NOT_COORDINATOR they look for the
/// coordinator until a restart gives them one.
#[tokio::test]
async fn a_coordinator_whose_log_has_failed_says_that_it_is_none() {
    let fs = CrashFs::new();
    let broker = broker_on(&fs).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let init = InitProducerIdRequest {
        transactional_id: Some("id".into()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let partition = OffsetCommitRequestPartition {
        committed_offset: 1,
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let not_coordinator = ErrorCode::NotCoordinator;
    for expected in [ErrorCode::None, not_coordinator, not_coordinator] {
        let answer = client.call(&init, 4).await;
        assert_eq!(ErrorCode::from(answer.error_code), expected);
        let answer = client.call(&commit, 8).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(ErrorCode::from(code), expected);
        fs.fail_syncs(|call| call.path.to_string_lossy().contains("/__"));
    }
    fs.heal();
    stop(broker).await;
}

const RECORDS: i64 = 150;

/// As where a file system knows no `sendfile`.
#[tokio::test]
async fn records_that_cannot_be_sent_from_their_file_are_read() {
    let fs = CrashFs::new();
    let broker = broker_on(&fs).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let value = |i: i64| format!("{i:04}").repeat(5_000);
    // More than one answer holds: the second one goes on where the first ended.
    for i in 0..RECORDS {
        let request = produce_request("t", 0, -1, batch(&[&value(i)]));
        client.call(&request, 9).await;
    }
    let mut next = 0;
    while next < RECORDS {
        let fetched = client.call(&fetch_request("t", 0, next), 12).await;
        for (offset, read) in records(only(fetched.responses).records) {
            assert_eq!((offset, read), (next, value(next)));
            next += 1;
        }
    }
    broker.stop().await;
}

/// After KAFKA_STORAGE_ERROR librdkafka takes its records as not persisted and
/// gives their sequence numbers to others. What was appended is shown by a
/// restart, and the others would be taken for its duplicates.
#[tokio::test]
async fn a_record_whose_sync_failed_is_told_as_appended_and_later_ones_as_refused() {
    for acks in [-1, 1] {
        let fs = CrashFs::new();
        let broker = broker_on(&fs).await;
        let mut client = broker.client().await;
        create_topic(&mut client, "t", 1, &[]).await;
        fail_syncs_of_the_partition(&fs);
        let mut told = Vec::new();
        for _ in 0..2 {
            let request = produce_request("t", 0, acks, batch(&["a"]));
            let answer = client.call(&request, 9).await;
            told.push(ErrorCode::from(
                answer.responses[0].partition_responses[0].error_code,
            ));
        }
        assert_eq!(
            told,
            [
                ErrorCode::NotEnoughReplicasAfterAppend,
                ErrorCode::KafkaStorageError
            ],
            "acks={acks}"
        );
        stop(broker).await;
    }
}

async fn told_of(client: &mut Client) -> (MetadataResponsePartition, ErrorCode) {
    let everything = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let metadata = client.call(&everything, 12).await;
    let mut told = metadata.topics[0].partitions.clone();
    let request = DescribeTopicPartitionsRequest {
        response_partition_limit: 10,
        ..Default::default()
    };
    let described = client.call(&request, 0).await.topics;
    let (told, same) = (told.remove(0), &described[0].partitions[0]);
    assert_eq!(
        (same.error_code, same.leader_id, &same.isr_nodes),
        (told.error_code, told.leader_id, &told.isr_nodes)
    );
    assert_eq!(same.offline_replicas, told.offline_replicas);
    let request = DescribeLogDirsRequest { topics: None };
    let folders = client.call(&request, 4).await.results;
    (told, ErrorCode::from(folders[0].error_code))
}

#[tokio::test]
async fn a_partition_whose_log_has_stopped_is_told_as_out_of_sync_and_can_be_read() {
    let fs = CrashFs::new();
    let broker = broker_on(&fs).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let request = |value: &str| produce_request("t", 0, -1, batch(&[value]));
    client.call(&request("a"), 9).await;
    let (before, folder) = told_of(&mut client).await;
    assert_eq!((before.isr_nodes.len(), folder), (1, ErrorCode::None));
    assert_eq!(before.offline_replicas, [0; 0]);

    fail_syncs_of_the_partition(&fs);
    client.call(&request("b"), 9).await;
    let (after, folder) = told_of(&mut client).await;
    assert_eq!(
        (after.leader_id, after.error_code),
        (before.leader_id, 0),
        "readers go on"
    );
    assert_eq!(after.isr_nodes, [0; 0]);
    assert_eq!(after.offline_replicas, before.replica_nodes);
    assert_eq!(folder, ErrorCode::KafkaStorageError);
    let fetched = client.call(&fetch_request("t", 0, 0), 12).await;
    assert_eq!(
        records(only(fetched.responses).records),
        [(0, "a".to_owned())]
    );
    stop(broker).await;
}

#[tokio::test]
async fn a_partition_whose_log_cannot_be_opened_has_no_leader() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    broker.stop().await;
    let log = dir.path().join("t-0/00000000000000000000.log");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();

    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let (told, folder) = told_of(&mut client).await;
    assert_eq!(
        ErrorCode::from(told.error_code),
        ErrorCode::LeaderNotAvailable
    );
    assert_eq!((told.leader_id, told.isr_nodes), (-1, Vec::new()));
    assert_eq!(told.offline_replicas, told.replica_nodes);
    assert_eq!(folder, ErrorCode::KafkaStorageError);
    broker.stop().await;
}

/// The checksum does not cover a batch's leader epoch, and one from the future
/// would refuse every write as one of an old leader.
#[tokio::test]
async fn a_partition_with_a_flipped_leader_epoch_takes_writes() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    produce(&mut client, "t", 0, batch(&["a"])).await;
    broker.stop().await;
    // As a kill before the first checkpoint leaves it.
    for name in [
        ".kafka_cleanshutdown",
        "recovery-point-offset-checkpoint",
        "t-0/leader-epoch-checkpoint",
    ] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let path = dir.path().join("t-0/00000000000000000000.log");
    let mut log = std::fs::read(&path).unwrap();
    log[12] ^= 0x10;
    std::fs::write(&path, log).unwrap();

    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let stored = produce(&mut client, "t", 0, batch(&["b"])).await;
    assert_eq!((stored.error_code, stored.base_offset), (0, 1));
    let fetched = client.call(&fetch_request("t", 0, 0), 12).await;
    let batches = only(fetched.responses)
        .records
        .unwrap_or_default()
        .read()
        .unwrap();
    let epochs = split_batches(batches).map(|b| b.unwrap().header().partition_leader_epoch);
    assert_eq!(epochs.collect::<Vec<_>>(), [0, 1]);
    broker.stop().await;
}
