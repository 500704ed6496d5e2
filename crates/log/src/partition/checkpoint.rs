//! Moving the recovery point, of one log or of many that share their syncs.
//!
//! Order, which the crash tests hold us to: the batches (see `flush.rs`), the
//! indexes, leader epochs and producer snapshots, written aside; then those
//! take their places and the folder is synced; only then the recovery point
//! moves.

use super::PartitionLog;
use super::flush::{FlushWork, list_snapshots};
use crate::error::{LogError, LogFailure};
use crate::names;
use crate::producers;
use crate::segment::Segment;
use crate::together::{Aside, Together, Unsynced};
use millstream_core::ids::Offset;
use parking_lot::MutexGuard;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The recovery point of a log after its checkpoint.
type Outcome = Result<Offset, LogError>;

/// Moves the recovery points of these logs to their ends: after it, a crash
/// needs no scan of what is there now. The manager writes the points to their
/// file. The outcomes are in the order of the logs, none twice.
pub(crate) fn checkpoint_all(logs: &[Arc<PartitionLog>]) -> Vec<Outcome> {
    let Some(first) = logs.first() else {
        return Vec::new();
    };
    let shared = Arc::clone(&first.shared);
    let mut group = Group::begin(logs, &shared.together);
    if !group.at_once {
        group.step(|c| c.log.flush().map(drop));
    } else {
        group.step(Checkpoint::prepare);
    }
    group.step(Checkpoint::write);
    if group.at_once {
        let all = group.running.iter_mut().flat_map(|(_, c)| &mut c.aside);
        all.for_each(Aside::close);
    }
    group.sync(Checkpoint::contents);
    group.step(Checkpoint::put);
    group.sync(|c| vec![Unsynced::Folder(c.log.folder.to_path_buf())]);
    group.finish()
}

impl PartitionLog {
    /// [`checkpoint_all`] of this log alone.
    pub fn checkpoint(&self) -> Result<Offset, LogError> {
        let me = self.me.upgrade().ok_or_else(|| self.failure_of("closed"))?;
        checkpoint_all(&[me])
            .pop()
            .unwrap_or_else(|| Err(self.failure_of("has no checkpoint").into()))
    }
}

/// Checkpoints under way, each with the place of its outcome.
struct Group<'a> {
    together: &'a Together,
    at_once: bool,
    running: Vec<(usize, Checkpoint<'a>)>,
    outcomes: Vec<Option<Outcome>>,
}

impl<'a> Group<'a> {
    fn begin(logs: &'a [Arc<PartitionLog>], together: &'a Together) -> Self {
        let mut running = Vec::new();
        let mut outcomes = Vec::with_capacity(logs.len());
        for (i, log) in logs.iter().enumerate() {
            let outcome = match Checkpoint::begin(log) {
                Ok(Some(checkpoint)) => {
                    running.push((i, checkpoint));
                    None
                }
                Ok(None) => Some(Ok(log.recovery_point())),
                Err(failure) => Some(Err(failure.into())),
            };
            outcomes.push(outcome);
        }
        Self {
            together,
            at_once: together.at_once(running.len()),
            running,
            outcomes,
        }
    }

    /// Takes all one step on; those that fail drop out.
    fn step(&mut self, run: impl Fn(&mut Checkpoint<'a>) -> Result<(), LogFailure>) {
        for (i, mut checkpoint) in std::mem::take(&mut self.running) {
            match run(&mut checkpoint) {
                Ok(()) => self.running.push((i, checkpoint)),
                Err(failure) => self.outcomes[i] = Some(Err(failure.into())),
            }
        }
    }

    fn sync(&mut self, of: impl Fn(&mut Checkpoint<'a>) -> Vec<Unsynced>) {
        if self.at_once {
            let all: Vec<Unsynced> = self.running.iter_mut().flat_map(|(_, c)| of(c)).collect();
            match self.together.sync_at_once(&all) {
                Ok(true) => return,
                Ok(false) => {
                    self.at_once = false;
                    let together = self.together;
                    // All at once was refused, so nothing is durable yet.
                    self.step(|c| c.log.flush().map(drop));
                    return match together.sync_each(&all) {
                        Ok(()) => {}
                        Err((path, error)) => self.step(|c| Err(c.sync_failed(&path, &error))),
                    };
                }
                Err(error) => {
                    return self.step(|c| {
                        let path = c.log.folder.to_path_buf();
                        Err(c.sync_failed(&path, &error))
                    });
                }
            }
        }
        let together = self.together;
        self.step(|c| {
            together
                .sync_each(&of(c))
                .map_err(|(path, error)| c.sync_failed(&path, &error))
        });
    }

    fn finish(mut self) -> Vec<Outcome> {
        for (i, checkpoint) in std::mem::take(&mut self.running) {
            self.outcomes[i] = Some(checkpoint.finish().map_err(LogError::from));
        }
        self.outcomes.into_iter().flatten().collect()
    }
}

/// One log's checkpoint. Holds off whatever else changes its files other than
/// the batches'; appends go on.
struct Checkpoint<'a> {
    log: &'a PartitionLog,
    _changing: MutexGuard<'a, ()>,
    point: Offset,
    bytes: u64,
    /// With indexes that are not durable.
    segments: Vec<Arc<Segment>>,
    snapshots: Vec<(Offset, Vec<u8>)>,
    epochs: Option<String>,
    /// The batches, where the group syncs them.
    flush: Option<FlushWork>,
    unsynced: Vec<Unsynced>,
    aside: Vec<Aside>,
}

impl<'a> Checkpoint<'a> {
    /// `None` when the recovery point is where it should be.
    fn begin(log: &'a PartitionLog) -> Result<Option<Self>, LogFailure> {
        let changing = log.changing.lock();
        let mut writer = log.writer.lock();
        if let Some(failure) = &writer.failure {
            return Err(failure.clone());
        }
        let point = writer.log_end_offset;
        if point == writer.recovery_point && writer.sealed_unindexed.is_empty() {
            return Ok(None);
        }
        let mut snapshots = std::mem::take(&mut writer.snapshots);
        snapshots.retain(|(offset, _)| *offset < point);
        snapshots.push((point, producers::encode(&writer.producers)));
        let mut segments = std::mem::take(&mut writer.sealed_unindexed);
        let active = log.active();
        if !segments.iter().any(|s| Arc::ptr_eq(s, &active)) {
            segments.push(active);
        }
        Ok(Some(Self {
            log,
            _changing: changing,
            point,
            bytes: writer.bytes_since_checkpoint,
            segments,
            snapshots,
            epochs: writer.epochs.take_dirty(),
            flush: None,
            unsynced: Vec::new(),
            aside: Vec::new(),
        }))
    }

