//! zstd (KIP-110): frames one after another, window bounded.

use super::{CompressionError, failed};
use ::zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};
use std::cell::Cell;
use std::io::{Error, ErrorKind, Read};

pub(super) const CODEC: &str = "zstd";

/// Kafka's default `compression.zstd.level`.
const LEVEL: i32 = 3;
/// Largest window that a frame may ask the decoder to keep, as a power of two
/// of bytes (128 MiB): what level 22 writes, so that no legal batch is refused.
const WINDOW_LOG_MAX: u32 = 27;
/// Largest decoder that a thread keeps for its next batch: one that a frame
/// with a large window made larger is given back.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    /// A decoder takes longer to make than a small batch to decode.
    static KEPT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

pub(super) fn compress(records: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressionError> {
    ::zstd::stream::encode_all(records, level.unwrap_or(LEVEL)).map_err(failed(CODEC))
}

/// Decodes the frames of a payload as they are read.
pub(super) struct Decoder<'a> {
    payload: &'a [u8],
    context: Option<DCtx<'static>>,
    /// Whether a frame has begun and not ended.
    is_inside: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Result<Self, CompressionError> {
        let refused = |detail: String| CompressionError::Malformed {
            codec: CODEC,
            detail,
        };
        let context = match KEPT.take() {
            Some(context) => context,
            None => {
                let mut made = DCtx::try_create()
                    .ok_or_else(|| refused("no memory for a decoder".to_owned()))?;
                made.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
                    .map_err(|code| refused(get_error_name(code).to_owned()))?;
                made
            }
        };
        Ok(Self {
            payload,
            context: Some(context),
            is_inside: false,
        })
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let Some(context) = &mut self.context else {
            return Ok(0);
        };
        let mut out = OutBuffer::around(room);
        loop {
            let is_at_end = self.payload.is_empty();
            if is_at_end && !self.is_inside {
                return Ok(0);
            }
            let mut input = InBuffer::around(self.payload);
            let left = context
                .decompress_stream(&mut out, &mut input)
                .map_err(|code| Error::new(ErrorKind::InvalidData, get_error_name(code)))?;
            let read = input.pos();
            self.payload = self.payload.get(read..).unwrap_or_default();
            self.is_inside = left != 0;
            if out.pos() > 0 {
                return Ok(out.pos());
            }
            if is_at_end && self.is_inside {
                return Err(Error::new(ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        if let Some(mut context) = self.context.take()
            && context.sizeof() <= KEPT_BYTES_MAX
            && context.reset(ResetDirective::SessionOnly).is_ok()
        {
            KEPT.set(Some(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_one_after_another_are_one_payload_and_garbage_behind_them_is_told() {
        let mut payload = compress(b"one ", None).unwrap();
        payload.extend(compress(b"two", None).unwrap());
        let mut read = Vec::new();
        Decoder::new(&payload)
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!(read, b"one two");
        payload.extend(b"garbage");
        assert!(
            Decoder::new(&payload)
                .unwrap()
                .read_to_end(&mut read)
                .is_err()
        );
    }

    #[test]
    fn a_decoder_that_a_large_window_made_large_is_not_kept() {
        // Bytes that do not compress, so that the window is filled.
        let mut state = 1u32;
        let noise: Vec<u8> = (0..16 << 20)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let payload = compress(&noise, Some(20)).unwrap();
        std::io::copy(&mut Decoder::new(&payload).unwrap(), &mut std::io::sink()).unwrap();
        assert!(KEPT.take().is_none());
        let small = compress(b"small", None).unwrap();
        std::io::copy(&mut Decoder::new(&small).unwrap(), &mut std::io::sink()).unwrap();
        assert!(KEPT.take().is_some());
    }
}
