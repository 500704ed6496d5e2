//! JoinGroup (key 11): joins a classic group and waits for its next generation.
//!
//! Version 4 answers MEMBER_ID_REQUIRED to a member without an id (KIP-394).

use bytes::Bytes;

crate::message! {
    /// Joins a classic group and waits for its next generation: what the client asks.
    pub struct JoinGroupRequest(0-9, flexible 6+) {
        /// Id of the group.
        group_id: String [0+],
        /// Milliseconds without a heartbeat after which the member is dead.
        session_timeout_ms: i32 [0+],
        /// Milliseconds that a member has to join again in a rebalance; -1 when unchanged.
        rebalance_timeout_ms: i32 [1+, default(-1), ignorable],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [5+, nullable(5+)],
        /// What the group is for: `consumer` for consumers.
        protocol_type: String [0+],
        /// Protocols that the member speaks, the one it likes best first.
        protocols: Vec<JoinGroupRequestProtocol> [0+],
        /// Why, for the broker's log (KIP-800).
        reason: Option<String> [8+, nullable(8+), ignorable],
    }

    /// One of the `protocols` of [`JoinGroupRequest`].
    pub struct JoinGroupRequestProtocol {
        /// Name of the protocol: for consumers, of the assignor.
        name: String [0+],
        /// What the member has to say in this protocol.
        metadata: Bytes [0+],
    }
}

crate::message! {
    /// What the broker answers to [`JoinGroupRequest`].
    pub struct JoinGroupResponse(0-9, flexible 6+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [2+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Generation of the group.
        generation_id: i32 [0+, default(-1)],
        /// What the group is for: `consumer` for consumers.
        protocol_type: Option<String> [7+, nullable(7+), ignorable],
        /// Name of the chosen protocol.
        protocol_name: Option<String> [0+, nullable(7+), default(Some(String::new()))],
        /// Member id of the leader.
        leader: String [0+],
        /// Whether the leader is to leave the assignment as it is (KIP-814).
        skip_assignment: bool [9+],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Members of the group.
        members: Vec<JoinGroupResponseMember> [0+],
    }

    /// One of the `members` of [`JoinGroupResponse`].
    pub struct JoinGroupResponseMember {
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [5+, nullable(5+), ignorable],
        /// What the member said in the chosen protocol.
        metadata: Bytes [0+],
    }
}
