//! What evaluating functions may take: bytes, and time.
//!
//! A [`Guard`] holds for what a thread evaluates inside [`scope`] (or a future
//! inside [`Guard::future`]); guards nest, and an inner one is counted against
//! the outer one too, and ends with it. Results that functions make are counted
//! while anything still refers to them. Loops over rows look at the flag and at
//! the deadline, so that an evaluation that is to end does so within some rows.
//!
//! Outside of any scope each call of a function has [`HELD_BYTES_MAX`] of its
//! own. Every bound here is far below the 2 GiB at which the offsets of an
//! Arrow text column end.

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::Buffer;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use millstream_core::env::Clock;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes of results that may be held at a time, where nobody says otherwise.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest text that a function makes for one row, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Results below this many bytes are not counted: their number is bounded by
/// the plan's.
const COUNTED_BYTES_MIN: usize = 64 * 1024;
/// Rows between two looks at the clock.
const ROWS_A_CLOCK_READING: u32 = 16;

/// Why an evaluation ended before it was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Whoever asked for it has gone.
    #[error("the evaluation was cancelled")]
    Cancelled,
    /// It took too long.
    #[error("it took longer than {0:?}")]
    TooLong(Duration),
    /// A function's results would not fit into the guard's bytes.
    #[error("the result of {function} would be over {bytes_max} bytes")]
    TooLarge {
        /// Which function.
        function: &'static str,
        /// What was allowed, with all that is held already.
        bytes_max: usize,
    },
    /// A single text would be over [`TEXT_BYTES_MAX`].
    #[error("the result of {function} would be a text of more than {TEXT_BYTES_MAX} bytes")]
    TextTooLong {
        /// Which function.
        function: &'static str,
    },
}

