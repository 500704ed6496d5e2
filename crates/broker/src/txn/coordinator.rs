//! The transaction coordinator: what requests and the in-process bus call.
//!
//! # What is durable when
//!
//! Ending a transaction takes three writes: the decision (PrepareCommit) into
//! `__transaction_state`, a marker into every partition, the end
//! (CompleteCommit) into `__transaction_state`. In sequence that would be
//! three syncs. Two are enough before the client is answered:
//!
//! 1. The **decision** is awaited: until it is durable the transaction could
//!    still abort after a crash, so no marker may be written.
//! 2. The **markers** go out to all partitions at once and are awaited
//!    together. Kafka answers already after the decision; we wait for the
//!    markers because then whoever reads committed records sees the
//!    transaction as soon as its producer knows of it, and because the next
//!    transaction of the same producer would otherwise begin with
//!    `CONCURRENT_TRANSACTIONS` and a pause. Should the markers take longer
//!    than [`ANSWER_WAIT_MAX`] (a partition without leader), the answer goes
//!    out without them, as Kafka's does: the decision stands.
//! 3. The **end** is appended, not awaited. If a crash loses it, the decision
//!    is found again and the markers are written a second time, which changes
//!    nothing. That cannot hit a later transaction: one can only begin with a
//!    record of its own behind the end in the same partition, and what is
//!    durable there is a prefix. A partition that took part in it therefore
//!    proves that the end was durable too.
//!
//! Adding partitions is awaited before the client may write to them: a batch
//! of a transaction that no coordinator remembers would hold back the last
//! stable offset for ever.

use super::config::{TRANSACTIONAL_ID_BYTES_MAX, TxnConfig};
use super::error::TxnError;
use super::machine::{
    AddDecision, EndDecision, InitDecision, Producer, Transit, TxnMachine, TxnOutcome,
};
use super::markers::{MarkerWriter, ProducerIdSource, ProducerIds};
use super::shard::{Entry, Shard, ShardState, ShardStatus, storage_error};
use crate::journal::{Appended, InternalTopic, Journal, partition_for};
use crate::task::detached;
use millstream_core::env::Clock;
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::sync::futures::OwnedNotified;
use tokio_util::sync::CancellationToken;

/// Longest that the end of a transaction waits for its markers.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the coordinator works with.
pub struct TxnServices {
    /// Settings and bounds.
    pub config: TxnConfig,
    /// Where transactional ids are kept.
    pub journal: Arc<dyn Journal>,
    /// Who writes markers.
    pub markers: Arc<dyn MarkerWriter>,
    /// Who hands out producer ids.
    pub producer_ids: Arc<dyn ProducerIdSource>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// The transaction coordinator. Cheap to clone: a handle.
#[derive(Clone)]
pub struct TxnCoordinator {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) config: TxnConfig,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) markers: Arc<dyn MarkerWriter>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whose tasks finish what callers began, wherever those run.
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    producer_ids: ProducerIds,
    shards: OnceCell<Vec<Arc<Shard>>>,
    ids_count: AtomicUsize,
}

