//! Reading batches of a segment, and finding them for whoever sends them
//! unread.

use super::Segment;
use super::tail::Tail;
use crate::error::ReadError;
use crate::partition::FileRange;
use bytes::Bytes;
use millstream_wire::batch::{BatchError, BatchHeader, HEADER_BYTES};

/// Bytes read beyond what was asked, for the batches between an index entry
/// and the offset.
const SEEK_SLACK_BYTES: usize = 8 * 1024;
/// Readers of a segment whose places are known.
const READERS: usize = 4;
/// Less than this is read rather than located: a look into the index and at
/// a header costs as much as the copy.
const LOCATED_BYTES_MIN: u64 = 64 * 1024;

/// Where the last reads ended, and the last append. Most reads go on at one of
/// these places, and then need neither the index nor the bytes before.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The offsets that come next, and the positions of their batches.
    ends: [Option<(i64, u64)>; READERS],
    /// The one that is replaced next.
    oldest: usize,
    /// Counts truncations: a read that began before one must not note where
    /// it ended.
    truncations: u64,
    pub(super) tail: Option<Tail>,
}

impl Recent {
    /// After a truncation.
    pub(super) fn forget(&mut self) {
        self.truncations += 1;
        self.ends = Default::default();
        self.tail = None;
    }

    /// The position of the batch that begins with this offset, if known.
    pub(super) fn position(&self, offset: i64) -> Option<u64> {
        let at_offset = |end: &&(i64, u64)| end.0 == offset;
        self.ends.iter().flatten().find(at_offset).map(|end| end.1)
    }

    /// Notes the end of a read that began at `from`, in the place of the one
    /// that it went on from.
    fn note(&mut self, from: i64, end: (i64, u64)) {
        let same = |slot: &Option<(i64, u64)>| slot.is_some_and(|(next, _)| next == from);
        let place = self.ends.iter().position(same).unwrap_or_else(|| {
            self.oldest = (self.oldest + 1) % READERS;
            self.oldest
        });
        if let Some(slot) = self.ends.get_mut(place) {
            *slot = Some(end);
        }
    }
}

