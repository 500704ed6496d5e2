//! Writing: bytes in order, with large shared payloads kept as they are.

use super::{Elsewhere, EncodeError, Payload};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// Shared bytes from this size on are kept as a chunk of their own: below it,
/// one copy costs less than one more piece in a vectored write.
const SHARED_BYTES_MIN: usize = 4 * 1024;

/// A piece of what was written.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Bytes that the writer wrote.
    Written(BytesMut),
    /// Bytes that the message shares with whoever read them, or that nobody
    /// has read.
    Shared(Payload),
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Written(bytes) => bytes.len(),
            Self::Shared(payload) => payload.len(),
        }
    }
}

/// Collects an encoded message.
///
/// A [`Writer::contiguous`] one copies everything into one buffer, a
/// [`Writer::chunked`] one keeps large byte fields as shared chunks: a
/// fetched batch goes from the log to the socket without a copy.
#[derive(Debug)]
pub struct Writer {
    done: Vec<Segment>,
    current: BytesMut,
    shared_bytes_min: usize,
}

impl Writer {
    /// A writer that appends to `out` and copies everything.
    #[must_use]
    pub fn contiguous(out: BytesMut) -> Self {
        Self {
            done: Vec::new(),
            current: out,
            shared_bytes_min: usize::MAX,
        }
    }

    /// A writer that keeps large byte fields as shared chunks.
    #[must_use]
    pub fn chunked(out: BytesMut) -> Self {
        Self {
            done: Vec::new(),
            current: out,
            shared_bytes_min: SHARED_BYTES_MIN,
        }
    }

    /// What a contiguous writer wrote.
    #[must_use]
    pub fn into_contiguous(self) -> BytesMut {
        debug_assert!(self.done.is_empty(), "a chunked writer");
        self.current
    }

    /// What was written, in order. The first segment is a written one.
    #[must_use]
    pub fn into_segments(mut self) -> Vec<Segment> {
        if self.done.is_empty() || !self.current.is_empty() {
            self.done.push(Segment::Written(self.current));
        }
        self.done
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.iter().map(Segment::len).sum::<usize>() + self.current.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.current.put_slice(bytes);
    }

    /// Writes bytes that may be shared instead of copied.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < self.shared_bytes_min {
            return self.put(bytes);
        }
        self.push_shared(Payload::Here(bytes.clone()));
    }

    /// Writes bytes that are elsewhere: as a chunk of their own, or read where
    /// all is copied.
    pub fn put_elsewhere(&mut self, elsewhere: &Arc<dyn Elsewhere>) -> Result<(), EncodeError> {
        if self.shared_bytes_min < usize::MAX {
            self.push_shared(Payload::Elsewhere(Arc::clone(elsewhere)));
            return Ok(());
        }
        let unreadable = |error: std::io::Error| EncodeError::Unreadable(error.to_string());
        self.put(&elsewhere.read().map_err(unreadable)?);
        Ok(())
    }

    fn push_shared(&mut self, payload: Payload) {
        let written = self.current.split();
        self.done.push(Segment::Written(written));
        self.done.push(Segment::Shared(payload));
    }

    /// An unsigned number of 7 bits a byte (KIP-482).
    #[inline]
    pub fn put_unsigned_varint(&mut self, value: u32) {
        put_unsigned_varint(&mut self.current, value);
    }

    /// The length of a string in a version that is not flexible; `None` is null.
    pub fn put_short_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i16::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
        };
        self.put(&length.to_be_bytes());
        Ok(())
    }

    /// The length of bytes or an array in a version that is not flexible;
    /// `None` is null.
    pub fn put_long_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
        };
        self.put(&length.to_be_bytes());
        Ok(())
    }

    /// A length in a flexible version: one more than it is, 0 for null.
    pub fn put_compact_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let plus_one = match length {
            None => 0,
            Some(length) if length < i32::MAX as usize => length as u32 + 1,
            Some(length) => return Err(EncodeError::TooLong { length }),
        };
        self.put_unsigned_varint(plus_one);
        Ok(())
    }
}

/// Writes an unsigned number of 7 bits a byte (KIP-482).
#[inline]
pub fn put_unsigned_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes a zig-zag number, as inside records.
#[inline]
pub fn put_varint(out: &mut BytesMut, value: i32) {
    put_unsigned_varint(out, zigzag(value));
}

/// Writes a zig-zag number of 64 bits, as inside records.
#[inline]
pub fn put_varlong(out: &mut BytesMut, value: i64) {
    let mut raw = zigzag_long(value);
    while raw >= 0x80 {
        out.put_u8(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}

/// Bytes that [`put_unsigned_varint`] writes.
#[inline]
#[must_use]
pub fn unsigned_varint_len(value: u32) -> usize {
    seven_bit_groups(32 - value.leading_zeros())
}

/// Bytes that [`put_varint`] writes.
#[inline]
#[must_use]
pub fn varint_len(value: i32) -> usize {
    unsigned_varint_len(zigzag(value))
}

/// Bytes that [`put_varlong`] writes.
#[inline]
#[must_use]
pub fn varlong_len(value: i64) -> usize {
    seven_bit_groups(64 - zigzag_long(value).leading_zeros())
}

fn seven_bit_groups(bits: u32) -> usize {
    bits.div_ceil(7).max(1) as usize
}

fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag_long(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_are_what_is_written(a in any::<u32>(), b in any::<i64>(), shift in 0u32..64) {
            let (a, b) = (a >> (shift % 32), b >> shift);
            let mut out = BytesMut::new();
            put_unsigned_varint(&mut out, a);
            prop_assert_eq!(out.len(), unsigned_varint_len(a));
            out.clear();
            put_varlong(&mut out, b);
            prop_assert_eq!(out.len(), varlong_len(b));
            out.clear();
            put_varint(&mut out, b as i32);
            prop_assert_eq!(out.len(), varint_len(b as i32));
        }
    }
}
