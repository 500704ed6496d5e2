//! CreateTopics (key 19): creates topics.

use uuid::Uuid;

crate::message! {
    /// Creates topics: what the client asks.
    pub struct CreateTopicsRequest(2-7, flexible 5+) {
        /// Topics.
        topics: Vec<CreatableTopic> [0+],
        /// Milliseconds to wait.
        timeout_ms: i32 [0+, default(60000)],
        /// Whether only to check the request.
        validate_only: bool [1+],
    }

    /// One of the `topics` of [`CreateTopicsRequest`].
    pub struct CreatableTopic {
        /// Topic name.
        name: String [0+],
        /// Number of partitions; -1 for the default.
        num_partitions: i32 [0+],
        /// Number of replicas; -1 for the default.
        replication_factor: i16 [0+],
        /// Replicas by partition; empty to let the broker place them.
        assignments: Vec<CreatableReplicaAssignment> [0+],
        /// Configs, each with its value.
        configs: Vec<CreatableTopicConfig> [0+],
    }

    /// One of the `assignments` of [`CreatableTopic`].
    pub struct CreatableReplicaAssignment {
        /// Partition number.
        partition_index: i32 [0+],
        /// Replicas, the preferred leader first.
        broker_ids: Vec<i32> [0+],
    }

    /// One of the `configs` of [`CreatableTopic`].
    pub struct CreatableTopicConfig {
        /// Name of the config.
        name: String [0+],
        /// Value; null is none.
        value: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`CreateTopicsRequest`].
    pub struct CreateTopicsResponse(2-7, flexible 5+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [2+, ignorable],
        /// Topics.
        topics: Vec<CreatableTopicResult> [0+],
    }

    /// One of the `topics` of [`CreateTopicsResponse`].
    pub struct CreatableTopicResult {
        /// Topic name.
        name: String [0+],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [7+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [1+, nullable(0+), default(Some(String::new())), ignorable],
        /// Why there are no configs: the client may create, but not describe (KIP-525).
        topic_config_error_code: i16 [5+, tag(0), ignorable],
        /// Number of partitions; -1 for the default.
        num_partitions: i32 [5+, default(-1), ignorable],
        /// Number of replicas; -1 for the default.
        replication_factor: i16 [5+, default(-1), ignorable],
        /// Configs, each with its value.
        configs: Option<Vec<CreatableTopicConfigs>> [5+, nullable(5+), default(Some(Vec::new())), ignorable],
    }

    /// One of the `configs` of [`CreatableTopicResult`].
    pub struct CreatableTopicConfigs {
        /// Name of the config.
        name: String [5+],
        /// Value; null is none.
        value: Option<String> [5+, nullable(5+), default(Some(String::new()))],
        /// Whether it cannot be changed.
        read_only: bool [5+],
        /// Where the value comes from, as in DescribeConfigs.
        config_source: i8 [5+, default(-1), ignorable],
        /// Whether the value is a secret, and so is not sent.
        is_sensitive: bool [5+],
    }
}
