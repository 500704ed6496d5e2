//! Waiting for a partition to move on, without polling.

use super::{PartitionLog, Progress};
use crate::error::LogFailure;
use millstream_core::ids::Offset;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::{Notify, watch};

impl PartitionLog {
    /// Waits until all below `offset` is committed; what `acks=all` waits
    /// for. Cancel-safe.
    pub async fn wait_high_watermark(&self, offset: Offset) -> Result<(), LogFailure> {
        let mut progress = self.progress.subscribe();
        let reached = progress
            .wait_for(|p| p.high_watermark >= offset || p.failure.is_some())
            .await;
        match reached {
            Ok(p) if p.high_watermark >= offset => Ok(()),
            Ok(p) => Err(p
                .failure
                .clone()
                .unwrap_or_else(|| self.failure_of("stopped"))),
            // The sender lives in `self`.
            Err(_) => Err(self.failure_of("closed")),
        }
    }

    /// A stream of this partition's offsets, newest only; an append that is
    /// not committed yet is seen, but not told.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Has `waker` notified once, at the next change of what may be read or at
    /// a failure; not at an append that is not committed yet. For waits over
    /// many partitions: register one [`Notify`] with all, look at their
    /// offsets once more, then await it. Dropping the `Arc` takes the
    /// registration back.
    pub fn wake_on_progress(&self, waker: &Arc<Notify>) {
        self.wakers.register(waker);
    }
}

/// One-shot registrations.
#[derive(Default)]
pub(super) struct Wakers(Mutex<List>);

#[derive(Default)]
struct List {
    wakers: Vec<Weak<Notify>>,
    /// Dropped registrations are swept when the list reaches this length, so
    /// that a silent partition in many long polls does not grow it.
    sweep_at: usize,
}

const SWEEP_MIN: usize = 64;

impl Wakers {
    fn register(&self, waker: &Arc<Notify>) {
        let mut list = self.0.lock();
        if list.wakers.len() >= list.sweep_at.max(SWEEP_MIN) {
            list.wakers.retain(|w| w.strong_count() > 0);
            list.sweep_at = 2 * list.wakers.len();
        }
        list.wakers.push(Arc::downgrade(waker));
    }

    pub(super) fn wake(&self) {
        let wakers = {
            let mut list = self.0.lock();
            if list.wakers.is_empty() {
                return;
            }
            std::mem::take(&mut list.wakers)
        };
        for waker in wakers.iter().filter_map(Weak::upgrade) {
            // `notify_one` keeps its permit when nobody waits yet.
            waker.notify_one();
        }
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
        wakers.register(&kept);
        for _ in 0..10_000 {
            wakers.register(&Arc::new(Notify::new()));
        }
        assert!(wakers.len() <= 2 * SWEEP_MIN, "{}", wakers.len());
    }

    #[tokio::test]
    async fn a_wake_before_the_wait_is_not_lost() {
        let wakers = Wakers::default();
        let waker = Arc::new(Notify::new());
        wakers.register(&waker);
        wakers.wake();
        waker.notified().await;
    }
}
