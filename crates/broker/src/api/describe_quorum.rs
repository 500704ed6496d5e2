//! DescribeQuorum (55): who keeps the metadata, and how far each is (KIP-595,
//! KIP-836, KIP-853).
//!
//! Our metadata is no Kafka log, but it is a replicated one: offsets are the
//! numbers of its entries, the epoch is the term of its leader. A cluster of
//! one is a quorum of one.

use super::{Answer, Handler};
use crate::state::{BrokerState, RequestContext};
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Node, PartitionData, ReplicaState, TopicData,
};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// Under this name Kafka's tools ask for the metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// From here on the response names the nodes (KIP-853).
const VERSION_NODES: i16 = 2;

/// DescribeQuorum.
pub(super) struct DescribeQuorum;

impl Handler for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: DescribeQuorumRequest,
    ) -> Answer<DescribeQuorumResponse> {
        let mut known = false;
        let told = context.api_version >= VERSION_NODES;
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let index = asked.partition_index;
                partitions.push(if topic.topic_name == METADATA_TOPIC && index == 0 {
                    known = true;
                    quorum(&context.state)
                } else {
                    unknown(index)
                });
            }
            topics.push(TopicData {
                topic_name: topic.topic_name,
                partitions,
            });
        }
        // Told from version 2 on. Voters have no listeners of their own here: they are told by id.
        let nodes = context.state.metadata().quorum().voters;
        let nodes = nodes.into_iter().filter(|_| known && told).map(|id| Node {
            node_id: id.0,
            listeners: Vec::new(),
        });
        DescribeQuorumResponse {
            error_message: None,
            topics,
            nodes: nodes.collect(),
            ..Default::default()
        }
        .into()
    }
}

fn quorum(state: &BrokerState) -> PartitionData {
    let quorum = state.metadata().quorum();
    let offset = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let now_ms = state.clock().now_ms();
    let voters = quorum.voters.iter().map(|id| {
        let here = *id == state.node_id();
        // The leader is at its own end at all times; Kafka says now, too.
        let leads = here && quorum.leader == Some(*id);
        let seen_at = if leads { now_ms } else { -1 };
        ReplicaState {
            replica_id: id.0,
            replica_directory_id: Uuid::nil(),
            log_end_offset: if here { offset(quorum.log_end) } else { -1 },
            last_fetch_timestamp: seen_at,
            last_caught_up_timestamp: seen_at,
        }
    });
    PartitionData {
        error_message: None,
        leader_id: quorum.leader.map_or(-1, |id| id.0),
        leader_epoch: i32::try_from(quorum.term).unwrap_or(i32::MAX),
        high_watermark: offset(quorum.applied_end),
        current_voters: voters.collect(),
        ..Default::default()
    }
}

fn unknown(partition_index: i32) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.into(),
        error_message: Some(format!("only {METADATA_TOPIC}-0 has a quorum")),
        leader_id: -1,
        high_watermark: -1,
        ..Default::default()
    }
}
