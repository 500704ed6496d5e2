//! An in-memory bus with Kafka's transaction semantics, for tests.
//!
//! Control markers take an offset, open transactions hold back the last
//! stable offset, aborted records stay in the log and are skipped at
//! read_committed, a newer instance fences the older one: whatever a test of
//! the engine finds here, it would find on a broker. Nothing is durable.

use super::bus::{
    Bus, BusError, BusReader, FetchedRecords, Isolation, OffsetAt, ProduceRecord, Record,
    TopicInfo, TopicSpec, TransactionWriter, UnreadableRange, Writer,
};
use crate::env::{Clock, SystemClock};
use crate::ids::{Offset, TopicPartition, check_topic_name};
use crate::limits::MESSAGE_BYTES_MAX_DEFAULT;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Topics in memory.
pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts changes that a waiting reader may want to see.
    changes: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Topic>,
    /// The newest instance of each transactional id.
    epochs: HashMap<String, u64>,
    transactions: HashMap<TxnId, Transaction>,
    groups: HashMap<String, HashMap<TopicPartition, Offset>>,
    next_txn: u64,
}

type TxnId = u64;

struct Transaction {
    transactional_id: String,
    status: TxnStatus,
    partitions: BTreeSet<TopicPartition>,
    offsets: Vec<(String, TopicPartition, Offset)>,
    deadline: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TxnStatus {
    Open,
    Committed,
    Aborted,
}

struct Topic {
    info: TopicInfo,
    /// `max.message.bytes`, the one setting that this bus knows.
    batch_bytes_max: usize,
    partitions: Vec<Partition>,
}

#[derive(Default)]
struct Partition {
    log_start: i64,
    entries: VecDeque<Entry>,
    /// First offset of each transaction that is open here.
    open: BTreeMap<TxnId, i64>,
}

struct Entry {
    /// `None` is a control marker.
    record: Option<Record>,
    txn: Option<TxnId>,
    /// Why the record cannot be read.
    damage: Option<String>,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::with_clock(SystemClock::shared())
    }
}

impl MemoryBus {
    /// An empty bus on the machine's clock, ready to share.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// An empty bus on a clock of the caller's.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            state: Mutex::new(State::default()),
            changes: watch::Sender::new(0),
            clock,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl MemoryBus {
    /// Makes the records `first..=last` of a partition unreadable, as damage
    /// on a disk would.
    pub fn damage(&self, tp: &TopicPartition, first: Offset, last: Offset, reason: &str) {
        let damaged = self.shared.change(|state| {
            let partition = state.partition_mut(tp)?;
            let log_start = partition.log_start;
            for (offset, entry) in (log_start..).zip(&mut partition.entries) {
                if (first.0..=last.0).contains(&offset) {
                    entry.damage = Some(reason.to_owned());
                }
            }
            Ok(())
        });
        assert_eq!(damaged, Ok(()), "{tp} is not there");
    }
}

impl Shared {
    /// Runs `work` on the state; readers wake when it succeeded.
    fn change<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let result = {
            let mut state = self.state.lock();
            state.expire(self.clock.monotonic());
            work(&mut state)
        };
        self.changes.send_modify(|version| *version += 1);
        result
    }
}

impl State {
    fn topic(&self, name: &str) -> Result<&Topic, BusError> {
        self.topics
            .get(name)
            .ok_or_else(|| BusError::UnknownTopic(name.to_owned()))
    }

    fn partition(&self, tp: &TopicPartition) -> Result<&Partition, BusError> {
        let index = usize::try_from(tp.partition.0).unwrap_or(usize::MAX);
        self.topic(&tp.topic)?
            .partitions
            .get(index)
            .ok_or_else(|| BusError::UnknownTopic(tp.to_string()))
    }

