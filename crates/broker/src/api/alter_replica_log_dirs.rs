//! AlterReplicaLogDirs (34): moves partitions between folders of a broker
//! (KIP-113).
//!
//! There is one folder. A partition that is to be there is there already; any
//! other folder is not one of this broker's.

use super::{Answer, Handler};
use crate::state::{BrokerState, RequestContext};
use millstream_wire::ErrorCode;
use millstream_wire::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

/// AlterReplicaLogDirs.
pub(super) struct AlterReplicaLogDirs;

impl Handler for AlterReplicaLogDirs {
    type Request = AlterReplicaLogDirsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(
        context: RequestContext,
        request: AlterReplicaLogDirsRequest,
    ) -> Answer<AlterReplicaLogDirsResponse> {
        // By topic, whatever the folder.
        let mut results: BTreeMap<String, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
        for dir in request.dirs {
            for topic in dir.topics {
                let done = topic.partitions.into_iter().map(|partition_index| {
                    let moved = check(&context.state, &dir.path, &topic.name, partition_index);
                    AlterReplicaLogDirPartitionResult {
                        partition_index,
                        error_code: moved.err().unwrap_or(ErrorCode::None).into(),
                    }
                });
                let done: Vec<_> = done.collect();
                results.entry(topic.name).or_default().extend(done);
            }
        }
        let results =
            results
                .into_iter()
                .map(|(topic_name, partitions)| AlterReplicaLogDirTopicResult {
                    topic_name,
                    partitions,
                });
        AlterReplicaLogDirsResponse {
            results: results.collect(),
            ..Default::default()
        }
        .into()
    }
}

fn check(state: &BrokerState, path: &str, topic: &str, partition: i32) -> Result<(), ErrorCode> {
    if Path::new(path) != state.data_dir() {
        return Err(ErrorCode::LogDirNotFound);
    }
    state.partition(topic, partition).map(|_| ())
}
