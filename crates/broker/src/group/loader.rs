//! Reading a partition of `__consumer_offsets` back into memory.

use super::config::GroupConfig;
use super::consumer::{ConsumerGroup, ConsumerRecord};
use super::coordinator::Inner;
use super::deletion::Doomed;
use super::error::GroupError;
use super::kind::GroupMachine;
use super::machine::{ClassicGroup, GroupSnapshot, Now};
use super::offsets::OffsetTable;
use super::records::{self, GroupRecord};
use super::shard::{Group, Shard, ShardStatus, storage_error};
use crate::journal::{InternalTopic, JournalError};
use millstream_core::ids::ProducerId;
use millstream_wire::batch::{BatchError, BatchView, ControlKind, EndTxnMarker, split_batches};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Pauses between the attempts to read a partition: each is twice as long as
/// the one before.
const LOAD_PAUSE_FIRST: Duration = Duration::from_millis(250);
const LOAD_PAUSE_LAST: Duration = Duration::from_secs(16);

/// Why a partition could not be read.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a batch of the partition cannot be read: {0}")]
    Batch(#[from] BatchError),
}

/// What has been read so far.
struct Replay {
    config: Arc<GroupConfig>,
    consumers: HashMap<String, ConsumerGroup>,
    snapshots: HashMap<String, GroupSnapshot>,
    offsets: HashMap<String, OffsetTable>,
    transactions: HashMap<ProducerId, BTreeSet<String>>,
    skipped: usize,
    bytes: usize,
}

impl Inner {
    /// Reads a partition; afterwards its shard answers.
    pub(super) async fn load(self: &Arc<Self>, shard: &Arc<Shard>, turns: &Semaphore) {
        let started = self.clock.monotonic();
        match self.replay_patiently(shard.partition, turns).await {
            Ok(replay) => {
                let doomed = self.install(shard, replay);
                if let Err(error) = self.remove_when_durable(shard, doomed).await {
                    tracing::warn!(partition = shard.partition, %error, "offsets of deleted topics stay");
                }
                let groups = shard.state.lock().groups.len();
                if groups > 0 {
                    let took = self.clock.monotonic().saturating_sub(started);
                    tracing::info!(partition = shard.partition, groups, ?took, "groups loaded");
                }
            }
            Err(error) => {
                tracing::error!(partition = shard.partition, %error, "groups cannot be loaded");
                shard.state.lock().status = ShardStatus::Closed(match &error {
                    LoadError::Journal(error) => storage_error(error),
                    LoadError::Batch(_) => GroupError::NotAvailable,
                });
            }
        }
        let ids: Vec<String> = shard.state.lock().groups.keys().cloned().collect();
        for id in ids {
            self.schedule(shard, &mut shard.state.lock(), &id);
        }
    }

