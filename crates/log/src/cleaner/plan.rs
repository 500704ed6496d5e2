//! What of a log may be cleaned, whether it is worth it, and in which groups
//! of segments.

use crate::config::LogConfig;

/// A segment as planning sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    /// First offset that belongs to it.
    pub(crate) base_offset: i64,
    /// Bytes of batches.
    pub(crate) bytes: u64,
    /// Bytes of the larger of its indexes.
    pub(crate) index_bytes: u64,
    /// Timestamp of its first batch; read only where
    /// `max.compaction.lag.ms` is set.
    pub(crate) first_timestamp_ms: Option<i64>,
    /// Its largest timestamp; read only where `min.compaction.lag.ms` is set.
    pub(crate) max_timestamp_ms: Option<i64>,
}

/// A log as planning sees it.
#[derive(Debug)]
pub(crate) struct LogFacts<'a> {
    /// All segments, the active one last.
    pub(crate) segments: &'a [SegmentFacts],
    /// Below it all was cleaned before.
    pub(crate) first_dirty: i64,
    pub(crate) last_stable: i64,
    pub(crate) now_ms: i64,
}

/// What one round would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanPlan {
    /// Below it all was cleaned before.
    pub(crate) first_dirty: i64,
    /// Base of the first segment that must be left alone.
    pub(crate) end: i64,
    pub(crate) clean_bytes: u64,
    pub(crate) dirty_bytes: u64,
    /// The oldest dirty record is older than `max.compaction.lag.ms`.
    pub(crate) is_overdue: bool,
}

impl CleanPlan {
    /// The plan; `None` when there is nothing dirty that may be cleaned.
    pub(crate) fn new(log: &LogFacts<'_>, config: &LogConfig) -> Option<Self> {
        let active = log.segments.last()?.base_offset;
        let base_of = |offset: i64| {
            let after = log.segments.partition_point(|s| s.base_offset <= offset);
            after
                .checked_sub(1)
                .and_then(|at| log.segments.get(at))
                .map_or(active, |s| s.base_offset)
        };
        let mut end = active.min(base_of(log.last_stable));
        // A round that ran out of memory may have ended within a segment.
        let dirty_base = base_of(log.first_dirty);
        let dirty = |s: &&SegmentFacts| (dirty_base..active).contains(&s.base_offset);
        if config.compaction_lag_ms_min > 0 {
            let since_ms = log.now_ms.saturating_sub(config.compaction_lag_ms_min);
            let too_young = |s: &SegmentFacts| s.max_timestamp_ms.is_some_and(|ms| ms > since_ms);
            let young = log.segments.iter().filter(dirty).find(|s| too_young(s));
            end = end.min(young.map_or(end, |s| s.base_offset));
        }
        let bytes = |from: i64, to: i64| -> u64 {
            let in_range = |s: &&SegmentFacts| (from..to).contains(&s.base_offset);
            log.segments.iter().filter(in_range).map(|s| s.bytes).sum()
        };
        let dirty_bytes = bytes(dirty_base, end);
        if log.first_dirty >= end || dirty_bytes == 0 {
            return None;
        }
        let since_ms = log.now_ms.saturating_sub(config.compaction_lag_ms_max);
        let oldest_ms = log
            .segments
            .iter()
            .filter(dirty)
            .filter_map(|s| s.first_timestamp_ms)
            .min();
        Some(Self {
            first_dirty: log.first_dirty,
            end,
            clean_bytes: bytes(i64::MIN, dirty_base),
            dirty_bytes,
            is_overdue: oldest_ms.is_some_and(|ms| ms > 0 && ms < since_ms),
        })
    }

    /// Part of the cleanable log that is dirty, in millionths.
    pub(crate) fn dirty_ppm(&self) -> u64 {
        let total = u128::from(self.clean_bytes + self.dirty_bytes).max(1);
        u64::try_from(u128::from(self.dirty_bytes) * 1_000_000 / total).unwrap_or(u64::MAX)
    }

    /// Whether the round is worth it.
    pub(crate) fn is_due(&self, config: &LogConfig) -> bool {
        self.is_overdue || self.dirty_ppm() > u64::from(config.dirty_ratio_min_ppm)
    }
}

