mod ids;
mod version_2;

use super::markers::{Marker, MarkerError, MarkerWriter, ProducerIdSource};
use super::*;
use crate::journal::InternalTopic;
use crate::journal::memory::{Disk, MemoryJournal};
use crate::task::started;
use async_trait::async_trait;
use millstream_core::env::Clock;
use millstream_core::env::clock::ManualClock;
use millstream_core::ids::TopicPartition;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

const V1: ClientVersion = ClientVersion::V1;
const V2: ClientVersion = ClientVersion::V2;
const TOPIC: InternalTopic = InternalTopic::TransactionState;
const PATIENCE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Writes markers into a list, or holds them up.
struct Partitions {
    written: Mutex<Vec<(TopicPartition, Marker)>>,
    open: watch::Sender<bool>,
    begun: watch::Sender<usize>,
    failing: Mutex<Option<MarkerError>>,
}

impl Partitions {
    fn shared() -> Arc<Self> {
        let open = watch::Sender::new(true);
        Arc::new(Self {
            written: Mutex::default(),
            open,
            begun: watch::Sender::new(0),
            failing: Mutex::default(),
        })
    }

    fn outcomes(&self) -> Vec<(i32, TxnOutcome, i16)> {
        let written = self.written.lock();
        let mut outcomes: Vec<_> = written
            .iter()
            .map(|(tp, marker)| (tp.partition.0, marker.outcome, marker.producer.epoch.0))
            .collect();
        outcomes.sort_by_key(|(partition, ..)| *partition);
        outcomes
    }
}

#[async_trait]
impl MarkerWriter for Partitions {
    async fn write(&self, partition: &TopicPartition, marker: Marker) -> Result<(), MarkerError> {
        self.begun.send_modify(|begun| *begun += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        if let Some(error) = self.failing.lock().take() {
            return Err(error);
        }
        self.written.lock().push((partition.clone(), marker));
        Ok(())
    }
}

#[derive(Default)]
struct Ids(AtomicI64);

#[async_trait]
impl ProducerIdSource for Ids {
    async fn next_block(&self) -> Result<Range<i64>, String> {
        let first = self.0.fetch_add(2, Ordering::SeqCst);
        Ok(first..first + 2)
    }
}

struct House {
    journal: Arc<MemoryJournal>,
    partitions: Arc<Partitions>,
    ids: Arc<Ids>,
    clock: Arc<ManualClock>,
}

impl House {
    fn new() -> Self {
        Self {
            journal: MemoryJournal::shared(),
            partitions: Partitions::shared(),
            ids: Arc::default(),
            clock: ManualClock::at(1_000),
        }
    }

    async fn coordinator(&self) -> TxnCoordinator {
        self.coordinator_on(Arc::clone(&self.journal)).await
    }

    async fn coordinator_on(&self, journal: Arc<impl crate::journal::Journal>) -> TxnCoordinator {
        let coordinator = TxnCoordinator::new(TxnServices {
            config: TxnConfig {
                state_topic_partitions: 4,
                ids_max: 3,
                partitions_max: 5,
                rewrite_bytes_min: 4_000,
                marker_retry_backoff: Duration::from_millis(1),
                concurrent_wait_max: Duration::from_millis(300),
                ..TxnConfig::default()
            },
            journal,
            markers: Arc::clone(&self.partitions) as Arc<dyn MarkerWriter>,
            producer_ids: Arc::clone(&self.ids) as Arc<dyn ProducerIdSource>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
        });
        coordinator.start().await;
        let loaded = async {
            while coordinator.list().await.unwrap().incomplete.is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, loaded)
            .await
            .expect("never loaded");
        coordinator
    }
}

fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("orders", n)
}

async fn state_of(coordinator: &TxnCoordinator, id: &str) -> TxnState {
    coordinator.describe(id).await.unwrap().state
}