    fn partition_mut(&mut self, tp: &TopicPartition) -> Result<&mut Partition, BusError> {
        let index = usize::try_from(tp.partition.0).unwrap_or(usize::MAX);
        self.topics
            .get_mut(&tp.topic)
            .and_then(|topic| topic.partitions.get_mut(index))
            .ok_or_else(|| BusError::UnknownTopic(tp.to_string()))
    }

    fn append(
        &mut self,
        tp: &TopicPartition,
        records: Vec<ProduceRecord>,
        txn: Option<TxnId>,
        now_ms: i64,
    ) -> Result<Offset, BusError> {
        let bytes_max = self.topic(&tp.topic)?.batch_bytes_max;
        for record in &records {
            let bytes = record.batch_bytes();
            if bytes > bytes_max {
                return Err(BusError::TooLarge(format!("{bytes} bytes for {tp}")));
            }
        }
        let partition = self.partition_mut(tp)?;
        let first = partition.end();
        if let (Some(txn), false) = (txn, records.is_empty()) {
            partition.open.entry(txn).or_insert(first);
        }
        for (i, record) in records.into_iter().enumerate() {
            let record = Record {
                offset: Offset(first + i as i64),
                timestamp_ms: record.timestamp_ms.unwrap_or(now_ms),
                key: record.key,
                value: record.value,
                headers: record.headers,
            };
            partition.entries.push_back(Entry {
                record: Some(record),
                txn,
                damage: None,
            });
        }
        Ok(Offset(first))
    }

    fn finish(&mut self, id: TxnId, status: TxnStatus) {
        let Some(txn) = self.transactions.get_mut(&id) else {
            return;
        };
        txn.status = status;
        let partitions = std::mem::take(&mut txn.partitions);
        let offsets = std::mem::take(&mut txn.offsets);
        for tp in partitions {
            // A topic deleted meanwhile has nothing to mark.
            if let Ok(partition) = self.partition_mut(&tp)
                && partition.open.remove(&id).is_some()
            {
                partition.entries.push_back(Entry {
                    record: None,
                    txn: Some(id),
                    damage: None,
                });
            }
        }
        if status == TxnStatus::Committed {
            for (group, tp, offset) in offsets {
                self.groups.entry(group).or_default().insert(tp, offset);
            }
        }
    }

    /// Aborts transactions past their time-out and fences their writers, as
    /// the transaction coordinator does.
    fn expire(&mut self, monotonic: Duration) {
        let expired: Vec<TxnId> = self
            .transactions
            .iter()
            .filter(|(_, t)| t.status == TxnStatus::Open && t.deadline <= monotonic)
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            if let Some(txn) = self.transactions.get(&id) {
                *self.epochs.entry(txn.transactional_id.clone()).or_default() += 1;
            }
            self.finish(id, TxnStatus::Aborted);
        }
    }

    fn is_aborted(&self, txn: Option<TxnId>) -> bool {
        txn.and_then(|id| self.transactions.get(&id))
            .is_some_and(|t| t.status == TxnStatus::Aborted)
    }
}

impl Partition {
    fn end(&self) -> i64 {
        self.log_start + self.entries.len() as i64
    }

