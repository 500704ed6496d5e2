//! InitProducerId (22): begins an idempotent or transactional producer.

use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::task::started;
use crate::txn::{FencedAs, Producer, TxnCoordinator, TxnError};
use millstream_core::ids::{ProducerEpoch, ProducerId};
use millstream_wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use std::ops::RangeInclusive;
use std::time::Duration;

/// InitProducerId.
pub(super) struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: InitProducerIdRequest,
    ) -> Answer<InitProducerIdResponse> {
        let fenced = FencedAs::by_version(context.api_version, 4);
        let transactions = context.state.txns().clone();
        let answer = started(async move { init(&transactions, request).await }).await;
        Answer::later(async move {
            match answer.await {
                Ok(producer) => InitProducerIdResponse {
                    producer_id: producer.id.0,
                    producer_epoch: producer.epoch.0,
                    ..Default::default()
                },
                Err(error) => InitProducerIdResponse {
                    error_code: error.to_code(fenced).code(),
                    producer_id: -1,
                    producer_epoch: -1,
                    ..Default::default()
                },
            }
        })
    }
}

async fn init(
    transactions: &TxnCoordinator,
    request: InitProducerIdRequest,
) -> Result<Producer, TxnError> {
    let Some(id) = request.transactional_id else {
        // Without transactions there is nothing to fence: always a new id.
        return transactions.init_idempotent().await;
    };
    let timeout =
        u64::try_from(request.transaction_timeout_ms).map_or(Duration::ZERO, Duration::from_millis);
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        // KIP-360: both or none.
        (-1, _) | (_, -1) => return Err(TxnError::InvalidRequest),
        (id, epoch) => Some(Producer {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
        }),
    };
    transactions.init_producer(&id, timeout, expected).await
}
