//! OffsetDelete (key 47): deletes committed offsets of a group.

crate::message! {
    /// Deletes committed offsets of a group: what the client asks.
    pub struct OffsetDeleteRequest(0-0) {
        /// Id of the group.
        group_id: String [0+],
        /// Topics.
        topics: Vec<OffsetDeleteRequestTopic> [0+],
    }

    /// One of the `topics` of [`OffsetDeleteRequest`].
    pub struct OffsetDeleteRequestTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<OffsetDeleteRequestPartition> [0+],
    }

    /// One of the `partitions` of [`OffsetDeleteRequestTopic`].
    pub struct OffsetDeleteRequestPartition {
        /// Partition number.
        partition_index: i32 [0+],
    }
}

crate::message! {
    /// What the broker answers to [`OffsetDeleteRequest`].
    pub struct OffsetDeleteResponse(0-0) {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+, ignorable],
        /// Topics.
        topics: Vec<OffsetDeleteResponseTopic> [0+],
    }

    /// One of the `topics` of [`OffsetDeleteResponse`].
    pub struct OffsetDeleteResponseTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<OffsetDeleteResponsePartition> [0+],
    }

    /// One of the `partitions` of [`OffsetDeleteResponseTopic`].
    pub struct OffsetDeleteResponsePartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
