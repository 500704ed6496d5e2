//! What can go wrong, by operation. The broker maps each variant to one Kafka
//! error code; the code is named in the variant's docs.

use millstream_core::ids::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId, TopicPartition,
};
use std::io;
use std::path::PathBuf;

/// Why a log has stopped: a sync failed, or the files could not be brought
/// back to a known state after a failed write. Never retried: after a failed
/// `fsync` the kernel may have dropped the pages and report success next time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{topic_partition} has stopped: {what}; what is below the high watermark can still be read. Check the disk, then restart the server"
)]
pub struct LogFailure {
    /// Which log.
    pub topic_partition: TopicPartition,
    /// What failed, with the path and the system's message.
    pub what: String,
}

/// Why an append was refused. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Length, magic or checksum do not hold (`CORRUPT_MESSAGE`).
    #[error("corrupt record batch: {0}")]
    Corrupt(String),
    /// The batch contradicts itself or is not for clients to send
    /// (`INVALID_RECORD`).
    #[error("invalid record batch: {0}")]
    InvalidRecord(String),
    /// An older message format (`UNSUPPORTED_FOR_MESSAGE_FORMAT`).
    #[error(
        "record batch of message format {0}: only format 2 is stored, use a client from Kafka 0.11 on"
    )]
    UnsupportedMagic(i8),
    /// Larger than `max.message.bytes` (`MESSAGE_TOO_LARGE`).
    #[error("record batch of {bytes} bytes: the topic takes {bytes_max}, see max.message.bytes")]
    TooLarge {
        /// Size of the batch.
        bytes: usize,
        /// The topic's limit.
        bytes_max: usize,
    },
    /// Expands to more than a batch of the topic may (`MESSAGE_TOO_LARGE`, on
    /// which a producer sends the records in smaller batches).
    #[error(
        "the records of the batch expand to more than {bytes_max} bytes, which is the most for a topic that takes batches of {message_bytes_max}: send smaller batches, or raise max.message.bytes"
    )]
    Expands {
        /// The most that a batch may expand to.
        bytes_max: usize,
        /// The topic's `max.message.bytes`.
        message_bytes_max: usize,
    },
    /// All batches together are larger than a segment
    /// (`RECORD_LIST_TOO_LARGE`).
    #[error("{bytes} bytes in one append: a segment holds {bytes_max}, see segment.bytes")]
    ListTooLarge {
        /// Size of the append.
        bytes: usize,
        /// The segment's limit.
        bytes_max: usize,
    },
    /// Too far in the future or past (`INVALID_TIMESTAMP`).
    #[error(
        "timestamp {timestamp_ms} is more than {after_ms_max} ms in the future or {before_ms_max} ms in the past, see message.timestamp.after.max.ms and message.timestamp.before.max.ms"
    )]
    InvalidTimestamp {
        /// One that is.
        timestamp_ms: i64,
        /// The topic's limit to the future, in ms.
        after_ms_max: i64,
        /// The topic's limit to the past, in ms.
        before_ms_max: i64,
        /// The records to blame, by their place in the batch; the first ones
        /// of many.
        records: Vec<i32>,
    },
    /// Marked as timestamped by the log, which only the log may do
    /// (`INVALID_TIMESTAMP`).
    #[error(
        "the batch calls its timestamps those of the log (LogAppendTime): a producer sends CreateTime"
    )]
    TimestampType {
        /// The records to blame, by their place in the batch; the first ones
        /// of many.
        records: Vec<i32>,
    },
    /// Compaction keeps the last record of each key: without one there is
    /// nothing to keep it by (`INVALID_RECORD`).
    #[error("a compacted topic cannot take a record without a key")]
    Keyless {
        /// The records to blame, by their place in the batch; the first ones
        /// of many.
        records: Vec<i32>,
    },
    /// A gap in the producer's sequence (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error("producer {producer_id} sent sequence {sequence} after {last_sequence}")]
    OutOfOrderSequence {
        /// Whose.
        producer_id: ProducerId,
        /// The first sequence of the refused batch.
        sequence: i32,
        /// The last sequence in the log; -1 is none in this epoch.
        last_sequence: i32,
    },
    /// Fenced by a newer epoch (`INVALID_PRODUCER_EPOCH`).
    #[error("producer {producer_id} has epoch {epoch}, a newer instance has {current}")]
    InvalidProducerEpoch {
        /// Whose.
        producer_id: ProducerId,
        /// The refused epoch.
        epoch: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// A record outside the producer's open transaction
    /// (`INVALID_TXN_STATE`).
    #[error("producer {0} sent a non-transactional batch within a transaction")]
    InvalidTxnState(ProducerId),
    /// A marker from an older transaction coordinator
    /// (`TRANSACTION_COORDINATOR_FENCED`).
    #[error("marker of coordinator epoch {epoch}, the newest seen is {current}")]
    CoordinatorFenced {
        /// The refused epoch.
        epoch: i32,
        /// The newest epoch seen.
        current: i32,
    },
    /// The caller leads in an older epoch than one already in the log
    /// (`NOT_LEADER_OR_FOLLOWER`).
    #[error("leader epoch {epoch} is older than {current}, which is in the log")]
    StaleLeaderEpoch {
        /// The caller's.
        epoch: LeaderEpoch,
        /// The newest in the log.
        current: LeaderEpoch,
    },
    /// The log has stopped (`KAFKA_STORAGE_ERROR`).
    #[error(transparent)]
    Failed(#[from] LogFailure),
    /// The write failed, e.g. on a full disk, and was undone
    /// (`KAFKA_STORAGE_ERROR`).
    #[error("cannot write {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a read was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log start or beyond the log end (`OFFSET_OUT_OF_RANGE`).
    #[error("offset {offset} is outside {log_start_offset}..={log_end_offset}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// First offset that is there.
        log_start_offset: Offset,
        /// One past the last.
        log_end_offset: Offset,
    },
    /// Stored bytes are not what was written (`CORRUPT_MESSAGE`).
    #[error("{path} is damaged at position {position}: {what}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Byte position.
        position: u64,
        /// What does not hold.
        what: String,
    },
    /// The disk did not answer (`KAFKA_STORAGE_ERROR`).
    #[error("cannot read {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a log or a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// E.g. `open`, `list`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Damage in the middle of the log, see the rule in
    /// [`crate::partition::recovery`]. The files were left as they are.
    #[error(
        "{path} is damaged at position {position} (offset {offset}), with {valid_bytes_after} bytes of valid batches after it: this is not a torn tail, so nothing was cut. Restore the file from a copy, or delete the partition's topic"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the first bad byte run begins.
        position: u64,
        /// The offset expected there.
        offset: Offset,
        /// Bytes of intact batches beyond.
        valid_bytes_after: u64,
    },
    /// Records that were on disk are gone.
    #[error(
        "{path} ends at offset {found}, but all below {expected} was on disk: restore the file from a copy, or delete the partition's topic"
    )]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Where it ends.
        found: Offset,
        /// Where it ended at the last checkpoint.
        expected: Offset,
    },
    /// A metadata file of the partition or folder does not parse.
    #[error("{path} line {line}: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1; 0 where the file is binary.
        line: usize,
        /// What does not hold.
        what: String,
    },
    /// The partition could not be opened at start.
    #[error("{topic_partition} is offline: {reason}")]
    Offline {
        /// Which one.
        topic_partition: TopicPartition,
        /// The error at start.
        reason: std::sync::Arc<OpenError>,
    },
    /// The folder belongs to another topic of the same name.
    #[error("{path} holds topic id {found}, expected {expected}")]
    TopicIdMismatch {
        /// The folder.
        path: PathBuf,
        /// In the folder.
        found: TopicId,
        /// Asked for.
        expected: TopicId,
    },
    /// The data folder belongs to another node or cluster.
    #[error("{path} belongs to {found}, this server is {expected}")]
    ForeignFolder {
        /// The folder's `meta.properties`.
        path: PathBuf,
        /// Cluster and node in it.
        found: String,
        /// This server's.
        expected: String,
    },
    /// Another process has the data folder open.
    #[error("{0} is in use by another process: stop it, or choose another data folder")]
    Locked(PathBuf),
    /// More partitions than [`millstream_core::limits::PARTITIONS_MAX`].
    #[error("{0} partitions: this node serves at most {max}", max = millstream_core::limits::PARTITIONS_MAX)]
    TooManyPartitions(usize),
}

/// Why a change to a log other than an append (truncation, deletion,
/// checkpoint, close) did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log has stopped (`KAFKA_STORAGE_ERROR`).
    #[error(transparent)]
    Failed(#[from] LogFailure),
    /// The offset asked for is not in the log (`OFFSET_OUT_OF_RANGE`).
    #[error("offset {offset} is outside {log_start_offset}..={high_watermark}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// First offset that is there.
        log_start_offset: Offset,
        /// End of what may be read.
        high_watermark: Offset,
    },
    /// The partition is not there (`UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("{0} is not on this node")]
    Unknown(TopicPartition),
    /// A read that the change needed failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system refused (`KAFKA_STORAGE_ERROR`).
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// E.g. `rename`, `sync`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
