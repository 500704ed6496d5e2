//! zstd (KIP-110): one frame, window bounded.

use super::{CompressionError, failed, read_capped};

const CODEC: &str = "zstd";

/// Kafka's default `compression.zstd.level`.
const LEVEL: i32 = 3;
/// Largest window that a frame may ask the decoder to keep, as a power of two
/// of bytes (128 MiB): what level 22 writes, so that no legal batch is refused.
const WINDOW_LOG_MAX: u32 = 27;

pub(super) fn compress(records: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressionError> {
    ::zstd::stream::encode_all(records, level.unwrap_or(LEVEL)).map_err(failed(CODEC))
}

pub(super) fn decompress(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let malformed = |error: std::io::Error| CompressionError::Malformed {
        codec: CODEC,
        detail: error.to_string(),
    };
    let mut decoder = ::zstd::stream::read::Decoder::with_buffer(payload).map_err(malformed)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(malformed)?;
    read_capped(CODEC, decoder, payload.len(), bytes_max)
}
