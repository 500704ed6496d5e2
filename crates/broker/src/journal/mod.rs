//! How the coordinators keep their state: two internal topics, seen through
//! a small seam.
//!
//! The group coordinator writes `__consumer_offsets`, the transaction
//! coordinator `__transaction_state`, both in Kafka's record formats. They
//! know nothing of partitions, replicas or metadata beyond [`Journal`]; the
//! broker hands them its own logs, the tests an in-memory one.
//!
//! Invariants an implementation keeps:
//! - appends to one partition take places in the order of the calls;
//! - what is durable is a prefix: when an append is durable, so is everything
//!   before it in that partition.

#[cfg(test)]
pub mod memory;
pub(crate) mod rewrite;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt;

/// A topic that the broker keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InternalTopic {
    /// Groups and their offsets.
    ConsumerOffsets,
    /// Transactional ids.
    TransactionState,
}

impl InternalTopic {
    /// The topic's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsumerOffsets => "__consumer_offsets",
            Self::TransactionState => "__transaction_state",
        }
    }
}

impl fmt::Display for InternalTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the journal could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Worth another try: the topic is being created, the partition has no
    /// leader.
    #[error("not available now: {0}")]
    Unavailable(String),
    /// This node does not lead the partition.
    #[error("this node does not lead the partition")]
    NotLeader,
    /// The producer of a transactional batch is of an older epoch.
    #[error("the producer has been fenced")]
    ProducerFenced,
    /// The record is larger than a batch may be.
    #[error("the record is too large: {0}")]
    TooLarge(String),
    /// The log has stopped or refused the record; another try will not mend
    /// it.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// A batch that has its place in the log and is on its way to the disk.
pub struct Appended {
    /// Offset of the batch's first record.
    pub base_offset: i64,
    /// Ends when the batch is durable by the log's policy.
    pub durable: BoxFuture<'static, Result<(), JournalError>>,
}

impl fmt::Debug for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appended")
            .field("base_offset", &self.base_offset)
            .finish_non_exhaustive()
    }
}

/// Batches read from a partition.
#[derive(Debug, Clone)]
pub struct JournalChunk {
    /// Whole batches, one after the other; empty at the end of the log.
    pub batches: Bytes,
    /// Where to read on.
    pub next_offset: i64,
}

/// The internal topics of the coordinators.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Number of partitions of the topic, if it exists.
    fn partitions(&self, topic: InternalTopic) -> Option<i32>;

    /// Number of partitions of the topic, which is created with `partitions`
    /// if it does not exist; returns when it can be written to.
    async fn ensure(&self, topic: InternalTopic, partitions: i32) -> Result<i32, JournalError>;

    /// Appends a batch. Does not wait for the disk.
    fn append(
        &self,
        topic: InternalTopic,
        partition: i32,
        batch: Bytes,
    ) -> Result<Appended, JournalError>;

    /// Offset of the first record that is still there.
    fn start_offset(&self, topic: InternalTopic, partition: i32) -> Result<i64, JournalError>;

    /// Drops the records below `before`, all of which have newer ones;
    /// returns when that is durable.
    async fn trim(
        &self,
        topic: InternalTopic,
        partition: i32,
        before: i64,
    ) -> Result<(), JournalError>;

    /// Reads batches at and after `offset`, up to the end of the log.
    async fn read(
        &self,
        topic: InternalTopic,
        partition: i32,
        offset: i64,
    ) -> Result<JournalChunk, JournalError>;
}

/// The partition of an internal topic that a group or transactional id lives
/// in: Java's `String.hashCode` over UTF-16, as every Kafka tool computes it.
pub fn partition_for(id: &str, partitions: i32) -> i32 {
    let hash = id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Kafka's Utils.abs: the one number without a positive twin becomes 0.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_live_in_the_partition_that_kafka_computes() {
        // "abc".hashCode() is 96354; "polygenelubricants" hashes to
        // Integer.MIN_VALUE, which Kafka maps to 0.
        assert_eq!(partition_for("abc", 50), 96354 % 50);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(
            partition_for("订单", 50),
            ("订单"
                .encode_utf16()
                .fold(0i64, |h, u| h * 31 + i64::from(u))
                % 50) as i32
        );
    }
}
