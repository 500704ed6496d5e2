//! The node's memory for what clients leave in groups.
//!
//! Subscriptions, assignments and committed offsets stay for as long as their
//! groups do, however many of them a client makes. Each kind has a bound of
//! its own, and small ones are counted apart from large ones, so that whoever
//! fills the one stands in nobody's way in the other.
//!
//! What is read at the start is counted and never refused.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Up to here what a member leaves counts as small: subscriptions to some
/// hundreds of topics.
const SMALL_BYTES_MAX: usize = 16 * 1024;
/// What each piece takes beside its bytes.
const PIECE_BYTES: usize = 256;

/// Memory for what clients leave in groups.
#[derive(Debug)]
pub(super) struct GroupMemory {
    large: Pool,
    small: Pool,
    offsets: Pool,
}

#[derive(Debug)]
struct Pool {
    kept: AtomicUsize,
    bytes_max: usize,
}

impl Pool {
    fn new(bytes_max: usize) -> Self {
        Self {
            kept: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Whether there was room, which is taken then.
    fn take(&self, bytes: usize) -> bool {
        let kept = self.kept.fetch_add(bytes, Ordering::AcqRel);
        let fits = kept.saturating_add(bytes) <= self.bytes_max;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    fn give(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl GroupMemory {
    /// Room for so many bytes of members and of offsets.
    pub(super) fn new(members_bytes_max: usize, offsets_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            large: Pool::new(members_bytes_max / 2),
            small: Pool::new(members_bytes_max / 2),
            offsets: Pool::new(offsets_bytes_max),
        })
    }

    /// Bytes of subscriptions and assignments, and of offsets.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        let of = |pool: &Pool| pool.kept.load(Ordering::Acquire);
        (of(&self.large) + of(&self.small), of(&self.offsets))
    }

    /// The same pieces, each with its room, which is given back when the last
    /// clone of it goes. `all` are the bytes that come with them. False, and
    /// no room, when there is not enough.
    pub(super) fn keep<'a>(
        self: &Arc<Self>,
        all: usize,
        pieces: impl Iterator<Item = &'a mut Bytes>,
    ) -> bool {
        let is_small = all <= SMALL_BYTES_MAX;
        let mut pieces: Vec<&mut Bytes> = pieces.collect();
        let Some(first) = pieces.first().map(|piece| piece.len()) else {
            return true;
        };
        // All of it goes with the first piece, but for what the others have.
        let others: usize = pieces.iter().skip(1).map(|piece| piece.len()).sum();
        let mut charges = vec![all.saturating_sub(others).max(first) + PIECE_BYTES];
        charges.extend(pieces.iter().skip(1).map(|p| p.len() + PIECE_BYTES));
        let pool = self.pool(is_small);
        if !pool.take(charges.iter().sum()) {
            return false;
        }
        for (piece, bytes) in pieces.iter_mut().zip(charges) {
            let kept = Kept {
                piece: std::mem::take(&mut **piece),
                memory: Arc::clone(self),
                bytes,
                is_small,
            };
            **piece = Bytes::from_owner(kept);
        }
        true
    }

    fn pool(&self, is_small: bool) -> &Pool {
        if is_small { &self.small } else { &self.large }
    }

    /// Whether offsets may grow by so much.
    pub(super) fn has_room_for_offsets(&self, bytes: usize) -> bool {
        let kept = self.offsets.kept.load(Ordering::Acquire);
        kept.saturating_add(bytes) <= self.offsets.bytes_max
    }
}

struct Kept {
    piece: Bytes,
    memory: Arc<GroupMemory>,
    bytes: usize,
    is_small: bool,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.memory.pool(self.is_small).give(self.bytes);
    }
}

/// What the offsets of one group take.
#[derive(Debug)]
pub(super) struct OffsetsCharge {
    memory: Arc<GroupMemory>,
    bytes: usize,
}

impl OffsetsCharge {
    pub(super) fn new(memory: &Arc<GroupMemory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.memory.offsets.kept.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.memory.offsets.give(bytes);
    }
}

impl Drop for OffsetsCharge {
    fn drop(&mut self) {
        self.memory.offsets.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_with_the_last_clone_and_small_ones_have_their_own() {
        let memory = GroupMemory::new(400 * 1024, 0);
        let large = Bytes::from(vec![7; 99 * 1024]);
        let mut pieces = [large.clone(), large.clone()];
        assert!(memory.keep(2 * large.len(), pieces.iter_mut()));
        assert_eq!(pieces[1], large);
        let mut more = large.clone();
        assert!(!memory.keep(more.len(), std::iter::once(&mut more)));
        assert_eq!(more, large, "what was refused is as it was");
        let mut small = Bytes::from_static(b"orders");
        assert!(memory.keep(small.len(), std::iter::once(&mut small)));
        let clone = small.clone();
        drop((pieces, small));
        assert_eq!(memory.kept().0, clone.len() + PIECE_BYTES);
        drop(clone);
        assert_eq!(memory.kept().0, 0);
        assert!(memory.keep(more.len(), std::iter::once(&mut more)));
    }
}
