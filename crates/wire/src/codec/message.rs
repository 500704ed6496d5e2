//! A whole message: a structure with versions.

use super::{At, DecodeError, EncodeError, Reader, Value, Writer};
use bytes::{Bytes, BytesMut};
use std::ops::RangeInclusive;

/// A structure that is encoded and decoded by version. Implemented by
/// [`message!`](crate::message).
pub trait Message: Value + Default {
    /// Its name.
    const NAME: &'static str;
    /// The versions that can be encoded and decoded.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version (KIP-482), or `i16::MAX`.
    const FLEXIBLE_FROM: i16;

    /// Appends the message to `out`, which stays as it was on an error.
    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let length_before = out.len();
        let mut writer = Writer::contiguous(std::mem::take(out));
        let result = self.encode_to(version, &mut writer);
        *out = writer.into_contiguous();
        if result.is_err() {
            out.truncate(length_before);
        }
        result
    }

    /// Writes the message; large byte fields are shared if `out` does so.
    fn encode_to(&self, version: i16, out: &mut Writer) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::UnsupportedVersion {
                message: Self::NAME,
                version,
            });
        }
        self.write(Self::at(version), out)
    }

    /// Reads the message; byte fields are slices of the reader's bytes.
    fn decode(version: i16, reader: &mut Reader) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(DecodeError::UnsupportedVersion {
                message: Self::NAME,
                version,
            });
        }
        Self::read(Self::at(version), reader)
    }

    /// Reads the message from all of `bytes`.
    fn decode_all(version: i16, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = Self::decode(version, &mut reader)?;
        reader.finish()?;
        Ok(message)
    }

    /// Where its values are, at a version.
    #[must_use]
    fn at(version: i16) -> At {
        At {
            version,
            flexible: version >= Self::FLEXIBLE_FROM,
        }
    }
}

/// A message after two bytes of its version, as records of internal topics
/// and the consumer protocol's metadata are.
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    out.extend_from_slice(&version.to_be_bytes());
    message.encode(version, &mut out)?;
    Ok(out.freeze())
}

/// Reads the version and the message after it. Bytes after the message are
/// allowed: the consumer protocol lets a later writer add fields at the end.
pub fn decode_versioned<M: Message>(bytes: Bytes) -> Result<(i16, M), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    Ok((version, M::decode(version, &mut reader)?))
}
