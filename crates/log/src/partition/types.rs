//! What goes into and comes out of a partition's log.

use crate::error::LogFailure;
use bytes::Bytes;
use millstream_core::env::FsFile;
use millstream_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use std::io;
use std::sync::Arc;

/// Who appends, which decides what is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked, control batches are refused.
    Client,
    /// The same, by a Produce that adds to transactions of
    /// `transaction.version` 2 (KIP-890): each of their epochs begins with
    /// sequence 0, and a producer is known as long as its transaction is open.
    /// So a first batch with another sequence follows one that was refused and
    /// will come again, and would make that one out of order for ever.
    ClientV2,
    /// A coordinator of this cluster: markers and the records of internal
    /// topics. Producer ids without sequences and control batches are
    /// allowed; epochs are still fenced.
    Coordinator,
    /// The same, for markers of `transaction.version` 2 (KIP-890): their epoch
    /// must be above that of the transaction they end.
    CoordinatorV2,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record. For a duplicate: of the original.
    pub first_offset: Offset,
    /// Offset of the last record. Acknowledge `acks=all` when the high
    /// watermark is beyond it: `wait_high_watermark(info.end_offset())`.
    pub last_offset: Offset,
    /// The time set by the log, in ms since the Unix epoch; `None` with
    /// `CreateTime` (-1 in a Produce response).
    pub log_append_time_ms: Option<i64>,
    /// First offset that is there.
    pub log_start_offset: Offset,
    /// Whether nothing was written, because the batch is one of its
    /// producer's last five.
    pub duplicate: bool,
}

impl AppendInfo {
    /// One past the last offset.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.last_offset.plus(1)
    }
}

impl AppendOrigin {
    /// Whether a producer appends.
    pub(crate) fn is_client(self) -> bool {
        matches!(self, Self::Client | Self::ClientV2)
    }
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpTo {
    /// All that is committed: `read_uncommitted`.
    HighWatermark,
    /// All that is decided: `read_committed`. Aborted records are among it,
    /// see [`FetchedBatches::aborted`].
    LastStable,
    /// All that was appended: followers and the coordinators' own reload.
    LogEnd,
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchRequest {
    /// From here; an offset within a batch gives the whole batch.
    pub offset: Offset,
    /// At most this many bytes, in whole batches.
    pub bytes_max: usize,
    /// Give the first batch even when it is larger than `bytes_max`
    /// (KIP-74: an oversized record would stall its consumer for ever).
    pub min_one_batch: bool,
    /// How far.
    pub up_to: UpTo,
}

/// What was read, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedBatches<B = Bytes> {
    /// Whole batches, one after another; may be empty.
    pub batches: B,
    /// Where the next read goes on: one past the last batch, or the offset
    /// asked for when there is none.
    pub next_offset: Offset,
    /// With [`UpTo::LastStable`]: the aborted transactions that touch these
    /// batches, sorted by first offset. Empty otherwise.
    pub aborted: Vec<AbortedTransaction>,
    /// As it was for this read.
    pub high_watermark: Offset,
    /// As it was for this read.
    pub last_stable_offset: Offset,
    /// As it was for this read.
    pub log_start_offset: Offset,
}

impl<B> FetchedBatches<B> {
    /// The same with the batches in another form.
    pub fn map<C>(self, form: impl FnOnce(B) -> C) -> FetchedBatches<C> {
        FetchedBatches {
            batches: form(self.batches),
            next_offset: self.next_offset,
            aborted: self.aborted,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset,
            log_start_offset: self.log_start_offset,
        }
    }
}

/// Whole batches that were found in a file and not read. The file stays open
/// as long as this lives, whatever becomes of its segment.
#[derive(Clone)]
pub struct FileRange {
    /// The segment's file.
    pub file: Arc<dyn FsFile>,
    /// Where the first batch begins.
    pub position: u64,
    /// Bytes of all of them.
    pub size: usize,
}

impl FileRange {
    /// The batches, where they are needed in memory after all.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.size];
        self.file.read_exact_at(&mut bytes, self.position)?;
        Ok(bytes.into())
    }
}

impl std::fmt::Debug for FileRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileRange({} bytes at {})", self.size, self.position)
    }
}

/// A transaction whose records are not to be shown to `read_committed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTransaction {
    /// Offset of its first record in this partition.
    pub first_offset: Offset,
    /// Offset of its abort marker.
    pub last_offset: Offset,
    /// Whose.
    pub producer_id: ProducerId,
    /// The last stable offset right after the marker.
    pub last_stable_offset: Offset,
}

/// A record found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp in ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: LeaderEpoch,
}

/// The offsets of a partition at one moment, and whether it has stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// First offset that is there.
    pub log_start_offset: Offset,
    /// One past the last offset that `read_committed` may see.
    pub last_stable_offset: Offset,
    /// One past the last committed offset.
    pub high_watermark: Offset,
    /// One past the last offset.
    pub log_end_offset: Offset,
    /// Set when the log has stopped.
    pub failure: Option<LogFailure>,
}

/// A producer with state in this partition (DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSummary {
    /// Whose.
    pub producer_id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Its last sequence; -1 is none.
    pub last_sequence: i32,
    /// The timestamp of its last batch, in ms since the Unix epoch.
    pub last_timestamp_ms: i64,
    /// The epoch of the coordinator that wrote its last marker; -1 is none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins here.
    pub transaction_start: Option<Offset>,
}
