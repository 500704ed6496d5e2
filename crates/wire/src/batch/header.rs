//! The 61 bytes before a batch's records.

use super::BatchError;
use crate::compression::{Compression, CompressionError};
use bytes::Buf;

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Bytes that `batch_length` does not count: base offset and the length.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// The fewest bytes that a record can take.
const RECORD_BYTES_MIN: usize = 7;

/// Where each field lies, in bytes from the start.
pub(super) mod position {
    pub(in crate::batch) const LENGTH: usize = 8;
    pub(in crate::batch) const LEADER_EPOCH: usize = 12;
    pub(in crate::batch) const MAGIC: usize = 16;
    pub(in crate::batch) const CRC: usize = 17;
    pub(in crate::batch) const ATTRIBUTES: usize = 21;
    pub(in crate::batch) const MAX_TIMESTAMP: usize = 35;
}

/// Whose clock the timestamps of a batch are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's, one for each record.
    #[default]
    CreateTime,
    /// The broker's at the append, one for the whole batch.
    LogAppendTime,
}

/// The flags of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(super) const COMPRESSION: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    pub(super) const DELETE_HORIZON: i16 = 0x40;

    /// Flags for a batch of data.
    #[must_use]
    pub fn new(compression: Compression, timestamp_type: TimestampType) -> Self {
        Self(i16::from(compression.code())).with(
            Self::LOG_APPEND_TIME,
            timestamp_type == TimestampType::LogAppendTime,
        )
    }

    /// How the records are compressed.
    pub fn compression(self) -> Result<Compression, CompressionError> {
        Compression::from_code((self.0 & Self::COMPRESSION) as u8)
    }

    /// Whose clock the timestamps are of.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Self::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the batch is part of a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds a control record, which clients never see.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time at which tombstones and markers
    /// of this batch may go (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same flags, with the transactional one as told.
    #[must_use]
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(Self::TRANSACTIONAL, on)
    }

    /// The same flags, with the control one as told.
    #[must_use]
    pub fn with_control(self, on: bool) -> Self {
        self.with(Self::CONTROL, on)
    }

    /// The same flags, with the timestamp type as told.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with(
            Self::LOG_APPEND_TIME,
            timestamp_type == TimestampType::LogAppendTime,
        )
    }

    pub(super) fn with(self, flag: i16, on: bool) -> Self {
        if on {
            Self(self.0 | flag)
        } else {
            Self(self.0 & !flag)
        }
    }
}

/// The header of a batch, with its lengths and counts checked against each
/// other, but not its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; a producer sends 0.
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    /// Epoch of the leader that appended it (KIP-101); -1 from a producer.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Flags.
    pub attributes: Attributes,
    /// Offset of the last record, from the base offset. Compaction keeps it
    /// when it removes the record.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// Largest timestamp, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// Producer id, -1 without idempotence.
    pub producer_id: i64,
    /// Producer epoch, -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 without idempotence.
    pub base_sequence: i32,
    /// Records in the batch; 0 only after compaction.
    pub records_count: i32,
}

impl BatchHeader {
    /// Parses the first [`HEADER_BYTES`] of `bytes`; the rest is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic comes first: an old message set is shorter than this header
        // and must be told from a truncated batch.
        if let Some(&magic) = bytes.get(position::MAGIC)
            && magic != 2
        {
            return Err(BatchError::UnsupportedMagic(magic as i8));
        }
        let mut at = bytes.get(..HEADER_BYTES).ok_or(BatchError::Truncated {
            needed: HEADER_BYTES,
            available: bytes.len(),
        })?;
        let base_offset = at.get_i64();
        let batch_length = at.get_i32();
        let partition_leader_epoch = at.get_i32();
        at.advance(1);
        let header = Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: at.get_u32(),
            attributes: Attributes(at.get_i16()),
            last_offset_delta: at.get_i32(),
            base_timestamp: at.get_i64(),
            max_timestamp: at.get_i64(),
            producer_id: at.get_i64(),
            producer_epoch: at.get_i16(),
            base_sequence: at.get_i32(),
            records_count: at.get_i32(),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), BatchError> {
        let refuse = |field, value: i64| Err(BatchError::Header { field, value });
        if self.batch_length < (HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return refuse("batch length", self.batch_length.into());
        }
        if self.last_offset_delta < 0 {
            return refuse("last offset delta", self.last_offset_delta.into());
        }
        if self
            .base_offset
            .checked_add(self.last_offset_delta.into())
            .is_none()
        {
            return refuse("base offset", self.base_offset);
        }
        // Offsets within a batch are distinct, so there are no more records
        // than offsets; and each record takes some bytes.
        if self.records_count < 0
            || i64::from(self.records_count) > i64::from(self.last_offset_delta) + 1
        {
            return refuse("records count", self.records_count.into());
        }
        let records_bytes = self.size_bytes() - HEADER_BYTES;
        if self.compression()? == Compression::None
            && self.records_count as usize > records_bytes / RECORD_BYTES_MIN
        {
            return refuse("records count", self.records_count.into());
        }
        Ok(())
    }

    /// Bytes of the whole batch, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + self.batch_length as usize
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(self.last_offset_delta.into())
    }

    /// Offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record: it wraps to 0 after 2^31 - 1.
    /// -1 without idempotence.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last & i64::from(i32::MAX)) as i32
    }

    /// Whether the producer is idempotent.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Result<Compression, CompressionError> {
        self.attributes.compression()
    }

    /// Whose clock the timestamps are of.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    /// Whether the batch is part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// Whether the batch holds a control record.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// Writes the header as it stands, the checksum included.
    pub(super) fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        use bytes::BufMut;
        let mut at = &mut out[..];
        at.put_i64(self.base_offset);
        at.put_i32(self.batch_length);
        at.put_i32(self.partition_leader_epoch);
        at.put_i8(2);
        at.put_u32(self.crc);
        at.put_i16(self.attributes.0);
        at.put_i32(self.last_offset_delta);
        at.put_i64(self.base_timestamp);
        at.put_i64(self.max_timestamp);
        at.put_i64(self.producer_id);
        at.put_i16(self.producer_epoch);
        at.put_i32(self.base_sequence);
        at.put_i32(self.records_count);
    }
}
