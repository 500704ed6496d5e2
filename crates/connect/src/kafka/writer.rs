//! Idempotent and transactional writers.

use super::admin::Admin;
use super::brokers::Observer;
use super::errors::{bus_error, fatal_error};
use super::offsets::GroupOffsets;
use super::{Clients, REQUEST_WAIT_MAX, UNAVAILABLE_MAX, blocking};
use async_trait::async_trait;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT;
use millstream_core::ports::{BusError, ProduceRecord, TransactionWriter, Writer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, FutureProducer, FutureRecord, Producer, ThreadedProducer};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause while librdkafka's queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);
/// How often a transaction that has to be aborted is done again: a lost
/// broker aborts it once or twice, what is wrong with it does every time.
const REDOS_MAX: u32 = 3;
/// Pause before a call that timed out is resumed.
const RESUME_PAUSE: Duration = Duration::from_millis(50);

/// Topics known to be there: librdkafka would wait half a minute for one
/// that is not, or make the broker create it.
struct KnownTopics {
    admin: Arc<Admin>,
    names: HashSet<String>,
}

impl KnownTopics {
    async fn check(&mut self, partition: &TopicPartition) -> Result<(), BusError> {
        if self.names.contains(&partition.topic) {
            return Ok(());
        }
        let (admin, name) = (Arc::clone(&self.admin), partition.topic.clone());
        blocking(move || admin.topic(&name)).await?;
        self.names.insert(partition.topic.clone());
        Ok(())
    }
}

fn known(admin: Arc<Admin>) -> KnownTopics {
    KnownTopics {
        admin,
        names: HashSet::new(),
    }
}

