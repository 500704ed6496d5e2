//! Heartbeat (key 12): keeps a member of a classic group alive.

crate::message! {
    /// Keeps a member of a classic group alive: what the client asks.
    pub struct HeartbeatRequest(0-4, flexible 4+) {
        /// Id of the group.
        group_id: String [0+],
        /// Generation of the group.
        generation_id: i32 [0+],
        /// Id of the member; empty before the coordinator gave one.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+)],
    }
}

crate::message! {
    /// What the broker answers to [`HeartbeatRequest`].
    pub struct HeartbeatResponse(0-4, flexible 4+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