async fn wait_for_state(coordinator: &TxnCoordinator, id: &str, state: TxnState) {
    let reached = async {
        while state_of(coordinator, id).await != state {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the state was not reached");
}

async fn begin(coordinator: &TxnCoordinator, id: &str, partitions: i32) -> Producer {
    let producer = coordinator.init_producer(id, TIMEOUT, None).await.unwrap();
    let partitions = (0..partitions).map(partition).collect();
    coordinator
        .add_partitions(id, producer, partitions, V1)
        .await
        .unwrap();
    producer
}

/// A commit of "t" that has been decided and cannot write its markers until
/// `house.partitions` opens.
async fn committing(
    house: &House,
    coordinator: &TxnCoordinator,
    producer: Producer,
) -> tokio::task::JoinHandle<Result<Producer, TxnError>> {
    house.partitions.open.send_replace(false);
    let ender = coordinator.clone();
    let work = async move { ender.end("t", producer, TxnOutcome::Commit, V1).await };
    let pending = tokio::spawn(started(work).await);
    wait_for_state(coordinator, "t", TxnState::PrepareCommit).await;
    pending
}

#[tokio::test]
async fn a_commit_writes_a_marker_into_every_partition_before_it_is_answered() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 3).await;
    coordinator
        .end("t", producer, TxnOutcome::Commit, V1)
        .await
        .unwrap();
    let expected: Vec<_> = (0..3).map(|p| (p, TxnOutcome::Commit, 0)).collect();
    assert_eq!(house.partitions.outcomes(), expected);
    assert_eq!(state_of(&coordinator, "t").await, TxnState::CompleteCommit);
    // The next transaction begins without a pause.
    coordinator
        .add_partitions("t", producer, vec![partition(0)], V1)
        .await
        .unwrap();
    coordinator
        .end("t", producer, TxnOutcome::Abort, V1)
        .await
        .unwrap();
    assert_eq!(state_of(&coordinator, "t").await, TxnState::CompleteAbort);
}

#[tokio::test]
async fn no_marker_is_written_before_the_decision_is_durable() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 2).await;
    house.journal.set_disk(Disk::Held);
    let ender = coordinator.clone();
    let work = async move { ender.end("t", producer, TxnOutcome::Commit, V1).await };
    let pending = tokio::spawn(started(work).await);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.partitions.outcomes(), []);
    house.journal.set_disk(Disk::Fast);
    pending.await.unwrap().unwrap();
    assert_eq!(house.partitions.outcomes().len(), 2);
}

#[tokio::test]
async fn a_commit_waits_for_the_decision_and_then_for_all_markers_at_once() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 4).await;
    let batches = house.journal.batches(TOPIC);
    house.partitions.open.send_replace(false);
    let ender = coordinator.clone();
    let work = async move { ender.end("t", producer, TxnOutcome::Commit, V2).await };
    let pending = tokio::spawn(started(work).await);
    let mut begun = house.partitions.begun.subscribe();
    let all = begun.wait_for(|begun| *begun == 4);
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("one marker waits for another")
        .unwrap();
    assert_eq!(house.journal.batches(TOPIC), batches + 1, "the decision");
    // The end is appended while the disk hangs, and nobody waits for it.
    house.journal.set_disk(Disk::Held);
    house.partitions.open.send_replace(true);
    pending.await.unwrap().unwrap();
    assert_eq!(house.journal.batches(TOPIC), batches + 2, "and the end");
}

#[tokio::test]
async fn a_decision_that_cannot_be_written_leaves_the_transaction_open() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    house.journal.set_disk(Disk::Broken);
    let ended = coordinator.end("t", producer, TxnOutcome::Commit, V1).await;
    assert_eq!(ended, Err(TxnError::Storage));
    assert_eq!(house.partitions.outcomes(), []);
    assert_eq!(state_of(&coordinator, "t").await, TxnState::Ongoing);
}

