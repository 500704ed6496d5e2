//! Snappy, in the framing of xerial's snappy-java that Kafka's Java clients
//! write; the bare block that some other clients write is read too.

use super::CompressionError;

const CODEC: &str = "snappy";

/// First bytes of a xerial stream.
const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version and oldest compatible version.
const HEADER_BYTES: usize = 16;
/// Uncompressed bytes in one chunk, snappy-java's default.
const CHUNK_BYTES: usize = 32 * 1024;
/// A copy element of 3 bytes makes at most 64: no block expands further, so a
/// larger claim is a lie that is found before anything is allocated.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(records: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len() / 2);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    for chunk in records.chunks(CHUNK_BYTES) {
        let block = encoder
            .compress_vec(chunk)
            .map_err(|error| CompressionError::Failed {
                codec: CODEC,
                detail: error.to_string(),
            })?;
        out.extend_from_slice(&(block.len() as i32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

pub(super) fn decompress(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    if !payload.starts_with(&MAGIC) {
        append_block(payload, &mut out, bytes_max)?;
        return Ok(out);
    }
    let mut rest = payload
        .get(HEADER_BYTES..)
        .ok_or_else(|| malformed("header cut short"))?;
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| malformed("chunk length cut short"))?;
        let length = usize::try_from(i32::from_be_bytes(*length))
            .map_err(|_| malformed("negative chunk length"))?;
        let (block, after) = after
            .split_at_checked(length)
            .ok_or_else(|| malformed("chunk cut short"))?;
        append_block(block, &mut out, bytes_max)?;
        rest = after;
    }
    Ok(out)
}

fn append_block(block: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), CompressionError> {
    let length = snap::raw::decompress_len(block).map_err(|error| malformed(&error.to_string()))?;
    if length > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(malformed("claims to expand beyond what snappy can"));
    }
    let start = out.len();
    if length > bytes_max.saturating_sub(start) {
        return Err(CompressionError::TooLarge { bytes_max });
    }
    out.resize(start + length, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = snap::raw::Decoder::new()
        .decompress(block, room)
        .map_err(|error| malformed(&error.to_string()))?;
    out.truncate(start + written);
    Ok(())
}

fn malformed(detail: &str) -> CompressionError {
    CompressionError::Malformed {
        codec: CODEC,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_block_is_read_too() {
        let block = snap::raw::Encoder::new()
            .compress_vec(b"twice twice twice")
            .unwrap();
        assert_eq!(decompress(&block, 100).unwrap(), b"twice twice twice");
    }

    #[test]
    fn a_claim_beyond_what_snappy_can_expand_is_refused_before_allocating() {
        // A length of 4 GiB less one in five bytes, and no data.
        assert!(matches!(
            decompress(&[0xff, 0xff, 0xff, 0xff, 0x0f], usize::MAX),
            Err(CompressionError::Malformed { .. })
        ));
    }
}
