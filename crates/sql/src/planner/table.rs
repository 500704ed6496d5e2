//! `CREATE TABLE`: columns resolved to types, options to settings.

use super::query::Result;
use super::scope::internal;
use super::source::{base_schema, bind, declared, metadata_field};
use super::value::{Bound, family};
use crate::catalog::{
    BoundedMode, ColumnKind, FormatSpec, KafkaTable, KeySpec, MetadataKey, StartupMode, TableDef,
    TableKind, WatermarkDef,
};
use crate::error::{Position, SqlError};
use crate::functions::cast::{OnError, cast};
use crate::session::{Session, parse_duration};
use crate::statement::{ColumnSource, CreateTable, Literal, Name, Options, WatermarkClause};
use crate::types::{SqlType, TYPE_METADATA, type_name};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use millstream_core::limits::TOPIC_NAME_CHARS_MAX;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Partitions that a table may ask for.
const PARTITIONS_MAX: i32 = 10_000;

/// The table of a `CREATE TABLE`.
pub(super) fn table(create: &CreateTable, session: &Session) -> Result<TableDef> {
    let (schema, columns) = columns(create, session)?;
    let watermark = match &create.watermark {
        Some(clause) => Some(watermark(clause, &schema, session)?),
        None => None,
    };
    let primary_key = indices(&create.primary_key, &schema)?;
    if primary_key
        .iter()
        .any(|i| !matches!(columns.get(*i), Some(ColumnKind::Physical)))
    {
        let at = create
            .primary_key
            .first()
            .map_or(Position::START, |n| n.position);
        return Err(SqlError::at(
            at,
            "a PRIMARY KEY is made of physical columns",
        ));
    }
    Ok(TableDef {
        name: create.name.value.clone(),
        statement: create.text.clone(),
        kind: TableKind::Table,
        primary_key,
        watermark,
        connector: connector(&create.options, &create.name, &schema, &columns)?,
        columns,
        schema,
    })
}

fn columns(create: &CreateTable, session: &Session) -> Result<(SchemaRef, Vec<ColumnKind>)> {
    let mut base = Vec::new();
    let mut kinds = Vec::new();
    for column in &create.columns {
        let name = &column.name.value;
        kinds.push(match &column.source {
            ColumnSource::Physical(data_type) => {
                base.push(data_type.field(name));
                ColumnKind::Physical
            }
            ColumnSource::Metadata {
                data_type,
                key,
                is_virtual,
            } => {
                let key = metadata_key(key.as_ref(), &column.name, *is_virtual)?;
                check_metadata(data_type, key, &column.name, session)?;
                base.push(data_type.field(name));
                ColumnKind::Metadata {
                    key,
                    is_virtual: *is_virtual,
                }
            }
            ColumnSource::Computed(expression) => ColumnKind::Computed {
                expression: expression.text.clone(),
            },
        });
    }
    if kinds.iter().all(|k| !matches!(k, ColumnKind::Physical)) {
        return Err(
            SqlError::at(create.name.position, "a table needs a physical column")
                .hint("name the fields of the records: id BIGINT, ..."),
        );
    }
    let base = Schema::new(base);
    let scope = DFSchema::try_from(base.clone()).map_err(internal(create.name.position))?;
    let mut fields = Vec::new();
    for column in &create.columns {
        fields.push(match &column.source {
            ColumnSource::Computed(expression) => {
                let value = bind(&expression.ast, &scope, session)?;
                if value.is_null() {
                    return Err(SqlError::at(
                        expression.position,
                        "the type of this column is unknown",
                    )
                    .hint("write CAST(NULL AS type)"));
                }
                value.field.as_ref().clone().with_name(&column.name.value)
            }
            _ => base
                .field_with_name(&column.name.value)
                .map_err(|e| SqlError::at(column.name.position, e.to_string()))?
                .clone(),
        });
    }
    Ok((Arc::new(Schema::new(fields)), kinds))
}

