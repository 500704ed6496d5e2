//! What the coordinator needs from the rest of the broker: somebody who
//! writes end markers into partitions, and somebody who hands out producer
//! ids.

use super::image::{ClientVersion, Producer, TxnOutcome};
use async_trait::async_trait;
use millstream_core::ids::{ProducerId, TopicPartition};
use std::ops::Range;

/// An end marker to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Whose transaction ends; the epoch is above that of its batches when its
    /// producer is fenced, and always with version 2.
    pub producer: Producer,
    /// With [`ClientVersion::V2`] a partition refuses the marker unless its
    /// epoch is above that of the open transaction (KIP-1228).
    pub version: ClientVersion,
    /// How it ends.
    pub outcome: TxnOutcome,
    /// Epoch of the coordinator.
    pub coordinator_epoch: i32,
}

/// Why a marker could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// The partition is no more; there is nothing to end.
    #[error("the partition does not exist any more")]
    PartitionGone,
    /// A newer epoch of the producer has been seen there: this marker has
    /// been written before.
    #[error("the partition has seen a newer epoch")]
    Fenced,
    /// A newer epoch of the coordinator has been seen there.
    #[error("the partition has seen a newer coordinator")]
    CoordinatorFenced,
    /// Worth another try.
    #[error("not available now: {0}")]
    Retriable(String),
}

/// Writes end markers.
#[async_trait]
pub trait MarkerWriter: Send + Sync + 'static {
    /// Writes the marker into the partition. Returns when it is durable, the
    /// last stable offset has moved, and, for a partition of
    /// `__consumer_offsets`, the group coordinator has been told.
    async fn write(&self, partition: &TopicPartition, marker: Marker) -> Result<(), MarkerError>;
}

/// Hands out producer ids.
#[async_trait]
pub trait ProducerIdSource: Send + Sync + 'static {
    /// A block of ids that nobody else has been or will be given.
    async fn next_block(&self) -> Result<Range<i64>, String>;
}

/// Producer ids, taken block by block.
pub(super) struct ProducerIds {
    source: std::sync::Arc<dyn ProducerIdSource>,
    block: tokio::sync::Mutex<Range<i64>>,
}

impl ProducerIds {
    pub(super) fn new(source: std::sync::Arc<dyn ProducerIdSource>) -> Self {
        Self {
            source,
            block: tokio::sync::Mutex::new(0..0),
        }
    }

    /// An id that nobody else has.
    pub(super) async fn next(&self) -> Result<ProducerId, super::error::TxnError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            *block = self.source.next_block().await.map_err(|error| {
                tracing::warn!(%error, "no producer ids to be had");
                super::error::TxnError::NotAvailable
            })?;
        }
        block
            .next()
            .map(ProducerId)
            .ok_or(super::error::TxnError::NotAvailable)
    }
}
