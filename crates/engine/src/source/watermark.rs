//! Event time of a source: one watermark a partition, the minimum of them
//! for the source.
//!
//! - A partition that has given no record yet holds the source back, as in
//!   Flink; `scan.watermark.idle-timeout` is what lets the others go on.
//! - A partition is idle only when it has also been read to its end: one
//!   that is behind has records, they only have not been read yet.
//! - A bounded partition that has been read to its bound no longer counts;
//!   when all have been, event time is at its end.
//! - While every partition is idle, event time stands still where the last
//!   of them to fall silent had brought it.

use crate::operators::WATERMARK_END;
use std::time::Duration;

/// One partition's event time.
#[derive(Debug, Clone)]
struct Partition {
    watermark_ms: i64,
    last_record: Duration,
    caught_up: bool,
    finished: bool,
}

/// The event time of a source.
#[derive(Debug)]
pub struct SourceWatermark {
    partitions: Vec<Partition>,
    idle_timeout: Option<Duration>,
    watermark_ms: i64,
}

impl SourceWatermark {
    /// A source that starts, or goes on, at these watermarks of its
    /// partitions and at `watermark_ms` as a whole; `now` is monotonic.
    pub fn new(
        partitions: &[i64],
        watermark_ms: i64,
        idle_timeout: Option<Duration>,
        now: Duration,
    ) -> Self {
        let partitions = partitions
            .iter()
            .map(|watermark_ms| Partition {
                watermark_ms: *watermark_ms,
                last_record: now,
                caught_up: false,
                finished: false,
            })
            .collect();
        Self {
            partitions,
            idle_timeout,
            watermark_ms,
        }
    }

    /// Records of a partition have been read.
    pub fn on_records(&mut self, partition: usize, watermark_ms: Option<i64>, now: Duration) {
        let Some(partition) = self.partitions.get_mut(partition) else {
            return;
        };
        partition.last_record = now;
        if let Some(watermark_ms) = watermark_ms {
            partition.watermark_ms = partition.watermark_ms.max(watermark_ms);
        }
    }

    /// Whether a partition has been read to what is its end now.
    pub fn on_position(&mut self, partition: usize, caught_up: bool) {
        if let Some(partition) = self.partitions.get_mut(partition) {
            partition.caught_up = caught_up;
        }
    }

    /// A bounded partition has been read to its bound.
    pub fn on_finished(&mut self, partition: usize) {
        if let Some(partition) = self.partitions.get_mut(partition) {
            partition.finished = true;
        }
    }

    /// The source's watermark where it has moved since the last call.
    pub fn advance(&mut self, now: Duration) -> Option<i64> {
        let reached = self.reached(now)?;
        (reached > self.watermark_ms).then(|| {
            self.watermark_ms = reached;
            reached
        })
    }

    fn reached(&self, now: Duration) -> Option<i64> {
        if self.partitions.iter().all(|p| p.finished) {
            return Some(WATERMARK_END);
        }
        let open = || self.partitions.iter().filter(|p| !p.finished);
        let active = open()
            .filter(|p| !self.is_idle(p, now))
            .map(|p| p.watermark_ms)
            .min();
        // All idle: what the last of them to fall silent had brought, which
        // is where time stood just before it did.
        active.or_else(|| {
            let last = open().map(|p| p.last_record).max()?;
            open()
                .filter(|p| p.last_record == last)
                .map(|p| p.watermark_ms)
                .min()
        })
    }

    fn is_idle(&self, partition: &Partition, now: Duration) -> bool {
        let since = now.saturating_sub(partition.last_record);
        partition.caught_up && self.idle_timeout.is_some_and(|timeout| since >= timeout)
    }

    /// The source's watermark now.
    pub fn current(&self) -> i64 {
        self.watermark_ms
    }

    /// Each partition's watermark.
    pub fn partitions(&self) -> impl Iterator<Item = i64> {
        self.partitions.iter().map(|p| p.watermark_ms)
    }

    /// Whether a partition's silence may soon let event time go on.
    pub fn awaits_idleness(&self) -> bool {
        self.idle_timeout.is_some() && self.partitions.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::WATERMARK_NONE;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(partitions: usize, idle_timeout: Option<Duration>) -> SourceWatermark {
        SourceWatermark::new(
            &vec![WATERMARK_NONE; partitions],
            WATERMARK_NONE,
            idle_timeout,
            Duration::ZERO,
        )
    }

    #[test]
    fn the_slowest_partition_decides_and_time_never_goes_back() {
        let mut source = source(2, None);
        source.on_records(0, Some(100), SECOND);
        assert_eq!(
            source.advance(SECOND),
            None,
            "partition 1 has given nothing yet"
        );
        source.on_records(1, Some(50), SECOND);
        assert_eq!(source.advance(SECOND), Some(50));
        source.on_records(1, Some(40), SECOND);
        assert_eq!(source.advance(SECOND), None);
        source.on_records(1, Some(200), SECOND);
        assert_eq!(source.advance(SECOND), Some(100));
    }

    #[test]
    fn an_idle_partition_lets_the_others_go_on_once_it_has_been_read_to_its_end() {
        let mut source = source(2, Some(SECOND));
        source.on_records(0, Some(100), 5 * SECOND);
        assert_eq!(
            source.advance(5 * SECOND),
            None,
            "not known to be at its end"
        );
        source.on_position(1, true);
        assert_eq!(source.advance(5 * SECOND), Some(100));
        source.on_records(1, Some(70), 5 * SECOND);
        assert_eq!(
            source.advance(5 * SECOND),
            None,
            "back, but time does not go back"
        );
        source.on_records(1, Some(150), 5 * SECOND);
        assert_eq!(source.advance(5 * SECOND), None);
        source.on_records(0, Some(120), 5 * SECOND);
        assert_eq!(source.advance(5 * SECOND), Some(120));
    }

    #[test]
    fn without_a_timeout_an_empty_partition_holds_time_back_for_ever() {
        let mut source = source(2, None);
        source.on_position(1, true);
        source.on_records(0, Some(100), SECOND);
        assert_eq!(source.advance(1_000_000 * SECOND), None);
    }

    #[test]
    fn time_stands_still_while_all_are_idle() {
        let mut source = source(1, Some(SECOND));
        source.on_position(0, true);
        source.on_records(0, Some(100), SECOND);
        assert_eq!(source.advance(SECOND), Some(100));
        assert_eq!(source.advance(100 * SECOND), None);
    }

    #[test]
    fn the_last_to_fall_silent_decides_when_all_are_idle() {
        let mut source = source(2, Some(SECOND));
        source.on_position(0, true);
        source.on_position(1, true);
        source.on_records(0, Some(100), SECOND);
        assert_eq!(
            source.advance(100 * SECOND),
            Some(100),
            "though nobody looked in between"
        );
    }

    #[test]
    fn at_the_end_of_all_partitions_time_is_at_its_end() {
        let mut source = source(2, None);
        source.on_finished(1);
        source.on_records(0, Some(100), SECOND);
        assert_eq!(
            source.advance(SECOND),
            Some(100),
            "the finished one does not count"
        );
        source.on_finished(0);
        assert_eq!(source.advance(SECOND), Some(WATERMARK_END));
    }
}
