//! DescribeCluster (key 60): tells the cluster id and its brokers.

crate::message! {
    /// Tells the cluster id and its brokers: what the client asks.
    pub struct DescribeClusterRequest(0-2, flexible 0+) {
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool [0+],
        /// 1 for brokers, 2 for controllers (KIP-919).
        endpoint_type: i8 [1+, default(1)],
        /// Whether brokers that are fenced are wanted too (KIP-1073).
        include_fenced_brokers: bool [2+],
    }
}

crate::message! {
    /// What the broker answers to [`DescribeClusterRequest`].
    pub struct DescribeClusterResponse(0-2, flexible 0+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+)],
        /// 1 for brokers, 2 for controllers (KIP-919).
        endpoint_type: i8 [1+, default(1)],
        /// Id of the cluster.
        cluster_id: String [0+],
        /// Id of the controller; -1 is none.
        controller_id: i32 [0+, default(-1)],
        /// Brokers of the cluster.
        brokers: Vec<DescribeClusterBroker> [0+],
        /// What the client may do with the cluster, as bits; `i32::MIN` when not asked for.
        cluster_authorized_operations: i32 [0+, default(i32::MIN)],
    }

    /// One of the `brokers` of [`DescribeClusterResponse`].
    pub struct DescribeClusterBroker {
        /// Id of the broker.
        broker_id: i32 [0+],
        /// Host name to connect to.
        host: String [0+],
        /// Port to connect to.
        port: i32 [0+],
        /// Rack of the broker, or null.
        rack: Option<String> [0+, nullable(0+)],
        /// Whether the broker is fenced.
        is_fenced: bool [2+],
    }
}
