//! What is checked of an append before the log is looked at.

use super::AppendOrigin;
use crate::config::{LogConfig, StoredCompression, TimestampType};
use crate::error::AppendError;
use bytes::Bytes;
use millstream_wire::batch::{
    self, BatchError, BatchView, EndTxnMarker, recompress, set_create_time, set_max_timestamp,
    split_batches,
};

/// Records that one error names.
const RECORD_ERRORS_MAX: usize = 100;

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
    if batches.is_empty() {
        return Err(AppendError::InvalidRecord("no record batch".to_owned()));
    }
    let validated = split_batches(batches)
        .map(|batch| validate_one(batch.map_err(refuse)?, origin, config, now_ms))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = validated.iter().map(|v| v.batch.size_bytes()).sum();
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
    check_size(&batch, config)?;
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
    let batch = match origin {
        AppendOrigin::Client | AppendOrigin::ClientV2 => {
            with_its_max_timestamp(with_its_timestamp_type(batch, config)?, config)?
        }
        AppendOrigin::Coordinator | AppendOrigin::CoordinatorV2 => batch,
    };
    let header = batch.header();
    if origin.is_client() {
        if header.is_control() {
            return invalid("clients cannot write control batches".to_owned());
        }
        if header.has_producer_id() && header.base_sequence < 0 {
            return invalid(format!(
                "sequence {} with a producer id",
                header.base_sequence
            ));
        }
        check_timestamps(&batch, config, now_ms)?;
    }
    let marker = marker_of(&batch).map_err(contradicts)?;
    if marker.is_some() && !header.has_producer_id() {
        return invalid("a marker needs a producer id".to_owned());
    }
    let batch = stored(batch, config)?;
    Ok(Validated { batch, marker })
}

fn check_size(batch: &BatchView, config: &LogConfig) -> Result<(), AppendError> {
    let (bytes, bytes_max) = (batch.size_bytes(), config.message_bytes_max as usize);
    if bytes > bytes_max {
        return Err(AppendError::TooLarge { bytes, bytes_max });
    }
    Ok(())
}

/// Only the log calls timestamps its own. Where the topic wants the producer's
/// they are taken for those, as Kafka takes them.
fn with_its_timestamp_type(batch: BatchView, config: &LogConfig) -> Result<BatchView, AppendError> {
    let header = batch.header();
    if header.timestamp_type() == batch::TimestampType::CreateTime {
        return Ok(batch);
    }
    if config.timestamp_type == TimestampType::LogAppendTime {
        let records = (0..header.records_count).take(RECORD_ERRORS_MAX).collect();
        return Err(AppendError::TimestampType { records });
    }
    let mut bytes = batch.bytes().to_vec();
    set_create_time(&mut bytes, header.max_timestamp).map_err(refuse)?;
    BatchView::parse(&bytes.into()).map_err(refuse)
}

/// The batch with the largest of its records' timestamps in its header, where
/// some clients leave -1 (sarama 1.23): search by time and retention go by it.
/// Kafka compares it with every record's; here only a header that contradicts
/// itself is worth decoding the records.
fn with_its_max_timestamp(batch: BatchView, config: &LogConfig) -> Result<BatchView, AppendError> {
    let header = batch.header();
    let is_plausible = header.max_timestamp >= header.base_timestamp;
    if is_plausible || config.timestamp_type != TimestampType::CreateTime {
        return Ok(batch);
    }
    let mut max_ms = header.max_timestamp;
    for record in batch.records().map_err(contradicts)? {
        max_ms = max_ms.max(record.map_err(contradicts)?.timestamp);
    }
    let mut bytes = batch.bytes().to_vec();
    set_max_timestamp(&mut bytes, max_ms).map_err(refuse)?;
    BatchView::parse(&bytes.into()).map_err(refuse)
}

/// A producer's own timestamps lie within bounds around now.
fn check_timestamps(batch: &BatchView, config: &LogConfig, now_ms: i64) -> Result<(), AppendError> {
    if config.timestamp_type != TimestampType::CreateTime {
        return Ok(());
    }
    let is_ahead = |ms: i64| ms.saturating_sub(now_ms) > config.timestamp_after_ms_max;
    let is_behind = |ms: i64| now_ms.saturating_sub(ms) > config.timestamp_before_ms_max;
    // The header tells the largest. For the smallest all have to be looked at,
    // which only a bound that somebody has set is worth.
    let header_ms = batch.header().max_timestamp;
    if !is_ahead(header_ms) && config.timestamp_before_ms_max == i64::MAX {
        return Ok(());
    }
    let mut timestamp_ms = header_ms;
    let mut records = Vec::new();
    for (index, record) in (0..).zip(batch.records().map_err(contradicts)?) {
        let at_ms = record.map_err(contradicts)?.timestamp;
        if (is_ahead(at_ms) || is_behind(at_ms)) && records.len() < RECORD_ERRORS_MAX {
            timestamp_ms = at_ms;
            records.push(index);
        }
    }
    if records.is_empty() && !is_ahead(header_ms) {
        return Ok(());
    }
    Err(AppendError::InvalidTimestamp {
        timestamp_ms,
        after_ms_max: config.timestamp_after_ms_max,
        before_ms_max: config.timestamp_before_ms_max,
        records,
    })
}

/// The batch as the topic wants it compressed. Markers stay as they are.
fn stored(batch: BatchView, config: &LogConfig) -> Result<BatchView, AppendError> {
    let StoredCompression::As(wanted, level) = config.compression else {
        return Ok(batch);
    };
    let sent = batch
        .header()
        .compression()
        .map_err(|error| AppendError::Corrupt(error.to_string()))?;
    if sent == wanted || batch.header().is_control() {
        return Ok(batch);
    }
    let bytes = recompress(&batch, wanted, level).map_err(contradicts)?;
    let batch = BatchView::parse(&bytes).map_err(refuse)?;
    // What is stored counts too: it may be larger now.
    check_size(&batch, config)?;
    Ok(batch)
}

/// What a control batch ends.
pub(super) fn marker_of(batch: &BatchView) -> Result<Option<EndTxnMarker>, BatchError> {
    if !batch.header().is_control() {
        return Ok(None);
    }
    let record = batch.records()?.next().ok_or(BatchError::Empty)??;
    EndTxnMarker::parse(&record).map(Some)
}

/// What is wrong inside a batch whose checksum holds was sent so.
fn contradicts(error: BatchError) -> AppendError {
    AppendError::InvalidRecord(error.to_string())
}

fn refuse(error: BatchError) -> AppendError {
    match error {
        BatchError::UnsupportedMagic(magic) => AppendError::UnsupportedMagic(magic),
        other => AppendError::Corrupt(other.to_string()),
    }
}
