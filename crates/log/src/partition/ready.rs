//! Which of many partitions have moved on.

use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use tokio::sync::Notify;

/// The partitions, by the keys of whoever waits on them, that are to be looked
/// at: what a fetch over thousands of partitions goes through instead of all
/// of them. See [`PartitionLog::wake_in_set`](super::PartitionLog::wake_in_set).
///
/// Keys are never used again for another partition. In the order in which
/// they became ready, each at most once.
#[derive(Debug, Default)]
pub struct ReadySet {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<u64>,
    queued: HashSet<u64>,
    /// Registered with their logs and not fired since.
    armed: HashSet<u64>,
}

impl ReadySet {
    /// Marks a partition as one to be looked at, behind those that are.
    pub fn mark(&self, key: u64) {
        {
            let mut state = self.state.lock();
            if !state.queued.insert(key) {
                return;
            }
            state.queue.push_back(key);
        }
        // Keeps its permit when nobody waits yet.
        self.notify.notify_one();
    }

    /// Takes all that are to be looked at.
    pub fn take(&self) -> Vec<u64> {
        let mut state = self.state.lock();
        state.queued.clear();
        std::mem::take(&mut state.queue).into()
    }

    /// Forgets a partition.
    pub fn forget(&self, key: u64) {
        let mut state = self.state.lock();
        state.armed.remove(&key);
        // Its place in the queue stays and is skipped by whoever takes it: to
        // look for it would cost what the queue is long.
        state.queued.remove(&key);
    }

    /// Waits until a partition has been marked. Cancel-safe; may end though
    /// none is, so look with [`take`](Self::take).
    pub async fn marked(&self) {
        self.notify.notified().await;
    }

    /// True when the partition is to be registered with its log.
    pub(super) fn arm(&self, key: u64) -> bool {
        self.state.lock().armed.insert(key)
    }

    /// Whether a registration is still wanted.
    pub(super) fn is_armed(&self, key: u64) -> bool {
        self.state.lock().armed.contains(&key)
    }

    /// The log of the partition has moved on; its registration is over.
    pub(super) fn fire(&self, key: u64) {
        // One that was forgotten has nobody who would look.
        if self.state.lock().armed.remove(&key) {
            self.mark(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_queued_once_and_in_order_until_it_is_taken() {
        let set = ReadySet::default();
        for key in [3, 1, 3, 2] {
            set.mark(key);
        }
        assert_eq!(set.take(), [3, 1, 2]);
        assert!(set.take().is_empty());
        set.mark(3);
        assert_eq!(set.take(), [3]);
    }

    #[test]
    fn only_what_is_armed_fires_and_only_once() {
        let set = ReadySet::default();
        set.fire(1);
        assert!(set.take().is_empty());
        assert!(set.arm(1));
        assert!(!set.arm(1), "it is registered already");
        set.fire(1);
        set.fire(1);
        assert_eq!(set.take(), [1]);
        assert!(set.arm(1), "the registration was for one time");
        set.forget(1);
        set.fire(1);
        assert!(set.take().is_empty(), "nobody would look");
    }
}
