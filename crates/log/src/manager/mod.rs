//! A data folder and all logs in it.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | open, get, shut down |
//! | `creation.rs` | creating and deleting partitions, many in one go |
//! | `folder.rs` | lock, `meta.properties`, clean-shutdown mark, `partition.metadata` |
//! | `upkeep.rs` | checkpoints, retention, expiry of producers, in the background |
//! | `cleaning.rs` | which log the cleaner takes up, and when |
//! | `metrics.rs` | counters |

mod cleaning;
mod creation;
mod folder;
mod metrics;
mod upkeep;

pub use creation::NewPartition;

pub use metrics::{LogCounts, LogMetrics};

use crate::checkpoint::OffsetCheckpoint;
use crate::config::LogConfig;
use crate::durability::Flusher;
use crate::error::{LogError, OpenError};
use crate::files::Files;
use crate::names;
use crate::partition::checkpoint::checkpoint_all;
use crate::partition::recovery::{self, OpenPartition, Stop};
use crate::partition::{PartitionLog, Shared};
use crate::together::{TOGETHER_MIN, Together};
use folder::FolderLock;
use millstream_core::env::{Clock, Fs, RealFs, Space, SystemClock};
use millstream_core::ids::{LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition};
use millstream_core::limits::PARTITIONS_MAX;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Threads that open, create and remove partitions.
const OPEN_THREADS: usize = 4;
/// Logs that are closed in one go at the end, sharing their syncs.
const CLOSE_MAX: usize = 1024;

/// The newest leader epoch in which anybody may have appended to a partition;
/// `None` is not known. Recovery sets a newer one in a batch right.
pub type NewestEpochs = Arc<dyn Fn(TopicId, PartitionId) -> Option<LeaderEpoch> + Send + Sync>;

/// How to open a data folder.
pub struct LogManagerOptions {
    /// The folder; created when it is not there.
    pub data_dir: PathBuf,
    /// Must equal what is in `meta.properties`.
    pub cluster_id: String,
    /// Must equal what is in `meta.properties`.
    pub node_id: i32,
    /// Settings of a partition until [`PartitionLog::update_config`].
    pub default_config: LogConfig,
    /// Threads that sync; 0 leaves it to [`PartitionLog::flush`] (tests).
    pub flush_threads: usize,
    /// Files of segments that are kept open; more are open only while all of
    /// them are in use.
    pub open_files_max: usize,
    /// Tells a killed process from a restarted machine, see
    /// [`crate::partition::recovery`]; `None` is not known.
    pub boot_id: Option<String>,
    /// The newest leader epoch of each partition that the metadata knows.
    pub newest_epochs: NewestEpochs,
    /// Where the files are.
    pub fs: Arc<dyn Fs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Default of [`LogManagerOptions::open_files_max`].
pub const OPEN_FILES_MAX_DEFAULT: usize = 4096;
/// Default of [`LogManagerOptions::flush_threads`], by the measurement in
/// `docs/decisions/0001-group-commit.md`.
pub const FLUSH_THREADS_DEFAULT: usize = 16;

impl LogManagerOptions {
    /// The machine's own disk and clock, defaults for the rest.
    pub fn new(data_dir: impl Into<PathBuf>, cluster_id: impl Into<String>, node_id: i32) -> Self {
        Self {
            data_dir: data_dir.into(),
            cluster_id: cluster_id.into(),
            node_id,
            default_config: LogConfig::default(),
            flush_threads: FLUSH_THREADS_DEFAULT,
            open_files_max: OPEN_FILES_MAX_DEFAULT,
            boot_id: folder::machine_boot_id(),
            newest_epochs: Arc::new(|_, _| None),
            fs: RealFs::shared(),
            clock: SystemClock::shared(),
        }
    }
}

/// A data folder and all logs in it.
pub struct LogManager {
    data_dir: PathBuf,
    default_config: LogConfig,
    shared: Arc<Shared>,
    logs: RwLock<BTreeMap<TopicPartition, Arc<PartitionLog>>>,
    offline: RwLock<BTreeMap<TopicPartition, Arc<OpenError>>>,
    /// One at a time: creation, deletion, writing of checkpoints.
    changing: Mutex<()>,
    upkeep: upkeep::Upkeep,
    cleaning: cleaning::Cleaning,
    /// Threads that remove the folders of deleted partitions.
    removing: Mutex<Vec<JoinHandle<()>>>,
    /// Tells them to end.
    ending: Arc<AtomicBool>,
    _lock: FolderLock,
}

impl LogManager {
    /// Opens the folder and every partition in it. A partition that cannot be
    /// opened is left as it is and listed in [`LogManager::offline`].
    pub fn open(options: LogManagerOptions) -> Result<Arc<Self>, OpenError> {
        let LogManagerOptions { data_dir, fs, .. } = &options;
        folder::create_durably(fs.as_ref(), data_dir)?;
        let lock = FolderLock::take(fs.as_ref(), data_dir)?;
        folder::check_meta(fs.as_ref(), data_dir, &options.cluster_id, options.node_id)?;
        let stop = folder::take_stop_mark(fs.as_ref(), data_dir, options.boot_id.as_deref())?;
        let checkpoint = |name| OffsetCheckpoint::open(Arc::clone(fs), data_dir.join(name));
        let shared = Arc::new(Shared {
            log_starts: checkpoint(names::LOG_STARTS)?,
            recovery_points: checkpoint(names::RECOVERY_POINTS)?,
            cleaned_to: checkpoint(names::CLEANED_TO)?,
            flusher: Flusher::start(options.flush_threads, lock.file_system())
                .map_err(folder::io("start threads for", data_dir))?,
            metrics: LogMetrics::default(),
            files: Files::new(Arc::clone(fs), options.open_files_max),
            together: Together::new(Arc::clone(fs), FolderLock::reopen(fs.as_ref(), data_dir)?),
            touched: Mutex::default(),
            fs: options.fs,
            clock: options.clock,
        });
        let manager = Self {
            data_dir: options.data_dir,
            default_config: options.default_config,
            shared,
            logs: RwLock::default(),
            offline: RwLock::default(),
            changing: Mutex::new(()),
            upkeep: upkeep::Upkeep::default(),
            cleaning: cleaning::Cleaning::default(),
            removing: Mutex::default(),
            ending: Arc::default(),
            _lock: lock,
        };
        manager.open_partitions(stop, &options.newest_epochs)?;
        let (fs, data_dir) = (manager.shared.fs.as_ref(), manager.data_dir());
        if !manager.left_unrecovered() {
            folder::note_boot(fs, data_dir, options.boot_id.as_deref())?;
        }
        Ok(Arc::new(manager))
    }

