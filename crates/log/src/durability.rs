//! The shared flusher: which partition is synced when, and how.
//!
//! This module is the seam for another way to make appends durable:
//! partitions only say "I have unsynced bytes"; how those reach the disk is
//! decided here. Two ways are built, and `docs/decisions/0001-group-commit.md`
//! has the figures behind them:
//!
//! - `fdatasync` of each partition's file, on a few threads;
//! - when many partitions wait, one `syncfs` for all of them, as long as that
//!   was the faster way lately (other programs' dirty pages can make it slow).
//!
//! Group commit follows from the state machine: appends made while a
//! partition's sync runs ask for one more, which they share. Requests of
//! several partitions that come from one poll begin together: see
//! [`gather_syncs`](crate::gather_syncs).

use crate::gather;
use millstream_core::env::FsFile;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Waiting partitions from which on one `syncfs` is considered.
const GROUP_MIN: usize = 256;
/// Partitions that one `syncfs` answers for at most.
const GROUP_MAX: usize = 4096;

/// Called with the outcome of a sync that covered what a target had appended
/// when it gave this.
pub type Completion = Box<dyn FnOnce(&io::Result<()>) + Send>;

/// Something with unsynced bytes.
pub trait FlushTarget: Send + Sync + 'static {
    /// Makes all that was appended before the call durable. Reports its own
    /// failure to whoever waits.
    fn flush_now(&self);
    /// Notes what was appended until now, for a sync of everything that
    /// begins after this; `None` when there is nothing to sync.
    fn prepare(&self) -> Option<Completion>;
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

struct Shared {
    /// Syncs the whole file system; `None` never does.
    file_system: Option<Arc<dyn FsFile>>,
    threads: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    targets: VecDeque<Arc<dyn FlushTarget>>,
    /// One `syncfs` at a time: it takes along whatever a second one would.
    group_running: bool,
    costs: Costs,
    stopping: bool,
}

/// A target that is to be put into a flusher's queue.
pub(crate) struct FlushRequest {
    shared: Arc<Shared>,
    target: Arc<dyn FlushTarget>,
}

impl FlushRequest {
    /// Puts all of them into their queues, then wakes the threads: those that
    /// are for one flusher begin together.
    pub(crate) fn hand_over(requests: impl IntoIterator<Item = Self>) {
        let mut requests = requests.into_iter().peekable();
        while let Some(Self { shared, target }) = requests.next() {
            let mut count = 1;
            {
                let mut queue = shared.queue.lock();
                queue.targets.push_back(target);
                while let Some(next) = requests.next_if(|r| Arc::ptr_eq(&r.shared, &shared)) {
                    queue.targets.push_back(next.target);
                    count += 1;
                }
            }
            for _ in 0..count.min(shared.threads) {
                shared.wake.notify_one();
            }
        }
    }
}

enum Work {
    One(Arc<dyn FlushTarget>),
    Group(Vec<Arc<dyn FlushTarget>>),
}

