//! DescribeLogDirs (35): the data folder and the size of what is in it.

use super::{Answer, Handler};
use crate::state::RequestContext;
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// DescribeLogDirs.
pub(super) struct DescribeLogDirs;

impl Handler for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=5;

    async fn handle(
        context: RequestContext,
        request: DescribeLogDirsRequest,
    ) -> Answer<DescribeLogDirsResponse> {
        // Null means all.
        let asked: Option<HashMap<String, HashSet<i32>>> = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (t.topic, t.partitions.into_iter().collect()))
                .collect()
        });
        let state = &context.state;
        // Those that were asked for, not a search through all.
        let hosted: Vec<_> = match &asked {
            Some(asked) => asked.keys().filter_map(|name| state.hosted(name)).collect(),
            None => state.hosted_all(),
        };
        let mut topics = Vec::new();
        let mut error = ErrorCode::None;
        for hosted in hosted {
            let name = &*hosted.topic.name;
            if hosted.has_failed() {
                error = ErrorCode::KafkaStorageError;
            }
            let wanted = asked.as_ref().and_then(|asked| asked.get(name));
            let partitions: Vec<_> = hosted
                .logs()
                .filter(|(id, _)| wanted.is_none_or(|wanted| wanted.contains(&id.0)))
                .map(|(id, log)| DescribeLogDirsPartition {
                    partition_index: id.0,
                    partition_size: i64::try_from(log.size_bytes()).unwrap_or(i64::MAX),
                    offset_lag: 0,
                    is_future_key: false,
                })
                .collect();
            if !partitions.is_empty() {
                topics.push(DescribeLogDirsTopic {
                    name: name.to_owned(),
                    partitions,
                });
            }
        }
        // KIP-827; -1 is not known.
        let space = state.logs().space();
        let bytes = |bytes: Option<u64>| bytes.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
        let results = vec![DescribeLogDirsResult {
            // Of the topics that were asked for: to look at all would cost as
            // much as all. Their sizes are right all the same, and Kafka's
            // clients show both.
            error_code: error.into(),
            log_dir: state.data_dir().display().to_string(),
            topics,
            total_bytes: bytes(space.map(|space| space.total_bytes)),
            usable_bytes: bytes(space.map(|space| space.usable_bytes)),
            ..Default::default()
        }];
        DescribeLogDirsResponse {
            results,
            ..Default::default()
        }
        .into()
    }
}
