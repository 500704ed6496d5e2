//! gzip, as `java.util.zip` writes and reads it.

use super::{CompressionError, failed};
use std::io::{Read, Write};

pub(super) const CODEC: &str = "gzip";

pub(super) fn compress(records: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressionError> {
    let level = level
        .and_then(|level| u32::try_from(level).ok())
        .map_or_else(flate2::Compression::default, |level| {
            flate2::Compression::new(level.min(9))
        });
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(records).map_err(failed(CODEC))?;
    encoder.finish().map_err(failed(CODEC))
}

pub(super) fn decoder(payload: &[u8]) -> impl Read + '_ {
    // Java's GZIPInputStream reads concatenated members; so does this one.
    flate2::bufread::MultiGzDecoder::new(payload)
}
