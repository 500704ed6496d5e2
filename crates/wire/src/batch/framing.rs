//! The framing of a batch's records, walked without making records of it.
//!
//! What Kafka's `LogValidator` and `DefaultRecord` ask of records at produce:
//! each is as long as it says, its fields lie within it, its offset is its
//! place, and after the last one there is nothing. An uncompressed batch is
//! walked where it lies; a compressed one is expanded into a buffer that is
//! used again, so that nothing is allocated for a record or by its size.
//!
//! Invariant: what is accepted here [`BatchView::records`] reads without an
//! error, with the same timestamps and the same keys.

use super::header::HEADER_BYTES;
use super::{BatchError, BatchView, TimestampType};
use crate::codec::DecodeError;
use crate::compression::{Compression, CompressionError};
use millstream_core::limits::{ARRAY_ELEMENTS_MAX, BATCH_UNCOMPRESSED_BYTES_MAX};
use std::cell::Cell;
use std::io::Read;
use std::ops::ControlFlow;

/// Bytes of a compressed batch that are expanded at a time.
const WINDOW_BYTES: usize = 64 * 1024;
/// The most bytes of a number of variable length, as records have them.
const NUMBER_BYTES_MAX: usize = 10;

thread_local! {
    /// The window of the last batch, for the next one of the thread.
    static WINDOW: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What the framing tells of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramedRecord {
    /// Its offset, from the base offset.
    pub offset_delta: i32,
    /// Milliseconds since 1970, as [`Record::timestamp`](super::Record).
    pub timestamp: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

impl BatchView {
    /// Walks the records' framing as a producer has to send it, expanding at
    /// most `bytes_max` bytes, and shows `visit` each record: every offset of
    /// the batch has its record, in order, and nothing comes after the last.
    pub fn check_framing(
        &self,
        bytes_max: usize,
        mut visit: impl FnMut(FramedRecord),
    ) -> Result<(), BatchError> {
        let mut place = 0;
        let mut misplaced = None;
        self.walk_framing(bytes_max, |record| {
            if record.offset_delta != place {
                misplaced = Some(record.offset_delta);
                return ControlFlow::Break(());
            }
            place += 1;
            visit(record);
            ControlFlow::Continue(())
        })?;
        match misplaced {
            None => Ok(()),
            Some(delta) => Err(BatchError::OffsetDelta {
                index: usize::try_from(place).unwrap_or_default(),
                delta,
            }),
        }
    }

    /// Walks the records' framing until `visit` has seen enough, expanding at
    /// most `bytes_max` bytes. What it accepts to the end,
    /// [`records`](Self::records) reads.
    pub fn walk_framing(
        &self,
        bytes_max: usize,
        visit: impl FnMut(FramedRecord) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let bytes_max = bytes_max.min(BATCH_UNCOMPRESSED_BYTES_MAX);
        let payload = self.bytes().get(HEADER_BYTES..).unwrap_or_default();
        let compression = self.header().compression()?;
        if compression == Compression::None {
            if payload.len() > bytes_max {
                return Err(CompressionError::TooLarge { bytes_max }.into());
            }
            return self.walk(&mut Stored { rest: payload }, visit);
        }
        let decoder = compression.decoder(payload, bytes_max)?;
        let mut buffer = WINDOW.take();
        buffer.resize(WINDOW_BYTES, 0);
        let mut expanding = Expanding {
            compression,
            decoder,
            buffer,
            start: 0,
            end: 0,
            has_ended: false,
            expanded: 0,
            bytes_max,
            failure: None,
        };
        let walked = self.walk(&mut expanding, visit);
        WINDOW.set(expanding.buffer);
        walked
    }

    fn walk(
        &self,
        records: &mut impl Source,
        mut visit: impl FnMut(FramedRecord) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let header = self.header();
        let log_time = match header.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        for index in 0..header.records_count as usize {
            let fields = records
                .next_record()
                .map_err(|source| records.refused(index, source))?;
            if !(0..=header.last_offset_delta).contains(&fields.offset_delta) {
                let delta = fields.offset_delta;
                return Err(BatchError::OffsetDelta { index, delta });
            }
            let timestamp = log_time
                .unwrap_or_else(|| header.base_timestamp.wrapping_add(fields.timestamp_delta));
            let record = FramedRecord {
                offset_delta: fields.offset_delta,
                timestamp,
                has_key: fields.has_key,
            };
            if visit(record).is_break() {
                return Ok(());
            }
        }
        let count = header.records_count as usize;
        match records.left() {
            Ok(0) => Ok(()),
            Ok(left) => Err(BatchError::TrailingBytes(left)),
            Err(source) => Err(records.refused(count, source)),
        }
    }
}

/// What is looked at in a record.
#[derive(Clone, Copy)]
struct Fields {
    timestamp_delta: i64,
    offset_delta: i32,
    has_key: bool,
}

/// Where records come from.
trait Source {
    fn next_record(&mut self) -> Result<Fields, DecodeError>;

    /// Bytes after the last record, or some of them.
    fn left(&mut self) -> Result<usize, DecodeError>;

    /// What an error of this source is.
    fn refused(&mut self, index: usize, source: DecodeError) -> BatchError {
        BatchError::Record { index, source }
    }
}

/// One record's bytes, from its attributes on.
trait Body {
    fn byte(&mut self) -> Result<u8, DecodeError>;

    fn skip(&mut self, length: usize) -> Result<(), DecodeError>;

    /// Bytes not yet read.
    fn left(&self) -> usize;
}

/// Records as they are stored.
struct Stored<'a> {
    rest: &'a [u8],
}

impl Source for Stored<'_> {
    #[inline]
    fn next_record(&mut self) -> Result<Fields, DecodeError> {
        let size = length(varint(self)?)?;
        let (record, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or(short(size, self.rest.len()))?;
        self.rest = rest;
        fields(&mut Stored { rest: record })
    }

    fn left(&mut self) -> Result<usize, DecodeError> {
        Ok(self.rest.len())
    }
}

impl Body for Stored<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(short(1, 0))?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        let left = self.rest.len();
        self.rest = self.rest.get(length..).ok_or(short(length, left))?;
        Ok(())
    }

    #[inline]
    fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Records that are being expanded.