/// Settings of every producer.
fn settings(message_bytes: &str) -> [(&'static str, &str); 5] {
    [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("linger.ms", "0"),
        ("message.max.bytes", message_bytes),
        ("compression.type", "lz4"),
    ]
}

pub(super) struct KafkaWriter {
    producer: FutureProducer<Observer>,
    topics: KnownTopics,
}

impl KafkaWriter {
    pub(super) fn new(clients: &Clients, admin: Arc<Admin>) -> Result<Self, BusError> {
        let bytes = MESSAGE_BYTES_MAX_DEFAULT.to_string();
        Ok(Self {
            producer: clients.create(&settings(&bytes), "writer")?,
            topics: known(admin),
        })
    }
}

#[async_trait]
impl Writer for KafkaWriter {
    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<Offset, BusError> {
        self.topics.check(partition).await?;
        let topic = partition.topic.as_str();
        let mut deliveries = Vec::with_capacity(records.len());
        for record in &records {
            let headers = headers(record);
            let mut queued: FutureRecord<'_, [u8], [u8]> =
                FutureRecord::to(topic).partition(partition.partition.0);
            queued.key = record.key.as_deref();
            queued.payload = record.value.as_deref();
            queued.timestamp = record.timestamp_ms;
            queued.headers = headers;
            let delivery = loop {
                match self.producer.send_result(queued) {
                    Ok(delivery) => break delivery,
                    Err((error, back)) if is_queue_full(&error) => {
                        queued = back;
                        tokio::time::sleep(QUEUE_PAUSE).await;
                    }
                    Err((error, _)) => return Err(bus_error(error, topic)),
                }
            };
            deliveries.push(delivery);
        }
        let mut first = None;
        for delivery in deliveries {
            let delivered = delivery
                .await
                .map_err(|_| BusError::Fatal("the writer is gone".into()))?;
            let delivered = delivered.map_err(|(error, _)| bus_error(error, topic))?;
            first.get_or_insert(Offset(delivered.offset));
        }
        first.ok_or_else(|| BusError::Invalid("a send without records".into()))
    }
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn headers(record: &ProduceRecord) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    Some(record.headers.iter().fold(headers, |headers, header| {
        headers.insert(Header {
            key: &header.key,
            value: header.value.as_deref(),
        })
    }))
}

type TransactionalProducer = ThreadedProducer<Observer>;

pub(super) struct KafkaTransactionWriter {
    producer: Arc<TransactionalProducer>,
    transactional_id: String,
    topics: KnownTopics,
    offsets: GroupOffsets,
    /// What the open transaction consists of, to do it again.
    open: Work,
}

/// Records sent to a partition.
type Sent = (TopicPartition, Vec<ProduceRecord>);

/// What was done in a transaction, in order.
#[derive(Default)]
struct Work {
    records: Vec<Arc<Sent>>,
    offsets: Vec<(String, Vec<(TopicPartition, Offset)>)>,
}

impl KafkaTransactionWriter {
    pub(super) async fn new(
        clients: &Clients,
        admin: Arc<Admin>,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let bytes = MESSAGE_BYTES_MAX_DEFAULT.to_string();
        let timeout_ms = timeout.as_millis().to_string();
        let mut purpose = settings(&bytes).to_vec();
        purpose.push(("transactional.id", transactional_id));
        purpose.push(("transaction.timeout.ms", &timeout_ms));
        let writer = Self {
            producer: Arc::new(clients.create(&purpose, transactional_id)?),
            transactional_id: transactional_id.to_owned(),
            topics: known(admin),
            offsets: GroupOffsets::new(clients),
            open: Work::default(),
        };
        // Retries CONCURRENT_TRANSACTIONS until the last instance's
        // transaction has been completed.
        writer
            .call(|producer| producer.init_transactions(REQUEST_WAIT_MAX))
            .await?;
        Ok(writer)
    }

    /// Calls, and calls again where librdkafka says that it may: such a call
    /// goes on where the last one timed out.
    async fn call(
        &self,
        call: impl Fn(&TransactionalProducer) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), BusError> {
        let (producer, id) = (Arc::clone(&self.producer), self.transactional_id.clone());
        blocking(move || {
            let began = Instant::now();
            loop {
                match call(&producer).map_err(|error| explain(&producer, error, &id)) {
                    Err(BusError::Retriable(_)) if began.elapsed() < UNAVAILABLE_MAX => {
                        std::thread::sleep(RESUME_PAUSE);
                    }
                    done => return done,
                }
            }
        })
        .await
    }
}

/// A client with a fatal error answers everything with it, in words that
/// differ by call: the fatal error itself says why.
fn explain(producer: &TransactionalProducer, error: KafkaError, id: &str) -> BusError {
    match producer.client().fatal_error() {
        Some((code, text)) => fatal_error(code, id, text),
        None => bus_error(error, id),
    }
}

/// The steps of a transaction, without a second try.
impl KafkaTransactionWriter {
    async fn enqueue(&self, sent: Arc<Sent>) -> Result<(), BusError> {
        let (producer, id) = (Arc::clone(&self.producer), self.transactional_id.clone());
        blocking(move || {
            let (partition, records) = sent.as_ref();
            for record in records {
                enqueue(&producer, partition, record).map_err(|e| explain(&producer, e, &id))?;
            }
            Ok(())
        })
        .await
    }

    async fn commit_open(&self) -> Result<(), BusError> {
        self.call(|producer| producer.commit_transaction(REQUEST_WAIT_MAX))
            .await
    }

    /// After the transaction: its records are there, whatever becomes of these.
    async fn commit_offsets(&mut self) {
        let done = std::mem::take(&mut self.open);
        for (group, offsets) in &done.offsets {
            if let Err(error) = self.offsets.commit(group, offsets).await {
                tracing::warn!(group, %error, "offsets were not committed");
            }
        }
    }

    async fn abort_open(&self) -> Result<(), BusError> {
        self.call(|producer| producer.abort_transaction(REQUEST_WAIT_MAX))
            .await
    }

    /// After an error that says that the transaction must be aborted: nothing
    /// of it was committed, and nothing of it is wrong. It is aborted and
    /// done again.
    async fn redo(&mut self, mut error: BusError) -> Result<(), BusError> {
        for _ in 0..REDOS_MAX {
            if !matches!(error, BusError::AbortRequired(_)) {
                break;
            }
            tracing::debug!(
                id = self.transactional_id,
                %error,
                "the transaction is aborted and done again"
            );
            match self.redo_once().await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        Err(error)
    }

    async fn redo_once(&mut self) -> Result<(), BusError> {
        self.abort_open().await?;
        self.call(|producer| producer.begin_transaction()).await?;
        // What an error leaves half done is what the next redo begins with.
        for sent in self.open.records.clone() {
            self.enqueue(sent).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl TransactionWriter for KafkaTransactionWriter {
    async fn begin(&mut self) -> Result<(), BusError> {
        self.open = Work::default();
        self.call(|producer| producer.begin_transaction()).await
    }

    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<(), BusError> {
        self.topics.check(partition).await?;
        let sent = Arc::new((partition.clone(), records));
        self.open.records.push(Arc::clone(&sent));
        match self.enqueue(sent).await {
            Ok(()) => Ok(()),
            Err(error) => self.redo(error).await,
        }
    }

    async fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        self.open.offsets.push((group.to_owned(), offsets.to_vec()));
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        for _ in 0..REDOS_MAX {
            match self.commit_open().await {
                Ok(()) => {
                    self.commit_offsets().await;
                    return Ok(());
                }
                Err(error) => self.redo(error).await?,
            }
        }
        self.commit_open().await?;
        self.commit_offsets().await;
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BusError> {
        self.open = Work::default();
        self.abort_open().await
    }
}

/// Queues one record; delivery is awaited, and its failure reported, by the
/// commit.
fn enqueue(
    producer: &TransactionalProducer,
    partition: &TopicPartition,
    record: &ProduceRecord,
) -> Result<(), KafkaError> {
    let began = Instant::now();
    loop {
        let mut queued: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&partition.topic).partition(partition.partition.0);
        queued.key = record.key.as_deref();
        queued.payload = record.value.as_deref();
        queued.timestamp = record.timestamp_ms;
        queued.headers = headers(record);
        match producer.send(queued) {
            Ok(()) => return Ok(()),
            Err((error, _)) if is_queue_full(&error) && began.elapsed() < REQUEST_WAIT_MAX => {
                std::thread::sleep(QUEUE_PAUSE);
            }
            Err((error, _)) => return Err(error),
        }
    }
}
