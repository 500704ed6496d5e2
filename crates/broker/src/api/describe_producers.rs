//! DescribeProducers (61): who writes to a partition, and whose transaction
//! is open in it (KIP-664).

use super::items::{Pace, partitions_once};
use super::{Answer, Handler};
use crate::state::{BrokerState, RequestContext};
use crate::topics::unknown;
use millstream_log::ProducerSummary;
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};
use std::ops::RangeInclusive;

/// DescribeProducers.
pub(super) struct DescribeProducers;

impl Handler for DescribeProducers {
    type Request = DescribeProducersRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(
        context: RequestContext,
        request: DescribeProducersRequest,
    ) -> Answer<DescribeProducersResponse> {
        let mut asked = request.topics;
        partitions_once(
            &mut asked,
            |topic| topic.name.clone(),
            |topic| &mut topic.partition_indexes,
            |index| *index,
        );
        let mut topics = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for topic in asked {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                pace.next().await;
                partitions.push(partition(&context.state, &topic.name, index));
            }
            topics.push(TopicResponse {
                name: topic.name,
                partitions,
            });
        }
        DescribeProducersResponse {
            topics,
            ..Default::default()
        }
        .into()
    }
}

fn partition(state: &BrokerState, topic: &str, partition_index: i32) -> PartitionResponse {
    match state.partition(topic, partition_index) {
        Ok(hosted) => PartitionResponse {
            partition_index,
            active_producers: hosted.log.producers().into_iter().map(producer).collect(),
            ..Default::default()
        },
        Err(ErrorCode::UnknownTopicOrPartition) if state.hosted(topic).is_none() => {
            let error = unknown(topic);
            PartitionResponse {
                partition_index,
                error_code: error.code.into(),
                error_message: Some(error.message),
                ..Default::default()
            }
        }
        Err(code) => PartitionResponse {
            partition_index,
            error_code: code.code(),
            error_message: match code {
                ErrorCode::UnknownTopicOrPartition => Some(format!("no {topic}-{partition_index}")),
                _ => None,
            },
            ..Default::default()
        },
    }
}

fn producer(summary: ProducerSummary) -> ProducerState {
    ProducerState {
        producer_id: summary.producer_id.0,
        producer_epoch: summary.epoch.0.into(),
        last_sequence: summary.last_sequence,
        last_timestamp: summary.last_timestamp_ms,
        coordinator_epoch: summary.coordinator_epoch,
        current_txn_start_offset: summary.transaction_start.map_or(-1, |offset| offset.0),
    }
}
