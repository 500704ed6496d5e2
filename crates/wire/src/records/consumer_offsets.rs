//! The records of `__consumer_offsets`, as Kafka writes them.

use bytes::Bytes;
use uuid::Uuid;

crate::message! {
    /// The key of a committed offset.
    pub struct OffsetCommitKey(0-1) {
        /// Id of the group.
        group: String [0+],
        /// Topic name.
        topic: String [0+],
        /// Partition number.
        partition: i32 [0+],
    }
}

crate::message! {
    /// A committed offset.
    pub struct OffsetCommitValue(0-4, flexible 4+) {
        /// Offset of the next record to read.
        offset: i64 [0+],
        /// Leader epoch of the last record read; -1 is unknown.
        leader_epoch: i32 [3+, default(-1), ignorable],
        /// Free text that comes back with the offset.
        metadata: String [0+],
        /// When it was committed, in milliseconds since 1970.
        commit_timestamp: i64 [0+],
        /// When it expires, in milliseconds since 1970; -1 for by the retention.
        expire_timestamp: i64 [1, default(-1), ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [4+, tag(0), ignorable],
    }
}

crate::message! {
    /// The key of a classic group.
    pub struct GroupMetadataKey(2-2) {
        /// Id of the group.
        group: String [2+],
    }
}

crate::message! {
    /// A classic group: its members and its generation.
    pub struct GroupMetadataValue(0-4, flexible 4+) {
        /// What the group is for: `consumer` for consumers.
        protocol_type: String [0+],
        /// Generation of the group.
        generation: i32 [0+],
        /// Name of the chosen protocol; null without members.
        protocol: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Member id of the leader; null without members.
        leader: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// When the state was entered, in milliseconds since 1970; -1 is unknown.
        current_state_timestamp: i64 [2+, default(-1), ignorable],
        /// Members.
        members: Vec<MemberMetadata> [0+],
    }

    /// One of the `members` of [`GroupMetadataValue`].
    pub struct MemberMetadata {
        /// Id of the member.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+), ignorable],
        /// What the member calls its client.
        client_id: String [0+],
        /// Where the member connects from.
        client_host: String [0+],
        /// Milliseconds to join again in a rebalance; -1 for the session timeout.
        rebalance_timeout: i32 [1+, default(-1), ignorable],
        /// Milliseconds without a heartbeat after which the member is dead.
        session_timeout: i32 [0+],
        /// What it sent with the chosen protocol.
        subscription: Bytes [0+],
        /// What the leader gave it.
        assignment: Bytes [0+],
    }
}
