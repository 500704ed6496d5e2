//! The group coordinator: what requests, the console and the in-process bus
//! call.

use super::config::{GROUP_ID_BYTES_MAX, GroupConfig};
use super::consumer::TopicSource;
use super::crossing::Route;
use super::error::GroupError;
use super::join::JoinRequest;
use super::kind::GroupMachine;
use super::machine::{ClassicGroup, Now};
use super::member::Ticket;
use super::memory::GroupMemory;
use super::shard::{
    Group, JoinReply, Shard, ShardState, ShardStatus, SyncReply, Waiter, storage_error,
};
use super::sync::SyncRequest;
use super::timers::Timers;
use crate::journal::{InternalTopic, Journal, partition_for};
use crate::seldom::Seldom;
use bytes::Bytes;
use millstream_core::env::{Clock, Rand};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// One member that leaves, as LeaveGroup names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// Member id; may be empty for a static member.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
}

/// What the coordinator works with.
pub struct GroupServices {
    /// Settings and bounds.
    pub config: GroupConfig,
    /// Where groups and offsets are kept.
    pub journal: Arc<dyn Journal>,
    /// What is known of topics, for assignments.
    pub topics: Arc<dyn TopicSource>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for member ids.
    pub rand: Arc<dyn Rand>,
}

/// The group coordinator. Cheap to clone: a handle.
#[derive(Clone)]
pub struct GroupCoordinator {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) config: Arc<GroupConfig>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) topics: Arc<dyn TopicSource>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rand: Arc<dyn Rand>,
    pub(super) timers: Timers,
    /// Whose tasks finish what callers began, wherever those run.
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    shards: OnceCell<Vec<Arc<Shard>>>,
    tickets: AtomicU64,
    groups_count: AtomicUsize,
    pub(super) memory: Arc<GroupMemory>,
    memory_told: Seldom,
}

