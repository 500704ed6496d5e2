//! WriteTxnMarkers (key 27): writes the markers that end transactions; between brokers only.

crate::message! {
    /// Writes the markers that end transactions; between brokers only: what the client asks.
    pub struct WriteTxnMarkersRequest(1-2, flexible 1+) {
        /// Markers to write.
        markers: Vec<WritableTxnMarker> [0+],
    }

    /// One of the `markers` of [`WriteTxnMarkersRequest`].
    pub struct WritableTxnMarker {
        /// Producer id.
        producer_id: i64 [0+],
        /// Producer epoch.
        producer_epoch: i16 [0+],
        /// Whether the marker commits; otherwise it aborts.
        transaction_result: bool [0+],
        /// Topics.
        topics: Vec<WritableTxnMarkerTopic> [0+],
        /// Epoch of the transaction coordinator.
        coordinator_epoch: i32 [0+],
        /// `transaction.version` of the marker (KIP-1228).
        transaction_version: i8 [2+, ignorable],
    }

    /// One of the `topics` of [`WritableTxnMarker`].
    pub struct WritableTxnMarkerTopic {
        /// Topic name.
        name: String [0+],
        /// Partition numbers.
        partition_indexes: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`WriteTxnMarkersRequest`].
    pub struct WriteTxnMarkersResponse(1-2, flexible 1+) {
        /// One result for each producer.
        markers: Vec<WritableTxnMarkerResult> [0+],
    }

    /// One of the `markers` of [`WriteTxnMarkersResponse`].
    pub struct WritableTxnMarkerResult {
        /// Producer id.
        producer_id: i64 [0+],
        /// Topics.
        topics: Vec<WritableTxnMarkerTopicResult> [0+],
    }

    /// One of the `topics` of [`WritableTxnMarkerResult`].
    pub struct WritableTxnMarkerTopicResult {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<WritableTxnMarkerPartitionResult> [0+],
    }

    /// One of the `partitions` of [`WritableTxnMarkerTopicResult`].
    pub struct WritableTxnMarkerPartitionResult {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
