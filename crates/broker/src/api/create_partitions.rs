//! CreatePartitions (37).

use super::incremental_alter_configs::repeated;
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::RequestContext;
use crate::topics::MorePartitions;
use millstream_core::ids::BrokerId;
use millstream_wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use std::collections::HashSet;
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
        let mut results = Vec::new();
        let mut names = Vec::new();
        let mut asked = Vec::new();
        let twice = repeated(request.topics.iter().map(|t| (0, t.name.as_str())));
        // Kafka too refuses what is named twice, once.
        let mut refused = HashSet::new();
        for (topic, twice) in request.topics.into_iter().zip(twice) {
            match twice {
                None => {
                    names.push(topic.name.clone());
                    asked.push(more(topic));
                }
                Some(error) if !refused.contains(&topic.name) => {
                    refused.insert(topic.name.clone());
                    results.push(result(topic.name, Err(error)));
                }
                Some(_) => {}
            }
        }
        let done = context
            .state
            .add_partitions(asked, request.validate_only)
            .await;
        let done = names.into_iter().zip(done);
        results.extend(done.map(|(name, done)| result(name, done)));
        CreatePartitionsResponse {
            results,
            ..Default::default()
        }
        .into()
    }
}

fn result(name: String, done: Result<(), ApiError>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = match done {
        Ok(()) => (0, None),
        Err(error) => (error.code.into(), Some(error.message)),
    };
    CreatePartitionsTopicResult {
        name,
        error_code,
        error_message,
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
