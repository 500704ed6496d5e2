//! The codecs of record batches. Each compresses as Kafka's Java client does
//! and decompresses into a bounded buffer.
//!
//! Invariant: a decoder never holds more than the cap and one codec block of
//! output, whatever its input claims.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use bytes::Bytes;
use std::io::Read;

/// How the records of a batch are compressed: the lowest three bits of its
/// attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the framing of xerial's snappy-java.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878 (KIP-110).
    Zstd,
}

/// Why a payload could not be decompressed or compressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// A codec number that Kafka does not define.
    #[error("compression codec {0} does not exist")]
    UnknownCodec(u8),
    /// The payload expands beyond the cap.
    #[error("records expand to more than {bytes_max} bytes")]
    TooLarge {
        /// The cap.
        bytes_max: usize,
    },
    /// The payload is not what its codec writes.
    #[error("{codec} payload is malformed: {detail}")]
    Malformed {
        /// The codec.
        codec: &'static str,
        /// What the decoder said.
        detail: String,
    },
    /// The compressor refused.
    #[error("{codec} compressor failed: {detail}")]
    Failed {
        /// The codec.
        codec: &'static str,
        /// What the compressor said.
        detail: String,
    },
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of a number in a batch's attributes.
    pub fn from_code(code: u8) -> Result<Self, CompressionError> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            other => Err(CompressionError::UnknownCodec(other)),
        }
    }

    /// Its number in a batch's attributes.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Its name in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Compresses `records`; [`Self::None`] copies.
    pub fn compress(self, records: &[u8]) -> Result<Vec<u8>, CompressionError> {
        self.compress_at(records, None)
    }

    /// Compresses `records` at a level of the codec's own, where it has any
    /// (gzip 1 to 9, zstd -131072 to 22); `None` is its default.
    pub fn compress_at(
        self,
        records: &[u8],
        level: Option<i32>,
    ) -> Result<Vec<u8>, CompressionError> {
        match self {
            Self::None => Ok(records.to_vec()),
            Self::Gzip => gzip::compress(records, level),
            Self::Snappy => snappy::compress(records),
            Self::Lz4 => lz4::compress(records),
            Self::Zstd => zstd::compress(records, level),
        }
    }

    /// Decompresses `payload` to at most `bytes_max` bytes; [`Self::None`]
    /// gives the payload itself, not a copy.
    pub fn decompress(self, payload: &Bytes, bytes_max: usize) -> Result<Bytes, CompressionError> {
        if self == Self::None {
            return match payload.len() <= bytes_max {
                true => Ok(payload.clone()),
                false => Err(CompressionError::TooLarge { bytes_max }),
            };
        }
        let decoder = self.decoder(payload, bytes_max)?;
        self.read_capped(decoder, payload.len(), bytes_max)
            .map(Bytes::from)
    }

    /// Decompresses `payload` as it is read. It holds no more than the codec's
    /// own window or block at a time, which for a bare snappy block is all,
    /// at most `bytes_max`.
    pub(crate) fn decoder(
        self,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<Box<dyn Read + '_>, CompressionError> {
        Ok(match self {
            Self::None => Box::new(payload),
            Self::Gzip => Box::new(gzip::decoder(payload)),
            Self::Snappy => Box::new(snappy::Decoder::new(payload, bytes_max)?),
            Self::Lz4 => Box::new(lz4::decoder(payload)),
            Self::Zstd => Box::new(zstd::Decoder::new(payload)?),
        })
    }

    /// What an error of [`decoder`](Self::decoder) means.
    pub(crate) fn refused(self, error: &std::io::Error, bytes_max: usize) -> CompressionError {
        if error.kind() == std::io::ErrorKind::FileTooLarge {
            return CompressionError::TooLarge { bytes_max };
        }
        CompressionError::Malformed {
            codec: self.name(),
            detail: error.to_string(),
        }
    }

    /// Reads a decoder to its end, into at most `bytes_max` bytes.
    fn read_capped(
        self,
        mut decoder: impl Read,
        payload_bytes: usize,
        bytes_max: usize,
    ) -> Result<Vec<u8>, CompressionError> {
        // One byte above the cap tells "exactly the cap" from "more than it".
        let bytes_limit = bytes_max.saturating_add(1);
        let mut out = Vec::new();
        let mut step = payload_bytes
            .saturating_mul(EXPANSION_GUESS)
            .max(STEP_BYTES_MIN);
        while out.len() < bytes_limit {
            // Doubling, but never beyond the cap, as the vector's own growth would.
            step = step.max(out.len()).min(bytes_limit - out.len());
            out.reserve_exact(step);
            let read = decoder
                .by_ref()
                .take(step as u64)
                .read_to_end(&mut out)
                .map_err(|error| self.refused(&error, bytes_max))?;
            if read < step {
                return Ok(out);
            }
        }
        Err(CompressionError::TooLarge { bytes_max })
    }
}

/// What a decoder says that would have to expand beyond its cap at once.
fn too_large() -> std::io::Error {
    std::io::ErrorKind::FileTooLarge.into()
}

/// Output that is reserved before the decoder has shown that there is any, as
/// a multiple of the input.
const EXPANSION_GUESS: usize = 4;
/// The least that is reserved at a time.
const STEP_BYTES_MIN: usize = 1024;

fn failed(codec: &'static str) -> impl Fn(std::io::Error) -> CompressionError {
    move |error| CompressionError::Failed {
        codec,
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_gives_back_what_it_took() {
        let text: Vec<u8> = (0..200_000u32)
            .flat_map(|i| (i / 7).to_le_bytes())
            .collect();
        for codec in Compression::ALL {
            for records in [&text[..], b"", b"x"] {
                let packed = Bytes::from(codec.compress(records).unwrap());
                let unpacked = codec.decompress(&packed, records.len()).unwrap();
                assert_eq!(&unpacked[..], records, "{}", codec.name());
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let zeros = vec![0u8; 64 * 1024 * 1024];
        for codec in Compression::ALL {
            let packed = Bytes::from(codec.compress(&zeros).unwrap());
            assert_eq!(
                codec.decompress(&packed, 1_000_000),
                Err(CompressionError::TooLarge {
                    bytes_max: 1_000_000
                }),
                "{}",
                codec.name()
            );
        }
    }

    #[test]
    fn a_payload_cut_anywhere_gives_an_error_or_a_prefix() {
        let text: Vec<u8> = (0..3_000u32).flat_map(|i| (i % 97).to_le_bytes()).collect();
        for codec in Compression::ALL {
            let packed = Bytes::from(codec.compress(&text).unwrap());
            for end in 0..packed.len() {
                if let Ok(unpacked) = codec.decompress(&packed.slice(..end), text.len()) {
                    assert!(text.starts_with(&unpacked), "{} cut at {end}", codec.name());
                }
            }
        }
    }
}
