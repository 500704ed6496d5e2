//! AddPartitionsToTxn (key 24): adds partitions to a transaction.
//!
//! Version 4 is what brokers send each other, several transactions at once (KIP-890).

crate::message! {
    /// Adds partitions to a transaction: what the client asks.
    pub struct AddPartitionsToTxnRequest(0-5, flexible 3+) {
        /// Transactions (KIP-890).
        transactions: Vec<AddPartitionsToTxnTransaction> [4+],
        /// Transactional id.
        v3_and_below_transactional_id: String [0-3],
        /// Producer id.
        v3_and_below_producer_id: i64 [0-3],
        /// Producer epoch.
        v3_and_below_producer_epoch: i16 [0-3],
        /// Partitions to add, by topic.
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0-3],
    }

    /// One of the `transactions` of [`AddPartitionsToTxnRequest`].
    pub struct AddPartitionsToTxnTransaction {
        /// Transactional id.
        transactional_id: String [4+],
        /// Producer id.
        producer_id: i64 [4+],
        /// Producer epoch.
        producer_epoch: i16 [4+],
        /// Whether only to check that the partitions are in the transaction (KIP-890).
        verify_only: bool [4+],
        /// Topics.
        topics: Vec<AddPartitionsToTxnTopic> [4+],
    }

    /// One of the `topics` of [`AddPartitionsToTxnTransaction`].
    pub struct AddPartitionsToTxnTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`AddPartitionsToTxnRequest`].
    pub struct AddPartitionsToTxnResponse(0-5, flexible 3+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [4+, ignorable],
        /// One result for each transaction.
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4+],
        /// One result for each topic.
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0-3],
    }

    /// One of the `results_by_transaction` of [`AddPartitionsToTxnResponse`].
    pub struct AddPartitionsToTxnResult {
        /// Transactional id.
        transactional_id: String [4+],
        /// One result for each topic.
        topic_results: Vec<AddPartitionsToTxnTopicResult> [4+],
    }

    /// One of the `topic_results` of [`AddPartitionsToTxnResult`].
    pub struct AddPartitionsToTxnTopicResult {
        /// Topic name.
        name: String [0+],
        /// One result for each partition.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0+],
    }

    /// One of the `results_by_partition` of [`AddPartitionsToTxnTopicResult`].
    pub struct AddPartitionsToTxnPartitionResult {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        partition_error_code: i16 [0+],
    }
}
