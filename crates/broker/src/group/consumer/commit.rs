//! Who may commit and read the offsets of a consumer group.

use super::machine::ConsumerGroup;
use super::member::ConsumerMember;
use crate::group::error::GroupError;
use crate::group::liveness::{CommitIdentity, CommitKind};
use uuid::Uuid;

/// The first version of OffsetCommit that has member epochs.
const MEMBER_EPOCHS_FROM: i16 = 9;

impl ConsumerGroup {
    /// Checks a commit. `version` is that of OffsetCommit.
    pub(in crate::group) fn check_commit(
        &self,
        who: CommitIdentity<'_>,
        kind: CommitKind,
        version: i16,
    ) -> Result<(), GroupError> {
        if self.is_dead() {
            return Err(GroupError::NotAvailable);
        }
        // An administrator, or a consumer with its own assignment.
        if who.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        // Transactions before KIP-447 carry no member.
        let is_anonymous =
            who.generation < 0 && who.member_id.is_empty() && who.instance_id.is_none();
        if kind == CommitKind::Transactional && is_anonymous {
            return Ok(());
        }
        let member = self
            .members
            .get(who.member_id)
            .ok_or(GroupError::UnknownMember)?;
        if kind == CommitKind::Plain && !member.is_classic() && version < MEMBER_EPOCHS_FROM {
            return Err(GroupError::UnsupportedVersion);
        }
        check_epoch(member, who.generation)
    }

    /// Whether a commit of an older epoch is welcome: the member's epoch was
    /// raised while the commit was on its way, but the partitions were its
    /// own in that epoch and are still (KIP-1251).
    pub(in crate::group) fn owned_then(
        &self,
        who: CommitIdentity<'_>,
        mut partitions: impl Iterator<Item = Option<(Uuid, i32)>>,
    ) -> bool {
        let Some(member) = self.members.get(who.member_id) else {
            return false;
        };
        let is_older = who.generation > 0 && who.generation < member.current.epoch;
        let owned = |key: Option<(Uuid, i32)>| {
            key.is_some_and(|key| self.owned_since(&key, who.member_id, who.generation))
        };
        is_older && partitions.all(owned)
    }

    /// Checks an OffsetFetch that names a member (version 9).
    pub(in crate::group) fn check_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), GroupError> {
        // An administrator, or a client before version 9.
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let member = self
            .members
            .get(member_id.unwrap_or_default())
            .ok_or(GroupError::UnknownMember)?;
        check_epoch(member, member_epoch)
    }
}

fn check_epoch(member: &ConsumerMember, epoch: i32) -> Result<(), GroupError> {
    match epoch == member.current.epoch {
        true => Ok(()),
        false if member.is_classic() => Err(GroupError::IllegalGeneration),
        false => Err(GroupError::StaleMemberEpoch),
    }
}
