//! The table itself.

use super::ConfigType::{Boolean, Double, Int, List, Long, Short, String as Text};
use super::{Check, ConfigDef, ConfigType};
use millstream_core::limits::{PARTITIONS_MAX, REQUEST_BYTES_MAX};

const LONG_MAX: &str = "9223372036854775807";
const DOUBLE_MAX: &str = "1.7976931348623157E308";
const DAY_MS: &str = "86400000";
const WEEK_MS: &str = "604800000";
const CLEANUP: Check = Check::ListOf(&["delete", "compact"]);
const TIMESTAMP_TYPE: Check = Check::OneOf(&["CreateTime", "LogAppendTime"]);
const SEGMENT_BYTES: Check = Check::Number {
    min: 1024,
    max: i32::MAX as i64,
};
const MESSAGE_BYTES: Check = Check::Number {
    min: 0,
    max: REQUEST_BYTES_MAX as i64,
};
const INT: Check = Check::Number {
    min: 0,
    max: i32::MAX as i64,
};
const POSITIVE_INT: Check = Check::Number {
    min: 1,
    max: i32::MAX as i64,
};
const LONG: Check = Check::Number {
    min: 0,
    max: i64::MAX,
};
const POSITIVE_LONG: Check = Check::Number {
    min: 1,
    max: i64::MAX,
};
const RATIO: Check = Check::Ratio;
const COMPRESSION: Check =
    Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
const GZIP_LEVEL: Check = Check::NumberOr {
    or: -1,
    min: 1,
    max: 9,
};
const ZSTD_LEVEL: Check = Check::Number {
    min: -131_072,
    max: 22,
};
const LZ4_LEVEL: Check =
    Check::DefaultOnly("lz4 is compressed at one level only, whatever compression.type says");
const LZ4_LEVEL_WHY: &str =
    "The default only: the lz4 encoder here has one level, a faster one than Kafka's 9.";
const LONG_OR_NONE: Check = Check::Number {
    min: -1,
    max: i64::MAX,
};
const PARTITIONS: Check = Check::Number {
    min: 1,
    max: PARTITIONS_MAX as i64,
};
const SHORT: Check = Check::Number {
    min: 1,
    max: i16::MAX as i64,
};

const fn topic(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    check: Check,
    broker_synonym: &'static str,
    doc: &'static str,
) -> ConfigDef {
    ConfigDef {
        name,
        kind,
        default,
        check,
        broker_synonym: Some(broker_synonym),
        sensitive: false,
        dynamic: true,
        doc,
    }
}

/// As a topic's, a group's falls back to one of the broker.
const fn group(
    name: &'static str,
    default: &'static str,
    broker_synonym: &'static str,
    doc: &'static str,
) -> ConfigDef {
    topic(name, Int, default, POSITIVE_INT, broker_synonym, doc)
}

/// A setting whose only value is what the broker does anyway.
const fn fixed(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    why: &'static str,
) -> ConfigDef {
    let check = Check::DefaultOnly(why);
    ConfigDef {
        name,
        kind,
        default,
        check,
        broker_synonym: None,
        sensitive: false,
        dynamic: true,
        doc: why,
    }
}

const fn broker(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    check: Check,
    doc: &'static str,
) -> ConfigDef {
    ConfigDef {
        name,
        kind,
        default,
        check,
        broker_synonym: None,
        sensitive: false,
        dynamic: true,
        doc,
    }
}

/// A setting that is read once, when the broker starts.
const fn at_start(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    check: Check,
    doc: &'static str,
) -> ConfigDef {
    ConfigDef {
        dynamic: false,
        ..broker(name, kind, default, check, doc)
    }
}

