//! Metadata (3): brokers, topics, partitions, leaders; may create topics.

use super::describe_cluster::authorized;
use super::items::Pace;
use super::serving::Serving;
use super::{ALL_CLUSTER_OPERATIONS, ALL_TOPIC_OPERATIONS, Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::TopicRequest;
use millstream_cluster::{MetadataImage, Topic};
use millstream_wire::ErrorCode;
use millstream_wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Metadata.
pub(super) struct Metadata;

impl Handler for Metadata {
    type Request = MetadataRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=13;

    async fn handle(context: RequestContext, request: MetadataRequest) -> Answer<MetadataResponse> {
        let (state, version) = (&context.state, context.api_version);
        // Null means all and empty means none; version 0 has no null, and
        // there empty means all.
        let asked = match request.topics {
            None => None,
            Some(topics) if version == 0 && topics.is_empty() => None,
            Some(topics) => Some(topics),
        };
        let may_create = request.allow_auto_topic_creation && state.settings().auto_create_topics;
        let mut topics = match asked {
            None => state
                .image()
                .topics()
                .map(|topic| describe(state, topic))
                .collect(),
            Some(asked) => describe_asked(state, asked, may_create).await,
        };
        let image = state.image();
        for topic in &mut topics {
            let asked = request.include_topic_authorized_operations && topic.error_code == 0;
            topic.topic_authorized_operations = authorized(asked, ALL_TOPIC_OPERATIONS);
            if version < 12 && topic.name.is_none() {
                topic.name = Some(String::new());
            }
        }
        MetadataResponse {
            brokers: brokers(&image),
            cluster_id: Some(image.cluster_id().to_owned()),
            controller_id: state.node_id().0,
            topics,
            cluster_authorized_operations: authorized(
                request.include_cluster_authorized_operations,
                ALL_CLUSTER_OPERATIONS,
            ),
            ..Default::default()
        }
        .into()
    }
}

fn brokers(image: &MetadataImage) -> Vec<MetadataResponseBroker> {
    image
        .brokers()
        .map(|broker| MetadataResponseBroker {
            node_id: broker.id.0,
            host: broker.host.clone(),
            port: broker.port.into(),
            rack: broker.rack.clone(),
        })
        .collect()
}

async fn describe_asked(
    state: &Arc<BrokerState>,
    asked: Vec<MetadataRequestTopic>,
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let image = state.image();
    let mut creations_left = CREATIONS_MAX;
    let mut described = Vec::new();
    let mut named = HashSet::new();
    let mut pace = Pace::default();
    for MetadataRequestTopic { topic_id, name } in asked {
        pace.next().await;
        if !named.insert((topic_id, name.clone())) {
            // As Kafka, which makes a set of them.
            continue;
        }
        let found = if topic_id.is_nil() {
            image.topic(name.as_deref().unwrap_or_default())
        } else {
            image.topic_by_id(topic_id)
        };
        described.push(match (found, name) {
            (Some(topic), _) => describe(state, topic),
            (None, Some(name)) if topic_id.is_nil() && may_create && creations_left > 0 => {
                creations_left -= 1;
                match auto_create(state, &name).await {
                    Ok(topic) => describe(state, &topic),
                    Err(error) => failed(Some(name), error.code),
                }
            }
            (None, Some(name)) if topic_id.is_nil() => {
                let code = crate::topics::why_unknown(&name);
                failed(Some(name), code)
            }
            (None, _) => MetadataResponseTopic {
                topic_id,
                ..failed(None, ErrorCode::UnknownTopicId)
            },
        });
    }
    described
}

/// Topics that one request may bring about; the client asks again for more.
const CREATIONS_MAX: usize = 1000;

/// Creates a topic because a client asked for it, as librdkafka, Connect and
/// Streams expect. Another client may do so at the same time.
async fn auto_create(state: &Arc<BrokerState>, name: &str) -> Result<Arc<Topic>, ApiError> {
    let request = state
        .internal_topic(name)
        // A coordinator creates these with its own settings.
        .unwrap_or_else(|| TopicRequest::named(name));
    // A name that cannot be must not cost a change of the metadata.
    let created = match state.validate_topic(request.clone()) {
        Ok(_) => state.create_topic(request).await,
        Err(error) => Err(error),
    };
    match created {
        Err(error) if error.code == ErrorCode::TopicAlreadyExists => state
            .image()
            .topic(name)
            .cloned()
            .ok_or_else(|| ApiError::unknown_topic(name)),
        other => other,
    }
}

fn describe(state: &BrokerState, topic: &Topic) -> MetadataResponseTopic {
    let partitions = Serving::new(state, topic)
        .partitions(0, usize::MAX)
        .map(|partition| MetadataResponsePartition {
            error_code: partition.error_code,
            partition_index: partition.partition_index,
            leader_id: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replica_nodes,
            isr_nodes: partition.isr_nodes,
            offline_replicas: partition.offline_replicas,
        })
        .collect();
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.internal,
        partitions,
        ..Default::default()
    }
}

fn failed(name: Option<String>, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.into(),
        name,
        ..Default::default()
    }
}
