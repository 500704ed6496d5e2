//! CreateTopics (19).

use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::{TopicRequest, refuse_job_state};
use millstream_cluster::Topic;
use millstream_cluster::configs::TOPIC_CONFIGS;
use millstream_core::ids::BrokerId;
use millstream_wire::ErrorCode;
use millstream_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

/// CreateTopics.
pub(super) struct CreateTopics;

impl Handler for CreateTopics {
    type Request = CreateTopicsRequest;
    const VERSIONS: RangeInclusive<i16> = 2..=7;

    async fn handle(
        context: RequestContext,
        request: CreateTopicsRequest,
    ) -> Answer<CreateTopicsResponse> {
        let state = &context.state;
        let mut named: HashMap<&str, usize> = HashMap::new();
        for topic in &request.topics {
            *named.entry(&topic.name).or_default() += 1;
        }
        // One outcome for each name, in the order of the request.
        let mut outcomes: Vec<(&CreatableTopic, Option<ApiError>)> = Vec::new();
        let mut requests = Vec::new();
        let mut answered = std::collections::HashSet::new();
        for topic in &request.topics {
            let count = named.get(topic.name.as_str()).copied();
            if count.is_some_and(|count| count > 1) {
                if answered.insert(&topic.name) {
                    let twice = ApiError::new(
                        ErrorCode::InvalidRequest,
                        "the request names this topic more than once",
                    );
                    outcomes.push((topic, Some(twice)));
                }
                continue;
            }
            let requested = requested(&context.client_id, topic);
            outcomes.push((topic, requested.as_ref().err().cloned()));
            requests.extend(requested);
        }
        let created = if request.validate_only {
            let validate = |request| state.validate_topic(request);
            requests.into_iter().map(validate).collect()
        } else {
            state.create_topics(requests).await
        };
        let mut created = created.into_iter();
        let mut results = Vec::with_capacity(outcomes.len());
        for (topic, refused) in outcomes {
            let outcome = match refused {
                Some(error) => Some(Err(error)),
                None => created.next(),
            };
            results.extend(outcome.map(|outcome| match outcome {
                Ok(created) => described(state, &created),
                Err(error) => failed(topic, error),
            }));
        }
        CreateTopicsResponse {
            topics: results,
            ..Default::default()
        }
        .into()
    }
}

fn requested(client_id: &str, topic: &CreatableTopic) -> Result<TopicRequest, ApiError> {
    refuse_job_state(client_id, &topic.name, "created by anyone else")?;
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let value = config.value.clone().ok_or_else(|| {
            ApiError::new(
                ErrorCode::InvalidConfig,
                format!("'{}' is null", config.name),
            )
        })?;
        configs.insert(config.name.clone(), value);
    }
    Ok(TopicRequest {
        name: topic.name.clone(),
        partitions: given(topic.num_partitions),
        replication_factor: given(topic.replication_factor),
        assignments: assignments(topic)?,
        configs,
        internal: false,
    })
}

/// -1 leaves it to the broker's defaults (KIP-464).
fn given<N: PartialEq + From<i8>>(number: N) -> Option<N> {
    (number != N::from(-1)).then_some(number)
}

/// The replicas in order of partition numbers, which must be 0 to n-1.
fn assignments(topic: &CreatableTopic) -> Result<Option<Vec<Vec<BrokerId>>>, ApiError> {
    if topic.assignments.is_empty() {
        return Ok(None);
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "name either the replicas of each partition, or how many partitions and replicas",
        ));
    }
    let by_partition: BTreeMap<i32, &CreatableReplicaAssignment> = topic
        .assignments
        .iter()
        .map(|a| (a.partition_index, a))
        .collect();
    let consecutive = by_partition
        .keys()
        .copied()
        .eq(0..topic.assignments.len() as i32);
    if !consecutive {
        return Err(ApiError::new(
            ErrorCode::InvalidReplicaAssignment,
            "partitions must be numbered from 0 without a gap",
        ));
    }
    let replicas = by_partition
        .values()
        .map(|a| a.broker_ids.iter().map(|id| BrokerId(*id)).collect())
        .collect();
    Ok(Some(replicas))
}

fn described(state: &BrokerState, topic: &Topic) -> CreatableTopicResult {
    let image = state.image();
    let view = state.configs(&image);
    let configs = TOPIC_CONFIGS
        .iter()
        .map(|def| {
            let resolved = view.topic(&topic.configs, def);
            CreatableTopicConfigs {
                name: def.name.to_owned(),
                value: Some(resolved.value().to_owned()),
                read_only: false,
                config_source: super::describe_configs::source_code(resolved.source()),
                is_sensitive: def.sensitive,
            }
        })
        .collect();
    let replicas = topic.partitions.first().map_or(0, |p| p.replicas.len());
    CreatableTopicResult {
        name: topic.name.to_string(),
        topic_id: topic.id,
        error_code: ErrorCode::None.into(),
        error_message: None,
        num_partitions: topic.partition_count(),
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs: Some(configs),
        ..Default::default()
    }
}

fn failed(topic: &CreatableTopic, error: ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: error.code.into(),
        error_message: Some(error.message),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
