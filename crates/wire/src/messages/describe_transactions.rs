//! DescribeTransactions (key 65): describes transactions (KIP-664).

crate::message! {
    /// Describes transactions (KIP-664): what the client asks.
    pub struct DescribeTransactionsRequest(0-0, flexible 0+) {
        /// Transactional ids to describe.
        transactional_ids: Vec<String> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeTransactionsRequest`].
    pub struct DescribeTransactionsResponse(0-0, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Transactions.
        transaction_states: Vec<TransactionState> [0+],
    }

    /// One of the `transaction_states` of [`DescribeTransactionsResponse`].
    pub struct TransactionState {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Transactional id.
        transactional_id: String [0+],
        /// State of the transaction.
        transaction_state: String [0+],
        /// Milliseconds after which an open transaction is aborted.
        transaction_timeout_ms: i32 [0+],
        /// When it began, in milliseconds since 1970; -1 without an open one.
        transaction_start_time_ms: i64 [0+],
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer epoch.
        producer_epoch: i16 [0+],
        /// Topics.
        topics: Vec<TopicData> [0+],
    }

    /// One of the `topics` of [`TransactionState`].
    pub struct TopicData {
        /// Topic name.
        topic: String [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}
