//! IncrementalAlterConfigs (44): changes settings of topics and brokers
//! (KIP-339).

use super::describe_configs::{
    RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC, check_broker, check_group, without_settings,
};
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::{refuse_job_state, unknown};
use millstream_cluster::configs::{self, ConfigDef, broker_config, group_config, topic_config};
use millstream_cluster::image::ConfigMap;
use millstream_cluster::{Command, ConfigChange, ConfigOp, ConfigResource};
use millstream_wire::ErrorCode;
use millstream_wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// IncrementalAlterConfigs.
pub(super) struct IncrementalAlterConfigs;

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: RequestContext,
        request: IncrementalAlterConfigsRequest,
    ) -> Answer<IncrementalAlterConfigsResponse> {
        let names = request.resources.iter();
        let repeated = repeated(names.map(|r| (r.resource_type, r.resource_name.as_str())));
        let mut responses = Vec::with_capacity(request.resources.len());
        for (resource, repeated) in request.resources.into_iter().zip(repeated) {
            let altered = match repeated {
                Some(error) => Err(error),
                None => alter(&context.state, &resource, request.validate_only).await,
            };
            let (error_code, error_message) = match altered {
                Ok(()) => (0, None),
                Err(error) => (error.code.into(), Some(error.message)),
            };
            responses.push(AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            });
        }
        IncrementalAlterConfigsResponse {
            responses,
            ..Default::default()
        }
        .into()
    }
}

async fn alter(
    state: &Arc<BrokerState>,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    let mut named = HashSet::new();
    if let Some(again) = resource.configs.iter().find(|c| !named.insert(&c.name)) {
        let message = format!("'{}' is named twice", again.name);
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let changes = resource
        .configs
        .iter()
        .map(change)
        .collect::<Result<Vec<_>, _>>()?;
    let target = target(state, resource.resource_type, &resource.resource_name)?;
    let changes = from_defaults(state, &target, changes)?;
    apply(state, target, changes, validate_only).await
}

/// A resource that a request names more than once has no last word: Kafka
/// refuses each mention.
pub(super) fn repeated<'a>(
    names: impl Iterator<Item = (i8, &'a str)> + Clone,
) -> Vec<Option<ApiError>> {
    let mut counts: HashMap<(i8, &str), usize> = HashMap::new();
    for name in names.clone() {
        *counts.entry(name).or_default() += 1;
    }
    let refuse = || ApiError::new(ErrorCode::InvalidRequest, "the resource is named twice");
    names
        .map(|name| (counts.get(&name) > Some(&1)).then(refuse))
        .collect()
}

/// Checks the settings as they will be, and changes them.
pub(super) async fn apply(
    state: &Arc<BrokerState>,
    target: ConfigResource,
    changes: Vec<ConfigChange>,
    validate_only: bool,
) -> Result<(), ApiError> {
    // The value after the change is checked here; the machine applies the
    // change itself, so that of two that race none is lost.
    let (current, def_of) = current(state, &target)?;
    let changes: Vec<_> = changes
        .into_iter()
        .map(|change| as_kept(change, def_of))
        .collect();
    let after = configs::preview(&current, &changes, def_of)?;
    match target {
        ConfigResource::Topic(_) => configs::check_topic_configs(&after)?,
        ConfigResource::Broker(_) | ConfigResource::Cluster => {
            configs::check_broker_configs(&after)?;
        }
        ConfigResource::Group(_) => {
            let image = state.image();
            state.configs(&image).check_group_configs(&after)?;
        }
    }
    if !validate_only {
        state
            .alter(Command::AlterConfigs {
                resource: target,
                changes,
            })
            .await?;
    }
    Ok(())
}

fn as_kept(change: ConfigChange, def_of: DefOf) -> ConfigChange {
    let op = match change.op {
        ConfigOp::Set(value) => {
            ConfigOp::Set(configs::canonical_value(def_of(&change.name), &value))
        }
        other => other,
    };
    ConfigChange { op, ..change }
}

pub(super) fn target(
    state: &BrokerState,
    resource_type: i8,
    name: &str,
) -> Result<ConfigResource, ApiError> {
    match resource_type {
        RESOURCE_TOPIC => {
            check_topic(name)?;
            refuse_job_state("", name, "given other settings")?;
            Ok(ConfigResource::Topic(name.to_owned()))
        }
        RESOURCE_BROKER => {
            check_broker(state, name)?;
            Ok(if name.is_empty() {
                ConfigResource::Cluster
            } else {
                ConfigResource::Broker(state.node_id())
            })
        }
        RESOURCE_GROUP => {
            check_group(name)?;
            Ok(ConfigResource::Group(name.to_owned()))
        }
        other => Err(without_settings(other)),
    }
}

fn check_topic(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        let message = "there are no settings of all topics: name one";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let error = unknown(name);
    match error.code {
        ErrorCode::InvalidTopicException => Err(error),
        _ => Ok(()),
    }
}

/// A list that was never set is appended to as its default is: compaction
/// added to `delete` is `delete,compact`, as in Kafka.
fn from_defaults(
    state: &BrokerState,
    target: &ConfigResource,
    changes: Vec<ConfigChange>,
) -> Result<Vec<ConfigChange>, ApiError> {
    let (current, def_of) = current(state, target)?;
    let image = state.image();
    let view = state.configs(&image);
    let mut resolved = Vec::with_capacity(changes.len());
    for change in changes {
        let on_list = matches!(change.op, ConfigOp::Append(_) | ConfigOp::Subtract(_));
        if on_list
            && !current.contains_key(&change.name)
            && let Some(def) = def_of(&change.name)
        {
            let default = match target {
                ConfigResource::Topic(_) => view.topic(&ConfigMap::new(), def),
                ConfigResource::Broker(_) | ConfigResource::Cluster => view.broker(def),
                ConfigResource::Group(_) => view.group(&ConfigMap::new(), def),
            };
            let op = ConfigOp::Set(default.value().to_owned());
            resolved.push(ConfigChange {
                name: change.name.clone(),
                op,
            });
        }
        resolved.push(change);
    }
    Ok(resolved)
}

pub(super) type DefOf = fn(&str) -> Option<&'static ConfigDef>;

pub(super) fn current(
    state: &BrokerState,
    target: &ConfigResource,
) -> Result<(ConfigMap, DefOf), ApiError> {
    let image = state.image();
    Ok(match target {
        ConfigResource::Topic(name) => {
            let topic = image
                .topic(name)
                .ok_or_else(|| ApiError::unknown_topic(name))?;
            (ConfigMap::clone(&topic.configs), topic_config)
        }
        ConfigResource::Broker(id) => (
            image.broker_configs(*id).cloned().unwrap_or_default(),
            broker_config,
        ),
        ConfigResource::Cluster => (ConfigMap::clone(image.cluster_configs()), broker_config),
        ConfigResource::Group(id) => (
            image.group_configs(id).cloned().unwrap_or_default(),
            group_config,
        ),
    })
}

fn change(config: &AlterableConfig) -> Result<ConfigChange, ApiError> {
    let value = || {
        config.value.clone().ok_or_else(|| {
            ApiError::new(
                ErrorCode::InvalidRequest,
                format!("'{}' needs a value", config.name),
            )
        })
    };
    let op = match config.config_operation {
        0 => ConfigOp::Set(value()?),
        1 => ConfigOp::Delete,
        2 => ConfigOp::Append(value()?),
        3 => ConfigOp::Subtract(value()?),
        other => {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format!("operation {other}: 0 to 3 (set, delete, append, subtract) are known"),
            ));
        }
    };
    Ok(ConfigChange {
        name: config.name.clone(),
        op,
    })
}