    fn prepare(&mut self) -> Result<(), LogFailure> {
        self.flush = self.log.unsynced(&mut self.log.writer.lock())?;
        Ok(())
    }

    fn write(&mut self) -> Result<(), LogFailure> {
        self.write_files().map_err(|(path, source)| {
            self.log
                .fail(format!("cannot write {}: {source}", path.display()))
        })
    }

    fn write_files(&mut self) -> Result<(), (PathBuf, io::Error)> {
        for segment in &self.segments {
            // Up to the end, also of one that a recovery has indexed and of
            // the active one: when the next append closes it, what that adds
            // is not synced, and below the recovery point nothing is mended.
            let files = segment
                .finish_times()
                .and_then(|()| segment.write_indexes())
                .map_err(|e| (segment.path(), e))?;
            self.unsynced
                .extend(files.into_iter().map(Unsynced::Segment));
        }
        let epochs = self
            .epochs
            .take()
            .map(|content| (self.log.folder.join(names::EPOCHS), content.into_bytes()));
        let snapshots = std::mem::take(&mut self.snapshots)
            .into_iter()
            .map(|(offset, content)| {
                let path = names::file(&self.log.folder, offset.0, names::SNAPSHOT);
                (path, content)
            });
        for (path, content) in epochs.into_iter().chain(snapshots) {
            let written = Aside::write(self.log.shared.fs.as_ref(), path.clone(), &content);
            self.aside.push(written.map_err(|e| (path, e))?);
        }
        Ok(())
    }

    fn contents(&mut self) -> Vec<Unsynced> {
        let batches = self.flush.iter().flat_map(FlushWork::files);
        let mut contents: Vec<Unsynced> = batches.map(Unsynced::Segment).collect();
        contents.append(&mut self.unsynced);
        contents.extend(self.aside.iter().map(Aside::unsynced));
        contents
    }

    fn put(&mut self) -> Result<(), LogFailure> {
        for aside in std::mem::take(&mut self.aside) {
            aside.put(self.log.shared.fs.as_ref()).map_err(|error| {
                let folder = self.log.folder.display();
                self.log.fail(format!("cannot write in {folder}: {error}"))
            })?;
        }
        Ok(())
    }

    fn sync_failed(&self, path: &std::path::Path, error: &io::Error) -> LogFailure {
        self.log
            .fail(format!("cannot sync {}: {error}", path.display()))
    }

    fn finish(self) -> Result<Offset, LogFailure> {
        if let Some(work) = &self.flush {
            self.log.synced(work, Ok(()))?;
        }
        self.segments.iter().for_each(|s| s.indexes_synced());
        {
            let mut writer = self.log.writer.lock();
            if let Some(failure) = &writer.failure {
                return Err(failure.clone());
            }
            writer.recovery_point = self.point;
            writer.bytes_since_checkpoint =
                writer.bytes_since_checkpoint.saturating_sub(self.bytes);
            writer.touched_at = self.log.shared.clock.monotonic();
        }
        self.log.remove_old_snapshots(self.point);
        Ok(self.point)
    }
}

impl PartitionLog {
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

    /// Ends the time index, so that the next open finds the largest timestamp
    /// without a scan.
    pub(crate) fn finish_times(&self) -> Result<(), LogError> {
        self.active().finish_times().map_err(|source| LogError::Io {
            doing: "write",
            path: self.folder.to_path_buf(),
            source,
        })
    }

    /// Makes all durable and ends the log: every later append is refused.
    pub fn close(&self) -> Result<(), LogError> {
        self.finish_times()?;
        let point = self.checkpoint();
        self.end();
        point.map(|_| ())
    }

    /// Ends the log after its last checkpoint.
    pub(crate) fn end(&self) {
        let mut writer = self.writer.lock();
        if writer.failure.is_none() {
            writer.failure = Some(self.failure_of("the log was closed"));
            writer.ended = true;
        }
        let high_watermark = self.high_watermark();
        self.publish(&mut writer, high_watermark);
    }
}
