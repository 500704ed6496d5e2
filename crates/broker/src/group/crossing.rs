//! Requests of the classic protocol to consumer groups, and groups that
//! change from one protocol to the other (KIP-848).

use super::consumer::{from_classic, to_classic};
use super::coordinator::{Inner, Leaver};
use super::error::GroupError;
use super::join::JoinRequest;
use super::kind::GroupMachine;
use super::machine::{ClassicGroup, JoinOutcome, JoinRefusal, Now, SyncOutcome};
use super::records::GroupRecord;
use super::shard::{Group, Settled, Shard, ShardState};
use super::sync::SyncRequest;
use std::sync::Arc;

/// Who handles a JoinGroup.
pub(super) enum Route {
    /// The classic machine.
    Classic,
    /// The consumer group has: its answer, for when its records are durable.
    Consumer(JoinOutcome, Settled),
}

/// Results for each of those who leave, and when they hold.
pub(super) type Left = (Vec<Result<String, GroupError>>, Settled);

impl Inner {
    /// Handles a JoinGroup to a consumer group. One without members, or left
    /// with classic ones only, becomes a classic group first.
    pub(super) fn route_join(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        request: &JoinRequest,
    ) -> Result<Route, JoinRefusal> {
        let routed = self.try_route_join(shard, state, group_id, request);
        routed.map_err(|error| {
            let is_named = error == GroupError::MemberIdRequired;
            let member_id = match is_named {
                true => request.fresh_member_id.clone(),
                false => request.member_id.clone(),
            };
            JoinRefusal { error, member_id }
        })
    }

    fn try_route_join(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        request: &JoinRequest,
    ) -> Result<Route, GroupError> {
        let group = state.groups.get_mut(group_id);
        let Some(machine) = group.and_then(|group| group.machine.consumer()) else {
            return Ok(Route::Classic);
        };
        if machine.is_dead() {
            return Err(GroupError::NotAvailable);
        }
        if machine.is_unused() {
            if !request.member_id.is_empty() {
                return Err(GroupError::UnknownMember);
            }
            // What the member is told waits for records that come later.
            drop(self.downgrade(shard, state, group_id, &[])?);
            return Ok(Route::Classic);
        }
        let (topics, now) = (self.topics.topics(), Now::of(&*self.clock));
        let decision = machine.join(request, &*topics, now)?;
        let replaced: Vec<String> = decision.replaced.into_iter().collect();
        let is_last = replaced.first().is_some_and(|id| {
            let is_classic = machine.members().all(|m| &m.id == id || m.is_classic());
            is_classic && machine.members().any(|m| &m.id == id && !m.is_classic())
        });
        if is_last && self.config.consumer.migration.allows_downgrade() {
            drop(self.downgrade(shard, state, group_id, &replaced)?);
            return Ok(Route::Classic);
        }
        let written = self.append_facts(shard, group_id, Vec::new(), &decision.records)?;
        let group = state
            .groups
            .get_mut(group_id)
            .ok_or(GroupError::UnknownMember)?;
        if let Some(machine) = group.machine.consumer() {
            let id = &decision.outcome.member_id;
            machine.apply_all(decision.records, Some(decision.topics_seen));
            machine.renew(id, now);
            machine.await_sync(id, now);
        }
        let settled = self.settle(shard, group, written);
        self.schedule(shard, state, group_id);
        Ok(Route::Consumer(decision.outcome, settled))
    }

    /// Handles a SyncGroup to a consumer group.
    pub(super) fn sync_in_consumer_group(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        request: &SyncRequest,
    ) -> Result<(SyncOutcome, Settled), GroupError> {
        let (topics, now) = (self.topics.topics(), Now::of(&*self.clock));
        let group = state.group(group_id)?.ok_or(GroupError::UnknownMember)?;
        let machine = group.machine.consumer().ok_or(GroupError::UnknownMember)?;
        let outcome = machine.sync(request, &*topics, now);
        let settled = self.settle(shard, group, Vec::new());
        self.schedule(shard, state, group_id);
        Ok((outcome?, settled))
    }

