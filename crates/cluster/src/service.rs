//! The metadata service: Options, handle and errors.

use crate::command::{COMMANDS_MAX, Command, Refusal, Reply};
use crate::image::MetadataImage;
use crate::raft::{LogStore, NoPeers, NodeId, StateMachine, TypeConfig};
use millstream_core::env::{Fs, FsFile, Rand};
use millstream_core::ids::BrokerId;
use openraft::error::{ClientWriteError, RaftError};
use openraft::metrics::WaitError;
use openraft::{BasicNode, Raft, SnapshotPolicy};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The folder below the data folder that holds the metadata, named as Kafka
/// names its own.
pub const METADATA_DIR: &str = "__cluster_metadata";

/// The file that keeps other processes out of the folder.
const LOCK: &str = ".lock";

/// How long the start may take until this node leads, a quorum of one.
const LEAD_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a snapshot may take, and when to ask for it again.
const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(60);
const SNAPSHOT_ASK_AGAIN: Duration = Duration::from_millis(50);

/// Log entries kept behind a snapshot for a follower that is a little late.
const ENTRIES_KEPT: u64 = 128;

/// What the service starts with.
#[derive(Clone)]
pub struct MetadataOptions {
    /// This node.
    pub node_id: BrokerId,
    /// The folder for the metadata alone, usually `<data dir>/__cluster_metadata`.
    pub dir: PathBuf,
    /// Disk.
    pub fs: Arc<dyn Fs>,
    /// Chance, for the cluster's id.
    pub rand: Arc<dyn Rand>,
    /// Entries after which the log is folded into a snapshot and purged.
    pub snapshot_entries: u64,
}

impl MetadataOptions {
    /// Options with the default snapshot policy.
    pub fn new(node_id: BrokerId, dir: PathBuf, fs: Arc<dyn Fs>, rand: Arc<dyn Rand>) -> Self {
        Self {
            node_id,
            dir,
            fs,
            rand,
            snapshot_entries: 2_000,
        }
    }
}

/// Why a proposal or the start failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The state machine refused the command; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another node leads the metadata; ask there.
    #[error("metadata node {0:?} leads, not this one")]
    NotLeader(Option<NodeId>),
    /// The metadata can no longer be written; the reason is in the text.
    #[error("the metadata service has stopped: {0}")]
    Stopped(String),
    /// The folder belongs to a node with another id.
    #[error(
        "the data folder belongs to node(s) {found:?}, but this is node {node_id}: \
         set the node id back, or use another data folder"
    )]
    OtherNode {
        /// This node.
        node_id: BrokerId,
        /// Those in the folder.
        found: Vec<NodeId>,
    },
    /// The folder is this node's, and the log in it has lost its entries.
    #[error(
        "the metadata log in {0} is empty, but this node has used the folder before: its files \
         were emptied or replaced. Restore the whole folder from a copy; the topics' records are \
         still there, and a new folder would not know of them"
    )]
    Emptied(PathBuf),
    /// Another process works on the folder.
    #[error("{0} is in use by another process: stop it, or choose another data folder")]
    Locked(PathBuf),
    /// This node id cannot be.
    #[error("node id {0}: it must be 0 or more")]
    InvalidNodeId(BrokerId),
    /// No leader within the time allowed.
    #[error("the metadata did not elect a leader within {0:?}")]
    NoLeader(Duration),
    /// The disk.
    #[error("metadata storage: {0}")]
    Io(#[from] io::Error),
}

/// Proposes changes to, and reads, the cluster's metadata.
pub struct MetadataService {
    raft: Raft<TypeConfig>,
    image: watch::Receiver<Arc<MetadataImage>>,
    /// Keeps other processes out; given back by [`MetadataService::shutdown`].
    lock: Mutex<Option<Arc<dyn FsFile>>>,
}

/// Who keeps the metadata at one moment, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Counts the elections.
    pub term: u64,
    /// Who votes.
    pub voters: Vec<BrokerId>,
    /// One past the last entry of this node's metadata log.
    pub log_end: u64,
    /// One past the last entry that is committed and applied here.
    pub applied_end: u64,
}

