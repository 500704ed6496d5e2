//! IncrementalAlterConfigs (key 44): changes single configs (KIP-339).

crate::message! {
    /// Changes single configs (KIP-339): what the client asks.
    pub struct IncrementalAlterConfigsRequest(0-1, flexible 1+) {
        /// Resources.
        resources: Vec<AlterConfigsResource> [0+],
        /// Whether only to check the request.
        validate_only: bool [0+],
    }

    /// One of the `resources` of [`IncrementalAlterConfigsRequest`].
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
        /// 0 set, 1 delete, 2 append, 3 subtract (KIP-339).
        config_operation: i8 [0+],
        /// Value; null is none.
        value: Option<String> [0+, nullable(0+), default(Some(String::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`IncrementalAlterConfigsRequest`].
    pub struct IncrementalAlterConfigsResponse(0-1, flexible 1+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// One answer for each resource.
        responses: Vec<AlterConfigsResourceResponse> [0+],
    }

    /// One of the `responses` of [`IncrementalAlterConfigsResponse`].
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
