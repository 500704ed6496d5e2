//! Snappy, in the framing of xerial's snappy-java that Kafka's Java clients
//! write; the bare block that some other clients write is read too.

use super::CompressionError;
use std::io::Read;

pub(super) const CODEC: &str = "snappy";

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

/// Decodes a payload, a chunk at a time.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    is_bare: bool,
    /// Uncompressed bytes that a chunk may have.
    chunk_bytes_max: usize,
    chunk: Vec<u8>,
    /// What of the chunk was read.
    read: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(payload: &'a [u8], chunk_bytes_max: usize) -> Result<Self, CompressionError> {
        let is_bare = !payload.starts_with(&MAGIC);
        let rest = if is_bare {
            payload
        } else {
            payload
                .get(HEADER_BYTES..)
                .ok_or_else(|| CompressionError::Malformed {
                    codec: CODEC,
                    detail: "header cut short".to_owned(),
                })?
        };
        Ok(Self {
            rest,
            is_bare,
            chunk_bytes_max,
            chunk: Vec::new(),
            read: 0,
        })
    }

    /// The next block: all of a bare payload, a chunk of a xerial stream.
    fn next_block(&mut self) -> std::io::Result<&'a [u8]> {
        if self.is_bare {
            return Ok(std::mem::take(&mut self.rest));
        }
        let (length, after) = self
            .rest
            .split_first_chunk::<4>()
            .ok_or_else(|| malformed("chunk length cut short"))?;
        let length = usize::try_from(i32::from_be_bytes(*length))
            .map_err(|_| malformed("negative chunk length"))?;
        let (block, after) = after
            .split_at_checked(length)
            .ok_or_else(|| malformed("chunk cut short"))?;
        self.rest = after;
        Ok(block)
    }

    fn expand(&mut self, block: &[u8]) -> std::io::Result<()> {
        let length =
            snap::raw::decompress_len(block).map_err(|error| malformed(&error.to_string()))?;
        if length > block.len().saturating_mul(EXPANSION_MAX) {
            return Err(malformed("claims to expand beyond what snappy can"));
        }
        if length > self.chunk_bytes_max {
            return Err(super::too_large());
        }
        self.read = 0;
        self.chunk.resize(length, 0);
        let written = snap::raw::Decoder::new()
            .decompress(block, &mut self.chunk)
            .map_err(|error| malformed(&error.to_string()))?;
        self.chunk.truncate(written);
        Ok(())
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        while self.read == self.chunk.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            let block = self.next_block()?;
            self.expand(block)?;
        }
        let left = self.chunk.get(self.read..).unwrap_or_default();
        let count = left.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.read += count;
        Ok(count)
    }
}

fn malformed(detail: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_block_is_read_too() {
        let block = snap::raw::Encoder::new()
            .compress_vec(b"twice twice twice")
            .unwrap();
        let mut read = Vec::new();
        let mut decoder = Decoder::new(&block, 100).unwrap();
        decoder.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"twice twice twice");
    }

    #[test]
    fn a_claim_beyond_what_snappy_can_expand_is_refused_before_allocating() {
        // A length of 4 GiB less one in five bytes, and no data.
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
        let mut decoder = Decoder::new(&claim, usize::MAX).unwrap();
        let refused = decoder.read(&mut [0; 8]).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData);
    }
}