#[tokio::test]
async fn an_end_that_a_full_disk_refused_is_recorded_once_there_is_space() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    let pending = committing(&house, &coordinator, producer).await;
    house.journal.set_disk(Disk::Full);
    house.partitions.open.send_replace(true);
    let refused = async {
        while house.journal.refused() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(state_of(&coordinator, "t").await, TxnState::PrepareCommit);
    house.journal.set_disk(Disk::Fast);
    wait_for_state(&coordinator, "t", TxnState::CompleteCommit).await;
    pending.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_end_that_meets_a_rewrite_of_its_record_is_recorded_after_it() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    let pending = committing(&house, &coordinator, producer).await;
    let shard = coordinator.inner.shard_of("t").await.unwrap();
    assert!(shard.state.lock().entry("t").unwrap().machine.hold());
    house.partitions.open.send_replace(true);
    // The markers are written, and their task has looked at the id.
    let written = async {
        while house.partitions.outcomes().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(state_of(&coordinator, "t").await, TxnState::PrepareCommit);
    {
        let mut state = shard.state.lock();
        let entry = state.entry("t").unwrap();
        entry.machine.cancel();
        entry.notify();
    }
    wait_for_state(&coordinator, "t", TxnState::CompleteCommit).await;
    pending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_commit_goes_on_though_its_client_went_away() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    house.journal.set_disk(Disk::Held);
    let ender = coordinator.clone();
    let work = async move { ender.end("t", producer, TxnOutcome::Commit, V1).await };
    drop(started(work).await);
    house.journal.set_disk(Disk::Fast);
    wait_for_state(&coordinator, "t", TxnState::CompleteCommit).await;
}

#[tokio::test]
async fn a_crash_after_the_decision_is_finished_at_the_next_start() {
    let house = House::new();
    let before = house.coordinator().await;
    let producer = begin(&before, "t", 2).await;
    house.partitions.open.send_replace(false);
    let ender = before.clone();
    let work = async move { ender.end("t", producer, TxnOutcome::Commit, V1).await };
    let pending = tokio::spawn(started(work).await);
    wait_for_state(&before, "t", TxnState::PrepareCommit).await;
    let journal = house.journal.after_crash(TOPIC, 0);
    pending.abort();
    before.shutdown();
    house.partitions.open.send_replace(true);
    let after = house.coordinator_on(journal).await;
    wait_for_state(&after, "t", TxnState::CompleteCommit).await;
    let outcomes = house.partitions.outcomes();
    assert!(
        (0..2).all(|p| outcomes.contains(&(p, TxnOutcome::Commit, 0))),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_crash_that_loses_the_record_of_the_end_writes_the_markers_again() {
    let house = House::new();
    let before = house.coordinator().await;
    let producer = begin(&before, "t", 2).await;
    before
        .end("t", producer, TxnOutcome::Abort, V1)
        .await
        .unwrap();
    let after = house
        .coordinator_on(house.journal.after_crash(TOPIC, 1))
        .await;
    wait_for_state(&after, "t", TxnState::CompleteAbort).await;
    assert_eq!(
        house.partitions.outcomes().len(),
        4,
        "each twice, with the same outcome"
    );
    assert!(
        house
            .partitions
            .outcomes()
            .iter()
            .all(|(_, o, _)| *o == TxnOutcome::Abort)
    );
}

#[tokio::test]
async fn a_crash_before_the_decision_leaves_the_transaction_to_its_timeout() {
    let house = House::new();
    let before = house.coordinator().await;
    begin(&before, "t", 2).await;
    let after = house
        .coordinator_on(house.journal.after_crash(TOPIC, 0))
        .await;
    assert_eq!(state_of(&after, "t").await, TxnState::Ongoing);
    house.clock.advance_ms(59_999);
    after.inner.abort_timed_out().await;
    assert_eq!(state_of(&after, "t").await, TxnState::Ongoing);
    house.clock.advance_ms(1);
    after.inner.abort_timed_out().await;
    wait_for_state(&after, "t", TxnState::CompleteAbort).await;
    let expected: Vec<_> = (0..2).map(|p| (p, TxnOutcome::Abort, 1)).collect();
    assert_eq!(house.partitions.outcomes(), expected, "with a bumped epoch");
}

#[tokio::test]
async fn a_producer_whose_transaction_timed_out_is_fenced() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    house.clock.advance_ms(60_000);
    coordinator.inner.abort_timed_out().await;
    wait_for_state(&coordinator, "t", TxnState::CompleteAbort).await;
    let ended = coordinator.end("t", producer, TxnOutcome::Commit, V1).await;
    assert_eq!(ended, Err(TxnError::Fenced));
}

#[tokio::test]
async fn a_new_instance_aborts_what_the_old_one_left_open_and_fences_it() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let old = begin(&coordinator, "t", 2).await;
    // Held to real time by nothing: the markers are written at once.
    let new = coordinator.init_producer("t", TIMEOUT, None).await.unwrap();
    assert_eq!((new.id, new.epoch.0), (old.id, 2));
    let expected: Vec<_> = (0..2).map(|p| (p, TxnOutcome::Abort, 1)).collect();
    assert_eq!(house.partitions.outcomes(), expected);
    let late = coordinator.end("t", old, TxnOutcome::Commit, V1).await;
    assert_eq!(late, Err(TxnError::Fenced));
}

#[tokio::test]
async fn a_request_during_a_commit_is_told_to_come_again() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    let pending = committing(&house, &coordinator, producer).await;
    let added = coordinator
        .add_partitions("t", producer, vec![partition(0)], V1)
        .await;
    assert_eq!(added, Err(TxnError::ConcurrentTransactions));
    // One that comes shortly before the end is held until then.
    let adder = coordinator.clone();
    let work = async move {
        adder
            .add_partitions("t", producer, vec![partition(0)], V1)
            .await
    };
    let held = tokio::spawn(started(work).await);
    house.partitions.open.send_replace(true);
    assert_eq!(pending.await.unwrap(), Ok(producer));
    assert_eq!(held.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_marker_is_tried_until_it_is_written_and_a_deleted_partition_needs_none() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    *house.partitions.failing.lock() = Some(MarkerError::Retriable("no leader".into()));
    coordinator
        .end("t", producer, TxnOutcome::Commit, V1)
        .await
        .unwrap();
    assert_eq!(house.partitions.outcomes().len(), 1);
    coordinator
        .add_partitions("t", producer, vec![partition(1)], V1)
        .await
        .unwrap();
    *house.partitions.failing.lock() = Some(MarkerError::PartitionGone);
    coordinator
        .end("t", producer, TxnOutcome::Commit, V1)
        .await
        .unwrap();
    assert_eq!(house.partitions.outcomes().len(), 1);
}

#[tokio::test]
async fn asking_creates_no_topic() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    assert_eq!(coordinator.list().await.unwrap().transactions, []);
    assert!(coordinator.describe("t").await.is_err());
    assert_eq!(house.journal.batches(TOPIC), 0);
    assert_eq!(
        crate::journal::Journal::partitions(&*house.journal, TOPIC),
        None
    );
}

