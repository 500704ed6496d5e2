//! Creating and deleting partitions, many in one go: what has to be durable is
//! made so for all of them together.
//!
//! Order of a creation, which the crash tests hold us to: nothing of an older
//! partition of the name is in the checkpoint files; `partition.metadata` is
//! durable before it has its name; its name and those above it are durable
//! before anyone is told. A folder without it is one that was never finished.

use super::{LogManager, folder, spread};
use crate::checkpoint::OffsetCheckpoint;
use crate::config::LogConfig;
use crate::error::{LogError, OpenError};
use crate::names;
use crate::partition::PartitionLog;
use crate::partition::recovery::{self, OpenPartition, Stop};
use crate::together::{Aside, TOGETHER_MIN, Unsynced};
use millstream_core::ids::{TopicId, TopicPartition};
use millstream_core::limits::PARTITIONS_MAX;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A partition to create, or to give new settings.
#[derive(Debug, Clone)]
pub struct NewPartition {
    /// Topic and partition number.
    pub topic_partition: TopicPartition,
    /// The topic's identity.
    pub topic_id: TopicId,
    /// Settings.
    pub config: LogConfig,
}

type Created = Result<Arc<PartitionLog>, OpenError>;

/// A partition that is being created.
struct Creation {
    /// Of its outcome.
    place: usize,
    wanted: NewPartition,
    folder: PathBuf,
    /// The folder of another topic that had the name.
    set_aside: Option<PathBuf>,
    metadata: Option<Aside>,
    log: Option<Arc<PartitionLog>>,
    error: Option<OpenError>,
}

