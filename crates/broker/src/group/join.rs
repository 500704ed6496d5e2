//! JoinGroup: who is in the next generation, and when it begins.

use super::error::GroupError;
use super::handover;
use super::machine::{
    ClassicGroup, Effect, GroupState, JoinOutcome, JoinPhase, JoinRefusal, JoinedMember, Now,
    PersistReason,
};
use super::member::{Member, Protocol, Ticket};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// A JoinGroup request.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Empty at first.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Address it connects from.
    pub client_host: String,
    /// Silence after which it is removed.
    pub session_timeout: Duration,
    /// Time it has to join again when a rebalance begins.
    pub rebalance_timeout: Duration,
    /// Kind of protocol, such as `consumer`.
    pub protocol_type: String,
    /// Assignors it offers, preferred first.
    pub protocols: Vec<Protocol>,
    /// The id it gets if it has none.
    pub fresh_member_id: String,
    /// KIP-394, from version 4: an unknown dynamic member is told its id and
    /// must come again with it, so that a lost answer leaves no ghost.
    pub requires_known_member_id: bool,
    /// KIP-814, from version 9.
    pub supports_skip_assignment: bool,
}

impl JoinRequest {
    /// Bytes of its protocols, which are kept.
    pub(super) fn bytes(&self) -> usize {
        let protocols = self.protocols.iter();
        protocols.map(|p| p.name.len() + p.metadata.len()).sum()
    }
}

impl ClassicGroup {
    /// Handles a JoinGroup; the answer comes as an effect, now or later.
    pub fn join(&mut self, request: JoinRequest, ticket: Ticket, now: Now) -> Vec<Effect> {
        if let Err(error) = self.admit(request, ticket, now) {
            self.effects.push(Effect::Joined(ticket, Err(error)));
        }
        self.take_effects()
    }

    fn admit(&mut self, request: JoinRequest, ticket: Ticket, now: Now) -> Result<(), JoinRefusal> {
        let member_id = request.member_id.clone();
        let refuse = |error| JoinRefusal {
            error,
            member_id: member_id.clone(),
        };
        if self.state == GroupState::Dead {
            return Err(refuse(GroupError::NotAvailable));
        }
        if !(self.config.session_timeout_min..=self.config.session_timeout_max)
            .contains(&request.session_timeout)
        {
            return Err(refuse(GroupError::InvalidSessionTimeout));
        }
        if request.bytes() > self.config.member_metadata_bytes_max {
            return Err(refuse(GroupError::InvalidRequest));
        }
        if !self.has_room_for(&request) {
            self.pending_members.remove(&request.member_id);
            return Err(refuse(GroupError::GroupMaxSizeReached));
        }
        if !self.fits_protocols(&request) {
            return Err(refuse(GroupError::InconsistentProtocol));
        }
        if request.member_id.is_empty() {
            self.admit_new(request, ticket, now)
        } else {
            self.admit_known(request, ticket, now).map_err(refuse)
        }
    }

    fn has_room_for(&self, request: &JoinRequest) -> bool {
        let max = self.config.group_members_max;
        let replaces = request
            .instance_id
            .as_ref()
            .is_some_and(|i| self.static_members.contains_key(i));
        if replaces || self.members.contains_key(&request.member_id) {
            return true;
        }
        if self.pending_members.contains_key(&request.member_id) {
            return self.members.len() < max;
        }
        self.members.len() + self.pending_members.len() < max
    }

    /// Whether an assignor is left that every member offers.
    fn fits_protocols(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(request.protocol_type.as_str())
            && request
                .protocols
                .iter()
                .any(|p| self.members.values().all(|m| m.supports(&p.name)))
    }

