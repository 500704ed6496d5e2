//! `WITH (...)` of a table: the `kafka` connector's options (Flink: Kafka SQL
//! Connector, Connector Options). An option that nobody reads is refused.

use super::notices;
use super::query::Result;
use super::table::indices;
use crate::catalog::{
    BoundedMode, ColumnKind, FormatSpec, KafkaTable, KeySpec, OffsetReset, StartupMode,
};
use crate::error::{Position, SqlError};
use crate::session::parse_duration;
use crate::statement::{Name, Options};
use arrow::datatypes::SchemaRef;
use millstream_core::limits::TOPIC_NAME_CHARS_MAX;
use std::collections::BTreeMap;

/// Partitions that a table may ask for.
const PARTITIONS_MAX: i32 = 10_000;

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
            let known = self.known.contains(&key.as_str()) || notices::is_idle(key);
            if known || self.prefixes.iter().any(|p| key.starts_with(p.as_str())) {
                continue;
            }
            return Err(SqlError::at(*at, format!("there is no option '{key}'"))
                .detail(format!("The options are {}", self.known.join(", ")))
                .meant(key, self.known.iter().copied()));
        }
        Ok(())
    }
}

/// The connector's settings of a `CREATE TABLE`.
pub(super) fn connector(
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
    if matches!(format, "json" | "csv" | "raw") {
        return Ok(());
    }
    let given = ["format", "value.format", "key.format"];
    let at = given
        .iter()
        .filter_map(|k| reader.options.values.get(*k))
        .find(|(v, _)| v == format)
        .map_or(reader.at, |(_, at)| *at);
    Err(SqlError::at(at, format!("there is no format '{format}'"))
        .hint("use 'json' or 'csv', or 'raw' to read")
        .meant(format, ["json", "csv", "raw"]))
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
    // Less than what every job gives is given as well; `notices` says so.
    if let Some((guarantee, at)) = reader.take("sink.delivery-guarantee")
        && !matches!(guarantee, "exactly-once" | "at-least-once" | "none")
    {
        return Err(SqlError::at(
            at,
            format!("'sink.delivery-guarantee' cannot be '{guarantee}'"),
        )
        .hint("leave it out: every job is exactly-once"));
    }
    if let Some((level, at)) = reader.take("properties.isolation.level")
        && level != "read_committed"
    {
        return Err(SqlError::at(
            at,
            format!("'properties.isolation.level' cannot be '{level}'"),
        )
        .hint("leave it out: records of transactions that were aborted are never read"));
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
    let prefix = reader.take("key.fields-prefix");
    let in_value = match reader.take("value.fields-include") {
        None | Some(("ALL", _)) => true,
        Some(("EXCEPT_KEY", at)) if fields.is_none() => {
            return Err(SqlError::at(at, "'key.fields' is missing").hint(
                "name the columns that are in the key: 'key.format' = 'json', 'key.fields' = 'id'",
            ));
        }
        Some(("EXCEPT_KEY", _)) => false,
        Some((other, at)) => {
            return Err(
                SqlError::at(at, format!("'value.fields-include' cannot be '{other}'"))
                    .hint("use 'ALL' or 'EXCEPT_KEY'"),
            );
        }
    };
    if let Some((_, at)) = prefix
        && in_value
    {
        return Err(SqlError::at(
            at,
            "'key.fields-prefix' needs 'value.fields-include' = 'EXCEPT_KEY'",
        )
        .detail("The value has all fields under their own names"));
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
    let prefix = prefix.map_or("", |(prefix, _)| prefix);
    if let Some(name) = indices
        .iter()
        .map(|i| schema.field(*i).name())
        .find(|name| !name.starts_with(prefix))
    {
        return Err(SqlError::at(
            fields.1,
            format!("'{name}' does not begin with 'key.fields-prefix', which is '{prefix}'"),
        ));
    }
    let physical = columns.iter().filter(|c| **c == ColumnKind::Physical);
    if !in_value && physical.count() == indices.len() {
        return Err(SqlError::at(fields.1, "no column is left for the value")
            .hint("'value.fields-include' = 'EXCEPT_KEY' leaves those of 'key.fields' out of it"));
    }
    Ok(Some(KeySpec {
        format: spec,
        fields: indices,
        prefix: prefix.to_owned(),
        in_value,
    }))
}

fn startup(reader: &mut Reader<'_>) -> Result<StartupMode> {
    let mode = reader.take("scan.startup.mode");
    let millis = reader.take("scan.startup.timestamp-millis");
    let offsets = reader.take("scan.startup.specific-offsets");
    let group = reader.take("properties.group.id").map(|(group, _)| group);
    let reset = reader.take("properties.auto.offset.reset");
    let mode_name = mode.map_or("earliest-offset", |(mode, _)| mode);
    for (given, key, needed) in [
        (millis, "scan.startup.timestamp-millis", "timestamp"),
        (offsets, "scan.startup.specific-offsets", "specific-offsets"),
    ] {
        match given {
            Some((_, at)) if mode_name != needed => {
                return Err(SqlError::at(
                    at,
                    format!("'{key}' needs 'scan.startup.mode' = '{needed}'"),
                ));
            }
            None if mode_name == needed => {
                let at = mode.map_or(reader.at, |(_, at)| at);
                return Err(SqlError::at(at, format!("'{key}' is missing")));
            }
            _ => {}
        }
    }
    match (mode_name, millis, offsets) {
        ("earliest-offset", ..) => Ok(StartupMode::Earliest),
        ("latest-offset", ..) => Ok(StartupMode::Latest),
        ("timestamp", Some((text, at)), _) => text
            .parse()
            .map(StartupMode::TimestampMs)
            .map_err(|_| SqlError::at(at, format!("'{text}' is no number of milliseconds"))),
        ("specific-offsets", _, Some((text, at))) => Ok(StartupMode::SpecificOffsets {
            offsets: specific_offsets(text, at)?,
            group: group.map(str::to_owned),
        }),
        ("group-offsets", ..) => {
            let at = mode.map_or(reader.at, |(_, at)| at);
            let reset = offset_reset(reset)?;
            let Some(group) = group else {
                return Err(SqlError::at(at, "'properties.group.id' is missing").hint(
                    "name the group whose committed offsets are meant, or begin with \
                         'earliest-offset' or 'latest-offset'",
                ));
            };
            Ok(StartupMode::GroupOffsets {
                group: group.to_owned(),
                reset,
            })
        }
        (other, ..) => Err(SqlError::at(
            mode.map_or(reader.at, |(_, at)| at),
            format!("'scan.startup.mode' cannot be '{other}'"),
        )
        .detail("A job resumes from its own epochs; this says where a new one begins")
        .hint(
            "use 'earliest-offset', 'latest-offset', 'group-offsets', 'timestamp' or \
             'specific-offsets'",
        )),
    }
}

/// Kafka's `auto.offset.reset`: where a group begins that has committed
/// nothing. Flink's default is none.
fn offset_reset(given: Option<(&str, Position)>) -> Result<OffsetReset> {
    match given {
        None | Some(("none", _)) => Ok(OffsetReset::None),
        Some(("earliest", _)) => Ok(OffsetReset::Earliest),
        Some(("latest", _)) => Ok(OffsetReset::Latest),
        Some((other, at)) => Err(SqlError::at(
            at,
            format!("'properties.auto.offset.reset' cannot be '{other}'"),
        )
        .hint("use 'earliest', 'latest' or 'none'")),
    }
}

/// `partition:0,offset:42;partition:1,offset:300`.
fn specific_offsets(text: &str, at: Position) -> Result<BTreeMap<i32, i64>> {
    let hint = "write 'partition:0,offset:42;partition:1,offset:300'";
    let mut offsets = BTreeMap::new();
    for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
        let (partition, offset) = partition_offset(pair)
            .ok_or_else(|| SqlError::at(at, format!("'{pair}' is no offset")).hint(hint))?;
        if offsets.insert(partition, offset).is_some() {
            return Err(SqlError::at(
                at,
                format!("partition {partition} is there twice"),
            ));
        }
        if offsets.len() > PARTITIONS_MAX as usize {
            return Err(SqlError::at(
                at,
                format!("at most {PARTITIONS_MAX} partitions may have an offset"),
            ));
        }
    }
    if offsets.is_empty() {
        return Err(SqlError::at(at, "'scan.startup.specific-offsets' is empty").hint(hint));
    }
    Ok(offsets)
}

fn partition_offset(pair: &str) -> Option<(i32, i64)> {
    let (partition, offset) = pair.split_once(',')?;
    let partition = partition.trim().strip_prefix("partition:")?.trim();
    let offset = offset.trim().strip_prefix("offset:")?.trim();
    let partition = partition.parse().ok().filter(|n: &i32| *n >= 0)?;
    Some((partition, offset.parse().ok().filter(|n: &i64| *n >= 0)?))
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
