//! Why a batch was refused.

use crate::codec::DecodeError;
use crate::compression::CompressionError;

/// Why bytes are not a record batch that can be stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does. Normal at the end of a Fetch
    /// response (KIP-74) and of a file after a crash; an error in a Produce
    /// request.
    #[error("record batch needs {needed} bytes, {available} are left")]
    Truncated {
        /// Bytes that the batch, or its header, needs.
        needed: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// A message format older than v2, or one that does not exist yet.
    #[error("message format with magic {0} is not supported: only magic 2 is")]
    UnsupportedMagic(i8),
    /// A header field with a value that no writer makes.
    #[error("record batch header has {field} {value}")]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The stored checksum is not that of the bytes.
    #[error("record batch checksum is {stored:#010x} in the header, {computed:#010x} by its bytes")]
    Crc {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The records could not be decompressed, or not within the cap.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// A record is malformed.
    #[error("record {index}: {source}")]
    Record {
        /// Its place in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A record's offset lies outside its batch.
    #[error("record {index} has offset delta {delta}, outside its batch")]
    OffsetDelta {
        /// Its place in the batch, from 0.
        index: usize,
        /// The offset delta.
        delta: i32,
    },
    /// Bytes after the last record that the header announces.
    #[error("{0} bytes after the last record")]
    TrailingBytes(usize),
    /// A control record that is not an end-of-transaction marker.
    #[error("control record of type {0} is not an end-of-transaction marker")]
    NotEndTxn(i16),
    /// The batch to build would not fit its length fields.
    #[error("record batch of {0} bytes is beyond what its length field can say")]
    TooLarge(usize),
    /// A batch to build has no records.
    #[error("a record batch needs at least one record")]
    Empty,
}

impl BatchError {
    /// Whether the bytes merely end too early.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }
}
