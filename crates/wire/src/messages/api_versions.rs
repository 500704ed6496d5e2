//! ApiVersions (key 18): tells the APIs and versions that are served.
//!
//! The response header is of version 0 in every version, so that a client can
//! read the answer before it knows the broker (KIP-511).

crate::message! {
    /// Tells the APIs and versions that are served: what the client asks.
    pub struct ApiVersionsRequest(0-5, flexible 3+) {
        /// Name of the client library (KIP-511).
        client_software_name: String [3+, ignorable],
        /// Version of the client library (KIP-511).
        client_software_version: String [3+, ignorable],
        /// The cluster that the client means to talk to (KIP-1242).
        cluster_id: Option<String> [5+, nullable(5+), ignorable],
        /// The broker that the client means to talk to (KIP-1242).
        node_id: i32 [5+, default(-1), ignorable],
    }
}

crate::message! {
    /// What the broker answers to [`ApiVersionsRequest`].
    pub struct ApiVersionsResponse(0-5, flexible 3+) {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The APIs that this listener serves.
        api_keys: Vec<ApiVersion> [0+],
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Features that this broker knows (KIP-584).
        supported_features: Vec<SupportedFeatureKey> [3+, tag(0), ignorable],
        /// Counts changes of the features in force; -1 is unknown.
        finalized_features_epoch: i64 [3+, tag(1), default(-1), ignorable],
        /// Features in force in the cluster (KIP-584).
        finalized_features: Vec<FinalizedFeatureKey> [3+, tag(2), ignorable],
        /// Left over from the move off ZooKeeper; never set here.
        zk_migration_ready: bool [3+, tag(3), ignorable],
    }

    /// One of the `api_keys` of [`ApiVersionsResponse`].
    pub struct ApiVersion {
        /// Number of the API.
        api_key: i16 [0+],
        /// Lowest version.
        min_version: i16 [0+],
        /// Highest version.
        max_version: i16 [0+],
    }

    /// One of the `supported_features` of [`ApiVersionsResponse`].
    pub struct SupportedFeatureKey {
        /// Name of the feature.
        name: String [3+],
        /// Lowest version.
        min_version: i16 [3+],
        /// Highest version.
        max_version: i16 [3+],
    }

    /// One of the `finalized_features` of [`ApiVersionsResponse`].
    pub struct FinalizedFeatureKey {
        /// Name of the feature.
        name: String [3+],
        /// Highest level in force.
        max_version_level: i16 [3+],
        /// Lowest level in force.
        min_version_level: i16 [3+],
    }
}
