//! Consumer groups (KIP-848) as the coordinator runs them: decide, append,
//! apply, and answer when it is durable.
//!
//! Memory runs ahead of the disk by what is on its way to it, as Kafka's
//! does; no answer does. Should the disk fail, the shard closes: what it
//! holds was never promised.

use super::consumer::{
    ConsumerGroup, ConsumerHeartbeat, ConsumerRecord, GroupPace, HeartbeatAnswer,
};
use super::coordinator::{GroupCoordinator, Inner};
use super::error::GroupError;
use super::kind::GroupMachine;
use super::machine::Now;
use super::records::GroupRecord;
use super::shard::{Group, Settled, Shard, ShardState, ShardStatus, Written};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes of records in one batch: a batch is atomic, but must fit
/// `max.message.bytes`.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// How long a member that could not be fenced is left alone.
const FENCE_AGAIN: Duration = Duration::from_secs(1);

impl GroupCoordinator {
    /// Handles a ConsumerGroupHeartbeat; answers when what it led to is
    /// durable.
    pub async fn consumer_heartbeat(
        &self,
        group_id: &str,
        request: ConsumerHeartbeat,
    ) -> Result<HeartbeatAnswer, GroupError> {
        let inner = &self.inner;
        if group_id.trim().is_empty() {
            return Err(GroupError::InvalidHeartbeat("GroupId can't be empty."));
        }
        request.check(&inner.config)?;
        let shard = inner.shard_of(group_id).await?;
        let (answer, settled) = {
            let mut state = shard.state.lock();
            state.check_ready()?;
            if request.leaves() {
                inner.leave_on_heartbeat(&shard, &mut state, group_id, &request)?
            } else {
                let beat = inner.heartbeat_consumer(&shard, &mut state, group_id, &request);
                inner.forget_if_untouched(&mut state, group_id);
                beat?
            }
        };
        settled.await?;
        Ok(answer)
    }

    /// What members of the group are told to do.
    pub fn consumer_heartbeat_interval(&self, group_id: &str) -> Duration {
        self.inner.pace_of(group_id).heartbeat_interval
    }
}

impl Inner {
    pub(super) fn pace_of(&self, group_id: &str) -> GroupPace {
        let consumer = &self.config.consumer;
        self.topics.pace_of(group_id).unwrap_or(GroupPace {
            session_timeout: consumer.session_timeout,
            heartbeat_interval: consumer.heartbeat_interval,
        })
    }

    fn heartbeat_consumer(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        request: &ConsumerHeartbeat,
    ) -> Result<(HeartbeatAnswer, Settled), GroupError> {
        if request.joins() {
            self.group_or_new(state, group_id)?;
        }
        let (topics, now) = (self.topics.topics(), Now::of(&*self.clock));
        let session_timeout = self.pace_of(group_id).session_timeout;
        let fresh_id = self.rand.uuid().to_string();
        let group = state
            .groups
            .get_mut(group_id)
            .ok_or(GroupError::GroupIdNotFound)?;
        if group.machine.is_dead() {
            return Err(GroupError::NotAvailable);
        }
        let (upgraded, first) = match &group.machine {
            GroupMachine::Consumer(_) => (None, Vec::new()),
            GroupMachine::Classic(_) if request.joins() => {
                let (machine, records) = self.upgraded(group, group_id)?;
                (Some(machine), records)
            }
            GroupMachine::Classic(_) => return Err(GroupError::GroupIdNotFound),
        };
        let machine: &ConsumerGroup = match (&upgraded, &group.machine) {
            (Some(machine), _) | (None, GroupMachine::Consumer(machine)) => machine,
            (None, GroupMachine::Classic(_)) => return Err(GroupError::GroupIdNotFound),
        };
        let decision = machine.heartbeat(request, &fresh_id, &*topics, now)?;
        let written = self.append_facts(shard, group_id, first, &decision.records)?;
        if let Some(machine) = upgraded {
            self.install_upgraded(shard, state, group_id, machine);
        }
        let group = state
            .groups
            .get_mut(group_id)
            .ok_or(GroupError::GroupIdNotFound)?;
        let mut is_news = !decision.records.is_empty();
        if let Some(machine) = group.machine.consumer() {
            machine.apply_all(decision.records, Some(decision.topics_seen));
            is_news |= machine.set_session_timeout(session_timeout);
            machine.renew(&decision.answer.member_id, now);
        }
        let settled = self.settle(shard, group, written);
        // A heartbeat that changes nothing only moves a deadline later.
        if is_news {
            self.schedule(shard, state, group_id);
        }
        Ok((decision.answer, settled))
    }

