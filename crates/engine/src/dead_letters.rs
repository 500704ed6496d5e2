//! Records that gave no row, rows that could not be written, and rows that
//! came too late, as records of their own topics.
//!
//! Dead letters carry Kafka Connect's headers by their exact names (KIP-298),
//! so tools that read Connect's dead-letter queues read these. What is larger
//! than its topic takes is cut and marked: a record that cannot be kept whole
//! never ends a job.

use crate::operators::{FailedRow, LateRows, RowFailure};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use bytes::Bytes;
use millstream_connect::formats::{self, FormatError};
use millstream_core::ids::TopicPartition;
use millstream_core::ports::{FetchedRecords, ProduceRecord, RecordHeader, UnreadableRange};
use millstream_sql::catalog::{ColumnKind, TableDef};
use std::collections::HashSet;
use std::sync::Arc;

/// Longest reason kept in a header, in bytes.
const REASON_BYTES_MAX: usize = 8 * 1024;
/// A reason takes at most this part of what its topic takes: it is in two
/// headers, beside a few hundred bytes of others.
const REASON_SHARE: usize = 8;
/// Bytes of a key that are kept where it alone is larger than the topic takes.
const KEY_KEPT_BYTES: usize = 64;

/// How long the value was that has been cut, in bytes.
const CUT_VALUE: &str = "millstream.cut.value.bytes";
/// How long the key was that has been cut, in bytes.
const CUT_KEY: &str = "millstream.cut.key.bytes";
/// How many of the record's own headers are left out.
const CUT_HEADERS: &str = "millstream.cut.headers";

/// The dead letter of one record: original key, value, time and headers, and
/// why it is here; at most `bytes_max` bytes as a batch of its own.
pub(crate) fn dead_letter(
    job: &str,
    chunk: &FetchedRecords,
    failure: &RowFailure,
    bytes_max: usize,
) -> Option<ProduceRecord> {
    let record = chunk.records.get(failure.origin as usize)?;
    let class = match failure.stage.as_str() {
        crate::source::DECODE_STAGE => "DecodeError",
        _ => "ExpressionError",
    };
    let mut why = vec![
        ("topic", chunk.topic_partition.topic.clone()),
        ("partition", chunk.topic_partition.partition.to_string()),
        ("offset", record.offset.to_string()),
    ];
    why.extend(errors(
        job,
        &failure.stage,
        class,
        &failure.reason,
        bytes_max,
    ));
    let letter = ProduceRecord {
        timestamp_ms: Some(record.timestamp_ms),
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    };
    Some(fit(letter, connect_headers(why), bytes_max))
}

/// The dead letter of a row that no one record made: a result after an
/// aggregation, as JSON.
pub(crate) fn row_letter(job: &str, failed: &FailedRow, bytes_max: usize) -> ProduceRecord {
    let why = errors(
        job,
        &failed.stage,
        "ExpressionError",
        &failed.reason,
        bytes_max,
    );
    let letter = ProduceRecord {
        value: Some(Bytes::from(failed.row.clone())),
        ..ProduceRecord::default()
    };
    fit(letter, connect_headers(why), bytes_max)
}

/// The dead letters' stage of records that could not be read.
const UNREADABLE_STAGE: &str = "KAFKA_CONSUME";
/// Where a range of unreadable records ends.
const UNREADABLE_LAST: &str = "millstream.unreadable.last_offset";

/// The dead letter of records that the log could not give: no key and no value,
/// but where they are and why. The stage is Kafka Connect's for reading.
pub(crate) fn unreadable(
    job: &str,
    partition: &TopicPartition,
    range: &UnreadableRange,
    bytes_max: usize,
) -> ProduceRecord {
    let mut why = vec![
        ("topic", partition.topic.clone()),
        ("partition", partition.partition.to_string()),
        ("offset", range.first_offset.to_string()),
    ];
    why.extend(errors(
        job,
        UNREADABLE_STAGE,
        "UnreadableRecords",
        &range.reason,
        bytes_max,
    ));
    let mut headers = connect_headers(why);
    headers.push(header(UNREADABLE_LAST, range.last_offset.to_string()));
    fit(ProduceRecord::default(), headers, bytes_max)
}

