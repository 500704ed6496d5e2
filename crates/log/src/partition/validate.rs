//! What is checked of an append before the log is looked at.

use super::AppendOrigin;
use crate::config::{LogConfig, TimestampType};
use crate::error::AppendError;
use bytes::Bytes;
use millstream_wire::batch::{BatchError, BatchView, EndTxnMarker, split_batches};

/// A batch that may be appended, and what it ends if it is a marker.
pub(super) struct Validated {
    pub(super) batch: BatchView,
    pub(super) marker: Option<EndTxnMarker>,
}

/// Splits and checks the batches of one append.
pub(super) fn validate(
    batches: Bytes,
    origin: AppendOrigin,
    config: &LogConfig,
    now_ms: i64,
) -> Result<Vec<Validated>, AppendError> {
    let bytes = batches.len();
    if bytes == 0 {
        return Err(AppendError::InvalidRecord("no record batch".to_owned()));
    }
    let validated = split_batches(batches)
        .map(|batch| validate_one(batch.map_err(refuse)?, origin, config, now_ms))
        .collect::<Result<Vec<_>, _>>()?;
    if bytes > config.segment_bytes as usize {
        return Err(AppendError::ListTooLarge {
            bytes,
            bytes_max: config.segment_bytes as usize,
        });
    }
    Ok(validated)
}

fn validate_one(
    batch: BatchView,
    origin: AppendOrigin,
    config: &LogConfig,
    now_ms: i64,
) -> Result<Validated, AppendError> {
    let header = batch.header();
    if batch.size_bytes() > config.message_bytes_max as usize {
        return Err(AppendError::TooLarge {
            bytes: batch.size_bytes(),
            bytes_max: config.message_bytes_max as usize,
        });
    }
    batch.verify_crc().map_err(refuse)?;
    let invalid = |what: String| Err(AppendError::InvalidRecord(what));
    let offsets = i64::from(header.last_offset_delta) + 1;
    if offsets != i64::from(header.records_count) {
        let records = header.records_count;
        return invalid(format!("{records} records span {offsets} offsets"));
    }
    if header.is_transactional() && !header.has_producer_id() {
        return invalid("a transactional batch needs a producer id".to_owned());
    }
    if header.has_producer_id() && header.producer_epoch < 0 {
        return invalid(format!("producer epoch {}", header.producer_epoch));
    }
    if origin == AppendOrigin::Client {
        if header.is_control() {
            return invalid("clients cannot write control batches".to_owned());
        }
        if header.has_producer_id() && header.base_sequence < 0 {
            return invalid(format!(
                "sequence {} with a producer id",
                header.base_sequence
            ));
        }
        let ahead_ms = header.max_timestamp.saturating_sub(now_ms);
        if config.timestamp_type == TimestampType::CreateTime
            && ahead_ms > config.timestamp_after_ms_max
        {
            return Err(AppendError::InvalidTimestamp {
                timestamp_ms: header.max_timestamp,
                after_ms_max: config.timestamp_after_ms_max,
            });
        }
    }
    let marker = marker_of(&batch).map_err(refuse)?;
    if marker.is_some() && !header.has_producer_id() {
        return invalid("a marker needs a producer id".to_owned());
    }
    Ok(Validated { batch, marker })
}

/// What a control batch ends.
pub(super) fn marker_of(batch: &BatchView) -> Result<Option<EndTxnMarker>, BatchError> {
    if !batch.header().is_control() {
        return Ok(None);
    }
    let record = batch.records()?.next().ok_or(BatchError::Empty)??;
    EndTxnMarker::parse(&record).map(Some)
}

fn refuse(error: BatchError) -> AppendError {
    match error {
        BatchError::UnsupportedMagic(magic) => AppendError::UnsupportedMagic(magic),
        other => AppendError::Corrupt(other.to_string()),
    }
}
