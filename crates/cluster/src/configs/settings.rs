//! Settings, typed.

use super::{ConfigView, broker_config, group_config, topic_config};
use crate::image::ConfigMap;
use millstream_log::CleanerConfig;
use millstream_log::config::{
    CleanupPolicy, Durability, LogConfig, StoredCompression, TimestampType,
};
use millstream_wire::compression::Compression;
use std::str::FromStr;
use std::time::Duration;

/// A topic's settings, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Those of each partition's log, with [`Durability::Fsync`]: durability
    /// is the broker's choice, see [`TopicSettings::log_config`].
    log: LogConfig,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

impl TopicSettings {
    pub(super) fn read(view: &ConfigView<'_>, configs: &ConfigMap) -> Self {
        let defaults = LogConfig::default();
        let text = |name: &str| {
            topic_config(name)
                .map(|def| view.topic(configs, def).value().to_owned())
                .unwrap_or_default()
        };
        let log = LogConfig {
            segment_bytes: number(&text("segment.bytes"), defaults.segment_bytes),
            segment_ms: number(&text("segment.ms"), defaults.segment_ms),
            segment_index_bytes: number(&text("segment.index.bytes"), defaults.segment_index_bytes),
            index_interval_bytes: number(
                &text("index.interval.bytes"),
                defaults.index_interval_bytes,
            ),
            retention_ms: number_or_none(&text("retention.ms")),
            retention_bytes: number_or_none(&text("retention.bytes")),
            message_bytes_max: number(&text("max.message.bytes"), defaults.message_bytes_max),
            timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_after_ms_max: number(
                &text("message.timestamp.after.max.ms"),
                defaults.timestamp_after_ms_max,
            ),
            timestamp_before_ms_max: number(
                &text("message.timestamp.before.max.ms"),
                defaults.timestamp_before_ms_max,
            ),
            cleanup_policy: cleanup_policy(&text("cleanup.policy")),
            dirty_ratio_min_ppm: ppm(&text("min.cleanable.dirty.ratio")),
            compaction_lag_ms_min: number(
                &text("min.compaction.lag.ms"),
                defaults.compaction_lag_ms_min,
            ),
            compaction_lag_ms_max: number(
                &text("max.compaction.lag.ms"),
                defaults.compaction_lag_ms_max,
            ),
            delete_retention_ms: number(&text("delete.retention.ms"), defaults.delete_retention_ms),
            segment_jitter_ms: number(&text("segment.jitter.ms"), defaults.segment_jitter_ms),
            compression: compression(&text),
            flush_messages: number(&text("flush.messages"), defaults.flush_messages),
            flush_ms: number(&text("flush.ms"), defaults.flush_ms),
            producer_expiration_ms: view
                .broker_number("producer.id.expiration.ms", defaults.producer_expiration_ms),
            ..defaults
        };
        Self {
            log,
            min_insync_replicas: number(&text("min.insync.replicas"), 1),
        }
    }

    /// The settings of each partition's log.
    pub fn log_config(&self, durability: Durability) -> LogConfig {
        LogConfig {
            durability,
            ..self.log.clone()
        }
    }

    /// Whether records may be deleted before their time, and by it.
    pub fn is_deleted_from(&self) -> bool {
        self.log.cleanup_policy != CleanupPolicy::Compact
    }

    /// Whether records without a key are refused.
    pub fn is_compacted(&self) -> bool {
        self.log.cleanup_policy != CleanupPolicy::Delete
    }
}

/// A broker's settings, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: usize,
    /// `log.cleaner.*`.
    pub cleaner: CleanerConfig,
    /// `log.retention.check.interval.ms`.
    pub retention_check: Duration,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// `connections.max.idle.ms`.
    pub connection_idle_max: Option<Duration>,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: usize,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub group_session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`.
    pub group_session_timeout_max: Duration,
    /// `group.max.size`.
    pub group_members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub group_consumer_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`.
    pub group_consumer_heartbeat_interval: Duration,
    /// `group.consumer.max.size`.
    pub group_consumer_members_max: usize,
    /// `group.consumer.assignors`, the default first.
    pub group_consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub group_consumer_migration_policy: String,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_topic_replication_factor: i16,
    /// `transaction.max.timeout.ms`.
    pub transaction_timeout_max: Duration,
    /// `transaction.state.log.num.partitions`.
    pub transaction_topic_partitions: i32,
    /// `transaction.state.log.replication.factor`.
    pub transaction_topic_replication_factor: i16,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
}

/// A group's settings, typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `consumer.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
}

impl GroupSettings {
    pub(super) fn read(view: &ConfigView<'_>, group_id: &str) -> Self {
        let none = ConfigMap::new();
        let configs = view.image.group_configs(group_id).unwrap_or(&none);
        let ms = |name: &str, default: u64| {
            let text = group_config(name).map(|def| view.group(configs, def).value().to_owned());
            Duration::from_millis(number(&text.unwrap_or_default(), default))
        };
        Self {
            session_timeout: ms("consumer.session.timeout.ms", 45_000),
            heartbeat_interval: ms("consumer.heartbeat.interval.ms", 5_000),
        }
    }
}

