//! ListConfigResources (74): what there is that has settings (KIP-1142).
//!
//! Topics, groups and the broker have; client metrics (KIP-714) have none here,
//! and a broker's loggers cannot be set by clients.

use super::describe_configs::{RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC};
use super::{Answer, Handler};
use crate::state::RequestContext;
use millstream_wire::ErrorCode;
use millstream_wire::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Types that Kafka knows: topic, broker, broker logger, client metrics,
/// group.
const RESOURCE_TYPES: [i8; 5] = [
    RESOURCE_TOPIC,
    RESOURCE_BROKER,
    8,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
];
const RESOURCE_CLIENT_METRICS: i8 = 16;

/// ListConfigResources.
pub(super) struct ListConfigResources;

impl Handler for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: RequestContext,
        request: ListConfigResourcesRequest,
    ) -> Answer<ListConfigResourcesResponse> {
        let types: BTreeSet<i8> = match request.resource_types {
            // Version 0 is about client metrics only.
            _ if context.api_version == 0 => BTreeSet::from([RESOURCE_CLIENT_METRICS]),
            asked if asked.is_empty() => BTreeSet::from(RESOURCE_TYPES),
            asked => asked.into_iter().collect(),
        };
        if types.iter().any(|kind| !RESOURCE_TYPES.contains(kind)) {
            return ListConfigResourcesResponse {
                error_code: ErrorCode::UnsupportedVersion.into(),
                ..Default::default()
            }
            .into();
        }
        let image = context.state.image();
        let mut config_resources = Vec::new();
        if types.contains(&RESOURCE_TOPIC) {
            config_resources.extend(image.topics().map(|topic| ConfigResource {
                resource_name: topic.name.to_string(),
                resource_type: RESOURCE_TOPIC,
            }));
        }
        if types.contains(&RESOURCE_BROKER) {
            config_resources.extend(image.brokers().map(|broker| ConfigResource {
                resource_name: broker.id.0.to_string(),
                resource_type: RESOURCE_BROKER,
            }));
        }
        if types.contains(&RESOURCE_GROUP) {
            config_resources.extend(image.configured_groups().map(|id| ConfigResource {
                resource_name: id.to_owned(),
                resource_type: RESOURCE_GROUP,
            }));
        }
        ListConfigResourcesResponse {
            config_resources,
            ..Default::default()
        }
        .into()
    }
}
