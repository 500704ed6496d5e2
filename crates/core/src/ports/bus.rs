//! The bus: how the engine reads and writes topics.
//!
//! Three implementations, one conformance suite: in-process on the embedded
//! broker (no socket, values are slices of the stored batch), librdkafka
//! against any Kafka cluster, and an in-memory one for tests of the engine.
//!
//! A transaction here is Kafka's (KIP-98): outputs, state changes and input
//! positions of one epoch become visible together or not at all.

use crate::ids::{Offset, PartitionId, TopicId, TopicPartition};
use crate::limits::MESSAGE_BYTES_MAX_DEFAULT;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// The client id of an engine whose bus is a cluster;
/// a broker of ours lets it write what holds the state of jobs.
pub const ENGINE_CLIENT_ID: &str = "millstream-engine";

/// What an operation on the bus can end with, other than well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The topic or partition is not there.
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// The topic is there already.
    #[error("topic {0} exists already")]
    TopicExists(String),
    /// The offset asked for is no longer, or not yet, in the log.
    #[error("offset {offset} is outside {topic_partition}")]
    OffsetOutOfRange {
        /// Where.
        topic_partition: TopicPartition,
        /// The offset asked for.
        offset: Offset,
    },
    /// A newer instance with the same transactional id has taken over.
    #[error("fenced: a newer instance of transactional id {0} has taken over")]
    Fenced(String),
    /// The transaction cannot commit; abort it and do its work again.
    #[error("the transaction must be aborted: {0}")]
    AbortRequired(String),
    /// A record or batch is larger than the topic takes.
    #[error("record too large: {0}")]
    TooLarge(String),
    /// Worth another try after a pause: no leader yet, a time-out, a broken
    /// connection.
    #[error("not available now: {0}")]
    Retriable(String),
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Anything that another try will not mend.
    #[error("{0}")]
    Fatal(String),
}

/// A topic as the bus sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Name.
    pub name: String,
    /// Identity; nil where the cluster has none.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: i32,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Topic settings by Kafka's names, e.g. `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
}

/// Which offset of a partition is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first that is still there.
    Earliest,
    /// One past the last readable at [`Isolation::ReadUncommitted`]: the high
    /// watermark.
    Latest,
    /// One past the last readable at [`Isolation::ReadCommitted`]: the last
    /// stable offset.
    LatestStable,
    /// The first whose timestamp is at or after this, in milliseconds since
    /// the Unix epoch; the end where there is none.
    TimestampMs(i64),
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// All below the high watermark.
    ReadUncommitted,
    /// Only those of no or of a committed transaction, below the last stable
    /// offset.
    ReadCommitted,
}

/// One header of a record. Keys may repeat; order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// Name.
    pub key: String,
    /// Value; `None` is null.
    pub value: Option<Bytes>,
}

/// A record read from a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where in the partition.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Key; `None` is null.
    pub key: Option<Bytes>,
    /// Value; `None` is null, a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order.
    pub headers: Vec<RecordHeader>,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProduceRecord {
    /// Milliseconds since the Unix epoch; `None` is now.
    pub timestamp_ms: Option<i64>,
    /// Key; `None` is null.
    pub key: Option<Bytes>,
    /// Value; `None` is null, a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order.
    pub headers: Vec<RecordHeader>,
}

/// Bytes of a record batch (format v2) before its records.
const BATCH_HEADER_BYTES: usize = 61;
/// Attributes, time delta and offset delta of a batch's first record.
const RECORD_FIXED_BYTES: usize = 3;

impl ProduceRecord {
    /// Bytes of a batch that holds this record alone, not compressed: what a
    /// topic's `max.message.bytes` is compared with (Kafka: Record Batch).
    pub fn batch_bytes(&self) -> usize {
        let field = |bytes: &Option<Bytes>| match bytes {
            Some(bytes) => varint_bytes(bytes.len()) + bytes.len(),
            None => 1,
        };
        let headers: usize = self
            .headers
            .iter()
            .map(|h| varint_bytes(h.key.len()) + h.key.len() + field(&h.value))
            .sum();
        let record = RECORD_FIXED_BYTES
            + field(&self.key)
            + field(&self.value)
            + varint_bytes(self.headers.len())
            + headers;
        BATCH_HEADER_BYTES + varint_bytes(record) + record
    }
}

/// Bytes of a length as a zigzag varint.
fn varint_bytes(length: usize) -> usize {
    let bits = usize::BITS as usize + 1 - length.leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Records that are in the log and that nobody can read: damaged on the disk,
/// or stored in a shape that cannot be decoded. A reader goes on behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRange {
    /// The first offset of the range.
    pub first_offset: Offset,
    /// The last one; how many records there were is not known.
    pub last_offset: Offset,
    /// What is wrong, for a person.
    pub reason: String,
}

