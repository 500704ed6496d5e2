//! The shared flusher: which partition is synced when.
//!
//! This module is the seam for another way to make appends durable (a journal
//! in front of the segments, one `syncfs` for many files): partitions only
//! say "I have unsynced bytes" and are told to sync on one of a few threads.
//! Group commit follows from the state machine: appends made while a
//! partition's sync runs ask for one more, which they share.
//!
//! `docs/decisions/0001-group-commit.md` has the figures by which one
//! `fdatasync` a partition was chosen.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

/// Something with unsynced bytes.
pub trait FlushTarget: Send + Sync + 'static {
    /// Makes all that was appended before the call durable. Reports its own
    /// failure to whoever waits.
    fn flush_now(&self);
    /// The target's place in the flusher's queue.
    fn flush_state(&self) -> &FlushState;
}

/// Whether a target waits for a sync or has one running. Each target is in
/// the queue at most once, and no two threads sync the same target.
#[derive(Debug, Default)]
pub struct FlushState(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RUNNING_AND_ASKED: u8 = 3;

impl FlushState {
    /// Notes a request; true when the target must be put into the queue.
    fn ask(&self) -> bool {
        let asked = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                IDLE => Some(QUEUED),
                RUNNING => Some(RUNNING_AND_ASKED),
                _ => None,
            });
        asked == Ok(IDLE)
    }

    fn begin(&self) {
        self.0.store(RUNNING, Ordering::Release);
    }

    /// True when the target must be put into the queue again.
    fn end(&self) -> bool {
        let ended = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                RUNNING_AND_ASKED => Some(QUEUED),
                _ => Some(IDLE),
            });
        ended == Ok(RUNNING_AND_ASKED)
    }
}

/// A few threads that sync whatever asks for it. One queue, first come first
/// served, so that a busy partition cannot starve another.
pub struct Flusher {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    targets: VecDeque<Arc<dyn FlushTarget>>,
    stopping: bool,
}

impl Flusher {
    /// Starts `threads` threads. With 0 nothing is synced by itself: tests
    /// call the targets' own flush.
    pub fn start(threads: usize) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared::default());
        let threads = (0..threads)
            .map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("log-flush-{i}"))
                    .spawn(move || shared.run())
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(threads),
        }))
    }

    /// Asks for a sync of all that `target` has appended until now.
    pub fn request(&self, target: Arc<dyn FlushTarget>) {
        if target.flush_state().ask() {
            self.shared.queue.lock().targets.push_back(target);
            self.shared.wake.notify_one();
        }
    }

    /// Syncs what is queued, then ends the threads.
    pub fn stop(&self) {
        self.shared.queue.lock().stopping = true;
        self.shared.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A panic in a flush was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // The last owner can be a flush thread itself, which must not wait
        // for its own end.
        self.shared.queue.lock().stopping = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        while let Some(target) = self.next() {
            target.flush_state().begin();
            target.flush_now();
            if target.flush_state().end() {
                self.queue.lock().targets.push_back(target);
                self.wake.notify_one();
            }
        }
    }

    fn next(&self) -> Option<Arc<dyn FlushTarget>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(target) = queue.targets.pop_front() {
                return Some(target);
            }
            if queue.stopping {
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_during_a_flush_share_the_next_one() {
        let state = FlushState::default();
        assert!(state.ask());
        assert!(!state.ask(), "queued already");
        state.begin();
        assert!(!state.ask());
        assert!(!state.ask());
        assert!(state.end(), "one more for both");
        state.begin();
        assert!(!state.end());
        assert!(state.ask());
    }
}
