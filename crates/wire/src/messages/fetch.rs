//! Fetch (key 1): reads record batches, with long polling and sessions.
//!
//! Version 7 has fetch sessions (KIP-227), 11 reading from a follower
//! (KIP-392), 12 is flexible, 13 names topics by id (KIP-516), 16 tells where a
//! moved leader is (KIP-951).

use crate::codec::Payload;
use uuid::Uuid;

crate::message! {
    /// Reads record batches, with long polling and sessions: what the client asks.
    pub struct FetchRequest(4-18, flexible 12+) {
        /// Id of the cluster.
        cluster_id: Option<String> [12+, nullable(12+), tag(0), ignorable],
        /// Id of the follower; -1 for a consumer.
        replica_id: i32 [0-14, default(-1)],
        /// Who the follower is (KIP-903).
        replica_state: ReplicaState [15+, tag(1)],
        /// Milliseconds to wait for `min_bytes`.
        max_wait_ms: i32 [0+],
        /// Bytes to collect before answering.
        min_bytes: i32 [0+],
        /// Bytes to answer with at most; a first batch that is larger is sent all the same
        /// (KIP-74).
        max_bytes: i32 [3+, default(i32::MAX), ignorable],
        /// 0 read_uncommitted, 1 read_committed (KIP-98).
        isolation_level: i8 [4+, ignorable],
        /// Id of the fetch session; 0 is none (KIP-227).
        session_id: i32 [7+, ignorable],
        /// Epoch of the fetch session: 0 begins one, -1 is without one (KIP-227).
        session_epoch: i32 [7+, default(-1), ignorable],
        /// Topics.
        topics: Vec<FetchTopic> [0+],
        /// Partitions to drop from the fetch session (KIP-227).
        forgotten_topics_data: Vec<ForgottenTopic> [7+],
        /// Rack of the reader; empty is none.
        rack_id: String [11+, ignorable],
    }

    /// The `replica_state` of [`FetchRequest`].
    pub struct ReplicaState {
        /// Id of the follower; -1 for a consumer.
        replica_id: i32 [15+, default(-1)],
        /// Epoch of the follower's registration; -1 is unknown.
        replica_epoch: i64 [15+, default(-1)],
    }

    /// One of the `topics` of [`FetchRequest`].
    pub struct FetchTopic {
        /// Topic name.
        topic: String [0-12, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [13+, ignorable],
        /// Partitions.
        partitions: Vec<FetchPartition> [0+],
    }

    /// One of the `partitions` of [`FetchTopic`].
    pub struct FetchPartition {
        /// Partition number.
        partition: i32 [0+],
        /// The leader epoch that the client knows, so that stale knowledge is fenced (KIP-320); -1
        /// for no check.
        current_leader_epoch: i32 [9+, default(-1), ignorable],
        /// Offset to read from.
        fetch_offset: i64 [0+],
        /// Leader epoch of the last record read; -1 is unknown.
        last_fetched_epoch: i32 [12+, default(-1)],
        /// First offset of the log; -1 is unknown.
        log_start_offset: i64 [5+, default(-1), ignorable],
        /// Bytes to answer with at most for this partition.
        partition_max_bytes: i32 [0+],
        /// Id of the follower's folder (KIP-853).
        replica_directory_id: Uuid [17+, tag(0), ignorable],
        /// High watermark that the follower knows; -1 is unknown (KIP-1166).
        high_watermark: i64 [18+, tag(1), default(i64::MAX), ignorable],
    }

    /// One of the `forgotten_topics_data` of [`FetchRequest`].
    pub struct ForgottenTopic {
        /// Topic name.
        topic: String [7-12, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [13+, ignorable],
        /// Partitions.
        partitions: Vec<i32> [7+],
    }
}

crate::message! {
    /// What the broker answers to [`FetchRequest`].
    pub struct FetchResponse(4-18, flexible 12+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [7+, ignorable],
        /// Id of the fetch session; 0 is none (KIP-227).
        session_id: i32 [7+],
        /// One answer for each topic.
        responses: Vec<FetchableTopicResponse> [0+],
        /// Where the leaders named above are reached (KIP-951).
        node_endpoints: Vec<NodeEndpoint> [16+, tag(0)],
    }

    /// One of the `responses` of [`FetchResponse`].
    pub struct FetchableTopicResponse {
        /// Topic name.
        topic: String [0-12, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [13+, ignorable],
        /// Partitions.
        partitions: Vec<PartitionData> [0+],
    }

    /// One of the `partitions` of [`FetchableTopicResponse`].
    pub struct PartitionData {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Offset after the last record that is safely replicated.
        high_watermark: i64 [0+],
        /// Everything below it belongs to finished transactions.
        last_stable_offset: i64 [4+, default(-1), ignorable],
        /// First offset of the log; -1 is unknown.
        log_start_offset: i64 [5+, default(-1), ignorable],
        /// Where the reader and the log part, when its last epoch is not in the log (KIP-595).
        diverging_epoch: EpochEndOffset [12+, tag(0)],
        /// The leader to ask instead, with an error that says the leader is another (KIP-951,
        /// KIP-595).
        current_leader: LeaderIdAndEpoch [12+, tag(1)],
        /// The snapshot to fetch instead, when the offset is gone (KIP-630).
        snapshot_id: SnapshotId [12+, tag(2)],
        /// Aborted transactions in the range, by first offset; only for a read_committed reader.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4+, nullable(4+), default(Some(Vec::new())), ignorable],
        /// The replica to read from instead; -1 is none (KIP-392).
        preferred_read_replica: i32 [11+, default(-1)],
        /// Record batches, one after another: see [`split_batches`](crate::batch::split_batches).
        records: Option<Payload> [0+, nullable(0+)],
    }

    /// The `diverging_epoch` of [`PartitionData`].
    pub struct EpochEndOffset {
        /// Leader epoch; -1 is unknown.
        epoch: i32 [12+, default(-1)],
        /// End of the epoch: the offset after its last record; -1 is unknown.
        end_offset: i64 [12+, default(-1)],
    }

    /// The `current_leader` of [`PartitionData`].
    pub struct LeaderIdAndEpoch {
        /// Id of the leader; -1 is none.
        leader_id: i32 [12+, default(-1)],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [12+, default(-1)],
    }

    /// The `snapshot_id` of [`PartitionData`].
    pub struct SnapshotId {
        /// The snapshot has everything below this offset.
        end_offset: i64 [0+, default(-1)],
        /// Leader epoch; -1 is unknown.
        epoch: i32 [0+, default(-1)],
    }

    /// One of the `aborted_transactions` of [`PartitionData`].
    pub struct AbortedTransaction {
        /// Producer id.
        producer_id: i64 [4+],
        /// First offset of the transaction in this partition.
        first_offset: i64 [4+],
    }

    /// One of the `node_endpoints` of [`FetchResponse`].
    pub struct NodeEndpoint {
        /// Id of the broker.
        node_id: i32 [16+],
        /// Host name to connect to.
        host: String [16+],
        /// Port to connect to.
        port: i32 [16+],
        /// Rack of the broker, or null.
        rack: Option<String> [16+, nullable(16+)],
    }
}