fn errors(
    job: &str,
    stage: &str,
    class: &str,
    reason: &str,
    bytes_max: usize,
) -> Vec<(&'static str, String)> {
    let reason = truncate(reason, REASON_BYTES_MAX.min(bytes_max / REASON_SHARE));
    vec![
        ("connector.name", job.to_owned()),
        ("task.id", "0".to_owned()),
        ("stage", stage.to_owned()),
        ("class.name", format!("millstream.{stage}")),
        ("exception.class.name", format!("millstream.{class}")),
        ("exception.message", reason.to_owned()),
        (
            "exception.stacktrace",
            format!("millstream.{class}: {reason}"),
        ),
    ]
}

fn connect_headers(of: Vec<(&str, String)>) -> Vec<RecordHeader> {
    of.into_iter()
        .map(|(name, value)| header(&format!("__connect.errors.{name}"), value))
        .collect()
}

/// Adds `why` to a record's headers and makes it small enough: its value is
/// cut first, then its own headers go, then its key is cut. Headers say what
/// is missing.
fn fit(mut record: ProduceRecord, why: Vec<RecordHeader>, bytes_max: usize) -> ProduceRecord {
    let own_headers = record.headers.len();
    record.headers.extend(why);
    if record.batch_bytes() <= bytes_max {
        return record;
    }
    if let Some(value) = record.value.take() {
        let cut = header(CUT_VALUE, value.len().to_string());
        record.headers.push(cut);
        record.value = Some(Bytes::new());
        if record.batch_bytes() > bytes_max {
            shed(&mut record, own_headers, bytes_max);
        }
        // Up to three more bytes for the lengths of value and record, each.
        let room = bytes_max.saturating_sub(record.batch_bytes() + 6);
        record.value = Some(value.slice(..room.min(value.len())));
    } else {
        shed(&mut record, own_headers, bytes_max);
    }
    record
}

/// Leaves out the record's own headers, and then most of its key.
fn shed(record: &mut ProduceRecord, own_headers: usize, bytes_max: usize) {
    if own_headers > 0 {
        record.headers.drain(..own_headers);
        let left_out = header(CUT_HEADERS, own_headers.to_string());
        record.headers.push(left_out);
    }
    let long = record.key.take_if(|key| key.len() > KEY_KEPT_BYTES);
    let Some(key) = long else { return };
    let before = record.batch_bytes();
    if before + key.len() + KEY_KEPT_BYTES <= bytes_max {
        record.key = Some(key);
        return;
    }
    record.headers.push(header(CUT_KEY, key.len().to_string()));
    record.key = Some(key.slice(..KEY_KEPT_BYTES));
}

/// What late rows are written with.
pub(crate) struct LateRecords<'a> {
    /// The table that the job reads: late rows are read back with its format.
    pub(crate) table: &'a TableDef,
    /// The records that the rows came from.
    pub(crate) chunk: Option<&'a FetchedRecords>,
    /// Indices of records that gave more rows than one.
    pub(crate) shared: &'a HashSet<u32>,
    /// Bytes that the topic takes in a batch.
    pub(crate) bytes_max: usize,
}

impl LateRecords<'_> {
    /// One record a row, which the table's own format reads: the source
    /// record as it was, where it made this one row, else the row written in
    /// that format. Headers say where each came from and which window it
    /// missed.
    pub(crate) fn of(&self, late: &LateRows) -> Vec<ProduceRecord> {
        let mut encoded: Option<Vec<Bytes>> = None;
        let mut records = Vec::with_capacity(late.rows.num_rows());
        for row in 0..late.rows.num_rows() {
            let origin = late.origins.as_ref().and_then(|o| o.get(row)).copied();
            let source = origin.and_then(|origin| {
                let chunk = self.chunk?;
                Some((origin, chunk, chunk.records.get(origin as usize)?))
            });
            let mut why = vec![
                header("millstream.late.watermark", late.watermark_ms.to_string()),
                header(
                    "millstream.late.window_end",
                    late.window_ends_ms
                        .get(row)
                        .copied()
                        .unwrap_or_default()
                        .to_string(),
                ),
            ];
            let mut record = ProduceRecord::default();
            if let Some((_, chunk, from)) = source {
                record.timestamp_ms = Some(from.timestamp_ms);
                record.key = from.key.clone();
                let at = &chunk.topic_partition;
                why.extend([
                    header("millstream.source.topic", at.topic.clone()),
                    header("millstream.source.partition", at.partition.to_string()),
                    header("millstream.source.offset", from.offset.to_string()),
                ]);
            }
            match source {
                Some((origin, _, from)) if !self.shared.contains(&origin) => {
                    record.value = from.value.clone();
                    record.headers = from.headers.clone();
                }
                _ => {
                    let values = match &mut encoded {
                        Some(values) => values,
                        none => none.insert(encoded_or_shown(self.table, &late.rows)),
                    };
                    record.value = values.get(row).cloned();
                }
            }
            records.push(fit(record, why, self.bytes_max));
        }
        records
    }
}

