//! DeleteTopics (20), by name and by id.

use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::refuse_job_state;
use millstream_cluster::Topic;
use millstream_core::ids::TopicId;
use millstream_wire::ErrorCode;
use millstream_wire::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// DeleteTopics.
pub(super) struct DeleteTopics;

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=6;

    async fn handle(
        context: RequestContext,
        request: DeleteTopicsRequest,
    ) -> Answer<DeleteTopicsResponse> {
        let by_name = request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState {
                name: Some(name),
                topic_id: TopicId::nil(),
            });
        let asked: Vec<DeleteTopicState> = by_name.chain(request.topics).collect();
        let named: Vec<Result<String, ApiError>> = asked
            .iter()
            .map(|asked| {
                let name = name_of(&context.state, asked)?;
                refuse_job_state(&context.client_id, &name, "deleted")?;
                Ok(name)
            })
            .collect();
        let found = asked.iter().zip(&named).filter_map(|(asked, name)| {
            let id = (!asked.topic_id.is_nil()).then_some(asked.topic_id);
            Some((name.clone().ok()?, id))
        });
        let mut deleted = context
            .state
            .delete_topics(found.collect())
            .await
            .into_iter();
        let mut responses = Vec::with_capacity(asked.len());
        for (asked, name) in asked.into_iter().zip(named) {
            let outcome = match name {
                Ok(_) => deleted.next(),
                Err(error) => Some(Err(error)),
            };
            responses.extend(outcome.map(|outcome| result(asked, outcome)));
        }
        DeleteTopicsResponse {
            responses,
            ..Default::default()
        }
        .into()
    }
}

fn name_of(state: &BrokerState, asked: &DeleteTopicState) -> Result<String, ApiError> {
    match (&asked.name, asked.topic_id.is_nil()) {
        (Some(name), true) => Ok(name.clone()),
        (None, false) => state
            .image()
            .topic_by_id(asked.topic_id)
            .map(|topic| topic.name.to_string())
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownTopicId, "no topic has this id")),
        _ => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "name a topic either by name or by id",
        )),
    }
}

fn result(asked: DeleteTopicState, deleted: Result<Arc<Topic>, ApiError>) -> DeletableTopicResult {
    match deleted {
        Ok(topic) => DeletableTopicResult {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            ..Default::default()
        },
        Err(error) => DeletableTopicResult {
            name: asked.name,
            topic_id: asked.topic_id,
            error_code: error.code.into(),
            error_message: Some(error.message),
        },
    }
}