    /// An error of the disk may be gone the next time; nobody else would load
    /// the partition before the next start.
    async fn replay_patiently(
        &self,
        partition: i32,
        turns: &Semaphore,
    ) -> Result<Replay, LoadError> {
        let mut pause = LOAD_PAUSE_FIRST;
        loop {
            let replayed = {
                // Never closed.
                let _turn = turns.acquire().await;
                self.replay(partition).await
            };
            match replayed {
                Err(LoadError::Journal(error)) if pause <= LOAD_PAUSE_LAST => {
                    tracing::warn!(partition, %error, ?pause, "groups cannot be loaded, will try again");
                    tokio::select! {
                        () = self.stop.cancelled() => return Err(error.into()),
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
    }

    async fn replay(&self, partition: i32) -> Result<Replay, LoadError> {
        let topic = InternalTopic::ConsumerOffsets;
        let mut replay = Replay::new(Arc::clone(&self.config));
        let mut offset = self.journal.start_offset(topic, partition)?;
        loop {
            let chunk = self.journal.read(topic, partition, offset).await?;
            if chunk.batches.is_empty() {
                break;
            }
            replay.bytes += chunk.batches.len();
            for batch in split_batches(chunk.batches) {
                replay.take_batch(&batch?)?;
            }
            offset = chunk.next_offset;
        }
        if replay.skipped > 0 {
            tracing::warn!(
                partition,
                records = replay.skipped,
                "records of an unknown kind skipped"
            );
        }
        Ok(replay)
    }

    fn install(&self, shard: &Shard, replay: Replay) -> Doomed {
        let now = Now::of(&*self.clock);
        shard.rewrite.grew(replay.bytes);
        let mut state = shard.state.lock();
        for (id, snapshot) in replay.snapshots {
            let recorded = Some(snapshot.clone());
            let machine = ClassicGroup::restore(Arc::clone(&self.config), snapshot, now);
            let machine = GroupMachine::Classic(machine);
            let mut group = Group::new(machine, self.next_ticket().0, &self.memory);
            group.recorded = recorded;
            state.groups.insert(id, group);
        }
        for (id, mut machine) in replay.consumers {
            machine.set_session_timeout(self.pace_of(&id).session_timeout);
            machine.start_sessions(now);
            let machine = GroupMachine::Consumer(machine);
            let group = Group::new(machine, self.next_ticket().0, &self.memory);
            state.groups.insert(id, group);
        }
        for (id, offsets) in replay.offsets {
            if offsets.is_unused() {
                continue;
            }
            let group = state.groups.entry(id).or_insert_with(|| {
                let machine = ClassicGroup::new(Arc::clone(&self.config), now);
                Group::new(
                    GroupMachine::Classic(machine),
                    self.next_ticket().0,
                    &self.memory,
                )
            });
            group.offsets = offsets;
        }
        state.transactions = replay.transactions;
        state.status = ShardStatus::Ready;
        for (producer, committed) in std::mem::take(&mut state.ended_while_loading) {
            state.end_transaction(producer, committed);
        }
        self.count_loaded(state.groups.len());
        self.doom_deleted(shard, &mut state)
    }
}

impl Replay {
    fn new(config: Arc<GroupConfig>) -> Self {
        Self {
            config,
            consumers: HashMap::new(),
            snapshots: HashMap::new(),
            offsets: HashMap::new(),
            transactions: HashMap::new(),
            skipped: 0,
            bytes: 0,
        }
    }

    /// A group is of the kind that was written last.
    fn take_consumer(&mut self, group: String, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Group { value: None } => {
                self.consumers.remove(&group);
            }
            record if record.is_tombstone() => {
                if let Some(known) = self.consumers.get_mut(&group) {
                    known.apply(record);
                }
            }
            record => {
                self.snapshots.remove(&group);
                let config = &self.config;
                self.consumers
                    .entry(group)
                    .or_insert_with(|| ConsumerGroup::new(Arc::clone(config)))
                    .apply(record);
            }
        }
    }

    fn take_batch(&mut self, batch: &BatchView) -> Result<(), LoadError> {
        let header = batch.header();
        let producer = ProducerId(header.producer_id);
        for record in batch.records()? {
            let record = record?;
            if header.is_control() {
                match EndTxnMarker::parse(&record) {
                    Ok(marker) => {
                        self.end_transaction(producer, marker.kind == ControlKind::Commit);
                    }
                    // Of a kind that came after this version.
                    Err(_) => self.skipped += 1,
                }
                continue;
            }
            let Some(key) = &record.key else {
                self.skipped += 1;
                continue;
            };
            let held_for = header.is_transactional().then_some(producer);
            match records::decode(key, record.value.as_ref(), record.offset) {
                Ok(decoded) => self.take(decoded, record.offset, held_for),
                Err(error) => {
                    tracing::debug!(offset = record.offset, %error, "record skipped");
                    self.skipped += 1;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, record: GroupRecord, journal_offset: i64, held_for: Option<ProducerId>) {
        match record {
            GroupRecord::Group {
                group,
                value: Some(snapshot),
            } => {
                self.consumers.remove(&group);
                self.snapshots.insert(group, snapshot);
            }
            GroupRecord::Group { group, value: None } => {
                self.snapshots.remove(&group);
            }
            GroupRecord::Consumer { group, record } => self.take_consumer(group, record),
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            } => {
                let offsets = self.offsets.entry(group.clone()).or_default();
                match held_for {
                    Some(producer) => {
                        offsets.hold(producer, (topic, partition), value);
                        self.transactions.entry(producer).or_default().insert(group);
                    }
                    None => offsets.apply((topic, partition), value),
                }
            }
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: None,
            } => {
                if let Some(offsets) = self.offsets.get_mut(&group) {
                    offsets.remove(&(topic, partition), journal_offset);
                }
            }
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        for group in self.transactions.remove(&producer).unwrap_or_default() {
            if let Some(offsets) = self.offsets.get_mut(&group) {
                offsets.end_transaction(producer, committed);
            }
        }
    }
}
