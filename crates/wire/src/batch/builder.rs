//! Building a batch from records.

use super::header::HEADER_BYTES;
use super::{
    Attributes, BatchError, BatchHeader, LOG_OVERHEAD_BYTES, Record, TimestampType, patch,
};
use crate::codec::{put_varint, put_varlong, varint_len, varlong_len};
use crate::compression::Compression;
use bytes::{BufMut, Bytes, BytesMut};

/// What a batch says about itself beside its records.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Offset of the first record; 0 for a batch that a broker will place.
    pub base_offset: i64,
    /// Leader epoch; -1 for a batch that a broker will place.
    pub partition_leader_epoch: i32,
    /// How the records are compressed.
    pub compression: Compression,
    /// Producer id, -1 without idempotence.
    pub producer_id: i64,
    /// Producer epoch, -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 without idempotence.
    pub base_sequence: i32,
    /// Whether the batch is part of a transaction.
    pub is_transactional: bool,
    /// Whether the batch holds a control record.
    pub is_control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            partition_leader_epoch: -1,
            compression: Compression::None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            is_transactional: false,
            is_control: false,
        }
    }
}

/// Collects records into one batch.
///
/// ```
/// use millstream_wire::batch::{BatchBuilder, BatchOptions, BatchView};
///
/// let mut builder = BatchBuilder::new(BatchOptions::default());
/// builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[("trace", Some(b"1"))])?;
/// let batch = BatchView::parse(&builder.build()?)?;
/// assert_eq!(batch.records()?.count(), 1);
/// # Ok::<(), millstream_wire::batch::BatchError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records, uncompressed.
    bytes: BytesMut,
    records_count: i32,
    next_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_bytes(0, HEADER_BYTES);
        Self {
            options,
            bytes,
            records_count: 0,
            next_offset_delta: 0,
            base_timestamp: 0,
            max_timestamp: i64::MIN,
        }
    }

    /// Adds a record at the next offset; `timestamp` in milliseconds since
    /// 1970, `None` is null. On an error the batch is as before.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        self.append_at(self.next_offset_delta, timestamp, key, value, headers)
    }

    /// Adds a record at an offset, counted from the base offset, which must
    /// be above the last one: what a compacted batch needs.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        if offset_delta < self.next_offset_delta || offset_delta == i32::MAX {
            return Err(BatchError::OffsetDelta {
                index: self.records_count as usize,
                delta: offset_delta,
            });
        }
        let base_timestamp = if self.is_empty() {
            timestamp
        } else {
            self.base_timestamp
        };
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let body_bytes = body_size(timestamp_delta, offset_delta, key, value, headers);
        // The bound on the whole keeps every length below within 31 bits.
        let size_bytes = self
            .bytes
            .len()
            .saturating_add(body_bytes)
            .saturating_add(5);
        if size_bytes > i32::MAX as usize {
            return Err(BatchError::TooLarge(size_bytes));
        }

        put_varint(&mut self.bytes, body_bytes as i32);
        self.bytes.put_i8(0);
        put_varlong(&mut self.bytes, timestamp_delta);
        put_varint(&mut self.bytes, offset_delta);
        put_nullable(&mut self.bytes, key);
        put_nullable(&mut self.bytes, value);
        put_varint(&mut self.bytes, headers.len() as i32);
        for (key, value) in headers {
            put_nullable(&mut self.bytes, Some(key.as_bytes()));
            put_nullable(&mut self.bytes, *value);
        }

        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.records_count += 1;
        self.next_offset_delta = offset_delta + 1;
        Ok(())
    }

    /// Bytes of the batch so far, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Records so far.
    #[must_use]
    pub fn records_count(&self) -> usize {
        self.records_count as usize
    }

    /// Whether there are no records yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// Compresses, checksums and gives the batch.
    pub fn build(mut self) -> Result<Bytes, BatchError> {
        if self.is_empty() {
            return Err(BatchError::Empty);
        }
        if self.options.compression != Compression::None {
            let records = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
            let packed = self.options.compression.compress(records)?;
            self.bytes.truncate(HEADER_BYTES);
            self.bytes.extend_from_slice(&packed);
        }
        let size_bytes = self.bytes.len();
        let batch_length = i32::try_from(size_bytes - LOG_OVERHEAD_BYTES)
            .map_err(|_| BatchError::TooLarge(size_bytes))?;
        let mut header = self.header(batch_length);
        self.write_header(&header);
        header.crc = patch::checksum(&self.bytes)?;
        self.write_header(&header);
        Ok(self.bytes.freeze())
    }

    fn header(&self, batch_length: i32) -> BatchHeader {
        let options = &self.options;
        BatchHeader {
            base_offset: options.base_offset,
            batch_length,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: Attributes::new(options.compression, TimestampType::CreateTime)
                .with_transactional(options.is_transactional)
                .with_control(options.is_control),
            last_offset_delta: self.next_offset_delta - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            records_count: self.records_count,
        }
    }

    fn write_header(&mut self, header: &BatchHeader) {
        if let Some(room) = self.bytes.first_chunk_mut::<HEADER_BYTES>() {
            header.write(room);
        }
    }
}

fn body_size(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> usize {
    let headers_bytes: usize = headers
        .iter()
        .map(|(key, value)| nullable_size(Some(key.as_bytes())) + nullable_size(*value))
        .sum();
    1 + varlong_len(timestamp_delta)
        + varint_len(offset_delta)
        + nullable_size(key)
        + nullable_size(value)
        + varint_len(headers.len() as i32)
        + headers_bytes
}

/// Writes a record that was read from a batch, at another place: as it was
/// but for its timestamp's delta.
pub(super) fn put_record(
    out: &mut BytesMut,
    timestamp_delta: i64,
    offset_delta: i32,
    record: &Record,
) -> Result<(), BatchError> {
    let headers_bytes: usize = record
        .headers
        .iter()
        .map(|h| nullable_size(Some(&h.key)) + nullable_size(h.value.as_deref()))
        .sum();
    let body_bytes = 1
        + varlong_len(timestamp_delta)
        + varint_len(offset_delta)
        + nullable_size(record.key.as_deref())
        + nullable_size(record.value.as_deref())
        + varint_len(record.headers.len() as i32)
        + headers_bytes;
    // The bound on the whole keeps every length below within 31 bits.
    let size_bytes = out.len().saturating_add(body_bytes).saturating_add(5);
    if size_bytes > i32::MAX as usize {
        return Err(BatchError::TooLarge(size_bytes));
    }
    put_varint(out, body_bytes as i32);
    out.put_i8(0);
    put_varlong(out, timestamp_delta);
    put_varint(out, offset_delta);
    put_nullable(out, record.key.as_deref());
    put_nullable(out, record.value.as_deref());
    put_varint(out, record.headers.len() as i32);
    for header in &record.headers {
        put_nullable(out, Some(&header.key));
        put_nullable(out, header.value.as_deref());
    }
    Ok(())
}

fn nullable_size(value: Option<&[u8]>) -> usize {
    value.map_or(1, |value| varint_len(value.len() as i32) + value.len())
}

fn put_nullable(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => put_varint(out, -1),
        Some(value) => {
            put_varint(out, value.len() as i32);
            out.put_slice(value);
        }
    }
}