/// Consecutive records of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedRecords {
    /// Whose.
    pub topic_partition: TopicPartition,
    /// In offset order, gaps possible (markers, compaction, aborted data);
    /// may be empty when only `next_offset` moved.
    pub records: Vec<Record>,
    /// What could not be read between `records`, in offset order: to be
    /// reported, never to be skipped in silence.
    pub unreadable: Vec<UnreadableRange>,
    /// Where to read on: one past the last record or control marker seen.
    pub next_offset: Offset,
    /// The end of what the reader may see now, at its isolation; lag is
    /// `end_offset - next_offset`.
    pub end_offset: Offset,
}

/// A log of topics that can be read, and written in transactions.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// All topics, internal ones (`__*`) included, by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError>;

    /// One topic; [`BusError::UnknownTopic`] when it is not there.
    async fn topic(&self, name: &str) -> Result<TopicInfo, BusError>;

    /// Bytes of the largest record batch that a topic takes
    /// (`max.message.bytes`), where the bus can tell; else Kafka's default.
    async fn batch_bytes_max(&self, topic: &str) -> Result<usize, BusError> {
        let _ = topic;
        Ok(MESSAGE_BYTES_MAX_DEFAULT)
    }

    /// Creates a topic and returns when it can be written to.
    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicInfo, BusError>;

    /// Deletes a topic and its records.
    async fn delete_topic(&self, name: &str) -> Result<(), BusError>;

    /// Removes the records below `before` of each partition; returns when
    /// they can no longer be read.
    async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), BusError>;

    /// An offset of each partition, in the order asked.
    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError>;

    /// The offsets that a consumer group has committed, where it has.
    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError>;

    /// A reader of explicitly assigned partitions, without a group.
    async fn reader(
        &self,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn BusReader>, BusError>;

    /// An idempotent writer without transactions.
    async fn writer(&self) -> Result<Box<dyn Writer>, BusError>;

    /// A transactional writer. Fences every older instance of
    /// `transactional_id` and completes or aborts what it left open before
    /// this returns (InitProducerId).
    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError>;
}

/// Reads assigned partitions in offset order.
#[async_trait]
pub trait BusReader: Send {
    /// Waits until something can be read or `wait_max` has passed (then the
    /// answer is empty). Reads at most about `bytes_max` bytes of records as
    /// they are in memory, but always at least one record, and in turn from
    /// all partitions. Cancel-safe: a dropped poll loses no record. What is
    /// read was checked against its checksum.
    ///
    /// Keys and values may be slices of a larger buffer that counts against a
    /// bound of the node: copy what is kept for long.
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError>;

    /// Adds a partition, or moves an assigned one to `offset`.
    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError>;
}

/// Writes records without a transaction.
#[async_trait]
pub trait Writer: Send {
    /// Appends the records in order and returns the offset of the first once
    /// all are acknowledged (`acks=all`).
    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<Offset, BusError>;
}

/// Writes records in transactions, one at a time.
///
/// After any error but [`BusError::Fenced`] and [`BusError::Fatal`] call
/// [`TransactionWriter::abort`], then begin again.
#[async_trait]
pub trait TransactionWriter: Send {
    /// Begins a transaction.
    async fn begin(&mut self) -> Result<(), BusError>;

    /// Adds records to the transaction, in order per partition. May return
    /// before they are acknowledged; [`TransactionWriter::commit`] waits.
    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<(), BusError>;

    /// Adds consumer-group offsets to the transaction: the *next* offset to
    /// read of each partition. They count from its commit on, and not if it
    /// aborts; on an external cluster they follow the commit and may be
    /// missing after a crash, so nothing reads on from them.
    async fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError>;

    /// Commits; when this returns, readers at
    /// [`Isolation::ReadCommitted`] can see the transaction's records.
    async fn commit(&mut self) -> Result<(), BusError>;

    /// Aborts.
    async fn abort(&mut self) -> Result<(), BusError>;
}

/// Names the partition numbers `0..count` of a topic.
pub fn all_partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count)
        .map(|p| TopicPartition {
            topic: topic.to_owned(),
            partition: PartitionId(p),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_long_as_its_record_needs() {
        let empty = ProduceRecord::default();
        // 61, then the record's length, 3 fixed bytes, two nulls, no headers.
        assert_eq!(empty.batch_bytes(), 61 + 1 + 6);
        let record = |bytes: usize| ProduceRecord {
            value: Some(Bytes::from(vec![0; bytes])),
            ..ProduceRecord::default()
        };
        // Lengths from 64 and from 8,192 take a byte more, twice.
        assert_eq!(record(64).batch_bytes() - record(50).batch_bytes(), 14 + 2);
        assert_eq!(varint_bytes(63), 1);
        assert_eq!(varint_bytes(64), 2);
        assert_eq!(varint_bytes(8_191), 2);
        assert_eq!(varint_bytes(8_192), 3);
    }
}
