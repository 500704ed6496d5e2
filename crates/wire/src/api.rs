//! What ties a request to its number, its versions and its response.

use crate::codec::{DecodeError, EncodeError, Message, Reader};
use crate::messages::ApiKey;
use bytes::{Bytes, BytesMut};
use std::ops::RangeInclusive;

/// A message that a client sends. Implemented by the list in
/// [`messages`](crate::messages).
pub trait Request: Message {
    /// Number of the API.
    const KEY: ApiKey;
    /// What the broker answers.
    type Response: Response;
}

/// A message that a broker answers with.
pub trait Response: Message {
    /// Number of the API.
    const KEY: ApiKey;
}

/// What is known of an API without its messages' types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiInfo {
    /// Its number.
    pub key: ApiKey,
    /// Its name.
    pub name: &'static str,
    /// The versions that can be decoded and encoded. What a broker serves may
    /// be less.
    pub versions: RangeInclusive<i16>,
    /// The first flexible version, or `i16::MAX`.
    pub flexible_from: i16,
}

impl ApiKey {
    /// Version of the request header: 2, with tagged fields, for a flexible
    /// version of the API. Version 0 went with ControlledShutdown.
    #[must_use]
    pub fn request_header_version(self, version: i16) -> i16 {
        if version >= self.info().flexible_from {
            2
        } else {
            1
        }
    }

    /// Version of the response header: 1, with tagged fields, for a flexible
    /// version of the API.
    #[must_use]
    pub fn response_header_version(self, version: i16) -> i16 {
        // KIP-511: a client reads this answer before it knows the broker.
        if self != Self::ApiVersions && version >= self.info().flexible_from {
            1
        } else {
            0
        }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.info().name)
    }
}

/// What decoding gave, and if that is a message, what encoding it gave.
pub type Recoded = Result<Result<Bytes, EncodeError>, DecodeError>;

/// A message whose type is known only at run time: for tools and tests that
/// go over all of them.
#[derive(Clone, Copy, Debug)]
pub struct AnyMessage {
    /// Its name.
    pub name: &'static str,
    /// The lowest version.
    pub version_first: i16,
    /// The highest version.
    pub version_last: i16,
    /// Decodes a message and encodes what came out.
    pub recode: fn(i16, &mut Reader) -> Recoded,
    /// Encodes a message made from a source of choices.
    #[cfg(feature = "testing")]
    pub sample: fn(i16, &mut crate::testing::Source<'_>) -> Result<Bytes, EncodeError>,
}

impl AnyMessage {
    /// The message of a type.
    #[cfg(not(feature = "testing"))]
    #[must_use]
    pub fn of<M: Message>() -> Self {
        Self {
            name: M::NAME,
            version_first: *M::VERSIONS.start(),
            version_last: *M::VERSIONS.end(),
            recode: recode::<M>,
        }
    }

    /// The message of a type.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn of<M: Message + crate::testing::Sample>() -> Self {
        Self {
            name: M::NAME,
            version_first: *M::VERSIONS.start(),
            version_last: *M::VERSIONS.end(),
            recode: recode::<M>,
            sample: crate::testing::sample_encoded::<M>,
        }
    }
}

fn recode<M: Message>(version: i16, reader: &mut Reader) -> Recoded {
    let message = M::decode(version, reader)?;
    let mut out = BytesMut::new();
    Ok(message.encode(version, &mut out).map(|()| out.freeze()))
}