struct Expanding<'a> {
    compression: Compression,
    decoder: Box<dyn Read + 'a>,
    buffer: Vec<u8>,
    /// What of the buffer is expanded and not yet read.
    start: usize,
    end: usize,
    has_ended: bool,
    /// All bytes expanded so far.
    expanded: usize,
    bytes_max: usize,
    /// Why there was nothing more to read, where that is no end.
    failure: Option<BatchError>,
}

impl Expanding<'_> {
    fn window(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Expands on until the window has `needed` bytes, which the buffer has
    /// room for, or the payload has ended.
    fn fill(&mut self, needed: usize) {
        if self.end - self.start >= needed {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < needed && !self.has_ended {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.decoder.read(room) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    self.end += count;
                    self.expanded += count;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => self.fail(self.compression.refused(&error, self.bytes_max).into()),
            }
            if self.expanded > self.bytes_max {
                let bytes_max = self.bytes_max;
                self.fail(CompressionError::TooLarge { bytes_max }.into());
            }
        }
    }

    fn fail(&mut self, failure: BatchError) {
        self.failure.get_or_insert(failure);
        self.has_ended = true;
        // What was expanded is not looked at any more.
        self.start = self.end;
    }
}

impl Source for Expanding<'_> {
    fn next_record(&mut self) -> Result<Fields, DecodeError> {
        self.fill(NUMBER_BYTES_MAX);
        let mut window = Stored {
            rest: self.window(),
        };
        let size = length(varint(&mut window)?)?;
        self.start = self.end - window.rest.len();
        if size > self.buffer.len() {
            let mut record = Streamed {
                records: self,
                left: size,
            };
            return fields(&mut record);
        }
        self.fill(size);
        let window = self.window();
        let record = window.get(..size).ok_or(short(size, window.len()))?;
        let found = fields(&mut Stored { rest: record });
        self.start += size;
        found
    }

    fn left(&mut self) -> Result<usize, DecodeError> {
        self.fill(1);
        match self.failure {
            Some(_) => Err(short(1, 0)),
            None => Ok(self.end - self.start),
        }
    }

    fn refused(&mut self, index: usize, source: DecodeError) -> BatchError {
        let malformed = BatchError::Record { index, source };
        self.failure.take().unwrap_or(malformed)
    }
}