impl GroupCoordinator {
    /// A coordinator that has not read anything yet; to be called within the
    /// broker's runtime, which all its tasks run on. See
    /// [`GroupCoordinator::start`].
    pub fn new(services: GroupServices) -> Self {
        let config = &services.config;
        let memory = GroupMemory::new(config.members_bytes_max, config.offsets_bytes_max);
        let inner = Inner {
            memory,
            memory_told: Seldom::default(),
            config: Arc::new(services.config),
            journal: services.journal,
            topics: services.topics,
            clock: services.clock,
            rand: services.rand,
            timers: Timers::default(),
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            shards: OnceCell::new(),
            tickets: AtomicU64::new(0),
            groups_count: AtomicUsize::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Begins to read what is in `__consumer_offsets` (meanwhile the answer
    /// is `COORDINATOR_LOAD_IN_PROGRESS`) and to watch sessions.
    pub async fn start(&self) {
        if self
            .inner
            .journal
            .partitions(InternalTopic::ConsumerOffsets)
            .is_some()
            && let Err(error) = self.inner.shards().await
        {
            tracing::error!(%error, "the group coordinator cannot start");
        }
        let inner = Arc::clone(&self.inner);
        self.inner
            .runtime
            .spawn(async move { inner.watch_sessions().await });
        let inner = Arc::clone(&self.inner);
        self.inner
            .runtime
            .spawn(async move { inner.watch_retention().await });
    }

    /// Ends the watching and answers every request that waits.
    pub fn shutdown(&self) {
        self.inner.stop.cancel();
        let now = Now::of(&*self.inner.clock);
        for shard in self.inner.shards.get().into_iter().flatten() {
            let mut state = shard.state.lock();
            state.status = ShardStatus::Closed(GroupError::NotAvailable);
            let ids: Vec<String> = state.groups.keys().cloned().collect();
            for id in ids {
                let Some(group) = state.groups.get_mut(&id) else {
                    continue;
                };
                if let Some(machine) = group.machine.classic() {
                    let effects = machine.resign(GroupError::NotAvailable, now);
                    self.inner.carry_out(shard, &mut state, &id, effects);
                }
            }
        }
    }

    /// The partition of `__consumer_offsets` that the group lives in; creates
    /// the topic at first use.
    pub async fn partition_of(&self, group_id: &str) -> Result<i32, GroupError> {
        Ok(self.inner.shard_of_any(group_id).await?.partition)
    }

    /// Joins a member; waits until the generation begins.
    pub async fn join(&self, group_id: &str, mut request: JoinRequest) -> JoinReply {
        let member_id = request.member_id.clone();
        let refuse = |error| super::machine::JoinRefusal {
            error,
            member_id: member_id.clone(),
        };
        let shard = self.inner.shard_of(group_id).await.map_err(refuse)?;
        request.fresh_member_id = self.inner.fresh_member_id(&request);
        let bytes = request.bytes();
        let metadata = request.protocols.iter_mut().map(|p| &mut p.metadata);
        self.inner.keep(bytes, metadata).map_err(refuse)?;
        let (reply, answer) = oneshot::channel();
        let settled = 'parked: {
            let mut state = shard.state.lock();
            state.check_ready().map_err(refuse)?;
            if request.member_id.is_empty() {
                self.inner
                    .group_or_new(&mut state, group_id)
                    .map_err(refuse)?;
            }
            match self
                .inner
                .route_join(&shard, &mut state, group_id, &request)?
            {
                Route::Classic => {}
                Route::Consumer(outcome, settled) => break 'parked Some((outcome, settled)),
            }
            let ticket = self.inner.next_ticket();
            let now = Now::of(&*self.inner.clock);
            let machine = state
                .groups
                .get_mut(group_id)
                .and_then(|group| group.machine.classic())
                .ok_or_else(|| refuse(GroupError::UnknownMember))?;
            let effects = machine.join(request, ticket, now);
            state.waiters.insert(ticket, Waiter::Join(reply));
            self.inner.carry_out(&shard, &mut state, group_id, effects);
            self.inner.forget_if_untouched(&mut state, group_id);
            None
        };
        if let Some((outcome, settled)) = settled {
            settled.await.map_err(refuse)?;
            return Ok(outcome);
        }
        answer
            .await
            .unwrap_or_else(|_| Err(refuse(GroupError::NotAvailable)))
    }

    /// Hands in (the leader) and waits for the assignment.
    pub async fn sync(&self, group_id: &str, mut request: SyncRequest) -> SyncReply {
        let shard = self.inner.shard_of(group_id).await?;
        let bytes = request.assignments.iter();
        let bytes = bytes.map(|(id, a)| id.len() + a.len()).sum();
        let assignments = request.assignments.iter_mut().map(|(_, a)| a);
        self.inner.keep(bytes, assignments)?;
        let (reply, answer) = oneshot::channel();
        let settled = 'parked: {
            let mut state = shard.state.lock();
            let now = Now::of(&*self.inner.clock);
            let group = state.group(group_id)?.ok_or(GroupError::UnknownMember)?;
            let Some(machine) = group.machine.classic() else {
                let synced = self
                    .inner
                    .sync_in_consumer_group(&shard, &mut state, group_id, &request)?;
                break 'parked Some(synced);
            };
            let ticket = self.inner.next_ticket();
            let effects = machine.sync(request, ticket, now);
            state.waiters.insert(ticket, Waiter::Sync(reply));
            self.inner.carry_out(&shard, &mut state, group_id, effects);
            None
        };
        if let Some((outcome, settled)) = settled {
            settled.await?;
            return Ok(outcome);
        }
        answer.await.unwrap_or(Err(GroupError::NotAvailable))
    }

    /// Keeps a member's session alive.
    pub async fn heartbeat(
        &self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        let shard = self.inner.shard_of(group_id).await?;
        let mut state = shard.state.lock();
        if state.status == ShardStatus::Loading {
            // Nothing is known of the member yet, and nothing held against it.
            return Ok(());
        }
        let now = Now::of(&*self.inner.clock);
        let group = state.group(group_id)?.ok_or(GroupError::UnknownMember)?;
        match &mut group.machine {
            GroupMachine::Classic(machine) => {
                machine.heartbeat(member_id, instance_id, generation, now)
            }
            GroupMachine::Consumer(machine) => {
                let result = machine.classic_heartbeat(member_id, instance_id, generation, now);
                self.inner.schedule(&shard, &mut state, group_id);
                result
            }
        }
    }

    /// Removes members; one result for each, the member's id when it is gone.
    pub async fn leave(
        &self,
        group_id: &str,
        leavers: &[Leaver],
    ) -> Result<Vec<Result<String, GroupError>>, GroupError> {
        let shard = self.inner.shard_of(group_id).await?;
        let left = self.inner.leave_consumer_group(&shard, group_id, leavers)?;
        if let Some((results, settled)) = left {
            settled.await?;
            return Ok(results);
        }
        let mut state = shard.state.lock();
        state.check_ready()?;
        let now = Now::of(&*self.inner.clock);
        let mut results = Vec::with_capacity(leavers.len());
        for leaver in leavers {
            let group = state.groups.get_mut(group_id);
            let Some(machine) = group.and_then(|group| group.machine.classic()) else {
                results.push(Err(GroupError::UnknownMember));
                continue;
            };
            let (result, effects) =
                machine.leave(&leaver.member_id, leaver.instance_id.as_deref(), now);
            self.inner.carry_out(&shard, &mut state, group_id, effects);
            results.push(result);
        }
        Ok(results)
    }
}

impl Inner {
    /// Room for what a member leaves here. The client tries again, and there
    /// may be room by then.
    fn keep<'a>(
        &self,
        bytes: usize,
        pieces: impl Iterator<Item = &'a mut Bytes>,
    ) -> Result<(), GroupError> {
        if bytes > self.config.member_metadata_bytes_max {
            // Refused by the machine, which says why.
            return Ok(());
        }
        if self.memory.keep(bytes, pieces) {
            return Ok(());
        }
        self.tell_full("subscriptions and assignments");
        Err(GroupError::NotAvailable)
    }

