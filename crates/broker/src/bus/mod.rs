//! The bus on the embedded broker: no socket, values are slices of the stored
//! batches.
//!
//! | module | what |
//! |---|---|
//! | `reader` | reads assigned partitions, waits on their logs |
//! | `opened` | the batches of one fetch, expanded one at a time |
//! | `expansion` | the node's memory for expanded batches |
//! | `append` | records into batches into logs, with sequences |
//! | `writer` | [`Writer`] |
//! | `transaction` | [`TransactionWriter`], on the transaction coordinator |
//!
//! Invariants: what is written here goes through the same logs, the same
//! producer state and the same coordinators as what comes by socket; a write
//! is acknowledged when it is committed (`acks=all`).
//!
//! It may be used from any tokio runtime: the engine has its own.

mod append;
pub(crate) mod expansion;
mod opened;
mod reader;
mod transaction;
mod writer;

use crate::api::delete_records;
use crate::error::ApiError;
use crate::group::{GroupError, OffsetsWanted, Stability};
use crate::state::BrokerState;
use crate::topics::TopicRequest;
use crate::txn::TxnError;
use async_trait::async_trait;
use millstream_cluster::Topic;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, BusReader, Isolation, OffsetAt, TopicInfo, TopicSpec, TransactionWriter, Writer,
};
use millstream_log::{PartitionLog, UpTo};
use millstream_wire::ErrorCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a new transactional writer waits for what its predecessor left
/// open to be ended.
const PREDECESSOR_WAIT_MAX: Duration = Duration::from_secs(30);
/// Pause between two tries.
const PREDECESSOR_RETRY: Duration = Duration::from_millis(20);

/// The bus on the embedded broker.
#[derive(Clone)]
pub struct EmbeddedBus {
    state: Arc<BrokerState>,
}

impl EmbeddedBus {
    /// The bus of a broker that runs in this process.
    pub fn new(state: Arc<BrokerState>) -> Self {
        Self { state }
    }

    fn log(&self, partition: &TopicPartition) -> Result<Arc<PartitionLog>, BusError> {
        log_of(&self.state, partition)
    }
}

fn log_of(state: &BrokerState, partition: &TopicPartition) -> Result<Arc<PartitionLog>, BusError> {
    match state.partition(&partition.topic, partition.partition.0) {
        Ok(hosted) => Ok(hosted.log),
        Err(code) => Err(bus_error(
            ApiError::new(code, code.name()),
            &partition.topic,
        )),
    }
}

