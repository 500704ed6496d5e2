//! CreatePartitions (37).

use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use millstream_core::ids::BrokerId;
use millstream_wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// CreatePartitions.
pub(super) struct CreatePartitions;

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    async fn handle(
        context: RequestContext,
        request: CreatePartitionsRequest,
    ) -> Answer<CreatePartitionsResponse> {
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let name = topic.name.clone();
            let done = create(&context.state, topic, request.validate_only).await;
            let (error_code, error_message) = match done {
                Ok(()) => (0, None),
                Err(error) => (error.code.into(), Some(error.message)),
            };
            results.push(CreatePartitionsTopicResult {
                name,
                error_code,
                error_message,
            });
        }
        CreatePartitionsResponse {
            results,
            ..Default::default()
        }
        .into()
    }
}

async fn create(
    state: &Arc<BrokerState>,
    topic: CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), ApiError> {
    let assignments = topic.assignments.map(|assignments| {
        assignments
            .into_iter()
            .map(|a| a.broker_ids.into_iter().map(BrokerId).collect())
            .collect()
    });
    state
        .add_partitions(topic.name, topic.count, assignments, validate_only)
        .await
}
