//! What a broker may change in a batch that a producer sent.
//!
//! Base offset and leader epoch lie outside the checksum, so that assigning
//! an offset costs twelve written bytes. The timestamp of an append lies
//! inside it.

use super::header::{HEADER_BYTES, position};
use super::{Attributes, BatchError, TimestampType};

/// Sets the offset of the first record; the checksum does not cover it.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), BatchError> {
    put(batch, 0, base_offset.to_be_bytes())
}

/// Sets the leader epoch (KIP-101); the checksum does not cover it.
pub fn set_leader_epoch(batch: &mut [u8], leader_epoch: i32) -> Result<(), BatchError> {
    put(batch, position::LEADER_EPOCH, leader_epoch.to_be_bytes())
}

/// Marks the batch as timestamped by the log (`message.timestamp.type` =
/// `LogAppendTime`), in milliseconds since 1970, and recomputes the checksum.
/// `batch` must end where the batch ends.
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: i64) -> Result<(), BatchError> {
    set_timestamp_type(batch, TimestampType::LogAppendTime)?;
    set_max_timestamp(batch, timestamp_ms)
}

/// Marks the batch as timestamped by its producer, who calls the largest
/// timestamp what it is, and recomputes the checksum. `batch` must end where
/// the batch ends.
pub fn set_create_time(batch: &mut [u8], max_timestamp_ms: i64) -> Result<(), BatchError> {
    set_timestamp_type(batch, TimestampType::CreateTime)?;
    set_max_timestamp(batch, max_timestamp_ms)
}

fn set_timestamp_type(batch: &mut [u8], of: TimestampType) -> Result<(), BatchError> {
    let high = byte(batch, position::ATTRIBUTES)?;
    let low = byte(batch, position::ATTRIBUTES + 1)?;
    let attributes = Attributes(i16::from_be_bytes([high, low])).with_timestamp_type(of);
    put(batch, position::ATTRIBUTES, attributes.0.to_be_bytes())
}

/// Sets the largest timestamp of the records, in milliseconds since 1970, and
/// recomputes the checksum. `batch` must end where the batch ends.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_ms: i64) -> Result<(), BatchError> {
    put(batch, position::MAX_TIMESTAMP, timestamp_ms.to_be_bytes())?;
    let crc = checksum(batch)?;
    put(batch, position::CRC, crc.to_be_bytes())
}

/// The checksum that a batch's bytes give.
pub(super) fn checksum(batch: &[u8]) -> Result<u32, BatchError> {
    batch
        .get(position::ATTRIBUTES..)
        .map(crc32c::crc32c)
        .ok_or_else(|| truncated(batch))
}

fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) -> Result<(), BatchError> {
    let error = truncated(batch);
    batch
        .get_mut(at..at + N)
        .ok_or(error)?
        .copy_from_slice(&value);
    Ok(())
}

fn byte(batch: &[u8], at: usize) -> Result<u8, BatchError> {
    batch.get(at).copied().ok_or_else(|| truncated(batch))
}

fn truncated(batch: &[u8]) -> BatchError {
    BatchError::Truncated {
        needed: HEADER_BYTES,
        available: batch.len(),
    }
}
