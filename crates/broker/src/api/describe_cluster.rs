//! DescribeCluster (60): the cluster's id and its brokers.

use super::{Answer, Handler};
use crate::state::RequestContext;
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use std::ops::RangeInclusive;

/// KIP-919: the caller means the brokers, not the controllers.
const ENDPOINT_BROKERS: i8 = 1;

/// DescribeCluster.
pub(super) struct DescribeCluster;

impl Handler for DescribeCluster {
    type Request = DescribeClusterRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: DescribeClusterRequest,
    ) -> Answer<DescribeClusterResponse> {
        if request.endpoint_type != ENDPOINT_BROKERS {
            return DescribeClusterResponse {
                error_code: ErrorCode::MismatchedEndpointType.into(),
                error_message: Some("this listener serves brokers, not controllers".into()),
                ..Default::default()
            }
            .into();
        }
        let image = context.state.image();
        let brokers = image
            .brokers()
            .map(|broker| DescribeClusterBroker {
                broker_id: broker.id.0,
                host: broker.host.clone(),
                port: broker.port.into(),
                rack: broker.rack.clone(),
                is_fenced: false,
            })
            .collect();
        DescribeClusterResponse {
            cluster_id: image.cluster_id().to_owned(),
            controller_id: context.state.node_id().0,
            brokers,
            cluster_authorized_operations: authorized(
                request.include_cluster_authorized_operations,
                super::ALL_CLUSTER_OPERATIONS,
            ),
            ..Default::default()
        }
        .into()
    }
}

/// KIP-430: the operations as bits, or the lowest number when not asked for.
pub(super) fn authorized(asked: bool, operations: i32) -> i32 {
    if asked { operations } else { i32::MIN }
}