impl Flusher {
    /// Starts `threads` threads. With 0 nothing is synced by itself: tests
    /// call the targets' own flush. `file_system` is a file in the file
    /// system of all targets, for `syncfs`.
    pub fn start(threads: usize, file_system: Option<Arc<dyn FsFile>>) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            file_system,
            threads,
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let threads = (0..threads)
            .map(|i| {
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name(format!("log-flush-{i}"));
                builder.spawn(move || shared.run())
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(threads),
        }))
    }

    /// Asks for a sync of all that `target` has appended until now. Within
    /// [`gather_syncs`](crate::gather_syncs) it begins when the poll ends.
    pub fn request(&self, target: Arc<dyn FlushTarget>) {
        if target.flush_state().ask() {
            let shared = Arc::clone(&self.shared);
            if let Some(request) = gather::hold(FlushRequest { shared, target }) {
                FlushRequest::hand_over([request]);
            }
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
        while let Some(work) = self.next() {
            let started = Instant::now();
            match work {
                Work::One(target) => {
                    target.flush_state().begin();
                    target.flush_now();
                    self.queue.lock().costs.one(started.elapsed());
                    self.done(target);
                }
                Work::Group(targets) => {
                    let took = self.sync_group(&targets);
                    {
                        let mut queue = self.queue.lock();
                        queue.group_running = false;
                        queue.costs.group(took);
                    }
                    for target in targets {
                        self.done(target);
                    }
                }
            }
        }
    }

    fn sync_group(&self, targets: &[Arc<dyn FlushTarget>]) -> Duration {
        let completions: Vec<Completion> = targets
            .iter()
            .filter_map(|target| {
                target.flush_state().begin();
                target.prepare()
            })
            .collect();
        let started = Instant::now();
        let outcome = match &self.file_system {
            Some(file) => file.sync_file_system(),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        let took = started.elapsed();
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::Unsupported) {
            // Nothing was lost; never choose this way again.
            targets.iter().for_each(|target| target.flush_now());
            return Duration::MAX;
        }
        for complete in completions {
            complete(&outcome);
        }
        took
    }

    fn done(&self, target: Arc<dyn FlushTarget>) {
        if target.flush_state().end() {
            self.queue.lock().targets.push_back(target);
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Option<Work> {
        let mut queue = self.queue.lock();
        loop {
            let waiting = queue.targets.len();
            if waiting >= GROUP_MIN
                && self.file_system.is_some()
                && !queue.group_running
                && queue.costs.prefer_group(waiting, self.threads)
            {
                queue.group_running = true;
                return Some(Work::Group(
                    queue.targets.drain(..waiting.min(GROUP_MAX)).collect(),
                ));
            }
            if let Some(target) = queue.targets.pop_front() {
                return Some(Work::One(target));
            }
            if queue.stopping {
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }
}

/// What the two ways took lately, in microseconds; 0 is not known.
#[derive(Debug, Default)]
struct Costs {
    one_us: f64,
    group_us: f64,
}

impl Costs {
    /// Weight of the newest measurement.
    const NEW: f64 = 0.1;
    /// How fast a bad experience with the group is forgotten, a decision.
    const FORGET: f64 = 0.99;

    fn one(&mut self, took: Duration) {
        let took_us = took.as_secs_f64() * 1e6;
        self.one_us += (took_us - self.one_us) * if self.one_us == 0.0 { 1.0 } else { Self::NEW };
    }

    fn group(&mut self, took: Duration) {
        if took == Duration::MAX {
            self.group_us = f64::INFINITY;
            return;
        }
        let took_us = took.as_secs_f64() * 1e6;
        self.group_us += (took_us - self.group_us) * if self.group_us == 0.0 { 1.0 } else { 0.5 };
    }

    fn prefer_group(&mut self, waiting: usize, threads: usize) -> bool {
        let each_us = self.one_us * waiting as f64 / threads.max(1) as f64;
        let group = self.group_us < each_us || self.group_us == 0.0;
        if !group {
            self.group_us *= Self::FORGET;
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather_syncs;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[derive(Default)]
    struct Target(FlushState);

    impl FlushTarget for Target {
        fn flush_now(&self) {}
        fn prepare(&self) -> Option<Completion> {
            None
        }
        fn flush_state(&self) -> &FlushState {
            &self.0
        }
    }

    /// A flusher without threads, and how much is in its queue.
    fn idle() -> (Arc<Flusher>, impl Fn() -> usize) {
        let flusher = Flusher::start(0, None).unwrap();
        let shared = Arc::clone(&flusher.shared);
        (flusher, move || shared.queue.lock().targets.len())
    }

    #[tokio::test]
    async fn syncs_that_one_poll_asks_for_are_queued_when_it_ends() {
        let (flusher, queued) = idle();
        let request = || flusher.request(Arc::new(Target::default()));
        request();
        assert_eq!(queued(), 1, "at once outside of a poll that gathers");
        gather_syncs(async {
            request();
            gather_syncs(async { request() }).await;
            assert_eq!(queued(), 1);
            tokio::task::yield_now().await;
            assert_eq!(queued(), 3);
            request();
            assert_eq!(queued(), 3);
        })
        .await;
        assert_eq!(queued(), 4);
        request();
        assert_eq!(queued(), 5);
    }

    #[tokio::test]
    async fn syncs_are_queued_when_the_poll_that_asked_for_them_panics() {
        let (flusher, queued) = idle();
        let mut doomed = Box::pin(gather_syncs(async {
            flusher.request(Arc::new(Target::default()));
            panic!("on purpose");
        }));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            doomed.as_mut().poll(&mut context).is_ready()
        }));
        assert!(polled.is_err());
        assert_eq!(queued(), 1);
    }

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

    #[test]
    fn the_way_that_was_faster_lately_is_taken_and_the_other_tried_again() {
        let ms = Duration::from_millis;
        let mut costs = Costs::default();
        assert!(costs.prefer_group(100, 16), "not known yet");
        costs.one(ms(1));
        costs.group(ms(10));
        assert!(costs.prefer_group(1000, 16), "62 ms against 10");
        assert!(!costs.prefer_group(100, 16), "6 ms against 10");
        costs.group(ms(5000));
        let refused = (0..).take_while(|_| !costs.prefer_group(1000, 16)).count();
        assert!((100..2000).contains(&refused), "{refused}");
        costs.group(Duration::MAX);
        assert!(
            (0..10_000).all(|_| !costs.prefer_group(4000, 16)),
            "not supported"
        );
    }
}
