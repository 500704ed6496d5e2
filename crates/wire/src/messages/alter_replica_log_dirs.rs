//! AlterReplicaLogDirs (key 34): moves partitions between folders of a broker
//! (KIP-113).

crate::message! {
    /// Moves partitions between folders of a broker: what the client asks.
    pub struct AlterReplicaLogDirsRequest(1-2, flexible 2+) {
        /// Folders, each with what is to be in it.
        dirs: Vec<AlterReplicaLogDir> [0+],
    }

    /// One of the `dirs` of [`AlterReplicaLogDirsRequest`].
    pub struct AlterReplicaLogDir {
        /// Path of the folder.
        path: String [0+],
        /// Topics.
        topics: Vec<AlterReplicaLogDirTopic> [0+],
    }

    /// One of the `topics` of [`AlterReplicaLogDir`].
    pub struct AlterReplicaLogDirTopic {
        /// Topic name.
        name: String [0+],
        /// Partitions.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the broker answers to [`AlterReplicaLogDirsRequest`].
    pub struct AlterReplicaLogDirsResponse(1-2, flexible 2+) {
        /// Milliseconds for which the client is to hold back, by its quota.
        throttle_time_ms: i32 [0+],
        /// One result for each topic.
        results: Vec<AlterReplicaLogDirTopicResult> [0+],
    }

    /// One of the `results` of [`AlterReplicaLogDirsResponse`].
    pub struct AlterReplicaLogDirTopicResult {
        /// Topic name.
        topic_name: String [0+],
        /// One result for each partition.
        partitions: Vec<AlterReplicaLogDirPartitionResult> [0+],
    }

    /// One of the `partitions` of [`AlterReplicaLogDirTopicResult`].
    pub struct AlterReplicaLogDirPartitionResult {
        /// Partition number.
        partition_index: i32 [0+],
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
    }
}
