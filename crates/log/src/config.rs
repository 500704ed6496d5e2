//! The settings of one partition's log, typed. Kafka's dotted names map to
//! these fields in the broker's one table of topic configs.

use crate::names::SegmentPath;
use millstream_wire::compression::Compression;

/// What happens to old records (`cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Whole segments are deleted by age and size.
    Delete,
    /// Of each key the newest record is kept; nothing is deleted by age or
    /// size.
    Compact,
    /// Both.
    CompactAndDelete,
}

/// Whose timestamp a record carries (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The moment of the append; overwritten in the batch.
    LogAppendTime,
}

/// How batches are compressed in the log (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredCompression {
    /// As their producer sent them.
    Producer,
    /// This way, at a level of the codec's own (`None` is its default). A
    /// batch that comes this way already is stored as it is.
    As(Compression, Option<i32>),
}

/// When a record counts as committed on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After `fdatasync` of its bytes: power loss loses nothing acknowledged.
    Fsync,
    /// When its bytes are in the page cache, which is Kafka's promise:
    /// SIGKILL loses nothing, power loss may. Synced in the background.
    PageCache,
}

/// The settings of one partition's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it would grow beyond this.
    pub segment_bytes: u32,
    /// `segment.ms`: ... or when its first batch is this much older than the
    /// batch to append.
    pub segment_ms: i64,
    /// `segment.index.bytes`: ... or when its offset index would grow beyond
    /// this.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes of log between two index entries.
    pub index_interval_bytes: u32,
    /// `retention.ms`: segments whose newest record is older are deleted;
    /// `None` keeps them.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`: oldest segments are deleted while the rest is at
    /// least this large; `None` keeps them.
    pub retention_bytes: Option<u64>,
    /// `max.message.bytes`: largest batch as stored.
    pub message_bytes_max: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.after.max.ms`: how far in the future a producer's
    /// timestamp may lie.
    pub timestamp_after_ms_max: i64,
    /// `message.timestamp.before.max.ms`: how far in the past it may lie.
    /// Below `i64::MAX` every batch is decoded to see.
    pub timestamp_before_ms_max: i64,
    /// `compression.type` and `compression.*.level`.
    pub compression: StoredCompression,
    /// `segment.jitter.ms`: each segment is closed up to this much before
    /// `segment_ms`.
    pub segment_jitter_ms: i64,
    /// `flush.messages`: offsets that may be unsynced before the next records
    /// have to wait for a sync, with [`Durability::PageCache`].
    pub flush_messages: u64,
    /// `flush.ms`: how long records may be unsynced, with
    /// [`Durability::PageCache`], give or take a tick of the upkeep.
    pub flush_ms: i64,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `min.cleanable.dirty.ratio`, in millionths: part of a compacted log
    /// that must be dirty before the cleaner takes it up.
    pub dirty_ratio_min_ppm: u32,
    /// `min.compaction.lag.ms`: records younger than this are not compacted.
    pub compaction_lag_ms_min: i64,
    /// `max.compaction.lag.ms`: the cleaner takes up a log whose oldest dirty
    /// record is older than this, whatever the ratio.
    pub compaction_lag_ms_max: i64,
    /// `delete.retention.ms`: how long tombstones and markers outlive what
    /// they end.
    pub delete_retention_ms: i64,
    /// When a record counts as committed.
    pub durability: Durability,
    /// `producer.id.expiration.ms`: a producer without an open transaction
    /// that was silent for this long is forgotten, and may go on with any
    /// sequence number.
    pub producer_expiration_ms: i64,
}

/// Positions in a segment are 32 bit signed in the index files.
pub const SEGMENT_BYTES_MAX: u32 = i32::MAX as u32;
/// Smallest accepted `segment.bytes`: below it every batch would be its own
/// segment.
pub const SEGMENT_BYTES_MIN: u32 = 1024;

impl Default for LogConfig {
    /// Kafka's defaults for a topic, with [`Durability::Fsync`].
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            message_bytes_max: millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT as u32,
            timestamp_type: TimestampType::CreateTime,
            timestamp_after_ms_max: 3_600_000,
            timestamp_before_ms_max: i64::MAX,
            compression: StoredCompression::Producer,
            segment_jitter_ms: 0,
            flush_messages: i64::MAX as u64,
            flush_ms: i64::MAX,
            cleanup_policy: CleanupPolicy::Delete,
            dirty_ratio_min_ppm: 500_000,
            compaction_lag_ms_min: 0,
            compaction_lag_ms_max: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
            durability: Durability::Fsync,
            producer_expiration_ms: 24 * 3_600_000,
        }
    }
}

impl LogConfig {
    /// The same settings with sizes forced into what the file format holds.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        self.segment_bytes = self
            .segment_bytes
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        self.index_interval_bytes = self.index_interval_bytes.max(1);
        self
    }

    /// `segment.ms` less this segment's share of `segment.jitter.ms`. A
    /// compacted log must close a segment before `max.compaction.lag.ms`, or
    /// the cleaner could not keep to it.
    pub(crate) fn segment_ms_of(&self, segment: &SegmentPath) -> i64 {
        let bound = match self.compacts() {
            true => self.segment_ms.min(self.compaction_lag_ms_max),
            false => self.segment_ms,
        };
        let jitter_max = self.segment_jitter_ms.clamp(0, bound);
        // By its path, so that a replay gives the same segments.
        let share = u128::from(segment.hash());
        let jitter = (jitter_max.unsigned_abs() as u128 * share) >> 32;
        bound - i64::try_from(jitter).unwrap_or(jitter_max)
    }

    /// Whether the cleaner looks after it.
    pub(crate) fn compacts(&self) -> bool {
        self.cleanup_policy != CleanupPolicy::Delete
    }

    /// Whether age and size may delete records.
    pub(crate) fn deletes_old_segments(&self) -> bool {
        self.cleanup_policy != CleanupPolicy::Compact
    }
}
