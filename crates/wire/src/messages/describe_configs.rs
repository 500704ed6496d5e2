//! DescribeConfigs (key 32): tells configs, their values and where those come from.

crate::message! {
    /// Tells configs, their values and where those come from: what the client asks.
    pub struct DescribeConfigsRequest(1-4, flexible 4+) {
        /// Resources.
        resources: Vec<DescribeConfigsResource> [0+],
        /// Whether to send all places that the value could come from.
        include_synonyms: bool [1+],
        /// Whether to send what each config does.
        include_documentation: bool [3+],
    }

    /// One of the `resources` of [`DescribeConfigsRequest`].
    pub struct DescribeConfigsResource {
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: String [0+],
        /// Which configs; null for all.
        configuration_keys: Option<Vec<String>> [0+, nullable(0+), default(Some(Vec::new()))],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeConfigsRequest`].
    pub struct DescribeConfigsResponse(1-4, flexible 4+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// One result for each item of the request.
        results: Vec<DescribeConfigsResult> [0+],
    }

    /// One of the `results` of [`DescribeConfigsResponse`].
    pub struct DescribeConfigsResult {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Type of the resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: String [0+],
        /// Configs, each with its value.
        configs: Vec<DescribeConfigsResourceResult> [0+],
    }

    /// One of the `configs` of [`DescribeConfigsResult`].
    pub struct DescribeConfigsResourceResult {
        /// Name of the config.
        name: String [0+],
        /// Value; null is none.
        value: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Whether it cannot be changed.
        read_only: bool [0+],
        /// Where the value comes from, as in DescribeConfigs.
        config_source: i8 [1+, default(-1), ignorable],
        /// Whether the value is a secret, and so is not sent.
        is_sensitive: bool [0+],
        /// All places that the value could come from, the one in force first.
        synonyms: Vec<DescribeConfigsSynonym> [1+, ignorable],
        /// Type of the value: 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8
        /// class, 9 password; 0 unknown.
        config_type: i8 [3+, ignorable],
        /// What the config does.
        documentation: Option<String> [3+, nullable(0+), default(Some(String::new())), ignorable],
    }

    /// One of the `synonyms` of [`DescribeConfigsResourceResult`].
    pub struct DescribeConfigsSynonym {
        /// Name of the config that could give the value.
        name: String [1+],
        /// Value; null is none.
        value: Option<String> [1+, nullable(0+), default(Some(String::new()))],
        /// Where the value comes from: 1 the topic, 2 the broker, 3 all brokers, 4 the file, 5 the
        /// default, 6 the broker's logger.
        source: i8 [1+],
    }
}
