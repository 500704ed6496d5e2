//! ListOffsets (key 2): finds offsets by timestamp, or the ends of a log.

crate::message! {
    /// Finds offsets by timestamp, or the ends of a log: what the client asks.
    pub struct ListOffsetsRequest(1-11, flexible 6+) {
        /// Id of the follower; -1 for a consumer.
        replica_id: i32 [0+],
        /// 0 read_uncommitted, 1 read_committed (KIP-98).
        isolation_level: i8 [2+],
        /// Topics.
        topics: Vec<ListOffsetsTopic> [0+],
        /// Milliseconds to wait.
        timeout_ms: i32 [10+, ignorable],
    }

    /// One of the `topics` of [`ListOffsetsRequest`].
    pub struct ListOffsetsTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<ListOffsetsPartition> [0+],
    }

    /// One of the `partitions` of [`ListOffsetsTopic`].
    pub struct ListOffsetsPartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// The leader epoch that the client knows, so that stale knowledge is fenced (KIP-320); -1
        /// for no check.
        current_leader_epoch: i32 [4+, default(-1), ignorable],
        /// Milliseconds since 1970, or a special value: -1 latest, -2 earliest, -3 of the largest
        /// timestamp, -4 earliest local, -5 latest tiered, -6 earliest not yet tiered.
        timestamp: i64 [0+],
    }
}

crate::message! {
    /// What the broker answers to [`ListOffsetsRequest`].
    pub struct ListOffsetsResponse(1-11, flexible 6+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [2+, ignorable],
        /// Topics.
        topics: Vec<ListOffsetsTopicResponse> [0+],
    }

    /// One of the `topics` of [`ListOffsetsResponse`].
    pub struct ListOffsetsTopicResponse {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<ListOffsetsPartitionResponse> [0+],
    }

    /// One of the `partitions` of [`ListOffsetsTopicResponse`].
    pub struct ListOffsetsPartitionResponse {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Timestamp of the record found, in milliseconds since 1970; -1 is none.
        timestamp: i64 [1+, default(-1)],
        /// Offset; -1 is none.
        offset: i64 [1+, default(-1)],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [4+, default(-1)],
    }
}