/// Settings of a topic.
pub static TOPIC_CONFIGS: &[ConfigDef] = &[
    topic(
        "cleanup.policy",
        List,
        "delete",
        CLEANUP,
        "log.cleanup.policy",
        "delete: old segments are deleted by age and size. compact: records need a key, and of each key the newest is kept.",
    ),
    topic(
        "compression.gzip.level",
        Int,
        "-1",
        GZIP_LEVEL,
        "compression.gzip.level",
        "Level where compression.type is gzip; -1 is the codec's default.",
    ),
    topic(
        "compression.lz4.level",
        Int,
        "9",
        LZ4_LEVEL,
        "compression.lz4.level",
        LZ4_LEVEL_WHY,
    ),
    topic(
        "compression.type",
        Text,
        "producer",
        COMPRESSION,
        "compression.type",
        "producer: batches are stored as they are sent. Otherwise those that are compressed another way are compressed anew, at the cost of the broker's time.",
    ),
    topic(
        "compression.zstd.level",
        Int,
        "3",
        ZSTD_LEVEL,
        "compression.zstd.level",
        "Level where compression.type is zstd.",
    ),
    topic(
        "delete.retention.ms",
        Long,
        DAY_MS,
        LONG,
        "log.cleaner.delete.retention.ms",
        "How long a tombstone stays in a compacted topic after the cleaner first saw it.",
    ),
    topic(
        "flush.messages",
        Long,
        LONG_MAX,
        POSITIVE_LONG,
        "log.flush.interval.messages",
        "Records after which a partition is synced before they count as committed; with durability fsync every record is.",
    ),
    topic(
        "flush.ms",
        Long,
        LONG_MAX,
        LONG,
        "log.flush.interval.ms",
        "A partition with records that are not synced for this long is synced, give or take a second; with durability fsync they are at once.",
    ),
    topic(
        "index.interval.bytes",
        Int,
        "4096",
        INT,
        "log.index.interval.bytes",
        "Bytes of log between two entries of the offset index.",
    ),
    topic(
        "max.compaction.lag.ms",
        Long,
        LONG_MAX,
        POSITIVE_LONG,
        "log.cleaner.max.compaction.lag.ms",
        "The cleaner takes up a compacted partition whose oldest dirty record is older than this, whatever its dirty ratio.",
    ),
    topic(
        "max.message.bytes",
        Int,
        "1048588",
        MESSAGE_BYTES,
        "message.max.bytes",
        "Largest record batch, as stored.",
    ),
    topic(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        LONG,
        "log.message.timestamp.after.max.ms",
        "How far in the future a producer's timestamp may lie.",
    ),
    topic(
        "message.timestamp.before.max.ms",
        Long,
        LONG_MAX,
        LONG,
        "log.message.timestamp.before.max.ms",
        "How far in the past a producer's timestamp may lie; below the default every batch is decoded to see.",
    ),
    topic(
        "message.timestamp.type",
        Text,
        "CreateTime",
        TIMESTAMP_TYPE,
        "log.message.timestamp.type",
        "Whether records carry the producer's time or that of the append.",
    ),
    topic(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        RATIO,
        "log.cleaner.min.cleanable.ratio",
        "Part of a compacted partition that must be dirty before the cleaner takes it up.",
    ),
    topic(
        "min.compaction.lag.ms",
        Long,
        "0",
        LONG,
        "log.cleaner.min.compaction.lag.ms",
        "Records younger than this are not compacted.",
    ),
    topic(
        "min.insync.replicas",
        Int,
        "1",
        SHORT,
        "min.insync.replicas",
        "In-sync replicas below which acks=all is refused.",
    ),
    fixed(
        "preallocate",
        Boolean,
        "false",
        "segments grow as they are written",
    ),
    fixed(
        "remote.storage.enable",
        Boolean,
        "false",
        "there is no tiered storage",
    ),
    topic(
        "retention.bytes",
        Long,
        "-1",
        LONG_OR_NONE,
        "log.retention.bytes",
        "Oldest segments of a partition are deleted while the rest is at least this large; -1 keeps all.",
    ),
    topic(
        "retention.ms",
        Long,
        WEEK_MS,
        LONG_OR_NONE,
        "log.retention.ms",
        "Segments whose newest record is older are deleted; -1 keeps all.",
    ),
    topic(
        "segment.bytes",
        Int,
        "1073741824",
        SEGMENT_BYTES,
        "log.segment.bytes",
        "A segment is closed before it would grow beyond this.",
    ),
    topic(
        "segment.index.bytes",
        Int,
        "10485760",
        Check::Number {
            min: 8,
            max: i32::MAX as i64,
        },
        "log.index.size.max.bytes",
        "A segment is closed before its offset index would grow beyond this.",
    ),
    topic(
        "segment.jitter.ms",
        Long,
        "0",
        LONG,
        "log.roll.jitter.ms",
        "Each segment is closed up to this much before segment.ms, so that not all are at once.",
    ),
    topic(
        "segment.ms",
        Long,
        WEEK_MS,
        POSITIVE_LONG,
        "log.roll.ms",
        "A segment is closed when its first record is this much older than the next.",
    ),
    fixed(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        "only an in-sync replica can lead",
    ),
];

