//! How each type travels.

use super::{At, DecodeError, EncodeError, Reader, Writer};
use bytes::Bytes;
use millstream_core::limits::ARRAY_ELEMENTS_MAX;
use uuid::Uuid;

/// Elements of an array that are reserved for before they are read.
const ELEMENTS_RESERVED_MAX: usize = 256;

/// A type that is written and read in one way, never null.
pub trait Value: Sized + PartialEq {
    /// Writes the value.
    fn write(&self, at: At, out: &mut Writer) -> Result<(), EncodeError>;
    /// Reads a value.
    fn read(at: At, reader: &mut Reader) -> Result<Self, DecodeError>;
}

/// A type that also has a form for null.
pub trait Nullable: Value {
    /// Writes the value, or null.
    fn write_nullable(value: Option<&Self>, at: At, out: &mut Writer) -> Result<(), EncodeError>;
    /// Reads a value, or null.
    fn read_nullable(at: At, reader: &mut Reader) -> Result<Option<Self>, DecodeError>;
}

macro_rules! number {
    ($($ty:ty: $method:ident),*) => {$(
        impl Value for $ty {
            #[inline]
            fn write(&self, _at: At, out: &mut Writer) -> Result<(), EncodeError> {
                out.put(&self.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn read(_at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.$method()
            }
        }
    )*};
}

number!(i8: i8, i16: i16, u16: u16, i32: i32, u32: u32, i64: i64, f64: f64);

impl Value for bool {
    fn write(&self, _at: At, out: &mut Writer) -> Result<(), EncodeError> {
        out.put(&[u8::from(*self)]);
        Ok(())
    }

    fn read(_at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(reader.u8()? != 0)
    }
}

impl Value for Uuid {
    fn write(&self, _at: At, out: &mut Writer) -> Result<(), EncodeError> {
        out.put(self.as_bytes());
        Ok(())
    }

    fn read(_at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.uuid()
    }
}

impl Value for String {
    fn write(&self, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), at, out)
    }

    fn read(at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        Self::read_nullable(at, reader)?.ok_or(DecodeError::UnexpectedNull)
    }
}

impl Nullable for String {
    fn write_nullable(value: Option<&Self>, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        let length = value.map(Self::len);
        if at.flexible {
            out.put_compact_length(length)?;
        } else {
            out.put_short_length(length)?;
        }
        out.put(value.map(String::as_bytes).unwrap_or_default());
        Ok(())
    }

    fn read_nullable(at: At, reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        let length = if at.flexible {
            reader.compact_length()?
        } else {
            reader.short_length()?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        let text = reader.slice(length)?;
        // As Java's decoder does it: a client id in Latin-1 is no reason to
        // turn its client away.
        let text = String::from_utf8_lossy(text).into_owned();
        reader.skip(length)?;
        Ok(Some(text))
    }
}

impl Value for Bytes {
    fn write(&self, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), at, out)
    }

    fn read(at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        Self::read_nullable(at, reader)?.ok_or(DecodeError::UnexpectedNull)
    }
}

impl Nullable for Bytes {
    fn write_nullable(value: Option<&Self>, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        put_length(value.map(Self::len), at, out)?;
        if let Some(value) = value {
            out.put_shared(value);
        }
        Ok(())
    }

    fn read_nullable(at: At, reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        get_length(at, reader)?
            .map(|length| reader.take(length))
            .transpose()
    }
}

impl<T: Value> Value for Vec<T> {
    fn write(&self, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), at, out)
    }

    fn read(at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        Self::read_nullable(at, reader)?.ok_or(DecodeError::UnexpectedNull)
    }
}

impl<T: Value> Nullable for Vec<T> {
    fn write_nullable(value: Option<&Self>, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        put_length(value.map(Self::len), at, out)?;
        value
            .into_iter()
            .flatten()
            .try_for_each(|element| element.write(at, out))
    }

    fn read_nullable(at: At, reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        let Some(count) = get_length(at, reader)? else {
            return Ok(None);
        };
        // Every element takes at least a byte.
        if count > reader.remaining() {
            return Err(DecodeError::Truncated {
                needed: count,
                available: reader.remaining(),
            });
        }
        if count > ARRAY_ELEMENTS_MAX {
            return Err(DecodeError::TooManyElements {
                count,
                max: ARRAY_ELEMENTS_MAX,
            });
        }
        reader.charge(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Self::with_capacity(count.min(ELEMENTS_RESERVED_MAX));
        for _ in 0..count {
            elements.push(T::read(at, reader)?);
        }
        Ok(Some(elements))
    }
}

pub(super) fn put_length(
    length: Option<usize>,
    at: At,
    out: &mut Writer,
) -> Result<(), EncodeError> {
    if at.flexible {
        out.put_compact_length(length)
    } else {
        out.put_long_length(length)
    }
}

fn get_length(at: At, reader: &mut Reader) -> Result<Option<usize>, DecodeError> {
    if at.flexible {
        reader.compact_length()
    } else {
        reader.long_length()
    }
}
