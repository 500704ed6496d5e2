//! DescribeProducers (key 61): tells the producers that partitions remember (KIP-664).

crate::message! {
    /// Tells the producers that partitions remember (KIP-664): what the client asks.
    pub struct DescribeProducersRequest(0-0, flexible 0+) {
        /// Topics.
        topics: Vec<TopicRequest> [0+],
    }

    /// One of the `topics` of [`DescribeProducersRequest`].
    pub struct TopicRequest {
        /// Topic name.
        name: String [0+],
        /// Partition numbers.
        partition_indexes: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeProducersRequest`].
    pub struct DescribeProducersResponse(0-0, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Topics.
        topics: Vec<TopicResponse> [0+],
    }

    /// One of the `topics` of [`DescribeProducersResponse`].
    pub struct TopicResponse {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<PartitionResponse> [0+],
    }

    /// One of the `partitions` of [`TopicResponse`].
    pub struct PartitionResponse {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+)],
        /// Producers that the partition remembers.
        active_producers: Vec<ProducerState> [0+],
    }

    /// One of the `active_producers` of [`PartitionResponse`].
    pub struct ProducerState {
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer epoch.
        producer_epoch: i32 [0+],
        /// Last sequence number; -1 is none.
        last_sequence: i32 [0+, default(-1)],
        /// Timestamp of its last batch, in milliseconds since 1970.
        last_timestamp: i64 [0+, default(-1)],
        /// Epoch of the transaction coordinator.
        coordinator_epoch: i32 [0+],
        /// First offset of its open transaction; -1 is none.
        current_txn_start_offset: i64 [0+, default(-1)],
    }
}
