//! ApiVersions (18): what this broker serves, from the one list.

use super::{APIS, Answer, CallError, Handler, RawAnswer, features};
use crate::state::RequestContext;
use millstream_wire::ErrorCode;
use millstream_wire::frame::encode_response;
use millstream_wire::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse,
};
use std::ops::RangeInclusive;

/// The client means no broker in particular.
const NODE_ANY: i32 = -1;

/// ApiVersions.
pub(super) struct ApiVersions;

impl Handler for ApiVersions {
    type Request = ApiVersionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: ApiVersionsRequest,
    ) -> Answer<ApiVersionsResponse> {
        // KIP-511: names go into metrics and logs, so their form is fixed.
        if context.api_version >= 3
            && !(is_software_name(&request.client_software_name)
                && is_software_name(&request.client_software_version))
        {
            let error_code = ErrorCode::InvalidRequest.into();
            return ApiVersionsResponse {
                error_code,
                ..Default::default()
            }
            .into();
        }
        tracing::debug!(
            peer = %context.connection.peer,
            software = request.client_software_name,
            version = request.client_software_version,
            "client"
        );
        // KIP-1242: a client that was led here by stale addresses learns it
        // before it takes this broker for another.
        let image = context.state.image();
        let elsewhere = request
            .cluster_id
            .is_some_and(|id| id != image.cluster_id())
            || (request.node_id != NODE_ANY && request.node_id != context.state.node_id().0);
        if elsewhere {
            return ApiVersionsResponse {
                error_code: ErrorCode::RebootstrapRequired.into(),
                ..Default::default()
            }
            .into();
        }
        let version = image.version();
        ApiVersionsResponse {
            api_keys: all(),
            supported_features: features::supported(context.api_version),
            // Kafka's is the offset of the metadata it knows, too.
            finalized_features_epoch: i64::try_from(version).unwrap_or(i64::MAX),
            finalized_features: features::finalized(),
            ..Default::default()
        }
        .into()
    }
}

/// The answer to a version that is not served: body and header of version 0,
/// error 35 and this API's range, so that the client can ask again (KIP-511).
pub(crate) fn unsupported_version(correlation_id: i32) -> Result<RawAnswer, CallError> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.into(),
        api_keys: all(),
        ..Default::default()
    };
    Ok(RawAnswer::Now(encode_response(
        &response,
        0,
        correlation_id,
    )?))
}

fn all() -> Vec<ApiVersion> {
    APIS.iter()
        .map(|api| ApiVersion {
            api_key: api.key.code(),
            min_version: api.announced_from,
            max_version: api.version_max,
        })
        .collect()
}

/// Letters, digits, '-' and '.', beginning and ending with one of the first
/// two.
fn is_software_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    name.bytes().all(inner) && outer(name.as_bytes().first()) && outer(name.as_bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_those_of_kip_511() {
        for good in ["librdkafka", "apache-kafka-java", "1.2.3-rc1"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-x", "x.", "a b", "订单"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
