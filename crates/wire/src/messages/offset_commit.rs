//! OffsetCommit (key 8): commits offsets of a group.
//!
//! Version 9 serves the groups of KIP-848, 10 names topics by id (KIP-848).

use uuid::Uuid;

crate::message! {
    /// Commits offsets of a group: what the client asks.
    pub struct OffsetCommitRequest(2-10, flexible 8+) {
        /// Id of the group.
        group_id: String [0+],
        /// Generation of the classic group or epoch of the member (KIP-848); -1 for a commit from
        /// outside the group.
        generation_id_or_member_epoch: i32 [1+, default(-1), ignorable],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [1+, ignorable],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [7+, nullable(7+)],
        /// Milliseconds to keep the offset; -1 for the default.
        retention_time_ms: i64 [2-4, default(-1), ignorable],
        /// Topics.
        topics: Vec<OffsetCommitRequestTopic> [0+],
    }

    /// One of the `topics` of [`OffsetCommitRequest`].
    pub struct OffsetCommitRequestTopic {
        /// Topic name.
        name: String [0-9, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [10+, ignorable],
        /// Partitions.
        partitions: Vec<OffsetCommitRequestPartition> [0+],
    }

    /// One of the `partitions` of [`OffsetCommitRequestTopic`].
    pub struct OffsetCommitRequestPartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Offset of the next record to read; -1 when none is committed.
        committed_offset: i64 [0+],
        /// Leader epoch of the last record read; -1 is unknown.
        committed_leader_epoch: i32 [6+, default(-1), ignorable],
        /// Free text that comes back with the offset.
        committed_metadata: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`OffsetCommitRequest`].
    pub struct OffsetCommitResponse(2-10, flexible 8+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [3+, ignorable],
        /// Topics.
        topics: Vec<OffsetCommitResponseTopic> [0+],
    }

    /// One of the `topics` of [`OffsetCommitResponse`].
    pub struct OffsetCommitResponseTopic {
        /// Topic name.
        name: String [0-9, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [10+, ignorable],
        /// Partitions.
        partitions: Vec<OffsetCommitResponsePartition> [0+],
    }

    /// One of the `partitions` of [`OffsetCommitResponseTopic`].
    pub struct OffsetCommitResponsePartition {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