impl TxnCoordinator {
    /// A coordinator that has not read anything yet; to be called within the
    /// broker's runtime, which all its tasks run on. See
    /// [`TxnCoordinator::start`].
    pub fn new(services: TxnServices) -> Self {
        let inner = Inner {
            config: services.config,
            journal: services.journal,
            markers: services.markers,
            clock: services.clock,
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            producer_ids: ProducerIds::new(services.producer_ids),
            shards: OnceCell::new(),
            ids_count: AtomicUsize::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Begins to read what is in `__transaction_state` (meanwhile the answer
    /// is `COORDINATOR_LOAD_IN_PROGRESS`), finishes what a crash left
    /// undecided or half done, and watches timeouts. To be called after the
    /// group coordinator has been started.
    pub async fn start(&self) {
        if self
            .inner
            .journal
            .partitions(InternalTopic::TransactionState)
            .is_some()
            && let Err(error) = self.inner.shards().await
        {
            tracing::error!(%error, "the transaction coordinator cannot start");
        }
        let inner = Arc::clone(&self.inner);
        self.inner
            .runtime
            .spawn(async move { inner.watch_timeouts().await });
        let inner = Arc::clone(&self.inner);
        self.inner
            .runtime
            .spawn(async move { inner.watch_expiration().await });
    }

    /// Ends the watching; nothing new begins.
    pub fn shutdown(&self) {
        self.inner.stop.cancel();
        for shard in self.inner.shards.get().into_iter().flatten() {
            let mut state = shard.state.lock();
            state.status = ShardStatus::Closed(TxnError::NotAvailable);
            for entry in state.ids.values() {
                entry.notify();
            }
        }
    }

    /// The partition of `__transaction_state` that the id lives in; creates
    /// the topic at first use.
    pub async fn partition_of(&self, id: &str) -> Result<i32, TxnError> {
        Ok(self.inner.shard_of(id).await?.partition)
    }

    /// A producer id for a producer without transactions.
    pub async fn init_idempotent(&self) -> Result<Producer, TxnError> {
        let id = self.inner.producer_ids.next().await?;
        Ok(Producer {
            id,
            epoch: ProducerEpoch(0),
        })
    }

    /// Begins a new instance of a transactional producer: fences every older
    /// one and ends what it left open. `expected` is the instance that the
    /// caller believes to be (KIP-360).
    pub async fn init_producer(
        &self,
        id: &str,
        timeout: Duration,
        expected: Option<Producer>,
    ) -> Result<Producer, TxnError> {
        if timeout.is_zero() || timeout > self.inner.config.timeout_max {
            return Err(TxnError::InvalidTimeout);
        }
        let shard = self.inner.shard_of(id).await?;
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        let work = detached(&self.inner.runtime, async move {
            inner.init(&shard, &id, timeout, expected).await
        });
        work.await.unwrap_or(Err(TxnError::NotAvailable))
    }

    /// Adds partitions to the open transaction, or opens one with them.
    pub async fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), TxnError> {
        let shard = self.inner.shard_of(id).await?;
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        let work = detached(&self.inner.runtime, async move {
            inner.add(&shard, &id, producer, &partitions).await
        });
        work.await.unwrap_or(Err(TxnError::NotAvailable))
    }

    /// Whether the open transaction includes the partition; asked before a
    /// transactional batch is appended. Answers from memory.
    pub async fn verify(
        &self,
        id: &str,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Result<(), TxnError> {
        let shard = self.inner.shard_of(id).await?;
        let mut state = shard.state.lock();
        state.entry(id)?.machine.verify(producer, partition)
    }

    /// Ends the open transaction; returns when its records are visible (or
    /// gone) everywhere. See the module's documentation.
    pub async fn end(
        &self,
        id: &str,
        producer: Producer,
        outcome: TxnOutcome,
    ) -> Result<(), TxnError> {
        let shard = self.inner.shard_of(id).await?;
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        let work = detached(&self.inner.runtime, async move {
            inner.end(&shard, &id, producer, outcome).await
        });
        work.await.unwrap_or(Err(TxnError::NotAvailable))
    }
}

/// What one attempt at an InitProducerId leads to.
enum InitStep {
    /// It is done.
    Done(Producer),
    /// Its record is on its way.
    Written(Transit, Appended),
    /// It needs a producer id of its own.
    NeedsProducerId,
    /// An earlier step has to end first.
    Busy(OwnedNotified),
}

/// What one attempt at another operation leads to.
enum Step {
    /// There is nothing to write.
    Done,
    /// Its record is on its way.
    Written(Transit, Appended),
    /// An earlier step has to end first.
    Busy(OwnedNotified),
}

impl Inner {
    async fn init(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        timeout: Duration,
        expected: Option<Producer>,
    ) -> Result<Producer, TxnError> {
        let deadline = self.clock.monotonic() + self.config.concurrent_wait_max;
        let mut fresh = None;
        if !shard.state.lock().ids.contains_key(id) {
            fresh = Some(self.producer_ids.next().await?);
        }
        loop {
            match self.try_init(shard, id, timeout, expected, fresh)? {
                InitStep::Done(producer) => return Ok(producer),
                InitStep::Written(transit, appended) => {
                    let Transit { next } = &transit;
                    let producer = Producer {
                        id: next.producer_id,
                        epoch: next.epoch,
                    };
                    self.settle(shard, id, transit, appended).await?;
                    return Ok(producer);
                }
                InitStep::NeedsProducerId => fresh = Some(self.producer_ids.next().await?),
                InitStep::Busy(change) => self.wait_for(change, deadline).await?,
            }
        }
    }

    fn try_init(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        timeout: Duration,
        expected: Option<Producer>,
        fresh: Option<ProducerId>,
    ) -> Result<InitStep, TxnError> {
        let mut state = shard.state.lock();
        let entry = self.entry_or_new(&mut state, id, fresh)?;
        let change = entry.next_change();
        match entry
            .machine
            .init(expected, fresh, timeout, self.clock.now_ms())
        {
            Ok(InitDecision::Answer(producer)) => Ok(InitStep::Done(producer)),
            Ok(InitDecision::NeedsProducerId) => Ok(InitStep::NeedsProducerId),
            Ok(InitDecision::Write(transit)) => {
                let appended = self.append(shard, entry, id, &transit)?;
                Ok(InitStep::Written(transit, appended))
            }
            Ok(InitDecision::AbortFirst(transit)) => {
                let appended = self.append(shard, entry, id, &transit)?;
                let (inner, shard, id) = (Arc::clone(self), Arc::clone(shard), id.to_owned());
                self.runtime.spawn(async move {
                    let ended = inner.carry_through(&shard, &id, transit, appended).await;
                    if let Err(error) = ended {
                        tracing::warn!(%error, id, "a fenced instance's transaction is still open");
                    }
                });
                Ok(InitStep::Busy(change))
            }
            Err(TxnError::ConcurrentTransactions) => Ok(InitStep::Busy(change)),
            Err(error) => Err(error),
        }
    }

    async fn add(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        producer: Producer,
        partitions: &[TopicPartition],
    ) -> Result<(), TxnError> {
        let attempt = |entry: &mut Entry, now_ms| {
            let known = entry.machine.image().partitions.len();
            if known.saturating_add(partitions.len()) > self.config.partitions_max {
                return Err(TxnError::InvalidRequest);
            }
            match entry.machine.add_partitions(producer, partitions, now_ms)? {
                AddDecision::Write(transit) => Ok(Some(transit)),
                AddDecision::AlreadyThere => Ok(None),
            }
        };
        let Some((transit, appended)) = self.write_when_idle(shard, id, attempt).await? else {
            return Ok(());
        };
        self.settle(shard, id, transit, appended).await
    }

    async fn end(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        producer: Producer,
        outcome: TxnOutcome,
    ) -> Result<(), TxnError> {
        let attempt =
            |entry: &mut Entry, now_ms| match entry.machine.end(producer, outcome, now_ms)? {
                EndDecision::Write(transit) => Ok(Some(transit)),
                EndDecision::AlreadyEnded => Ok(None),
            };
        let Some((transit, appended)) = self.write_when_idle(shard, id, attempt).await? else {
            return Ok(());
        };
        self.carry_through(shard, id, transit, appended).await
    }

    /// Tries `attempt` until no earlier step is in its way, and appends what
    /// it wants written.
    async fn write_when_idle(
        &self,
        shard: &Arc<Shard>,
        id: &str,
        attempt: impl Fn(&mut Entry, i64) -> Result<Option<Transit>, TxnError>,
    ) -> Result<Option<(Transit, Appended)>, TxnError> {
        let deadline = self.clock.monotonic() + self.config.concurrent_wait_max;
        loop {
            match self.try_write(shard, id, &attempt)? {
                Step::Done => return Ok(None),
                Step::Written(transit, appended) => return Ok(Some((transit, appended))),
                Step::Busy(change) => self.wait_for(change, deadline).await?,
            }
        }
    }

    fn try_write(
        &self,
        shard: &Arc<Shard>,
        id: &str,
        attempt: impl Fn(&mut Entry, i64) -> Result<Option<Transit>, TxnError>,
    ) -> Result<Step, TxnError> {
        let mut state = shard.state.lock();
        let entry = state.entry(id)?;
        let change = entry.next_change();
        match attempt(entry, self.clock.now_ms()) {
            Ok(None) => Ok(Step::Done),
            Ok(Some(transit)) => {
                let appended = self.append(shard, entry, id, &transit)?;
                Ok(Step::Written(transit, appended))
            }
            Err(TxnError::ConcurrentTransactions) => Ok(Step::Busy(change)),
            Err(error) => Err(error),
        }
    }

    async fn wait_for(&self, change: OwnedNotified, deadline: Duration) -> Result<(), TxnError> {
        let left = deadline.saturating_sub(self.clock.monotonic());
        let waited = tokio::time::timeout(left, change).await;
        waited.map_err(|_| TxnError::ConcurrentTransactions)
    }

    /// Appends a transit's record; cancels the transit if that fails.
    pub(super) fn append(
        &self,
        shard: &Shard,
        entry: &mut Entry,
        id: &str,
        transit: &Transit,
    ) -> Result<Appended, TxnError> {
        let appended = shard.append(
            &*self.journal,
            &[(id, Some(&transit.next))],
            self.clock.now_ms(),
        );
        if appended.is_err() {
            entry.machine.cancel();
        }
        appended
    }

    /// Awaits a transit's record and lets the transit take effect.
    pub(super) async fn settle(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        transit: Transit,
        appended: Appended,
    ) -> Result<(), TxnError> {
        let outcome = appended
            .durable
            .await
            .map_err(|error| storage_error(&error));
        let mut state = shard.state.lock();
        let entry = state.ids.get_mut(id).ok_or(TxnError::NotCoordinator)?;
        match outcome {
            Ok(()) => entry.machine.complete(transit),
            Err(_) => entry.machine.cancel(),
        }
        entry.notify();
        self.rewrite_if_due(shard, &mut state);
        outcome
    }

    /// Takes a decision through to its end.
    pub(super) async fn carry_through(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        transit: Transit,
        appended: Appended,
    ) -> Result<(), TxnError> {
        self.settle(shard, id, transit, appended).await?;
        let (inner, shard, id) = (Arc::clone(self), Arc::clone(shard), id.to_owned());
        let finishing = self
            .runtime
            .spawn(async move { inner.finish(&shard, &id).await });
        // Answered without the markers if they take too long; the task goes on.
        let _ = tokio::time::timeout(ANSWER_WAIT_MAX, finishing).await;
        Ok(())
    }

    /// All shards; creates the topic at first use.
    pub(super) async fn shards(self: &Arc<Self>) -> Result<&[Arc<Shard>], TxnError> {
        let shards = self.shards.get_or_try_init(|| self.open_shards()).await?;
        Ok(shards)
    }

    /// All shards, if the topic exists; it is not created for a question.
    pub(super) async fn existing_shards(self: &Arc<Self>) -> Result<&[Arc<Shard>], TxnError> {
        let exists = self
            .journal
            .partitions(InternalTopic::TransactionState)
            .is_some();
        if self.shards.initialized() || exists {
            self.shards().await
        } else {
            Ok(&[])
        }
    }

    async fn open_shards(self: &Arc<Self>) -> Result<Vec<Arc<Shard>>, TxnError> {
        let topic = InternalTopic::TransactionState;
        let is_new = self.journal.partitions(topic).is_none();
        let count = self
            .journal
            .ensure(topic, self.config.state_topic_partitions)
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
            let (inner, loading) = (Arc::clone(self), shards.clone());
            self.runtime.spawn(async move {
                for shard in loading {
                    inner.load(&shard).await;
                }
            });
        }
        Ok(shards)
    }

    pub(super) async fn shard_of(self: &Arc<Self>, id: &str) -> Result<Arc<Shard>, TxnError> {
        if id.is_empty() || id.len() > TRANSACTIONAL_ID_BYTES_MAX {
            return Err(TxnError::InvalidRequest);
        }
        let shards = self.shards().await?;
        let index = partition_for(id, i32::try_from(shards.len()).unwrap_or(i32::MAX));
        let shard = usize::try_from(index)
            .ok()
            .and_then(|index| shards.get(index));
        shard.cloned().ok_or(TxnError::NotAvailable)
    }

    fn entry_or_new<'a>(
        &self,
        state: &'a mut ShardState,
        id: &str,
        fresh: Option<ProducerId>,
    ) -> Result<&'a mut Entry, TxnError> {
        state.check_ready()?;
        if !state.ids.contains_key(id) {
            let producer_id = fresh.ok_or(TxnError::NotAvailable)?;
            if self.ids_count.fetch_add(1, Ordering::Relaxed) >= self.config.ids_max {
                self.ids_count.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(
                    ids_max = self.config.ids_max,
                    "no room for a transactional id"
                );
                return Err(TxnError::TooManyIds);
            }
            let machine = TxnMachine::new(producer_id, self.clock.now_ms());
            state.ids.insert(id.to_owned(), Entry::new(machine));
        }
        state.entry(id)
    }

    pub(super) fn count_loaded(&self, ids: usize) {
        self.ids_count.fetch_add(ids, Ordering::Relaxed);
    }

    pub(super) fn forget(&self, state: &mut ShardState, id: &str) {
        if let Some(entry) = state.ids.remove(id) {
            entry.notify();
            self.ids_count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
