//! ElectLeaders (43): has leaders elected (KIP-183, KIP-460).
//!
//! With one replica the leader is the preferred one and the only one, so there
//! is never an election to hold; a partition without a leader has nobody who
//! could lead it.

use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::RequestContext;
use millstream_cluster::MetadataImage;
use millstream_core::ids::PartitionId;
use millstream_wire::ErrorCode;
use millstream_wire::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
    TopicPartitions,
};
use std::ops::RangeInclusive;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// ElectLeaders.
pub(super) struct ElectLeaders;

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: ElectLeadersRequest,
    ) -> Answer<ElectLeadersResponse> {
        if !matches!(request.election_type, PREFERRED | UNCLEAN) {
            let code = ErrorCode::InvalidRequest;
            return refused(code, request.topic_partitions.unwrap_or_default()).into();
        }
        let image = context.state.image();
        let preferred = request.election_type == PREFERRED;
        let elect = |topic: &str, partition: i32| {
            let error = elect(&image, topic, partition, preferred);
            PartitionResult {
                partition_id: partition,
                error_code: error.code.into(),
                error_message: Some(error.message),
            }
        };
        let results: Vec<_> = match request.topic_partitions {
            Some(topics) => topics
                .into_iter()
                .map(|topic| ReplicaElectionResult {
                    partition_result: topic
                        .partitions
                        .into_iter()
                        .map(|partition| elect(&topic.topic, partition))
                        .collect(),
                    topic: topic.topic,
                })
                .collect(),
            // Null means all; of those, Kafka leaves out what needs none.
            None => image
                .topics()
                .map(|topic| ReplicaElectionResult {
                    topic: topic.name.to_string(),
                    partition_result: (0..topic.partition_count())
                        .map(|partition| elect(&topic.name, partition))
                        .filter(|r| r.error_code != i16::from(ErrorCode::ElectionNotNeeded))
                        .collect(),
                })
                .filter(|topic| !topic.partition_result.is_empty())
                .collect(),
        };
        ElectLeadersResponse {
            replica_election_results: results,
            ..Default::default()
        }
        .into()
    }
}

/// The request's own error; version 0 has room for it in the partitions only.
fn refused(code: ErrorCode, topics: Vec<TopicPartitions>) -> ElectLeadersResponse {
    let results = topics.into_iter().map(|topic| ReplicaElectionResult {
        topic: topic.topic,
        partition_result: topic
            .partitions
            .into_iter()
            .map(|partition_id| PartitionResult {
                partition_id,
                error_code: code.into(),
                error_message: Some("election types are 0 (preferred) and 1 (unclean)".into()),
            })
            .collect(),
    });
    ElectLeadersResponse {
        error_code: code.into(),
        replica_election_results: results.collect(),
        ..Default::default()
    }
}

/// Why no election is held for the partition.
fn elect(image: &MetadataImage, topic: &str, partition: i32, preferred: bool) -> ApiError {
    let Some(state) = image.partition(topic, PartitionId(partition)) else {
        return ApiError::new(
            ErrorCode::UnknownTopicOrPartition,
            format!("partition {topic}-{partition} does not exist"),
        );
    };
    match state.leader {
        Some(leader) if !preferred || state.replicas.first() == Some(&leader) => ApiError::new(
            ErrorCode::ElectionNotNeeded,
            format!("{leader} leads the partition and is to"),
        ),
        Some(_) => ApiError::new(
            ErrorCode::PreferredLeaderNotAvailable,
            "the preferred leader is not in sync",
        ),
        None => ApiError::new(
            ErrorCode::EligibleLeadersNotAvailable,
            "no replica of the partition is there",
        ),
    }
}
