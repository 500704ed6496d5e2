//! Produce (key 0): appends record batches.
//!
//! Version 9 is the first flexible one; 10 tells where a moved leader is
//! (KIP-951); 12 adds the partitions to the transaction by itself (KIP-890); 13
//! names topics by id (KIP-516). Versions 0 to 2 are listed because librdkafka
//! drops compression when they are not; their records are of formats that are
//! refused.

use bytes::Bytes;
use uuid::Uuid;

crate::message! {
    /// Appends record batches: what the client asks.
    pub struct ProduceRequest(0-13, flexible 9+) {
        /// Transactional id; null outside a transaction.
        transactional_id: Option<String> [3+, nullable(3+)],
        /// Who must have the records before the answer: 0 nobody (and no answer), 1 the leader, -1
        /// every in-sync replica.
        acks: i16 [0+],
        /// Milliseconds to wait.
        timeout_ms: i32 [0+],
        /// Topics.
        topic_data: Vec<TopicProduceData> [0+],
    }

    /// One of the `topic_data` of [`ProduceRequest`].
    pub struct TopicProduceData {
        /// Topic name.
        name: String [0-12, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [13+, ignorable],
        /// Partitions.
        partition_data: Vec<PartitionProduceData> [0+],
    }

    /// One of the `partition_data` of [`TopicProduceData`].
    pub struct PartitionProduceData {
        /// Partition number.
        index: i32 [0+],
        /// Record batches, one after another: see [`split_batches`](crate::batch::split_batches).
        records: Option<Bytes> [0+, nullable(0+)],
    }
}

crate::message! {
    /// What the broker answers to [`ProduceRequest`].
    pub struct ProduceResponse(0-13, flexible 9+) {
        /// One answer for each topic.
        responses: Vec<TopicProduceResponse> [0+],
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Where the leaders named above are reached (KIP-951).
        node_endpoints: Vec<NodeEndpoint> [10+, tag(0)],
    }

    /// One of the `responses` of [`ProduceResponse`].
    pub struct TopicProduceResponse {
        /// Topic name.
        name: String [0-12, ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [13+, ignorable],
        /// One answer for each partition.
        partition_responses: Vec<PartitionProduceResponse> [0+],
    }

    /// One of the `partition_responses` of [`TopicProduceResponse`].
    pub struct PartitionProduceResponse {
        /// Partition number.
        index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// Offset given to the first record; -1 on an error.
        base_offset: i64 [0+],
        /// Time of the append in milliseconds since 1970, when the topic's timestamps are the
        /// log's; otherwise -1.
        log_append_time_ms: i64 [2+, default(-1), ignorable],
        /// First offset of the log; -1 is unknown.
        log_start_offset: i64 [5+, default(-1), ignorable],
        /// The records that made the batch be refused (KIP-467).
        record_errors: Vec<BatchIndexAndErrorMessage> [8+, ignorable],
        /// The error in words, or null.
        error_message: Option<String> [8+, nullable(8+), ignorable],
        /// The leader to ask instead, with an error that says the leader is another (KIP-951,
        /// KIP-595).
        current_leader: LeaderIdAndEpoch [10+, tag(0)],
    }

    /// One of the `record_errors` of [`PartitionProduceResponse`].
    pub struct BatchIndexAndErrorMessage {
        /// Place of the record in its batch, from 0.
        batch_index: i32 [8+],
        /// Why this record was refused.
        batch_index_error_message: Option<String> [8+, nullable(8+)],
    }

    /// The `current_leader` of [`PartitionProduceResponse`].
    pub struct LeaderIdAndEpoch {
        /// Id of the leader; -1 is none.
        leader_id: i32 [10+, default(-1)],
        /// Leader epoch; -1 is unknown.
        leader_epoch: i32 [10+, default(-1)],
    }

    /// One of the `node_endpoints` of [`ProduceResponse`].
    pub struct NodeEndpoint {
        /// Id of the broker.
        node_id: i32 [10+],
        /// Host name to connect to.
        host: String [10+],
        /// Port to connect to.
        port: i32 [10+],
        /// Rack of the broker, or null.
        rack: Option<String> [10+, nullable(10+)],
    }
}
