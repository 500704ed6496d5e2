//! The node's memory for batches that readers inside the server expand.
//!
//! A batch of a few kilobytes may expand to a quarter of a gigabyte. What
//! expands to little is each reader's own; for more a reader needs room, and
//! the room lives as long as the expanded bytes: with the reader, and with
//! whoever keeps slices of them.
//!
//! Invariant: a reader that nobody polls stands in nobody's way. What it has
//! expanded and not handed out is taken from it when another needs the room,
//! and expanded again when it is polled.

use bytes::Bytes;
use millstream_core::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_wire::batch::Records;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Expanded bytes of all batches that are expanded to more than
/// [`FREE_BYTES_MAX`]: the largest batch fits.
pub(crate) const EXPANDED_BYTES_MAX: usize = BATCH_UNCOMPRESSED_BYTES_MAX;
/// Expanded bytes of one batch for which a reader needs no room; it has one
/// batch at a time.
pub(super) const FREE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a reader has expanded and not yet handed out.
pub(super) type Parked = Mutex<Option<Records>>;

/// Room for expanded batches.
pub(crate) struct ExpansionBudget {
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// What readers have expanded that are not being polled, oldest first.
    parked: Mutex<VecDeque<Weak<Parked>>>,
}

/// Room for the bytes of one batch, given back when dropped.
#[derive(Debug)]
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    /// The bytes with this room behind them, as long as a slice is kept.
    pub(super) fn holding(mut self, expanded: Bytes) -> Bytes {
        let excess = self.0.num_permits().saturating_sub(expanded.len());
        drop(self.0.split(excess));
        Bytes::from_owner(Held {
            expanded,
            _room: self,
        })
    }
}

struct Held {
    expanded: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.expanded
    }
}

impl ExpansionBudget {
    pub(crate) fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(EXPANDED_BYTES_MAX)),
            waiting: AtomicUsize::new(0),
            parked: Mutex::default(),
        }
    }

    /// Room for `bytes`, at once or not at all.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Room> {
        let bytes = permits(bytes);
        loop {
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(bytes) {
                return Some(Room(permit));
            }
            if !self.take_from_parked() {
                return None;
            }
        }
    }

    /// Waits for room. Cancel-safe.
    pub(super) async fn take(&self, bytes: usize) -> Option<Room> {
        let _waiting = Waiting::new(&self.waiting);
        if let Some(room) = self.try_take(bytes) {
            return Some(room);
        }
        let acquired = Arc::clone(&self.room).acquire_many_owned(permits(bytes));
        // Never closed.
        acquired.await.ok().map(Room)
    }

    /// After a poll: what was not handed out stays for the next one, unless
    /// somebody needs its room.
    pub(super) fn park(&self, left: &Arc<Parked>) {
        let mut parked = self.parked.lock();
        parked.retain(|other| other.strong_count() > 0 && !other.ptr_eq(&Arc::downgrade(left)));
        if self.waiting.load(Ordering::Acquire) > 0 {
            left.lock().take();
            return;
        }
        parked.push_back(Arc::downgrade(left));
    }

    /// False when there is nothing to take.
    fn take_from_parked(&self) -> bool {
        loop {
            let Some(oldest) = self.parked.lock().pop_front() else {
                return false;
            };
            let taken = oldest.upgrade().and_then(|left| left.lock().take());
            if taken.is_some() {
                return true;
            }
        }
    }
}

/// Counts who waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.min(EXPANDED_BYTES_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_wire::batch::{BatchBuilder, BatchOptions, BatchView};

    fn records_in(expanded: Bytes) -> Arc<Parked> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(0, None, None, &[]).unwrap();
        let batch = BatchView::parse(&builder.build().unwrap()).unwrap();
        Arc::new(Mutex::new(Some(batch.records_in(expanded))))
    }

    #[test]
    fn room_lives_as_long_as_the_last_slice() {
        let budget = ExpansionBudget::new();
        let room = budget.try_take(EXPANDED_BYTES_MAX).unwrap();
        assert!(budget.try_take(1).is_none());
        let held = room.holding(Bytes::from(vec![7; 100]));
        let rest = budget.try_take(EXPANDED_BYTES_MAX - 100).unwrap();
        assert!(
            budget.try_take(1).is_none(),
            "what was not needed came back"
        );
        let slice = held.slice(10..20);
        drop(held);
        assert!(budget.try_take(1).is_none());
        assert_eq!(&slice[..], [7; 10]);
        drop(slice);
        drop(rest);
        assert!(budget.try_take(EXPANDED_BYTES_MAX).is_some());
    }

    #[tokio::test]
    async fn who_needs_room_takes_what_a_reader_that_nobody_polls_has_expanded() {
        let budget = ExpansionBudget::new();
        let room = budget.try_take(EXPANDED_BYTES_MAX).unwrap();
        let left = records_in(room.holding(Bytes::from(vec![0; EXPANDED_BYTES_MAX])));
        budget.park(&left);
        drop(budget.take(1_000).await.unwrap());
        assert!(
            left.lock().is_none(),
            "it is expanded again when it is polled"
        );
        drop(budget.try_take(EXPANDED_BYTES_MAX).unwrap());

        // And what is parked while somebody waits is given up at once.
        let slice = Bytes::from(vec![0; EXPANDED_BYTES_MAX]);
        let held = budget.try_take(EXPANDED_BYTES_MAX).unwrap().holding(slice);
        let left = records_in(held);
        let mut waits = std::pin::pin!(budget.take(1_000));
        assert!(futures::poll!(&mut waits).is_pending());
        budget.park(&left);
        assert!(waits.await.is_some());
    }
}