/// Flink: Kafka SQL Connector, Available Metadata.
const METADATA: [(&str, MetadataKey, bool); 7] = [
    ("topic", MetadataKey::Topic, false),
    ("partition", MetadataKey::Partition, false),
    ("offset", MetadataKey::Offset, false),
    ("timestamp", MetadataKey::Timestamp, true),
    ("timestamp-type", MetadataKey::TimestampType, false),
    ("leader-epoch", MetadataKey::LeaderEpoch, false),
    // Flink can write headers; here nothing does yet.
    ("headers", MetadataKey::Headers, false),
];

fn metadata_key(key: Option<&Literal>, column: &Name, is_virtual: bool) -> Result<MetadataKey> {
    let (name, at) = match key {
        Some(key) => (key.value.as_str(), key.position),
        None => (column.value.as_str(), column.position),
    };
    let known: Vec<_> = METADATA.iter().map(|(n, ..)| *n).collect();
    let Some((_, key, writable)) = METADATA.iter().find(|(n, ..)| *n == name) else {
        return Err(SqlError::at(at, format!("there is no metadata '{name}'"))
            .detail(format!("The keys are {}", known.join(", ")))
            .meant(name, known));
    };
    if !is_virtual && !writable {
        return Err(SqlError::at(
            column.position,
            format!("metadata '{name}' can only be read"),
        )
        .hint("add VIRTUAL to the column"));
    }
    Ok(*key)
}

fn check_metadata(to: &SqlType, key: MetadataKey, column: &Name, session: &Session) -> Result<()> {
    let field = metadata_field(key, &column.value);
    if field.data_type() == &to.data_type {
        return Ok(());
    }
    let value = Bound {
        expr: Expr::Column(Column::new_unqualified(&column.value)),
        field: Arc::new(field),
    };
    let from = value.type_name();
    match cast(value, to, OnError::Fail, session.time_zone) {
        Some(_) => Ok(()),
        None => Err(SqlError::at(
            column.position,
            format!(
                "column '{}' is {}, its metadata is {from}",
                column.value, to.name
            ),
        )
        .hint(format!("declare it as {from}"))),
    }
}

fn watermark(
    clause: &WatermarkClause,
    schema: &SchemaRef,
    session: &Session,
) -> Result<WatermarkDef> {
    let name = &clause.column;
    let Ok(column) = schema.index_of(&name.value) else {
        return Err(SqlError::at(
            name.position,
            format!("there is no column '{}'", name.value),
        )
        .meant(
            &name.value,
            schema.fields().iter().map(|f| f.name().as_str()),
        ));
    };
    let is_time = |t: &DataType| matches!(t, DataType::Timestamp(TimeUnit::Millisecond, _));
    let field = schema.field(column);
    if !is_time(field.data_type()) {
        return Err(SqlError::at(
            name.position,
            format!(
                "'{}' is {}, event time needs TIMESTAMP(3) or TIMESTAMP_LTZ(3)",
                name.value,
                declared(field).name
            ),
        )
        .hint(format!(
            "add a column like: ts AS CAST({} AS TIMESTAMP(3)), or ts AS TO_TIMESTAMP({})",
            name.value, name.value
        )));
    }
    let scope = DFSchema::try_from(schema.as_ref().clone()).map_err(internal(name.position))?;
    let value = bind(&clause.expression.ast, &scope, session)?;
    if !is_time(value.data_type()) {
        return Err(SqlError::at(
            clause.expression.position,
            format!(
                "a watermark is TIMESTAMP(3) or TIMESTAMP_LTZ(3), this is {}",
                value.type_name()
            ),
        )
        .hint(format!("write {0} - INTERVAL '5' SECOND", name.value)));
    }
    Ok(WatermarkDef {
        column,
        expression: clause.expression.text.clone(),
    })
}

fn indices(names: &[Name], schema: &SchemaRef) -> Result<Vec<usize>> {
    names
        .iter()
        .map(|name| {
            schema.index_of(&name.value).map_err(|_| {
                SqlError::at(
                    name.position,
                    format!("there is no column '{}'", name.value),
                )
                .meant(
                    &name.value,
                    schema.fields().iter().map(|f| f.name().as_str()),
                )
            })
        })
        .collect()
}