/// A record that is larger than the window.
struct Streamed<'s, 'a> {
    records: &'s mut Expanding<'a>,
    left: usize,
}

impl Body for Streamed<'_, '_> {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.records.fill(1);
        let first = self.records.window().first().copied();
        let first = first.filter(|_| self.left > 0).ok_or(short(1, 0))?;
        self.records.start += 1;
        self.left -= 1;
        Ok(first)
    }

    fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        if length > self.left {
            return Err(short(length, self.left));
        }
        let mut skipped = 0;
        while skipped < length {
            self.records.fill(1);
            let step = self.records.window().len().min(length - skipped);
            if step == 0 {
                return Err(short(length, skipped));
            }
            self.records.start += step;
            skipped += step;
        }
        self.left -= length;
        Ok(())
    }

    fn left(&self) -> usize {
        self.left
    }
}

/// Walks one record to its end.
#[inline]
fn fields(record: &mut impl Body) -> Result<Fields, DecodeError> {
    record.byte()?; // Attributes: none are defined.
    let timestamp_delta = varlong(record)?;
    let offset_delta = varint(record)?;
    let has_key = skip_nullable(record)?;
    skip_nullable(record)?;
    let headers = varint(record)?;
    if headers != 0 {
        skip_headers(record, length(headers)?)?;
    }
    match record.left() {
        0 => Ok(Fields {
            timestamp_delta,
            offset_delta,
            has_key,
        }),
        left => Err(DecodeError::TrailingBytes(left)),
    }
}

/// Whether there is a value; any negative length is null, as for Kafka.
#[inline]
fn skip_nullable(record: &mut impl Body) -> Result<bool, DecodeError> {
    match usize::try_from(varint(record)?) {
        Ok(length) => record.skip(length).map(|()| true),
        Err(_) => Ok(false),
    }
}

fn skip_headers(record: &mut impl Body, count: usize) -> Result<(), DecodeError> {
    // A header takes at least two bytes.
    let needed = count.saturating_mul(2);
    if needed > record.left() {
        return Err(short(needed, record.left()));
    }
    if count > ARRAY_ELEMENTS_MAX {
        return Err(DecodeError::TooManyElements {
            count,
            max: ARRAY_ELEMENTS_MAX,
        });
    }
    for _ in 0..count {
        let key_length = length(varint(record)?)?;
        record.skip(key_length)?;
        skip_nullable(record)?;
    }
    Ok(())
}

#[inline]
fn varint(body: &mut impl Body) -> Result<i32, DecodeError> {
    let first = body.byte()?;
    let mut raw = u32::from(first & 0x7f);
    if first & 0x80 != 0 {
        for shift in [7u32, 14, 21, 28] {
            let byte = body.byte()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            raw |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

#[inline]
fn varlong(body: &mut impl Body) -> Result<i64, DecodeError> {
    let mut raw = 0u64;
    let mut shift = 0u32;
    loop {
        let byte = body.byte()?;
        if shift == 63 && byte > 1 {
            return Err(DecodeError::VarintTooLong);
        }
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
        shift += 7;
    }
}

#[inline]
fn length(value: i32) -> Result<usize, DecodeError> {
    usize::try_from(value).map_err(|_| DecodeError::NegativeLength(value.into()))
}

#[inline]
fn short(needed: usize, available: usize) -> DecodeError {
    DecodeError::Truncated { needed, available }
}