/// Settings of a group.
pub static GROUP_CONFIGS: &[ConfigDef] = &[
    group(
        "consumer.heartbeat.interval.ms",
        "5000",
        "group.consumer.heartbeat.interval.ms",
        "How often members of this consumer group are told to send heartbeats.",
    ),
    group(
        "consumer.session.timeout.ms",
        "45000",
        "group.consumer.session.timeout.ms",
        "Silence after which a member of this consumer group is removed.",
    ),
];

/// Settings of a broker.
pub static BROKER_CONFIGS: &[ConfigDef] = &[
    broker(
        "auto.create.topics.enable",
        Boolean,
        "true",
        Check::Boolean,
        "Whether a metadata request for a topic that is not there may create it.",
    ),
    broker(
        "compression.gzip.level",
        Int,
        "-1",
        GZIP_LEVEL,
        "Default of compression.gzip.level of a topic.",
    ),
    broker("compression.lz4.level", Int, "9", LZ4_LEVEL, LZ4_LEVEL_WHY),
    broker(
        "compression.type",
        Text,
        "producer",
        COMPRESSION,
        "Default of compression.type of a topic.",
    ),
    broker(
        "compression.zstd.level",
        Int,
        "3",
        ZSTD_LEVEL,
        "Default of compression.zstd.level of a topic.",
    ),
    broker(
        "connections.max.idle.ms",
        Long,
        "600000",
        LONG_OR_NONE,
        "A connection that is silent for this long is closed; -1 never.",
    ),
    broker(
        "default.replication.factor",
        Int,
        "1",
        SHORT,
        "Copies of each partition where a request leaves it open.",
    ),
    fixed(
        "delete.topic.enable",
        Boolean,
        "true",
        "topics can be deleted",
    ),
    broker(
        "fetch.max.bytes",
        Int,
        "57671680",
        Check::Number {
            min: 1024,
            max: REQUEST_BYTES_MAX as i64,
        },
        "Bytes of records in one fetch response; the first batch is returned whole whatever its size.",
    ),
    at_start(
        "group.consumer.assignors",
        List,
        "uniform,range",
        Check::ListOf(&["uniform", "range"]),
        "Assignors that members of consumer groups (KIP-848) may ask for, the default first.",
    ),
    at_start(
        "group.consumer.heartbeat.interval.ms",
        Int,
        "5000",
        POSITIVE_INT,
        "How often members of consumer groups are told to send heartbeats.",
    ),
    at_start(
        "group.consumer.max.heartbeat.interval.ms",
        Int,
        "15000",
        POSITIVE_INT,
        "Largest group.consumer.heartbeat.interval.ms.",
    ),
    at_start(
        "group.consumer.max.session.timeout.ms",
        Int,
        "60000",
        POSITIVE_INT,
        "Largest group.consumer.session.timeout.ms.",
    ),
    at_start(
        "group.consumer.max.size",
        Int,
        "10000",
        POSITIVE_INT,
        "Members of one consumer group; 2147483647 in Kafka.",
    ),
    at_start(
        "group.consumer.migration.policy",
        Text,
        "bidirectional",
        Check::OneOf(&["bidirectional", "upgrade", "downgrade", "disabled"]),
        "Which way groups with members may change between the classic and the consumer protocol.",
    ),
    at_start(
        "group.consumer.min.heartbeat.interval.ms",
        Int,
        "5000",
        POSITIVE_INT,
        "Smallest group.consumer.heartbeat.interval.ms.",
    ),
    at_start(
        "group.consumer.min.session.timeout.ms",
        Int,
        "45000",
        POSITIVE_INT,
        "Smallest group.consumer.session.timeout.ms.",
    ),
    at_start(
        "group.consumer.session.timeout.ms",
        Int,
        "45000",
        POSITIVE_INT,
        "Silence after which a member of a consumer group is removed.",
    ),
    at_start(
        "group.initial.rebalance.delay.ms",
        Int,
        "100",
        INT,
        "How long the first rebalance of an empty group waits for more members; 3000 in Kafka.",
    ),
    at_start(
        "group.max.session.timeout.ms",
        Int,
        "1800000",
        POSITIVE_INT,
        "Longest session timeout that a member may ask for.",
    ),
    at_start(
        "group.max.size",
        Int,
        "10000",
        POSITIVE_INT,
        "Members of one group.",
    ),
    at_start(
        "group.min.session.timeout.ms",
        Int,
        "6000",
        POSITIVE_INT,
        "Shortest session timeout that a member may ask for.",
    ),
    broker(
        "log.cleaner.backoff.ms",
        Long,
        "15000",
        LONG,
        "How long the cleaner rests when no partition needs it.",
    ),
    broker(
        "log.cleaner.dedupe.buffer.size",
        Long,
        "134217728",
        Check::Number {
            min: 1024 * 1024,
            max: i32::MAX as i64,
        },
        "Bytes that the cleaner's map from key to offset may take, 24 a key; taken only while it works, and no more than it needs.",
    ),
    broker(
        "log.cleaner.delete.retention.ms",
        Long,
        DAY_MS,
        LONG,
        "Default of delete.retention.ms.",
    ),
    broker(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        DOUBLE_MAX,
        Check::Positive,
        "Bytes that the cleaner reads and writes in a second.",
    ),
    broker(
        "log.cleaner.max.compaction.lag.ms",
        Long,
        LONG_MAX,
        POSITIVE_LONG,
        "Default of max.compaction.lag.ms.",
    ),
    broker(
        "log.cleaner.min.cleanable.ratio",
        Double,
        "0.5",
        RATIO,
        "Default of min.cleanable.dirty.ratio.",
    ),
    broker(
        "log.cleaner.min.compaction.lag.ms",
        Long,
        "0",
        LONG,
        "Default of min.compaction.lag.ms.",
    ),
    fixed(
        "log.cleaner.threads",
        Int,
        "1",
        "one thread compacts, the partition that needs it most first",
    ),
    broker(
        "log.cleanup.policy",
        List,
        "delete",
        CLEANUP,
        "Default of cleanup.policy.",
    ),
    broker(
        "log.flush.interval.messages",
        Long,
        LONG_MAX,
        POSITIVE_LONG,
        "Default of flush.messages.",
    ),
    broker(
        "log.flush.interval.ms",
        Long,
        LONG_MAX,
        LONG,
        "Default of flush.ms.",
    ),
    broker(
        "log.index.interval.bytes",
        Int,
        "4096",
        INT,
        "Default of index.interval.bytes.",
    ),
    broker(
        "log.index.size.max.bytes",
        Int,
        "10485760",
        Check::Number {
            min: 8,
            max: i32::MAX as i64,
        },
        "Default of segment.index.bytes.",
    ),
    broker(
        "log.message.timestamp.after.max.ms",
        Long,
        "3600000",
        LONG,
        "Default of message.timestamp.after.max.ms.",
    ),
    broker(
        "log.message.timestamp.before.max.ms",
        Long,
        LONG_MAX,
        LONG,
        "Default of message.timestamp.before.max.ms.",
    ),
    broker(
        "log.message.timestamp.type",
        Text,
        "CreateTime",
        TIMESTAMP_TYPE,
        "Default of message.timestamp.type.",
    ),
    broker(
        "log.retention.bytes",
        Long,
        "-1",
        LONG_OR_NONE,
        "Default of retention.bytes.",
    ),
    at_start(
        "log.retention.check.interval.ms",
        Long,
        "300000",
        POSITIVE_LONG,
        "How often segments are looked at that retention lets go; at most once a second.",
    ),
    broker(
        "log.retention.ms",
        Long,
        WEEK_MS,
        LONG_OR_NONE,
        "Default of retention.ms.",
    ),
    broker(
        "log.roll.jitter.ms",
        Long,
        "0",
        LONG,
        "Default of segment.jitter.ms.",
    ),
    broker(
        "log.roll.ms",
        Long,
        WEEK_MS,
        POSITIVE_LONG,
        "Default of segment.ms.",
    ),
    broker(
        "log.segment.bytes",
        Int,
        "1073741824",
        SEGMENT_BYTES,
        "Default of segment.bytes.",
    ),
    broker(
        "max.connections",
        Int,
        "10000",
        POSITIVE_INT,
        "Connections to this broker.",
    ),
    broker(
        "max.connections.per.ip",
        Int,
        "10000",
        POSITIVE_INT,
        "Connections from one address.",
    ),
    broker(
        "max.incremental.fetch.session.cache.slots",
        Int,
        "1000",
        INT,
        "Fetch sessions kept (KIP-227); 0 keeps none.",
    ),
    broker(
        "message.max.bytes",
        Int,
        "1048588",
        MESSAGE_BYTES,
        "Default of max.message.bytes.",
    ),
    broker(
        "min.insync.replicas",
        Int,
        "1",
        SHORT,
        "Default of min.insync.replicas of a topic.",
    ),
    broker(
        "num.partitions",
        Int,
        "1",
        PARTITIONS,
        "Partitions of a topic where a request leaves it open.",
    ),
    at_start(
        "offset.metadata.max.bytes",
        Int,
        "4096",
        INT,
        "Text that a consumer may store with an offset.",
    ),
    at_start(
        "offsets.retention.minutes",
        Int,
        "10080",
        POSITIVE_INT,
        "How long a group without members keeps its offsets.",
    ),
    at_start(
        "offsets.topic.num.partitions",
        Int,
        "50",
        PARTITIONS,
        "Partitions of __consumer_offsets, when it is created.",
    ),
    at_start(
        "offsets.topic.replication.factor",
        Short,
        "1",
        SHORT,
        "Copies of each partition of __consumer_offsets, when it is created.",
    ),
    broker(
        "producer.id.expiration.ms",
        Int,
        "86400000",
        POSITIVE_INT,
        "How long an idempotent producer that is silent is remembered.",
    ),
    at_start(
        "transaction.max.timeout.ms",
        Int,
        "900000",
        POSITIVE_INT,
        "Longest transaction timeout that a producer may ask for.",
    ),
    at_start(
        "transaction.state.log.num.partitions",
        Int,
        "50",
        PARTITIONS,
        "Partitions of __transaction_state, when it is created.",
    ),
    at_start(
        "transaction.state.log.replication.factor",
        Short,
        "1",
        SHORT,
        "Copies of each partition of __transaction_state, when it is created.",
    ),
    at_start(
        "transactional.id.expiration.ms",
        Int,
        "604800000",
        POSITIVE_INT,
        "How long a transactional id that is silent is remembered.",
    ),
];
