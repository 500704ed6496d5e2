//! Sync, the high watermark, the partition's checkpoint, and what happens when
//! a sync fails.
//!
//! Order, which the crash tests hold us to: the batches of closed segments,
//! the batches of the active one, the names in the folder; only then the high
//! watermark moves. A checkpoint adds: indexes, leader epochs, the producer
//! snapshot; only then the recovery point moves.

use super::{PartitionLog, Writer};
use crate::config::Durability;
use crate::durability::{Completion, FlushState, FlushTarget};
use crate::epochs::LeaderEpochs;
use crate::error::{LogError, LogFailure};
use crate::names;
use crate::producers;
use crate::segment::Segment;
use millstream_core::ids::Offset;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What one flush makes durable.
struct FlushWork {
    end: Offset,
    sealed: Vec<Arc<Segment>>,
    active: Arc<Segment>,
    names_changed: u64,
    names_synced: u64,
    truncations: u64,
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
    fn unsynced(&self, writer: &mut Writer) -> Result<Option<FlushWork>, LogFailure> {
        if let Some(failure) = &writer.failure {
            return Err(failure.clone());
        }
        if writer.durable_offset == writer.log_end_offset && writer.sealed_unsynced.is_empty() {
            // A new name alone can wait for what is promised under it.
            let end = writer.durable_offset;
            self.commit(writer, end);
            return Ok(None);
        }
        Ok(Some(FlushWork {
            end: writer.log_end_offset,
            sealed: writer.sealed_unsynced.clone(),
            active: self.active(),
            names_changed: writer.names_changed,
            names_synced: writer.names_synced,
            truncations: writer.truncations,
        }))
    }

    /// Notes the outcome of a sync.
    fn synced(&self, work: &FlushWork, synced: Result<(), String>) -> Result<Offset, LogFailure> {
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
            segment
                .sync_log()
                .map_err(|e| (segment.path().to_owned(), e))?;
        }
        if work.names_synced < work.names_changed {
            self.shared
                .fs
                .sync_dir(&self.folder)
                .map_err(|e| (self.folder.clone(), e))?;
        }
        self.shared
            .metrics
            .synced(self.shared.clock.monotonic().saturating_sub(started));
        Ok(())
    }

    /// Notes that all below `end` is durable.
    fn commit(&self, writer: &mut Writer, end: Offset) {
        writer.durable_offset = writer.durable_offset.max(end);
        let high_watermark = match self.config().durability {
            Durability::Fsync => writer.durable_offset,
            Durability::PageCache => writer.log_end_offset,
        };
        // The policy may have been changed from page cache to sync: what was
        // promised stays promised.
        let high_watermark = high_watermark.max(self.high_watermark());
        self.publish(writer, high_watermark);
    }

    /// Moves the recovery point to the log end: after it, a crash needs no
    /// scan of what is there now. The manager writes the point to its file.
    pub fn checkpoint(&self) -> Result<Offset, LogError> {
        // Not `flushing`: appends do not wait for the files below.
        let _changing = self.changing.lock();
        let (point, bytes, snapshots, sealed, epochs) = {
            let mut writer = self.writer.lock();
            if let Some(failure) = &writer.failure {
                return Err(failure.clone().into());
            }
            let point = writer.log_end_offset;
            if point == writer.recovery_point && writer.sealed_unindexed.is_empty() {
                return Ok(point);
            }
            let mut snapshots = std::mem::take(&mut writer.snapshots);
            snapshots.retain(|(offset, _)| *offset < point);
            snapshots.push((point, producers::encode(&writer.producers)));
            (
                point,
                writer.bytes_since_checkpoint,
                snapshots,
                std::mem::take(&mut writer.sealed_unindexed),
                writer.epochs.take_dirty(),
            )
        };
        self.flush()?;
        self.checkpoint_files(&snapshots, &sealed, epochs.as_deref())
            .map_err(|(path, source)| {
                let what = format!("cannot write {}: {source}", path.display());
                self.fail(what)
            })?;
        {
            let mut writer = self.writer.lock();
            writer.recovery_point = point;
            writer.bytes_since_checkpoint -= bytes;
        }
        self.remove_old_snapshots(point);
        Ok(point)
    }

    fn checkpoint_files(
        &self,
        snapshots: &[(Offset, Vec<u8>)],
        sealed: &[Arc<Segment>],
        epochs: Option<&str>,
    ) -> Result<(), (PathBuf, io::Error)> {
        for segment in sealed.iter().chain([&self.active()]) {
            segment
                .sync_indexes()
                .map_err(|e| (segment.path().to_owned(), e))?;
        }
        let fs = self.shared.fs.as_ref();
        if let Some(content) = epochs {
            LeaderEpochs::store(fs, &self.folder, content)
                .map_err(|e| (self.folder.join(names::EPOCHS), e))?;
        }
        for (offset, content) in snapshots {
            let path = names::file(&self.folder, offset.0, names::SNAPSHOT);
            fs.replace(&path, content).map_err(|e| (path, e))?;
        }
        Ok(())
    }

    /// Keeps the snapshots at segments' base offsets, which truncation needs,
    /// and the newest two.
    fn remove_old_snapshots(&self, newest: Offset) {
        let Ok(mut snapshots) = list_snapshots(self.shared.fs.as_ref(), &self.folder) else {
            return;
        };
        snapshots.retain(|(offset, _)| *offset < newest.0);
        snapshots.pop();
        let bases: Vec<i64> = self
            .segments
            .read()
            .iter()
            .map(|s| s.base_offset())
            .collect();
        for (offset, path) in snapshots {
            if bases.binary_search(&offset).is_err()
                && let Err(error) = self.shared.fs.remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove an old snapshot");
            }
        }
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

    /// Makes all durable and ends the log: every later append is refused.
    pub fn close(&self) -> Result<(), LogError> {
        self.active()
            .finish_times()
            .map_err(|source| LogError::Io {
                doing: "write",
                path: self.folder.clone(),
                source,
            })?;
        let point = self.checkpoint();
        let mut writer = self.writer.lock();
        if writer.failure.is_none() {
            writer.failure = Some(self.failure_of("the log was closed"));
        }
        let high_watermark = self.high_watermark();
        self.publish(&mut writer, high_watermark);
        point.map(|_| ())
    }

    /// Ends the log because its topic was deleted.
    pub(crate) fn close_deleted(&self) {
        let _changing = self.changing.lock();
        let _turn = self.flushing.lock();
        let mut writer = self.writer.lock();
        if writer.failure.is_none() {
            writer.failure = Some(self.failure_of("the topic was deleted"));
        }
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
    let mut snapshots: Vec<(i64, PathBuf)> = fs
        .list(folder)?
        .into_iter()
        .filter_map(|path| match names::parse(&path)? {
            (offset, names::SNAPSHOT) => Some((offset, path)),
            _ => None,
        })
        .collect();
    snapshots.sort_unstable();
    Ok(snapshots)
}
