//! openraft's state machine: applies commands to the image and keeps the
//! snapshot file.
//!
//! The image lives in memory and is rebuilt at start from the snapshot and
//! the log behind it; applying does no I/O.

use super::{Entry, LogId, NodeId, StorageError, TypeConfig, frame};
use crate::command::{Refusal, Reply};
use crate::image::MetadataImage;
use crate::machine;
use millstream_core::env::Fs;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    AnyError, BasicNode, EntryPayload, RaftSnapshotBuilder, SnapshotMeta, StorageIOError,
    StoredMembership,
};
use serde::{Deserialize, Serialize};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Applies committed entries and publishes the image.
#[derive(Clone)]
pub(crate) struct StateMachine {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    applied: Option<LogId>,
    membership: StoredMembership<NodeId, BasicNode>,
    image: watch::Sender<Arc<MetadataImage>>,
}

/// What the snapshot file holds.
#[derive(Serialize, Deserialize)]
struct SnapshotFile {
    meta: SnapshotMeta<NodeId, BasicNode>,
    image: Arc<MetadataImage>,
}

impl StateMachine {
    /// Starts from the snapshot in `dir`, or empty.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path) -> io::Result<Self> {
        let machine = Self {
            fs,
            path: dir.join("snapshot"),
            applied: None,
            membership: StoredMembership::default(),
            image: watch::Sender::default(),
        };
        Ok(match machine.read_snapshot()? {
            Some(snapshot) => machine.restored(snapshot),
            None => machine,
        })
    }

    /// Follows the image.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.image.subscribe()
    }

    fn restored(mut self, snapshot: SnapshotFile) -> Self {
        self.restore(snapshot);
        self
    }

    fn restore(&mut self, snapshot: SnapshotFile) {
        let mut image = Arc::unwrap_or_clone(snapshot.image);
        image.index();
        self.applied = snapshot.meta.last_log_id;
        self.membership = snapshot.meta.last_membership;
        self.image.send_replace(Arc::new(image));
    }

    fn read_snapshot(&self) -> io::Result<Option<SnapshotFile>> {
        if !self.fs.exists(&self.path) {
            return Ok(None);
        }
        Ok(Some(frame::decode_only(
            &self.fs.read_to_vec(&self.path)?,
            "snapshot",
        )?))
    }

    fn meta(&self) -> SnapshotMeta<NodeId, BasicNode> {
        let snapshot_id = self
            .applied
            .map_or_else(|| "empty".into(), |id| id.to_string());
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id,
        }
    }

    fn write_snapshot(&self, snapshot: &SnapshotFile) -> io::Result<()> {
        self.fs.replace(&self.path, &frame::encode(snapshot)?)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        // `self` is a clone taken by get_snapshot_builder at one applied
        // index; its image must be of that index, hence the field and not
        // the shared, moving channel.
        let machine = self.clone();
        let built = tokio::task::spawn_blocking(move || {
            let snapshot = SnapshotFile {
                meta: machine.meta(),
                image: machine.image.borrow().clone(),
            };
            machine.write_snapshot(&snapshot)?;
            Ok(Snapshot {
                snapshot: Box::new(Cursor::new(serde_json::to_vec(&snapshot.image)?)),
                meta: snapshot.meta,
            })
        })
        .await;
        match built {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(error)) => Err(write_failed(&error)),
            Err(stopped) => Err(write_failed(&io::Error::other(stopped))),
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId>, StoredMembership<NodeId, BasicNode>), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Result<Reply, Refusal>>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut image = MetadataImage::clone(&self.image.borrow());
        let mut replies = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            image.version = entry.log_id.index;
            replies.push(match entry.payload {
                EntryPayload::Blank => Ok(Reply::Done),
                EntryPayload::Normal(command) => machine::apply(&mut image, command),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Ok(Reply::Done)
                }
            });
        }
        self.image.send_replace(Arc::new(image));
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        // A channel of its own freezes the image at this applied index.
        Self {
            image: watch::Sender::new(self.image.borrow().clone()),
            ..self.clone()
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, BasicNode>,
        data: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let image: Arc<MetadataImage> = serde_json::from_slice(data.get_ref())
            .map_err(|error| read_failed(&io::Error::from(error)))?;
        let snapshot = SnapshotFile {
            meta: meta.clone(),
            image,
        };
        self.write_snapshot(&snapshot)
            .map_err(|error| write_failed(&error))?;
        self.restore(snapshot);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let read = || -> io::Result<_> {
            let Some(snapshot) = self.read_snapshot()? else {
                return Ok(None);
            };
            Ok(Some(Snapshot {
                snapshot: Box::new(Cursor::new(serde_json::to_vec(&snapshot.image)?)),
                meta: snapshot.meta,
            }))
        };
        read().map_err(|error| read_failed(&error))
    }
}

fn write_failed(error: &io::Error) -> StorageError {
    StorageIOError::write_snapshot(None, AnyError::new(error)).into()
}

fn read_failed(error: &io::Error) -> StorageError {
    StorageIOError::read_snapshot(None, AnyError::new(error)).into()
}
