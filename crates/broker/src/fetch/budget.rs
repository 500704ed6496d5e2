//! The node's memory for fetched records on their way out.
//!
//! Slow clients can hold all of it for as long as their lowest rate allows,
//! and others must not stand still with them: a second, small pool has room
//! for a little of everybody, in the order in which they ask, and clients that
//! take nothing are given up early while somebody waits.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bytes of a fetch while the budget is used up.
pub(crate) const BYTES_WITHOUT_ROOM: usize = 64 * 1024;
/// The small pool is one part in this many.
const SMALL_SHARE: usize = 8;

/// The node's memory for fetched records.
pub(crate) struct FetchBudget {
    main: Arc<Semaphore>,
    small: Arc<Semaphore>,
    main_bytes: usize,
    small_bytes: usize,
    /// Fetches that wait for room.
    waiting: watch::Sender<usize>,
}

/// Room for the records of one answer, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Room {
    permits: Vec<OwnedSemaphorePermit>,
}

impl Room {
    /// Bytes that there is room for.
    pub(crate) fn bytes(&self) -> usize {
        self.permits
            .iter()
            .map(OwnedSemaphorePermit::num_permits)
            .sum()
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let mut excess = self.bytes().saturating_sub(bytes);
        while excess > 0
            && let Some(permit) = self.permits.last_mut()
        {
            let part = excess.min(permit.num_permits());
            drop(permit.split(part));
            excess -= part;
            if permit.num_permits() == 0 {
                self.permits.pop();
            }
        }
    }
}

impl FetchBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        // Permits are counted in 32 bits.
        let bytes = bytes.min(u32::MAX as usize);
        let small_bytes = bytes / SMALL_SHARE;
        let main_bytes = bytes - small_bytes;
        Self {
            main: Arc::new(Semaphore::new(main_bytes)),
            small: Arc::new(Semaphore::new(small_bytes)),
            main_bytes,
            small_bytes,
            waiting: watch::Sender::new(0),
        }
    }

    /// Fetches that wait for room, as a stream.
    pub(crate) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Bytes held by records on their way out.
    pub(crate) fn held(&self) -> usize {
        (self.main_bytes + self.small_bytes)
            .saturating_sub(self.main.available_permits() + self.small.available_permits())
    }

    /// Room for up to `wanted` bytes, without waiting: what is left of the
    /// budget, or a little beside it. `None`: see [`wait`](Self::wait).
    pub(crate) fn try_take(&self, wanted: usize) -> Option<Room> {
        let little = wanted.min(BYTES_WITHOUT_ROOM);
        let left = wanted.min(self.main.available_permits());
        let permit = if left >= little {
            try_take(&self.main, left).or_else(|| try_take(&self.main, little))
        } else {
            None
        };
        let permit = permit.or_else(|| try_take(&self.small, little.min(self.small_bytes)))?;
        Some(Room {
            permits: vec![permit],
        })
    }

    /// Room for a batch that turned out to be larger than `room`: one batch is
    /// answered whatever its size (KIP-74). False when there is none now.
    pub(crate) fn try_extend(&self, room: &mut Room, bytes: usize) -> bool {
        // One larger than the budget is let out when it has the budget alone.
        let more = bytes.min(self.main_bytes).saturating_sub(room.bytes());
        let permit = try_take(&self.main, more);
        permit.map(|permit| room.permits.push(permit)).is_some()
    }

    /// Waits its turn for room for `bytes`; more than there will ever be asks
    /// for all of it. Cancel-safe.
    pub(crate) async fn wait(&self, bytes: usize) -> Room {
        let _waiting = Waiting::new(&self.waiting);
        let (pool, all) = if bytes <= BYTES_WITHOUT_ROOM {
            (&self.small, self.small_bytes)
        } else {
            (&self.main, self.main_bytes)
        };
        let bytes = u32::try_from(bytes.min(all)).unwrap_or(u32::MAX);
        let permit = Arc::clone(pool).acquire_many_owned(bytes).await;
        // Never closed.
        Room {
            permits: permit.into_iter().collect(),
        }
    }
}

/// Counts who waits, for as long as it lives.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|n| *n += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

fn try_take(pool: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let bytes = u32::try_from(bytes).ok()?;
    Arc::clone(pool).try_acquire_many_owned(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn what_is_left_is_given_then_a_little_then_nothing() {
        let budget = FetchBudget::new(8 * MIB);
        let most = budget.try_take(6 * MIB).unwrap();
        assert_eq!(most.bytes(), 6 * MIB);
        let rest = budget.try_take(6 * MIB).unwrap();
        assert_eq!(rest.bytes(), MIB, "what is left");
        let mut little = Vec::new();
        while let Some(room) = budget.try_take(6 * MIB) {
            assert_eq!(room.bytes(), BYTES_WITHOUT_ROOM);
            little.push(room);
        }
        assert_eq!(little.len(), MIB / BYTES_WITHOUT_ROOM);
        assert_eq!(budget.held(), 8 * MIB, "the sum is bounded");
        drop(most);
        assert_eq!(budget.try_take(6 * MIB).unwrap().bytes(), 6 * MIB);
    }

    #[test]
    fn room_that_was_not_needed_is_given_back() {
        let budget = FetchBudget::new(8 * MIB);
        let mut room = budget.try_take(4 * MIB).unwrap();
        room.shrink(10);
        assert_eq!((room.bytes(), budget.held()), (10, 10));
        assert!(budget.try_extend(&mut room, 2 * MIB));
        assert_eq!((room.bytes(), budget.held()), (2 * MIB, 2 * MIB));
        room.shrink(0);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn who_waits_is_served_when_others_are_done() {
        let budget = FetchBudget::new(8 * MIB);
        let all = budget.try_take(7 * MIB).unwrap();
        let mut small = Vec::new();
        while let Some(room) = budget.try_take(MIB) {
            small.push(room);
        }
        let mut waiting = std::pin::pin!(budget.wait(BYTES_WITHOUT_ROOM));
        assert!(futures::poll!(&mut waiting).is_pending());
        // A large batch does not take the room of those that need a little.
        let mut larger = std::pin::pin!(budget.wait(MIB));
        assert!(futures::poll!(&mut larger).is_pending());
        assert_eq!(*budget.waiting().borrow(), 2);
        small.pop();
        assert!(futures::poll!(&mut larger).is_pending());
        assert_eq!(waiting.await.bytes(), BYTES_WITHOUT_ROOM);
        drop((all, small));
        assert_eq!(larger.await.bytes(), MIB);
        assert_eq!(*budget.waiting().borrow(), 0);
        // A batch that is larger than all there is has it alone.
        let mut large = budget.wait(100 * MIB).await;
        assert_eq!(large.bytes(), 7 * MIB);
        assert!(budget.try_extend(&mut large, 100 * MIB));
    }
}
