//! Bounded reading of the protocol's primitive types.

use super::DecodeError;
use bytes::{Buf, Bytes};
use uuid::Uuid;

/// Memory that the arrays of one decoded message may take, in bytes. A
/// message of small elements takes many times its size on the wire, so the
/// size of the frame alone is no bound.
const MESSAGE_ARRAYS_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Reads primitive types from the front of a [`Bytes`]. Byte fields come out
/// as slices of it, not as copies.
///
/// Every method checks against the bytes that remain; after an error the
/// position is unspecified and the reader must be dropped.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    /// Memory that arrays may still take.
    arrays_bytes_left: usize,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident -> $ty:ty = $get:ident;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            self.need(size_of::<$ty>())?;
            Ok(self.bytes.$get())
        }
    )*};
}

impl Reader {
    /// A reader at the first of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            arrays_bytes_left: MESSAGE_ARRAYS_BYTES_MAX,
        }
    }

    /// Bytes not yet read.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// What is not yet read.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.bytes
    }

    /// An error unless everything was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    fixed! {
        /// One signed byte.
        i8 -> i8 = get_i8;
        /// One unsigned byte.
        u8 -> u8 = get_u8;
        /// Two bytes, big-endian.
        i16 -> i16 = get_i16;
        /// Two bytes, big-endian, unsigned.
        u16 -> u16 = get_u16;
        /// Four bytes, big-endian.
        i32 -> i32 = get_i32;
        /// Four bytes, big-endian, unsigned.
        u32 -> u32 = get_u32;
        /// Eight bytes, big-endian.
        i64 -> i64 = get_i64;
        /// Eight bytes, an IEEE 754 double, big-endian.
        f64 -> f64 = get_f64;
    }

    /// The next `length` bytes, as a slice of the input.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.need(length)?;
        Ok(self.bytes.split_to(length))
    }

    /// Skips `length` bytes.
    #[inline]
    pub fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        self.need(length)?;
        self.bytes.advance(length);
        Ok(())
    }

    /// An unsigned number of 7 bits a byte, at most 5 bytes (KIP-482).
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0u32, 7, 14, 21, 28] {
            let byte = self.u8()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A zig-zag number of at most 5 bytes, as inside records.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zig-zag number of at most 10 bytes, as inside records.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let mut raw = 0u64;
        let mut shift = 0u32;
        loop {
            let byte = self.u8()?;
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

    /// A UUID.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.need(16)?;
        let mut bytes = [0; 16];
        self.bytes.copy_to_slice(&mut bytes);
        Ok(Uuid::from_bytes(bytes))
    }

    /// The next `length` bytes, without reading them.
    pub fn slice(&self, length: usize) -> Result<&[u8], DecodeError> {
        let available = self.bytes.len();
        self.bytes.get(..length).ok_or(DecodeError::Truncated {
            needed: length,
            available,
        })
    }

    /// Length of a string in a version that is not flexible; `None` is null.
    pub fn short_length(&mut self) -> Result<Option<usize>, DecodeError> {
        nullable_length(self.i16()?.into())
    }

    /// Length of bytes or of an array in a version that is not flexible;
    /// `None` is null.
    pub fn long_length(&mut self) -> Result<Option<usize>, DecodeError> {
        nullable_length(self.i32()?)
    }

    /// A length in a flexible version: one more than it is, 0 for null.
    pub fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self
            .unsigned_varint()?
            .checked_sub(1)
            .map(|length| length as usize))
    }

    /// Counts memory that an array is about to take against the message's cap.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.arrays_bytes_left =
            self.arrays_bytes_left
                .checked_sub(bytes)
                .ok_or(DecodeError::TooMuchMemory {
                    bytes_max: MESSAGE_ARRAYS_BYTES_MAX,
                })?;
        Ok(())
    }

    /// Reads the next `length` bytes with a reader of their own; what `read`
    /// leaves is skipped. Gives its result and the bytes it left.
    pub(super) fn within<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<(T, usize), DecodeError> {
        let bytes = self.take(length)?;
        let mut inner = Self {
            bytes,
            arrays_bytes_left: self.arrays_bytes_left,
        };
        let value = read(&mut inner)?;
        self.arrays_bytes_left = inner.arrays_bytes_left;
        Ok((value, inner.remaining()))
    }

    #[inline]
    fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let available = self.bytes.len();
        if needed > available {
            return Err(DecodeError::Truncated { needed, available });
        }
        Ok(())
    }
}

fn nullable_length(length: i32) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        _ => match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) => Err(DecodeError::NegativeLength(length.into())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{put_unsigned_varint, put_varint, put_varlong};
    use bytes::BytesMut;
    use proptest::prelude::*;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_number_that_never_ends_is_refused() {
        assert_eq!(
            reader(&[0xff; 12]).unsigned_varint(),
            Err(DecodeError::VarintTooLong)
        );
        assert_eq!(
            reader(&[0xff; 12]).varint(),
            Err(DecodeError::VarintTooLong)
        );
        assert_eq!(
            reader(&[0xff; 12]).varlong(),
            Err(DecodeError::VarintTooLong)
        );
    }

    #[test]
    fn a_number_that_stops_early_is_truncated() {
        let error = Err(DecodeError::Truncated {
            needed: 1,
            available: 0,
        });
        assert_eq!(reader(&[0x80, 0x80]).varint(), error);
        assert_eq!(
            reader(&[1, 2, 3]).i32(),
            Err(DecodeError::Truncated {
                needed: 4,
                available: 3
            })
        );
    }

    proptest! {
        #[test]
        fn numbers_come_back(a in any::<u32>(), b in any::<i32>(), c in any::<i64>()) {
            let mut out = BytesMut::new();
            put_unsigned_varint(&mut out, a);
            put_varint(&mut out, b);
            put_varlong(&mut out, c);
            let mut reader = Reader::new(out.freeze());
            prop_assert_eq!(reader.unsigned_varint(), Ok(a));
            prop_assert_eq!(reader.varint(), Ok(b));
            prop_assert_eq!(reader.varlong(), Ok(c));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
