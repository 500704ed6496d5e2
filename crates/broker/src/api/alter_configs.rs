//! AlterConfigs (33): replaces all settings of topics and brokers. Deprecated
//! since IncrementalAlterConfigs (KIP-339), and still what older tools send.
//!
//! What is not named goes back to its default. Of two requests that race one
//! may undo the other: that is why it is deprecated.

use super::incremental_alter_configs::{apply, current, repeated, target};
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use millstream_cluster::{ConfigChange, ConfigOp};
use millstream_wire::ErrorCode;
use millstream_wire::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// AlterConfigs.
pub(super) struct AlterConfigs;

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: AlterConfigsRequest,
    ) -> Answer<AlterConfigsResponse> {
        let names = request.resources.iter();
        let repeated = repeated(names.map(|r| (r.resource_type, r.resource_name.as_str())));
        let mut responses = Vec::with_capacity(request.resources.len());
        for (resource, repeated) in request.resources.into_iter().zip(repeated) {
            let altered = match repeated {
                Some(error) => Err(error),
                None => replace(&context.state, &resource, request.validate_only).await,
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
        AlterConfigsResponse {
            responses,
            ..Default::default()
        }
        .into()
    }
}

async fn replace(
    state: &Arc<BrokerState>,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    let mut named = BTreeSet::new();
    let mut changes = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        let invalid = |what: &str| {
            let message = format!("'{}' {what}", config.name);
            ApiError::new(ErrorCode::InvalidRequest, message)
        };
        let value = config
            .value
            .clone()
            .ok_or_else(|| invalid("needs a value"))?;
        if !named.insert(config.name.as_str()) {
            return Err(invalid("is named twice"));
        }
        changes.push(ConfigChange {
            name: config.name.clone(),
            op: ConfigOp::Set(value),
        });
    }
    let target = target(state, resource.resource_type, &resource.resource_name)?;
    let (current, _) = current(state, &target)?;
    let gone = current.keys().filter(|name| !named.contains(name.as_str()));
    changes.extend(gone.map(|name| ConfigChange {
        name: name.clone(),
        op: ConfigOp::Delete,
    }));
    apply(state, target, changes, validate_only).await
}
