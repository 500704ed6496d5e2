//! Records that gave no row, and rows that came too late, as records of
//! their own topics.
//!
//! Dead letters carry Kafka Connect's headers by their exact names (KIP-298),
//! so tools that read Connect's dead-letter queues read these.

use crate::operators::{LateRows, RowFailure};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use bytes::Bytes;
use millstream_core::ports::{FetchedRecords, ProduceRecord, RecordHeader};

/// Longest reason kept in a header, in bytes.
const REASON_BYTES_MAX: usize = 8 * 1024;

/// The dead letter of one record: original key, value, time and headers, and
/// why it is here.
pub(crate) fn dead_letter(
    job: &str,
    chunk: &FetchedRecords,
    failure: &RowFailure,
) -> Option<ProduceRecord> {
    let record = chunk.records.get(failure.origin as usize)?;
    let reason = truncate(&failure.reason, REASON_BYTES_MAX);
    let class = match failure.stage.as_str() {
        crate::source::DECODE_STAGE => "DecodeError",
        _ => "ExpressionError",
    };
    let mut headers = record.headers.clone();
    for (name, value) in [
        ("topic", chunk.topic_partition.topic.clone()),
        ("partition", chunk.topic_partition.partition.to_string()),
        ("offset", record.offset.to_string()),
        ("connector.name", job.to_owned()),
        ("task.id", "0".to_owned()),
        ("stage", failure.stage.clone()),
        ("class.name", format!("millstream.{}", failure.stage)),
        ("exception.class.name", format!("millstream.{class}")),
        ("exception.message", reason.to_owned()),
        (
            "exception.stacktrace",
            format!("millstream.{class}: {reason}"),
        ),
    ] {
        headers.push(header(&format!("__connect.errors.{name}"), value));
    }
    Some(ProduceRecord {
        timestamp_ms: Some(record.timestamp_ms),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    })
}

/// Late rows as JSON, one record a row; headers say where each came from and
/// which window it missed.
pub(crate) fn late_records(
    chunk: Option<&FetchedRecords>,
    late: &LateRows,
) -> Result<Vec<ProduceRecord>, ArrowError> {
    let mut records = Vec::with_capacity(late.rows.num_rows());
    for row in 0..late.rows.num_rows() {
        let mut value = Vec::new();
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, LineDelimited>(&mut value);
        writer.write(&late.rows.slice(row, 1))?;
        writer.finish()?;
        while value.last() == Some(&b'\n') {
            value.pop();
        }
        let mut headers = vec![
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
        let source = late
            .origins
            .as_ref()
            .and_then(|origins| origins.get(row))
            .and_then(|origin| Some((chunk?, chunk?.records.get(*origin as usize)?)));
        let mut timestamp_ms = None;
        let mut key = None;
        if let Some((chunk, record)) = source {
            timestamp_ms = Some(record.timestamp_ms);
            key = record.key.clone();
            headers.push(header(
                "millstream.source.topic",
                chunk.topic_partition.topic.clone(),
            ));
            headers.push(header(
                "millstream.source.partition",
                chunk.topic_partition.partition.to_string(),
            ));
            headers.push(header(
                "millstream.source.offset",
                record.offset.to_string(),
            ));
        }
        records.push(ProduceRecord {
            timestamp_ms,
            key,
            value: Some(Bytes::from(value)),
            headers,
        });
    }
    Ok(records)
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
