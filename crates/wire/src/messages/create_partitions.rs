//! CreatePartitions (key 37): adds partitions to topics.

crate::message! {
    /// Adds partitions to topics: what the client asks.
    pub struct CreatePartitionsRequest(0-3, flexible 2+) {
        /// Topics.
        topics: Vec<CreatePartitionsTopic> [0+],
        /// Milliseconds to wait.
        timeout_ms: i32 [0+],
        /// Whether only to check the request.
        validate_only: bool [0+],
    }

    /// One of the `topics` of [`CreatePartitionsRequest`].
    pub struct CreatePartitionsTopic {
        /// Topic name.
        name: String [0+],
        /// How many partitions the topic is to have, those that exist included.
        count: i32 [0+],
        /// Replicas of each new partition; null to let the broker place them.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0+, nullable(0+), default(Some(Vec::new()))],
    }

    /// One of the `assignments` of [`CreatePartitionsTopic`].
    pub struct CreatePartitionsAssignment {
        /// Replicas, the preferred leader first.
        broker_ids: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`CreatePartitionsRequest`].
    pub struct CreatePartitionsResponse(0-3, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// One result for each item of the request.
        results: Vec<CreatePartitionsTopicResult> [0+],
    }

    /// One of the `results` of [`CreatePartitionsResponse`].
    pub struct CreatePartitionsTopicResult {
        /// Topic name.
        name: String [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+)],
    }
}