impl BrokerSettings {
    pub(super) fn read(view: &ConfigView<'_>) -> Self {
        let ms =
            |name: &str, default: u64| Duration::from_millis(view.broker_number(name, default));
        Self {
            auto_create_topics: view.broker_text("auto.create.topics.enable") == "true",
            num_partitions: view.broker_number("num.partitions", 1),
            default_replication_factor: view.broker_number("default.replication.factor", 1),
            fetch_bytes_max: view.broker_number("fetch.max.bytes", 55 << 20),
            cleaner: cleaner(view),
            retention_check: ms("log.retention.check.interval.ms", 300_000),
            connections_max: view.broker_number("max.connections", 10_000),
            connections_per_ip_max: view.broker_number("max.connections.per.ip", 10_000),
            connection_idle_max: number_or_none(&view.broker_text("connections.max.idle.ms"))
                .map(Duration::from_millis),
            fetch_sessions_max: view
                .broker_number("max.incremental.fetch.session.cache.slots", 1_000),
            group_initial_rebalance_delay: ms("group.initial.rebalance.delay.ms", 100),
            group_session_timeout_min: ms("group.min.session.timeout.ms", 6_000),
            group_session_timeout_max: ms("group.max.session.timeout.ms", 1_800_000),
            group_members_max: view.broker_number("group.max.size", 10_000),
            group_consumer_session_timeout: ms("group.consumer.session.timeout.ms", 45_000),
            group_consumer_heartbeat_interval: ms("group.consumer.heartbeat.interval.ms", 5_000),
            group_consumer_members_max: view.broker_number("group.consumer.max.size", 10_000),
            group_consumer_assignors: words(&view.broker_text("group.consumer.assignors")),
            group_consumer_migration_policy: view.broker_text("group.consumer.migration.policy"),
            offset_metadata_bytes_max: view.broker_number("offset.metadata.max.bytes", 4_096),
            offsets_retention: Duration::from_secs(
                60 * view.broker_number::<u64>("offsets.retention.minutes", 10_080),
            ),
            offsets_topic_partitions: view.broker_number("offsets.topic.num.partitions", 50),
            offsets_topic_replication_factor: view
                .broker_number("offsets.topic.replication.factor", 1),
            transaction_timeout_max: ms("transaction.max.timeout.ms", 900_000),
            transaction_topic_partitions: view
                .broker_number("transaction.state.log.num.partitions", 50),
            transaction_topic_replication_factor: view
                .broker_number("transaction.state.log.replication.factor", 1),
            transactional_id_expiration: ms("transactional.id.expiration.ms", 604_800_000),
        }
    }
}

fn cleaner(view: &ConfigView<'_>) -> CleanerConfig {
    let defaults = CleanerConfig::default();
    let per_second = view.broker_number("log.cleaner.io.max.bytes.per.second", f64::MAX);
    CleanerConfig {
        dedupe_bytes_max: view
            .broker_number("log.cleaner.dedupe.buffer.size", defaults.dedupe_bytes_max),
        // More than a machine can do is no bound.
        io_bytes_per_second_max: (per_second < 1e15).then(|| per_second.max(1.0) as u64),
        backoff_ms: view.broker_number("log.cleaner.backoff.ms", defaults.backoff_ms),
    }
}

impl ConfigView<'_> {
    fn broker_text(&self, name: &str) -> String {
        broker_config(name)
            .map(|def| self.broker(def).value().to_owned())
            .unwrap_or_default()
    }

    fn broker_number<T: FromStr>(&self, name: &str, default: T) -> T {
        number(&self.broker_text(name), default)
    }
}

/// Values were checked when they were set; `default` is for what a later
/// version may have accepted.
fn number<T: FromStr>(text: &str, default: T) -> T {
    text.trim().parse().unwrap_or(default)
}

/// A comma-separated list.
fn words(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// -1 is none.
fn number_or_none<T: TryFrom<i64>>(text: &str) -> Option<T> {
    let number: i64 = text.trim().parse().ok()?;
    if number < 0 {
        None
    } else {
        T::try_from(number).ok()
    }
}

/// A ratio in millionths.
fn ppm(text: &str) -> u32 {
    let ratio: f64 = number(text, 0.5);
    // From 0 to 1, so it fits.
    (ratio.clamp(0.0, 1.0) * 1e6).round() as u32
}

fn compression(text: &impl Fn(&str) -> String) -> StoredCompression {
    let level = |name| text(name).trim().parse().ok();
    match text("compression.type").as_str() {
        "uncompressed" => StoredCompression::As(Compression::None, None),
        "snappy" => StoredCompression::As(Compression::Snappy, None),
        "lz4" => StoredCompression::As(Compression::Lz4, None),
        "gzip" => StoredCompression::As(Compression::Gzip, level("compression.gzip.level")),
        "zstd" => StoredCompression::As(Compression::Zstd, level("compression.zstd.level")),
        _ => StoredCompression::Producer,
    }
}

fn cleanup_policy(text: &str) -> CleanupPolicy {
    let has = |word| text.split(',').any(|e| e.trim() == word);
    match (has("compact"), has("delete")) {
        (true, true) => CleanupPolicy::CompactAndDelete,
        (true, false) => CleanupPolicy::Compact,
        _ => CleanupPolicy::Delete,
    }
}
