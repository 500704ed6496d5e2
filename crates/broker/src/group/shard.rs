//! The groups of one partition of `__consumer_offsets`, and how what their
//! state machines decide is carried out.
//!
//! Invariant: records are appended while the shard is locked, so their order
//! in the log is the order of the decisions. Nothing waits under the lock:
//! durability is awaited by a task of its own, which no client that goes away
//! can cancel.

use super::config::GroupConfig;
use super::coordinator::Inner;
use super::error::GroupError;
use super::kind::GroupMachine;
use super::machine::{
    Effect, GroupSnapshot, JoinOutcome, JoinRefusal, Now, PersistId, SyncOutcome,
};
use super::member::Ticket;
use super::memory::{GroupMemory, OffsetsCharge};
use super::offsets::OffsetTable;
use super::records::{GroupRecord, batch_of};
use crate::journal::rewrite::{InFlight, Rewrite};
use crate::journal::{Appended, InternalTopic, JournalError};
use futures::future::{BoxFuture, Shared};
use millstream_core::ids::ProducerId;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Answer to a parked JoinGroup.
pub(super) type JoinReply = Result<JoinOutcome, JoinRefusal>;
/// Answer to a parked SyncGroup.
pub(super) type SyncReply = Result<SyncOutcome, GroupError>;

/// Becomes ready when what was decided on a consumer group is durable.
pub(super) type Settled = Shared<BoxFuture<'static, Result<(), GroupError>>>;

/// Whether a shard can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardStatus {
    /// Its partition is being read.
    Loading,
    /// It answers.
    Ready,
    /// It does not: the partition could not be read, or another node leads it.
    Closed(GroupError),
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Join(oneshot::Sender<JoinReply>),
    Sync(oneshot::Sender<SyncReply>),
}

/// A group with its offsets.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) machine: GroupMachine,
    pub(super) offsets: OffsetTable,
    /// The deadline that the timer knows of.
    pub(super) scheduled: Option<Duration>,
    /// The group's own record that was appended last; it needs a tombstone
    /// when the group goes.
    pub(super) recorded: Option<GroupSnapshot>,
    /// Tells this group from an earlier one of the same id, for which a
    /// record may still be on its way.
    pub(super) incarnation: u64,
    /// The last records of a consumer group: an answer that needs no record
    /// of its own may tell of these.
    pub(super) settling: Option<Settled>,
}

impl Group {
    pub(super) fn new(machine: GroupMachine, incarnation: u64, memory: &Arc<GroupMemory>) -> Self {
        Self {
            machine,
            offsets: OffsetTable::counted(OffsetsCharge::new(memory)),
            scheduled: None,
            recorded: None,
            incarnation,
            settling: None,
        }
    }

    /// Whether nothing was ever made of it: its first request was refused.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(&self.machine, GroupMachine::Classic(machine) if machine.is_untouched())
            && self.offsets.is_unused()
            && self.recorded.is_none()
            && self.settling.is_none()
    }
}

/// Records that have their place in the log and are on their way to the disk.
pub(super) struct Written {
    appended: Appended,
    in_flight: InFlight,
}

impl Written {
    /// Offset of the first record.
    pub(super) fn base_offset(&self) -> i64 {
        self.appended.base_offset
    }

    /// Waits for the disk. The guard is to be dropped under the shard's lock,
    /// in one go with what the records say.
    pub(super) async fn durable(self) -> (Result<(), GroupError>, InFlight) {
        let result = self.appended.durable.await;
        (
            result.map_err(|error| storage_error(&error)),
            self.in_flight,
        )
    }
}

/// One partition of `__consumer_offsets`.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) partition: i32,
    pub(super) state: Mutex<ShardState>,
    pub(super) rewrite: Arc<Rewrite>,
}

/// What a shard holds.
#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) status: ShardStatus,
    pub(super) groups: HashMap<String, Group>,
    pub(super) waiters: HashMap<Ticket, Waiter>,
    /// The groups for which an open transaction has offsets.
    pub(super) transactions: HashMap<ProducerId, BTreeSet<String>>,
    /// Markers written while the partition was being read, which may have
    /// come after the last read.
    pub(super) ended_while_loading: Vec<(ProducerId, bool)>,
    /// Topics deleted meanwhile, whose offsets the read may bring back.
    pub(super) deleted_while_loading: Vec<String>,
}

impl Shard {
    pub(super) fn new(partition: i32, status: ShardStatus, config: &GroupConfig) -> Arc<Self> {
        let state = ShardState {
            status,
            groups: HashMap::new(),
            waiters: HashMap::new(),
            transactions: HashMap::new(),
            ended_while_loading: Vec::new(),
            deleted_while_loading: Vec::new(),
        };
        Arc::new(Self {
            partition,
            state: Mutex::new(state),
            rewrite: Arc::new(Rewrite::new(config.rewrite_bytes_min)),
        })
    }
}

