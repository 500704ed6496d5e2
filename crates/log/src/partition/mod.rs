//! One partition's log.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the type, its offsets, its settings |
//! | `append.rs` | validation and append |
//! | `read.rs` | reads, searches by time and epoch |
//! | `flush.rs` | sync, high watermark, failure |
//! | `checkpoint.rs` | moving the recovery point |
//! | `wait.rs`, `ready.rs` | waiting for progress |
//! | `clean.rs` | what the cleaner needs, replacing segments |
//! | `retain.rs` | retention, deletion of records, truncation |
//! | `recovery.rs` | opening, after a clean and an unclean stop |
//!
//! Locks, in the order in which they may be taken: `changing` (one checkpoint,
//! deletion or truncation at a time), `flushing` (one sync of batches at a
//! time), `writer` (held for one `write` into the page cache, never during a
//! sync, but for a truncation), `segments` (held for a look-up). Readers take
//! `segments` only; an append takes `writer` and `segments`.

mod append;
pub(crate) mod checkpoint;
mod clean;
mod flush;
mod read;
mod ready;
pub mod recovery;
pub(crate) mod retain;
mod types;
mod validate;
mod wait;

pub use append::CheckedBatches;
pub use ready::ReadySet;
pub use types::{
    AbortedTransaction, AppendInfo, AppendOrigin, FetchRequest, FetchedBatches, FileRange,
    ProducerSummary, Progress, TimestampedOffset, UpTo,
};

use crate::checkpoint::OffsetCheckpoint;
use crate::config::LogConfig;
use crate::durability::{FlushState, Flusher};
use crate::epochs::LeaderEpochs;
use crate::error::LogFailure;
use crate::files::Files;
use crate::producers::ProducerState;
use crate::segment::Segment;
use crate::together::Together;
use millstream_core::env::{Clock, Fs};
use millstream_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// What all logs of a data folder share.
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    /// The files of all segments, over the same `fs`.
    pub(crate) files: Arc<Files>,
    pub(crate) together: Together,
    /// The logs that a crash now would have to scan, so that looking after
    /// them costs nothing for the others.
    pub(crate) touched: Mutex<Vec<Weak<PartitionLog>>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) log_starts: OffsetCheckpoint,
    pub(crate) recovery_points: OffsetCheckpoint,
    /// Below it all was cleaned.
    pub(crate) cleaned_to: OffsetCheckpoint,
    pub(crate) metrics: crate::manager::LogMetrics,
}

/// One partition's log. All methods may be called from any thread; those
/// that touch files block.
pub struct PartitionLog {
    me: Weak<Self>,
    shared: Arc<Shared>,
    topic_partition: TopicPartition,
    topic_id: TopicId,
    folder: Arc<Path>,
    config: RwLock<Arc<LogConfig>>,
    /// Ascending by base offset, never empty; the last one is active.
    segments: RwLock<Vec<Arc<Segment>>>,
    writer: Mutex<Writer>,
    /// Held by the one thread that syncs.
    flushing: Mutex<()>,
    /// Held by a checkpoint, a deletion or a truncation: whatever meets files
    /// other than the batches'.
    changing: Mutex<()>,
    flush_state: FlushState,
    progress: RwLock<Progress>,
    /// Told after each change that somebody may wait for.
    moved: Notify,
    wakers: wait::Wakers,
    /// Counts replacements of segments by cleaned ones.
    replacements: AtomicU64,
}

/// What an append changes.
struct Writer {
    producers: ProducerState,
    epochs: LeaderEpochs,
    log_end_offset: Offset,
    /// All below is on disk, names included.
    durable_offset: Offset,
    /// With page-cache durability: the high watermark may not pass it before
    /// it is on disk (`flush.messages`).
    sync_first: Option<Offset>,
    /// When the oldest append that is not on disk was made (`flush.ms`).
    unsynced_since_ms: Option<i64>,
    /// Below it no scan is needed after a crash.
    recovery_point: Offset,
    /// Bytes appended since the recovery point was last moved.
    bytes_since_checkpoint: u64,
    /// When the first of those was appended, by [`Clock::monotonic`].
    touched_at: Duration,
    /// Whether the log is in [`Shared::touched`].
    is_listed: bool,
    /// Sealed since the last sync, oldest first.
    sealed_unsynced: Vec<Arc<Segment>>,
    /// Sealed since the last checkpoint: their indexes are not durable.
    sealed_unindexed: Vec<Arc<Segment>>,
    /// Producer state at the base offset of segments since the last
    /// checkpoint, as snapshot files.
    snapshots: Vec<(Offset, Vec<u8>)>,
    /// Counts changes of names in the folder that a flush must sync.
    names_changed: u64,
    /// The count up to which they are durable.
    names_synced: u64,
    /// Counts truncations: a sync that began before one says nothing of the
    /// log after it.
    truncations: u64,
    failure: Option<LogFailure>,
    /// Whether the failure is only that it was closed or deleted.
    ended: bool,
}

impl PartitionLog {
    /// Topic and partition number.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's identity.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The partition's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All offsets at one moment.
    pub fn progress(&self) -> Progress {
        self.progress.read().clone()
    }

    /// First offset that is there.
    pub fn log_start_offset(&self) -> Offset {
        self.progress.read().log_start_offset
    }

