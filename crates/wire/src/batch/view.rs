//! A whole batch, opaque until its records are asked for.

use super::header::{HEADER_BYTES, position};
use super::{BatchError, BatchHeader, Records, patch};
use bytes::Bytes;
use millstream_core::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

/// One whole record batch: its bytes and its parsed header. Cloning is cheap.
///
/// Invariant: `bytes` is exactly as long as the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchView {
    header: BatchHeader,
    bytes: Bytes,
}

impl BatchView {
    /// Parses the batch at the start of `bytes`; what comes after it is not
    /// part of the view. Does not verify the checksum.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        // The length is judged before the rest of the header, so that a batch
        // cut short by the end of a fetch is told from a malformed one.
        let needed = announced_size(bytes)?;
        let header = BatchHeader::parse(bytes);
        if let Some(needed) = needed
            && needed > bytes.len()
            && !matches!(header, Err(BatchError::UnsupportedMagic(_)))
        {
            return Err(BatchError::Truncated {
                needed,
                available: bytes.len(),
            });
        }
        let header = header?;
        let size_bytes = header.size_bytes();
        Ok(Self {
            header,
            bytes: bytes.slice(..size_bytes),
        })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes, header included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, header included.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Offset of the first record.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.header.last_offset()
    }

    /// Compares the stored checksum with that of the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let stored = self.header.crc;
        let computed = patch::checksum(&self.bytes)?;
        if stored != computed {
            return Err(BatchError::Crc { stored, computed });
        }
        Ok(())
    }

    /// The records, decompressed to at most
    /// [`BATCH_UNCOMPRESSED_BYTES_MAX`] bytes.
    pub fn records(&self) -> Result<Records, BatchError> {
        self.records_capped(BATCH_UNCOMPRESSED_BYTES_MAX)
    }

    /// The records, decompressed to at most `bytes_max` bytes.
    pub fn records_capped(&self, bytes_max: usize) -> Result<Records, BatchError> {
        Ok(self.records_in(self.expand(bytes_max)?))
    }

    /// The records' bytes, decompressed to at most `bytes_max` bytes.
    pub fn expand(&self, bytes_max: usize) -> Result<Bytes, BatchError> {
        let bytes_max = bytes_max.min(BATCH_UNCOMPRESSED_BYTES_MAX);
        let payload = self.bytes.slice(HEADER_BYTES..);
        Ok(self.header.compression()?.decompress(&payload, bytes_max)?)
    }

    /// The records in bytes that [`expand`](Self::expand) gave, for whoever
    /// keeps those bytes in a place of its own.
    #[must_use]
    pub fn records_in(&self, expanded: Bytes) -> Records {
        Records::new(&self.header, expanded)
    }
}

/// Bytes that the batch at the start of `bytes` says it has; `None` when the
/// length itself is nonsense, an error when it is cut off.
fn announced_size(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    let length = bytes
        .get(position::LENGTH..)
        .and_then(|at| at.first_chunk::<4>())
        .ok_or(BatchError::Truncated {
            needed: HEADER_BYTES,
            available: bytes.len(),
        })?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok();
    Ok(length.map(|length| length + position::LEADER_EPOCH))
}

/// Whether the checksum of the batch at the start of `bytes` holds, though its
/// header may say what cannot be: it was sent so, and not damaged.
#[must_use]
pub fn is_intact(bytes: &[u8]) -> bool {
    let Ok(Some(size)) = announced_size(bytes) else {
        return false;
    };
    let Some(batch) = bytes.get(..size) else {
        return false;
    };
    let stored = batch
        .get(position::CRC..)
        .and_then(|at| at.first_chunk::<4>())
        .map(|crc| u32::from_be_bytes(*crc));
    stored.is_some() && patch::checksum(batch).ok() == stored
}

/// Walks a concatenation of batches, as Produce and Fetch carry them.
///
/// Ends after the last batch or after the first error. A batch that the end
/// of the bytes cuts short gives [`BatchError::Truncated`]: a consumer drops
/// it, a broker refuses the request.
#[must_use]
pub fn split_batches(records: Bytes) -> SplitBatches {
    SplitBatches { rest: records }
}

/// See [`split_batches`].
#[derive(Clone, Debug)]
pub struct SplitBatches {
    rest: Bytes,
}

impl Iterator for SplitBatches {
    type Item = Result<BatchView, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchView::parse(&self.rest);
        match &batch {
            Ok(batch) => drop(self.rest.split_to(batch.size_bytes())),
            Err(_) => self.rest.clear(),
        }
        Some(batch)
    }
}

impl std::iter::FusedIterator for SplitBatches {}
