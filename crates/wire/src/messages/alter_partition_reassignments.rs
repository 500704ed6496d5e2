//! AlterPartitionReassignments (key 45): moves partitions to other nodes
//! (KIP-455).

crate::message! {
    /// Moves partitions to other nodes: what the client asks.
    pub struct AlterPartitionReassignmentsRequest(0-1, flexible 0+) {
        /// Milliseconds to wait.
        timeout_ms: i32 [0+, default(60000)],
        /// Whether the number of replicas may change.
        allow_replication_factor_change: bool [1+, default(true)],
        /// Topics.
        topics: Vec<ReassignableTopic> [0+],
    }

    /// One of the `topics` of [`AlterPartitionReassignmentsRequest`].
    pub struct ReassignableTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<ReassignablePartition> [0+],
    }

    /// One of the `partitions` of [`ReassignableTopic`].
    pub struct ReassignablePartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Nodes to have it; null gives up the move that is under way.
        replicas: Option<Vec<i32>> [0+, nullable(0+)],
    }
}

crate::message! {
    /// What the broker answers to [`AlterPartitionReassignmentsRequest`].
    pub struct AlterPartitionReassignmentsResponse(0-1, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// As in the request.
        allow_replication_factor_change: bool [1+, default(true), ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// One answer for each topic.
        responses: Vec<ReassignableTopicResponse> [0+],
    }

    /// One of the `responses` of [`AlterPartitionReassignmentsResponse`].
    pub struct ReassignableTopicResponse {
        /// Topic name.
        name: String [0+],
        /// One answer for each partition.
        partitions: Vec<ReassignablePartitionResponse> [0+],
    }

    /// One of the `partitions` of [`ReassignableTopicResponse`].
    pub struct ReassignablePartitionResponse {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}
