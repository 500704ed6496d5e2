//! ConsumerGroupHeartbeat (key 68): joins, keeps alive and leaves a group of KIP-848.

use uuid::Uuid;

crate::message! {
    /// Joins, keeps alive and leaves a group of KIP-848: what the client asks.
    pub struct ConsumerGroupHeartbeatRequest(0-1, flexible 0+) {
        /// Id of the group.
        group_id: String [0+],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Epoch of the member; 0 joins, -1 leaves, -2 leaves for a while (KIP-848).
        member_epoch: i32 [0+],
        /// Id of a static member (KIP-345); null is none.
        instance_id: Option<String> [0+, nullable(0+)],
        /// Rack of the member; null when unchanged or none.
        rack_id: Option<String> [0+, nullable(0+)],
        /// Milliseconds that a member has to join again in a rebalance; -1 when unchanged.
        rebalance_timeout_ms: i32 [0+, default(-1)],
        /// Topics that the member wants by name; null when unchanged.
        subscribed_topic_names: Option<Vec<String>> [0+, nullable(0+)],
        /// Topics that the member wants by pattern (RE2), or null.
        subscribed_topic_regex: Option<String> [1+, nullable(1+)],
        /// The assignor of the broker to use; null when unchanged or for the default.
        server_assignor: Option<String> [0+, nullable(0+)],
        /// Partitions that the member owns now; null when unchanged.
        topic_partitions: Option<Vec<TopicPartitions>> [0+, nullable(0+)],
    }

    /// One of the `topic_partitions` of [`ConsumerGroupHeartbeatRequest`].
    pub struct TopicPartitions {
        /// Id of the topic (KIP-516).
        topic_id: Uuid [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`ConsumerGroupHeartbeatRequest`].
    pub struct ConsumerGroupHeartbeatResponse(0-1, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+)],
        /// Id of the member; empty before the coordinator gave one.
        member_id: Option<String> [0+, nullable(0+)],
        /// Epoch of the member (KIP-848).
        member_epoch: i32 [0+],
        /// Milliseconds between heartbeats.
        heartbeat_interval_ms: i32 [0+],
        /// Partitions to own from now on; null when nothing changed.
        assignment: Option<Assignment> [0+, nullable(0+)],
    }

    /// The `assignment` of [`ConsumerGroupHeartbeatResponse`].
    pub struct Assignment {
        /// Partitions by topic.
        topic_partitions: Vec<TopicPartitions> [0+],
    }
}
