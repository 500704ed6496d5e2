//! DescribeQuorum (key 55): tells who keeps the metadata, and how far each is
//! (KIP-595, KIP-836, KIP-853).

use uuid::Uuid;

crate::message! {
    /// Tells who keeps the metadata: what the client asks.
    pub struct DescribeQuorumRequest(0-2, flexible 0+) {
        /// Topics.
        topics: Vec<TopicRequest> [0+],
    }

    /// One of the `topics` of [`DescribeQuorumRequest`].
    pub struct TopicRequest {
        /// Topic name.
        topic_name: String [0+],
        /// Partitions.
        partitions: Vec<PartitionRequest> [0+],
    }

    /// One of the `partitions` of [`TopicRequest`].
    pub struct PartitionRequest {
        /// Partition number.
        partition_index: i32 [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeQuorumRequest`].
    pub struct DescribeQuorumResponse(0-2, flexible 0+) {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [2+, nullable(2+), default(Some(String::new())), ignorable],
        /// One answer for each topic.
        topics: Vec<TopicData> [0+],
        /// The nodes of the quorum (KIP-853).
        nodes: Vec<Node> [2+],
    }

    /// One of the `topics` of [`DescribeQuorumResponse`].
    pub struct TopicData {
        /// Topic name.
        topic_name: String [0+],
        /// One answer for each partition.
        partitions: Vec<PartitionData> [0+],
    }

    /// One of the `partitions` of [`TopicData`].
    pub struct PartitionData {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [2+, nullable(2+), default(Some(String::new())), ignorable],
        /// Id of the leader; -1 is unknown.
        leader_id: i32 [0+],
        /// Epoch of the leader.
        leader_epoch: i32 [0+],
        /// Offset after the last record that is committed.
        high_watermark: i64 [0+],
        /// Who votes.
        current_voters: Vec<ReplicaState> [0+],
        /// Who follows without a vote.
        observers: Vec<ReplicaState> [0+],
    }

    /// One of the `current_voters` or `observers` of [`PartitionData`].
    pub struct ReplicaState {
        /// Id of the node.
        replica_id: i32 [0+],
        /// Id of its folder (KIP-853).
        replica_directory_id: Uuid [2+],
        /// End of its log; -1 is unknown.
        log_end_offset: i64 [0+],
        /// When it last fetched from the leader, in milliseconds since 1970; -1 for the leader
        /// itself or when unknown (KIP-836).
        last_fetch_timestamp: i64 [1+, default(-1), ignorable],
        /// When it was last caught up, in milliseconds since 1970; now for the leader, -1 when
        /// unknown (KIP-836).
        last_caught_up_timestamp: i64 [1+, default(-1), ignorable],
    }

    /// One of the `nodes` of [`DescribeQuorumResponse`].
    pub struct Node {
        /// Id of the node.
        node_id: i32 [2+],
        /// Where it listens.
        listeners: Vec<Listener> [2+],
    }

    /// One of the `listeners` of [`Node`].
    pub struct Listener {
        /// Name of the listener.
        name: String [2+],
        /// Host name to connect to.
        host: String [2+],
        /// Port to connect to.
        port: u16 [2+],
    }
}
