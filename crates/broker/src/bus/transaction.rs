//! Writing in transactions, on the coordinator itself.
//!
//! A partition must be known to the coordinator, durably, before its first
//! record is appended. Waiting for that in each `send` would cost one sync
//! per partition. So `send` only queues; a task makes known all partitions
//! that were queued meanwhile with one request, then appends their records in
//! the order of the sends. A transaction over many partitions costs two such
//! requests, not one per partition. Commit waits for the task, then for the
//! records, then ends the transaction.
//!
//! It is a client of `transaction.version` 2 (KIP-890): every end bumps the
//! epoch, so that nothing of one transaction can get into the next, and an
//! end whose answer was lost may be asked for again.

use super::append::Appender;
use super::{group_error, txn_error};
use crate::group::{Committer, OffsetToCommit};
use crate::journal::InternalTopic;
use crate::state::BrokerState;
use crate::txn::{ClientVersion, Producer, TxnError, TxnOutcome};
use async_trait::async_trait;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{BusError, ProduceRecord, TransactionWriter};
use millstream_log::PartitionLog;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bytes that may wait for their partitions to become known; beyond it `send`
/// waits.
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A transactional writer.
pub(super) struct EmbeddedTransactions {
    shared: Arc<Shared>,
    is_open: bool,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    state: Arc<BrokerState>,
    transactional_id: String,
    open: Mutex<Open>,
}

/// The open transaction.
struct Open {
    /// Who writes; another epoch in each transaction.
    producer: Producer,
    appender: Appender,
    /// Whether the coordinator may know of the transaction: set before it is
    /// told, as an answer can get lost.
    is_told: bool,
    /// Partitions that the coordinator knows.
    known: HashSet<TopicPartition>,
    queue: VecDeque<Work>,
    queued_bytes: usize,
    /// Whether the task is at work on the queue.
    is_working: bool,
    /// Up to where each log must be committed.
    ends: HashMap<TopicPartition, (Arc<PartitionLog>, Offset)>,
    error: Option<BusError>,
}

/// Something to do once its partition is known.
enum Work {
    Records {
        partition: TopicPartition,
        records: Vec<ProduceRecord>,
        bytes: usize,
    },
    Offsets {
        partition: TopicPartition,
        group: String,
        offsets: Vec<OffsetToCommit>,
    },
}

impl Work {
    fn partition(&self) -> &TopicPartition {
        match self {
            Self::Records { partition, .. } | Self::Offsets { partition, .. } => partition,
        }
    }
}

impl EmbeddedTransactions {
    pub(super) fn new(state: Arc<BrokerState>, transactional_id: &str, producer: Producer) -> Self {
        let appender = Appender::new(Arc::clone(&state), producer, true);
        let open = Mutex::new(Open {
            producer,
            appender,
            is_told: false,
            known: HashSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            is_working: false,
            ends: HashMap::new(),
            error: None,
        });
        let transactional_id = transactional_id.to_owned();
        let shared = Arc::new(Shared {
            state,
            transactional_id,
            open,
        });
        Self {
            shared,
            is_open: false,
            task: None,
        }
    }

    fn check_open(&self) -> Result<(), BusError> {
        if self.is_open {
            return Ok(());
        }
        Err(BusError::Invalid("no transaction has been begun".into()))
    }

    /// Queues work; begins the task when it is not at work.
    async fn queue(&mut self, work: Work) -> Result<(), BusError> {
        let must_wait = {
            let mut open = self.shared.open.lock();
            if let Some(error) = &open.error {
                return Err(error.clone());
            }
            // Nothing waits for its turn: no task is needed.
            if let Work::Records {
                partition, records, ..
            } = &work
                && !open.is_working
                && open.known.contains(partition)
            {
                return open.append(partition, records);
            }
            if let Work::Records { bytes, .. } = &work {
                open.queued_bytes += bytes;
            }
            open.queue.push_back(work);
            if !open.is_working {
                open.is_working = true;
                let work = Arc::clone(&self.shared).work();
                self.task = Some(tokio::spawn(millstream_log::gather_syncs(work)));
            }
            open.queued_bytes > QUEUED_BYTES_MAX
        };
        if must_wait {
            self.settle().await;
        }
        Ok(())
    }

