//! Counters of a data folder.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Counters, updated by all logs of a data folder.
#[derive(Debug, Default)]
pub struct LogMetrics {
    appends: AtomicU64,
    appended_bytes: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    failures: AtomicU64,
    /// When somebody was last told of an append that could not be written.
    unwritten_told_ms: AtomicI64,
    cleanings: AtomicU64,
    cleaned_bytes_before: AtomicU64,
    cleaned_bytes_after: AtomicU64,
    cleanings_failed: AtomicU64,
}

/// The counters at one moment; all only grow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LogCounts {
    /// Appends that wrote something.
    pub appends: u64,
    /// Bytes that they wrote.
    pub appended_bytes: u64,
    /// Syncs of a partition.
    pub syncs: u64,
    /// Time that those took, in microseconds.
    pub sync_us: u64,
    /// Logs that have stopped.
    pub failures: u64,
    /// Rounds of the cleaner.
    pub cleanings: u64,
    /// Bytes of the segments that they have read.
    pub cleaned_bytes_before: u64,
    /// Bytes that were left of them.
    pub cleaned_bytes_after: u64,
    /// Rounds that failed, after which the log is set aside for a while.
    pub cleanings_failed: u64,
}

/// Of appends that cannot be written, one is told in this time, in ms.
const UNWRITTEN_TOLD_EVERY_MS: i64 = 10_000;

impl LogMetrics {
    /// Whether an append that could not be written is to be told: a full disk
    /// refuses every one.
    pub(crate) fn unwritten_is_news(&self, now_ms: i64) -> bool {
        let told_ms = self.unwritten_told_ms.load(Ordering::Relaxed);
        if told_ms != 0 && now_ms.saturating_sub(told_ms) < UNWRITTEN_TOLD_EVERY_MS {
            return false;
        }
        let swapped = self.unwritten_told_ms.compare_exchange(
            told_ms,
            now_ms,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        swapped.is_ok()
    }

    pub(crate) fn appended(&self, bytes: usize) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.appended_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cleaned(&self, bytes_before: u64, bytes_after: u64) {
        self.cleanings.fetch_add(1, Ordering::Relaxed);
        self.cleaned_bytes_before
            .fetch_add(bytes_before, Ordering::Relaxed);
        self.cleaned_bytes_after
            .fetch_add(bytes_after, Ordering::Relaxed);
    }

    pub(crate) fn set_aside(&self) {
        self.cleanings_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn counts(&self) -> LogCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogCounts {
            appends: get(&self.appends),
            appended_bytes: get(&self.appended_bytes),
            syncs: get(&self.syncs),
            sync_us: get(&self.sync_us),
            failures: get(&self.failures),
            cleanings: get(&self.cleanings),
            cleaned_bytes_before: get(&self.cleaned_bytes_before),
            cleaned_bytes_after: get(&self.cleaned_bytes_after),
            cleanings_failed: get(&self.cleanings_failed),
        }
    }
}
