//! Producer snapshot files, Kafka's version 1:
//!
//! ```text
//! version i16 (1), crc u32 (CRC-32C of all that follows), count i32, entries:
//! producer id i64, epoch i16, last sequence i32, last offset i64, offset delta i32,
//! timestamp i64, coordinator epoch i32, current transaction first offset i64
//! ```
//!
//! Kafka writes one entry a producer, with its last batch only. A single node
//! that restarts would then refuse the retry of the batch before, which its
//! client still has in flight. So a producer has one entry for each of its
//! remembered batches here, oldest first: Kafka's own reader lets the last one
//! win and sees what Kafka would have written.

use super::entry::LAST_BATCHES_MAX;
use super::{BatchMetadata, LastBatches, ProducerEntry, ProducerState};
use bytes::{Buf, BufMut};
use std::collections::HashMap;

const VERSION: i16 = 1;
const ENTRY_BYTES: usize = 46;
const HEADER_BYTES: usize = 10;

/// Why a snapshot was not used. An older one, or a scan, takes its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("snapshot of version {0}, expected {VERSION}")]
    Version(i16),
    #[error("the checksum does not hold")]
    Checksum,
    #[error("the length does not fit the number of entries")]
    Length,
}

pub(crate) fn encode(state: &ProducerState) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count: i32 = 0;
    for entry in state.entries() {
        let none = BatchMetadata {
            last_sequence: -1,
            last_offset: -1,
            offset_delta: 0,
            timestamp_ms: entry.last_timestamp_ms,
        };
        let newest = entry.batches.back().copied().unwrap_or(none);
        let older = entry.batches.len().saturating_sub(1);
        for batch in entry.batches.iter().take(older) {
            put_entry(&mut entries, entry, batch, batch.timestamp_ms);
        }
        put_entry(&mut entries, entry, &newest, entry.last_timestamp_ms);
        count += older as i32 + 1;
    }
    let mut body = Vec::with_capacity(HEADER_BYTES + entries.len());
    body.put_i16(VERSION);
    body.put_u32(0);
    body.put_i32(count);
    body.extend_from_slice(&entries);
    let crc = crc32c::crc32c(body.get(6..).unwrap_or_default());
    if let Some(room) = body.get_mut(2..6) {
        room.copy_from_slice(&crc.to_be_bytes());
    }
    body
}

fn put_entry(out: &mut Vec<u8>, entry: &ProducerEntry, batch: &BatchMetadata, timestamp_ms: i64) {
    out.put_i64(entry.producer_id);
    out.put_i16(entry.epoch);
    out.put_i32(batch.last_sequence);
    out.put_i64(batch.last_offset);
    out.put_i32(batch.offset_delta);
    out.put_i64(timestamp_ms);
    out.put_i32(entry.coordinator_epoch);
    out.put_i64(entry.transaction_start.unwrap_or(-1));
}

pub(crate) fn decode(bytes: &[u8]) -> Result<ProducerState, SnapshotError> {
    let mut at = bytes.get(..HEADER_BYTES).ok_or(SnapshotError::Length)?;
    let version = at.get_i16();
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    if at.get_u32() != crc32c::crc32c(bytes.get(6..).unwrap_or_default()) {
        return Err(SnapshotError::Checksum);
    }
    let count = usize::try_from(at.get_i32()).map_err(|_| SnapshotError::Length)?;
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    if count.checked_mul(ENTRY_BYTES) != Some(body.len()) {
        return Err(SnapshotError::Length);
    }
    let mut producers: HashMap<i64, ProducerEntry> = HashMap::new();
    for entry in body.chunks_exact(ENTRY_BYTES).map(decode_entry) {
        let batches = match producers.remove(&entry.producer_id) {
            Some(mut older) if older.epoch == entry.epoch => {
                older.batches.extend(entry.batches);
                while older.batches.len() > LAST_BATCHES_MAX {
                    older.batches.pop_front();
                }
                older.batches
            }
            _ => entry.batches,
        };
        producers.insert(entry.producer_id, ProducerEntry { batches, ..entry });
    }
    Ok(ProducerState::from_entries(producers.into_values()))
}

/// `bytes` is [`ENTRY_BYTES`] long.
fn decode_entry(mut bytes: &[u8]) -> ProducerEntry {
    let producer_id = bytes.get_i64();
    let epoch = bytes.get_i16();
    let batch = BatchMetadata {
        last_sequence: bytes.get_i32(),
        last_offset: bytes.get_i64(),
        offset_delta: bytes.get_i32(),
        timestamp_ms: bytes.get_i64(),
    };
    let coordinator_epoch = bytes.get_i32();
    let transaction_start = Some(bytes.get_i64()).filter(|offset| *offset >= 0);
    // Kafka's reader takes an entry with a last offset as one with a batch.
    let batches = if batch.last_offset >= 0 {
        LastBatches::from([batch])
    } else {
        LastBatches::new()
    };
    ProducerEntry {
        producer_id,
        epoch,
        batches,
        last_timestamp_ms: batch.timestamp_ms,
        coordinator_epoch,
        transaction_start,
    }
}
