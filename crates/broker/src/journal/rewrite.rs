//! When a coordinator writes its whole state anew and drops what came before.
//!
//! The internal topics are compacted topics: of each key only the newest
//! record counts. A coordinator holds exactly those in memory, so before the
//! cleaner would find them in the log it appends them once more, as plain
//! records of the same topic, and then moves the log's start up to the first
//! of them (`docs/decisions/0002-cleaner-beside-rewriting.md`). That bounds the disk and the time of a start by a multiple of the
//! living state, whatever the rate of commits: a transaction per 20 ms writes
//! about 2 GB a day otherwise.
//!
//! Memory must equal the log at that moment: nothing may be on its way. A
//! coordinator therefore asks under its lock, after something has settled.
//! A crash in between leaves old and new records, which replay to the same
//! state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bytes of records in one batch of a rewrite.
pub(crate) const REWRITE_BATCH_BYTES: usize = 256 * 1024;

/// How many times the living state a partition may grow to.
const GROWTH_FACTOR: u64 = 4;

/// What one partition knows of its next rewrite.
#[derive(Debug)]
pub(crate) struct Rewrite {
    bytes_min: u64,
    /// Appended since the last rewrite.
    bytes_since: AtomicU64,
    /// Size of the last rewrite.
    bytes_living: AtomicU64,
    /// Appends that have not settled.
    in_flight: AtomicUsize,
    is_running: AtomicBool,
}

impl Rewrite {
    /// Nothing is known yet; no rewrite below `bytes_min`.
    pub(crate) fn new(bytes_min: u64) -> Self {
        Self {
            bytes_min,
            bytes_since: AtomicU64::new(0),
            bytes_living: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            is_running: AtomicBool::new(false),
        }
    }

    /// Notes bytes that were appended, or found at the start.
    pub(crate) fn grew(&self, bytes: usize) {
        self.bytes_since.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that an append is on its way, until the guard is dropped.
    pub(crate) fn in_flight(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Whether a rewrite is worth it, and memory equals the log.
    pub(crate) fn is_due(&self) -> bool {
        let living = self.bytes_living.load(Ordering::Relaxed);
        let enough = self.bytes_min.max(living.saturating_mul(GROWTH_FACTOR));
        self.bytes_since.load(Ordering::Relaxed) >= enough
            && self.in_flight.load(Ordering::Relaxed) == 0
            && !self.is_running.load(Ordering::Relaxed)
    }

    /// A rewrite begins; it ends with [`Rewrite::ended`].
    pub(crate) fn began(&self) {
        self.is_running.store(true, Ordering::Relaxed);
        self.bytes_since.store(0, Ordering::Relaxed);
    }

    /// The rewrite has ended, well or not; its size decides when the next
    /// one is due.
    pub(crate) fn ended(&self, bytes: u64) {
        self.bytes_living.store(bytes, Ordering::Relaxed);
        self.is_running.store(false, Ordering::Relaxed);
    }
}

/// An append that has not settled.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Rewrite>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_is_due_when_the_log_is_a_multiple_of_what_lives_and_nothing_is_on_its_way() {
        let rewrite = Arc::new(Rewrite::new(100));
        rewrite.grew(99);
        assert!(!rewrite.is_due());
        rewrite.grew(1);
        assert!(rewrite.is_due());
        let append = rewrite.in_flight();
        assert!(!rewrite.is_due());
        drop(append);
        rewrite.began();
        rewrite.grew(1_000);
        assert!(!rewrite.is_due(), "one at a time");
        rewrite.ended(300);
        assert!(!rewrite.is_due(), "300 live, 1,000 were added");
        rewrite.grew(200);
        assert!(rewrite.is_due());
    }
}