    fn admit_new(
        &mut self,
        request: JoinRequest,
        ticket: Ticket,
        now: Now,
    ) -> Result<(), JoinRefusal> {
        let fresh = request.fresh_member_id.clone();
        if let Some(instance) = request.instance_id.clone() {
            match self.static_members.get(&instance).cloned() {
                Some(old_id) => self.replace_static_member(request, &old_id, ticket, now),
                None => self.add_member(request, fresh, ticket, now),
            }
            return Ok(());
        }
        if request.requires_known_member_id {
            self.pending_members
                .insert(fresh.clone(), now.monotonic + request.session_timeout);
            return Err(JoinRefusal {
                error: GroupError::MemberIdRequired,
                member_id: fresh,
            });
        }
        self.add_member(request, fresh, ticket, now);
        Ok(())
    }

    fn admit_known(
        &mut self,
        request: JoinRequest,
        ticket: Ticket,
        now: Now,
    ) -> Result<(), GroupError> {
        let id = request.member_id.clone();
        if self.pending_members.contains_key(&id) {
            if request.instance_id.is_some() {
                // A static member is never told to come again.
                return Err(GroupError::UnknownMember);
            }
            self.pending_members.remove(&id);
            self.add_member(request, id, ticket, now);
            return Ok(());
        }
        self.validate_member(&id, request.instance_id.as_deref())?;
        let same = self
            .members
            .get(&id)
            .is_some_and(|m| m.protocols == request.protocols);
        let leads = self.leader.as_deref() == Some(&id);
        match self.state {
            GroupState::PreparingRebalance => self.rejoin(request, ticket, now),
            // The answer to its join was lost: give it again.
            GroupState::CompletingRebalance if same => self.answer_current(&id, ticket),
            // A leader that joins again wants a rebalance (its topics have
            // changed); a follower with the same subscription does not.
            GroupState::Stable if same && !leads => self.answer_current(&id, ticket),
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.rejoin(request, ticket, now)
            }
            GroupState::Empty | GroupState::Dead => return Err(GroupError::UnknownMember),
        }
        Ok(())
    }

    fn add_member(&mut self, request: JoinRequest, id: String, ticket: Ticket, now: Now) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        // Also of a group that was used before and is empty: its members
        // start one after the other too.
        let initial = |phase: &JoinPhase| phase.initial_remaining.is_some();
        self.new_member_added |= self.join_phase.as_ref().is_some_and(initial);
        if let Some(instance) = &request.instance_id {
            self.static_members.insert(instance.clone(), id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        let member = Member {
            id: id.clone(),
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            is_new: true,
            synced_generation: -1,
            // It cannot send heartbeats before it knows its id, and a client
            // that times out comes again: do not wait for its ghost for ever.
            expires_at: now.monotonic + self.config.new_member_timeout,
        };
        self.members.insert(id, member);
        self.rebalance(now);
    }

    fn rejoin(&mut self, request: JoinRequest, ticket: Ticket, now: Now) {
        let id = request.member_id.clone();
        self.update_member(&id, request, ticket);
        self.rebalance(now);
    }

    fn update_member(&mut self, id: &str, request: JoinRequest, ticket: Ticket) {
        // An older request of the same member (its connection broke) still
        // gets an answer.
        self.answer_join_refused(id, GroupError::RebalanceInProgress);
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.awaiting_join = Some(ticket);
    }

    /// A static member came back without its id: the new process takes the
    /// place over, the old one is fenced (KIP-345).
    fn replace_static_member(
        &mut self,
        request: JoinRequest,
        old_id: &str,
        ticket: Ticket,
        now: Now,
    ) {
        let new_id = request.fresh_member_id.clone();
        let skip = request.supports_skip_assignment;
        let old_leader = self.leader.clone().unwrap_or_default();
        self.answer_join_refused(old_id, GroupError::FencedInstanceId);
        self.answer_sync_refused(old_id, GroupError::FencedInstanceId);
        let Some(previous) = self.members.get(old_id).cloned() else {
            return;
        };
        let owed = self.protocol_type.as_deref() == Some("consumer")
            && handover::is_owed(&previous, self.protocol.as_deref().unwrap_or_default());
        self.rename_member(old_id, &new_id);
        // With the subscription that tells of it: a kill must not forget it.
        let debt = owed.then(|| self.snapshot());
        self.update_member(&new_id, request, ticket);
        self.renew_session(&new_id, now);
        match self.state {
            GroupState::Stable if self.protocol == self.select_protocol() => {
                let reason = PersistReason::StaticReplaced {
                    member_id: new_id,
                    previous: Box::new(previous),
                    old_leader,
                    skip,
                    owed,
                };
                self.persist(reason, debt.unwrap_or_else(|| self.snapshot()));
            }
            GroupState::PreparingRebalance => self.maybe_complete_join(now),
            // In CompletingRebalance the old id may already be in the hands
            // of the leader, which would assign to a member that is gone.
            _ => self.rebalance(now),
        }
    }

    pub(super) fn rename_member(&mut self, from: &str, to: &str) {
        let Some(mut member) = self.members.remove(from) else {
            return;
        };
        member.id = to.to_owned();
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), to.to_owned());
        }
        if self.leader.as_deref() == Some(from) {
            self.leader = Some(to.to_owned());
        }
        self.members.insert(to.to_owned(), member);
    }

    /// Begins the rebalance that is owed, once the record is durable: the new
    /// member id is known after a kill from here on, and not fenced by itself.
    /// Where another rebalance has begun by now, it is that one.
    pub(super) fn rebalance_static_replaced(&mut self, id: &str, now: Now) {
        let waits = |m: &Member| m.awaiting_join.is_some();
        if self.state == GroupState::Stable && self.members.get(id).is_some_and(waits) {
            self.rebalance(now);
        }
    }

    /// Answers the replaced static member once its record is durable.
    pub(super) fn answer_static_replaced(&mut self, id: &str, old_leader: String, skip: bool) {
        let Some(ticket) = self
            .members
            .get_mut(id)
            .and_then(|m| m.awaiting_join.take())
        else {
            return;
        };
        let mut outcome = self.outcome_for(id);
        if skip {
            outcome.skip_assignment = self.leader.as_deref() == Some(id);
        } else {
            // Before KIP-814 a leader could not be told to leave the
            // assignment alone, and a stable group would not hand out its new
            // one: so it is told of the old leader and takes itself for a
            // follower.
            outcome.leader = old_leader;
            outcome.members.clear();
        }
        self.effects.push(Effect::Joined(ticket, Ok(outcome)));
    }

    fn answer_current(&mut self, id: &str, ticket: Ticket) {
        let outcome = self.outcome_for(id);
        self.effects.push(Effect::Joined(ticket, Ok(outcome)));
    }

    pub(super) fn outcome_for(&self, id: &str) -> JoinOutcome {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == id {
            self.members_for_leader(&protocol)
        } else {
            Vec::new()
        };
        JoinOutcome {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol,
            leader,
            member_id: id.to_owned(),
            members,
            skip_assignment: false,
        }
    }

    fn members_for_leader(&self, protocol: &str) -> Vec<JoinedMember> {
        let joined = |member: &Member| JoinedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata_for(protocol),
        };
        self.members.values().map(joined).collect()
    }

    /// Begins a rebalance unless one is gathering members already.
    pub(super) fn rebalance(&mut self, now: Now) {
        match self.state {
            GroupState::Empty => self.begin_initial_rebalance(now),
            GroupState::Stable | GroupState::CompletingRebalance => {
                if self.state == GroupState::CompletingRebalance {
                    self.reset_assignments(GroupError::RebalanceInProgress, now);
                }
                self.sync_deadline = None;
                let deadline = now.monotonic + self.rebalance_timeout();
                self.join_phase = Some(JoinPhase {
                    deadline,
                    initial_remaining: None,
                });
                self.transition(GroupState::PreparingRebalance, now);
            }
            GroupState::PreparingRebalance | GroupState::Dead => {}
        }
        self.maybe_complete_join(now);
    }

    fn begin_initial_rebalance(&mut self, now: Now) {
        let delay = self.config.initial_rebalance_delay;
        let remaining = self.rebalance_timeout().saturating_sub(delay);
        self.transition(GroupState::PreparingRebalance, now);
        self.new_member_added = false;
        self.join_phase = Some(JoinPhase {
            deadline: now.monotonic + delay,
            initial_remaining: Some(remaining),
        });
        self.expire_join(now);
    }

    pub(super) fn maybe_complete_join(&mut self, now: Now) {
        let initial = self
            .join_phase
            .is_some_and(|phase| phase.initial_remaining.is_some());
        let all_joined = self.pending_members.is_empty()
            && self.members.values().all(|m| m.awaiting_join.is_some());
        if self.state == GroupState::PreparingRebalance && !initial && all_joined {
            self.complete_join(now);
        }
    }

    pub(super) fn expire_join(&mut self, now: Now) {
        let Some(phase) = self
            .join_phase
            .filter(|phase| phase.deadline <= now.monotonic)
        else {
            return;
        };
        match phase.initial_remaining {
            Some(remaining) if self.new_member_added && !remaining.is_zero() => {
                self.new_member_added = false;
                let delay = self.config.initial_rebalance_delay.min(remaining);
                self.join_phase = Some(JoinPhase {
                    deadline: now.monotonic + delay,
                    initial_remaining: Some(remaining.saturating_sub(delay)),
                });
            }
            _ => self.complete_join(now),
        }
    }

    fn complete_join(&mut self, now: Now) {
        self.remove_absent_dynamic_members();
        if !self.members.is_empty() && !self.elect_present_leader() {
            // Only static members that have not come back are left: wait
            // until they do or their sessions end.
            let deadline = now.monotonic + self.rebalance_timeout();
            self.join_phase = Some(JoinPhase {
                deadline,
                initial_remaining: None,
            });
            return;
        }
        self.join_phase = None;
        self.generation += 1;
        if self.members.is_empty() {
            self.become_empty(now);
        } else {
            self.begin_generation(now);
        }
    }

    fn remove_absent_dynamic_members(&mut self) {
        let absent: Vec<String> = self
            .members
            .values()
            .filter(|m| m.awaiting_join.is_none() && m.instance_id.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in absent {
            self.drop_member(&id, GroupError::UnknownMember);
        }
    }

    fn elect_present_leader(&mut self) -> bool {
        let present = |m: &Member| m.awaiting_join.is_some();
        let leads = self
            .leader
            .as_ref()
            .and_then(|id| self.members.get(id))
            .is_some_and(present);
        if leads {
            return true;
        }
        let next = self
            .members
            .values()
            .find(|m| present(m))
            .map(|m| m.id.clone());
        match next {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    fn become_empty(&mut self, now: Now) {
        self.protocol = None;
        self.leader = None;
        self.transition(GroupState::Empty, now);
        self.persist(PersistReason::Emptied, self.snapshot());
    }

    fn begin_generation(&mut self, now: Now) {
        self.protocol = self.select_protocol();
        self.transition(GroupState::CompletingRebalance, now);
        self.sync_deadline = Some(now.monotonic + self.rebalance_timeout());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let outcome = self.outcome_for(&id);
            self.renew_session(&id, now);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.is_new = false;
            if let Some(ticket) = member.awaiting_join.take() {
                self.effects.push(Effect::Joined(ticket, Ok(outcome)));
            }
        }
    }

    /// The assignor that all members offer and most prefer; of equals the one
    /// first by name.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let choice = member
                .protocols
                .iter()
                .find(|p| self.members.values().all(|other| other.supports(&p.name)));
            if let Some(protocol) = choice {
                *votes.entry(&protocol.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name.to_owned())
    }
}
