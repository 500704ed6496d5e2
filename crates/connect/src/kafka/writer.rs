//! Idempotent and transactional writers.

use super::admin::{Admin, query_client};
use super::errors::{bus_error, code_error};
use super::{KafkaOptions, REQUEST_WAIT_MAX, blocking};
use async_trait::async_trait;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT;
use millstream_core::ports::{BusError, ProduceRecord, TransactionWriter, Writer};
use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, FutureProducer, FutureRecord, Producer, ThreadedProducer,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause while librdkafka's queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

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
    producer: FutureProducer,
    topics: KnownTopics,
}

impl KafkaWriter {
    pub(super) fn new(options: &KafkaOptions, admin: Arc<Admin>) -> Result<Self, BusError> {
        let bytes = MESSAGE_BYTES_MAX_DEFAULT.to_string();
        let producer = options
            .config(&settings(&bytes))
            .create()
            .map_err(|e| bus_error(e, "writer"))?;
        Ok(Self {
            producer,
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

type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

pub(super) struct KafkaTransactionWriter {
    producer: Arc<TransactionalProducer>,
    transactional_id: String,
    topics: KnownTopics,
    options: KafkaOptions,
    /// Only carries a group's name to TxnOffsetCommit.
    groups: HashMap<String, Arc<BaseConsumer>>,
}

impl KafkaTransactionWriter {
    pub(super) async fn new(
        options: &KafkaOptions,
        admin: Arc<Admin>,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let bytes = MESSAGE_BYTES_MAX_DEFAULT.to_string();
        let timeout_ms = timeout.as_millis().to_string();
        let mut purpose = settings(&bytes).to_vec();
        purpose.push(("transactional.id", transactional_id));
        purpose.push(("transaction.timeout.ms", &timeout_ms));
        let producer: TransactionalProducer = options
            .config(&purpose)
            .create()
            .map_err(|e| bus_error(e, transactional_id))?;
        let writer = Self {
            producer: Arc::new(producer),
            transactional_id: transactional_id.to_owned(),
            topics: known(admin),
            options: options.clone(),
            groups: HashMap::new(),
        };
        // Retries CONCURRENT_TRANSACTIONS until the last instance's
        // transaction has been completed.
        writer
            .call(|producer| producer.init_transactions(REQUEST_WAIT_MAX))
            .await?;
        Ok(writer)
    }

    async fn call(
        &self,
        call: impl FnOnce(&TransactionalProducer) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), BusError> {
        let (producer, id) = (Arc::clone(&self.producer), self.transactional_id.clone());
        blocking(move || call(&producer).map_err(|error| explain(&producer, error, &id))).await
    }

    fn group(&mut self, group: &str) -> Result<Arc<BaseConsumer>, BusError> {
        if let Some(consumer) = self.groups.get(group) {
            return Ok(Arc::clone(consumer));
        }
        let consumer = Arc::new(query_client(&self.options, "read_committed", group)?);
        self.groups.insert(group.to_owned(), Arc::clone(&consumer));
        Ok(consumer)
    }
}

/// A client with a fatal error answers everything with it, in words that
/// differ by call: the fatal error itself says why.
fn explain(producer: &TransactionalProducer, error: KafkaError, id: &str) -> BusError {
    match producer.client().fatal_error() {
        Some((code, text)) => code_error(code, id, text),
        None => bus_error(error, id),
    }
}

#[async_trait]
impl TransactionWriter for KafkaTransactionWriter {
    async fn begin(&mut self) -> Result<(), BusError> {
        self.call(|producer| producer.begin_transaction()).await
    }

    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<(), BusError> {
        self.topics.check(partition).await?;
        let (producer, partition) = (Arc::clone(&self.producer), partition.clone());
        let id = self.transactional_id.clone();
        blocking(move || {
            for record in &records {
                enqueue(&producer, &partition, record).map_err(|e| explain(&producer, e, &id))?;
            }
            Ok(())
        })
        .await
    }

    async fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        let consumer = self.group(group)?;
        let list = super::admin::partition_list(
            offsets
                .iter()
                .map(|(tp, offset)| (tp, KafkaOffset::Offset(offset.0))),
        )?;
        let metadata = consumer
            .group_metadata()
            .ok_or_else(|| BusError::Fatal("librdkafka gave no group metadata".into()))?;
        self.call(move |producer| {
            producer.send_offsets_to_transaction(&list, &metadata, REQUEST_WAIT_MAX)
        })
        .await
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.call(|producer| producer.commit_transaction(REQUEST_WAIT_MAX))
            .await
    }

    async fn abort(&mut self) -> Result<(), BusError> {
        self.call(|producer| producer.abort_transaction(REQUEST_WAIT_MAX))
            .await
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
