//! The records of a batch, one after another, as slices of its bytes.

use super::{BatchError, BatchHeader, TimestampType};
use crate::codec::{DecodeError, Reader};
use bytes::Bytes;
use millstream_core::limits::ARRAY_ELEMENTS_MAX;
use std::borrow::Cow;

/// Headers reserved for before they are read.
const HEADERS_RESERVED_MAX: usize = 16;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, of the producer or of the append, whichever
    /// the batch says.
    pub timestamp: i64,
    /// Key; `None` is null.
    pub key: Option<Bytes>,
    /// Value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in their order, duplicates kept (KIP-82).
    pub headers: Vec<RecordHeader>,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Its key: UTF-8 by the protocol, but no broker checks that.
    pub key: Bytes,
    /// Its value; `None` is null.
    pub value: Option<Bytes>,
}

impl RecordHeader {
    /// The key as text, with a replacement character for what is not UTF-8.
    #[must_use]
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }
}

/// The records of one batch. Ends after the last record or the first error;
/// bytes left after the last record are an error.
#[derive(Clone, Debug)]
pub struct Records {
    reader: Reader,
    index: usize,
    count: usize,
    base_offset: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    /// The timestamp of every record when the log's clock set it.
    append_timestamp: Option<i64>,
    done: bool,
}

impl Records {
    pub(super) fn new(header: &BatchHeader, records: Bytes) -> Self {
        let append_timestamp = match header.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Self {
            reader: Reader::new(records),
            index: 0,
            count: header.records_count as usize,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            append_timestamp,
            done: false,
        }
    }

    fn read(&mut self) -> Result<Record, BatchError> {
        let index = self.index;
        let malformed = |source| BatchError::Record { index, source };
        let size_bytes = self.reader.varint().map_err(malformed)?;
        let size_bytes = length(size_bytes).map_err(malformed)?;
        let mut body = Reader::new(self.reader.take(size_bytes).map_err(malformed)?);
        let (delta, record) = self.read_body(&mut body).map_err(malformed)?;
        body.finish().map_err(malformed)?;
        if !(0..=self.last_offset_delta).contains(&delta) {
            return Err(BatchError::OffsetDelta { index, delta });
        }
        Ok(record)
    }

    fn read_body(&self, body: &mut Reader) -> Result<(i32, Record), DecodeError> {
        body.i8()?; // Attributes: none are defined.
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = read_nullable(body)?;
        let value = read_nullable(body)?;
        let headers = read_headers(body)?;
        let record = Record {
            offset: self.base_offset.wrapping_add(offset_delta.into()),
            timestamp: self
                .append_timestamp
                .unwrap_or_else(|| self.base_timestamp.wrapping_add(timestamp_delta)),
            key,
            value,
            headers,
        };
        Ok((offset_delta, record))
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.index == self.count {
            self.done = true;
            let left = self.reader.remaining();
            return (left > 0).then_some(Err(BatchError::TrailingBytes(left)));
        }
        let record = self.read();
        self.index += 1;
        self.done = record.is_err();
        Some(record)
    }
}

impl std::iter::FusedIterator for Records {}

fn read_nullable(body: &mut Reader) -> Result<Option<Bytes>, DecodeError> {
    match body.varint()? {
        // Kafka's reader takes any negative length for null.
        negative if negative < 0 => Ok(None),
        length => body.take(length as usize).map(Some),
    }
}

fn read_headers(body: &mut Reader) -> Result<Vec<RecordHeader>, DecodeError> {
    let count = length(body.varint()?)?;
    // A header takes at least two bytes.
    let needed = count.saturating_mul(2);
    if needed > body.remaining() {
        return Err(DecodeError::Truncated {
            needed,
            available: body.remaining(),
        });
    }
    if count > ARRAY_ELEMENTS_MAX {
        return Err(DecodeError::TooManyElements {
            count,
            max: ARRAY_ELEMENTS_MAX,
        });
    }
    let mut headers = Vec::with_capacity(count.min(HEADERS_RESERVED_MAX));
    for _ in 0..count {
        let key_length = length(body.varint()?)?;
        let key = body.take(key_length)?;
        headers.push(RecordHeader {
            key,
            value: read_nullable(body)?,
        });
    }
    Ok(headers)
}

fn length(value: i32) -> Result<usize, DecodeError> {
    usize::try_from(value).map_err(|_| DecodeError::NegativeLength(value.into()))
}
