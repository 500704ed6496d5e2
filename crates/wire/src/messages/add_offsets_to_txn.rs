//! AddOffsetsToTxn (key 25): adds the offsets of a group to a transaction.

crate::message! {
    /// Adds the offsets of a group to a transaction: what the client asks.
    pub struct AddOffsetsToTxnRequest(0-4, flexible 3+) {
        /// Transactional id.
        transactional_id: String [0+],
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer epoch.
        producer_epoch: i16 [0+],
        /// Id of the group.
        group_id: String [0+],
    }
}

crate::message! {
    /// What the broker answers to [`AddOffsetsToTxnRequest`].
    pub struct AddOffsetsToTxnResponse(0-4, flexible 3+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
