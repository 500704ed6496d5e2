//! A group of either protocol.

use super::consumer::{ConsumerGroup, ConsumerGroupState};
use super::error::GroupError;
use super::liveness::{CommitIdentity, CommitKind};
use super::machine::{ClassicGroup, GroupState, Now};
use std::time::Duration;

/// Which protocol a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// JoinGroup, SyncGroup, Heartbeat: the members assign.
    Classic,
    /// ConsumerGroupHeartbeat: the broker assigns (KIP-848).
    Consumer,
}

impl GroupKind {
    /// Kafka's name, as in ListGroups.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// The state machine of a group.
#[derive(Debug)]
pub(super) enum GroupMachine {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

impl GroupMachine {
    pub(super) fn kind(&self) -> GroupKind {
        match self {
            Self::Classic(_) => GroupKind::Classic,
            Self::Consumer(_) => GroupKind::Consumer,
        }
    }

    /// The classic group; a consumer group has none.
    pub(super) fn classic(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    /// The consumer group; a classic group has none.
    pub(super) fn consumer(&mut self) -> Option<&mut ConsumerGroup> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    pub(super) fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state().name(),
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        match self {
            Self::Classic(group) => group.state() == GroupState::Dead,
            Self::Consumer(group) => group.state() == ConsumerGroupState::Dead,
        }
    }

    /// Whether it has no members, but is not being deleted.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state() == GroupState::Empty,
            Self::Consumer(group) => group.state() == ConsumerGroupState::Empty,
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_unused(),
            Self::Consumer(group) => group.is_unused(),
        }
    }

    /// Kind of protocol, such as `consumer`; none for a group that only has
    /// offsets.
    pub(super) fn protocol_type(&self) -> Option<&str> {
        match self {
            Self::Classic(group) => group.protocol_type(),
            Self::Consumer(_) => Some("consumer"),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }

    pub(super) fn kill(&mut self, now: Now) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.kill(now),
            Self::Consumer(group) => group.kill(),
        }
    }

    pub(super) fn revive(&mut self, now: Now) {
        match self {
            Self::Classic(group) => group.revive(now),
            Self::Consumer(group) => group.revive(),
        }
    }

    /// Whether the sender may commit offsets. `version` is that of
    /// OffsetCommit.
    pub(super) fn accept_commit(
        &mut self,
        who: CommitIdentity<'_>,
        kind: CommitKind,
        version: i16,
        now: Now,
    ) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.accept_commit(who, kind, now),
            Self::Consumer(group) => group.check_commit(who, kind, version),
        }
    }
}