    /// Says that clients have used up what there is for them.
    pub(super) fn tell_full(&self, what: &str) {
        if let Some(times) = self.memory_told.due(Instant::now()) {
            tracing::warn!(
                times,
                what,
                members_bytes_max = self.config.members_bytes_max,
                offsets_bytes_max = self.config.offsets_bytes_max,
                "no memory for what clients keep in groups: delete groups that nobody uses"
            );
        }
    }

    /// All shards, if the topic exists; it is not created for a question.
    pub(super) async fn existing_shards(self: &Arc<Self>) -> Result<&[Arc<Shard>], GroupError> {
        if self.shards.initialized()
            || self
                .journal
                .partitions(InternalTopic::ConsumerOffsets)
                .is_some()
        {
            self.shards().await
        } else {
            Ok(&[])
        }
    }

    /// All shards; creates the topic at first use.
    pub(super) async fn shards(self: &Arc<Self>) -> Result<&[Arc<Shard>], GroupError> {
        let shards = self.shards.get_or_try_init(|| self.open_shards()).await?;
        Ok(shards)
    }

    async fn open_shards(self: &Arc<Self>) -> Result<Vec<Arc<Shard>>, GroupError> {
        let topic = InternalTopic::ConsumerOffsets;
        let is_new = self.journal.partitions(topic).is_none();
        let count = self
            .journal
            .ensure(topic, self.config.offsets_topic_partitions)
            .await
            .map_err(|error| storage_error(&error))?;
        let status = if is_new {
            ShardStatus::Ready
        } else {
            ShardStatus::Loading
        };
        let shards: Vec<Arc<Shard>> = (0..count)
            .map(|p| Shard::new(p, status, &self.config))
            .collect();
        if !is_new {
            // A task for each, so that one that has to be tried again, or ends
            // badly, holds up none of the others; they read in turns.
            let turns = Arc::new(Semaphore::new(1));
            for shard in shards.iter().map(Arc::clone) {
                let (inner, turns) = (Arc::clone(self), Arc::clone(&turns));
                let one = Arc::clone(&shard);
                let loading = self
                    .runtime
                    .spawn(async move { inner.load(&one, &turns).await });
                self.runtime.spawn(async move {
                    if loading.await.is_err() {
                        shard.state.lock().status = ShardStatus::Closed(GroupError::NotAvailable);
                    }
                });
            }
        }
        Ok(shards)
    }

