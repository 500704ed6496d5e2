//! The node's memory for requests: who may take how much of it, and when.
//!
//! | part | for whom |
//! |---|---|
//! | small | frames of at most [`SMALL_FRAME_BYTES`], charged when they have come whole |
//! | shared | larger frames, charged as their bytes arrive |
//! | reserve | one large frame after another that found no room in `shared` |
//!
//! Invariants:
//! - A frame is charged for what has arrived, at most twice that and
//!   [`STEP_BYTES`], never for what it claims.
//! - Half-read frames cannot stop each other for ever: the one whose turn it
//!   is finishes in the reserve, which has room for the largest frame and is
//!   otherwise held only by frames that have come whole.
//! - Large frames cannot take the room of small ones (heartbeats, fetches,
//!   metadata).

use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};

/// Frames up to this size are charged when they have come whole: what each
/// connection may hold beside the budget.
pub(super) const SMALL_FRAME_BYTES: usize = 16 * 1024;
/// Charged at once for a larger frame, before its bytes have come.
pub(super) const STEP_BYTES: usize = 64 * 1024;
/// Small frames' part of the budget is one part in this many.
const SMALL_SHARE: usize = 8;

/// The node's memory for requests.
pub(crate) struct RequestBudget {
    small: Pool,
    shared: Pool,
    reserve: Pool,
    /// Held by the one frame that is being finished in the reserve.
    turn: Arc<Semaphore>,
    /// Large frames that wait for room.
    waiting: watch::Sender<usize>,
}

struct Pool {
    permits: Arc<Semaphore>,
    bytes: usize,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        // Permits are counted in 32 bits.
        let bytes = bytes.min(u32::MAX as usize);
        Self {
            permits: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    /// All of it for whoever wants more than there is.
    fn ask(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.bytes)).unwrap_or(u32::MAX)
    }

    fn held(&self) -> usize {
        self.bytes.saturating_sub(self.permits.available_permits())
    }
}

/// What a request holds of the budget, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    own: Option<OwnedSemaphorePermit>,
    reserved: Option<OwnedSemaphorePermit>,
}

impl Charge {
    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.own {
            Some(own) => own.merge(permit),
            None => self.own = Some(permit),
        }
    }
}

/// How a large frame got room.
pub(super) enum Grown {
    /// As much as it asked for.
    Step,
    /// All that it will need: it is its turn to be finished.
    Whole(OwnedSemaphorePermit),
}

impl RequestBudget {
    /// A budget of `total` bytes for frames of at most `frame_bytes_max`; the
    /// reserve is there even when the total is less.
    pub(crate) fn new(total: usize, frame_bytes_max: usize) -> Self {
        let small = total / SMALL_SHARE;
        Self {
            small: Pool::new(small),
            shared: Pool::new(total.saturating_sub(small + frame_bytes_max)),
            reserve: Pool::new(frame_bytes_max),
            turn: Arc::new(Semaphore::new(1)),
            waiting: watch::Sender::new(0),
        }
    }

    /// Bytes held by requests.
    pub(crate) fn held(&self) -> usize {
        self.small.held() + self.shared.held() + self.reserve.held()
    }

    /// Large frames that wait for room, as a stream.
    pub(super) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Room for a small frame that has come whole. Waits for room only while
    /// whole frames hold it.
    pub(super) async fn small(&self, bytes: usize) -> Result<Charge, AcquireError> {
        let ask = self.small.ask(bytes);
        if let Ok(permit) = Arc::clone(&self.small.permits).try_acquire_many_owned(ask) {
            return Ok(charge(permit));
        }
        let shared = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_many_owned(shared) {
            return Ok(charge(permit));
        }
        let permit = Arc::clone(&self.small.permits).acquire_many_owned(ask);
        permit.await.map(charge)
    }

    /// Room for `step` more bytes of a large frame, if there is room now.
    pub(super) fn try_grow(&self, charge: &mut Charge, step: usize) -> bool {
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        match Arc::clone(&self.shared.permits).try_acquire_many_owned(step) {
            Ok(permit) => {
                charge.add(permit);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits for room for `step` more bytes, or for its turn to have `rest`,
    /// all that the frame still needs. Cancel-safe.
    pub(super) async fn grow(
        &self,
        charge: &mut Charge,
        step: usize,
        rest: usize,
    ) -> Result<Grown, AcquireError> {
        let _waiting = Waiting::new(&self.waiting);
        let turn = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await?;
            let rest = self.reserve.ask(rest);
            let reserved = Arc::clone(&self.reserve.permits).acquire_many_owned(rest);
            Ok((turn, reserved.await?))
        };
        if step > self.shared.bytes {
            let (turn, reserved) = turn.await?;
            charge.reserved = Some(reserved);
            return Ok(Grown::Whole(turn));
        }
        let shared = Arc::clone(&self.shared.permits).acquire_many_owned(self.shared.ask(step));
        tokio::select! {
            biased;
            permit = shared => {
                charge.add(permit?);
                Ok(Grown::Step)
            }
            turn = turn => {
                let (turn, reserved) = turn?;
                charge.reserved = Some(reserved);
                Ok(Grown::Whole(turn))
            }
        }
    }
}

fn charge(permit: OwnedSemaphorePermit) -> Charge {
    Charge {
        own: Some(permit),
        reserved: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn half_read_frames_that_hold_all_are_finished_one_after_another() {
        let budget = RequestBudget::new(16 * MIB, 4 * MIB);
        let mut charges: Vec<_> = (0..10).map(|_| Charge::default()).collect();
        for charge in &mut charges {
            assert!(budget.try_grow(charge, MIB));
        }
        let [first, second, ..] = &mut charges[..] else {
            panic!()
        };
        let Ok(Grown::Whole(turn)) = budget.grow(first, MIB, 3 * MIB).await else {
            panic!("the first one finishes in the reserve")
        };
        let mut next = pin!(budget.grow(second, MIB, 3 * MIB));
        assert!(futures::poll!(&mut next).is_pending(), "not its turn");
        assert_eq!(*budget.waiting().borrow(), 1);
        // It has come whole, and still holds the reserve.
        drop(turn);
        assert!(futures::poll!(&mut next).is_pending());
        // It has been answered.
        *first = Charge::default();
        assert!(next.await.is_ok());
        assert_eq!(*budget.waiting().borrow(), 0);
    }

    #[tokio::test]
    async fn large_frames_leave_room_for_small_ones() {
        let budget = RequestBudget::new(16 * MIB, 4 * MIB);
        let mut large = Charge::default();
        while budget.try_grow(&mut large, MIB) {}
        assert_eq!(budget.held(), 10 * MIB);
        let small = budget.small(SMALL_FRAME_BYTES).await.unwrap();
        assert_eq!(budget.held(), 10 * MIB + SMALL_FRAME_BYTES);
        drop((small, large));
        assert_eq!(budget.held(), 0);
    }
}