    /// Whether an I/O error kept a partition from its recovery: the next start
    /// must still know of the power loss that it is to recover from.
    fn left_unrecovered(&self) -> bool {
        let offline = self.offline.read();
        offline
            .values()
            .any(|why| matches!(**why, OpenError::Io { .. }))
    }

    fn open_partitions(&self, stop: Stop, epochs: &NewestEpochs) -> Result<(), OpenError> {
        let fs = self.shared.fs.as_ref();
        let mut folders = Vec::new();
        let mut doomed = Vec::new();
        for path in fs
            .list(&self.data_dir)
            .map_err(folder::io("list", &self.data_dir))?
        {
            if path.to_string_lossy().ends_with(names::DELETE_FOLDER) {
                doomed.push(path);
            } else if let Some(topic_partition) = names::partition_of(&path) {
                folders.push((topic_partition, path));
            }
        }
        if folders.len() > PARTITIONS_MAX {
            return Err(OpenError::TooManyPartitions(folders.len()));
        }
        if doomed.len() >= TOGETHER_MIN {
            self.remove_in_background(doomed);
        } else {
            for path in doomed {
                fs.remove_dir_all(&path)
                    .map_err(folder::io("remove", &path))?;
            }
        }
        if stop != Stop::Clean {
            // A creation that was killed before its own sync left folders whose
            // names may be in the page cache only, and from here on records are
            // promised in them.
            fs.sync_dir(&self.data_dir)
                .map_err(folder::io("sync", &self.data_dir))?;
        }
        spread(folders, |(topic_partition, path)| {
            self.open_folder(topic_partition, path, stop, epochs);
        });
        Ok(())
    }

