//! ListPartitionReassignments (key 46): tells which partitions are on the move
//! (KIP-455).

crate::message! {
    /// Tells which partitions are on the move: what the client asks.
    pub struct ListPartitionReassignmentsRequest(0-0, flexible 0+) {
        /// Milliseconds to wait.
        timeout_ms: i32 [0+, default(60000)],
        /// Topics; null means all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0+, nullable(0+)],
    }

    /// One of the `topics` of [`ListPartitionReassignmentsRequest`].
    pub struct ListPartitionReassignmentsTopics {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partition_indexes: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`ListPartitionReassignmentsRequest`].
    pub struct ListPartitionReassignmentsResponse(0-0, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Topics with partitions on the move.
        topics: Vec<OngoingTopicReassignment> [0+],
    }

    /// One of the `topics` of [`ListPartitionReassignmentsResponse`].
    pub struct OngoingTopicReassignment {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<OngoingPartitionReassignment> [0+],
    }

    /// One of the `partitions` of [`OngoingTopicReassignment`].
    pub struct OngoingPartitionReassignment {
        /// Partition number.
        partition_index: i32 [0+],
        /// The replicas.
        replicas: Vec<i32> [0+],
        /// Replicas that are being added.
        adding_replicas: Vec<i32> [0+],
        /// Replicas that are being removed.
        removing_replicas: Vec<i32> [0+],
    }
}
