//! Sync, the high watermark, and what happens when a sync fails.
//!
//! Order, which the crash tests hold us to: the batches of closed segments,
//! the batches of the active one, the names in the folder; only then the high
//! watermark moves.

use super::{PartitionLog, Writer};
use crate::config::Durability;
use crate::durability::{Completion, FlushState, FlushTarget};
use crate::error::LogFailure;
use crate::files::SegmentFile;
use crate::names;
use crate::segment::Segment;
use millstream_core::ids::Offset;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What one flush makes durable.
pub(super) struct FlushWork {
    end: Offset,
    sealed: Vec<Arc<Segment>>,
    active: Arc<Segment>,
    /// Of the active segment's file, when the sync began.
    active_changes: u64,
    names_changed: u64,
    names_synced: u64,
    truncations: u64,
}

impl FlushWork {
    /// The files of the batches, oldest first.
    pub(super) fn files(&self) -> impl Iterator<Item = Arc<SegmentFile>> {
        let segments = self.sealed.iter().chain([&self.active]);
        segments.map(|segment| Arc::clone(segment.log()))
    }
}

impl FlushTarget for PartitionLog {
    fn flush_now(&self) {
        // The failure is kept, told to all who wait and logged where it is
        // noted.
        let _ = self.flush();
    }

    fn prepare(&self) -> Option<Completion> {
        let me = self.me.upgrade()?;
        let work = self.unsynced(&mut self.writer.lock()).ok()??;
        let started = self.shared.clock.monotonic();
        Some(Box::new(move |synced| {
            let took = me.shared.clock.monotonic().saturating_sub(started);
            me.shared.metrics.synced(took);
            let synced = match synced {
                Ok(()) => Ok(()),
                Err(error) => Err(format!("cannot sync the file system: {error}")),
            };
            // As in `flush_now`.
            let _ = me.synced(&work, synced);
        }))
    }

    fn flush_state(&self) -> &FlushState {
        &self.flush_state
    }
}

impl PartitionLog {
    /// Makes all that was appended before the call durable and moves the high
    /// watermark. Blocks for the sync.
    pub fn flush(&self) -> Result<Offset, LogFailure> {
        let _turn = self.flushing.lock();
        let work = {
            let mut writer = self.writer.lock();
            match self.unsynced(&mut writer)? {
                Some(work) => work,
                None => return Ok(writer.durable_offset),
            }
        };
        let synced = self
            .sync(&work)
            .map_err(|(path, error)| format!("cannot sync {}: {error}", path.display()));
        self.synced(&work, synced)
    }

    /// What a sync that begins now has to cover; `None` when all is durable.
    /// It stays noted as unsynced until then: another sync may begin first.
    pub(super) fn unsynced(&self, writer: &mut Writer) -> Result<Option<FlushWork>, LogFailure> {
        if let Some(failure) = &writer.failure {
            return Err(failure.clone());
        }
        if writer.durable_offset == writer.log_end_offset && writer.sealed_unsynced.is_empty() {
            // A new name alone can wait for what is promised under it.
            let end = writer.durable_offset;
            self.commit(writer, end);
            return Ok(None);
        }
        let active = self.active();
        Ok(Some(FlushWork {
            end: writer.log_end_offset,
            sealed: writer.sealed_unsynced.clone(),
            active_changes: active.log().changes(),
            active,
            names_changed: writer.names_changed,
            names_synced: writer.names_synced,
            truncations: writer.truncations,
        }))
    }

    /// Notes the outcome of a sync.
    pub(super) fn synced(
        &self,
        work: &FlushWork,
        synced: Result<(), String>,
    ) -> Result<Offset, LogFailure> {
        let mut writer = self.writer.lock();
        if let Err(what) = synced {
            return Err(self.fail_locked(&mut writer, what));
        }
        if let Some(failure) = &writer.failure {
            // Another sync has failed meanwhile: this one may have reported
            // success because that one took the error.
            return Err(failure.clone());
        }
        if work.truncations == writer.truncations {
            work.active.log().note_synced(work.active_changes);
            for sealed in &work.sealed {
                // Nothing was written since it was sealed.
                sealed.log().note_synced(sealed.log().changes());
            }
            writer
                .sealed_unsynced
                .retain(|s| !work.sealed.iter().any(|done| Arc::ptr_eq(s, done)));
            writer.names_synced = writer.names_synced.max(work.names_changed);
            self.commit(&mut writer, work.end);
        }
        Ok(writer.durable_offset)
    }

