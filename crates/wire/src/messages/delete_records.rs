//! DeleteRecords (key 21): deletes records below an offset.

crate::message! {
    /// Deletes records below an offset: what the client asks.
    pub struct DeleteRecordsRequest(0-2, flexible 2+) {
        /// Topics.
        topics: Vec<DeleteRecordsTopic> [0+],
        /// Milliseconds to wait.
        timeout_ms: i32 [0+],
    }

    /// One of the `topics` of [`DeleteRecordsRequest`].
    pub struct DeleteRecordsTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<DeleteRecordsPartition> [0+],
    }

    /// One of the `partitions` of [`DeleteRecordsTopic`].
    pub struct DeleteRecordsPartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Offset; -1 is none.
        offset: i64 [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DeleteRecordsRequest`].
    pub struct DeleteRecordsResponse(0-2, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Topics.
        topics: Vec<DeleteRecordsTopicResult> [0+],
    }

    /// One of the `topics` of [`DeleteRecordsResponse`].
    pub struct DeleteRecordsTopicResult {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<DeleteRecordsPartitionResult> [0+],
    }

    /// One of the `partitions` of [`DeleteRecordsTopicResult`].
    pub struct DeleteRecordsPartitionResult {
        /// Partition number.
        partition_index: i32 [0+],
        /// First offset that is left.
        low_watermark: i64 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