    /// Waits until the queue is empty.
    async fn settle(&mut self) {
        if let Some(task) = &mut self.task {
            // A panic in the task leaves `is_working` set: noted as an error
            // by `take_error`.
            let _ = task.await;
            self.task = None;
        }
    }

    fn take_error(&self) -> Option<BusError> {
        let mut open = self.shared.open.lock();
        if open.is_working {
            open.is_working = false;
            open.queue.clear();
            open.error.get_or_insert_with(|| {
                BusError::AbortRequired("the writing task ended badly".into())
            });
        }
        open.error.take()
    }

    /// Forgets what belongs to the transaction that has ended.
    fn close(&mut self) {
        let mut open = self.shared.open.lock();
        open.is_told = false;
        open.known.clear();
        open.queue.clear();
        open.queued_bytes = 0;
        open.ends.clear();
        open.error = None;
        drop(open);
        self.is_open = false;
    }

    async fn end(&mut self, outcome: TxnOutcome) -> Result<(), BusError> {
        let (is_told, producer) = {
            let open = self.shared.open.lock();
            (open.is_told, open.producer)
        };
        // What the coordinator does not know of needs no end. Whether we are
        // still the newest instance shows at the next one that it does.
        if is_told {
            let Shared {
                state,
                transactional_id: id,
                ..
            } = &*self.shared;
            let ended = state.txns().end(id, producer, outcome, ClientVersion::V2);
            let next = ended.await.map_err(|error| match error {
                TxnError::InvalidState if outcome == TxnOutcome::Abort => BusError::Fatal(
                    "the transaction cannot be aborted, it has been committed".into(),
                ),
                error => txn_error(error, id),
            })?;
            self.shared.open.lock().go_on_as(next);
        }
        self.close();
        Ok(())
    }
}

#[async_trait]
impl TransactionWriter for EmbeddedTransactions {
    async fn begin(&mut self) -> Result<(), BusError> {
        if self.is_open {
            return Err(BusError::Invalid("a transaction is open already".into()));
        }
        self.is_open = true;
        Ok(())
    }

    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<(), BusError> {
        self.check_open()?;
        if records.is_empty() {
            return Ok(());
        }
        self.shared
            .open
            .lock()
            .appender
            .check(partition, &records)?;
        let bytes = records.iter().map(payload_bytes).sum();
        self.queue(Work::Records {
            partition: partition.clone(),
            records,
            bytes,
        })
        .await
    }

    async fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        self.check_open()?;
        let partition = self.shared.state.groups().partition_of(group).await;
        let partition = partition.map_err(|error| group_error(error, group))?;
        let partition = TopicPartition::new(InternalTopic::ConsumerOffsets.name(), partition);
        let offsets = offsets
            .iter()
            .map(|(tp, offset)| OffsetToCommit {
                topic: tp.topic.clone(),
                partition: tp.partition.0,
                offset: offset.0,
                leader_epoch: -1,
                metadata: String::new(),
            })
            .collect();
        self.queue(Work::Offsets {
            partition,
            group: group.to_owned(),
            offsets,
        })
        .await
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.check_open()?;
        self.settle().await;
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        let ends: Vec<_> = self.shared.open.lock().ends.values().cloned().collect();
        // The decision must not be durable before the records are.
        for (log, end_offset) in ends {
            log.wait_high_watermark(end_offset)
                .await
                .map_err(|failure| BusError::AbortRequired(failure.to_string()))?;
        }
        self.end(TxnOutcome::Commit).await
    }

    async fn abort(&mut self) -> Result<(), BusError> {
        self.check_open()?;
        self.settle().await;
        self.take_error();
        self.end(TxnOutcome::Abort).await
    }
}

