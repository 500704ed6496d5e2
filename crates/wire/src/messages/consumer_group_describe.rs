//! ConsumerGroupDescribe (key 69): describes groups of KIP-848.

use uuid::Uuid;

crate::message! {
    /// Describes groups of KIP-848: what the client asks.
    pub struct ConsumerGroupDescribeRequest(0-1, flexible 0+) {
        /// Groups to describe.
        group_ids: Vec<String> [0+],
        /// Whether to say what the client may do with each group.
        include_authorized_operations: bool [0+],
    }
}

crate::message! {
    /// What the broker answers to [`ConsumerGroupDescribeRequest`].
    pub struct ConsumerGroupDescribeResponse(0-1, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Groups.
        groups: Vec<DescribedGroup> [0+],
    }

    /// One of the `groups` of [`ConsumerGroupDescribeResponse`].
    pub struct DescribedGroup {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+)],
        /// Id of the group.
        group_id: String [0+],
        /// State of the group.
        group_state: String [0+],
        /// Epoch of the group.
        group_epoch: i32 [0+],
        /// Epoch of the target assignment.
        assignment_epoch: i32 [0+],
        /// The assignor that computes the assignment.
        assignor_name: String [0+],
        /// Members of the group.
        members: Vec<Member> [0+],
        /// What the client may do with the group, as bits; `i32::MIN` when not asked for.
        authorized_operations: i32 [0+, default(i32::MIN)],
    }

    /// One of the `members` of [`DescribedGroup`].
    pub struct Member {
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        instance_id: Option<String> [0+, nullable(0+)],
        /// Rack of the member, or null.
        rack_id: Option<String> [0+, nullable(0+)],
        /// Epoch of the member (KIP-848).
        member_epoch: i32 [0+],
        /// What the member calls its client.
        client_id: String [0+],
        /// Where the member connects from.
        client_host: String [0+],
        /// Topics that the member wants by name.
        subscribed_topic_names: Vec<String> [0+],
        /// Topics that the member wants by pattern (RE2), or null.
        subscribed_topic_regex: Option<String> [0+, nullable(0+)],
        /// Partitions that the member owns.
        assignment: Assignment [0+],
        /// Partitions that it is to own.
        target_assignment: Assignment [0+],
        /// 0 classic, 1 consumer; -1 unknown.
        member_type: i8 [1+, default(-1), ignorable],
    }

    /// The `assignment` of [`Member`].
    pub struct Assignment {
        /// Partitions by topic.
        topic_partitions: Vec<TopicPartitions> [0+],
    }

    /// One of the `topic_partitions` of [`Assignment`].
    pub struct TopicPartitions {
        /// Id of the topic (KIP-516).
        topic_id: Uuid [0+],
        /// Topic name.
        topic_name: String [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}