/// Runs of segments that become one each: within `segment.bytes`, within
/// `segment.index.bytes`, and with offsets that an index can express. As
/// ranges of positions in `segments`; `end` is where the last one ends.
pub(super) fn group(
    segments: &[SegmentFacts],
    end: i64,
    config: &LogConfig,
) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let (mut base, mut bytes, mut index_bytes) = (0, 0, 0);
    for (at, segment) in segments.iter().enumerate() {
        let next_base = segments.get(at + 1).map_or(end, |s| s.base_offset);
        let fits = bytes + segment.bytes <= u64::from(config.segment_bytes)
            && index_bytes + segment.index_bytes <= u64::from(config.segment_index_bytes)
            && i32::try_from(next_base - 1 - base).is_ok();
        match groups.last_mut() {
            Some(group) if fits => {
                group.end = at + 1;
                bytes += segment.bytes;
                index_bytes += segment.index_bytes;
            }
            _ => {
                groups.push(at..at + 1);
                (base, bytes, index_bytes) =
                    (segment.base_offset, segment.bytes, segment.index_bytes);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(base_offset: i64, bytes: u64) -> SegmentFacts {
        SegmentFacts {
            base_offset,
            bytes,
            index_bytes: bytes / 100,
            first_timestamp_ms: Some(base_offset + 1),
            max_timestamp_ms: Some(base_offset + 99),
        }
    }

    fn segments() -> Vec<SegmentFacts> {
        (0..5).map(|i| segment(i * 100, 1000)).collect()
    }

    fn plan(first_dirty: i64, last_stable: i64, config: &LogConfig) -> Option<CleanPlan> {
        CleanPlan::new(
            &LogFacts {
                segments: &segments(),
                first_dirty,
                last_stable,
                now_ms: 1000,
            },
            config,
        )
    }

    #[test]
    fn the_active_segment_and_what_is_not_stable_are_left_alone() {
        let config = LogConfig::default();
        let all = plan(0, 450, &config).unwrap();
        assert_eq!((all.end, all.dirty_bytes, all.clean_bytes), (400, 4000, 0));
        let stable = plan(0, 250, &config).unwrap();
        assert_eq!(stable.end, 200, "the segment that holds it is left alone");
        assert_eq!(plan(0, 99, &config), None);
        assert_eq!(plan(400, 450, &config), None, "all is clean");
    }

    #[test]
    fn a_round_is_due_when_enough_is_dirty() {
        let config = LogConfig {
            dirty_ratio_min_ppm: 500_000,
            ..LogConfig::default()
        };
        let half = plan(200, 450, &config).unwrap();
        assert_eq!(half.dirty_ppm(), 500_000);
        assert!(!half.is_due(&config), "more than the ratio, not the ratio");
        assert!(plan(100, 450, &config).unwrap().is_due(&config));
    }

    #[test]
    fn records_younger_than_the_smallest_lag_are_left_alone() {
        let config = LogConfig {
            compaction_lag_ms_min: 750,
            ..LogConfig::default()
        };
        // Young is what is after 250; the segment at 200 goes up to 299.
        assert_eq!(plan(0, 450, &config).unwrap().end, 200);
    }

    #[test]
    fn records_older_than_the_largest_lag_make_a_round_due() {
        let config = LogConfig {
            compaction_lag_ms_max: 750,
            dirty_ratio_min_ppm: 999_999,
            ..LogConfig::default()
        };
        assert!(plan(200, 450, &config).unwrap().is_due(&config));
        let young = LogConfig {
            compaction_lag_ms_max: 850,
            ..config
        };
        assert!(!plan(200, 450, &young).unwrap().is_due(&young));
    }

    #[test]
    fn groups_keep_within_bytes_index_and_offsets() {
        let by_bytes = LogConfig {
            segment_bytes: 2500,
            ..LogConfig::default()
        };
        assert_eq!(group(&segments(), 500, &by_bytes), [0..2, 2..4, 4..5]);
        let by_index = LogConfig {
            segment_index_bytes: 35,
            ..LogConfig::default()
        };
        assert_eq!(group(&segments(), 500, &by_index), [0..3, 3..5]);
        let far = [segment(0, 10), segment(100, 10), segment((1 << 31) + 1, 10)];
        let config = LogConfig::default();
        assert_eq!(group(&far, (1 << 31) + 5, &config), [0..1, 1..3]);
        assert_eq!(group(&far[..2], 1 << 31, &config).len(), 1);
    }
}
