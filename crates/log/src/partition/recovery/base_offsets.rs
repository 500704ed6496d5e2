//! Base offsets that cannot be.
//!
//! Beyond the recovery point each batch begins where the one before ends, for
//! only the cleaner leaves gaps, and it works below. The checksum does not
//! cover the base offset, so what says something else is either a flipped bit
//! or, where the recovery point is older than the files (its checkpoint is
//! lost, a folder was copied while it was in use), a gap that may be. The batch
//! behind tells: behind a gap the offsets go on ascending, behind an offset
//! that was flipped upwards they do not.

use crate::error::ReadError;
use crate::segment::Segment;
use millstream_wire::batch::BatchHeader;
use std::sync::Arc;

/// A whole batch whose base offset is wrong.
#[derive(Debug)]
pub(super) struct Misplaced {
    /// Index of its segment.
    pub(super) segment: usize,
    /// Where in it the batch begins.
    pub(super) position: u64,
    pub(super) found: i64,
    pub(super) right: i64,
}

/// What is behind a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// A batch that begins at this offset, or a segment of this name.
    Begins(i64),
    /// One that is not whole; whether it is in the last segment, which the
    /// cleaner leaves alone.
    Torn { in_last_segment: bool },
    /// The end of the log.
    End,
}

/// What the base offset of a whole batch is, or is to be, when the one before
/// ends at `expected`; `None` when it cannot be told.
pub(super) fn right(
    header: &BatchHeader,
    expected: i64,
    behind: Behind,
    log_start: i64,
) -> Option<i64> {
    let found = header.base_offset;
    let is_gap = found > expected
        && match behind {
            Behind::Begins(next) => next >= header.next_offset(),
            // Deleted up to here, or into it.
            Behind::Torn { .. } | Behind::End => found <= log_start,
        };
    if found == expected || is_gap {
        return Some(found);
    }
    let has_room = match behind {
        Behind::Begins(next) => next >= moved(header, expected).next_offset(),
        Behind::Torn { in_last_segment } => in_last_segment || found < expected,
        Behind::End => true,
    };
    let one_bit = (found ^ expected).count_ones() == 1;
    (one_bit && has_room).then_some(expected)
}

/// The header at another offset.
pub(super) fn moved(header: &BatchHeader, base_offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset,
        ..header.clone()
    }
}

/// Sets them right; nothing is synced.
pub(super) fn mend(segments: &[Arc<Segment>], misplaced: &[Misplaced]) -> Result<(), ReadError> {
    for one in misplaced {
        let Some(segment) = segments.get(one.segment) else {
            continue;
        };
        tracing::warn!(
            segment = %segment.path().display(), position = one.position,
            found = one.found, right = one.right,
            "a base offset that cannot be was set right; the records are whole"
        );
        segment
            .set_base_offset(one.position, one.right)
            .map_err(|e| segment.io(e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOBODY, NOW_MS, batch_of};

    /// A batch of two records at an offset.
    fn at(base_offset: i64) -> BatchHeader {
        let batch = batch_of(NOBODY, NOW_MS, &[b"a", b"b"]);
        BatchHeader {
            base_offset,
            ..BatchHeader::parse(&batch).unwrap()
        }
    }

    const IN_LAST: Behind = Behind::Torn {
        in_last_segment: true,
    };
    const IN_OTHER: Behind = Behind::Torn {
        in_last_segment: false,
    };

    /// Of one that should be at 20; the log begins at 0.
    fn found_at(base_offset: i64, behind: Behind) -> Option<i64> {
        right(&at(base_offset), 20, behind, 0)
    }

    #[test]
    fn a_gap_that_the_cleaner_left_stays() {
        for next in [32, 50] {
            assert_eq!(found_at(30, Behind::Begins(next)), Some(30));
        }
        assert_eq!(found_at(20, Behind::Begins(22)), Some(20));
        let one_bit = 21;
        assert_eq!(found_at(one_bit, Behind::Begins(23)), Some(21));
        assert_eq!(found_at(one_bit, IN_OTHER), None, "a gap, or not");
    }

    #[test]
    fn a_flipped_bit_is_told_by_what_is_behind() {
        for flipped in [20 ^ 64, 20 ^ 16, 20 ^ i64::MIN, 20 ^ (1 << 62)] {
            for behind in [Behind::Begins(22), Behind::End, IN_LAST] {
                assert_eq!(found_at(flipped, behind), Some(20), "{flipped}");
            }
        }
        assert_eq!(found_at(20 ^ 16, IN_OTHER), Some(20), "no gap goes back");
    }

    #[test]
    fn what_is_neither_cannot_be_told() {
        assert_eq!(found_at(0, Behind::End), None, "two bits");
        assert_eq!(found_at(1_000_000, Behind::End), None);
        assert_eq!(
            found_at(20 ^ 64, Behind::Begins(21)),
            None,
            "no room for two"
        );
        assert_eq!(
            right(&at(i64::MAX), i64::MAX - 1, Behind::Begins(0), 0),
            None
        );
    }

    #[test]
    fn a_log_may_begin_above_its_segment() {
        for start in [60, 61] {
            assert_eq!(right(&at(60), 20, Behind::End, start), Some(60));
        }
    }
}
