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

/// What the base offset of a whole batch is, or is to be, when the one before
/// ends at `expected` and the one behind, if there is one, begins at `next`;
/// `None` when it cannot be told.
pub(super) fn right(header: &BatchHeader, expected: i64, next: Option<i64>) -> Option<i64> {
    let found = header.base_offset;
    let is_gap = found > expected && next.is_some_and(|next| next >= header.next_offset());
    if found == expected || is_gap {
        return Some(found);
    }
    let end = expected + i64::from(header.last_offset_delta) + 1;
    let one_bit = (found ^ expected).count_ones() == 1;
    (one_bit && next.is_none_or(|next| next >= end)).then_some(expected)
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

    #[test]
    fn a_gap_that_the_cleaner_left_stays() {
        assert_eq!(right(&at(20), 20, Some(22)), Some(20));
        assert_eq!(right(&at(30), 20, Some(32)), Some(30));
        assert_eq!(right(&at(30), 20, Some(50)), Some(30));
    }

    #[test]
    fn a_flipped_bit_is_told_by_the_batch_behind_or_by_there_being_none() {
        assert_eq!(right(&at(20 ^ 64), 20, Some(22)), Some(20));
        assert_eq!(right(&at(20 ^ 64), 20, None), Some(20));
        assert_eq!(right(&at(20 ^ 16), 20, Some(22)), Some(20));
        assert_eq!(right(&at(20 ^ i64::MIN), 20, Some(40)), Some(20));
    }

    #[test]
    fn what_is_neither_cannot_be_told() {
        assert_eq!(right(&at(0), 20, None), None, "two bits");
        assert_eq!(right(&at(1_000_000), 20, None), None);
        assert_eq!(right(&at(20 ^ 64), 20, Some(21)), None, "no room for two");
    }
}
