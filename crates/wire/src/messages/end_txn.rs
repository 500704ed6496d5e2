//! EndTxn (key 26): commits or aborts a transaction.
//!
//! Version 5 answers with the next producer epoch (KIP-890).

crate::message! {
    /// Commits or aborts a transaction: what the client asks.
    pub struct EndTxnRequest(0-5, flexible 3+) {
        /// Transactional id.
        transactional_id: String [0+],
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer epoch.
        producer_epoch: i16 [0+],
        /// Whether to commit; otherwise the transaction is aborted.
        committed: bool [0+],
    }
}

crate::message! {
    /// What the broker answers to [`EndTxnRequest`].
    pub struct EndTxnResponse(0-5, flexible 3+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Producer id.
        producer_id: i64 [5+, default(-1), ignorable],
        /// Producer epoch.
        producer_epoch: i16 [5+, default(-1), ignorable],
    }
}
