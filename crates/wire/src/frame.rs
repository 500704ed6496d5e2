//! Frames: a length of four bytes, a header, a message.
//!
//! - [`split_frame`] takes one frame off what a socket gave.
//! - [`RequestFrame`] is a broker's side: parse the header, decode the body,
//!   [`encode_response`].
//! - [`encode_request`] and [`decode_response`] are a client's side.
//!
//! Invariant: a frame is never believed to be longer than the cap, and
//! nothing is reserved for bytes that have not come.

use crate::api::Request;
use crate::codec::{
    At, DecodeError, EncodeError, Message, Nullable, Payload, Reader, Segment, TagReader, Value,
    Writer,
};
use crate::messages::ApiKey;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;

/// Bytes of the length before a frame.
const LENGTH_BYTES: usize = 4;
/// Room for a response of a few fields.
const FRAME_BYTES_RESERVED: usize = 256;
/// The header's own strings keep their old form in every version, so that any
/// broker can read the header of an ApiVersions request (KIP-511).
const HEADER_AT: At = At {
    version: 0,
    flexible: false,
};

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is negative or above the cap.
    #[error("frame of {length} bytes: at most {bytes_max} are allowed")]
    Length {
        /// The length claimed.
        length: i32,
        /// The cap.
        bytes_max: usize,
    },
    /// An API that is not known. The correlation id tells whom to answer.
    #[error("request with unknown API key {api_key}, version {api_version}")]
    UnknownApi {
        /// Its number.
        api_key: i16,
        /// Version asked for.
        api_version: i16,
        /// Correlation id of the request.
        correlation_id: i32,
    },
    /// The header is malformed.
    #[error("request header: {0}")]
    Header(DecodeError),
}

/// Takes one frame, without its length, off the front of `buffer`; `None`
/// when it has not come whole.
pub fn split_frame(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = check_length(i32::from_be_bytes(*length), bytes_max)?;
    if buffer.len() - LENGTH_BYTES < length {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Holds the length before a frame against the cap.
pub fn check_length(length: i32, bytes_max: usize) -> Result<usize, FrameError> {
    usize::try_from(length)
        .ok()
        .filter(|&length| length <= bytes_max)
        .ok_or(FrameError::Length { length, bytes_max })
}

/// What comes before the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api_key: ApiKey,
    /// Version of the request and of its response; any number, it may be one
    /// that is not spoken here.
    pub api_version: i16,
    /// Comes back with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

/// A request whose body is not decoded yet.
#[derive(Clone, Debug)]
pub struct RequestFrame {
    /// The header.
    pub header: RequestHeader,
    /// The body.
    pub body: Reader,
}

impl RequestFrame {
    /// Parses the header of a frame without its length.
    pub fn parse(frame: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader::new(frame);
        let api_key = reader.i16().map_err(FrameError::Header)?;
        let api_version = reader.i16().map_err(FrameError::Header)?;
        let correlation_id = reader.i32().map_err(FrameError::Header)?;
        // The rest of the header cannot be read without knowing the API.
        let api_key = ApiKey::from_code(api_key).ok_or(FrameError::UnknownApi {
            api_key,
            api_version,
            correlation_id,
        })?;
        let client_id =
            String::read_nullable(HEADER_AT, &mut reader).map_err(FrameError::Header)?;
        if api_key.request_header_version(api_version) >= 2 {
            TagReader::skip_all(&mut reader).map_err(FrameError::Header)?;
        }
        let header = RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id,
        };
        Ok(Self {
            header,
            body: reader,
        })
    }

    /// Decodes the body, to its end. Record batches are slices of the frame.
    pub fn decode<R: Request>(mut self) -> Result<R, DecodeError> {
        let request = R::decode(self.header.api_version, &mut self.body)?;
        self.body.finish()?;
        Ok(request)
    }
}

/// An encoded frame, its length included, in pieces for a vectored write:
/// large byte fields are shared, not copied, or not in memory at all.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    chunks: Vec<Payload>,
    size_bytes: usize,
}

impl Frame {
    /// The pieces, in order; none is empty.
    #[must_use]
    pub fn chunks(&self) -> &[Payload] {
        &self.chunks
    }

    /// The pieces, in order; none is empty.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Payload> {
        self.chunks
    }

    /// Bytes of all pieces.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The pieces copied into one; fails where some are elsewhere and cannot
    /// be read.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        if let [only] = self.chunks.as_slice() {
            return only.read();
        }
        let mut all = BytesMut::with_capacity(self.size_bytes);
        for chunk in &self.chunks {
            all.extend_from_slice(&chunk.read()?);
        }
        Ok(all.freeze())
    }

    fn finish(writer: Writer) -> Result<Self, EncodeError> {
        let size_bytes = writer.len();
        let length = i32::try_from(size_bytes - LENGTH_BYTES)
            .map_err(|_| EncodeError::TooLong { length: size_bytes })?;
        let mut segments = writer.into_segments();
        // The writer began with room for the length, so the first is written.
        if let Some(Segment::Written(first)) = segments.first_mut()
            && let Some(room) = first.first_chunk_mut::<LENGTH_BYTES>()
        {
            *room = length.to_be_bytes();
        }
        let chunks = segments
            .into_iter()
            .map(|segment| match segment {
                Segment::Written(bytes) => Payload::Here(bytes.freeze()),
                Segment::Shared(payload) => payload,
            })
            .filter(|chunk| !chunk.is_empty())
            .collect();
        Ok(Self { chunks, size_bytes })
    }
}

/// Encodes a response to the request with that correlation id.
pub fn encode_response<R: crate::api::Response>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Frame, EncodeError> {
    let mut writer = start_frame();
    correlation_id.write(HEADER_AT, &mut writer)?;
    if R::KEY.response_header_version(version) >= 1 {
        writer.put_unsigned_varint(0);
    }
    response.encode_to(version, &mut writer)?;
    Frame::finish(writer)
}

/// Encodes a request.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Frame, EncodeError> {
    let mut writer = start_frame();
    R::KEY.code().write(HEADER_AT, &mut writer)?;
    version.write(HEADER_AT, &mut writer)?;
    correlation_id.write(HEADER_AT, &mut writer)?;
    writer.put_short_length(client_id.map(str::len))?;
    writer.put(client_id.map(str::as_bytes).unwrap_or_default());
    if R::KEY.request_header_version(version) >= 2 {
        writer.put_unsigned_varint(0);
    }
    request.encode_to(version, &mut writer)?;
    Frame::finish(writer)
}

/// Decodes a frame without its length as the response to a request that was
/// sent with `version`; gives the correlation id too.
pub fn decode_response<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    if R::KEY.response_header_version(version) >= 1 {
        TagReader::skip_all(&mut reader)?;
    }
    let response = R::Response::decode(version, &mut reader)?;
    reader.finish()?;
    Ok((correlation_id, response))
}

fn start_frame() -> Writer {
    let mut out = BytesMut::with_capacity(FRAME_BYTES_RESERVED);
    out.put_bytes(0, LENGTH_BYTES);
    Writer::chunked(out)
}
