//! DescribeLogDirs (key 35): tells folders and the size of what is in them.

crate::message! {
    /// Tells folders and the size of what is in them: what the client asks.
    pub struct DescribeLogDirsRequest(1-5, flexible 2+) {
        /// Topics.
        topics: Option<Vec<DescribableLogDirTopic>> [0+, nullable(0+), default(Some(Vec::new()))],
    }

    /// One of the `topics` of [`DescribeLogDirsRequest`].
    pub struct DescribableLogDirTopic {
        /// Topic name.
        topic: String [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeLogDirsRequest`].
    pub struct DescribeLogDirsResponse(1-5, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [3+, ignorable],
        /// One result for each item of the request.
        results: Vec<DescribeLogDirsResult> [0+],
    }

    /// One of the `results` of [`DescribeLogDirsResponse`].
    pub struct DescribeLogDirsResult {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Path of the folder.
        log_dir: String [0+],
        /// Topics.
        topics: Vec<DescribeLogDirsTopic> [0+],
        /// Bytes of the volume; -1 is unknown.
        total_bytes: i64 [4+, default(-1), ignorable],
        /// Free bytes of the volume; -1 is unknown.
        usable_bytes: i64 [4+, default(-1), ignorable],
        /// Whether the folder takes no new partitions (KIP-1066).
        is_cordoned: bool [5+, ignorable],
    }

    /// One of the `topics` of [`DescribeLogDirsResult`].
    pub struct DescribeLogDirsTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<DescribeLogDirsPartition> [0+],
    }

    /// One of the `partitions` of [`DescribeLogDirsTopic`].
    pub struct DescribeLogDirsPartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Bytes of its segments.
        partition_size: i64 [0+],
        /// How far the copy is behind the log's end.
        offset_lag: i64 [0+],
        /// Whether this is the copy that is being moved here.
        is_future_key: bool [0+],
    }
}