impl GuardError {
    /// The guard's error behind a failed evaluation, if it was that.
    pub fn of(error: &DataFusionError) -> Option<&Self> {
        match error.find_root() {
            DataFusionError::External(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

impl From<GuardError> for DataFusionError {
    fn from(error: GuardError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Limits of one evaluation; clones are the same guard.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: usize,
    held: AtomicUsize,
    cancel: Arc<AtomicBool>,
    deadline: Option<Deadline>,
    outer: Option<Guard>,
}

#[derive(Clone)]
struct Deadline {
    clock: Arc<dyn Clock>,
    /// On the clock's monotonic time.
    at: Duration,
    /// How long it was from the start.
    after: Duration,
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Guard>> = const { RefCell::new(None) };
}

impl Guard {
    /// A guard that holds at most `bytes_max` bytes of results at a time.
    pub fn new(bytes_max: usize) -> Self {
        Self::of(bytes_max, Arc::default(), None, None)
    }

    /// Such a guard that ends `after` from now.
    pub fn with_deadline(bytes_max: usize, clock: Arc<dyn Clock>, after: Duration) -> Self {
        let at = clock.monotonic().saturating_add(after);
        let deadline = Deadline { clock, at, after };
        Self::of(bytes_max, Arc::default(), Some(deadline), None)
    }

    /// A guard with bytes of its own that are also counted against this one,
    /// and that ends with it.
    #[must_use]
    pub fn within(&self, bytes_max: usize) -> Self {
        let inner = &self.0;
        let outer = Some(self.clone());
        Self::of(
            bytes_max,
            Arc::clone(&inner.cancel),
            inner.deadline.clone(),
            outer,
        )
    }

    fn of(
        bytes_max: usize,
        cancel: Arc<AtomicBool>,
        deadline: Option<Deadline>,
        outer: Option<Self>,
    ) -> Self {
        Self(Arc::new(Inner {
            bytes_max,
            held: AtomicUsize::new(0),
            cancel,
            deadline,
            outer,
        }))
    }

    /// A guard of `bytes_max` within the current one, if there is any.
    pub fn nested(bytes_max: usize) -> Self {
        match Self::current() {
            Some(outer) => outer.within(bytes_max),
            None => Self::new(bytes_max),
        }
    }

    /// The guard that holds on this thread now.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Ends all evaluations under this guard and those within it, soon; from
    /// any thread.
    pub fn cancel(&self) {
        self.0.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether [`Guard::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.load(Ordering::Relaxed)
    }

    /// Fails when cancelled, or when the deadline has passed.
    pub fn check(&self) -> Result<(), GuardError> {
        if self.is_cancelled() {
            return Err(GuardError::Cancelled);
        }
        match &self.0.deadline {
            Some(deadline) if deadline.clock.monotonic() >= deadline.at => {
                Err(GuardError::TooLong(deadline.after))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of results that are held now.
    pub fn held_bytes(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Runs `work` under this guard, on this thread.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        work()
    }

    /// A future that is polled under this guard, on whatever thread. Tasks
    /// that it spawns are not.
    pub fn future<F: Future>(&self, future: F) -> Guarded<F> {
        Guarded {
            guard: self.clone(),
            future: Box::pin(future),
        }
    }

    fn take(&self, bytes: usize, function: &'static str) -> Result<(), GuardError> {
        let inner = &self.0;
        let held = inner.held.fetch_add(bytes, Ordering::Relaxed);
        let taken = if held.saturating_add(bytes) > inner.bytes_max {
            Err(GuardError::TooLarge {
                function,
                bytes_max: inner.bytes_max,
            })
        } else {
            match &inner.outer {
                Some(outer) => outer.take(bytes, function),
                None => Ok(()),
            }
        };
        if taken.is_err() {
            inner.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self, bytes: usize) {
        let mut guard = Some(self);
        while let Some(Self(inner)) = guard {
            inner.held.fetch_sub(bytes, Ordering::Relaxed);
            guard = inner.outer.as_ref();
        }
    }
}

/// Runs `work` under a guard, on this thread.
pub fn scope<T>(guard: &Guard, work: impl FnOnce() -> T) -> T {
    guard.scope(work)
}

/// Fails when the guard that holds on this thread has ended; for loops that
/// evaluate no function, as the planner's.
pub fn check() -> Result<(), GuardError> {
    CURRENT.with_borrow(|current| match current {
        Some(guard) => guard.check(),
        None => Ok(()),
    })
}

/// Puts the guard back that held before, also when `work` panics.
struct Restore(Option<Guard>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// See [`Guard::future`].
pub struct Guarded<F> {
    guard: Guard,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Guarded<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let future = this.future.as_mut();
        this.guard.scope(|| future.poll(context))
    }
}

/// The bytes of one result, taken as it grows and given back when the last
/// reference to the result is gone.
pub(crate) struct Lease {
    guard: Guard,
    function: &'static str,
    bytes: usize,
    rows: u32,
}

impl Lease {
    /// For a result of this function, under the current guard.
    pub(crate) fn new(function: &'static str) -> Self {
        Self {
            guard: Guard::current().unwrap_or_else(|| Guard::new(HELD_BYTES_MAX)),
            function,
            bytes: 0,
            rows: 0,
        }
    }

    /// Fails when the guard has ended; called for each row.
    pub(crate) fn check(&mut self) -> Result<(), GuardError> {
        self.rows = self.rows.wrapping_add(1);
        // The clock is asked now and then, the flag always.
        if self.rows % ROWS_A_CLOCK_READING == 1 {
            return self.guard.check();
        }
        if self.guard.is_cancelled() {
            return Err(GuardError::Cancelled);
        }
        Ok(())
    }

    /// The result has grown to this many bytes, or is about to.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), GuardError> {
        if bytes > self.bytes && bytes >= COUNTED_BYTES_MIN {
            // In steps, so that rows rarely touch what threads share.
            let step = (bytes - self.bytes).max(COUNTED_BYTES_MIN);
            let least = bytes - self.bytes;
            let taken = match self.guard.take(step, self.function) {
                Ok(()) => step,
                Err(_) => {
                    self.guard.take(least, self.function)?;
                    least
                }
            };
            self.bytes += taken;
        }
        Ok(())
    }

    /// Counts the finished result for as long as it is referred to.
    pub(crate) fn hold(mut self, array: StringArray) -> datafusion::error::Result<ArrayRef> {
        let bytes = array.values().len();
        self.grow_to(bytes)?;
        if bytes < COUNTED_BYTES_MIN {
            return Ok(Arc::new(array));
        }
        let more = self.bytes.saturating_sub(bytes);
        self.guard.give_back(more);
        self.bytes -= more;
        let (offsets, values, nulls) = array.into_parts();
        let held = Bytes::from_owner(Held {
            values,
            _lease: self,
        });
        let array = StringArray::try_new(offsets, Buffer::from(held), nulls)?;
        Ok(Arc::new(array))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.guard.give_back(self.bytes);
    }
}

/// A result's bytes together with their lease.
struct Held {
    values: Buffer,
    _lease: Lease,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.values.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::env::clock::ManualClock;

    fn text(bytes: usize) -> StringArray {
        StringArray::from(vec!["x".repeat(bytes)])
    }

    fn held(bytes: usize) -> Result<ArrayRef, GuardError> {
        let made = Lease::new("F").hold(text(bytes));
        made.map_err(|error| GuardError::of(&error).cloned().expect("the guard's error"))
    }

    #[test]
    fn results_are_counted_while_anything_refers_to_them() {
        let outer = Guard::new(1_000_000);
        let inner = outer.within(500_000);
        let first = inner.scope(|| held(300_000)).unwrap();
        assert_eq!((outer.held_bytes(), inner.held_bytes()), (300_000, 300_000));
        let too_large = GuardError::TooLarge {
            function: "F",
            bytes_max: 500_000,
        };
        assert_eq!(inner.scope(|| held(300_000)).unwrap_err(), too_large);
        let part = first.slice(0, 1);
        drop(first);
        assert_eq!(outer.held_bytes(), 300_000);
        drop(part);
        assert_eq!((outer.held_bytes(), inner.held_bytes()), (0, 0));
        assert_eq!(inner.scope(|| held(300_000)).unwrap().len(), 1);
    }

    #[test]
    fn an_inner_guard_is_bounded_by_the_outer_one_too() {
        let outer = Guard::new(200_000);
        let inner = outer.within(1_000_000);
        let error = inner.scope(|| held(300_000)).unwrap_err();
        let too_large = GuardError::TooLarge {
            function: "F",
            bytes_max: 200_000,
        };
        assert_eq!(error, too_large);
        assert_eq!((outer.held_bytes(), inner.held_bytes()), (0, 0));
    }

    #[test]
    fn without_a_scope_each_result_has_a_bound_of_its_own() {
        assert!(Guard::current().is_none());
        assert!(held(HELD_BYTES_MAX).is_ok());
        assert!(held(HELD_BYTES_MAX + 1).is_err());
    }

    #[test]
    fn a_guard_ends_at_its_deadline_and_so_does_what_is_within() {
        let clock = ManualClock::at(0);
        let after = Duration::from_secs(60);
        let guard = Guard::with_deadline(1, clock.clone(), after).within(1);
        assert_eq!(guard.check(), Ok(()));
        clock.advance_ms(60_000);
        assert_eq!(guard.check(), Err(GuardError::TooLong(after)));
    }

    #[test]
    fn a_cancelled_guard_cancels_what_is_within_and_scopes_end() {
        let outer = Guard::new(1);
        let inner = outer.within(1);
        inner.scope(|| {
            assert_eq!(check(), Ok(()));
            outer.cancel();
            assert_eq!(check(), Err(GuardError::Cancelled));
        });
        assert_eq!(check(), Ok(()));
    }
}