impl Shared {
    /// Works the queue off.
    async fn work(self: Arc<Self>) {
        loop {
            let unknown = {
                let mut open = self.open.lock();
                if open.error.is_some() {
                    open.queue.clear();
                }
                if open.queue.is_empty() {
                    open.queued_bytes = 0;
                    open.is_working = false;
                    return;
                }
                open.unknown()
            };
            let worked = async {
                if !unknown.is_empty() {
                    self.make_known(unknown).await?;
                }
                self.work_off().await
            };
            if let Err(error) = worked.await {
                self.open.lock().error = Some(error);
            }
        }
    }

    async fn make_known(&self, partitions: Vec<TopicPartition>) -> Result<(), BusError> {
        let producer = {
            let mut open = self.open.lock();
            open.is_told = true;
            open.producer
        };
        let added = self.state.txns().add_partitions(
            &self.transactional_id,
            producer,
            partitions.clone(),
            ClientVersion::V2,
        );
        added
            .await
            .map_err(|error| txn_error(error, &self.transactional_id))?;
        self.open.lock().known.extend(partitions);
        Ok(())
    }

    /// Does what is at the front of the queue while its partition is known.
    async fn work_off(&self) -> Result<(), BusError> {
        loop {
            let offsets = {
                let mut open = self.open.lock();
                let is_known = open
                    .queue
                    .front()
                    .is_some_and(|work| open.known.contains(work.partition()));
                match open.queue.pop_front_if(|_| is_known) {
                    None => return Ok(()),
                    Some(Work::Records {
                        partition,
                        records,
                        bytes,
                    }) => {
                        open.queued_bytes = open.queued_bytes.saturating_sub(bytes);
                        open.append(&partition, &records)
                            .map_err(|e| self.own_id(e))?;
                        continue;
                    }
                    Some(Work::Offsets { group, offsets, .. }) => (group, offsets),
                }
            };
            self.commit_offsets(offsets.0, offsets.1).await?;
        }
    }

    async fn commit_offsets(
        &self,
        group: String,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<(), BusError> {
        let who = Committer::outside();
        let groups = self.state.groups();
        let producer = self.open.lock().producer;
        let committed = groups
            .commit_offsets_in_transaction(&group, &who, producer, offsets, None)
            .await;
        let results = committed.map_err(|error| group_error(error, &group))?;
        match results.into_iter().find_map(Result::err) {
            Some(error) => Err(group_error(error, &group)),
            None => Ok(()),
        }
    }

    /// A fenced append tells the producer id; the caller knows the
    /// transactional one.
    fn own_id(&self, error: BusError) -> BusError {
        match error {
            BusError::Fenced(_) => BusError::Fenced(self.transactional_id.clone()),
            other => other,
        }
    }
}

impl Open {
    fn go_on_as(&mut self, producer: Producer) {
        self.producer = producer;
        self.appender.go_on_as(producer);
    }

    /// Partitions in the queue that the coordinator does not know.
    fn unknown(&self) -> Vec<TopicPartition> {
        let mut seen = HashSet::new();
        self.queue
            .iter()
            .map(Work::partition)
            .filter(|partition| !self.known.contains(*partition) && seen.insert(*partition))
            .cloned()
            .collect()
    }

    fn append(
        &mut self,
        partition: &TopicPartition,
        records: &[ProduceRecord],
    ) -> Result<(), BusError> {
        if let Some(placed) = self.appender.append(partition, records)? {
            self.ends
                .insert(partition.clone(), (placed.log, placed.end_offset));
        }
        Ok(())
    }
}

fn payload_bytes(record: &ProduceRecord) -> usize {
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    let headers: usize = record
        .headers
        .iter()
        .map(|h| h.key.len() + length(&h.value))
        .sum();
    length(&record.key) + length(&record.value) + headers
}