impl LogManager {
    /// The partition's log with these settings; creates it, durably, when it
    /// is not there.
    pub fn create(
        &self,
        topic_partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Created {
        let wanted = NewPartition {
            topic_partition: topic_partition.clone(),
            topic_id,
            config,
        };
        self.create_all(vec![wanted])
            .pop()
            .unwrap_or_else(|| Err(self.not_done(topic_partition)))
    }

    /// [`LogManager::create`] of many partitions, which share their syncs.
    /// The outcomes are in order; no partition may be named twice.
    pub fn create_all(&self, wanted: Vec<NewPartition>) -> Vec<Created> {
        let _turn = self.changing.lock();
        let names: Vec<TopicPartition> = wanted.iter().map(|w| w.topic_partition.clone()).collect();
        let mut outcomes: Vec<Option<Created>> = wanted.iter().map(|_| None).collect();
        let mut creations = Vec::new();
        let count = self.logs.read().len();
        for (place, wanted) in wanted.into_iter().enumerate() {
            match self.existing(&wanted) {
                Some(existing) => outcomes[place] = Some(existing),
                None if count + creations.len() >= PARTITIONS_MAX => {
                    let count = count + creations.len() + 1;
                    outcomes[place] = Some(Err(OpenError::TooManyPartitions(count)));
                }
                None => creations.push(Creation {
                    place,
                    folder: self.data_dir.join(wanted.topic_partition.to_string()),
                    wanted,
                    set_aside: None,
                    metadata: None,
                    log: None,
                    error: None,
                }),
            }
        }
        for done in self.create_new(creations) {
            let created = match (done.error, done.log) {
                (Some(error), _) => Err(error),
                (None, Some(log)) => Ok(log),
                (None, None) => continue,
            };
            if let Ok(log) = &created {
                let name = log.topic_partition().clone();
                self.logs.write().insert(name, Arc::clone(log));
            }
            outcomes[done.place] = Some(created);
        }
        let outcomes = outcomes.into_iter().zip(&names);
        outcomes
            .map(|(outcome, name)| outcome.unwrap_or_else(|| Err(self.not_done(name))))
            .collect()
    }

    /// What is known of a partition already.
    fn existing(&self, wanted: &NewPartition) -> Option<Created> {
        if let Some(log) = self.get(&wanted.topic_partition) {
            if log.topic_id() != wanted.topic_id {
                return Some(Err(OpenError::TopicIdMismatch {
                    path: log.folder().to_owned(),
                    found: log.topic_id(),
                    expected: wanted.topic_id,
                }));
            }
            log.update_config(wanted.config.clone());
            return Some(Ok(log));
        }
        let offline = self.offline.read();
        let reason = offline.get(&wanted.topic_partition)?;
        Some(Err(OpenError::Offline {
            topic_partition: wanted.topic_partition.clone(),
            reason: Arc::clone(reason),
        }))
    }

    fn not_done(&self, topic_partition: &TopicPartition) -> OpenError {
        OpenError::Io {
            doing: "create",
            path: self.data_dir.join(topic_partition.to_string()),
            source: io::Error::other("the creation ended badly"),
        }
    }

    /// Takes each step for all of them; one that fails is left out of the
    /// next.
    fn create_new(&self, mut creations: Vec<Creation>) -> Vec<Creation> {
        if creations.is_empty() {
            return creations;
        }
        let fs = self.shared.fs.as_ref();
        let new = || creations.iter().map(|c| &c.wanted.topic_partition);
        // What a partition of this name left behind, if it was deleted: the
        // new one must not begin with its offsets.
        let forget = |checkpoint: &OffsetCheckpoint| checkpoint.remove(new());
        let forgotten = forget(&self.shared.recovery_points)
            .and_then(|()| forget(&self.shared.log_starts))
            .and_then(|()| forget(&self.shared.cleaned_to));
        if let Err(error) = forgotten {
            return failed(creations, &self.data_dir, "update", &error);
        }
        each(&mut creations, |c| self.make_room(c));
        if let Err(error) = self.remove_set_aside(&mut creations) {
            return failed(creations, &self.data_dir, "sync", &error);
        }
        let at_once = self.shared.together.at_once(creations.len());
        each(&mut creations, |c| {
            fs.create_dir_all(&c.folder)
                .map_err(folder::io("create", &c.folder))?;
            let mut metadata = folder::write_topic_id(fs, &c.folder, c.wanted.topic_id)?;
            if at_once {
                metadata.close();
            }
            c.metadata = Some(metadata);
            Ok(())
        });
        let written: Vec<Unsynced> = creations
            .iter()
            .filter_map(|c| c.metadata.as_ref().map(Aside::unsynced))
            .collect();
        if let Err((path, error)) = self.shared.together.sync(&written) {
            return failed(creations, &path, "sync", &error);
        }
        each(&mut creations, |c| {
            if let Some(metadata) = c.metadata.take() {
                metadata
                    .put(fs)
                    .map_err(folder::io("write in", &c.folder))?;
            }
            c.log = Some(recovery::open(
                Arc::clone(&self.shared),
                OpenPartition {
                    topic_partition: c.wanted.topic_partition.clone(),
                    topic_id: c.wanted.topic_id,
                    folder: c.folder.clone(),
                    config: c.wanted.config.clone(),
                    stop: Stop::Killed,
                    newest_epoch: None,
                },
            )?);
            Ok(())
        });
        let mut names: Vec<Unsynced> = creations
            .iter()
            .filter(|c| c.error.is_none())
            .map(|c| Unsynced::Folder(c.folder.clone()))
            .collect();
        names.push(Unsynced::Folder(self.data_dir.clone()));
        if let Err((path, error)) = self.shared.together.sync(&names) {
            return failed(creations, &path, "sync", &error);
        }
        creations
    }

    /// Deletes a partition, open or offline, with all its records. Appends
    /// and waits on its log end with a failure.
    pub fn delete(&self, topic_partition: &TopicPartition) -> Result<(), LogError> {
        let mut outcomes = self.delete_all(vec![topic_partition.clone()]);
        outcomes
            .pop()
            .unwrap_or_else(|| Err(LogError::Unknown(topic_partition.clone())))
    }

    /// [`LogManager::delete`] of many partitions, which share their syncs.
    /// The outcomes are in order.
    pub fn delete_all(&self, partitions: Vec<TopicPartition>) -> Vec<Result<(), LogError>> {
        let fs = self.shared.fs.as_ref();
        let io = |doing, path: PathBuf| {
            move |source| LogError::Io {
                doing,
                path,
                source,
            }
        };
        let mut outcomes = Vec::with_capacity(partitions.len());
        let mut doomed = Vec::new();
        {
            let _turn = self.changing.lock();
            for topic_partition in partitions {
                outcomes.push(self.take_out(&topic_partition).map(|path| {
                    doomed.push((outcomes.len(), path));
                }));
            }
            if !doomed.is_empty()
                && let Err(error) = fs.sync_dir(&self.data_dir)
            {
                let kind = error.kind();
                for (place, path) in doomed.drain(..) {
                    let source = io::Error::new(kind, error.to_string());
                    outcomes[place] = Err(io("sync the folder of", path)(source));
                }
            }
        }
        // Nobody finds them any more; their names cannot come back.
        if doomed.len() >= TOGETHER_MIN {
            self.remove_in_background(doomed.into_iter().map(|(_, path)| path).collect());
            return outcomes;
        }
        for (place, path) in doomed {
            if let Err(error) = fs.remove_dir_all(&path) {
                outcomes[place] = Err(io("remove", path)(error));
            }
        }
        outcomes
    }

    /// Removes folders of deleted partitions, so many that nobody should wait
    /// for it. What a stop leaves of them goes at the next start.
    pub(super) fn remove_in_background(&self, folders: Vec<PathBuf>) {
        let (fs, ending) = (Arc::clone(&self.shared.fs), Arc::clone(&self.ending));
        let builder = std::thread::Builder::new().name("log-remove".to_owned());
        let removing = builder.spawn(move || {
            for folder in folders {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                if let Err(error) = fs.remove_dir_all(&folder) {
                    tracing::warn!(folder = %folder.display(), %error, "deleted records stay until the next start");
                }
            }
        });
        let mut threads = self.removing.lock();
        threads.retain(|thread| !thread.is_finished());
        match removing {
            Ok(thread) => threads.push(thread),
            Err(error) => tracing::warn!(%error, "deleted records stay until the next start"),
        }
    }

    /// Closes a partition and takes its name away. Returns the folder to
    /// remove.
    fn take_out(&self, topic_partition: &TopicPartition) -> Result<PathBuf, LogError> {
        let log = self.logs.write().remove(topic_partition);
        let offline = self.offline.write().remove(topic_partition);
        if log.is_none() && offline.is_none() {
            return Err(LogError::Unknown(topic_partition.clone()));
        }
        if let Some(log) = &log {
            log.close_deleted();
        }
        self.shared.recovery_points.forget(topic_partition);
        self.shared.log_starts.forget(topic_partition);
        self.shared.cleaned_to.forget(topic_partition);
        self.cleaning.forget(topic_partition);
        let path = self.data_dir.join(topic_partition.to_string());
        let doomed = self.doomed_folder(topic_partition);
        self.shared
            .fs
            .rename(&path, &doomed)
            .map_err(|source| LogError::Io {
                doing: "rename",
                path,
                source,
            })?;
        Ok(doomed)
    }

    fn doomed_folder(&self, topic_partition: &TopicPartition) -> PathBuf {
        let name = names::doomed_folder(topic_partition, uuid::Uuid::new_v4());
        self.data_dir.join(name)
    }

    /// Takes the name away from a folder of another topic, which a deletion
    /// that failed has left: its records must not become this one's. A folder
    /// of the same topic is a creation that was cut off, which goes on.
    fn make_room(&self, creation: &mut Creation) -> Result<(), OpenError> {
        let (fs, path) = (self.shared.fs.as_ref(), &creation.folder);
        if !fs.exists(path) {
            return Ok(());
        }
        match folder::read_topic_id(fs, path)? {
            Some(found) if found != creation.wanted.topic_id => {
                let doomed = self.doomed_folder(&creation.wanted.topic_partition);
                tracing::warn!(folder = %path.display(), "removing what is left of a deleted topic of this name");
                fs.rename(path, &doomed)
                    .map_err(folder::io("rename", path))?;
                creation.set_aside = Some(doomed);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Removes what [`LogManager::make_room`] has set aside, once it cannot
    /// come back under its name.
    fn remove_set_aside(&self, creations: &mut [Creation]) -> io::Result<()> {
        let doomed: Vec<PathBuf> = creations
            .iter_mut()
            .filter_map(|c| c.set_aside.take())
            .collect();
        if doomed.is_empty() {
            return Ok(());
        }
        self.shared.fs.sync_dir(&self.data_dir)?;
        self.remove_in_background(doomed);
        Ok(())
    }
}

/// Runs a step of those that have not failed.
fn each(creations: &mut [Creation], step: impl Fn(&mut Creation) -> Result<(), OpenError> + Sync) {
    let running: Vec<&mut Creation> = creations.iter_mut().filter(|c| c.error.is_none()).collect();
    spread(running, |creation| {
        if let Err(error) = step(creation) {
            creation.error = Some(error);
        }
    });
}

/// All of them have failed by this.
fn failed(
    mut creations: Vec<Creation>,
    path: &std::path::Path,
    doing: &'static str,
    error: &io::Error,
) -> Vec<Creation> {
    for creation in &mut creations {
        creation.error.get_or_insert_with(|| OpenError::Io {
            doing,
            path: path.to_owned(),
            source: io::Error::new(error.kind(), error.to_string()),
        });
    }
    creations
}
