//! Cluster metadata as a replicated state machine on openraft.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | the handle: propose a command, read the image, watch it |
//! | [`command`] | everything that can change, what comes back, and why a change is refused |
//! | [`image`] | the immutable state that everyone reads |
//! | `machine` | the pure function from image and command to the next image |
//! | `placement` | which brokers hold which partition |
//! | `raft` | openraft's storage and network: checksummed log, vote and snapshot files |
//! | [`configs`] | ONE table of Kafka's topic and broker settings |
//!
//! Invariants:
//!
//! - The machine is deterministic: ids, times and random choices are in the
//!   command. Every replica that has applied the same commands holds the same
//!   image.
//! - A proposal returns only after its command is on the disk of a quorum
//!   and applied here.
//! - A refusal (a topic that exists already, say) is decided inside the
//!   machine, so two racing proposals cannot both win.
//!
//! Deliberately absent: sockets (the network of a quorum of one reaches
//! nobody and says so), partition data, and the offsets of consumer groups,
//! which live in their own topic as Kafka keeps them.

pub mod command;
pub mod configs;
pub mod image;
mod machine;
mod placement;
mod raft;
pub mod service;

pub use command::{Command, ConfigChange, ConfigOp, ConfigResource, NewTopic, Refusal, Reply};
pub use image::{
    Broker, Dashboard, Job, JobState, MetadataImage, Partition, SqlObject, SqlObjectKind, Topic,
};
pub use service::{ClusterError, MetadataOptions, MetadataService, Quorum};
