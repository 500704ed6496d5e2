//! AlterPartitionReassignments (45): moves partitions to other nodes
//! (KIP-455).
//!
//! A cluster of one has one place for a partition: where it is. That is
//! accepted, as Kafka accepts a move to where a partition is already; all else
//! is refused with Kafka's reasons.

use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::RequestContext;
use millstream_cluster::{MetadataImage, Partition};
use millstream_core::ids::{BrokerId, PartitionId};
use millstream_wire::ErrorCode;
use millstream_wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// AlterPartitionReassignments.
pub(super) struct AlterPartitionReassignments;

impl Handler for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: RequestContext,
        request: AlterPartitionReassignmentsRequest,
    ) -> Answer<AlterPartitionReassignmentsResponse> {
        let image = context.state.image();
        let may_resize = request.allow_replication_factor_change;
        let check = |name: &str, asked: ReassignablePartition| {
            let index = asked.partition_index;
            let checked = match image.partition(name, PartitionId(index)) {
                Some(partition) => check(&image, partition, asked.replicas, may_resize),
                None => Err(ApiError::new(
                    ErrorCode::UnknownTopicOrPartition,
                    format!("partition {name}-{index} does not exist"),
                )),
            };
            let (error_code, error_message) = match checked {
                Ok(()) => (0, None),
                Err(error) => (error.code.into(), Some(error.message)),
            };
            ReassignablePartitionResponse {
                partition_index: index,
                error_code,
                error_message,
            }
        };
        let responses = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter();
            ReassignableTopicResponse {
                partitions: partitions.map(|asked| check(&topic.name, asked)).collect(),
                name: topic.name,
            }
        });
        AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: may_resize,
            error_message: None,
            responses: responses.collect(),
            ..Default::default()
        }
        .into()
    }
}

fn check(
    image: &MetadataImage,
    partition: &Partition,
    replicas: Option<Vec<i32>>,
    may_resize: bool,
) -> Result<(), ApiError> {
    let refuse = |code, message: String| Err(ApiError::new(code, message));
    let Some(replicas) = replicas else {
        let message = "the partition is not on the move".to_owned();
        return refuse(ErrorCode::NoReassignmentInProgress, message);
    };
    let invalid = ErrorCode::InvalidReplicaAssignment;
    if replicas.is_empty() {
        return refuse(invalid, "the list of replicas is empty".into());
    }
    let mut seen = BTreeSet::new();
    for replica in &replicas {
        if !seen.insert(*replica) {
            return refuse(invalid, format!("broker {replica} is named twice"));
        }
        if image.broker(BrokerId(*replica)).is_none() {
            return refuse(invalid, format!("no broker {replica} is registered"));
        }
    }
    if !may_resize && replicas.len() != partition.replicas.len() {
        return refuse(
            ErrorCode::InvalidReplicationFactor,
            format!(
                "{} replica(s) instead of {}: the request does not allow a change",
                replicas.len(),
                partition.replicas.len()
            ),
        );
    }
    let current: Vec<i32> = partition.replicas.iter().map(|id| id.0).collect();
    if replicas != current {
        return refuse(
            invalid,
            format!("the partition can only be on {current:?}: partitions cannot be moved here"),
        );
    }
    Ok(())
}
