//! ListTransactions (key 66): lists transactions (KIP-664).

crate::message! {
    /// Lists transactions (KIP-664): what the client asks.
    pub struct ListTransactionsRequest(0-2, flexible 0+) {
        /// Only these states; empty for all.
        state_filters: Vec<String> [0+],
        /// Only these producer ids; empty for all.
        producer_id_filters: Vec<i64> [0+],
        /// Only transactions that have run for longer than this, in milliseconds; -1 for all.
        duration_filter: i64 [1+, default(-1)],
        /// Only ids that match this pattern (RE2); null for all (KIP-1152).
        transactional_id_pattern: Option<String> [2+, nullable(2+)],
    }
}

crate::message! {
    /// What the broker answers to [`ListTransactionsRequest`].
    pub struct ListTransactionsResponse(0-2, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Filters that name no state.
        unknown_state_filters: Vec<String> [0+],
        /// Transactions.
        transaction_states: Vec<TransactionState> [0+],
    }

    /// One of the `transaction_states` of [`ListTransactionsResponse`].
    pub struct TransactionState {
        /// Transactional id.
        transactional_id: String [0+],
        /// Producer id.
        producer_id: i64 [0+],
        /// State of the transaction.
        transaction_state: String [0+],
    }
}