/// `WITH (...)` while it is read: what nobody took is refused.
struct Reader<'a> {
    options: &'a Options,
    known: Vec<&'static str>,
    prefixes: Vec<String>,
    at: Position,
}

impl<'a> Reader<'a> {
    fn take(&mut self, key: &'static str) -> Option<(&'a str, Position)> {
        self.known.push(key);
        self.options
            .values
            .get(key)
            .map(|(v, at)| (v.as_str(), *at))
    }

    /// Options of a format: `json.x` or `value.json.x`, without the prefix.
    fn format(&mut self, name: &str, prefixes: &[&str]) -> FormatSpec {
        let mut options = BTreeMap::new();
        for prefix in prefixes {
            let prefix = format!("{prefix}{name}.");
            for (key, (value, _)) in &self.options.values {
                if let Some(option) = key.strip_prefix(&prefix) {
                    options.insert(option.to_owned(), value.clone());
                }
            }
            self.prefixes.push(prefix);
        }
        FormatSpec {
            name: name.to_owned(),
            options,
        }
    }

    fn finish(self) -> Result<()> {
        for (key, (_, at)) in &self.options.values {
            let known = self.known.contains(&key.as_str());
            if known || self.prefixes.iter().any(|p| key.starts_with(p.as_str())) {
                continue;
            }
            let error = SqlError::at(*at, format!("there is no option '{key}'"));
            return Err(if key.starts_with("properties.") {
                error
                    .detail("A table's topic is on the server's own log")
                    .hint("leave it out; the log is set in the server's configuration")
            } else {
                error
                    .detail(format!("The options are {}", self.known.join(", ")))
                    .meant(key, self.known.iter().copied())
            });
        }
        Ok(())
    }
}

/// The connector's settings of a `CREATE TABLE`.
fn connector(
    options: &Options,
    name: &Name,
    schema: &SchemaRef,
    columns: &[ColumnKind],
) -> Result<KafkaTable> {
    let mut reader = reader(options, name);
    let connector = reader.take("connector");
    match connector {
        Some(("kafka", _)) => {}
        Some((other, at)) => {
            return Err(SqlError::at(at, format!("there is no connector '{other}'"))
                .hint("'connector' = 'kafka' is the one there is"));
        }
        None => {
            return Err(SqlError::at(reader.at, "the connector is missing")
                .hint("write WITH ('connector' = 'kafka', 'topic' = '...', 'format' = 'json')"));
        }
    }
    let format = match (reader.take("format"), reader.take("value.format")) {
        (Some((format, _)), None) | (None, Some((format, _))) => format,
        (Some(_), Some((_, at))) => {
            return Err(SqlError::at(
                at,
                "'format' and 'value.format' are the same: give one",
            ));
        }
        (None, None) => {
            return Err(SqlError::at(reader.at, "the format is missing")
                .hint("add 'format' = 'json' or 'csv'"));
        }
    };
    known_format(format, &reader)?;
    let format = reader.format(format, &["", "value."]);
    let table = kafka(&mut reader, name, schema, columns, format)?;
    reader.finish()?;
    Ok(table)
}

/// The connector's settings of a materialized table: all have defaults.
pub(super) fn materialized_connector(
    options: &Options,
    name: &Name,
    schema: &SchemaRef,
    columns: &[ColumnKind],
) -> Result<KafkaTable> {
    let mut reader = reader(options, name);
    if let Some((connector, at)) = reader.take("connector")
        && connector != "kafka"
    {
        return Err(
            SqlError::at(at, format!("there is no connector '{connector}'"))
                .hint("leave it out: a materialized table is a topic"),
        );
    }
    let format = reader.take("format").map_or("json", |(f, _)| f);
    known_format(format, &reader)?;
    let format = reader.format(format, &["", "value."]);
    let table = kafka(&mut reader, name, schema, columns, format)?;
    reader.finish()?;
    Ok(table)
}

