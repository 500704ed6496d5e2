//! openraft's storage and network for the metadata.
//!
//! Files, all in one folder: `log` (frames of entries, each with a checksum,
//! appended and synced), `vote` and `snapshot` (replaced atomically).
//! The log is kept short by purging what the snapshot holds, so all of it is
//! in memory too.

mod frame;
mod log_file;
mod log_store;
mod network;
mod state_machine;

pub(crate) use log_store::LogStore;
pub(crate) use network::NoPeers;
pub(crate) use state_machine::StateMachine;

use crate::command::{Command, Refusal, Reply};

openraft::declare_raft_types!(
    /// What openraft is instantiated with.
    pub(crate) TypeConfig:
        D = Command,
        R = Result<Reply, Refusal>,
        NodeId = u64,
        Node = openraft::BasicNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = std::io::Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

pub(crate) type NodeId = u64;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;

#[cfg(test)]
mod tests;