fn info(topic: &Topic) -> TopicInfo {
    TopicInfo {
        name: topic.name.to_string(),
        id: topic.id,
        partitions: topic.partition_count(),
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        Ok(self
            .state
            .image()
            .topics()
            .map(|topic| info(topic))
            .collect())
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        let image = self.state.image();
        let topic = image
            .topic(name)
            .ok_or_else(|| BusError::UnknownTopic(name.to_owned()))?;
        Ok(info(topic))
    }

    async fn batch_bytes_max(&self, topic: &str) -> Result<usize, BusError> {
        let log = self.log(&TopicPartition::new(topic, 0))?;
        Ok(log.config().message_bytes_max as usize)
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicInfo, BusError> {
        let request = TopicRequest {
            partitions: Some(spec.partitions),
            configs: spec.configs,
            ..TopicRequest::named(&spec.name)
        };
        match self.state.create_topic(request).await {
            Ok(topic) => Ok(info(&topic)),
            Err(error) => Err(bus_error(error, &spec.name)),
        }
    }

    async fn delete_topic(&self, name: &str) -> Result<(), BusError> {
        let deleted = self.state.delete_topic(name, None).await;
        deleted.map(|_| ()).map_err(|error| bus_error(error, name))
    }

    async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), BusError> {
        for (partition, offset) in before {
            let TopicPartition { topic, partition } = partition;
            delete_records::delete(&self.state, topic, partition.0, offset.0)
                .await
                .map_err(|error| bus_error(error, topic))?;
        }
        Ok(())
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError> {
        let mut offsets = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let log = self.log(partition)?;
            let progress = log.progress();
            offsets.push(match at {
                OffsetAt::Earliest => progress.log_start_offset,
                OffsetAt::Latest => progress.high_watermark,
                OffsetAt::LatestStable => progress.last_stable_offset,
                OffsetAt::TimestampMs(timestamp_ms) => {
                    let search =
                        move || log.offset_for_timestamp(timestamp_ms, UpTo::HighWatermark);
                    let found = tokio::task::spawn_blocking(search)
                        .await
                        .map_err(|error| BusError::Fatal(error.to_string()))?
                        .map_err(|error| bus_error(error.into(), &partition.topic))?;
                    found.map_or(progress.high_watermark, |found| found.offset)
                }
            });
        }
        Ok(offsets)
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError> {
        let keys = partitions
            .iter()
            .map(|tp| (tp.topic.clone(), tp.partition.0))
            .collect();
        let wanted = OffsetsWanted::Partitions(keys);
        let fetched = self
            .state
            .groups()
            .fetch_offsets(group, &wanted, Stability::Any)
            .await;
        let fetched = fetched.map_err(|error| group_error(error, group))?;
        fetched
            .into_iter()
            .map(|offset| match offset.committed {
                Ok(committed) => Ok(committed.map(|committed| Offset(committed.offset))),
                Err(error) => Err(group_error(error, group)),
            })
            .collect()
    }

    async fn reader(
        &self,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn BusReader>, BusError> {
        let reader = reader::EmbeddedReader::new(Arc::clone(&self.state), start, isolation)?;
        Ok(Box::new(reader))
    }

    async fn writer(&self) -> Result<Box<dyn Writer>, BusError> {
        let producer = self.state.txns().init_idempotent().await;
        let producer = producer.map_err(|error| txn_error(error, ""))?;
        Ok(Box::new(writer::EmbeddedWriter::new(
            Arc::clone(&self.state),
            producer,
        )))
    }

    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError> {
        let deadline = tokio::time::Instant::now() + PREDECESSOR_WAIT_MAX;
        let producer = loop {
            match self
                .state
                .txns()
                .init_producer(transactional_id, timeout, None)
                .await
            {
                Ok(producer) => break producer,
                // What the predecessor left open is being ended, or the
                // coordinator is still reading its log.
                Err(TxnError::ConcurrentTransactions | TxnError::LoadInProgress)
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(PREDECESSOR_RETRY).await;
                }
                Err(error) => return Err(txn_error(error, transactional_id)),
            }
        };
        Ok(Box::new(transaction::EmbeddedTransactions::new(
            Arc::clone(&self.state),
            transactional_id,
            producer,
        )))
    }
}

/// The one place where the broker's errors become those of the bus.
fn bus_error(error: ApiError, topic: &str) -> BusError {
    match error.code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
            BusError::UnknownTopic(topic.to_owned())
        }
        ErrorCode::TopicAlreadyExists => BusError::TopicExists(topic.to_owned()),
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            BusError::TooLarge(error.message)
        }
        ErrorCode::InvalidTopicException
        | ErrorCode::InvalidPartitions
        | ErrorCode::InvalidReplicationFactor
        | ErrorCode::InvalidReplicaAssignment
        | ErrorCode::InvalidConfig
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidRecord
        | ErrorCode::InvalidTimestamp
        | ErrorCode::OffsetOutOfRange
        | ErrorCode::PolicyViolation => BusError::Invalid(error.message),
        code if code.is_retriable() && code != ErrorCode::KafkaStorageError => {
            BusError::Retriable(error.message)
        }
        _ => BusError::Fatal(error.message),
    }
}

fn txn_error(error: TxnError, transactional_id: &str) -> BusError {
    match error {
        TxnError::Fenced => BusError::Fenced(transactional_id.to_owned()),
        TxnError::ConcurrentTransactions
        | TxnError::LoadInProgress
        | TxnError::NotAvailable
        | TxnError::NotCoordinator
        | TxnError::TooManyIds => BusError::Retriable(error.to_string()),
        TxnError::InvalidState | TxnError::PartitionNotInTransaction => {
            BusError::AbortRequired(error.to_string())
        }
        TxnError::InvalidRequest | TxnError::InvalidTimeout => BusError::Invalid(error.to_string()),
        _ => BusError::Fatal(error.to_string()),
    }
}

fn group_error(error: GroupError, group: &str) -> BusError {
    let message = format!("group {group}: {error}");
    match error {
        GroupError::LoadInProgress
        | GroupError::NotAvailable
        | GroupError::NotCoordinator
        | GroupError::UnstableOffsetCommit
        | GroupError::RebalanceInProgress => BusError::Retriable(message),
        GroupError::Storage => BusError::Fatal(message),
        _ => BusError::Invalid(message),
    }
}
