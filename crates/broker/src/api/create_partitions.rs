//! CreatePartitions (37).

use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::topics::MorePartitions;
use millstream_core::ids::BrokerId;
use millstream_wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use std::ops::RangeInclusive;

/// CreatePartitions.
pub(super) struct CreatePartitions;

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=3;

    async fn handle(
        context: RequestContext,
        request: CreatePartitionsRequest,
    ) -> Answer<CreatePartitionsResponse> {
        let names: Vec<String> = request.topics.iter().map(|t| t.name.clone()).collect();
        let more = request.topics.into_iter().map(more).collect();
        let done = context
            .state
            .add_partitions(more, request.validate_only)
            .await;
        let results = names.into_iter().zip(done).map(|(name, done)| {
            let (error_code, error_message) = match done {
                Ok(()) => (0, None),
                Err(error) => (error.code.into(), Some(error.message)),
            };
            CreatePartitionsTopicResult {
                name,
                error_code,
                error_message,
            }
        });
        CreatePartitionsResponse {
            results: results.collect(),
            ..Default::default()
        }
        .into()
    }
}

fn more(topic: CreatePartitionsTopic) -> MorePartitions {
    let assignments = topic.assignments.map(|assignments| {
        assignments
            .into_iter()
            .map(|a| a.broker_ids.into_iter().map(BrokerId).collect())
            .collect()
    });
    MorePartitions {
        topic: topic.name,
        count: topic.count,
        assignments,
    }
}
