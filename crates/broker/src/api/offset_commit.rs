//! OffsetCommit (8): stores how far a group has read.

use super::items::partitions_once;
use super::{Answer, Handler};
use crate::group::{CommitResults, Committer, GroupCoordinator, GroupError, OffsetToCommit};
use crate::state::RequestContext;
use crate::task::started;
use millstream_cluster::MetadataImage;
use millstream_core::ids::PartitionId;
use millstream_wire::ErrorCode;
use millstream_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use std::ops::RangeInclusive;
use std::time::Duration;

/// OffsetCommit.
pub(super) struct OffsetCommit;

impl Handler for OffsetCommit {
    type Request = OffsetCommitRequest;
    const VERSIONS: RangeInclusive<i16> = 2..=10;

    async fn handle(
        context: RequestContext,
        request: OffsetCommitRequest,
    ) -> Answer<OffsetCommitResponse> {
        let version = context.api_version;
        let groups = context.state.groups().clone();
        let who = Committer {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id_or_member_epoch,
        };
        // -1 is the broker's own retention; the field went with version 5.
        let retention = u64::try_from(request.retention_time_ms)
            .ok()
            .map(Duration::from_millis);
        let mut topics = request.topics;
        partitions_once(
            &mut topics,
            |topic| (topic.topic_id, topic.name.clone()),
            |topic| &mut topic.partitions,
            |partition| partition.partition_index,
        );
        let mut plan = Plan::of(topics, &context.state.image(), version);
        let commit = Commit {
            group_id: request.group_id,
            who,
            retention,
        };
        let results = started(async move {
            let offsets = std::mem::take(&mut plan.offsets);
            let results = commit.run(&groups, offsets, version).await;
            plan.into_response(results)
        });
        Answer::Later(results.await)
    }
}

struct Commit {
    group_id: String,
    who: Committer,
    retention: Option<Duration>,
}

impl Commit {
    async fn run(
        self,
        groups: &GroupCoordinator,
        offsets: Vec<OffsetToCommit>,
        version: i16,
    ) -> Result<CommitResults, ErrorCode> {
        let Self {
            group_id,
            who,
            retention,
        } = self;
        groups
            .commit_offsets_at(&group_id, &who, offsets, retention, version)
            .await
            .map_err(|error| {
                match error {
                    // KIP-848 brought the plainer error.
                    GroupError::GroupIdNotFound if version < 9 => ErrorCode::IllegalGeneration,
                    other => other.into(),
                }
            })
    }
}

/// A response whose partitions that are to be committed are still open.
struct Plan {
    topics: Vec<OffsetCommitResponseTopic>,
    offsets: Vec<OffsetToCommit>,
}

impl Plan {
    fn of(topics: Vec<OffsetCommitRequestTopic>, image: &MetadataImage, version: i16) -> Self {
        let mut plan = Self {
            topics: Vec::with_capacity(topics.len()),
            offsets: Vec::new(),
        };
        for topic in topics {
            plan.add(topic, image, version);
        }
        plan
    }

    fn add(&mut self, topic: OffsetCommitRequestTopic, image: &MetadataImage, version: i16) {
        let (found, missing) = if version >= 10 {
            (image.topic_by_id(topic.topic_id), ErrorCode::UnknownTopicId)
        } else {
            (image.topic(&topic.name), ErrorCode::UnknownTopicOrPartition)
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let error_code = match found {
                None => missing.code(),
                Some(found) if found.partition(PartitionId(partition_index)).is_none() => {
                    ErrorCode::UnknownTopicOrPartition.code()
                }
                Some(found) => {
                    self.offsets.push(offset_to_commit(&found.name, partition));
                    0
                }
            };
            partitions.push(OffsetCommitResponsePartition {
                partition_index,
                error_code,
            });
        }
        self.topics.push(OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        });
    }

    fn into_response(self, results: Result<CommitResults, ErrorCode>) -> OffsetCommitResponse {
        let (mut results, all) = match results {
            Ok(results) => (results.into_iter(), 0),
            Err(error) => (Vec::new().into_iter(), error.code()),
        };
        let mut topics = self.topics;
        let open = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for partition in open.filter(|partition| partition.error_code == 0) {
            partition.error_code = match results.next() {
                Some(result) => crate::group::code_of(&result),
                None => all,
            };
        }
        OffsetCommitResponse {
            topics,
            ..Default::default()
        }
    }
}

fn offset_to_commit(topic: &str, partition: OffsetCommitRequestPartition) -> OffsetToCommit {
    OffsetToCommit {
        topic: topic.to_owned(),
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.unwrap_or_default(),
    }
}
