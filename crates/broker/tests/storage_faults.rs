//! What clients are told when the disk fails.

mod support;

use millstream_core::env::{CrashFs, Fs, SyncKind};
use millstream_wire::ErrorCode;
use std::path::Path;
use support::TestBroker;
use support::kafka::{batch, create_topic, produce_request};

/// After KAFKA_STORAGE_ERROR librdkafka takes its records as not persisted and
/// gives their sequence numbers to others. What was appended is shown by a
/// restart, and the others would be taken for its duplicates.
#[tokio::test]
async fn a_record_whose_sync_failed_is_told_as_appended_and_later_ones_as_refused() {
    for acks in [-1, 1] {
        let fs = CrashFs::new();
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let broker = TestBroker::with_fs(support::options(Path::new("/data")), fs.shared()).await;
        let mut client = broker.client().await;
        create_topic(&mut client, "t", 1, &[]).await;
        fs.fail_syncs(|call| {
            call.kind == SyncKind::File && call.path.to_string_lossy().contains("/t-0/")
        });
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
        // Its log has failed, and says so again.
        let _ = broker.handle.shutdown().await;
        broker.metadata.shutdown().await;
    }
}
