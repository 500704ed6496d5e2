//! A member of a consumer group.

use super::assignment::Assignment;
use crate::group::member::Protocol;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a member said of itself (record 5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberMetadata {
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Address it connects from, as `/1.2.3.4`.
    pub client_host: String,
    /// Topics that it wants by name.
    pub topics: BTreeSet<String>,
    /// Topics that it wants by pattern; never an empty one.
    pub regex: Option<String>,
    /// It has this long to give partitions up.
    pub rebalance_timeout: Duration,
    /// The assignor it asks for.
    pub assignor: Option<String>,
    /// Set for a member that uses the classic protocol.
    pub classic: Option<ClassicSide>,
}

/// What the classic protocol needs of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicSide {
    /// It is removed when it stays silent for this long.
    pub session_timeout: Duration,
    /// Assignors in its order of preference, with its subscription.
    pub protocols: Vec<Protocol>,
}

/// Where a member stands on its way to the target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It owns what it is to own in its epoch.
    #[default]
    Stable,
    /// It is to give partitions up.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
}

impl MemberState {
    /// Kafka's number for it.
    pub fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
        }
    }

    /// What the number stands for. One that is not known leads to a new look
    /// at the target, which is what an unreleased member gets.
    pub fn of_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            _ => Self::UnreleasedPartitions,
        }
    }
}

/// What a member owns, and in which epoch (record 8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberCurrent {
    /// Its epoch; [`super::machine::LEFT_STATIC`] for a static member that
    /// has left for a while.
    pub epoch: i32,
    /// Its epoch before that: the answer that told of the new one may have
    /// been lost.
    pub previous_epoch: i32,
    /// Where it stands.
    pub state: MemberState,
    /// What it owns.
    pub assigned: Assignment,
    /// What it still owns but is to give up.
    pub revoking: Assignment,
}

/// A member of a consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its id.
    pub id: String,
    /// What it said of itself.
    pub metadata: MemberMetadata,
    /// What it owns.
    pub current: MemberCurrent,
}

impl ConsumerMember {
    /// Whether it uses the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    /// Whether it has all that the target assignment of the epoch gives it.
    pub fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == assignment_epoch
    }
}
