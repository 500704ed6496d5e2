//! Heartbeats, leaving, expiry, and who may commit offsets.

use super::error::GroupError;
use super::machine::{ClassicGroup, Effect, GroupState, Now};

/// How a commit identifies its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitIdentity<'a> {
    /// Empty for a client that does not use group management.
    pub member_id: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// -1 for a client that does not use group management.
    pub generation: i32,
}

/// Whether offsets are committed by themselves or within a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitKind {
    /// OffsetCommit.
    Plain,
    /// TxnOffsetCommit.
    Transactional,
}

impl ClassicGroup {
    /// Handles a Heartbeat. Replays are harmless: each only moves the
    /// session's deadline.
    pub fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::NotAvailable);
        }
        self.validate_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.renew_session(member_id, now);
        match self.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMember),
        }
    }

    /// Removes one member on its own wish, or a static one on an
    /// administrator's, who may name it by instance id alone (KIP-345).
    pub fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Now,
    ) -> (Result<String, GroupError>, Vec<Effect>) {
        let result = self.remove_leaver(member_id, instance_id, now);
        (result, self.take_effects())
    }

    fn remove_leaver(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Now,
    ) -> Result<String, GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::NotAvailable);
        }
        let id = match instance_id {
            Some(instance) if member_id.is_empty() => self
                .static_members
                .get(instance)
                .cloned()
                .ok_or(GroupError::UnknownMember)?,
            _ => member_id.to_owned(),
        };
        if self.pending_members.remove(&id).is_some() {
            self.maybe_complete_join(now);
            return Ok(id);
        }
        self.validate_member(&id, instance_id)?;
        self.remove_and_rebalance(&id, now);
        Ok(id)
    }

    fn remove_and_rebalance(&mut self, id: &str, now: Now) {
        self.drop_member(id, GroupError::UnknownMember);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.rebalance(now),
            GroupState::PreparingRebalance => self.maybe_complete_join(now),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// Takes a member out and answers whatever it has parked here.
    pub(super) fn drop_member(&mut self, id: &str, error: GroupError) {
        self.answer_join_refused(id, error);
        self.answer_sync_refused(id, error);
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = member.instance_id {
            self.static_members.remove(&instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    pub(super) fn expire_members(&mut self, now: Now) {
        let before = self.pending_members.len();
        self.pending_members
            .retain(|_, deadline| *deadline > now.monotonic);
        if self.pending_members.len() != before {
            self.maybe_complete_join(now);
        }
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|m| m.expiry().is_some_and(|deadline| deadline <= now.monotonic))
            .map(|m| m.id.clone())
            .collect();
        for id in silent {
            tracing::info!(member = %id, "session timed out, member removed");
            self.remove_and_rebalance(&id, now);
        }
    }

    /// Whether the sender may commit offsets, and keeps its session alive if
    /// it may.
    pub fn accept_commit(
        &mut self,
        who: CommitIdentity<'_>,
        kind: CommitKind,
        now: Now,
    ) -> Result<(), GroupError> {
        self.check_commit(who, kind)?;
        self.renew_session(who.member_id, now);
        Ok(())
    }

    fn check_commit(&self, who: CommitIdentity<'_>, kind: CommitKind) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::NotAvailable);
        }
        let empty = self.state == GroupState::Empty;
        if who.generation < 0 && empty {
            // An administrator, or a consumer with its own assignment.
            return Ok(());
        }
        if who.generation >= 0 || !who.member_id.is_empty() || who.instance_id.is_some() {
            self.validate_member(who.member_id, who.instance_id)?;
            if who.generation != self.generation {
                return Err(GroupError::IllegalGeneration);
            }
        } else if kind == CommitKind::Plain && !empty {
            // Transactions before KIP-447 carry no member, so only plain
            // commits can be held to it.
            return Err(GroupError::UnknownMember);
        }
        if kind == CommitKind::Plain && self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }
}
