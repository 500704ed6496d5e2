//! When a job that has failed is started again.
//!
//! Failures count in a row: once an epoch has committed, what came before it
//! is forgotten.

use std::time::Duration;

/// Fences in a row, without a committed epoch between them, after which this
/// engine takes the other instance for the rightful one.
const FENCES_MAX: u32 = 5;

/// Counts failures and says how long to wait.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    fences: u32,
}

impl Backoff {
    /// Pauses from `min`, doubling up to `max`.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            failures: 0,
            fences: 0,
        }
    }

    /// A life of the job has failed; `committed` says whether an epoch was
    /// committed in it. False when the other instance has won.
    pub(super) fn failed(&mut self, committed: bool, fenced: bool) -> bool {
        if committed {
            (self.failures, self.fences) = (0, 0);
        }
        self.failures += 1;
        self.fences = if fenced { self.fences + 1 } else { 0 };
        self.fences < FENCES_MAX
    }

    /// Full jitter: anywhere between the least and an exponential bound.
    pub(super) fn pause(&self, random: u64) -> Duration {
        let bound = self
            .min
            .saturating_mul(1_u32 << self.failures.min(16))
            .min(self.max)
            .max(self.min);
        let spread = u64::try_from((bound - self.min).as_millis()).unwrap_or(u64::MAX);
        self.min + Duration::from_millis(random.checked_rem(spread).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(30);

    /// The longest pause that chance gives, nearly.
    fn longest(backoff: &Backoff) -> Duration {
        let pauses = (0..10_000).map(|n| backoff.pause(n * 7));
        pauses.max().unwrap_or_default()
    }

    #[test]
    fn pauses_grow_with_failures_in_a_row_up_to_the_bound() {
        let mut backoff = Backoff::new(MIN, MAX);
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            assert!(backoff.failed(false, false));
            for random in [0, 1, 999, 12_345_678_901, u64::MAX] {
                let pause = backoff.pause(random);
                assert!(pause >= MIN && pause < MAX, "{pause:?}");
            }
            let now = longest(&backoff);
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
        assert!(last > MAX / 2, "{last:?}");
    }

    #[test]
    fn a_committed_epoch_forgets_the_failures_before_it() {
        let mut backoff = Backoff::new(MIN, MAX);
        for _ in 0..20 {
            backoff.failed(false, false);
        }
        backoff.failed(true, false);
        assert!(longest(&backoff) <= 2 * MIN, "{:?}", longest(&backoff));
    }

    #[test]
    fn fences_in_a_row_end_it_and_a_committed_epoch_forgets_them() {
        let mut backoff = Backoff::new(MIN, MAX);
        for _ in 1..FENCES_MAX {
            assert!(backoff.failed(false, true));
        }
        assert!(backoff.failed(true, true));
        for _ in 2..FENCES_MAX {
            assert!(backoff.failed(false, true));
        }
        assert!(!backoff.failed(false, true));
    }

    #[test]
    fn another_failure_between_fences_breaks_their_row() {
        let mut backoff = Backoff::new(MIN, MAX);
        for _ in 0..10 * FENCES_MAX {
            assert!(backoff.failed(false, true));
            assert!(backoff.failed(false, false));
        }
    }

    #[test]
    fn equal_bounds_give_that_pause() {
        let mut backoff = Backoff::new(MIN, MIN);
        backoff.failed(false, false);
        assert_eq!(backoff.pause(u64::MAX), MIN);
    }
}
