//! ElectLeaders (key 43): has leaders of partitions elected (KIP-183, KIP-460).

crate::message! {
    /// Has leaders of partitions elected: what the client asks.
    pub struct ElectLeadersRequest(0-2, flexible 2+) {
        /// 0 the preferred replica, 1 any live one, in sync or not (KIP-460).
        election_type: i8 [1+],
        /// Partitions; null means all.
        topic_partitions: Option<Vec<TopicPartitions>> [0+, nullable(0+), default(Some(Vec::new()))],
        /// Milliseconds to wait.
        timeout_ms: i32 [0+, default(60000)],
    }

    /// One of the `topic_partitions` of [`ElectLeadersRequest`].
    pub struct TopicPartitions {
        /// Topic name.
        topic: String [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`ElectLeadersRequest`].
    pub struct ElectLeadersResponse(0-2, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [1+],
        /// One result for each topic.
        replica_election_results: Vec<ReplicaElectionResult> [0+],
    }

    /// One of the `replica_election_results` of [`ElectLeadersResponse`].
    pub struct ReplicaElectionResult {
        /// Topic name.
        topic: String [0+],
        /// One result for each partition.
        partition_result: Vec<PartitionResult> [0+],
    }

    /// One of the `partition_result` of [`ReplicaElectionResult`].
    pub struct PartitionResult {
        /// Partition number.
        partition_id: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}