impl Segment {
    /// Whole batches from the one that holds `offset` on, below `bound`.
    /// `None` when there is none in this segment.
    pub(crate) fn read(
        &self,
        offset: i64,
        bound: i64,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Result<Option<(Bytes, i64)>, ReadError> {
        let end = self.size();
        let (known, truncations) = {
            let mut recent = self.recent.lock();
            let tail = recent.tail.as_ref();
            let answer = tail.and_then(|t| t.answer(offset, bound, bytes_max, min_one_batch));
            if let Some((bytes, next_offset, end)) = answer {
                recent.note(offset, (next_offset, end));
                return Ok(Some((bytes, next_offset)));
            }
            let known = recent.position(offset).filter(|at| *at < end);
            (known, recent.truncations)
        };
        let (mut start, mut reach) = match known {
            // A header at least, or a read of nothing would get nowhere.
            Some(position) => (position, bytes_max.max(HEADER_BYTES)),
            None => (
                self.checked_floor(offset)?,
                bytes_max.saturating_add(SEEK_SLACK_BYTES),
            ),
        };
        loop {
            if start >= end {
                return Ok(None);
            }
            let size = reach.min(usize::try_from(end - start).unwrap_or(usize::MAX));
            let bytes = self.bytes_at(start, size)?;
            match take_batches(&bytes, offset, bound, bytes_max, min_one_batch)
                .map_err(|(at, e)| self.corrupt(start + at as u64, &e))?
            {
                Taken::Batches {
                    from,
                    to,
                    next_offset,
                } => {
                    let mut recent = self.recent.lock();
                    if recent.truncations == truncations {
                        recent.note(offset, (next_offset, start + to as u64));
                    }
                    return Ok(Some((bytes.slice(from..to), next_offset)));
                }
                Taken::Nothing => return Ok(None),
                Taken::ReadOn { from, needed } => {
                    if start + (from + needed) as u64 > end {
                        return Err(self.corrupt(
                            start + from as u64,
                            &BatchError::Truncated {
                                needed,
                                available: size - from,
                            },
                        ));
                    }
                    start += from as u64;
                    reach = reach.max(needed);
                }
            }
        }
    }

    /// Notes that the batch with this offset begins at this position, where
    /// what lies before it cannot be walked over.
    pub(crate) fn begins_at(&self, offset: i64, position: u64) {
        self.recent.lock().note(offset, (offset, position));
    }

    /// Bytes from the batch that begins with this offset on, or from a little
    /// before it.
    pub(crate) fn bytes_from(&self, offset: i64) -> usize {
        let known = self.recent.lock().position(offset);
        let position = known.or_else(|| self.checked_floor(offset).ok());
        let bytes = self.size().saturating_sub(position.unwrap_or_default());
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Whole batches from `offset` on, below `bound`, without reading them:
    /// they end at an entry of the index, so there are about as many as asked
    /// for and rarely exactly. `None` where reading is the way: what is to be
    /// had is little, not in the page cache, or not where a read ended.
    pub(crate) fn locate(
        &self,
        offset: i64,
        bound: i64,
        bytes_max: usize,
    ) -> Result<Option<(FileRange, i64)>, ReadError> {
        let end = self.size();
        let (start, truncations) = {
            let recent = self.recent.lock();
            (recent.position(offset), recent.truncations)
        };
        let Some(start) = start else {
            return Ok(None);
        };
        let reach = end.min(start.saturating_add(bytes_max as u64));
        let size_max = usize::try_from(reach.saturating_sub(start)).unwrap_or(usize::MAX);
        if (size_max as u64) < LOCATED_BYTES_MIN {
            return Ok(None);
        }
        let file = self.log.handle().map_err(|e| self.io(e))?;
        if !file.is_cached(start, size_max) {
            return Ok(None);
        }
        let stop = self
            .offsets
            .floor(|entry| u64::try_from(entry.position).is_ok_and(|at| at <= reach))
            .map_err(|e| self.io(e))?
            .and_then(|entry| u64::try_from(entry.position).ok())
            .filter(|stop| (start + LOCATED_BYTES_MIN..end).contains(stop));
        let Some(stop) = stop else {
            return Ok(None);
        };
        // An index that points elsewhere is for a read to notice.
        let header = match self.headers(stop).next() {
            Some(Ok((_, header))) => header,
            Some(Err(_)) | None => return Ok(None),
        };
        let next_offset = header.base_offset;
        if next_offset <= offset || next_offset > bound {
            return Ok(None);
        }
        let mut recent = self.recent.lock();
        if recent.truncations != truncations {
            return Ok(None);
        }
        recent.note(offset, (next_offset, stop));
        let range = FileRange {
            file,
            position: start,
            size: usize::try_from(stop - start).unwrap_or(usize::MAX),
        };
        Ok(Some((range, next_offset)))
    }
}

enum Taken {
    /// These bytes are the answer.
    Batches {
        from: usize,
        to: usize,
        next_offset: i64,
    },
    /// There is nothing to read below the bound.
    Nothing,
    /// The batch that begins at `from` needs `needed` bytes.
    ReadOn { from: usize, needed: usize },
}

/// Chooses whole batches out of a stretch of a segment.
fn take_batches(
    bytes: &Bytes,
    offset: i64,
    bound: i64,
    bytes_max: usize,
    min_one_batch: bool,
) -> Result<Taken, (usize, BatchError)> {
    let mut at = 0;
    let mut from = None;
    let mut next_offset = offset;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            // Where all was skipped, what follows this stretch is next.
            if from.is_none() {
                return Ok(Taken::ReadOn {
                    from: at,
                    needed: 0,
                });
            }
            break;
        }
        let parsed = BatchHeader::parse(rest);
        let (needed, header) = match &parsed {
            Ok(header) => (header.size_bytes(), Some(header)),
            Err(e) if e.is_truncated() => (HEADER_BYTES, None),
            // What comes before the damage can be read.
            Err(_) if from.is_some() => break,
            Err(e) => return Err((at, e.clone())),
        };
        if header.is_some_and(|h| h.base_offset >= bound) {
            break;
        }
        let skip = header.is_some_and(|h| h.last_offset() < offset);
        if skip && needed <= rest.len() {
            at += needed;
            continue;
        }
        let taken = at - from.unwrap_or(at);
        if from.is_some() && taken + needed > bytes_max {
            break;
        }
        if needed > rest.len() {
            if from.is_some() {
                break;
            }
            if header.is_some() && !skip && needed > bytes_max && !min_one_batch {
                return Ok(Taken::Nothing);
            }
            return Ok(Taken::ReadOn { from: at, needed });
        }
        if from.is_none() && needed > bytes_max && !min_one_batch {
            return Ok(Taken::Nothing);
        }
        from.get_or_insert(at);
        at += needed;
        if let Some(header) = header {
            next_offset = header.next_offset();
        }
    }
    Ok(match from {
        Some(from) => Taken::Batches {
            from,
            to: at,
            next_offset,
        },
        None => Taken::Nothing,
    })
}
