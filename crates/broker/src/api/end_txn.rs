//! EndTxn (26): commits or aborts a transaction.
//!
//! From version 5 on (KIP-890) it bumps the producer's epoch and answers with
//! what the producer goes on as.

use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::task::started;
use crate::txn::{ClientVersion, FencedAs, Producer, TxnOutcome};
use millstream_core::ids::{ProducerEpoch, ProducerId};
use millstream_wire::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use std::ops::RangeInclusive;

/// EndTxn.
pub(super) struct EndTxn;

impl Handler for EndTxn {
    type Request = EndTxnRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(context: RequestContext, request: EndTxnRequest) -> Answer<EndTxnResponse> {
        let fenced = FencedAs::by_version(context.api_version, 2);
        let client = ClientVersion::by_version(context.api_version, 5);
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
        let work = async move { transactions.end(&id, producer, outcome, client).await };
        let answer = started(work).await;
        Answer::later(async move {
            match answer.await {
                Ok(next) => EndTxnResponse {
                    producer_id: next.id.0,
                    producer_epoch: next.epoch.0,
                    ..Default::default()
                },
                Err(error) => EndTxnResponse {
                    error_code: error.to_code(fenced).code(),
                    producer_id: -1,
                    producer_epoch: -1,
                    ..Default::default()
                },
            }
        })
    }
}
