//! The records of `__transaction_state`, as Kafka writes them.

crate::message! {
    /// The key of a transactional id.
    pub struct TransactionLogKey(0-0) {
        /// Transactional id.
        transactional_id: String [0+],
    }
}

crate::message! {
    /// The state of a transactional id.
    pub struct TransactionLogValue(0-1, flexible 1+) {
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer id of the last finished transaction, after the id was replaced (KIP-890).
        previous_producer_id: i64 [1+, tag(0), default(-1)],
        /// Producer id that the client is to use next (KIP-890).
        next_producer_id: i64 [1+, tag(1), default(-1)],
        /// Producer epoch.
        producer_epoch: i16 [0+],
        /// Producer epoch of the next producer id (KIP-890); -1 is none.
        next_producer_epoch: i16 [1+, tag(3), default(-1)],
        /// Milliseconds after which an open transaction is aborted.
        transaction_timeout_ms: i32 [0+],
        /// State: 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5
        /// complete abort, 6 dead, 7 prepare epoch fence.
        transaction_status: i8 [0+],
        /// Partitions in it; null when there are none.
        transaction_partitions: Option<Vec<PartitionsSchema>> [0+, nullable(0+), default(Some(Vec::new()))],
        /// When it last changed, in milliseconds since 1970.
        transaction_last_update_timestamp_ms: i64 [0+],
        /// When it began, in milliseconds since 1970; -1 without an open one.
        transaction_start_timestamp_ms: i64 [0+],
        /// `transaction.version` that the client uses (KIP-890).
        client_transaction_version: i16 [1+, tag(2)],
    }

    /// One of the `transaction_partitions` of [`TransactionLogValue`].
    pub struct PartitionsSchema {
        /// Topic name.
        topic: String [0+],
        /// Partition numbers.
        partition_ids: Vec<i32> [0+],
    }
}
