//! The records of `__consumer_offsets` that hold consumer groups (KIP-848),
//! as Kafka writes them. The version of a key is the record's type, as for
//! the records of [`consumer_offsets`](super::consumer_offsets).

use bytes::Bytes;
use uuid::Uuid;

crate::message! {
    /// The key of a consumer group.
    pub struct ConsumerGroupMetadataKey(3-3) {
        /// Id of the group.
        group_id: String [3+],
    }
}

crate::message! {
    /// A consumer group.
    pub struct ConsumerGroupMetadataValue(0-0, flexible 0+) {
        /// Epoch of the group.
        epoch: i32 [0+],
        /// Hash over the topics that the group subscribes to; 0 is none.
        metadata_hash: i64 [0+, tag(0)],
    }
}

crate::message! {
    /// The key of a member of a consumer group.
    pub struct ConsumerGroupMemberMetadataKey(5-5) {
        /// Id of the group.
        group_id: String [5+],
        /// Id of the member.
        member_id: String [5+],
    }
}

crate::message! {
    /// What a member of a consumer group said of itself.
    pub struct ConsumerGroupMemberMetadataValue(0-0, flexible 0+) {
        /// Id of a static member (KIP-345); null is none.
        instance_id: Option<String> [0+, nullable(0+)],
        /// Rack of the member, or null.
        rack_id: Option<String> [0+, nullable(0+)],
        /// What the member calls its client.
        client_id: String [0+],
        /// Where the member connects from.
        client_host: String [0+],
        /// Topics that the member wants by name.
        subscribed_topic_names: Vec<String> [0+],
        /// Topics that the member wants by pattern, or null.
        subscribed_topic_regex: Option<String> [0+, nullable(0+)],
        /// Milliseconds that it has to give partitions up.
        rebalance_timeout_ms: i32 [0+, default(-1)],
        /// The assignor it asks for, or null.
        server_assignor: Option<String> [0+, nullable(0+)],
        /// Set for a member that uses the classic protocol.
        classic_member_metadata: Option<ClassicMemberMetadata> [0+, nullable(0+), tag(0)],
    }

    /// What the classic protocol needs of a member.
    pub struct ClassicMemberMetadata {
        /// Milliseconds without a heartbeat after which the member is dead.
        session_timeout_ms: i32 [0+],
        /// Assignors that it offers, with its subscription.
        supported_protocols: Vec<ClassicProtocol> [0+],
    }

    /// One of the `supported_protocols` of [`ClassicMemberMetadata`].
    pub struct ClassicProtocol {
        /// Name of the assignor.
        name: String [0+],
        /// The subscription for it.
        metadata: Bytes [0+],
    }
}

crate::message! {
    /// The key of the epoch of the target assignment.
    pub struct ConsumerGroupTargetAssignmentMetadataKey(6-6) {
        /// Id of the group.
        group_id: String [6+],
    }
}

crate::message! {
    /// The epoch of the target assignment.
    pub struct ConsumerGroupTargetAssignmentMetadataValue(0-0, flexible 0+) {
        /// The group epoch that it was computed for.
        assignment_epoch: i32 [0+],
        /// When it was computed, in milliseconds since 1970; 0 is unknown.
        assignment_timestamp: i64 [0+, tag(0)],
    }
}

crate::message! {
    /// The key of a member's target assignment.
    pub struct ConsumerGroupTargetAssignmentMemberKey(7-7) {
        /// Id of the group.
        group_id: String [7+],
        /// Id of the member.
        member_id: String [7+],
    }
}

crate::message! {
    /// What a member is to own in the end.
    pub struct ConsumerGroupTargetAssignmentMemberValue(0-0, flexible 0+) {
        /// Partitions by topic.
        topic_partitions: Vec<TargetTopicPartitions> [0+],
    }

    /// Partitions of one topic.
    pub struct TargetTopicPartitions {
        /// Id of the topic (KIP-516).
        topic_id: Uuid [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// The key of what a member owns.
    pub struct ConsumerGroupCurrentMemberAssignmentKey(8-8) {
        /// Id of the group.
        group_id: String [8+],
        /// Id of the member.
        member_id: String [8+],
    }
}

crate::message! {
    /// What a member owns, and in which epoch.
    pub struct ConsumerGroupCurrentMemberAssignmentValue(0-0, flexible 0+) {
        /// Epoch of the member.
        member_epoch: i32 [0+],
        /// Its epoch before that.
        previous_member_epoch: i32 [0+],
        /// 0 stable, 1 is to give partitions up, 2 waits for partitions of others.
        state: i8 [0+],
        /// Partitions that it owns.
        assigned_partitions: Vec<CurrentTopicPartitions> [0+],
        /// Partitions that it is to give up.
        partitions_pending_revocation: Vec<CurrentTopicPartitions> [0+],
    }

    /// Partitions of one topic.
    pub struct CurrentTopicPartitions {
        /// Id of the topic (KIP-516).
        topic_id: Uuid [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
        /// For each partition the epoch in which the member got it; null is unknown.
        assignment_epochs: Option<Vec<i32>> [0+, nullable(0+), tag(0)],
    }
}

crate::message! {
    /// The key of a pattern that members of a group subscribe with.
    pub struct ConsumerGroupRegularExpressionKey(16-16) {
        /// Id of the group.
        group_id: String [16+],
        /// The pattern.
        regular_expression: String [16+],
    }
}

crate::message! {
    /// The topics that a pattern stands for.
    pub struct ConsumerGroupRegularExpressionValue(0-0, flexible 0+) {
        /// Their names.
        topics: Vec<String> [0+],
        /// Version of the metadata that it was matched with.
        version: i64 [0+],
        /// When, in milliseconds since 1970.
        timestamp: i64 [0+],
    }
}
