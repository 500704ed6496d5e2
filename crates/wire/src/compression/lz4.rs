//! The LZ4 frame format, as Kafka's `Lz4BlockOutputStream` writes it:
//! independent blocks of 64 KiB, which is all that its reader accepts.

use super::{CompressionError, failed};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{Read, Write};

pub(super) const CODEC: &str = "lz4";

pub(super) fn compress(records: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(records).map_err(failed(CODEC))?;
    encoder.finish().map_err(|error| CompressionError::Failed {
        codec: CODEC,
        detail: error.to_string(),
    })
}

pub(super) fn decoder(payload: &[u8]) -> impl Read + '_ {
    FrameDecoder::new(payload)
}