    /// One past the last committed offset: what consumers may read.
    pub fn high_watermark(&self) -> Offset {
        self.progress.read().high_watermark
    }

    /// One past the last offset that `read_committed` may see.
    pub fn last_stable_offset(&self) -> Offset {
        self.progress.read().last_stable_offset
    }

    /// One past the last appended offset.
    pub fn log_end_offset(&self) -> Offset {
        self.progress.read().log_end_offset
    }

    /// Why the log has stopped, when it has.
    pub fn failure(&self) -> Option<LogFailure> {
        self.progress.read().failure.clone()
    }

    /// Whether it takes no more appends, see [`Self::failure`].
    pub fn has_stopped(&self) -> bool {
        self.progress.read().failure.is_some()
    }

    /// The newest leader epoch in the log.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.writer.lock().epochs.latest()
    }

    /// Where `epoch`, or the newest one before it, ended, and which that is
    /// (OffsetForLeaderEpoch); `None` for an epoch that is not known yet.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let writer = self.writer.lock();
        writer.epochs.end_offset_for(epoch, writer.log_end_offset)
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.writer.lock().epochs.epoch_at(offset)
    }

    /// The producers that this partition remembers, by id.
    pub fn producers(&self) -> Vec<ProducerSummary> {
        self.writer.lock().producers.summaries()
    }

    /// Bytes of all segments, without indexes.
    pub fn size_bytes(&self) -> u64 {
        self.segments.read().iter().map(|s| s.size()).sum()
    }

    /// Number of segments.
    pub fn segments_count(&self) -> usize {
        self.segments.read().len()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    /// Puts new settings in force, from the next append on.
    pub fn update_config(&self, config: LogConfig) {
        *self.config.write() = Arc::new(config.bounded());
        // What the old policy left uncommitted must not wait for an append.
        if self.high_watermark() < self.log_end_offset() {
            self.request_flush();
        }
    }

    pub(crate) fn active(&self) -> Arc<Segment> {
        let segments = self.segments.read();
        // Never empty: opening creates one, and only sealed ones are removed.
        Arc::clone(&segments[segments.len() - 1])
    }

    /// The segment that holds `offset`, or would.
    fn segment_of(&self, offset: Offset) -> Arc<Segment> {
        let segments = self.segments.read();
        let after = segments.partition_point(|s| s.base_offset() <= offset.0);
        Arc::clone(&segments[after.saturating_sub(1)])
    }

    /// The segment after the one that begins at `base_offset`.
    fn segment_after(&self, base_offset: i64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        segments
            .get(segments.partition_point(|s| s.base_offset() <= base_offset))
            .cloned()
    }

    /// Computes and publishes the offsets after any change; `writer` is
    /// locked by the caller.
    fn publish(&self, writer: &mut Writer, high_watermark: Offset) {
        writer.producers.on_high_watermark(high_watermark);
        let unstable = writer.producers.first_unstable().unwrap_or(high_watermark);
        // An append that is not committed yet concerns no one who waits: with
        // sync, every second wake-up would be for nothing.
        let mut p = self.progress.write();
        let before = (p.high_watermark, p.last_stable_offset, p.failure.is_some());
        p.log_end_offset = writer.log_end_offset;
        p.high_watermark = high_watermark;
        p.last_stable_offset = unstable.min(high_watermark).max(p.log_start_offset);
        p.failure.clone_from(&writer.failure);
        debug_assert!(p.log_start_offset <= p.last_stable_offset);
        debug_assert!(p.last_stable_offset <= p.high_watermark);
        debug_assert!(p.high_watermark <= p.log_end_offset);
        if before != (p.high_watermark, p.last_stable_offset, p.failure.is_some()) {
            // Before anybody sees the change: a client that fetches when
            // its Produce is answered finds the partition marked.
            self.wakers.wake();
            drop(p);
            self.moved.notify_waiters();
        }
    }

    /// Notes bytes that a crash would have to scan; `writer` is locked by the
    /// caller.
    fn touch(&self, writer: &mut Writer, bytes: u64) {
        if writer.bytes_since_checkpoint == 0 {
            writer.touched_at = self.shared.clock.monotonic();
        }
        writer.bytes_since_checkpoint += bytes;
        if !writer.is_listed {
            writer.is_listed = true;
            self.shared.touched.lock().push(self.me.clone());
        }
    }

    /// The bytes beyond the recovery point and since when there are any. When
    /// there are none, the caller is to take the log off [`Shared::touched`].
    /// Ages the last append that is kept in memory; none outlives the listing.
    pub(crate) fn touched_or_unlisted(&self) -> Option<(u64, Duration)> {
        let mut writer = self.writer.lock();
        if writer.bytes_since_checkpoint == 0 || writer.failure.is_some() {
            writer.is_listed = false;
            self.active().drop_tail();
            return None;
        }
        self.active().age_tail();
        Some((writer.bytes_since_checkpoint, writer.touched_at))
    }

    /// Whether its topic was deleted or the log was closed.
    pub(crate) fn is_ended(&self) -> bool {
        self.writer.lock().ended
    }

    /// Closes files that nothing waits for; they are opened when next used.
    pub(crate) fn close_files(&self) {
        for segment in self.segments.read().iter() {
            segment.close_files();
        }
    }

    fn request_flush(&self) {
        if let Some(me) = self.me.upgrade() {
            self.shared.flusher.request(me);
        }
    }
}

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
