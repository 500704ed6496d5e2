//! OffsetFetch (key 9): reads the committed offsets of groups.
//!
//! Version 8 asks for several groups at once (KIP-709), 10 names topics by id.

use uuid::Uuid;

crate::message! {
    /// Reads the committed offsets of groups: what the client asks.
    pub struct OffsetFetchRequest(1-10, flexible 6+) {
        /// Id of the group.
        group_id: String [0-7],
        /// Topics.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0-7, nullable(2-7), default(Some(Vec::new()))],
        /// Groups.
        groups: Vec<OffsetFetchRequestGroup> [8+],
        /// Whether to wait for open transactions that commit offsets (KIP-447).
        require_stable: bool [7+],
    }

    /// One of the `topics` of [`OffsetFetchRequest`].
    pub struct OffsetFetchRequestTopic {
        /// Topic name.
        name: String [0-7],
        /// Partition numbers.
        partition_indexes: Vec<i32> [0-7],
    }

    /// One of the `groups` of [`OffsetFetchRequest`].
    pub struct OffsetFetchRequestGroup {
        /// Id of the group.
        group_id: String [8+],
        /// Id of the member; empty before the coordinator gave one.
        member_id: Option<String> [9+, nullable(9+), ignorable],
        /// Epoch of the member (KIP-848).
        member_epoch: i32 [9+, default(-1), ignorable],
        /// Topics.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8+, nullable(8+), default(Some(Vec::new()))],
    }

    /// One of the `topics` of [`OffsetFetchRequestGroup`].
    pub struct OffsetFetchRequestTopics {
        /// Topic name.
        name: String [8-9, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [10+, ignorable],
        /// Partition numbers.
        partition_indexes: Vec<i32> [8+],
    }
}

crate::message! {
    /// What the broker answers to [`OffsetFetchRequest`].
    pub struct OffsetFetchResponse(1-10, flexible 6+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [3+, ignorable],
        /// Topics.
        topics: Vec<OffsetFetchResponseTopic> [0-7],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [2-7, ignorable],
        /// Groups.
        groups: Vec<OffsetFetchResponseGroup> [8+],
    }

    /// One of the `topics` of [`OffsetFetchResponse`].
    pub struct OffsetFetchResponseTopic {
        /// Topic name.
        name: String [0-7],
        /// Partitions.
        partitions: Vec<OffsetFetchResponsePartition> [0-7],
    }

    /// One of the `partitions` of [`OffsetFetchResponseTopic`].
    pub struct OffsetFetchResponsePartition {
        /// Partition number.
        partition_index: i32 [0-7],
        /// Offset of the next record to read; -1 when none is committed.
        committed_offset: i64 [0-7],
        /// Leader epoch of the last record read; -1 is unknown.
        committed_leader_epoch: i32 [5-7, default(-1), ignorable],
        /// Free text that was committed with the offset.
        metadata: Option<String> [0-7, nullable(0-7), default(Some(String::new()))],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0-7],
    }

    /// One of the `groups` of [`OffsetFetchResponse`].
    pub struct OffsetFetchResponseGroup {
        /// Id of the group.
        group_id: String [8+],
        /// Topics.
        topics: Vec<OffsetFetchResponseTopics> [8+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [8+],
    }

    /// One of the `topics` of [`OffsetFetchResponseGroup`].
    pub struct OffsetFetchResponseTopics {
        /// Topic name.
        name: String [8-9, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [10+, ignorable],
        /// Partitions.
        partitions: Vec<OffsetFetchResponsePartitions> [8+],
    }

    /// One of the `partitions` of [`OffsetFetchResponseTopics`].
    pub struct OffsetFetchResponsePartitions {
        /// Partition number.
        partition_index: i32 [8+],
        /// Offset of the next record to read; -1 when none is committed.
        committed_offset: i64 [8+],
        /// Leader epoch of the last record read; -1 is unknown.
        committed_leader_epoch: i32 [8+, default(-1), ignorable],
        /// Free text that was committed with the offset.
        metadata: Option<String> [8+, nullable(8+), default(Some(String::new()))],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [8+],
    }
}