    /// Handles a LeaveGroup, if it is to a consumer group.
    pub(super) fn leave_consumer_group(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        group_id: &str,
        leavers: &[Leaver],
    ) -> Result<Option<Left>, GroupError> {
        let mut state = shard.state.lock();
        let group = state.group(group_id)?;
        let Some(machine) = group.and_then(|group| group.machine.consumer()) else {
            return Ok(None);
        };
        let mut results = Vec::with_capacity(leavers.len());
        let mut ids: Vec<String> = Vec::new();
        for leaver in leavers {
            let result = machine.leaver(&leaver.member_id, leaver.instance_id.as_deref());
            if let Ok(id) = &result
                && !ids.contains(id)
            {
                ids.push(id.clone());
            }
            results.push(result);
        }
        let settled = self.remove_members(shard, &mut state, group_id, &ids)?;
        Ok(Some((results, settled)))
    }

    /// The consumer group that a classic group becomes, where it may, with
    /// the records that are to come first.
    pub(super) fn upgraded(
        &self,
        group: &Group,
        group_id: &str,
    ) -> Result<(super::consumer::ConsumerGroup, Vec<GroupRecord>), GroupError> {
        let GroupMachine::Classic(classic) = &group.machine else {
            return Err(GroupError::GroupIdNotFound);
        };
        let may = classic.is_unused() || self.config.consumer.migration.allows_upgrade();
        let has_room = classic.members().count() <= self.config.consumer.members_max;
        if !may || !has_room || group.machine.is_dead() {
            return Err(GroupError::GroupIdNotFound);
        }
        let (topics, now) = (self.topics.topics(), Now::of(&*self.clock));
        let (machine, records) = from_classic(classic, &self.config, &*topics, now)
            .ok_or(GroupError::GroupIdNotFound)?;
        let mut all = Vec::with_capacity(records.len() + 1);
        if group.recorded.is_some() {
            all.push(GroupRecord::Group {
                group: group_id.to_owned(),
                value: None,
            });
        }
        // A group without members is written with its first one.
        if !classic.is_unused() {
            all.extend(records.into_iter().map(|record| GroupRecord::Consumer {
                group: group_id.to_owned(),
                record,
            }));
        }
        Ok((machine, all))
    }

    /// Puts a consumer group in the place of a classic one, whose waiting
    /// members are told to join again.
    pub(super) fn install_upgraded(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        machine: super::consumer::ConsumerGroup,
    ) {
        let incarnation = self.next_ticket().0;
        let Some(group) = state.groups.get_mut(group_id) else {
            return;
        };
        let members = machine.members().len();
        let before = std::mem::replace(&mut group.machine, GroupMachine::Consumer(machine));
        group.recorded = None;
        group.incarnation = incarnation;
        if let GroupMachine::Classic(mut classic) = before {
            if members > 0 {
                tracing::info!(
                    group = group_id,
                    members,
                    "group upgraded to the new protocol"
                );
            }
            let now = Now::of(&*self.clock);
            let effects = classic.resign(GroupError::RebalanceInProgress, now);
            self.carry_out(shard, state, group_id, effects);
        }
    }

    /// Puts a classic group in the place of a consumer group without the
    /// members named; the others are to join again.
    pub(super) fn downgrade(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        without: &[String],
    ) -> Result<Settled, GroupError> {
        let (topics, now) = (self.topics.topics(), Now::of(&*self.clock));
        let group = state.group(group_id)?.ok_or(GroupError::UnknownMember)?;
        let machine = group.machine.consumer().ok_or(GroupError::UnknownMember)?;
        let tombstones = machine.all_tombstones();
        let mut classic = if machine.members().all(|m| without.contains(&m.id)) {
            ClassicGroup::new(Arc::clone(&self.config), now)
        } else {
            to_classic(machine, without, &*topics, now)
        };
        let members = classic.members().count();
        let snapshot = (members > 0).then(|| classic.snapshot());
        let mut written = self.append_facts(shard, group_id, Vec::new(), &tombstones)?;
        if let Some(snapshot) = &snapshot {
            let record = GroupRecord::Group {
                group: group_id.to_owned(),
                value: Some(snapshot.clone()),
            };
            written.push(self.append(shard, &[record], None)?);
            tracing::info!(
                group = group_id,
                members,
                "group downgraded to the classic protocol"
            );
        }
        let effects = if members > 0 {
            classic.rejoin_all(now)
        } else {
            Vec::new()
        };
        group.machine = GroupMachine::Classic(classic);
        group.recorded = snapshot;
        group.incarnation = self.next_ticket().0;
        let settled = self.settle(shard, group, written);
        self.carry_out(shard, state, group_id, effects);
        Ok(settled)
    }
}
