//! The settings of one partition's log, typed. Kafka's dotted names map to
//! these fields in the broker's one table of topic configs.

/// What happens to old records (`cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Whole segments are deleted by age and size.
    Delete,
    /// Nothing is deleted by age or size. There is no cleaner yet, so a
    /// compacted log keeps every record; that is correct, only larger.
    Compact,
    /// Both: treated as [`CleanupPolicy::Delete`] until there is a cleaner,
    /// because the policy allows deletion by age and size.
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
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
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
            cleanup_policy: CleanupPolicy::Delete,
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

    /// Whether age and size may delete records.
    pub(crate) fn deletes_old_segments(&self) -> bool {
        self.cleanup_policy != CleanupPolicy::Compact
    }
}
