//! InitProducerId (key 22): gives a producer its id and epoch.
//!
//! Version 3 lets a producer keep its id after an error (KIP-360).

crate::message! {
    /// Gives a producer its id and epoch: what the client asks.
    pub struct InitProducerIdRequest(0-5, flexible 2+) {
        /// Transactional id; null for a producer that is only idempotent.
        transactional_id: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Milliseconds after which an open transaction is aborted.
        transaction_timeout_ms: i32 [0+],
        /// The id that the producer has, to go on with it; -1 for a new one (KIP-360).
        producer_id: i64 [3+, default(-1)],
        /// The epoch that the producer has, to go on with it; -1 for a new one (KIP-360).
        producer_epoch: i16 [3+, default(-1)],
    }
}

crate::message! {
    /// What the broker answers to [`InitProducerIdRequest`].
    pub struct InitProducerIdResponse(0-5, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Producer id.
        producer_id: i64 [0+, default(-1)],
        /// Producer epoch.
        producer_epoch: i16 [0+],
    }
}