impl ShardState {
    pub(super) fn check_ready(&self) -> Result<(), GroupError> {
        match self.status {
            ShardStatus::Ready => Ok(()),
            ShardStatus::Loading => Err(GroupError::LoadInProgress),
            ShardStatus::Closed(error) => Err(error),
        }
    }

    /// The group, if the shard may be asked.
    pub(super) fn group(&mut self, id: &str) -> Result<Option<&mut Group>, GroupError> {
        self.check_ready()?;
        Ok(self.groups.get_mut(id))
    }

    /// Ends a producer's transaction in all groups that have a part in it.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        if self.status == ShardStatus::Loading {
            self.ended_while_loading.push((producer, committed));
        }
        for id in self.transactions.remove(&producer).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.end_transaction(producer, committed);
            }
        }
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::Joined(ticket, result) => {
                if let Some(Waiter::Join(reply)) = self.waiters.remove(&ticket) {
                    // The client may have gone away; its member expires.
                    let _ = reply.send(result);
                }
            }
            Effect::Synced(ticket, result) => {
                if let Some(Waiter::Sync(reply)) = self.waiters.remove(&ticket) {
                    let _ = reply.send(result);
                }
            }
            Effect::Persist(..) => {}
        }
    }
}

impl Inner {
    /// Carries out what a group's machine decided.
    pub(super) fn carry_out(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        state: &mut ShardState,
        group_id: &str,
        effects: Vec<Effect>,
    ) {
        let mut todo = effects;
        while !todo.is_empty() {
            let mut next = Vec::new();
            for effect in todo {
                let Effect::Persist(id, snapshot) = effect else {
                    state.answer(effect);
                    continue;
                };
                let record = GroupRecord::Group {
                    group: group_id.to_owned(),
                    value: Some(snapshot.clone()),
                };
                match self.append(shard, &[record], None) {
                    Ok(appended) => {
                        if let Some(group) = state.groups.get_mut(group_id) {
                            group.recorded = Some(snapshot);
                            let incarnation = group.incarnation;
                            self.persist_later(shard, group_id, (incarnation, id), appended);
                        }
                    }
                    Err(error) => {
                        let group = state.groups.get_mut(group_id);
                        if let Some(machine) = group.and_then(|group| group.machine.classic()) {
                            let now = Now::of(&*self.clock);
                            next.extend(machine.persisted(id, Err(error), now));
                        }
                    }
                }
            }
            todo = next;
        }
        self.schedule(shard, state, group_id);
    }

    fn persist_later(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        group_id: &str,
        (incarnation, id): (u64, PersistId),
        written: Written,
    ) {
        let (inner, shard, group_id) = (Arc::clone(self), Arc::clone(shard), group_id.to_owned());
        self.runtime.spawn(async move {
            let (result, in_flight) = written.durable().await;
            let mut state = shard.state.lock();
            drop(in_flight);
            let group = state.groups.get_mut(&group_id);
            let group = group.filter(|group| group.incarnation == incarnation);
            if let Some(machine) = group.and_then(|group| group.machine.classic()) {
                let effects = machine.persisted(id, result, Now::of(&*inner.clock));
                inner.carry_out(&shard, &mut state, &group_id, effects);
            }
            inner.rewrite_if_due(&shard, &mut state);
        });
    }

    /// Appends records to the shard's partition, as one batch.
    pub(super) fn append(
        &self,
        shard: &Shard,
        records: &[GroupRecord],
        producer: Option<crate::txn::Producer>,
    ) -> Result<Written, GroupError> {
        let batch = batch_of(records, producer, self.clock.now_ms())?;
        shard.rewrite.grew(batch.len());
        let appended = self
            .journal
            .append(InternalTopic::ConsumerOffsets, shard.partition, batch)
            .map_err(|error| storage_error(&error))?;
        Ok(Written {
            appended,
            in_flight: shard.rewrite.in_flight(),
        })
    }

    /// Tells the timer when the group wants to be looked at next.
    pub(super) fn schedule(&self, shard: &Shard, state: &mut ShardState, group_id: &str) {
        let Some(group) = state.groups.get_mut(group_id) else {
            return;
        };
        let Some(deadline) = group.machine.next_deadline() else {
            return;
        };
        // Heartbeats move deadlines later all the time: the timer finds that
        // out when it looks, so only an earlier one is news.
        if group.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            group.scheduled = Some(deadline);
            self.timers.add(deadline, shard.partition, group_id);
        }
    }
}

/// What a failure of the journal means to a client.
pub(super) fn storage_error(error: &JournalError) -> GroupError {
    match error {
        JournalError::Unavailable(_) => GroupError::NotAvailable,
        JournalError::NotLeader => GroupError::NotCoordinator,
        JournalError::ProducerFenced => GroupError::ProducerFenced,
        JournalError::TooLarge(_) => GroupError::InvalidRequest,
        JournalError::Failed(_) => {
            tracing::error!(%error, "a record of a group could not be written");
            GroupError::Storage
        }
    }
}
