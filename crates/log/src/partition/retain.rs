//! Taking records away: by age and size, by request, and from the end.
//!
//! Deleting segments, in the order that a crash at any point survives: the
//! new log start becomes durable; the files are renamed to `*.deleted`; the
//! folder is synced; the files are removed. So a crash never leaves a hole
//! above the log start, and a later open removes what is below it.

use super::{PartitionLog, Writer, recovery};
use crate::error::LogError;
use crate::names;
use crate::producers;
use crate::segment::Segment;
use millstream_core::ids::Offset;
use std::io;
use std::path::Path;
use std::sync::Arc;

impl PartitionLog {
    /// Deletes the oldest segments that the topic's retention allows, and
    /// those wholly below the log start. Returns how many. Never the active
    /// one (which is closed first when all of it has expired), and nothing at
    /// or above the high watermark.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<usize, LogError> {
        let _changing = self.changing.lock();
        let doomed = {
            let mut writer = self.writer.lock();
            if let Some(failure) = &writer.failure {
                return Err(failure.clone().into());
            }
            self.roll_expired(&mut writer, now_ms)?;
            self.expired_segments(now_ms)?
        };
        let count = doomed.len();
        self.delete_oldest(doomed)?;
        Ok(count)
    }

    fn roll_expired(&self, writer: &mut Writer, now_ms: i64) -> Result<(), LogError> {
        let active = self.active();
        let committed = writer.log_end_offset == self.high_watermark();
        if active.size() > 0 && committed && self.is_expired(&active, now_ms)? {
            self.roll(writer).map_err(|e| {
                let source = io::Error::other(e);
                LogError::Io {
                    doing: "roll",
                    path: active.path().to_owned(),
                    source,
                }
            })?;
        }
        Ok(())
    }

    fn is_expired(&self, segment: &Segment, now_ms: i64) -> Result<bool, LogError> {
        let config = self.config();
        let Some(retention_ms) = config
            .retention_ms
            .filter(|_| config.deletes_old_segments())
        else {
            return Ok(false);
        };
        let newest = segment.max_timestamp()?;
        Ok(newest.is_some_and(|max| now_ms.saturating_sub(max.timestamp_ms) > retention_ms))
    }

    /// The segments to delete: a run from the oldest on.
    fn expired_segments(&self, now_ms: i64) -> Result<Vec<Arc<Segment>>, LogError> {
        let progress = self.progress();
        let config = self.config();
        let segments = self.segments.read().clone();
        let total: u64 = segments.iter().map(|s| s.size()).sum();
        let kept_bytes = config
            .retention_bytes
            .filter(|_| config.deletes_old_segments());
        let mut surplus = kept_bytes.map_or(0, |kept| total.saturating_sub(kept));
        let mut doomed = Vec::new();
        for pair in segments.windows(2) {
            let [segment, next] = pair else { break };
            let below_start = next.base_offset() <= progress.log_start_offset.0;
            let too_much = surplus >= segment.size() && surplus > 0;
            if next.base_offset() > progress.high_watermark.0
                || !(below_start || too_much || self.is_expired(segment, now_ms)?)
            {
                break;
            }
            surplus = surplus.saturating_sub(segment.size());
            doomed.push(Arc::clone(segment));
        }
        Ok(doomed)
    }

    /// `changing` is held by the caller, so that no checkpoint meets a
    /// segment whose files are gone.
    fn delete_oldest(&self, doomed: Vec<Arc<Segment>>) -> Result<(), LogError> {
        let Some(last) = doomed.last() else {
            return Ok(());
        };
        let start = {
            let segments = self.segments.read();
            let after = segments.partition_point(|s| s.base_offset() <= last.base_offset());
            segments.get(after).map_or(0, |s| s.base_offset())
        };
        // What the doomed batches say of their producers must outlive them,
        // or a producer whose last batch goes would be refused after a crash.
        let snapshot = {
            let writer = self.writer.lock();
            writer
                .snapshots
                .iter()
                .find(|(offset, _)| offset.0 == start)
                .cloned()
        };
        if let Some((offset, content)) = snapshot {
            self.store_snapshot(offset, &content)?;
        }
        self.raise_log_start(Offset(start))?;
        {
            let mut writer = self.writer.lock();
            let gone = |s: &Arc<Segment>| s.base_offset() < start;
            writer.sealed_unsynced.retain(|s| !gone(s));
            writer.sealed_unindexed.retain(|s| !gone(s));
            writer.snapshots.retain(|(offset, _)| offset.0 >= start);
            self.segments.write().retain(|s| !gone(s));
        }
        remove_segments(self, &doomed).map_err(|source| LogError::Io {
            doing: "delete a segment in",
            path: self.folder.clone(),
            source,
        })
    }

    /// Makes the records below `before` unreadable, durably (DeleteRecords),
    /// and deletes the segments that they fill. At most up to the high
    /// watermark. Returns the log start.
    pub fn delete_records_before(&self, before: Offset) -> Result<Offset, LogError> {
        let progress = self.progress();
        if before > progress.high_watermark || before.0 < 0 {
            return Err(LogError::OffsetOutOfRange {
                offset: before,
                log_start_offset: progress.log_start_offset,
                high_watermark: progress.high_watermark,
            });
        }
        let _changing = self.changing.lock();
        if let Some(failure) = self.failure() {
            return Err(failure.into());
        }
        self.raise_log_start(before)?;
        let doomed: Vec<Arc<Segment>> = {
            let segments = self.segments.read();
            let start = self.log_start_offset().0;
            let below = segments
                .windows(2)
                .take_while(|pair| matches!(pair, [_, next] if next.base_offset() <= start));
            below.filter_map(|pair| pair.first().cloned()).collect()
        };
        self.delete_oldest(doomed)?;
        Ok(self.log_start_offset())
    }

    /// Moves the log start up, in the checkpoint first.
    fn raise_log_start(&self, start: Offset) -> Result<(), LogError> {
        if start <= self.log_start_offset() {
            return Ok(());
        }
        self.shared
            .log_starts
            .store([(self.topic_partition.clone(), start)])
            .map_err(|source| LogError::Io {
                doing: "write",
                path: Path::new(names::LOG_STARTS).to_owned(),
                source,
            })?;
        let mut writer = self.writer.lock();
        writer.epochs.truncate_from_start(start);
        self.progress.send_modify(|p| {
            p.log_start_offset = start;
            p.last_stable_offset = p.last_stable_offset.max(start);
        });
        let high_watermark = self.high_watermark();
        self.publish(&mut writer, high_watermark);
        Ok(())
    }

    /// Cuts the log so that it ends at `end` or, where that lies within a
    /// batch, before that batch; durable when it returns. For a follower that
    /// diverged from its leader (KIP-101). Returns the new log end.
    pub fn truncate_to(&self, end: Offset) -> Result<Offset, LogError> {
        let _changing = self.changing.lock();
        let _turn = self.flushing.lock();
        let mut writer = self.writer.lock();
        if let Some(failure) = &writer.failure {
            return Err(failure.clone().into());
        }
        let progress = self.progress();
        if end >= writer.log_end_offset {
            return Ok(writer.log_end_offset);
        }
        if end < progress.log_start_offset {
            return Err(LogError::OffsetOutOfRange {
                offset: end,
                log_start_offset: progress.log_start_offset,
                high_watermark: progress.high_watermark,
            });
        }
        let cut = self.truncate_files(&mut writer, end);
        cut.map_err(|error| match error {
            LogError::Io {
                doing,
                path,
                source,
            } => {
                let what = format!("cannot {doing} {}: {source}", path.display());
                self.fail_locked(&mut writer, what).into()
            }
            other => other,
        })
    }

    fn truncate_files(&self, writer: &mut Writer, end: Offset) -> Result<Offset, LogError> {
        let segment = self.segment_of(end);
        let (position, end) = match segment.find(end.0)? {
            Some((position, header)) => (position, Offset(header.base_offset)),
            None => (segment.size(), end),
        };
        let log_start = self.log_start_offset();
        writer.truncations += 1;
        // First of all the recovery point: what is appended from here on has
        // to be scanned after a crash.
        writer.recovery_point = writer.recovery_point.min(end.max(log_start));
        self.shared
            .recovery_points
            .store([(self.topic_partition.clone(), writer.recovery_point)])
            .map_err(self.io("write the recovery point of"))?;
        let end = if end < log_start {
            // The log start lies within the batch to cut: nothing is left but
            // what is known of the producers, from batches that go now.
            self.replay_to(writer, end)?;
            let content = producers::encode(&writer.producers);
            self.store_snapshot(log_start, &content)?;
            self.restart_at(writer, log_start)?;
            log_start
        } else {
            self.drop_segments(writer, segment.base_offset() + 1)?;
            segment.truncate(position, end.0).map_err(self.io("cut"))?;
            segment.sync_log().map_err(self.io("sync"))?;
            segment.resume_from_index(self.config().index_interval_bytes)?;
            end
        };
        self.truncate_state(writer, end)?;
        Ok(end)
    }

    /// Removes the segments from `base_offset` on, durably.
    fn drop_segments(&self, writer: &mut Writer, base_offset: i64) -> Result<(), LogError> {
        let doomed = {
            let mut segments = self.segments.write();
            let keep = segments.partition_point(|s| s.base_offset() < base_offset);
            segments.split_off(keep)
        };
        writer
            .sealed_unsynced
            .retain(|s| s.base_offset() < base_offset);
        writer
            .sealed_unindexed
            .retain(|s| s.base_offset() < base_offset);
        remove_segments(self, &doomed).map_err(self.io("delete a segment in"))
    }

    /// An empty log that begins at `start`.
    fn restart_at(&self, writer: &mut Writer, start: Offset) -> Result<(), LogError> {
        let created = Segment::create(&self.shared.fs, &self.folder, start.0)
            .map_err(self.io("create a segment in"))?;
        // In one step, so that readers never find a log without segments.
        let doomed = std::mem::replace(&mut *self.segments.write(), vec![Arc::new(created)]);
        writer.names_changed += 1;
        writer.sealed_unsynced.clear();
        writer.sealed_unindexed.clear();
        remove_segments(self, &doomed).map_err(self.io("delete a segment in"))
    }

    /// Brings what is remembered back to the new end.
    fn truncate_state(&self, writer: &mut Writer, end: Offset) -> Result<(), LogError> {
        let fs = self.shared.fs.as_ref();
        writer.snapshots.retain(|(offset, _)| *offset <= end);
        let snapshots = super::flush::list_snapshots(fs, &self.folder).map_err(self.io("list"))?;
        for (offset, path) in snapshots {
            if offset > end.0 {
                fs.remove_file(&path)
                    .map_err(self.io("remove a snapshot of"))?;
            }
        }
        writer.epochs.truncate_from_end(end);
        writer.log_end_offset = end;
        writer.durable_offset = writer.durable_offset.min(end);
        self.replay_to(writer, end)?;
        let high_watermark = self.high_watermark().min(end);
        self.progress.send_modify(|p| {
            p.last_stable_offset = p.last_stable_offset.min(end);
            p.high_watermark = high_watermark;
        });
        self.publish(writer, high_watermark);
        Ok(())
    }

    /// Producer state as it was at `end`.
    fn replay_to(&self, writer: &mut Writer, end: Offset) -> Result<(), LogError> {
        let fs = self.shared.fs.as_ref();
        let segments = self.segments.read().clone();
        let replayed = recovery::replay(fs, &self.folder, &segments, end, end, &mut writer.epochs)?;
        writer.producers = replayed.producers;
        Ok(())
    }

    fn store_snapshot(&self, offset: Offset, content: &[u8]) -> Result<(), LogError> {
        let path = names::file(&self.folder, offset.0, names::SNAPSHOT);
        self.shared
            .fs
            .replace(&path, content)
            .map_err(self.io("write a snapshot of"))
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> LogError {
        let path = self.folder.clone();
        move |source| LogError::Io {
            doing,
            path: path.clone(),
            source,
        }
    }
}

fn remove_segments(log: &PartitionLog, doomed: &[Arc<Segment>]) -> io::Result<()> {
    if doomed.is_empty() {
        return Ok(());
    }
    for segment in doomed {
        segment.mark_deleted()?;
    }
    log.shared.fs.sync_dir(&log.folder)?;
    for segment in doomed {
        segment.unlink()?;
    }
    Ok(())
}