    fn open_folder(
        &self,
        topic_partition: TopicPartition,
        path: PathBuf,
        stop: Stop,
        epochs: &NewestEpochs,
    ) {
        let fs = self.shared.fs.as_ref();
        let opened = folder::read_topic_id(fs, &path).and_then(|topic_id| match topic_id {
            Some(topic_id) => recovery::open(
                Arc::clone(&self.shared),
                OpenPartition {
                    topic_partition: topic_partition.clone(),
                    topic_id,
                    folder: path,
                    config: self.default_config.clone(),
                    stop,
                    newest_epoch: epochs(topic_id, topic_partition.partition),
                },
            )
            .map(Some),
            // A creation that a crash interrupted; whoever asked for it was
            // not told that it happened.
            None => fs
                .remove_dir_all(&path)
                .map(|()| None)
                .map_err(folder::io("remove", &path)),
        });
        match opened {
            Ok(Some(log)) => drop(self.logs.write().insert(topic_partition, log)),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(partition = %topic_partition, %error, "partition is offline");
                self.offline
                    .write()
                    .insert(topic_partition, Arc::new(error));
            }
        }
    }

    /// A partition's log.
    pub fn get(&self, topic_partition: &TopicPartition) -> Option<Arc<PartitionLog>> {
        self.logs.read().get(topic_partition).cloned()
    }

    /// All logs, by topic and partition.
    pub fn all(&self) -> Vec<Arc<PartitionLog>> {
        self.logs.read().values().cloned().collect()
    }

    /// The partitions that could not be opened, and why.
    pub fn offline(&self) -> Vec<(TopicPartition, Arc<OpenError>)> {
        self.offline
            .read()
            .iter()
            .map(|(tp, e)| (tp.clone(), Arc::clone(e)))
            .collect()
    }

    /// What was appended and synced so far.
    pub fn metrics(&self) -> LogCounts {
        self.shared.metrics.counts()
    }

    /// Room in the file system of the folder; `None` where nobody knows.
    pub fn space(&self) -> Option<Space> {
        self.shared.fs.space(&self.data_dir).ok()
    }

    /// The folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Begins retention, checkpoints, compaction and expiry in the background. Call it
    /// once every partition has its settings.
    pub fn start(self: &Arc<Self>) -> Result<(), OpenError> {
        upkeep::start(self)
            .and_then(|()| cleaning::start(self))
            .map_err(folder::io("start threads for", &self.data_dir))
    }

    /// Closes all logs. Returns the recovery points, and an error if there was
    /// one.
    fn close_all(&self) -> (Vec<(TopicPartition, Offset)>, Option<LogError>) {
        let mut points = Vec::new();
        let mut failed = None;
        for logs in self.all().chunks(CLOSE_MAX) {
            let mut ready = Vec::with_capacity(logs.len());
            for log in logs {
                match log.finish_times() {
                    Ok(()) => ready.push(Arc::clone(log)),
                    Err(error) => failed = Some(error),
                }
            }
            for (log, outcome) in ready.iter().zip(checkpoint_all(&ready)) {
                match outcome {
                    Ok(point) => points.push((log.topic_partition().clone(), point)),
                    Err(error) => failed = Some(error),
                }
            }
            for log in logs {
                log.end();
                log.close_files();
            }
        }
        (points, failed)
    }

    /// Makes all durable, closes all logs and marks the folder as cleanly
    /// shut down. Logs that have stopped are recovered at the next open.
    pub fn shutdown(&self) -> Result<(), LogError> {
        self.upkeep.stop();
        self.cleaning.stop();
        self.shared.flusher.stop();
        self.ending.store(true, Ordering::Release);
        for thread in std::mem::take(&mut *self.removing.lock()) {
            // A panic in it was reported by the panic hook already.
            let _ = thread.join();
        }
        let _turn = self.changing.lock();
        let (points, failed) = self.close_all();
        let io = |doing| {
            let path = self.data_dir.clone();
            move |source| LogError::Io {
                doing,
                path,
                source,
            }
        };
        self.shared
            .recovery_points
            .store(points)
            .map_err(io("write checkpoints to"))?;
        if let Some(error) = failed {
            return Err(error);
        }
        if self.left_unrecovered() {
            // Theirs was no clean stop.
            return Ok(());
        }
        folder::put_clean_mark(self.shared.fs.as_ref(), &self.data_dir)
            .map_err(io("mark the clean shutdown of"))
    }
}

/// Works through `items` on a few threads.
fn spread<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync) {
    let threads = OPEN_THREADS.min(items.len());
    let items = Mutex::new(items.into_iter());
    let run = || {
        loop {
            // Not in the loop's head, which would hold the lock meanwhile.
            let next = items.lock().next();
            match next {
                Some(item) => work(item),
                None => return,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}

#[cfg(test)]
mod tests;
