//! DeleteGroups (key 42): deletes groups without members.

crate::message! {
    /// Deletes groups without members: what the client asks.
    pub struct DeleteGroupsRequest(0-2, flexible 2+) {
        /// Groups to delete.
        groups_names: Vec<String> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`DeleteGroupsRequest`].
    pub struct DeleteGroupsResponse(0-2, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// One result for each item of the request.
        results: Vec<DeletableGroupResult> [0+],
    }

    /// One of the `results` of [`DeleteGroupsResponse`].
    pub struct DeletableGroupResult {
        /// Id of the group.
        group_id: String [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
