//! What the planner knows of tables, and how it asks.
//!
//! A [`TableDef`] is what `CREATE TABLE` says, resolved to types. It is
//! stored by name in the cluster's metadata as the statement's text and read
//! back by parsing that text: the text is the definition.

use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Finds tables by name. Names are case-sensitive, as in Flink.
pub trait Catalog: Send + Sync {
    /// The table or materialized table of this name.
    fn table(&self, name: &str) -> Option<Arc<TableDef>>;
    /// All names, sorted, for `SHOW TABLES` and for "did you mean".
    fn table_names(&self) -> Vec<String>;
}

/// A table over a topic.
#[derive(Debug, Clone)]
pub struct TableDef {
    /// Name as written.
    pub name: String,
    /// The statement that made it, whole.
    pub statement: String,
    /// How it came to be.
    pub kind: TableKind,
    /// All columns in declared order: physical, metadata and computed. Times
    /// are `Timestamp(Millisecond, None)` for `TIMESTAMP(0..=3)` and
    /// `Timestamp(Millisecond, Some("UTC"))` for `TIMESTAMP_LTZ(0..=3)`,
    /// microseconds for `(4..=6)`, nanoseconds for `(7..=9)`.
    pub schema: SchemaRef,
    /// What each column of `schema` is, in the same order.
    pub columns: Vec<ColumnKind>,
    /// Indices into `schema` of the `PRIMARY KEY ... NOT ENFORCED` columns.
    pub primary_key: Vec<usize>,
    /// The event-time column and its `WATERMARK FOR` expression as SQL text.
    pub watermark: Option<WatermarkDef>,
    /// The `kafka` connector's settings.
    pub connector: KafkaTable,
}

/// How a table came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// `CREATE TABLE`.
    Table,
    /// `CREATE MATERIALIZED TABLE`: a job keeps writing it.
    MaterializedTable,
}

/// What a column is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// Decoded from the record's value, or key.
    Physical,
    /// Taken from the record itself.
    Metadata {
        /// Which part.
        key: MetadataKey,
        /// `VIRTUAL`: read only, left out when the table is written to.
        is_virtual: bool,
    },
    /// An expression over the other columns, as SQL text.
    Computed {
        /// The text after `AS`.
        expression: String,
    },
}

/// The kafka connector's metadata columns (Flink: Kafka SQL Connector,
/// "Available Metadata").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataKey {
    /// Topic name, STRING.
    Topic,
    /// Partition, INT.
    Partition,
    /// Offset, BIGINT.
    Offset,
    /// Record timestamp, TIMESTAMP_LTZ(3).
    Timestamp,
    /// `CreateTime`, `LogAppendTime` or `NoTimestampType`, STRING.
    TimestampType,
    /// Leader epoch, INT.
    LeaderEpoch,
    /// Headers, MAP<STRING, BYTES>.
    Headers,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkDef {
    /// Index into the table's schema.
    pub column: usize,
    /// The expression's SQL text, e.g. `` ts - INTERVAL '5' SECOND ``.
    pub expression: String,
}

/// `WITH ('connector' = 'kafka', ...)`, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaTable {
    /// `topic`; defaults to the table's name.
    pub topic: String,
    /// `format` or `value.format`, with its options.
    pub format: FormatSpec,
    /// `key.format` with `key.fields`: indices into the schema.
    pub key: Option<KeySpec>,
    /// `scan.startup.mode`.
    pub startup: StartupMode,
    /// `scan.bounded.mode`.
    pub bounded: BoundedMode,
    /// `scan.watermark.idle-timeout`: a partition without records for this
    /// long no longer holds the watermark back.
    pub idle_timeout: Option<Duration>,
    /// Partitions of the topic when the table's first use creates it
    /// (`millstream.partitions`; ours, Flink has none).
    pub partitions: Option<i32>,
}

impl KafkaTable {
    /// Whether a column, by index into the schema, is in the record's key and
    /// not in its value.
    pub fn is_key_only(&self, column: usize) -> bool {
        self.key
            .as_ref()
            .is_some_and(|key| !key.in_value && key.fields.contains(&column))
    }
}

/// A value or key format and its options, checked by the format itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatSpec {
    /// `json`, `csv`, ...
    pub name: String,
    /// Options without the format's prefix, e.g. `timestamp-format.standard`.
    pub options: BTreeMap<String, String>,
}

/// How record keys are made and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// Key format.
    pub format: FormatSpec,
    /// Indices into the table's schema.
    pub fields: Vec<usize>,
    /// `key.fields-prefix`: what the columns' names have before those of the
    /// key's own fields.
    pub prefix: String,
    /// `value.fields-include`: `ALL`, the value has the key's fields too and
    /// they are read from there; false for `EXCEPT_KEY`.
    pub in_value: bool,
}

/// `scan.startup.mode`. Flink's default is `group-offsets`; a job here always
/// resumes from its own epochs, so this only says where a *new* job begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupMode {
    /// `earliest-offset` (our default).
    Earliest,
    /// `latest-offset`.
    Latest,
    /// `timestamp` with `scan.startup.timestamp-millis`.
    TimestampMs(i64),
    /// `group-offsets`: where a consumer group has committed.
    GroupOffsets {
        /// `properties.group.id`.
        group: String,
        /// `properties.auto.offset.reset`.
        reset: OffsetReset,
    },
    /// `specific-offsets` with `scan.startup.specific-offsets`. Partitions
    /// without one begin where the group has committed, else at the start
    /// (Flink: `SpecifiedOffsetsInitializer`).
    SpecificOffsets {
        /// Offsets by partition.
        offsets: BTreeMap<i32, i64>,
        /// `properties.group.id`.
        group: Option<String>,
    },
}

/// Where a partition begins whose group has committed no offset that is still
/// in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// Nowhere: an error (Flink's default).
    None,
    /// At the first record.
    Earliest,
    /// At the end.
    Latest,
}

/// `scan.bounded.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundedMode {
    /// Never ends.
    Unbounded,
    /// `latest-offset`: ends at the offsets that are the end when it starts.
    Latest,
}