    fn leave_on_heartbeat(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        request: &ConsumerHeartbeat,
    ) -> Result<(HeartbeatAnswer, Settled), GroupError> {
        let group = state.groups.get_mut(group_id);
        let machine = group.and_then(|group| group.machine.consumer());
        let (leaving, answer) = machine.ok_or(GroupError::GroupIdNotFound)?.leave(request)?;
        let settled = match leaving {
            super::consumer::Leaving::ForGood(id) => {
                self.remove_members(shard, state, group_id, &[id])?
            }
            super::consumer::Leaving::ForAWhile(records) => {
                let written = self.append_facts(shard, group_id, Vec::new(), &records)?;
                let group = state
                    .groups
                    .get_mut(group_id)
                    .ok_or(GroupError::UnknownMember)?;
                if let Some(machine) = group.machine.consumer() {
                    machine.apply_all(records, None);
                }
                self.settle(shard, group, written)
            }
        };
        Ok((answer, settled))
    }

    /// Removes members of a consumer group. When only classic ones are left,
    /// it becomes a classic group.
    pub(super) fn remove_members(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        ids: &[String],
    ) -> Result<Settled, GroupError> {
        let group = state
            .groups
            .get_mut(group_id)
            .ok_or(GroupError::UnknownMember)?;
        if ids.is_empty() {
            return Ok(self.settle(shard, group, Vec::new()));
        }
        let machine = group.machine.consumer().ok_or(GroupError::UnknownMember)?;
        let left = machine.members().len().saturating_sub(ids.len());
        if machine.is_classic_without(ids)
            && self.config.consumer.migration.allows_downgrade()
            && left <= self.config.group_members_max
        {
            return self.downgrade(shard, state, group_id, ids);
        }
        let (topics, now) = (self.topics.topics(), Now::of(&*self.clock));
        let records = machine.removal(ids, &*topics, now);
        let written = self.append_facts(shard, group_id, Vec::new(), &records)?;
        machine.apply_all(records, None);
        Ok(self.settle(shard, group, written))
    }

    /// Fences the members of a consumer group that have missed a deadline.
    pub(super) fn fence_overdue(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
    ) {
        let now = Now::of(&*self.clock);
        let group = state.groups.get_mut(group_id);
        let Some(machine) = group.and_then(|group| group.machine.consumer()) else {
            return;
        };
        let late = machine.overdue(now);
        if !late.is_empty() {
            tracing::info!(group = group_id, members = ?late, "a deadline passed, members removed");
            if let Err(error) = self.remove_members(shard, state, group_id, &late) {
                tracing::warn!(group = group_id, %error, "silent members could not be removed");
                let group = state.groups.get_mut(group_id);
                if let Some(machine) = group.and_then(|group| group.machine.consumer()) {
                    machine.postpone(&late, now.monotonic + FENCE_AGAIN);
                }
            }
        }
        self.schedule(shard, state, group_id);
    }

    /// Appends facts about a consumer group after other records, in as few
    /// batches as they fit in.
    pub(super) fn append_facts(
        &self,
        shard: &Shard,
        group_id: &str,
        first: Vec<GroupRecord>,
        records: &[ConsumerRecord],
    ) -> Result<Vec<Written>, GroupError> {
        let (mut batch, mut bytes) = (first, 0);
        let mut written = Vec::new();
        for record in records {
            bytes += record.weight() + group_id.len();
            batch.push(GroupRecord::Consumer {
                group: group_id.to_owned(),
                record: record.clone(),
            });
            if bytes >= BATCH_BYTES_MAX {
                written.push(self.append(shard, &batch, None)?);
                batch.clear();
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            written.push(self.append(shard, &batch, None)?);
        }
        Ok(written)
    }

    /// When all that was decided on the group is durable. Without records of
    /// its own an answer waits for those before it, of which it may tell.
    pub(super) fn settle(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        group: &mut Group,
        written: Vec<Written>,
    ) -> Settled {
        if written.is_empty() {
            let ready = || futures::future::ready(Ok(())).boxed().shared();
            return group.settling.clone().unwrap_or_else(ready);
        }
        let (done, waiting) = oneshot::channel();
        let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
        self.runtime.spawn(async move {
            let (mut outcome, mut in_flight) = (Ok(()), Vec::with_capacity(written.len()));
            for one in written {
                let (result, guard) = one.durable().await;
                outcome = outcome.and(result);
                in_flight.push(guard);
            }
            {
                let mut state = shard.state.lock();
                drop(in_flight);
                if outcome.is_err() && state.status == ShardStatus::Ready {
                    tracing::error!(
                        partition = shard.partition,
                        "a consumer group's records are not durable: its partition is closed"
                    );
                    state.status = ShardStatus::Closed(GroupError::NotAvailable);
                }
                inner.rewrite_if_due(&shard, &mut state);
            }
            // Whoever waits may have gone away.
            let _ = done.send(outcome);
        });
        let settled = waiting
            .map(|outcome| outcome.unwrap_or(Err(GroupError::NotAvailable)))
            .boxed()
            .shared();
        group.settling = Some(settled.clone());
        settled
    }
}
