//! What the cleaner needs of a log, and what it does to it.

use super::PartitionLog;
use crate::cleaner::{CleanError, CleanPlan, LastOfProducer, SegmentFacts, swap};
use crate::config::LogConfig;
use crate::error::{LogError, ReadError};
use crate::files::Files;
use crate::names::Stage;
use crate::segment::Segment;
use millstream_core::ids::Offset;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl PartitionLog {
    /// What a round would clean; `None` when there is nothing. `cleaned_to` is
    /// where the last one ended.
    pub(crate) fn clean_plan(
        &self,
        cleaned_to: Option<Offset>,
        now_ms: i64,
    ) -> Result<Option<CleanPlan>, ReadError> {
        let config = self.config();
        let segments = self.segments.read().clone();
        if !config.compacts() || segments.len() < 2 || self.failure().is_some() {
            return Ok(None);
        }
        let progress = self.progress();
        let start = progress.log_start_offset;
        let first_dirty = cleaned_to
            .filter(|to| (start..=progress.log_end_offset).contains(to))
            .unwrap_or(start);
        let facts = segments
            .iter()
            .map(|s| s.facts(&config))
            .collect::<Result<Vec<_>, _>>()?;
        let log = crate::cleaner::LogFacts {
            segments: &facts,
            first_dirty: first_dirty.0,
            last_stable: progress.last_stable_offset.0,
            now_ms,
        };
        Ok(CleanPlan::new(&log, &config))
    }

    /// The segments that begin below `end`.
    pub(crate) fn segments_below(&self, end: i64) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let below = segments.iter().take_while(|s| s.base_offset() < end);
        below.cloned().collect()
    }

    /// Where the state of each producer is kept.
    pub(crate) fn last_of_producers(&self) -> HashMap<i64, LastOfProducer> {
        self.writer.lock().producers.last_batches()
    }

    /// Closes the active segment whatever its size.
    #[cfg(test)]
    pub(crate) fn force_roll(&self) {
        if self.active().size() > 0 {
            self.roll(&mut self.writer.lock()).unwrap();
        }
    }

    /// Counts truncations.
    pub(crate) fn truncations(&self) -> u64 {
        self.writer.lock().truncations
    }

    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.shared.files
    }

    /// The segment that the cleaner writes beside the one at `base`.
    pub(crate) fn create_cleaned(&self, base: i64) -> std::io::Result<Segment> {
        Segment::create(&self.shared.files, &self.folder, base, Stage::Cleaned)
    }

    /// Puts the cleaned files of a group of sealed segments in its place.
    /// Readers that are at the old ones finish on them.
    pub(crate) fn replace_segments(
        &self,
        group: &[Arc<Segment>],
        truncations: u64,
    ) -> Result<(), CleanError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(());
        };
        let base = first.base_offset();
        // No checkpoint, deletion or truncation meets half of it.
        let _changing = self.changing.lock();
        let at = self.position_of_group(group, last, truncations)?;
        for segment in group {
            segment.pin().map_err(|source| CleanError::Write {
                path: segment.path(),
                source,
            })?;
        }
        let fs = self.shared.fs.as_ref();
        let others = group.get(1..).unwrap_or_default();
        let replaced = swap::commit(fs, &self.folder, base)
            .and_then(|()| swap::finish(fs, &self.folder, base, others))
            .and_then(|()| Segment::open(&self.shared.files, &self.folder, base, Stage::InPlace));
        let replaced = replaced.map_err(|source| {
            // What the folder holds is known at the next start only.
            let what = format!(
                "cannot replace segments in {}: {source}",
                self.folder.display()
            );
            LogError::from(self.fail(what))
        })?;
        self.segments
            .write()
            .splice(at..at + group.len(), [Arc::new(replaced)]);
        self.replacements.fetch_add(1, Ordering::AcqRel);
        for segment in others {
            if let Err(error) = segment.unlink() {
                // The next start removes them.
                tracing::warn!(segment = %segment.path().display(), %error, "cannot remove a replaced segment");
            }
        }
        Ok(())
    }

    /// Where the group is in the list of segments, if all of it still is what
    /// it was when the round began.
    fn position_of_group(
        &self,
        group: &[Arc<Segment>],
        last: &Segment,
        truncations: u64,
    ) -> Result<usize, CleanError> {
        let writer = self.writer.lock();
        if let Some(failure) = &writer.failure {
            return Err(LogError::from(failure.clone()).into());
        }
        let segments = self.segments.read();
        let at = segments.iter().position(|s| Arc::ptr_eq(s, &group[0]));
        let at = at.ok_or(CleanError::Overtaken)?;
        let found = segments.get(at..at + group.len()).unwrap_or_default();
        let is_same =
            found.len() == group.len() && found.iter().zip(group).all(|(a, b)| Arc::ptr_eq(a, b));
        // Below the recovery point a start neither scans nor replays.
        let is_settled = segments
            .get(at + group.len())
            .is_some_and(|next| next.base_offset() <= writer.recovery_point.0);
        debug_assert!(last.base_offset() < writer.log_end_offset.0);
        if is_same && is_settled && writer.truncations == truncations {
            Ok(at)
        } else {
            Err(CleanError::Overtaken)
        }
    }
}

impl Segment {
    /// The segment as the cleaner plans with it.
    pub(crate) fn facts(&self, config: &LogConfig) -> Result<SegmentFacts, ReadError> {
        let io = |e| self.io(e);
        let index_bytes = self
            .offsets
            .bytes()
            .map_err(io)?
            .max(self.timestamps.bytes().map_err(io)?);
        // Both may need a look at the disk.
        let first_timestamp_ms = match config.compaction_lag_ms_max {
            i64::MAX => None,
            _ => self.first_timestamp_ms()?,
        };
        let max_timestamp_ms = match config.compaction_lag_ms_min {
            ..=0 => None,
            _ => self.max_timestamp()?.map(|max| max.timestamp_ms),
        };
        Ok(SegmentFacts {
            base_offset: self.base_offset(),
            bytes: self.size(),
            index_bytes,
            first_timestamp_ms,
            max_timestamp_ms,
        })
    }
}
