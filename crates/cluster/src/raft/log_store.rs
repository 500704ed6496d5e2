//! openraft's log storage on [`LogFile`].

use super::log_file::LogFile;
use super::{Entry, LogId, NodeId, StorageError, TypeConfig, frame};
use millstream_core::env::Fs;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{RaftLogReader, StorageIOError, Vote};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The raft log and the vote.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    fs: Arc<dyn Fs>,
    vote_path: PathBuf,
    /// Held for the length of one write, on threads that may block.
    log: Mutex<Log>,
}

struct Log {
    file: LogFile,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote<NodeId>>,
}

impl LogStore {
    /// Opens what is in `dir`, which exists.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path) -> io::Result<Self> {
        let (file, recovered) = LogFile::open(Arc::clone(&fs), dir.join("log"))?;
        let vote_path = dir.join("vote");
        let vote = if fs.exists(&vote_path) {
            Some(frame::decode_only(&fs.read_to_vec(&vote_path)?, "vote")?)
        } else {
            None
        };
        let entries = recovered
            .entries
            .into_iter()
            .map(|e| (e.log_id.index, e))
            .collect();
        let log = Mutex::new(Log {
            file,
            purged: recovered.purged,
            entries,
            vote,
        });
        Ok(Self {
            shared: Arc::new(Shared { fs, vote_path, log }),
        })
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(stopped) => Err(io::Error::other(stopped)),
        }
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let log = self.shared.log.lock();
        Ok(log
            .entries
            .range(range)
            .map(|(_, entry)| entry.clone())
            .collect())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let log = self.shared.log.lock();
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: log
                .entries
                .last_key_value()
                .map(|(_, e)| e.log_id)
                .or(log.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageError> {
        let vote = *vote;
        self.blocking(move |shared| {
            // The log's lock serialises votes with appends, as raft requires.
            let mut log = shared.log.lock();
            shared
                .fs
                .replace(&shared.vote_path, &frame::encode(&vote)?)?;
            log.vote = Some(vote);
            Ok(())
        })
        .await
        .map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageError> {
        Ok(self.shared.log.lock().vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let written = self
            .blocking(move |shared| {
                let mut log = shared.log.lock();
                log.file.append(&entries)?;
                log.entries
                    .extend(entries.into_iter().map(|e| (e.log_id.index, e)));
                Ok(())
            })
            .await;
        match written {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(error) => {
                let reported = StorageIOError::write_logs(&error).into();
                callback.log_io_completed(Err(error));
                Err(reported)
            }
        }
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.blocking(move |shared| {
            let mut log = shared.log.lock();
            let mut kept = log.entries.clone();
            kept.split_off(&log_id.index);
            let purged = log.purged;
            log.replace(purged, kept)
        })
        .await
        .map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.blocking(move |shared| {
            let mut log = shared.log.lock();
            let kept = log.entries.clone().split_off(&(log_id.index + 1));
            log.replace(Some(log_id), kept)
        })
        .await
        .map_err(|error| StorageIOError::write_logs(&error).into())
    }
}

impl Log {
    fn replace(&mut self, purged: Option<LogId>, kept: BTreeMap<u64, Entry>) -> io::Result<()> {
        let entries: Vec<Entry> = kept.values().cloned().collect();
        self.file.rewrite(purged, &entries)?;
        self.purged = purged;
        self.entries = kept;
        Ok(())
    }
}