#[tokio::test]
async fn a_partition_is_rewritten_to_what_lives_and_nothing_is_lost() {
    let house = House::new();
    let before = house.coordinator().await;
    let producer = begin(&before, "t", 2).await;
    begin(&before, "open", 3).await;
    for _ in 0..200 {
        before
            .end("t", producer, TxnOutcome::Commit, V1)
            .await
            .unwrap();
        before
            .add_partitions("t", producer, vec![partition(0)], V1)
            .await
            .unwrap();
    }
    assert!(
        house.journal.batches(TOPIC) < 200,
        "{} are left",
        house.journal.batches(TOPIC)
    );
    let after = house.coordinator().await;
    for id in ["t", "open"] {
        assert_eq!(after.describe(id).await, before.describe(id).await);
    }
    after
        .end("t", producer, TxnOutcome::Abort, V1)
        .await
        .unwrap();
}

/// A journal whose appends about one id take as long as the test likes.
struct SlowFor {
    inner: Arc<MemoryJournal>,
    id: &'static str,
    gate: Mutex<std::sync::mpsc::Receiver<()>>,
    begun: watch::Sender<bool>,
}

#[async_trait]
impl crate::journal::Journal for SlowFor {
    fn partitions(&self, topic: InternalTopic) -> Option<i32> {
        self.inner.partitions(topic)
    }
    async fn ensure(
        &self,
        topic: InternalTopic,
        _: i32,
    ) -> Result<i32, crate::journal::JournalError> {
        // All ids in one shard.
        self.inner.ensure(topic, 1).await
    }
    fn append(
        &self,
        topic: InternalTopic,
        partition: i32,
        batch: bytes::Bytes,
    ) -> Result<crate::journal::Appended, crate::journal::JournalError> {
        let is_slow = batch
            .windows(self.id.len())
            .any(|window| window == self.id.as_bytes());
        if is_slow {
            self.begun.send_replace(true);
            self.gate.lock().recv().unwrap();
        }
        self.inner.append(topic, partition, batch)
    }
    fn start_offset(
        &self,
        topic: InternalTopic,
        partition: i32,
    ) -> Result<i64, crate::journal::JournalError> {
        self.inner.start_offset(topic, partition)
    }
    async fn trim(
        &self,
        topic: InternalTopic,
        partition: i32,
        before: i64,
    ) -> Result<(), crate::journal::JournalError> {
        self.inner.trim(topic, partition, before).await
    }
    async fn read(
        &self,
        topic: InternalTopic,
        partition: i32,
        offset: i64,
    ) -> Result<crate::journal::JournalChunk, crate::journal::JournalError> {
        self.inner.read(topic, partition, offset).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_hangs_holds_up_its_own_id_only() {
    let house = House::new();
    let (open, gate) = std::sync::mpsc::channel();
    let journal = Arc::new(SlowFor {
        inner: Arc::clone(&house.journal),
        id: "slow-id",
        gate: Mutex::new(gate),
        begun: watch::Sender::new(false),
    });
    let begun = journal.begun.subscribe();
    let coordinator = house.coordinator_on(journal).await;
    let slow = {
        let coordinator = coordinator.clone();
        tokio::spawn(async move { coordinator.init_producer("slow-id", TIMEOUT, None).await })
    };
    let mut begun = begun;
    begun.wait_for(|begun| *begun).await.unwrap();
    let others = async {
        let producer = begin(&coordinator, "other", 2).await;
        coordinator
            .end("other", producer, TxnOutcome::Commit, V2)
            .await
            .unwrap();
        assert_eq!(coordinator.list().await.unwrap().transactions.len(), 2);
    };
    tokio::time::timeout(PATIENCE, others)
        .await
        .expect("held up by another id");
    assert!(!slow.is_finished());
    open.send(()).unwrap();
    slow.await.unwrap().unwrap();
}

#[tokio::test]
async fn ids_that_come_and_change_during_a_rewrite_are_not_lost() {
    let house = House::new();
    let before = house.coordinator().await;
    let mut producers = Vec::new();
    for id in ["a", "b", "c"] {
        producers.push((id, before.init_producer(id, TIMEOUT, None).await.unwrap()));
    }
    for round in 0..300 {
        let (id, producer) = &mut producers[round % 3];
        let add = vec![partition(round as i32 % 5)];
        before.add_partitions(id, *producer, add, V2).await.unwrap();
        *producer = before
            .end(id, *producer, TxnOutcome::Commit, V2)
            .await
            .unwrap();
    }
    assert!(house.journal.batches(TOPIC) < 600);
    let after = house.coordinator().await;
    for (id, producer) in producers {
        let image = after.describe(id).await.unwrap();
        assert_eq!(
            (image.producer_id, image.epoch),
            (producer.id, producer.epoch)
        );
    }
}

#[tokio::test]
async fn no_marker_gets_between_the_check_of_a_batch_and_its_append() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let producer = begin(&coordinator, "t", 1).await;
    let at = partition(0);
    let writing = coordinator.verify_writing("t", producer, &at).await;
    let writing = writing.unwrap();
    let ender = coordinator.clone();
    let work = async move { ender.end("t", producer, TxnOutcome::Abort, V1).await };
    let pending = tokio::spawn(started(work).await);
    wait_for_state(&coordinator, "t", TxnState::PrepareAbort).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.partitions.outcomes(), []);
    let late = coordinator
        .verify_writing("t", producer, &partition(0))
        .await;
    assert_eq!(late.err(), Some(TxnError::ConcurrentTransactions));
    drop(writing);
    pending.await.unwrap().unwrap();
    assert_eq!(house.partitions.outcomes().len(), 1);
}
