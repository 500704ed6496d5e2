//! Leader epochs that cannot be.
//!
//! The checksum of a batch covers neither its base offset nor its leader
//! epoch, because a broker sets them when it appends. A wrong base offset is
//! seen (offsets leave no gap beyond the recovery point); a wrong epoch would
//! pass for a right one, and an epoch from the future would refuse every later
//! append as one of an old leader. Two things are known of the right ones:
//! they never go down within a log, and none is newer than the newest in which
//! this node led the partition, which was durable in the metadata before.
//!
//! The records of such a batch are whole, so it is not cut: its epoch is set
//! to the one that fits between its neighbours. Clients are told it with every
//! batch, and one that asked where an epoch from the future ended would take
//! the answer for a truncation.

use crate::error::ReadError;
use crate::segment::Segment;
use millstream_core::ids::LeaderEpoch;
use std::sync::Arc;

/// What is known of the epochs beyond the recovery point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of the batch before; -1 is not known.
    before: i32,
    newest: i32,
}

impl Bounds {
    /// `before` is the epoch at the recovery point, `newest` the newest that
    /// the metadata knows.
    pub(super) fn new(before: Option<LeaderEpoch>, newest: Option<LeaderEpoch>) -> Self {
        let before = before.map_or(-1, |epoch| epoch.0);
        let newest = newest.map_or(i32::MAX, |epoch| epoch.0.max(before));
        Self { before, newest }
    }

    fn admit(self, epoch: i32) -> bool {
        (self.before..=self.newest).contains(&epoch)
    }

    /// Goes on to the next batch; whether the epoch can be.
    pub(super) fn advance(&mut self, epoch: i32) -> bool {
        let fits = self.admit(epoch);
        if fits {
            self.before = epoch;
        }
        fits
    }

    /// What an epoch is to be instead, given that of the batch behind it.
    fn mended(self, epoch: i32, next: Option<i32>) -> Option<i32> {
        let next = next.filter(|next| self.admit(*next));
        if self.admit(epoch) && next.is_none_or(|next| epoch <= next) {
            return None;
        }
        // Rather too old than too new: whoever has read the batch in an older
        // epoch would be told that this one ended before it.
        let known = (self.before >= 0).then_some(self.before);
        Some(known.or(next).unwrap_or(0))
    }
}

/// Sets the epochs that cannot be, from a position on over all later segments;
/// nothing is synced.
pub(super) fn mend(
    segments: &[Arc<Segment>],
    start: u64,
    mut bounds: Bounds,
) -> Result<(), ReadError> {
    let mut count = 0;
    let mut first = None;
    let mut batches = segments.iter().enumerate().flat_map(|(at, segment)| {
        let from = if at == 0 { start } else { 0 };
        let headers = segment.headers(from);
        headers.map(move |located| {
            located.map(|(position, header)| (segment, position, header.partition_leader_epoch))
        })
    });
    let mut current = batches.next().transpose()?;
    while let Some((segment, position, epoch)) = current {
        let next = batches.next().transpose()?;
        let mended = bounds.mended(epoch, next.map(|(_, _, epoch)| epoch));
        if let Some(right) = mended {
            first.get_or_insert((segment, position, epoch, right));
            segment
                .set_leader_epoch(position, right)
                .map_err(|e| segment.io(e))?;
            count += 1;
        }
        bounds.advance(mended.unwrap_or(epoch));
        current = next;
    }
    if let Some((segment, position, epoch, right)) = first {
        tracing::warn!(
            segment = %segment.path().display(), position, epoch, right, batches = count,
            "leader epochs that cannot be were set right; the records are whole"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row of epochs becomes.
    fn mended(before: Option<i32>, newest: Option<i32>, epochs: &[i32]) -> Vec<i32> {
        let mut bounds = Bounds::new(before.map(LeaderEpoch), newest.map(LeaderEpoch));
        let mut right = Vec::new();
        for (at, epoch) in epochs.iter().enumerate() {
            let next = epochs.get(at + 1).copied();
            let epoch = bounds.mended(*epoch, next).unwrap_or(*epoch);
            assert!(bounds.advance(epoch), "{epochs:?}: {epoch}");
            right.push(epoch);
        }
        right
    }

    #[test]
    fn epochs_that_can_be_stay() {
        assert_eq!(mended(None, Some(5), &[0, 0, 1, 5]), [0, 0, 1, 5]);
        assert_eq!(mended(Some(2), None, &[2, 3, 900]), [2, 3, 900]);
        assert_eq!(mended(None, None, &[-1, -1, 0]), [-1, -1, 0]);
    }

    #[test]
    fn the_one_that_stands_out_takes_that_of_its_neighbours() {
        assert_eq!(mended(Some(1), Some(4), &[1, 3, 1, 1]), [1, 1, 1, 1]);
        assert_eq!(mended(Some(1), Some(4), &[1, 268_435_457]), [1, 1]);
        assert_eq!(mended(Some(3), Some(4), &[3, 1, 4]), [3, 3, 4]);
        assert_eq!(mended(Some(3), Some(4), &[i32::MIN, 4]), [3, 4]);
    }

    #[test]
    fn the_first_of_a_log_takes_that_of_the_one_behind_it() {
        assert_eq!(mended(None, Some(4), &[9, 2, 2]), [2, 2, 2]);
        assert_eq!(mended(None, Some(4), &[i32::MIN, 2]), [2, 2]);
        assert_eq!(mended(None, Some(4), &[9]), [0]);
    }

    #[test]
    fn one_flipped_bit_anywhere_changes_no_epoch_far_away() {
        let row = [0, 0, 1, 1, 1, 4, 4, 6];
        for at in 0..row.len() {
            for bit in 0..32 {
                let mut flipped = row;
                flipped[at] ^= 1 << bit;
                let found = mended(Some(0), Some(6), &flipped);
                // Where an epoch begins nobody can tell which of the two it is.
                let mut others = (0..row.len()).filter(|i| found[*i] != row[*i]);
                let near = others.all(|i| i == at || i + 1 == at);
                assert!(near, "{flipped:?}: {found:?}");
            }
        }
    }
}
