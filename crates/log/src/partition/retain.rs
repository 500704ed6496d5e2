//! Taking records away: by age and size, by request, and from the end.
//!
//! Deleting segments, in the order that a crash at any point survives: the
//! new log start becomes durable; the files are renamed to `*.deleted`; the
//! folder is synced; the files are removed. So a crash never leaves a hole
//! above the log start, and a later open removes what is below it.

use super::{PartitionLog, Shared, Writer, recovery};
use crate::error::LogError;
use crate::names::{self, Stage};
use crate::producers;
use crate::segment::Segment;
use crate::together::{Aside, Unsynced};
use millstream_core::ids::Offset;
use parking_lot::MutexGuard;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl PartitionLog {
    /// Deletes the oldest segments that the topic's retention allows, and
    /// those wholly below the log start. Returns how many. Never the active
    /// one (which is closed first when all of it has expired, or no byte is to
    /// be kept), and nothing at or above the high watermark.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<usize, LogError> {
        let mut count = 0;
        if let Some(deletion) = self.plan_retention(now_ms)? {
            count = deletion.segments();
            delete_all(vec![deletion], |_, outcome| outcome)?;
        }
        Ok(count)
    }

    /// What [`PartitionLog::enforce_retention`] is to delete; `None` when
    /// there is nothing.
    pub(crate) fn plan_retention(&self, now_ms: i64) -> Result<Option<Deletion<'_>>, LogError> {
        let changing = self.changing.lock();
        let doomed = {
            let mut writer = self.writer.lock();
            if let Some(failure) = &writer.failure {
                return Err(failure.clone().into());
            }
            self.roll_expired(&mut writer, now_ms)?;
            self.expired_segments(now_ms)?
        };
        self.plan_deletion(changing, doomed, Offset(0))
    }

    fn roll_expired(&self, writer: &mut Writer, now_ms: i64) -> Result<(), LogError> {
        let active = self.active();
        let committed = writer.log_end_offset == self.high_watermark();
        let too_much = || {
            let config = self.config();
            config.deletes_old_segments() && config.retention_bytes == Some(0)
        };
        if active.size() > 0 && committed && (too_much() || self.is_expired(&active, now_ms)?) {
            self.roll(writer).map_err(|e| {
                let source = io::Error::other(e);
                LogError::Io {
                    doing: "roll",
                    path: active.path(),
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
        let newest_ms = match segment.max_timestamp()? {
            Some(max) => Some(max.timestamp_ms),
            // The cleaner has left only batches without records.
            None => segment.first_timestamp_ms()?,
        };
        // Records without a time are as old as their file, as in Kafka; where
        // nobody knows how old that is they do not expire.
        let newest_ms = match newest_ms {
            Some(..0) => segment.log().fs().modified_ms(&segment.path()),
            known => known,
        };
        Ok(newest_ms.is_some_and(|newest_ms| now_ms.saturating_sub(newest_ms) > retention_ms))
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

    /// Makes ready to delete the oldest segments and to move the log start to
    /// where the rest begins, or further.
    fn plan_deletion<'a>(
        &'a self,
        changing: MutexGuard<'a, ()>,
        doomed: Vec<Arc<Segment>>,
        start: Offset,
    ) -> Result<Option<Deletion<'a>>, LogError> {
        let rest = doomed.last().map(|last| {
            let segments = self.segments.read();
            let after = segments.partition_point(|s| s.base_offset() <= last.base_offset());
            Offset(segments.get(after).map_or(0, |s| s.base_offset()))
        });
        let start = start.max(rest.unwrap_or_default());
        if doomed.is_empty() && start <= self.log_start_offset() {
            return Ok(None);
        }
        // The log start is durable next. Power loss must not leave a log that
        // ends below it: that is a log which has lost what was on disk.
        if start > self.log_start_offset() && self.writer.lock().durable_offset < start {
            self.flush()?;
        }
        // What the doomed batches say of their producers must outlive them,
        // or a producer whose last batch goes would be refused after a crash.
        let snapshot = rest.and_then(|rest| {
            let writer = self.writer.lock();
            let mut snapshots = writer.snapshots.iter();
            snapshots.find(|(offset, _)| *offset == rest).cloned()
        });
        let snapshot = snapshot.map(|(offset, content)| {
            let path = names::file(&self.folder, offset.0, names::SNAPSHOT);
            Aside::write(self.shared.fs.as_ref(), path, &content)
                .map_err(self.io("write a snapshot of"))
        });
        Ok(Some(Deletion {
            log: self,
            _changing: changing,
            start,
            rest: rest.unwrap_or_default(),
            doomed,
            snapshot: snapshot.transpose()?,
        }))
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
        let changing = self.changing.lock();
        if let Some(failure) = self.failure() {
            return Err(failure.into());
        }
        let start = before.max(self.log_start_offset());
        let doomed: Vec<Arc<Segment>> = {
            let segments = self.segments.read();
            let below = segments
                .windows(2)
                .take_while(|pair| matches!(pair, [_, next] if next.base_offset() <= start.0));
            below.filter_map(|pair| pair.first().cloned()).collect()
        };
        if let Some(deletion) = self.plan_deletion(changing, doomed, start)? {
            delete_all(vec![deletion], |_, outcome| outcome)?;
        }
        Ok(self.log_start_offset())
    }

    /// Moves the log start up; it is in the checkpoint already.
    fn raise_log_start(&self, start: Offset) {
        if start <= self.log_start_offset() {
            return;
        }
        let mut writer = self.writer.lock();
        writer.epochs.truncate_from_start(start);
        {
            let mut p = self.progress.write();
            p.log_start_offset = start;
            p.last_stable_offset = p.last_stable_offset.max(start);
        }
        let high_watermark = self.high_watermark();
        self.publish(&mut writer, high_watermark);
        // Who waits may be outside of the log now.
        self.wakers.wake();
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
        let cut = self.truncate_marked(&mut writer, end);
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

    /// A file tells a start after a kill, or after an error, that the cut is
    /// not durable perhaps. Without it the start would take a log that ends at
    /// its recovery point for one that nothing has happened to, and power loss
    /// could bring back what it did not show.
    fn truncate_marked(&self, writer: &mut Writer, end: Offset) -> Result<Offset, LogError> {
        let fs = self.shared.fs.as_ref();
        let mark = self.folder.join(names::TRUNCATION);
        fs.open(&mark, true)
            .map_err(self.io("mark a truncation in"))?;
        let end = self.truncate_files(writer, end)?;
        fs.remove_file(&mark)
            .map_err(self.io("end a truncation in"))?;
        Ok(end)
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
        // Not the log start, where that lies within the batch to cut: a crash
        // before the cut finds the batch as it was, and begins to scan at it.
        writer.recovery_point = writer.recovery_point.min(end);
        self.shared
            .recovery_points
            .store([(self.topic_partition.clone(), writer.recovery_point)])
            .map_err(self.io("write the recovery point of"))?;
        // A deletion may have failed when the file had its log start already:
        // above the new end, it would be missing records after a crash.
        let noted_start = self.shared.log_starts.get(&self.topic_partition);
        if noted_start.is_some_and(|noted| noted > log_start) {
            self.shared
                .log_starts
                .store([(self.topic_partition.clone(), log_start)])
                .map_err(self.io("write the log start of"))?;
        }
        let cleaned_to = self.shared.cleaned_to.get(&self.topic_partition);
        if cleaned_to.is_some_and(|to| to > end) {
            self.shared
                .cleaned_to
                .store([(self.topic_partition.clone(), end)])
                .map_err(self.io("write the cleaner's offset of"))?;
        }
        self.drop_segments(writer, segment.base_offset() + 1)?;
        let end = if end < log_start {
            // The log start lies within the batch to cut: nothing is left but
            // what is known of the producers, from batches that go now.
            self.replay_to(writer, end)?;
            let content = producers::encode(&writer.producers);
            self.store_snapshot(log_start, &content)?;
            self.restart_at(writer, log_start)?;
            log_start
        } else {
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
        let created = Segment::create(&self.shared.files, &self.folder, start.0, Stage::InPlace)
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
        writer.sync_first = None;
        self.replay_to(writer, end)?;
        let high_watermark = self.high_watermark().min(end);
        {
            let mut p = self.progress.write();
            p.last_stable_offset = p.last_stable_offset.min(end);
            p.high_watermark = high_watermark;
        }
        self.publish(writer, high_watermark);
        self.wakers.wake();
        Ok(())
    }

    /// Producer state as it was at `end`.
    fn replay_to(&self, writer: &mut Writer, end: Offset) -> Result<(), LogError> {
        let fs = self.shared.fs.as_ref();
        let segments = self.segments.read().clone();
        let snapshots = super::flush::list_snapshots(fs, &self.folder).map_err(self.io("list"))?;
        let replayed = recovery::replay(fs, snapshots, &segments, end, end, &mut writer.epochs)?;
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
        let path = self.folder.to_path_buf();
        move |source| LogError::Io {
            doing,
            path: path.clone(),
            source,
        }
    }
}

/// Segments that are about to go. Holds off checkpoints, which would meet
/// files that are gone, and other deletions.
pub(crate) struct Deletion<'a> {
    log: &'a PartitionLog,
    _changing: MutexGuard<'a, ()>,
    start: Offset,
    /// Where the segments that stay begin.
    rest: Offset,
    doomed: Vec<Arc<Segment>>,
    /// Of the producers, where the rest begins.
    snapshot: Option<Aside>,
}

impl Deletion<'_> {
    pub(crate) fn segments(&self) -> usize {
        self.doomed.len()
    }

    /// Takes the segments out of the log and their names away.
    fn take_out(&self) -> Result<(), LogError> {
        self.log.raise_log_start(self.start);
        {
            let mut writer = self.log.writer.lock();
            let gone = |s: &Arc<Segment>| s.base_offset() < self.rest.0;
            writer.sealed_unsynced.retain(|s| !gone(s));
            writer.sealed_unindexed.retain(|s| !gone(s));
            writer.snapshots.retain(|(offset, _)| *offset >= self.rest);
            self.log.segments.write().retain(|s| !gone(s));
        }
        let io = self.log.io("delete a segment in");
        self.doomed
            .iter()
            .try_for_each(|s| s.mark_deleted().map_err(&io))
    }

    fn unlink(&self) -> Result<(), LogError> {
        let io = self.log.io("delete a segment in");
        self.doomed.iter().try_for_each(|s| s.unlink().map_err(&io))
    }
}

/// Carries deletions out, of many logs in one go: the log starts are written
/// once, and the folders synced together. Each outcome is told `done`, whose
/// error ends it all.
pub(crate) fn delete_all<E>(
    deletions: Vec<Deletion<'_>>,
    done: impl Fn(&PartitionLog, Result<(), LogError>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(shared) = deletions.first().map(|d| Arc::clone(&d.log.shared)) else {
        return Ok(());
    };
    let mut deletions = deletions;
    if let Err((path, error)) = put_snapshots(&shared, &mut deletions) {
        return deletions
            .iter()
            .try_for_each(|d| done(d.log, Err(io_error("write", &path, &error))));
    }
    let raised = deletions
        .iter()
        .filter(|d| d.start > d.log.log_start_offset())
        .map(|d| (d.log.topic_partition.clone(), d.start));
    let raised: Vec<_> = raised.collect();
    if !raised.is_empty()
        && let Err(error) = shared.log_starts.store(raised)
    {
        let path = Path::new(names::LOG_STARTS);
        return deletions
            .iter()
            .try_for_each(|d| done(d.log, Err(io_error("write", path, &error))));
    }
    let mut taken = Vec::with_capacity(deletions.len());
    for deletion in deletions {
        match deletion.take_out() {
            Ok(()) => taken.push(deletion),
            Err(error) => done(deletion.log, Err(error))?,
        }
    }
    taken.retain(|d| !d.doomed.is_empty());
    let folders: Vec<Unsynced> = taken
        .iter()
        .map(|d| Unsynced::Folder(d.log.folder.to_path_buf()))
        .collect();
    let synced = shared.together.sync(&folders);
    for deletion in taken {
        let outcome = match &synced {
            Ok(()) => deletion.unlink(),
            Err((path, error)) => Err(io_error("sync", path, error)),
        };
        done(deletion.log, outcome)?;
    }
    Ok(())
}

/// One error told of several logs.
fn io_error(doing: &'static str, path: &Path, error: &io::Error) -> LogError {
    LogError::Io {
        doing,
        path: path.to_owned(),
        source: io::Error::new(error.kind(), error.to_string()),
    }
}

/// Makes the snapshots durable, names included.
fn put_snapshots(
    shared: &Shared,
    deletions: &mut [Deletion<'_>],
) -> Result<(), (PathBuf, io::Error)> {
    let written: Vec<Unsynced> = deletions
        .iter()
        .filter_map(|d| d.snapshot.as_ref().map(Aside::unsynced))
        .collect();
    shared.together.sync(&written)?;
    let mut folders = Vec::with_capacity(written.len());
    for deletion in deletions {
        if let Some(snapshot) = deletion.snapshot.take() {
            let folder = &deletion.log.folder;
            snapshot
                .put(shared.fs.as_ref())
                .map_err(|error| (folder.to_path_buf(), error))?;
            folders.push(Unsynced::Folder(folder.to_path_buf()));
        }
    }
    shared.together.sync(&folders)
}

fn remove_segments(log: &PartitionLog, doomed: &[Arc<Segment>]) -> io::Result<()> {
    if doomed.is_empty() {
        return Ok(());
    }
    // Newest first, so that a kill leaves no hole: that would be damage.
    for segment in doomed.iter().rev() {
        segment.mark_deleted()?;
    }
    log.shared.fs.sync_dir(&log.folder)?;
    for segment in doomed {
        segment.unlink()?;
    }
    Ok(())
}
