//! The table itself.

use super::ConfigType::{Boolean, Int, List, Long, Short, String as Text};
use super::{Check, ConfigDef, ConfigType};
use millstream_core::limits::{PARTITIONS_MAX, REQUEST_BYTES_MAX};

const LONG_MAX: &str = "9223372036854775807";
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
    // 'compact' is accepted although there is no cleaner yet: it promises
    // that the last value of a key stays, which keeping all of them does, and
    // Kafka Connect and Kafka Streams cannot start without it.
    topic(
        "cleanup.policy",
        List,
        "delete",
        CLEANUP,
        "log.cleanup.policy",
        "delete: old segments are deleted by age and size. compact: records need a key and none is deleted by age or size.",
    ),
    fixed(
        "compression.type",
        Text,
        "producer",
        "batches are stored as the producer sent them",
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
    fixed(
        "message.timestamp.before.max.ms",
        Long,
        LONG_MAX,
        "a timestamp may lie any time in the past",
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
    fixed(
        "segment.jitter.ms",
        Long,
        "0",
        "segments are closed at segment.ms exactly",
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
        "log.cleanup.policy",
        List,
        "delete",
        CLEANUP,
        "Default of cleanup.policy.",
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
    broker(
        "log.retention.ms",
        Long,
        WEEK_MS,
        LONG_OR_NONE,
        "Default of retention.ms.",
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
