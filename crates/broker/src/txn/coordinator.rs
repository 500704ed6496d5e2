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
use super::image::{ClientVersion, Producer, TxnOutcome};
use super::machine::{AddDecision, EndDecision, InitDecision, Transit, TxnMachine};
use super::markers::{MarkerWriter, ProducerIdSource, ProducerIds};
use super::shard::{Entry, Shard, ShardState, ShardStatus, Writing, storage_error};
use crate::journal::{Appended, InternalTopic, Journal, partition_for};
use crate::seldom::Seldom;
use crate::task::detached;
use millstream_core::env::Clock;
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OnceCell};
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
    pub(super) ids_count: AtomicUsize,
    /// An id was refused because there are too many.
    pub(super) crowded: Notify,
    pub(super) marker_failure_told: Seldom,
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
            crowded: Notify::new(),
            marker_failure_told: Seldom::default(),
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
        client: ClientVersion,
    ) -> Result<(), TxnError> {
        let shard = self.inner.shard_of(id).await?;
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        let work = detached(&self.inner.runtime, async move {
            inner.add(&shard, &id, producer, &partitions, client).await
        });
        work.await.unwrap_or(Err(TxnError::NotAvailable))
    }

    /// Whether the open transaction includes the partition; asked before a
    /// transactional batch is appended. Answers from memory. No marker is
    /// written before the answer is dropped (KIP-890's verification guard).
    pub async fn verify_writing(
        &self,
        id: &str,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Result<Writing, TxnError> {
        let shard = self.inner.shard_of(id).await?;
        let mut state = shard.state.lock();
        let entry = state.entry(id)?;
        entry.machine.verify(producer, partition)?;
        Ok(entry.writers.enter())
    }

    /// Ends the open transaction; returns when its records are visible (or
    /// gone) everywhere, with the instance that its producer goes on as: the
    /// same, or with version 2 one of a new epoch. See the module's
    /// documentation.
    pub async fn end(
        &self,
        id: &str,
        producer: Producer,
        outcome: TxnOutcome,
        client: ClientVersion,
    ) -> Result<Producer, TxnError> {
        let shard = self.inner.shard_of(id).await?;
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        let work = detached(&self.inner.runtime, async move {
            inner.end(&shard, &id, producer, outcome, client).await
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

/// What one attempt at another operation wants.
enum Attempt {
    /// There is nothing to write; the producer stays, or is now, this one.
    Done(Producer),
    /// This is to be written.
    Write(Transit),
    /// It needs a producer id of its own.
    NeedsProducerId,
}

impl From<EndDecision> for Attempt {
    fn from(decision: EndDecision) -> Self {
        match decision {
            EndDecision::Write(transit) => Self::Write(transit),
            EndDecision::Ended(producer) => Self::Done(producer),
            EndDecision::NeedsProducerId => Self::NeedsProducerId,
        }
    }
}

/// What one attempt leads to.
enum Step {
    /// It is done, or its record is on its way.
    Outcome(Outcome),
    /// It needs a producer id of its own.
    NeedsProducerId,
    /// An earlier step has to end first.
    Busy(OwnedNotified),
}

/// What an operation leads to when nothing is in its way.
enum Outcome {
    /// There was nothing to write; the producer goes on as this one.
    Done(Producer),
    /// Its record is on its way.
    Written(Transit, Appended),
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
        let (change, decision) = {
            let mut state = shard.state.lock();
            let entry = self.entry_or_new(&mut state, id, fresh)?;
            let now_ms = self.clock.now_ms();
            let decision = entry.machine.init(expected, fresh, timeout, now_ms);
            (entry.next_change(), decision)
        };
        match decision {
            Ok(InitDecision::Answer(producer)) => Ok(InitStep::Done(producer)),
            Ok(InitDecision::NeedsProducerId) => Ok(InitStep::NeedsProducerId),
            Ok(InitDecision::Write(transit)) => {
                let appended = self.append(shard, id, &transit)?;
                Ok(InitStep::Written(transit, appended))
            }
            Ok(InitDecision::AbortFirst(transit)) => {
                let appended = self.append(shard, id, &transit)?;
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
        client: ClientVersion,
    ) -> Result<(), TxnError> {
        let partitions_max = self.config.partitions_max;
        let attempt = |machine: &mut TxnMachine, _, now_ms| {
            let known = &machine.image().partitions;
            let new = partitions.iter().filter(|p| !known.contains(p)).count();
            if known.len().saturating_add(new) > partitions_max {
                return Err(TxnError::InvalidRequest);
            }
            match machine.add_partitions(producer, partitions, client, now_ms)? {
                AddDecision::Write(transit) => Ok(Attempt::Write(transit)),
                AddDecision::AlreadyThere => Ok(Attempt::Done(producer)),
            }
        };
        match self.write_when_idle(shard, id, attempt).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Written(transit, appended) => self.settle(shard, id, transit, appended).await,
        }
    }

    async fn end(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
        producer: Producer,
        outcome: TxnOutcome,
        client: ClientVersion,
    ) -> Result<Producer, TxnError> {
        let attempt = |machine: &mut TxnMachine, fresh, now_ms| {
            let ended = machine.end(producer, outcome, client, fresh, now_ms)?;
            Ok(Attempt::from(ended))
        };
        match self.write_when_idle(shard, id, attempt).await? {
            Outcome::Done(producer) => Ok(producer),
            Outcome::Written(transit, appended) => {
                let successor = transit.next.successor();
                self.carry_through(shard, id, transit, appended).await?;
                Ok(successor)
            }
        }
    }

    /// Aborts an open transaction that has used up its time.
    pub(super) async fn time_out(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        id: &str,
    ) -> Result<(), TxnError> {
        let attempt = |machine: &mut TxnMachine, fresh, now_ms| {
            Ok(Attempt::from(machine.time_out(fresh, now_ms)?))
        };
        match self.write_when_idle(shard, id, attempt).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Written(transit, appended) => {
                self.carry_through(shard, id, transit, appended).await
            }
        }
    }

    /// Tries `attempt` until no earlier step is in its way, and appends what
    /// it wants written.
    async fn write_when_idle(
        &self,
        shard: &Arc<Shard>,
        id: &str,
        attempt: impl Fn(&mut TxnMachine, Option<ProducerId>, i64) -> Result<Attempt, TxnError>,
    ) -> Result<Outcome, TxnError> {
        let deadline = self.clock.monotonic() + self.config.concurrent_wait_max;
        let mut fresh = None;
        loop {
            let attempt = |machine: &mut TxnMachine, now_ms| attempt(machine, fresh, now_ms);
            match self.try_write(shard, id, attempt)? {
                Step::Outcome(outcome) => return Ok(outcome),
                Step::NeedsProducerId => fresh = Some(self.producer_ids.next().await?),
                Step::Busy(change) => self.wait_for(change, deadline).await?,
            }
        }
    }

    fn try_write(
        &self,
        shard: &Arc<Shard>,
        id: &str,
        attempt: impl Fn(&mut TxnMachine, i64) -> Result<Attempt, TxnError>,
    ) -> Result<Step, TxnError> {
        let (change, attempted) = {
            let mut state = shard.state.lock();
            let entry = state.entry(id)?;
            let attempted = attempt(&mut entry.machine, self.clock.now_ms());
            (entry.next_change(), attempted)
        };
        match attempted {
            Ok(Attempt::Done(producer)) => Ok(Step::Outcome(Outcome::Done(producer))),
            Ok(Attempt::NeedsProducerId) => Ok(Step::NeedsProducerId),
            Ok(Attempt::Write(transit)) => {
                let appended = self.append(shard, id, &transit)?;
                Ok(Step::Outcome(Outcome::Written(transit, appended)))
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

    /// Appends a transit's record; cancels the transit if that fails. Not to
    /// be called under the shard's lock: a slow disk would hold up other ids.
    pub(super) fn append(
        &self,
        shard: &Shard,
        id: &str,
        transit: &Transit,
    ) -> Result<Appended, TxnError> {
        let records = [(id, Some(&transit.next))];
        let appended = shard.append(&*self.journal, &records, self.clock.now_ms());
        if appended.is_err()
            && let Some(entry) = shard.state.lock().ids.get_mut(id)
        {
            entry.machine.cancel();
            entry.notify();
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
        self.rewrite_if_due(shard, &state);
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
                    "no room for a transactional id until idle ones are forgotten"
                );
                self.crowded.notify_one();
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
