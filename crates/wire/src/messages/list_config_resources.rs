//! ListConfigResources (key 74): tells what there is that has configs.
//!
//! Version 0 lists client metrics only (KIP-714), 1 any type (KIP-1142).

crate::message! {
    /// Tells what there is that has configs: what the client asks.
    pub struct ListConfigResourcesRequest(0-1, flexible 0+) {
        /// Types of resources; none means all (KIP-1142).
        resource_types: Vec<i8> [1+],
    }
}

crate::message! {
    /// What the broker answers to [`ListConfigResourcesRequest`].
    pub struct ListConfigResourcesResponse(0-1, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The resources.
        config_resources: Vec<ConfigResource> [0+],
    }

    /// One of the `config_resources` of [`ListConfigResourcesResponse`].
    pub struct ConfigResource {
        /// Name of the resource.
        resource_name: String [0+],
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [1+, default(16), ignorable],
    }
}
