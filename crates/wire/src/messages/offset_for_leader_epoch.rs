//! OffsetForLeaderEpoch (key 23): finds where a leader epoch ends (KIP-101, KIP-320).

crate::message! {
    /// Finds where a leader epoch ends (KIP-101, KIP-320): what the client asks.
    pub struct OffsetForLeaderEpochRequest(2-4, flexible 4+) {
        /// Id of the follower; -1 for a consumer.
        replica_id: i32 [3+, default(-2), ignorable],
        /// Topics.
        topics: Vec<OffsetForLeaderTopic> [0+],
    }

    /// One of the `topics` of [`OffsetForLeaderEpochRequest`].
    pub struct OffsetForLeaderTopic {
        /// Topic name.
        topic: String [0+],
        /// Partitions.
        partitions: Vec<OffsetForLeaderPartition> [0+],
    }

    /// One of the `partitions` of [`OffsetForLeaderTopic`].
    pub struct OffsetForLeaderPartition {
        /// Partition number.
        partition: i32 [0+],
        /// The leader epoch that the client knows, so that stale knowledge is fenced (KIP-320); -1
        /// for no check.
        current_leader_epoch: i32 [2+, default(-1), ignorable],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [0+],
    }
}

crate::message! {
    /// What the broker answers to [`OffsetForLeaderEpochRequest`].
    pub struct OffsetForLeaderEpochResponse(2-4, flexible 4+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [2+, ignorable],
        /// Topics.
        topics: Vec<OffsetForLeaderTopicResult> [0+],
    }

    /// One of the `topics` of [`OffsetForLeaderEpochResponse`].
    pub struct OffsetForLeaderTopicResult {
        /// Topic name.
        topic: String [0+],
        /// Partitions.
        partitions: Vec<EpochEndOffset> [0+],
    }

    /// One of the `partitions` of [`OffsetForLeaderTopicResult`].
    pub struct EpochEndOffset {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Partition number.
        partition: i32 [0+],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [1+, default(-1), ignorable],
        /// End of the epoch: the offset after its last record; -1 is unknown.
        end_offset: i64 [0+, default(-1)],
    }
}
