//! FindCoordinator (10): who coordinates a group or a transactional id.
//!
//! Creates `__consumer_offsets` or `__transaction_state` at first use.

use super::items::{Pace, once};
use super::{Answer, Handler};
use crate::group::GroupError;
use crate::journal::InternalTopic;
use crate::state::{BrokerState, RequestContext};
use crate::txn::{FencedAs, TxnError};
use millstream_cluster::MetadataImage;
use millstream_core::ids::PartitionId;
use millstream_wire::ErrorCode;
use millstream_wire::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use std::ops::RangeInclusive;

/// FindCoordinator.
pub(super) struct FindCoordinator;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    async fn handle(
        context: RequestContext,
        request: FindCoordinatorRequest,
    ) -> Answer<FindCoordinatorResponse> {
        if context.api_version >= 4 {
            let asked = once(request.coordinator_keys, |key| key);
            let mut coordinators = Vec::with_capacity(asked.len());
            let mut pace = Pace::default();
            for key in asked {
                pace.next().await;
                coordinators.push(find(&context.state, key, request.key_type).await);
            }
            return FindCoordinatorResponse {
                coordinators,
                ..Default::default()
            }
            .into();
        }
        let found = find(&context.state, request.key, request.key_type).await;
        FindCoordinatorResponse {
            error_code: found.error_code,
            error_message: found.error_message,
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..Default::default()
        }
        .into()
    }
}

async fn find(state: &BrokerState, key: String, key_type: i8) -> Coordinator {
    let partition = match key_type {
        0 => state.groups().partition_of(&key).await.map_err(group_error),
        1 => state.txns().partition_of(&key).await.map_err(txn_error),
        other => Err((
            ErrorCode::InvalidRequest,
            format!("key type {other} is not served"),
        )),
    };
    let topic = match key_type {
        0 => InternalTopic::ConsumerOffsets,
        _ => InternalTopic::TransactionState,
    };
    match partition.and_then(|partition| leader(&state.image(), topic, partition)) {
        Ok(found) => Coordinator { key, ..found },
        Err((code, message)) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        },
    }
}

fn leader(
    image: &MetadataImage,
    topic: InternalTopic,
    partition: i32,
) -> Result<Coordinator, (ErrorCode, String)> {
    let leader = image
        .partition(topic.name(), PartitionId(partition))
        .and_then(|p| p.leader);
    let Some(broker) = leader.and_then(|leader| image.broker(leader)) else {
        let message = format!("{topic}-{partition} has no leader");
        return Err((ErrorCode::CoordinatorNotAvailable, message));
    };
    Ok(Coordinator {
        node_id: broker.id.0,
        host: broker.host.clone(),
        port: broker.port.into(),
        error_message: None,
        ..Default::default()
    })
}

fn group_error(error: GroupError) -> (ErrorCode, String) {
    (error.into(), error.to_string())
}

fn txn_error(error: TxnError) -> (ErrorCode, String) {
    (error.to_code(FencedAs::ProducerFenced), error.to_string())
}
