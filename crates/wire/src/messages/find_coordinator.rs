//! FindCoordinator (key 10): finds the coordinator of groups or transactional ids.
//!
//! Version 4 asks for several at once (KIP-699).

crate::message! {
    /// Finds the coordinator of groups or transactional ids: what the client asks.
    pub struct FindCoordinatorRequest(0-6, flexible 3+) {
        /// Group or transactional id.
        key: String [0-3],
        /// 0 for a group, 1 for a transactional id, 2 for a share group's partition.
        key_type: i8 [1+],
        /// Groups or transactional ids to find.
        coordinator_keys: Vec<String> [4+],
    }
}

crate::message! {
    /// What the broker answers to [`FindCoordinatorRequest`].
    pub struct FindCoordinatorResponse(0-6, flexible 3+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0-3],
        /// The error in words, or null.
        error_message: Option<String> [1-3, nullable(1-3), default(Some(String::new())), ignorable],
        /// Id of the broker.
        node_id: i32 [0-3],
        /// Host name to connect to.
        host: String [0-3],
        /// Port to connect to.
        port: i32 [0-3],
        /// One answer for each key.
        coordinators: Vec<Coordinator> [4+],
    }

    /// One of the `coordinators` of [`FindCoordinatorResponse`].
    pub struct Coordinator {
        /// Group or transactional id.
        key: String [4+],
        /// Id of the broker.
        node_id: i32 [4+],
        /// Host name to connect to.
        host: String [4+],
        /// Port to connect to.
        port: i32 [4+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [4+],
        /// The error in words, or null.
        error_message: Option<String> [4+, nullable(4+), default(Some(String::new())), ignorable],
    }
}
