//! What is checked of an append before the log is looked at.

use super::AppendOrigin;
use crate::config::{LogConfig, StoredCompression, TimestampType};
use crate::error::AppendError;
use bytes::Bytes;
use millstream_core::limits::batch_uncompressed_bytes_max;
use millstream_wire::batch::{
    self, BatchError, BatchView, EndTxnMarker, recompress, set_create_time, split_batches,
};
use millstream_wire::compression::CompressionError;

/// Records that one error names.
const RECORD_ERRORS_MAX: usize = 100;

/// What a producer sends that knows no time; no bound is about it.
const NO_TIMESTAMP: i64 = -1;

/// A batch that may be appended, and what it ends if it is a marker.
pub(super) struct Validated {
    pub(super) batch: BatchView,
    pub(super) marker: Option<EndTxnMarker>,
}

/// Splits and checks the batches of one append, which expand to no more than
/// `expanded_max` bytes each, nor to more than the topic takes.
pub(super) fn validate(
    batches: Bytes,
    origin: AppendOrigin,
    config: &LogConfig,
    now_ms: i64,
    expanded_max: usize,
) -> Result<Vec<Validated>, AppendError> {
    let topic_max = batch_uncompressed_bytes_max(config.message_bytes_max as usize);
    let expanded_max = expanded_max.min(topic_max);
    if batches.is_empty() {
        return Err(AppendError::InvalidRecord("no record batch".to_owned()));
    }
    let validated = split_batches(batches)
        .map(|batch| validate_one(batch.map_err(refuse)?, origin, config, now_ms, expanded_max))
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
    expanded_max: usize,
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
    let batch = if origin.is_client() {
        if header.is_control() {
            return invalid("clients cannot write control batches".to_owned());
        }
        if header.has_producer_id() && header.base_sequence < 0 {
            return invalid(format!(
                "sequence {} with a producer id",
                header.base_sequence
            ));
        }
        checked_inside(batch, config, now_ms, expanded_max)?
    } else {
        batch
    };
    let marker = marker_of(&batch).map_err(contradicts)?;
    if marker.is_some() && !batch.header().has_producer_id() {
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

/// Looks at what is inside a client's batch as Kafka's `LogValidator` does:
/// what is stored can be read. The largest timestamp is set right where the
/// header tells another (sarama 1.23 leaves -1): search by time and retention
/// go by it. Only the log calls timestamps its own: where the topic wants the
/// producer's they are taken for those, as Kafka takes them.
fn checked_inside(
    batch: BatchView,
    config: &LogConfig,
    now_ms: i64,
    expanded_max: usize,
) -> Result<BatchView, AppendError> {
    let header = batch.header();
    let is_marked = header.timestamp_type() == batch::TimestampType::LogAppendTime;
    if is_marked && config.timestamp_type == TimestampType::LogAppendTime {
        let records = (0..header.records_count).take(RECORD_ERRORS_MAX).collect();
        return Err(AppendError::TimestampType { records });
    }
    let (mut newest_ms, mut oldest_ms) = (i64::MIN, i64::MAX);
    let mut keyless = Vec::new();
    batch
        .check_framing(expanded_max, |record| {
            newest_ms = newest_ms.max(record.timestamp);
            oldest_ms = oldest_ms.min(record.timestamp);
            if !record.has_key && config.compacts() && keyless.len() < RECORD_ERRORS_MAX {
                keyless.push(record.offset_delta);
            }
        })
        .map_err(|error| refuse_inside(error, config))?;
    if !keyless.is_empty() {
        return Err(AppendError::Keyless { records: keyless });
    }
    if config.timestamp_type != TimestampType::CreateTime {
        return Ok(batch);
    }
    let bounds = TimeBounds { config, now_ms };
    if bounds.is_outside(newest_ms) || bounds.is_outside(oldest_ms) {
        return Err(bounds.refuse(&batch, expanded_max));
    }
    if header.max_timestamp == newest_ms && !is_marked {
        return Ok(batch);
    }
    let mut bytes = batch.bytes().to_vec();
    set_create_time(&mut bytes, newest_ms).map_err(refuse)?;
    BatchView::parse(&bytes.into()).map_err(refuse)
}

/// A producer's own timestamps lie within bounds around now.
struct TimeBounds<'a> {
    config: &'a LogConfig,
    now_ms: i64,
}

impl TimeBounds<'_> {
    fn is_outside(&self, ms: i64) -> bool {
        let is_ahead = ms.saturating_sub(self.now_ms) > self.config.timestamp_after_ms_max;
        let is_behind = self.now_ms.saturating_sub(ms) > self.config.timestamp_before_ms_max;
        ms != NO_TIMESTAMP && (is_ahead || is_behind)
    }

    /// Names the records that lie outside.
    fn refuse(&self, batch: &BatchView, expanded_max: usize) -> AppendError {
        let mut timestamp_ms = batch.header().max_timestamp;
        let mut records = Vec::new();
        let walked = batch.check_framing(expanded_max, |record| {
            if self.is_outside(record.timestamp) && records.len() < RECORD_ERRORS_MAX {
                timestamp_ms = record.timestamp;
                records.push(record.offset_delta);
            }
        });
        match walked {
            Ok(()) => AppendError::InvalidTimestamp {
                timestamp_ms,
                after_ms_max: self.config.timestamp_after_ms_max,
                before_ms_max: self.config.timestamp_before_ms_max,
                records,
            },
            Err(error) => refuse_inside(error, self.config),
        }
    }
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

fn refuse_inside(error: BatchError, config: &LogConfig) -> AppendError {
    match error {
        BatchError::Compression(CompressionError::TooLarge { bytes_max }) => AppendError::Expands {
            bytes_max,
            message_bytes_max: config.message_bytes_max as usize,
        },
        other => contradicts(other),
    }
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