    fn last_stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end())
    }

    fn limit(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end(),
            Isolation::ReadCommitted => self.last_stable(),
        }
    }

    fn offset_at(&self, at: OffsetAt) -> Offset {
        Offset(match at {
            OffsetAt::Earliest => self.log_start,
            OffsetAt::Latest => self.end(),
            OffsetAt::LatestStable => self.last_stable(),
            OffsetAt::TimestampMs(ms) => self
                .entries
                .iter()
                .filter_map(|e| e.record.as_ref())
                .find(|r| r.timestamp_ms >= ms)
                .map_or(self.end(), |r| r.offset.0),
        })
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        let state = self.shared.state.lock();
        Ok(state.topics.values().map(|t| t.info.clone()).collect())
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        Ok(self.shared.state.lock().topic(name)?.info.clone())
    }

    async fn batch_bytes_max(&self, topic: &str) -> Result<usize, BusError> {
        Ok(self.shared.state.lock().topic(topic)?.batch_bytes_max)
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicInfo, BusError> {
        check_topic_name(&spec.name).map_err(|e| BusError::Invalid(e.to_string()))?;
        if spec.partitions < 1 {
            return Err(BusError::Invalid(
                "a topic has at least one partition".into(),
            ));
        }
        let batch_bytes_max = match spec.configs.get("max.message.bytes") {
            Some(bytes) => bytes
                .parse()
                .map_err(|_| BusError::Invalid("max.message.bytes is a number".into()))?,
            None => MESSAGE_BYTES_MAX_DEFAULT,
        };
        self.shared.change(|state| {
            if state.topics.contains_key(&spec.name) {
                return Err(BusError::TopicExists(spec.name));
            }
            let info = TopicInfo {
                name: spec.name.clone(),
                id: uuid::Uuid::new_v4(),
                partitions: spec.partitions,
            };
            let partitions = (0..spec.partitions).map(|_| Partition::default()).collect();
            let topic = Topic {
                info: info.clone(),
                batch_bytes_max,
                partitions,
            };
            state.topics.insert(spec.name, topic);
            Ok(info)
        })
    }

    async fn delete_topic(&self, name: &str) -> Result<(), BusError> {
        self.shared.change(|state| {
            state
                .topics
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| BusError::UnknownTopic(name.to_owned()))
        })
    }

    async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), BusError> {
        self.shared.change(|state| {
            for (tp, offset) in before {
                let partition = state.partition_mut(tp)?;
                if offset.0 > partition.end() {
                    return Err(BusError::OffsetOutOfRange {
                        topic_partition: tp.clone(),
                        offset: *offset,
                    });
                }
                while partition.log_start < offset.0 {
                    partition.entries.pop_front();
                    partition.log_start += 1;
                }
            }
            Ok(())
        })
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError> {
        self.shared.change(|state| {
            partitions
                .iter()
                .map(|tp| Ok(state.partition(tp)?.offset_at(at)))
                .collect()
        })
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError> {
        let state = self.shared.state.lock();
        let group = state.groups.get(group);
        Ok(partitions
            .iter()
            .map(|tp| group.and_then(|g| g.get(tp).copied()))
            .collect())
    }

    async fn reader(
        &self,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn BusReader>, BusError> {
        {
            let state = self.shared.state.lock();
            for (tp, _) in start {
                state.partition(tp)?;
            }
        }
        Ok(Box::new(MemoryReader {
            shared: Arc::clone(&self.shared),
            changes: self.shared.changes.subscribe(),
            positions: start.to_vec(),
            first: 0,
            isolation,
        }))
    }

    async fn writer(&self) -> Result<Box<dyn Writer>, BusError> {
        Ok(Box::new(MemoryWriter {
            shared: Arc::clone(&self.shared),
        }))
    }

    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError> {
        let epoch = self.shared.change(|state| {
            let epoch = state.epochs.entry(transactional_id.to_owned()).or_default();
            *epoch += 1;
            let epoch = *epoch;
            let left_open: Vec<TxnId> = state
                .transactions
                .iter()
                .filter(|(_, t)| {
                    t.transactional_id == transactional_id && t.status == TxnStatus::Open
                })
                .map(|(id, _)| *id)
                .collect();
            for id in left_open {
                state.finish(id, TxnStatus::Aborted);
            }
            Ok(epoch)
        })?;
        Ok(Box::new(MemoryTransactionWriter {
            shared: Arc::clone(&self.shared),
            transactional_id: transactional_id.to_owned(),
            epoch,
            timeout,
            open: None,
        }))
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    positions: Vec<(TopicPartition, Offset)>,
    /// Which partition is served first next time.
    first: usize,
    isolation: Isolation,
}

impl MemoryReader {
    fn fetch(&mut self, bytes_max: usize) -> Result<Vec<FetchedRecords>, BusError> {
        let state = self.shared.state.lock();
        let count = self.positions.len();
        let mut fetched = Vec::new();
        let mut budget = bytes_max.max(1);
        for i in 0..count {
            if budget == 0 {
                break;
            }
            let (tp, position) = &mut self.positions[(self.first + i) % count];
            let partition = state.partition(tp)?;
            let chunk = read_chunk(&state, partition, tp, *position, self.isolation, budget)?;
            if chunk.next_offset == *position {
                continue;
            }
            budget = budget.saturating_sub(chunk_bytes(&chunk).max(1));
            *position = chunk.next_offset;
            fetched.push(chunk);
        }
        self.first = (self.first + 1) % count.max(1);
        Ok(fetched)
    }
}

fn chunk_bytes(chunk: &FetchedRecords) -> usize {
    chunk.records.iter().map(stored_bytes).sum()
}

fn stored_bytes(record: &Record) -> usize {
    record.key.as_ref().map_or(0, |k| k.len()) + record.value.as_ref().map_or(0, |v| v.len())
}

fn read_chunk(
    state: &State,
    partition: &Partition,
    tp: &TopicPartition,
    position: Offset,
    isolation: Isolation,
    bytes_max: usize,
) -> Result<FetchedRecords, BusError> {
    if position.0 < partition.log_start || position.0 > partition.end() {
        return Err(BusError::OffsetOutOfRange {
            topic_partition: tp.clone(),
            offset: position,
        });
    }
    let limit = partition.limit(isolation);
    let mut chunk = FetchedRecords {
        topic_partition: tp.clone(),
        records: Vec::new(),
        unreadable: Vec::new(),
        next_offset: position,
        end_offset: Offset(limit),
    };
    let mut bytes = 0;
    while chunk.next_offset.0 < limit && bytes < bytes_max {
        let index = (chunk.next_offset.0 - partition.log_start) as usize;
        let entry = &partition.entries[index];
        let hidden = isolation == Isolation::ReadCommitted && state.is_aborted(entry.txn);
        if let (Some(reason), false) = (&entry.damage, hidden) {
            set_apart(&mut chunk.unreadable, chunk.next_offset, reason);
        } else if let (Some(record), false) = (&entry.record, hidden) {
            bytes += stored_bytes(record).max(1);
            chunk.records.push(record.clone());
        }
        chunk.next_offset = chunk.next_offset.plus(1);
    }
    Ok(chunk)
}

/// Adds an offset to the last range, or begins another.
fn set_apart(ranges: &mut Vec<UnreadableRange>, offset: Offset, reason: &str) {
    match ranges.last_mut() {
        Some(last) if last.last_offset.plus(1) == offset && last.reason == reason => {
            last.last_offset = offset;
        }
        _ => ranges.push(UnreadableRange {
            first_offset: offset,
            last_offset: offset,
            reason: reason.to_owned(),
        }),
    }
}

#[async_trait]
impl BusReader for MemoryReader {
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError> {
        let deadline = tokio::time::Instant::now() + wait_max;
        loop {
            self.changes.borrow_and_update();
            let fetched = self.fetch(bytes_max)?;
            if !fetched.is_empty() {
                return Ok(fetched);
            }
            match tokio::time::timeout_at(deadline, self.changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
            }
        }
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        self.shared.state.lock().partition(partition)?;
        match self.positions.iter_mut().find(|(tp, _)| tp == partition) {
            Some(entry) => entry.1 = offset,
            None => self.positions.push((partition.clone(), offset)),
        }
        Ok(())
    }
}

struct MemoryWriter {
    shared: Arc<Shared>,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<Offset, BusError> {
        let now_ms = self.shared.clock.now_ms();
        self.shared
            .change(|state| state.append(partition, records, None, now_ms))
    }
}

struct MemoryTransactionWriter {
    shared: Arc<Shared>,
    transactional_id: String,
    epoch: u64,
    timeout: Duration,
    open: Option<TxnId>,
}

impl MemoryTransactionWriter {
    /// Runs `work` on the open transaction of this, the newest, instance.
    fn in_transaction<T>(
        &self,
        work: impl FnOnce(&mut State, TxnId) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        self.shared.change(|state| {
            if state.epochs.get(&self.transactional_id) != Some(&self.epoch) {
                return Err(BusError::Fenced(self.transactional_id.clone()));
            }
            let Some(id) = self.open else {
                return Err(BusError::Invalid("no transaction has begun".into()));
            };
            work(state, id)
        })
    }
}

#[async_trait]
impl TransactionWriter for MemoryTransactionWriter {
    async fn begin(&mut self) -> Result<(), BusError> {
        if self.open.is_some() {
            return Err(BusError::Invalid("a transaction has begun already".into()));
        }
        let deadline = self.shared.clock.monotonic() + self.timeout;
        let id = self.shared.change(|state| {
            if state.epochs.get(&self.transactional_id) != Some(&self.epoch) {
                return Err(BusError::Fenced(self.transactional_id.clone()));
            }
            let id = state.next_txn;
            state.next_txn += 1;
            state.transactions.insert(
                id,
                Transaction {
                    transactional_id: self.transactional_id.clone(),
                    status: TxnStatus::Open,
                    partitions: BTreeSet::new(),
                    offsets: Vec::new(),
                    deadline,
                },
            );
            Ok(id)
        })?;
        self.open = Some(id);
        Ok(())
    }

    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<(), BusError> {
        let now_ms = self.shared.clock.now_ms();
        self.in_transaction(|state, id| {
            state.append(partition, records, Some(id), now_ms)?;
            if let Some(txn) = state.transactions.get_mut(&id) {
                txn.partitions.insert(partition.clone());
            }
            Ok(())
        })
    }

    async fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        self.in_transaction(|state, id| {
            if let Some(txn) = state.transactions.get_mut(&id) {
                let offsets = offsets
                    .iter()
                    .map(|(tp, offset)| (group.to_owned(), tp.clone(), *offset));
                txn.offsets.extend(offsets);
            }
            Ok(())
        })
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.in_transaction(|state, id| {
            state.finish(id, TxnStatus::Committed);
            Ok(())
        })?;
        self.open = None;
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BusError> {
        let result = self.in_transaction(|state, id| {
            state.finish(id, TxnStatus::Aborted);
            Ok(())
        });
        self.open = None;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_bus_conforms() {
        crate::ports::conformance::run_all(MemoryBus::shared(), "memory").await;
    }

    #[tokio::test]
    async fn the_memory_bus_sets_apart_what_cannot_be_read() {
        let bus = MemoryBus::shared();
        crate::ports::conformance::what_cannot_be_read_is_set_apart(
            bus.as_ref(),
            "memory",
            async |tp, first, last| bus.damage(tp, first, last, "a flipped bit"),
        )
        .await;
    }

    #[tokio::test]
    async fn a_transaction_past_its_timeout_is_aborted_and_its_writer_fenced() {
        let clock = crate::env::clock::ManualClock::at(1_000);
        let bus = MemoryBus::with_clock(clock.clone());
        let spec = TopicSpec {
            name: "t".into(),
            partitions: 1,
            configs: BTreeMap::new(),
        };
        bus.create_topic(spec).await.unwrap();
        let tp = TopicPartition::new("t", 0);
        let mut writer = bus
            .transaction_writer("job", Duration::from_secs(1))
            .await
            .unwrap();
        writer.begin().await.unwrap();
        writer
            .send(&tp, vec![ProduceRecord::default()])
            .await
            .unwrap();
        clock.advance_ms(1_000);
        let stable = bus.offsets(&[tp], OffsetAt::LatestStable).await.unwrap();
        assert_eq!(stable, vec![Offset(2)], "record and abort marker");
        assert_eq!(
            writer.commit().await,
            Err(BusError::Fenced("job".to_owned()))
        );
    }
}
