//! A frame: length, CRC-32C and a JSON payload. What the log is a sequence
//! of, and what the vote and snapshot files hold one of.
//!
//! ```text
//! u32 length of the payload, little endian
//! u32 CRC-32C of the payload, little endian
//! payload
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

/// Bytes before the payload.
pub(super) const FRAME_HEADER_BYTES: usize = 8;
/// Largest payload, in bytes: a snapshot of the largest metadata that the
/// machine's own limits allow is far below.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What is at the front of some bytes.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// A whole frame and the bytes after it.
    Frame { payload: &'a [u8], rest: &'a [u8] },
    /// Nothing more.
    End,
    /// Fewer bytes than the frame says it has, or no length at all: an
    /// append that a crash cut short.
    Torn,
    /// All bytes are there but the checksum is wrong.
    BadChecksum { rest: &'a [u8] },
}

pub(super) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME_HEADER_BYTES];
    serde_json::to_writer(&mut bytes, value)?;
    let payload = bytes.len() - FRAME_HEADER_BYTES;
    if payload > PAYLOAD_BYTES_MAX {
        return Err(io::Error::other(format!(
            "metadata frame of {payload} bytes"
        )));
    }
    let crc = crc32c::crc32c(&bytes[FRAME_HEADER_BYTES..]);
    bytes[..4].copy_from_slice(&(payload as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    if bytes.is_empty() {
        return Parsed::End;
    }
    let Some((header, body)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Parsed::Torn;
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    // An empty payload is never written: these are zeros past a lost write.
    if length == 0 || length > PAYLOAD_BYTES_MAX {
        return Parsed::Torn;
    }
    let Some((payload, rest)) = body.split_at_checked(length) else {
        return Parsed::Torn;
    };
    if crc32c::crc32c(payload) == crc {
        Parsed::Frame { payload, rest }
    } else {
        Parsed::BadChecksum { rest }
    }
}

/// Reads a file that holds exactly one frame.
pub(super) fn decode_only<T: DeserializeOwned>(bytes: &[u8], what: &str) -> io::Result<T> {
    match parse(bytes) {
        Parsed::Frame { payload, rest: [] } => Ok(serde_json::from_slice(payload)?),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the metadata file '{what}' is damaged: restore it from a backup"),
        )),
    }
}