    pub(super) async fn shard_of(
        self: &Arc<Self>,
        group_id: &str,
    ) -> Result<Arc<Shard>, GroupError> {
        if group_id.is_empty() || group_id.len() > GROUP_ID_BYTES_MAX {
            return Err(GroupError::InvalidGroupId);
        }
        self.shard_of_any(group_id).await
    }

    /// As [`Inner::shard_of`], for requests in which an empty id is allowed:
    /// consumers with their own assignment may commit to the group "".
    pub(super) async fn shard_of_any(
        self: &Arc<Self>,
        group_id: &str,
    ) -> Result<Arc<Shard>, GroupError> {
        if group_id.len() > GROUP_ID_BYTES_MAX {
            return Err(GroupError::InvalidGroupId);
        }
        let shards = self.shards().await?;
        let index = partition_for(group_id, i32::try_from(shards.len()).unwrap_or(i32::MAX));
        let shard = usize::try_from(index)
            .ok()
            .and_then(|index| shards.get(index));
        shard.cloned().ok_or(GroupError::NotAvailable)
    }

    pub(super) fn shard(&self, partition: i32) -> Option<&Arc<Shard>> {
        let index = usize::try_from(partition).ok()?;
        self.shards.get()?.get(index)
    }

    /// The group, which is made if it is not there.
    pub(super) fn group_or_new<'a>(
        &self,
        state: &'a mut ShardState,
        group_id: &str,
    ) -> Result<&'a mut Group, GroupError> {
        if !state.groups.contains_key(group_id) {
            let taken = self.groups_count.fetch_add(1, Ordering::Relaxed);
            if taken >= self.config.groups_max {
                self.groups_count.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(
                    groups_max = self.config.groups_max,
                    "no room for another group"
                );
                return Err(GroupError::NotAvailable);
            }
        }
        let now = Now::of(&*self.clock);
        let config = &self.config;
        let incarnation = self.next_ticket().0;
        Ok(state.groups.entry(group_id.to_owned()).or_insert_with(|| {
            let machine = ClassicGroup::new(Arc::clone(config), now);
            Group::new(GroupMachine::Classic(machine), incarnation, &self.memory)
        }))
    }

    /// Lets go of a group that a refused request began, so that it is not
    /// listed and takes no room.
    pub(super) fn forget_if_untouched(&self, state: &mut ShardState, group_id: &str) {
        if state.groups.get(group_id).is_some_and(Group::is_untouched) {
            self.forget_group(state, group_id);
        }
    }

    pub(super) fn forget_group(&self, state: &mut ShardState, group_id: &str) {
        if state.groups.remove(group_id).is_some() {
            self.groups_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_loaded(&self, groups: usize) {
        self.groups_count.fetch_add(groups, Ordering::Relaxed);
    }

    pub(super) fn next_ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    fn fresh_member_id(&self, request: &JoinRequest) -> String {
        let prefix = request.instance_id.as_deref().unwrap_or(&request.client_id);
        format!("{prefix}-{}", self.rand.uuid())
    }

    async fn watch_sessions(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.timers.wait(self.clock.monotonic()) => {}
            }
            let now = Now::of(&*self.clock);
            for (partition, group_id) in self.timers.take_due(now.monotonic) {
                let Some(shard) = self.shard(partition) else {
                    continue;
                };
                let mut state = shard.state.lock();
                let Some(group) = state.groups.get_mut(&group_id) else {
                    continue;
                };
                group.scheduled = None;
                match &mut group.machine {
                    GroupMachine::Classic(machine) => {
                        let effects = machine.tick(now);
                        self.carry_out(shard, &mut state, &group_id, effects);
                    }
                    GroupMachine::Consumer(_) => {
                        self.fence_overdue(shard, &mut state, &group_id);
                    }
                }
            }
        }
    }
}

impl Group {
    /// Whether the group has neither members nor offsets, nor soon will.
    pub(super) fn is_unused(&self) -> bool {
        self.machine.is_unused() && self.offsets.is_unused() && self.machine.is_empty()
    }
}
