//! SyncGroup: the leader's assignment, made durable and handed out.

use super::error::GroupError;
use super::machine::{
    ClassicGroup, Effect, GroupState, Now, PersistId, PersistReason, SyncOutcome,
};
use super::member::Ticket;
use bytes::Bytes;
use std::collections::HashMap;

/// A SyncGroup request.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Who asks.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The generation it believes in.
    pub generation: i32,
    /// What it believes the kind of protocol to be (version 5).
    pub protocol_type: Option<String>,
    /// What it believes the assignor to be (version 5).
    pub protocol: Option<String>,
    /// By member id; from the leader only.
    pub assignments: Vec<(String, Bytes)>,
}

impl ClassicGroup {
    /// Handles a SyncGroup; the answer comes as an effect, now or later.
    pub fn sync(&mut self, request: SyncRequest, ticket: Ticket, now: Now) -> Vec<Effect> {
        if let Err(error) = self.accept_sync(request, ticket, now) {
            self.effects.push(Effect::Synced(ticket, Err(error)));
        }
        self.take_effects()
    }

    fn accept_sync(
        &mut self,
        request: SyncRequest,
        ticket: Ticket,
        now: Now,
    ) -> Result<(), GroupError> {
        self.check_sync(&request)?;
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance => self.park_sync(request, ticket, now),
            GroupState::Stable => {
                self.note_synced(&request.member_id, now);
                let outcome = self.sync_outcome(&request.member_id);
                self.effects.push(Effect::Synced(ticket, Ok(outcome)));
                Ok(())
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::NotAvailable);
        }
        self.validate_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |theirs: &Option<String>, ours: &Option<String>| {
            theirs.is_some() && ours.is_some() && theirs != ours
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn park_sync(
        &mut self,
        request: SyncRequest,
        ticket: Ticket,
        now: Now,
    ) -> Result<(), GroupError> {
        let id = request.member_id.clone();
        let leads = self.leader.as_deref() == Some(&id);
        let bytes: usize = request
            .assignments
            .iter()
            .map(|(id, a)| id.len() + a.len())
            .sum();
        if leads && bytes > self.config.member_metadata_bytes_max {
            return Err(GroupError::InvalidRequest);
        }
        self.answer_sync_refused(&id, GroupError::RebalanceInProgress);
        self.note_synced(&id, now);
        if let Some(member) = self.members.get_mut(&id) {
            member.awaiting_sync = Some(ticket);
        }
        if leads {
            self.persist_assignment(request.assignments);
        }
        Ok(())
    }

    fn persist_assignment(&mut self, assignments: Vec<(String, Bytes)>) {
        // Members that the leader left out get an empty assignment; strangers
        // get none.
        let assignments: HashMap<String, Bytes> = assignments
            .into_iter()
            .filter(|(id, _)| self.members.contains_key(id))
            .collect();
        let mut snapshot = self.snapshot();
        for member in &mut snapshot.members {
            member.assignment = assignments.get(&member.id).cloned().unwrap_or_default();
        }
        let reason = PersistReason::Assignment {
            generation: self.generation,
            assignments,
        };
        self.persist(reason, snapshot);
    }

    /// Tells that a record was written (durably), or could not be.
    pub fn persisted(
        &mut self,
        id: PersistId,
        result: Result<(), GroupError>,
        now: Now,
    ) -> Vec<Effect> {
        match (self.persisting.remove(&id), result) {
            (
                Some(PersistReason::Assignment {
                    generation,
                    assignments,
                }),
                result,
            ) => {
                // Another member may have joined in the meantime; then the
                // assignment is void.
                if self.state == GroupState::CompletingRebalance && self.generation == generation {
                    match result {
                        Ok(()) => self.hand_out(assignments, now),
                        Err(error) => self.assignment_failed(error, now),
                    }
                }
            }
            (
                Some(PersistReason::StaticReplaced {
                    member_id,
                    owed: true,
                    ..
                }),
                Ok(()),
            ) => self.rebalance_static_replaced(&member_id, now),
            (
                Some(PersistReason::StaticReplaced {
                    member_id,
                    old_leader,
                    skip,
                    ..
                }),
                Ok(()),
            ) => {
                self.answer_static_replaced(&member_id, old_leader, skip);
            }
            (
                Some(PersistReason::StaticReplaced {
                    member_id,
                    previous,
                    ..
                }),
                Err(error),
            ) => {
                self.undo_static_replaced(&member_id, &previous, error);
            }
            (Some(PersistReason::Emptied) | None, _) => {}
        }
        self.take_effects()
    }

    fn hand_out(&mut self, mut assignments: HashMap<String, Bytes>, now: Now) {
        self.transition(GroupState::Stable, now);
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.assignment = assignments.remove(&id).unwrap_or_default();
            if let Some(ticket) = member.awaiting_sync.take() {
                member.expires_at = now.monotonic + member.session_timeout;
                let outcome = self.sync_outcome(&id);
                self.effects.push(Effect::Synced(ticket, Ok(outcome)));
            }
        }
    }

    fn note_synced(&mut self, id: &str, now: Now) {
        self.renew_session(id, now);
        if let Some(member) = self.members.get_mut(id) {
            member.synced_generation = self.generation;
        }
    }

    /// Members that never asked for their assignment within the rebalance
    /// timeout are gone: without this, a member that dies between join and
    /// sync but keeps its heartbeats would own partitions that nobody reads.
    pub(super) fn expire_sync(&mut self, now: Now) {
        if self
            .sync_deadline
            .is_none_or(|deadline| deadline > now.monotonic)
        {
            return;
        }
        self.sync_deadline = None;
        if !matches!(
            self.state,
            GroupState::CompletingRebalance | GroupState::Stable
        ) {
            return;
        }
        let late: Vec<String> = self
            .members
            .values()
            .filter(|m| m.synced_generation != self.generation)
            .map(|m| m.id.clone())
            .collect();
        for id in &late {
            self.drop_member(id, GroupError::UnknownMember);
        }
        if !late.is_empty() {
            self.rebalance(now);
        }
    }

    fn assignment_failed(&mut self, error: GroupError, now: Now) {
        self.reset_assignments(error, now);
        self.rebalance(now);
    }

    fn undo_static_replaced(
        &mut self,
        member_id: &str,
        previous: &super::member::Member,
        error: GroupError,
    ) {
        self.answer_join_refused(member_id, error);
        self.rename_member(member_id, &previous.id);
        if let Some(member) = self.members.get_mut(&previous.id) {
            member.protocols = previous.protocols.clone();
            member.session_timeout = previous.session_timeout;
            member.rebalance_timeout = previous.rebalance_timeout;
        }
    }

    /// Forgets the assignments and sends the members that wait for one to
    /// join again.
    pub(super) fn reset_assignments(&mut self, error: GroupError, now: Now) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            if self
                .members
                .get(&id)
                .is_some_and(|m| m.awaiting_sync.is_some())
            {
                self.answer_sync_refused(&id, error);
                self.renew_session(&id, now);
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = Bytes::new();
            }
        }
    }

    fn sync_outcome(&self, id: &str) -> SyncOutcome {
        SyncOutcome {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: self
                .members
                .get(id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
        }
    }
}