    fn sync(&self, work: &FlushWork) -> Result<(), (PathBuf, io::Error)> {
        let started = self.shared.clock.monotonic();
        // Oldest first: a crash in between leaves a prefix of the log.
        for segment in work.sealed.iter().chain([&work.active]) {
            segment.sync_log().map_err(|e| (segment.path(), e))?;
        }
        if work.names_synced < work.names_changed {
            self.shared
                .fs
                .sync_dir(&self.folder)
                .map_err(|e| (self.folder.to_path_buf(), e))?;
        }
        self.shared
            .metrics
            .synced(self.shared.clock.monotonic().saturating_sub(started));
        Ok(())
    }

    /// Notes that all below `end` is durable.
    fn commit(&self, writer: &mut Writer, end: Offset) {
        writer.durable_offset = writer.durable_offset.max(end);
        writer.sync_first = writer.sync_first.filter(|at| *at > writer.durable_offset);
        writer.unsynced_since_ms =
            (writer.durable_offset < writer.log_end_offset).then(|| self.shared.clock.now_ms());
        let high_watermark = match self.config().durability {
            Durability::PageCache if writer.sync_first.is_none() => writer.log_end_offset,
            Durability::Fsync | Durability::PageCache => writer.durable_offset,
        };
        // The policy may have been changed from page cache to sync: what was
        // promised stays promised.
        let high_watermark = high_watermark.max(self.high_watermark());
        self.publish(writer, high_watermark);
    }

    /// Asks for a sync when something has waited for one for `flush.ms`; true
    /// when it has.
    pub(crate) fn flush_overdue(&self, now_ms: i64) -> bool {
        let flush_ms = self.config().flush_ms;
        if flush_ms == i64::MAX {
            return false;
        }
        let since_ms = self.writer.lock().unsynced_since_ms;
        let is_due = since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= flush_ms);
        if is_due {
            self.request_flush();
        }
        is_due
    }

    /// Bytes that a crash now would have to scan.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.writer.lock().bytes_since_checkpoint
    }

    /// Below it no scan is needed after a crash.
    pub fn recovery_point(&self) -> Offset {
        self.writer.lock().recovery_point
    }

    /// Forgets producers that were silent for longer than the topic's
    /// `producer.id.expiration.ms`.
    pub fn expire_producers(&self, now_ms: i64) {
        let before_ms = now_ms.saturating_sub(self.config().producer_expiration_ms);
        self.writer.lock().producers.expire(before_ms);
    }

    /// Ends the log because its topic was deleted.
    pub(crate) fn close_deleted(&self) {
        let _changing = self.changing.lock();
        let _turn = self.flushing.lock();
        let mut writer = self.writer.lock();
        if writer.failure.is_none() {
            writer.failure = Some(self.failure_of("the topic was deleted"));
            writer.ended = true;
        }
        // Who still holds the log must not find the next topic's files in the
        // place of these.
        self.segments.read().iter().for_each(|s| s.retire());
        let high_watermark = self.high_watermark();
        self.publish(&mut writer, high_watermark);
    }

    pub(super) fn fail(&self, what: String) -> LogFailure {
        self.fail_locked(&mut self.writer.lock(), what)
    }

    /// Stops the log for good and tells all who wait.
    pub(super) fn fail_locked(&self, writer: &mut Writer, what: String) -> LogFailure {
        if let Some(first) = &writer.failure {
            return first.clone();
        }
        let failure = self.failure_of(&what);
        tracing::error!(partition = %self.topic_partition, error = %failure, "the log has stopped");
        self.shared.metrics.failed();
        writer.failure = Some(failure.clone());
        let high_watermark = self.high_watermark();
        self.publish(writer, high_watermark);
        failure
    }

    pub(super) fn failure_of(&self, what: &str) -> LogFailure {
        LogFailure {
            topic_partition: self.topic_partition.clone(),
            what: what.to_owned(),
        }
    }
}

/// The snapshot files of a folder, by offset.
pub(super) fn list_snapshots(
    fs: &dyn millstream_core::env::Fs,
    folder: &Path,
) -> io::Result<Vec<(i64, PathBuf)>> {
    fs.list(folder).map(snapshots_of)
}

/// The snapshot files of a folder's paths, by offset.
pub(super) fn snapshots_of(paths: Vec<PathBuf>) -> Vec<(i64, PathBuf)> {
    let mut snapshots: Vec<(i64, PathBuf)> = paths
        .into_iter()
        .filter_map(|path| match names::parse(&path)? {
            (offset, names::SNAPSHOT) => Some((offset, path)),
            _ => None,
        })
        .collect();
    snapshots.sort_unstable();
    snapshots
}
