//! AlterConfigs (key 33): replaces all configs of a resource. Deprecated since
//! IncrementalAlterConfigs, and still what older tools send.

crate::message! {
    /// Replaces all configs of a resource: what the client asks.
    pub struct AlterConfigsRequest(0-2, flexible 2+) {
        /// Resources.
        resources: Vec<AlterConfigsResource> [0+],
        /// Whether only to check the request.
        validate_only: bool [0+],
    }

    /// One of the `resources` of [`AlterConfigsRequest`].
    pub struct AlterConfigsResource {
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: String [0+],
        /// Configs, each with its value.
        configs: Vec<AlterableConfig> [0+],
    }

    /// One of the `configs` of [`AlterConfigsResource`].
    pub struct AlterableConfig {
        /// Name of the config.
        name: String [0+],
        /// Value; null is none.
        value: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`AlterConfigsRequest`].
    pub struct AlterConfigsResponse(0-2, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// One answer for each resource.
        responses: Vec<AlterConfigsResourceResponse> [0+],
    }

    /// One of the `responses` of [`AlterConfigsResponse`].
    pub struct AlterConfigsResourceResponse {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: String [0+],
    }
}
