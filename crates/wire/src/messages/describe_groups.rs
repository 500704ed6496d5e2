//! DescribeGroups (key 15): describes groups and their members.
//!
//! Version 6 tells a group that does not exist by an error (KIP-1043).

use bytes::Bytes;

crate::message! {
    /// Describes groups and their members: what the client asks.
    pub struct DescribeGroupsRequest(0-6, flexible 5+) {
        /// Groups.
        groups: Vec<String> [0+],
        /// Whether to say what the client may do with each group.
        include_authorized_operations: bool [3+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeGroupsRequest`].
    pub struct DescribeGroupsResponse(0-6, flexible 5+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Groups.
        groups: Vec<DescribedGroup> [0+],
    }

    /// One of the `groups` of [`DescribeGroupsResponse`].
    pub struct DescribedGroup {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [6+, nullable(6+)],
        /// Id of the group.
        group_id: String [0+],
        /// State of the group.
        group_state: String [0+],
        /// What the group is for: `consumer` for consumers.
        protocol_type: String [0+],
        /// Name of the chosen protocol.
        protocol_data: String [0+],
        /// Members of the group.
        members: Vec<DescribedGroupMember> [0+],
        /// What the client may do with the group, as bits; `i32::MIN` when not asked for.
        authorized_operations: i32 [3+, default(i32::MIN)],
    }

    /// One of the `members` of [`DescribedGroup`].
    pub struct DescribedGroupMember {
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [4+, nullable(4+), ignorable],
        /// What the member calls its client.
        client_id: String [0+],
        /// Where the member connects from.
        client_host: String [0+],
        /// What it sent with the chosen protocol when it joined.
        member_metadata: Bytes [0+],
        /// What the leader gave it.
        member_assignment: Bytes [0+],
    }
}
