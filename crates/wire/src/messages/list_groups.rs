//! ListGroups (key 16): lists groups.

crate::message! {
    /// Lists groups: what the client asks.
    pub struct ListGroupsRequest(0-5, flexible 3+) {
        /// Only these states; empty for all (KIP-518).
        states_filter: Vec<String> [4+],
        /// Only these types; empty for all (KIP-848).
        types_filter: Vec<String> [5+],
    }
}

crate::message! {
    /// What the broker answers to [`ListGroupsRequest`].
    pub struct ListGroupsResponse(0-5, flexible 3+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Groups.
        groups: Vec<ListedGroup> [0+],
    }

    /// One of the `groups` of [`ListGroupsResponse`].
    pub struct ListedGroup {
        /// Id of the group.
        group_id: String [0+],
        /// What the group is for: `consumer` for consumers.
        protocol_type: String [0+],
        /// State of the group.
        group_state: String [4+, ignorable],
        /// `classic`, `consumer`, `share` or `streams`.
        group_type: String [5+, ignorable],
    }
}
