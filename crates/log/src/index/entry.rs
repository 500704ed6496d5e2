//! The entries of the three index files, big-endian as everything of Kafka's.

use crate::partition::AbortedTransaction;
use bytes::{Buf, BufMut};
use millstream_core::ids::{Offset, ProducerId};

/// Size of the largest entry.
pub(super) const ENTRY_BYTES_MAX: usize = 34;

/// An entry of fixed size.
pub(crate) trait IndexEntry: Copy {
    /// Size in the file.
    const BYTES: usize;
    fn encode(&self, out: &mut Vec<u8>);
    /// `bytes` is [`IndexEntry::BYTES`] long.
    fn decode(bytes: &[u8]) -> Self;
}

/// `.index`: the batch whose last offset is this begins at this position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of the batch, from the segment's base offset.
    pub(crate) relative_offset: i32,
    pub(crate) position: i32,
}

impl IndexEntry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.relative_offset);
        out.put_i32(self.position);
    }

    fn decode(mut bytes: &[u8]) -> Self {
        Self {
            relative_offset: bytes.try_get_i32().unwrap_or_default(),
            position: bytes.try_get_i32().unwrap_or_default(),
        }
    }
}

/// `.timeindex`: up to the batch whose last offset is this, no timestamp is
/// larger, and that batch holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp_ms: i64,
    /// Last offset of the batch, from the segment's base offset.
    pub(crate) relative_offset: i32,
}

impl IndexEntry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.timestamp_ms);
        out.put_i32(self.relative_offset);
    }

    fn decode(mut bytes: &[u8]) -> Self {
        Self {
            timestamp_ms: bytes.try_get_i64().unwrap_or_default(),
            relative_offset: bytes.try_get_i32().unwrap_or_default(),
        }
    }
}

/// `.txnindex`, version 0.
impl IndexEntry for AbortedTransaction {
    const BYTES: usize = 34;

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i16(0);
        out.put_i64(self.producer_id.0);
        out.put_i64(self.first_offset.0);
        out.put_i64(self.last_offset.0);
        out.put_i64(self.last_stable_offset.0);
    }

    fn decode(mut bytes: &[u8]) -> Self {
        let _version = bytes.try_get_i16();
        let mut next = || bytes.try_get_i64().unwrap_or_default();
        Self {
            producer_id: ProducerId(next()),
            first_offset: Offset(next()),
            last_offset: Offset(next()),
            last_stable_offset: Offset(next()),
        }
    }
}
