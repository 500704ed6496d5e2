//! Bytes of a message that need not be in memory when it is written.

use super::value::put_length;
use super::{At, DecodeError, EncodeError, Nullable, Reader, Value, Writer};
use bytes::Bytes;
use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// Bytes that whoever sends the message finds elsewhere, in a file for
/// instance, and may send without reading them.
pub trait Elsewhere: Any + Debug + Send + Sync {
    /// How many.
    fn size_bytes(&self) -> usize;
    /// Reads them, where there is no other way.
    fn read(&self) -> io::Result<Bytes>;
}

/// A byte field as its message travels: read into memory always, written from
/// memory or from elsewhere.
#[derive(Clone, Debug)]
pub enum Payload {
    /// In memory.
    Here(Bytes),
    /// Anywhere.
    Elsewhere(Arc<dyn Elsewhere>),
}

impl Payload {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Elsewhere(elsewhere) => elsewhere.size_bytes(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, read if need be.
    pub fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Here(bytes) => Ok(bytes.clone()),
            Self::Elsewhere(elsewhere) => elsewhere.read(),
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::Here(Bytes::new())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Here(bytes)
    }
}

/// Of what is elsewhere it is the place that counts.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(left), Self::Here(right)) => left == right,
            (Self::Elsewhere(left), Self::Elsewhere(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

impl Value for Payload {
    fn write(&self, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), at, out)
    }

    fn read(at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        Bytes::read(at, reader).map(Self::Here)
    }
}

impl Nullable for Payload {
    fn write_nullable(value: Option<&Self>, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        match value {
            None => Bytes::write_nullable(None, at, out),
            Some(Self::Here(bytes)) => Bytes::write_nullable(Some(bytes), at, out),
            Some(Self::Elsewhere(elsewhere)) => {
                put_length(Some(elsewhere.size_bytes()), at, out)?;
                out.put_elsewhere(elsewhere)
            }
        }
    }

    fn read_nullable(at: At, reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        Ok(Bytes::read_nullable(at, reader)?.map(Self::Here))
    }
}