/// What [`open_storage`] gives.
struct Storage {
    lock: Arc<dyn FsFile>,
    log: LogStore,
    machine: StateMachine,
}

impl MetadataService {
    /// Opens what is in the folder, or founds a cluster of one, and returns
    /// when all that was ever acknowledged is in the image.
    pub async fn start(options: MetadataOptions) -> Result<Arc<Self>, ClusterError> {
        let node = NodeId::try_from(options.node_id.0)
            .map_err(|_| ClusterError::InvalidNodeId(options.node_id))?;
        let Storage { lock, log, machine } = open_storage(&options).await?;
        let image = machine.watch();
        let raft = Raft::new(node, raft_config(&options)?, NoPeers, log, machine)
            .await
            .map_err(|fatal| ClusterError::Stopped(fatal.to_string()))?;
        let service = Arc::new(Self {
            raft,
            image,
            lock: Mutex::new(Some(lock)),
        });
        service.found_or_rejoin(node, &options).await?;
        Ok(service)
    }

    /// Makes a change. Returns when it is on disk and in [`Self::image`].
    pub async fn propose(&self, command: Command) -> Result<Reply, ClusterError> {
        match self.raft.client_write(command).await {
            Ok(response) => Ok(response.data?),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ClusterError::NotLeader(forward.leader_id))
            }
            Err(error) => Err(ClusterError::Stopped(error.to_string())),
        }
    }

    /// Makes changes in order, each by itself: one that is refused leaves the
    /// others. They share their writes to the disk.
    pub async fn propose_each(&self, commands: Vec<Command>) -> Vec<Result<Reply, ClusterError>> {
        let mut replies = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter();
        loop {
            let mut round: Vec<Command> = commands.by_ref().take(COMMANDS_MAX).collect();
            let count = round.len();
            match count {
                0 => return replies,
                1 => {
                    if let Some(command) = round.pop() {
                        replies.push(self.propose(command).await);
                    }
                }
                _ => match self.propose(Command::Each(round)).await {
                    Ok(Reply::Each(each)) => {
                        replies.extend(each.into_iter().map(|reply| Ok(reply?)));
                    }
                    Ok(reply) => replies.push(Ok(reply)),
                    Err(error) => {
                        let error = error.to_string();
                        let failed = || Err(ClusterError::Stopped(error.clone()));
                        replies.extend(std::iter::repeat_with(failed).take(count));
                    }
                },
            }
        }
    }

    /// The newest image. Cheap; take it once per request and keep it.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.borrow().clone()
    }

    /// Follows the image; changes may be seen merged.
    pub fn watch(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.image.clone()
    }

    /// Who keeps the metadata, and how far they are.
    pub fn quorum(&self) -> Quorum {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let id = |node: NodeId| i32::try_from(node).map_or(BrokerId(-1), BrokerId);
        Quorum {
            leader: metrics.current_leader.map(id),
            term: metrics.current_term,
            voters: metrics.membership_config.voter_ids().map(id).collect(),
            // Index of the last entry; offsets count from the next one.
            log_end: metrics.last_log_index.map_or(0, |index| index + 1),
            applied_end: metrics.last_applied.map_or(0, |id| id.index + 1),
        }
    }

    /// Writes a snapshot now and purges the log behind it.
    pub async fn snapshot(&self) -> Result<(), ClusterError> {
        let stopped = |error: &dyn std::fmt::Display| ClusterError::Stopped(error.to_string());
        let applied = self.image().version();
        let written = async {
            loop {
                // openraft drops a trigger while it is building an older
                // snapshot, so ask again until one is new enough.
                self.raft
                    .trigger()
                    .snapshot()
                    .await
                    .map_err(|e| stopped(&e))?;
                let new_enough = self
                    .raft
                    .wait(Some(SNAPSHOT_ASK_AGAIN))
                    .metrics(
                        |m| m.snapshot.is_some_and(|id| id.index >= applied),
                        "snapshot",
                    )
                    .await;
                match new_enough {
                    Ok(_) => return Ok(()),
                    Err(WaitError::Timeout(..)) => {}
                    Err(error) => return Err(stopped(&error)),
                }
            }
        };
        tokio::time::timeout(SNAPSHOT_WAIT_MAX, written)
            .await
            .map_err(|e| stopped(&e))?
    }

    /// Stops; proposals fail from here on, the image stays readable.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the metadata task ended badly");
        }
        self.lock.lock().take();
    }

    async fn found_or_rejoin(
        &self,
        node: NodeId,
        options: &MetadataOptions,
    ) -> Result<(), ClusterError> {
        let stopped = |error: &dyn std::fmt::Display| ClusterError::Stopped(error.to_string());
        if !self
            .raft
            .is_initialized()
            .await
            .map_err(|error| stopped(&error))?
        {
            let members = BTreeMap::from([(node, BasicNode::default())]);
            self.raft
                .initialize(members)
                .await
                .map_err(|error| stopped(&error))?;
        }
        let voters: Vec<NodeId> = self
            .raft
            .with_raft_state(|state| state.membership_state.effective().voter_ids().collect())
            .await
            .map_err(|error| stopped(&error))?;
        // Whoever uses a folder is the first to be written into it.
        if voters.is_empty() {
            return Err(ClusterError::Emptied(options.dir.clone()));
        }
        if !voters.contains(&node) {
            return Err(ClusterError::OtherNode {
                node_id: options.node_id,
                found: voters,
            });
        }
        self.raft
            .wait(Some(LEAD_WAIT_MAX))
            .metrics(|m| m.current_leader == Some(node), "this node leads")
            .await
            .map_err(|_| ClusterError::NoLeader(LEAD_WAIT_MAX))?;
        // Goes through the log, so it returns after everything before it has
        // been applied.
        self.propose(Command::InitCluster {
            cluster_id: new_cluster_id(&*options.rand),
        })
        .await?;
        Ok(())
    }
}

