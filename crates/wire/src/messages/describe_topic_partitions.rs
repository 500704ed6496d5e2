//! DescribeTopicPartitions (key 75): describes topics page by page (KIP-966).

use uuid::Uuid;

crate::message! {
    /// Describes topics page by page (KIP-966): what the client asks.
    pub struct DescribeTopicPartitionsRequest(0-0, flexible 0+) {
        /// Topics.
        topics: Vec<TopicRequest> [0+],
        /// Partitions to answer with at most.
        response_partition_limit: i32 [0+, default(2000)],
        /// Where to go on; null to begin.
        cursor: Option<Cursor> [0+, nullable(0+)],
    }

    /// One of the `topics` of [`DescribeTopicPartitionsRequest`].
    pub struct TopicRequest {
        /// Topic name.
        name: String [0+],
    }

    /// The `cursor` of [`DescribeTopicPartitionsRequest`].
    pub struct Cursor {
        /// Topic name.
        topic_name: String [0+],
        /// Partition number.
        partition_index: i32 [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeTopicPartitionsRequest`].
    pub struct DescribeTopicPartitionsResponse(0-0, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+, ignorable],
        /// Topics.
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0+],
        /// Where to go on; null at the end.
        next_cursor: Option<Cursor> [0+, nullable(0+)],
    }

    /// One of the `topics` of [`DescribeTopicPartitionsResponse`].
    pub struct DescribeTopicPartitionsResponseTopic {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Topic name.
        name: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [0+, ignorable],
        /// Whether the topic is one of the broker's own.
        is_internal: bool [0+, ignorable],
        /// Partitions.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0+],
        /// What the client may do with the topic, as bits; `i32::MIN` when not asked for.
        topic_authorized_operations: i32 [0+, default(i32::MIN)],
    }

    /// One of the `partitions` of [`DescribeTopicPartitionsResponseTopic`].
    pub struct DescribeTopicPartitionsResponsePartition {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Partition number.
        partition_index: i32 [0+],
        /// Id of the leader; -1 is none.
        leader_id: i32 [0+],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [0+, default(-1), ignorable],
        /// Replicas, the preferred leader first.
        replica_nodes: Vec<i32> [0+],
        /// In-sync replicas.
        isr_nodes: Vec<i32> [0+],
        /// Replicas outside the ISR that may still lead (KIP-966).
        eligible_leader_replicas: Option<Vec<i32>> [0+, nullable(0+)],
        /// The last known eligible leader replicas (KIP-966).
        last_known_elr: Option<Vec<i32>> [0+, nullable(0+)],
        /// Replicas that are not available.
        offline_replicas: Vec<i32> [0+, ignorable],
    }
}