fn reader<'a>(options: &'a Options, name: &Name) -> Reader<'a> {
    Reader {
        options,
        known: Vec::new(),
        prefixes: Vec::new(),
        at: options.position.unwrap_or(name.position),
    }
}

fn known_format(format: &str, reader: &Reader<'_>) -> Result<()> {
    if matches!(format, "json" | "csv") {
        return Ok(());
    }
    let given = ["format", "value.format", "key.format"];
    let at = given
        .iter()
        .filter_map(|k| reader.options.values.get(*k))
        .find(|(v, _)| v == format)
        .map_or(reader.at, |(_, at)| *at);
    Err(SqlError::at(at, format!("there is no format '{format}'"))
        .hint("use 'json' or 'csv'")
        .meant(format, ["json", "csv"]))
}

fn kafka(
    reader: &mut Reader<'_>,
    name: &Name,
    schema: &SchemaRef,
    columns: &[ColumnKind],
    format: FormatSpec,
) -> Result<KafkaTable> {
    let topic = match reader.take("topic") {
        Some((topic, at)) => check_topic(topic, at)?,
        None => check_topic(&name.value, name.position)?,
    };
    let key = key(reader, schema, columns)?;
    let startup = startup(reader)?;
    let bounded = match reader.take("scan.bounded.mode") {
        None | Some(("unbounded", _)) => BoundedMode::Unbounded,
        Some(("latest-offset", _)) => BoundedMode::Latest,
        Some((other, at)) => {
            return Err(
                SqlError::at(at, format!("'scan.bounded.mode' cannot be '{other}'"))
                    .hint("use 'unbounded' or 'latest-offset'"),
            );
        }
    };
    let idle_timeout = match reader.take("scan.watermark.idle-timeout") {
        None => None,
        Some((text, at)) => Some(parse_duration(text).filter(|d| !d.is_zero()).ok_or_else(
            || SqlError::at(at, format!("'{text}' is no duration")).hint("write '30 s'"),
        )?),
    };
    let partitions = match reader.take("millstream.partitions") {
        None => None,
        Some((text, at)) => Some(
            text.parse::<i32>()
                .ok()
                .filter(|n| (1..=PARTITIONS_MAX).contains(n))
                .ok_or_else(|| {
                    SqlError::at(at, format!("'{text}' is no number of partitions"))
                        .hint(format!("use 1 to {PARTITIONS_MAX}"))
                })?,
        ),
    };
    if let Some((guarantee, at)) = reader.take("sink.delivery-guarantee")
        && guarantee != "exactly-once"
    {
        return Err(SqlError::at(
            at,
            format!("'sink.delivery-guarantee' cannot be '{guarantee}'"),
        )
        .hint("leave it out: every job is exactly-once"));
    }
    Ok(KafkaTable {
        topic,
        format,
        key,
        startup,
        bounded,
        idle_timeout,
        partitions,
    })
}

fn key(
    reader: &mut Reader<'_>,
    schema: &SchemaRef,
    columns: &[ColumnKind],
) -> Result<Option<KeySpec>> {
    let format = reader.take("key.format");
    let fields = reader.take("key.fields");
    if let Some((include, at)) = reader.take("value.fields-include")
        && include != "ALL"
    {
        return Err(
            SqlError::at(at, format!("'value.fields-include' cannot be '{include}'"))
                .hint("leave it out: the value has all fields, those of the key too"),
        );
    }
    let (format, fields) = match (format, fields) {
        (None, None) => return Ok(None),
        (Some(format), Some(fields)) => (format, fields),
        (Some((_, at)), None) => {
            return Err(
                SqlError::at(at, "'key.fields' is missing").hint("add 'key.fields' = 'id;name'")
            );
        }
        (None, Some((_, at))) => {
            return Err(
                SqlError::at(at, "'key.format' is missing").hint("add 'key.format' = 'json'")
            );
        }
    };
    known_format(format.0, reader)?;
    let names: Vec<Name> = fields
        .0
        .split(';')
        .map(|n| Name {
            value: n.trim().to_owned(),
            position: fields.1,
        })
        .collect();
    let spec = reader.format(format.0, &["key."]);
    let indices = indices(&names, schema)?;
    if let Some(name) = indices
        .iter()
        .find(|i| !matches!(columns.get(**i), Some(ColumnKind::Physical)))
        .map(|i| schema.field(*i).name())
    {
        return Err(
            SqlError::at(fields.1, format!("'{name}' is no physical column"))
                .hint("name columns that are declared with a type only"),
        );
    }
    Ok(Some(KeySpec {
        format: spec,
        fields: indices,
    }))
}

