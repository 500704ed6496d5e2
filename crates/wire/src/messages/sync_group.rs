//! SyncGroup (key 14): gives or takes the assignment of a classic group.

use bytes::Bytes;

crate::message! {
    /// Gives or takes the assignment of a classic group: what the client asks.
    pub struct SyncGroupRequest(0-5, flexible 4+) {
        /// Id of the group.
        group_id: String [0+],
        /// Generation of the group.
        generation_id: i32 [0+],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+)],
        /// What the group is for: `consumer` for consumers.
        protocol_type: Option<String> [5+, nullable(5+), ignorable],
        /// Name of the chosen protocol.
        protocol_name: Option<String> [5+, nullable(5+), ignorable],
        /// What the leader gave each member; empty from all others.
        assignments: Vec<SyncGroupRequestAssignment> [0+],
    }

    /// One of the `assignments` of [`SyncGroupRequest`].
    pub struct SyncGroupRequestAssignment {
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// What the member is to read, in the format of the protocol type.
        assignment: Bytes [0+],
    }
}

crate::message! {
    /// What the broker answers to [`SyncGroupRequest`].
    pub struct SyncGroupResponse(0-5, flexible 4+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// What the group is for: `consumer` for consumers.
        protocol_type: Option<String> [5+, nullable(5+), ignorable],
        /// Name of the chosen protocol.
        protocol_name: Option<String> [5+, nullable(5+), ignorable],
        /// What the member is to read, in the format of the protocol type.
        assignment: Bytes [0+],
    }
}
