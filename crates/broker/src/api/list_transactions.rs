//! ListTransactions (66).

use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::txn::{FencedAs, TxnListing, TxnState};
use millstream_wire::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState,
};
use std::ops::RangeInclusive;

/// ListTransactions.
pub(super) struct ListTransactions;

impl Handler for ListTransactions {
    type Request = ListTransactionsRequest;
    // Version 2 filters by a regular expression, which is not there yet.
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: RequestContext,
        request: ListTransactionsRequest,
    ) -> Answer<ListTransactionsResponse> {
        let list = match context.state.txns().list().await {
            Ok(list) => list,
            Err(error) => {
                let error_code = error.to_code(FencedAs::ProducerFenced).code();
                return ListTransactionsResponse {
                    error_code,
                    ..Default::default()
                }
                .into();
            }
        };
        if let Some(error) = list.incomplete {
            let error_code = error.to_code(FencedAs::ProducerFenced).code();
            return ListTransactionsResponse {
                error_code,
                ..Default::default()
            }
            .into();
        }
        let now_ms = context.state.clock().now_ms();
        let transaction_states = list
            .transactions
            .into_iter()
            .filter(|listing| is_wanted(listing, &request, now_ms))
            .map(|listing| TransactionState {
                transactional_id: listing.id,
                producer_id: listing.producer.id.0,
                transaction_state: listing.state.name().to_owned(),
            })
            .collect();
        let unknown_state_filters = request
            .state_filters
            .into_iter()
            .filter(|name| {
                (0..=6)
                    .filter_map(TxnState::from_code)
                    .all(|s| s.name() != name)
            })
            .collect();
        ListTransactionsResponse {
            transaction_states,
            unknown_state_filters,
            ..Default::default()
        }
        .into()
    }
}

fn is_wanted(listing: &TxnListing, request: &ListTransactionsRequest, now_ms: i64) -> bool {
    let by_state = request.state_filters.is_empty()
        || request
            .state_filters
            .iter()
            .any(|name| name == listing.state.name());
    let by_producer = request.producer_id_filters.is_empty()
        || request.producer_id_filters.contains(&listing.producer.id.0);
    // KIP-994: only transactions that have been open for longer than this.
    let by_duration = request.duration_filter < 0
        || listing
            .started_ms
            .is_some_and(|at| now_ms.saturating_sub(at) > request.duration_filter);
    by_state && by_producer && by_duration && listing.state != TxnState::Dead
}