async fn open_storage(options: &MetadataOptions) -> Result<Storage, ClusterError> {
    let (fs, dir) = (Arc::clone(&options.fs), options.dir.clone());
    let opened = tokio::task::spawn_blocking(move || {
        create_durably(&*fs, &dir)?;
        let lock = fs.open(&dir.join(LOCK), true)?;
        if lock.as_real().is_some_and(|real| real.try_lock().is_err()) {
            return Err(ClusterError::Locked(dir));
        }
        let log = LogStore::open(Arc::clone(&fs), &dir)?;
        let machine = StateMachine::open(fs, &dir)?;
        Ok(Storage { lock, log, machine })
    });
    opened.await.map_err(io::Error::other)?
}

/// Creates the folder and makes its name durable, and those of the folders
/// above it that were created with it.
fn create_durably(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let created: Vec<&Path> = dir
        .ancestors()
        .take_while(|folder| !fs.exists(folder))
        .collect();
    fs.create_dir_all(dir)?;
    created
        .iter()
        .filter_map(|folder| folder.parent())
        .try_for_each(|parent| fs.sync_dir(parent))
}

fn raft_config(options: &MetadataOptions) -> Result<Arc<openraft::Config>, ClusterError> {
    openraft::Config {
        cluster_name: "millstream".into(),
        heartbeat_interval: 500,
        election_timeout_min: 1_500,
        election_timeout_max: 3_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_entries.max(1)),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT.min(options.snapshot_entries),
        ..openraft::Config::default()
    }
    .validate()
    .map(Arc::new)
    .map_err(|error| ClusterError::Stopped(error.to_string()))
}

/// Kafka's form of a cluster id: a random UUID in unpadded base64url.
fn new_cluster_id(rand: &dyn Rand) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits are 21 digits of 6 bits and one of 2 bits, padded with zeros.
    let bits = rand.uuid().as_u128();
    (0..22u32)
        .map(|digit| {
            let shift = 122 - 6 * i64::from(digit);
            let six = if shift >= 0 {
                bits >> shift
            } else {
                bits << -shift
            };
            char::from(ALPHABET[(six & 63) as usize])
        })
        .collect()
}
