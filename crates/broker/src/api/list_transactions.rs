//! ListTransactions (66).

use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::txn::{FencedAs, TxnListing, TxnState};
use millstream_wire::ErrorCode;
use millstream_wire::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState,
};
use regex::{Regex, RegexBuilder};
use std::ops::RangeInclusive;

/// Memory that a pattern may take when compiled; matching it takes time in
/// proportion to the ids only.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// ListTransactions.
pub(super) struct ListTransactions;

impl Handler for ListTransactions {
    type Request = ListTransactionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: ListTransactionsRequest,
    ) -> Answer<ListTransactionsResponse> {
        let pattern = match request.transactional_id_pattern.as_deref() {
            Some(pattern) if !pattern.is_empty() => match whole_id(pattern) {
                Ok(pattern) => Some(pattern),
                Err(_) => {
                    return ListTransactionsResponse {
                        error_code: ErrorCode::InvalidRegularExpression.code(),
                        ..Default::default()
                    }
                    .into();
                }
            },
            _ => None,
        };
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
            .filter(|listing| pattern.as_ref().is_none_or(|p| p.is_match(&listing.id)))
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

/// KIP-1152: a pattern in RE2's syntax, matched with the whole id.
fn whole_id(pattern: &str) -> Result<Regex, regex::Error> {
    // By itself first: `a)|(b` holds within the parentheses only.
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()?;
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
}

fn is_wanted(listing: &TxnListing, request: &ListTransactionsRequest, now_ms: i64) -> bool {
    let by_state = request.state_filters.is_empty()
        || request
            .state_filters
            .iter()
            .any(|name| name == listing.state.name());
    let by_producer = request.producer_id_filters.is_empty()
        || request.producer_id_filters.contains(&listing.producer.id.0);
    // KIP-994. As in Kafka it goes by the start of the open or last
    // transaction, and an id that has not begun one is older than any filter.
    let started_ms = listing.started_ms.unwrap_or(-1);
    let by_duration =
        request.duration_filter < 0 || now_ms.saturating_sub(started_ms) > request.duration_filter;
    by_state && by_producer && by_duration && listing.state != TxnState::Dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_the_whole_id_and_a_bad_one_is_refused() {
        let pattern = whole_id("job-[0-9]+|x").unwrap();
        assert!(pattern.is_match("job-12") && pattern.is_match("x"));
        assert!(!pattern.is_match("my-job-12") && !pattern.is_match("job-12a"));
        for bad in ["(", "a)|(b", "a{9999999}"] {
            assert!(whole_id(bad).is_err(), "{bad}");
        }
    }
}
