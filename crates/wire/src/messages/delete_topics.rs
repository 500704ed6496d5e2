//! DeleteTopics (key 20): deletes topics.
//!
//! Version 6 names topics by name or by id (KIP-516).

use uuid::Uuid;

crate::message! {
    /// Deletes topics: what the client asks.
    pub struct DeleteTopicsRequest(1-6, flexible 4+) {
        /// Topics.
        topics: Vec<DeleteTopicState> [6+],
        /// Topics to delete.
        topic_names: Vec<String> [0-5, ignorable],
        /// Milliseconds to wait.
        timeout_ms: i32 [0+],
    }

    /// One of the `topics` of [`DeleteTopicsRequest`].
    pub struct DeleteTopicState {
        /// Topic name.
        name: Option<String> [6+, nullable(6+)],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [6+],
    }
}

crate::message! {
    /// What the broker answers to [`DeleteTopicsRequest`].
    pub struct DeleteTopicsResponse(1-6, flexible 4+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// One answer for each topic.
        responses: Vec<DeletableTopicResult> [0+],
    }

    /// One of the `responses` of [`DeleteTopicsResponse`].
    pub struct DeletableTopicResult {
        /// Topic name.
        name: Option<String> [0+, nullable(6+), default(Some(String::new()))],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [6+, ignorable],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [5+, nullable(5+), ignorable],
    }
}
