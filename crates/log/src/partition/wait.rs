//! Waiting for a partition to move on, without polling.

use super::{PartitionLog, ReadySet};
use crate::error::LogFailure;
use millstream_core::ids::Offset;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

impl PartitionLog {
    /// Waits until all below `offset` is committed; what `acks=all` waits
    /// for. Cancel-safe.
    pub async fn wait_high_watermark(&self, offset: Offset) -> Result<(), LogFailure> {
        loop {
            // Before the look: what moves from here on wakes it.
            let moved = self.moved.notified();
            {
                let progress = self.progress.read();
                if progress.high_watermark >= offset {
                    return Ok(());
                }
                if let Some(failure) = &progress.failure {
                    return Err(failure.clone());
                }
            }
            moved.await;
        }
    }

    /// Has `waker` notified once, at the next change of what may be read or at
    /// a failure; not at an append that is not committed yet. For waits over
    /// many partitions: register one [`Notify`] with all, look at their
    /// offsets once more, then await it. Dropping the `Arc` takes the
    /// registration back.
    pub fn wake_on_progress(&self, waker: &Arc<Notify>) {
        self.wakers.register(Waker::Notify(Arc::downgrade(waker)));
    }

    /// Has the partition marked in `set` once, at the next change of any
    /// offset or at a failure. For waits over so many partitions that a wake
    /// must not cost a look at all of them. Does nothing when the last
    /// registration has not fired yet; look at the offsets after it.
    pub fn wake_in_set(&self, set: &Arc<ReadySet>, key: u64) {
        if set.arm(key) {
            self.wakers.register(Waker::Set(Arc::downgrade(set), key));
        }
    }
}

/// One registration.
enum Waker {
    Notify(Weak<Notify>),
    Set(Weak<ReadySet>, u64),
}

impl Waker {
    fn is_live(&self) -> bool {
        match self {
            Self::Notify(notify) => notify.strong_count() > 0,
            Self::Set(set, key) => set.upgrade().is_some_and(|set| set.is_armed(*key)),
        }
    }

    fn wake(&self) {
        match self {
            // `notify_one` keeps its permit when nobody waits yet.
            Self::Notify(notify) => {
                if let Some(notify) = notify.upgrade() {
                    notify.notify_one();
                }
            }
            Self::Set(set, key) => {
                if let Some(set) = set.upgrade() {
                    set.fire(*key);
                }
            }
        }
    }
}

/// One-shot registrations.
#[derive(Default)]
pub(super) struct Wakers(Mutex<List>);

#[derive(Default)]
struct List {
    wakers: Vec<Waker>,
    /// Dropped registrations are swept when the list reaches this length, so
    /// that a silent partition in many long polls does not grow it.
    sweep_at: usize,
}

const SWEEP_MIN: usize = 64;

impl Wakers {
    fn register(&self, waker: Waker) {
        let mut list = self.0.lock();
        if list.wakers.len() >= list.sweep_at.max(SWEEP_MIN) {
            list.wakers.retain(Waker::is_live);
            list.sweep_at = 2 * list.wakers.len();
        }
        list.wakers.push(waker);
    }

    pub(super) fn wake(&self) {
        let wakers = {
            let mut list = self.0.lock();
            if list.wakers.is_empty() {
                return;
            }
            std::mem::take(&mut list.wakers)
        };
        wakers.iter().for_each(Waker::wake);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().wakers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_registrations_are_swept() {
        let wakers = Wakers::default();
        let kept = Arc::new(Notify::new());
        wakers.register(Waker::Notify(Arc::downgrade(&kept)));
        for _ in 0..10_000 {
            wakers.register(Waker::Notify(Arc::downgrade(&Arc::new(Notify::new()))));
        }
        assert!(wakers.len() <= 2 * SWEEP_MIN, "{}", wakers.len());
    }

    #[tokio::test]
    async fn a_wake_before_the_wait_is_not_lost() {
        let wakers = Wakers::default();
        let waker = Arc::new(Notify::new());
        wakers.register(Waker::Notify(Arc::downgrade(&waker)));
        wakers.wake();
        waker.notified().await;
    }

    #[tokio::test]
    async fn a_set_is_told_which_partition_moved() {
        let (moved, silent) = (Wakers::default(), Wakers::default());
        let set = Arc::new(ReadySet::default());
        for (key, wakers) in [(7, &moved), (8, &silent)] {
            assert!(set.arm(key));
            wakers.register(Waker::Set(Arc::downgrade(&set), key));
        }
        moved.wake();
        moved.wake();
        set.marked().await;
        assert_eq!(set.take(), [7]);
    }
}