/// Rows in the format of a table; as JSON where that format cannot carry what
/// an aggregation made of them.
fn encoded_or_shown(table: &TableDef, rows: &RecordBatch) -> Vec<Bytes> {
    encode(table, rows).unwrap_or_else(|_| {
        let shown = (0..rows.num_rows()).map(|row| Bytes::from(row_text(rows, row)));
        shown.collect()
    })
}

/// Rows in the format of a table: its physical columns, where the rows still
/// have one of them, else all that the rows have.
fn encode(table: &TableDef, rows: &RecordBatch) -> Result<Vec<Bytes>, FormatError> {
    let physical: Vec<_> = table
        .schema
        .fields()
        .iter()
        .zip(&table.columns)
        .filter(|(_, kind)| matches!(kind, ColumnKind::Physical))
        .map(|(field, _)| field.as_ref().clone().with_nullable(true))
        .collect();
    let columns: Vec<Option<&ArrayRef>> = physical
        .iter()
        .map(|field| {
            rows.column_by_name(field.name())
                .filter(|column| column.data_type() == field.data_type())
        })
        .collect();
    let format = &table.connector.format;
    let (schema, columns): (SchemaRef, Vec<ArrayRef>) = match columns.iter().any(Option::is_some) {
        true => {
            let columns = columns.into_iter().zip(&physical).map(|(column, field)| {
                column.map_or_else(
                    || new_null_array(field.data_type(), rows.num_rows()),
                    Arc::clone,
                )
            });
            let columns = columns.collect();
            (Arc::new(Schema::new(physical)), columns)
        }
        false => (rows.schema(), rows.columns().to_vec()),
    };
    let encoded =
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| FormatError::Encode {
            format: format.name.clone(),
            reason: e.to_string(),
        })?;
    formats::encoder(&format.name, &format.options, schema)?.encode(&encoded)
}

/// A row as JSON, for a person: whatever a column holds, it is shown.
pub(crate) fn row_text(rows: &RecordBatch, row: usize) -> String {
    let one = rows.slice(row, 1);
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut text);
    if writer.write(&one).and_then(|()| writer.finish()).is_ok() {
        return String::from_utf8_lossy(text.trim_ascii()).into_owned();
    }
    // A time that no calendar has, say.
    let values: serde_json::Map<String, serde_json::Value> = one
        .schema()
        .fields()
        .iter()
        .zip(one.columns())
        .map(|(field, column)| {
            let shown = arrow::util::display::array_value_to_string(column, 0);
            let shown = shown.unwrap_or_else(|error| error.to_string());
            (field.name().clone(), shown.into())
        })
        .collect();
    serde_json::Value::Object(values).to_string()
}

fn header(key: &str, value: String) -> RecordHeader {
    RecordHeader {
        key: key.to_owned(),
        value: Some(Bytes::from(value)),
    }
}

fn truncate(text: &str, bytes_max: usize) -> &str {
    match text
        .char_indices()
        .map(|(i, _)| i)
        .take_while(|i| *i <= bytes_max)
        .last()
    {
        Some(end) if text.len() > bytes_max => &text[..end],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(truncate("short", 10), "short");
        assert_eq!(truncate("订单订单", 7), "订单");
    }
}
