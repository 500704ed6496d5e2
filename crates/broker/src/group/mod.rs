//! Consumer groups and their offsets: the classic group protocol, that of
//! KIP-848, and `__consumer_offsets`.
//!
//! | module | what |
//! |---|---|
//! | [`machine`], [`join`], [`sync`], [`liveness`] | a classic group as a pure state machine |
//! | [`consumer`] | a consumer group (KIP-848), pure too |
//! | [`handover`] | what a static member that is replaced leaves undone |
//! | [`kind`] | a group of either protocol |
//! | [`offsets`] | the committed and pending offsets of a group, pure too |
//! | [`records`] | Kafka's record formats |
//! | [`shard`] | the groups of one partition; carries out what the machines decide |
//! | [`coordinator`], [`commits`], [`views`], [`deletion`] | what others call |
//! | [`consumer_requests`] | the same for consumer groups |
//! | [`crossing`] | groups that change their protocol, with members of both |
//! | [`loader`] | reading a partition back after a start |
//! | [`rewrite`] | writing a partition's living records anew |
//!
//! A group lives in one partition of `__consumer_offsets`; whoever leads that
//! partition coordinates it. Nothing is believed before it is durable:
//! assignments are handed out, offsets become readable and commits are
//! answered when the log says so.
//!
//! Deliberately absent: share groups and streams groups. Their records are
//! skipped on load.

mod commits;
mod config;
mod consumer;
mod consumer_requests;
mod coordinator;
mod crossing;
mod deletion;
mod error;
mod handover;
mod join;
mod kind;
mod liveness;
mod loader;
mod machine;
mod member;
mod memory;
mod offsets;
mod records;
mod rewrite;
mod shard;
mod sync;
mod timers;
mod views;

#[cfg(test)]
mod consumer_tests;
#[cfg(test)]
mod coordinator_tests;
#[cfg(test)]
mod machine_tests;

pub use commits::{
    CommitResults, Committer, FetchedOffset, OffsetToCommit, OffsetsWanted, Stability,
};
pub use config::{ConsumerGroupConfig, GROUP_ID_BYTES_MAX, GroupConfig, MigrationPolicy};
pub use consumer::{
    Assignment, Assignor, ClassicSide, ConsumerGroup, ConsumerGroupState, ConsumerHeartbeat,
    ConsumerMember, ConsumerRecord, GroupPace, HeartbeatAnswer, MemberCurrent, MemberMetadata,
    MemberState, TopicSource, TopicsImage,
};
pub use coordinator::{GroupCoordinator, GroupServices, Leaver};
pub use error::{GroupError, code_of};
pub use join::JoinRequest;
pub use kind::GroupKind;
pub use liveness::{CommitIdentity, CommitKind};
pub use machine::{
    ClassicGroup, Effect, GroupSnapshot, GroupState, JoinOutcome, JoinRefusal, JoinedMember,
    MemberSnapshot, Now, PersistId, SyncOutcome,
};
pub use member::{Member, Protocol, Ticket};
pub use offsets::{CommittedOffset, OffsetTable, PartitionKey};
pub use records::{GroupRecord, RecordError};
pub use sync::SyncRequest;
pub use views::{
    ConsumerGroupDescription, ConsumerMemberDescription, GroupDescription, GroupList, GroupListing,
    MemberDescription, NamedPartitions,
};
