//! EndTxn (26): commits or aborts a transaction.

use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::task::started;
use crate::txn::{FencedAs, Producer, TxnOutcome};
use millstream_core::ids::{ProducerEpoch, ProducerId};
use millstream_wire::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use std::ops::RangeInclusive;

/// EndTxn.
pub(super) struct EndTxn;

impl Handler for EndTxn {
    type Request = EndTxnRequest;
    // Version 5 bumps the epoch: transaction.version 2.
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(context: RequestContext, request: EndTxnRequest) -> Answer<EndTxnResponse> {
        let fenced = FencedAs::by_version(context.api_version, 2);
        let producer = Producer {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
        };
        let outcome = if request.committed {
            TxnOutcome::Commit
        } else {
            TxnOutcome::Abort
        };
        let transactions = context.state.txns().clone();
        let id = request.transactional_id;
        let answer = started(async move { transactions.end(&id, producer, outcome).await }).await;
        Answer::later(async move {
            let error_code = crate::txn::code_of(&answer.await, fenced);
            EndTxnResponse {
                error_code,
                ..Default::default()
            }
        })
    }
}
