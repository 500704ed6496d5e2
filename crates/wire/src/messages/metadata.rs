//! Metadata (key 3): tells brokers, topics, partitions and leaders.
//!
//! Null topics mean all, an empty list none; in version 0 an empty list means
//! all. Version 10 has topic ids (KIP-516).

use uuid::Uuid;

crate::message! {
    /// Tells brokers, topics, partitions and leaders: what the client asks.
    pub struct MetadataRequest(0-13, flexible 9+) {
        /// Topics to describe; null for all.
        topics: Option<Vec<MetadataRequestTopic>> [0+, nullable(1+), default(Some(Vec::new()))],
        /// Whether a topic that does not exist may be created, if the broker allows that too.
        allow_auto_topic_creation: bool [4+, default(true)],
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool [8-10],
        /// Whether to say what the client may do with each topic.
        include_topic_authorized_operations: bool [8+],
    }

    /// One of the `topics` of [`MetadataRequest`].
    pub struct MetadataRequestTopic {
        /// Id of the topic (KIP-516).
        topic_id: Uuid [10+, ignorable],
        /// Topic name.
        name: Option<String> [0+, nullable(10+), default(Some(String::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`MetadataRequest`].
    pub struct MetadataResponse(0-13, flexible 9+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [3+, ignorable],
        /// Brokers of the cluster.
        brokers: Vec<MetadataResponseBroker> [0+],
        /// Id of the cluster.
        cluster_id: Option<String> [2+, nullable(2+), ignorable],
        /// Id of the controller; -1 is none.
        controller_id: i32 [1+, default(-1), ignorable],
        /// Topics.
        topics: Vec<MetadataResponseTopic> [0+],
        /// What the client may do with the cluster, as bits; `i32::MIN` when not asked for.
        cluster_authorized_operations: i32 [8-10, default(i32::MIN)],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [13+, ignorable],
    }

    /// One of the `brokers` of [`MetadataResponse`].
    pub struct MetadataResponseBroker {
        /// Id of the broker.
        node_id: i32 [0+],
        /// Host name to connect to.
        host: String [0+],
        /// Port to connect to.
        port: i32 [0+],
        /// Rack of the broker, or null.
        rack: Option<String> [1+, nullable(1+), ignorable],
    }

    /// One of the `topics` of [`MetadataResponse`].
    pub struct MetadataResponseTopic {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Topic name.
        name: Option<String> [0+, nullable(12+), default(Some(String::new()))],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [10+, ignorable],
        /// Whether the topic is one of the broker's own.
        is_internal: bool [1+, ignorable],
        /// Partitions.
        partitions: Vec<MetadataResponsePartition> [0+],
        /// What the client may do with the topic, as bits; `i32::MIN` when not asked for.
        topic_authorized_operations: i32 [8+, default(i32::MIN)],
    }

    /// One of the `partitions` of [`MetadataResponseTopic`].
    pub struct MetadataResponsePartition {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Partition number.
        partition_index: i32 [0+],
        /// Id of the leader; -1 is none.
        leader_id: i32 [0+],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [7+, default(-1), ignorable],
        /// Replicas, the preferred leader first.
        replica_nodes: Vec<i32> [0+],
        /// In-sync replicas.
        isr_nodes: Vec<i32> [0+],
        /// Replicas that are not available.
        offline_replicas: Vec<i32> [5+, ignorable],
    }
}
