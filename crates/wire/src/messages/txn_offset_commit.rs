//! TxnOffsetCommit (key 28): commits offsets of a group in a transaction.
//!
//! Version 5 adds the group to the transaction by itself (KIP-890).

crate::message! {
    /// Commits offsets of a group in a transaction: what the client asks.
    pub struct TxnOffsetCommitRequest(0-5, flexible 3+) {
        /// Transactional id.
        transactional_id: String [0+],
        /// Id of the group.
        group_id: String [0+],
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer epoch.
        producer_epoch: i16 [0+],
        /// Generation of the classic group or epoch of the member (KIP-848); -1 for a commit from
        /// outside the group.
        generation_id_or_member_epoch: i32 [3+, default(-1)],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [3+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+)],
        /// Topics.
        topics: Vec<TxnOffsetCommitRequestTopic> [0+],
    }

    /// One of the `topics` of [`TxnOffsetCommitRequest`].
    pub struct TxnOffsetCommitRequestTopic {
        /// Topic name.
        name: String [0+, ignorable],
        /// Partitions.
        partitions: Vec<TxnOffsetCommitRequestPartition> [0+],
    }

    /// One of the `partitions` of [`TxnOffsetCommitRequestTopic`].
    pub struct TxnOffsetCommitRequestPartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Offset of the next record to read; -1 when none is committed.
        committed_offset: i64 [0+],
        /// Leader epoch of the last record read; -1 is unknown.
        committed_leader_epoch: i32 [2+, default(-1), ignorable],
        /// Free text that comes back with the offset.
        committed_metadata: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`TxnOffsetCommitRequest`].
    pub struct TxnOffsetCommitResponse(0-5, flexible 3+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Topics.
        topics: Vec<TxnOffsetCommitResponseTopic> [0+],
    }

    /// One of the `topics` of [`TxnOffsetCommitResponse`].
    pub struct TxnOffsetCommitResponseTopic {
        /// Topic name.
        name: String [0+, ignorable],
        /// Partitions.
        partitions: Vec<TxnOffsetCommitResponsePartition> [0+],
    }

    /// One of the `partitions` of [`TxnOffsetCommitResponseTopic`].
    pub struct TxnOffsetCommitResponsePartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