fn startup(reader: &mut Reader<'_>) -> Result<StartupMode> {
    let millis = reader.take("scan.startup.timestamp-millis");
    let mode = reader.take("scan.startup.mode");
    match (mode, millis) {
        (Some(("timestamp", at)), None) => Err(SqlError::at(
            at,
            "'scan.startup.timestamp-millis' is missing",
        )),
        (Some(("timestamp", _)), Some((text, at))) => text
            .parse()
            .map(StartupMode::TimestampMs)
            .map_err(|_| SqlError::at(at, format!("'{text}' is no number of milliseconds"))),
        (_, Some((_, at))) => Err(SqlError::at(
            at,
            "'scan.startup.timestamp-millis' needs 'scan.startup.mode' = 'timestamp'",
        )),
        (None | Some(("earliest-offset", _)), None) => Ok(StartupMode::Earliest),
        (Some(("latest-offset", _)), None) => Ok(StartupMode::Latest),
        (Some((other, at)), None) => Err(SqlError::at(
            at,
            format!("'scan.startup.mode' cannot be '{other}'"),
        )
        .detail("A job resumes from its own epochs; this says where a new one begins")
        .hint("use 'earliest-offset', 'latest-offset' or 'timestamp'")),
    }
}

/// Kafka's rules for topic names.
fn check_topic(topic: &str, at: Position) -> Result<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let valid = !topic.is_empty()
        && topic.len() <= TOPIC_NAME_CHARS_MAX
        && topic != "."
        && topic != ".."
        && topic.chars().all(legal);
    if valid {
        return Ok(topic.to_owned());
    }
    Err(SqlError::at(at, format!("'{topic}' is no topic name"))
        .detail("A topic's name has letters, digits, '.', '_' and '-' only")
        .hint("set 'topic' = '...' in WITH (...)"))
}

/// The columns that are written: physical ones, and metadata with the type
/// that the connector takes.
pub(super) fn persisted(table: &TableDef) -> Vec<(usize, Field)> {
    let base = base_schema(table);
    let kinds = table.columns.iter().enumerate();
    let persisted = kinds.filter(|(_, kind)| match kind {
        ColumnKind::Physical => true,
        ColumnKind::Metadata { is_virtual, .. } => !is_virtual,
        ColumnKind::Computed { .. } => false,
    });
    persisted
        .filter_map(|(index, _)| {
            let name = table.schema.field(index).name();
            Some((index, base.field_with_name(name).ok()?.clone()))
        })
        .collect()
}

/// A query's column as a column of a new table.
pub(super) fn materialized_field(column: &Bound, at: Position) -> Result<Field> {
    let field = column.field.as_ref();
    if matches!(
        family(field.data_type()),
        super::value::Family::Null | super::value::Family::Interval
    ) {
        return Err(SqlError::at(
            at,
            format!(
                "column '{}' has no type that a table can have",
                field.name()
            ),
        )
        .hint("CAST it"));
    }
    let mut out = Field::new(field.name(), field.data_type().clone(), field.is_nullable());
    if let Some(name) = field.metadata().get(TYPE_METADATA)
        && *name != type_name(field.data_type())
    {
        out = out.with_metadata([(TYPE_METADATA.to_owned(), name.clone())].into());
    }
    Ok(out)
}
