//! DescribeConfigs (32): settings of topics, brokers and groups, with their
//! sources.

use super::items::Pace;
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::group::GROUP_ID_BYTES_MAX;
use crate::state::{BrokerState, RequestContext};
use millstream_cluster::configs::{
    BROKER_CONFIGS, ConfigDef, ConfigSource, ConfigType, GROUP_CONFIGS, ResolvedConfig,
    TOPIC_CONFIGS,
};
use millstream_cluster::image::ConfigMap;
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Resource types of the protocol (`ConfigResource.Type`).
pub(super) const RESOURCE_TOPIC: i8 = 2;
pub(super) const RESOURCE_BROKER: i8 = 4;
pub(super) const RESOURCE_GROUP: i8 = 32;

/// DescribeConfigs.
pub(super) struct DescribeConfigs;

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    async fn handle(
        context: RequestContext,
        request: DescribeConfigsRequest,
    ) -> Answer<DescribeConfigsResponse> {
        let wanted = Wanted {
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let mut pace = Pace::default();
        let mut named = HashSet::new();
        let mut results = Vec::new();
        let mut described = 0;
        for resource in request.resources {
            pace.next().await;
            if !named.insert((resource.resource_type, resource.resource_name.clone())) {
                continue;
            }
            let outcome = match described < DESCRIBED_MAX {
                true => describe(&context.state, &resource, wanted),
                false => Err(too_many()),
            };
            let (error_code, error_message, configs) = match outcome {
                Ok(configs) => (0, None, configs),
                Err(error) => (error.code.into(), Some(error.message), Vec::new()),
            };
            described += configs.len();
            results.push(DescribeConfigsResult {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs,
            });
        }
        DescribeConfigsResponse {
            results,
            ..Default::default()
        }
        .into()
    }
}

/// Settings that one answer tells, about 100 MiB: those of 10,000 topics.
const DESCRIBED_MAX: usize = 400_000;

fn too_many() -> ApiError {
    let message =
        format!("an answer tells about {DESCRIBED_MAX} settings at most: ask in several requests");
    ApiError::new(ErrorCode::InvalidRequest, message)
}

#[derive(Clone, Copy)]
struct Wanted {
    synonyms: bool,
    documentation: bool,
}

fn describe(
    state: &BrokerState,
    resource: &DescribeConfigsResource,
    wanted: Wanted,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    let image = state.image();
    let view = state.configs(&image);
    let keys = resource.configuration_keys.as_deref();
    // Null keys mean all; an empty list is what older clients send for all.
    let asked = |def: &&'static ConfigDef| {
        keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == def.name))
    };
    match resource.resource_type {
        RESOURCE_TOPIC => {
            let name = &resource.resource_name;
            let topic = image
                .topic(name)
                .ok_or_else(|| crate::topics::unknown(name))?;
            let resolve = |def| result(&view.topic(&topic.configs, def), wanted);
            Ok(TOPIC_CONFIGS.iter().filter(asked).map(resolve).collect())
        }
        RESOURCE_BROKER => {
            check_broker(state, &resource.resource_name)?;
            let all = BROKER_CONFIGS.iter().filter(asked);
            if !resource.resource_name.is_empty() {
                return Ok(all.map(|def| result(&view.broker(def), wanted)).collect());
            }
            // The empty name stands for all brokers: only what was set there,
            // as Kafka answers.
            Ok(all
                .map(|def| {
                    let mut resolved = view.broker(def);
                    resolved
                        .values
                        .retain(|v| v.source == ConfigSource::DynamicDefaultBroker);
                    resolved
                })
                .filter(|resolved| !resolved.values.is_empty())
                .map(|resolved| result(&resolved, wanted))
                .collect())
        }
        RESOURCE_GROUP => {
            check_group(&resource.resource_name)?;
            // A group needs not be there to have settings.
            let none = ConfigMap::new();
            let configs = image.group_configs(&resource.resource_name);
            let resolve = |def| result(&view.group(configs.unwrap_or(&none), def), wanted);
            Ok(GROUP_CONFIGS.iter().filter(asked).map(resolve).collect())
        }
        other => Err(without_settings(other)),
    }
}

/// The answer about a resource of another type.
pub(super) fn without_settings(resource_type: i8) -> ApiError {
    let message = format!(
        "resource type {resource_type} has no settings here: topics (2), brokers (4) and groups (32) have"
    );
    ApiError::new(ErrorCode::InvalidRequest, message)
}

/// There are no settings of all groups, but the broker's `group.consumer.*`.
pub(super) fn check_group(id: &str) -> Result<(), ApiError> {
    if id.is_empty() {
        let message = "name the group: what holds for all of them is the broker's group.consumer.*";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if id.len() > GROUP_ID_BYTES_MAX {
        let message = format!("a group id has at most {GROUP_ID_BYTES_MAX} bytes");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// Only this broker can answer for itself.
pub(super) fn check_broker(state: &BrokerState, name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.parse() == Ok(state.node_id().0) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::InvalidRequest,
        format!("this is broker {}, not '{name}'", state.node_id()),
    ))
}

fn result(resolved: &ResolvedConfig, wanted: Wanted) -> DescribeConfigsResourceResult {
    let def = resolved.def;
    let shown = |value: &str| (!def.sensitive).then(|| value.to_owned());
    let synonyms = resolved
        .values
        .iter()
        .filter(|_| wanted.synonyms)
        .map(|value| DescribeConfigsSynonym {
            name: value.name.to_owned(),
            value: shown(&value.value),
            source: source_code(value.source),
        });
    DescribeConfigsResourceResult {
        name: def.name.to_owned(),
        value: shown(resolved.value()),
        read_only: !def.dynamic,
        config_source: source_code(resolved.source()),
        is_sensitive: def.sensitive,
        synonyms: synonyms.collect(),
        config_type: type_code(def.kind),
        documentation: wanted.documentation.then(|| def.doc.to_owned()),
    }
}

/// `DescribeConfigsResponse.ConfigSource` of Kafka.
pub(super) fn source_code(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::DynamicTopic => 1,
        ConfigSource::DynamicBroker => 2,
        ConfigSource::DynamicDefaultBroker => 3,
        ConfigSource::StaticBroker => 4,
        ConfigSource::Default => 5,
        ConfigSource::DynamicGroup => 8,
    }
}

/// `DescribeConfigsResponse.ConfigType` of Kafka (KIP-569).
fn type_code(kind: ConfigType) -> i8 {
    match kind {
        ConfigType::Boolean => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Short => 4,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
    }
}
