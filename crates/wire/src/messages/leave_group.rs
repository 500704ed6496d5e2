//! LeaveGroup (key 13): leaves a classic group.
//!
//! Version 3 names several members at once (KIP-345).

crate::message! {
    /// Leaves a classic group: what the client asks.
    pub struct LeaveGroupRequest(0-5, flexible 4+) {
        /// Id of the group.
        group_id: String [0+],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0-2],
        /// Members that leave.
        members: Vec<MemberIdentity> [3+],
    }

    /// One of the `members` of [`LeaveGroupRequest`].
    pub struct MemberIdentity {
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [3+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+)],
        /// Why, for the broker's log (KIP-800).
        reason: Option<String> [5+, nullable(5+), ignorable],
    }
}

crate::message! {
    /// What the broker answers to [`LeaveGroupRequest`].
    pub struct LeaveGroupResponse(0-5, flexible 4+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// One result for each member.
        members: Vec<MemberResponse> [3+],
    }

    /// One of the `members` of [`LeaveGroupResponse`].
    pub struct MemberResponse {
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [3+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+), default(Some(String::new()))],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [3+],
    }
}
