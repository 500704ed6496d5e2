//! Warnings of what a client can cause as often as it likes, or what is tried
//! again for as long as it fails, told seldom.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Of what happens over and over, one is told in this time.
const EVERY: Duration = Duration::from_secs(10);

/// Counts what is not worth a line in the log each time.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    since: u64,
}

impl Seldom {
    /// How often it has happened since it was last told, this time included;
    /// `None` while that is not long ago.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        told.since += 1;
        if told
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < EVERY)
        {
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_later_ones_with_their_count() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.due(start), Some(1));
        assert_eq!(seldom.due(start), None);
        assert_eq!(seldom.due(start + EVERY / 2), None);
        assert_eq!(seldom.due(start + EVERY), Some(3));
        assert_eq!(seldom.due(start + EVERY), None);
    }
}
