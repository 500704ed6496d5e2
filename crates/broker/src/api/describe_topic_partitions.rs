//! DescribeTopicPartitions (75): topics by name, page by page (KIP-966).
//!
//! The answer's work is bounded by the page, not by what the cluster has.

use super::describe_cluster::authorized;
use super::serving::Serving;
use super::{ALL_TOPIC_OPERATIONS, Answer, Handler};
use crate::state::{BrokerState, RequestContext};
use millstream_cluster::Topic;
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Partitions of one page; Kafka's `max.request.partition.size.limit`.
const PAGE_PARTITIONS_MAX: usize = 2000;

/// DescribeTopicPartitions.
pub(super) struct DescribeTopicPartitions;

impl Handler for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(
        context: RequestContext,
        request: DescribeTopicPartitionsRequest,
    ) -> Answer<DescribeTopicPartitionsResponse> {
        let image = context.state.image();
        let (from, first_partition) = match request.cursor {
            None => (String::new(), 0),
            Some(cursor) => match usize::try_from(cursor.partition_index) {
                Ok(partition) => (cursor.topic_name, partition),
                // The response has no error of its own; Kafka fails the
                // request, and each topic is the nearest that there is.
                Err(_) => return invalid(request.topics.into_iter().map(|t| t.name)).into(),
            },
        };
        // No topics means all. By name, each once: the cursor goes by that.
        let names: BTreeSet<&str> = match request.topics.as_slice() {
            [] => image.topics().map(|topic| &*topic.name).collect(),
            asked => asked.iter().map(|topic| topic.name.as_str()).collect(),
        };
        let page_max = usize::try_from(request.response_partition_limit)
            .unwrap_or(0)
            .clamp(1, PAGE_PARTITIONS_MAX);
        let mut response = DescribeTopicPartitionsResponse::default();
        let mut left = page_max;
        for name in names.range(from.as_str()..) {
            if left == 0 {
                response.next_cursor = Some(cursor(name, 0));
                break;
            }
            let first = if **name == *from { first_partition } else { 0 };
            let Some(topic) = image.topic(name) else {
                // Counted too, so that a long list of names has pages.
                left -= 1;
                response
                    .topics
                    .push(failed(name, crate::topics::why_unknown(name)));
                continue;
            };
            let described = describe(&context.state, topic, first, left);
            let next = first.saturating_add(described.partitions.len());
            left -= described.partitions.len().min(left);
            response.topics.push(described);
            if next < topic.partitions.len() {
                response.next_cursor = Some(cursor(name, next));
                break;
            }
        }
        response.into()
    }
}

fn cursor(topic: &str, partition: usize) -> Cursor {
    Cursor {
        topic_name: topic.to_owned(),
        partition_index: i32::try_from(partition).unwrap_or(i32::MAX),
    }
}

fn describe(
    state: &BrokerState,
    topic: &Topic,
    first: usize,
    count: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = Serving::new(state, topic)
        .partitions(first, count)
        .map(|partition| DescribeTopicPartitionsResponsePartition {
            error_code: partition.error_code,
            partition_index: partition.partition_index,
            leader_id: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replica_nodes,
            isr_nodes: partition.isr_nodes,
            // Nobody is outside the ISR and yet eligible: one replica.
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: partition.offline_replicas,
        })
        .collect();
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.into(),
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.internal,
        partitions,
        topic_authorized_operations: authorized(true, ALL_TOPIC_OPERATIONS),
    }
}

fn failed(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.into(),
        name: Some(name.to_owned()),
        topic_authorized_operations: authorized(true, ALL_TOPIC_OPERATIONS),
        ..Default::default()
    }
}

fn invalid(names: impl Iterator<Item = String>) -> DescribeTopicPartitionsResponse {
    DescribeTopicPartitionsResponse {
        topics: names
            .map(|name| failed(&name, ErrorCode::InvalidRequest))
            .collect(),
        ..Default::default()
    }
}
