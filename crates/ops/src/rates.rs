//! Counters to rates.

use std::collections::VecDeque;

/// Readings a rate is taken over.
const WINDOW: usize = 5;

/// The rate of a growing counter over the last [`WINDOW`] readings.
#[derive(Debug, Default, Clone)]
pub struct Rate {
    readings: VecDeque<(i64, u64)>,
}

impl Rate {
    /// Adds a reading and returns the rate a second; 0 until there are two.
    /// A counter that went back (a restart, a topic made anew) starts again.
    pub fn observe(&mut self, now_ms: i64, count: u64) -> f64 {
        if self
            .readings
            .back()
            .is_some_and(|(at, last)| count < *last || now_ms <= *at)
        {
            self.readings.clear();
        }
        self.readings.push_back((now_ms, count));
        if self.readings.len() > WINDOW + 1 {
            self.readings.pop_front();
        }
        match (self.readings.front(), self.readings.back()) {
            (Some((from_ms, from)), Some((to_ms, to))) if to_ms > from_ms => {
                (to - from) as f64 * 1_000.0 / (to_ms - from_ms) as f64
            }
            _ => 0.0,
        }
    }
}

/// A bounded history, one value a reading, oldest first.
#[derive(Debug, Clone)]
pub struct History {
    values: VecDeque<f64>,
    len_max: usize,
}

impl History {
    /// Keeps at most `len_max` values.
    pub fn new(len_max: usize) -> Self {
        Self {
            values: VecDeque::new(),
            len_max,
        }
    }

    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        if self.values.len() == self.len_max {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// All values, oldest first.
    pub fn to_vec(&self) -> Vec<f64> {
        self.values.iter().copied().collect()
    }

    /// The newest `n` values, oldest first.
    pub fn newest(&self, n: usize) -> Vec<f64> {
        self.values
            .iter()
            .skip(self.values.len().saturating_sub(n))
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_over_the_last_readings() {
        let mut rate = Rate::default();
        assert_eq!(rate.observe(0, 100), 0.0);
        assert_eq!(rate.observe(1_000, 300), 200.0);
        assert_eq!(rate.observe(2_000, 300), 100.0);
    }

    #[test]
    fn a_counter_that_went_back_starts_again() {
        let mut rate = Rate::default();
        rate.observe(0, 1_000);
        assert_eq!(rate.observe(1_000, 10), 0.0);
        assert_eq!(rate.observe(2_000, 30), 20.0);
    }

    #[test]
    fn a_history_is_bounded() {
        let mut history = History::new(3);
        (0..10).for_each(|i| history.push(f64::from(i)));
        assert_eq!(history.to_vec(), [7.0, 8.0, 9.0]);
        assert_eq!(history.newest(2), [8.0, 9.0]);
    }
}
