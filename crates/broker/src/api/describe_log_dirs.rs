//! DescribeLogDirs (35): the data folder and the size of what is in it.

use super::{Answer, Handler};
use crate::state::RequestContext;
use millstream_wire::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// DescribeLogDirs.
pub(super) struct DescribeLogDirs;

impl Handler for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    async fn handle(
        context: RequestContext,
        request: DescribeLogDirsRequest,
    ) -> Answer<DescribeLogDirsResponse> {
        // Null means all.
        let asked: Option<HashMap<String, Vec<i32>>> = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (t.topic, t.partitions))
                .collect()
        });
        let mut topics = Vec::new();
        for hosted in context.state.hosted_all() {
            let name = &*hosted.topic.name;
            let wanted = asked.as_ref().map(|asked| asked.get(name));
            if matches!(wanted, Some(None)) {
                continue;
            }
            let wanted = wanted.flatten();
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
        // Total and usable bytes stay at -1, unknown: the seam to the disk
        // does not ask for them.
        let results = vec![DescribeLogDirsResult {
            log_dir: context.state.data_dir().display().to_string(),
            topics,
            ..Default::default()
        }];
        DescribeLogDirsResponse {
            results,
            ..Default::default()
        }
        .into()
    }
}
