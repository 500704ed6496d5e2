//! What the coordinators need of the broker: their internal topics in its own
//! logs, end markers in every partition, and producer ids.

use crate::error::ApiError;
use crate::group::{GroupPace, TopicSource, TopicsImage};
use crate::journal::{Appended, InternalTopic, Journal, JournalChunk, JournalError};
use crate::state::BrokerState;
use crate::topics::HostedPartition;
use crate::txn::{ClientVersion, Marker, MarkerError, MarkerWriter, ProducerIdSource, TxnOutcome};
use async_trait::async_trait;
use bytes::Bytes;
use millstream_cluster::{Command, MetadataImage, Reply};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_log::{AppendError, AppendOrigin, FetchRequest, UpTo};
use millstream_wire::ErrorCode;
use millstream_wire::batch::{ControlKind, EndTxnMarker};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// Bytes of an internal topic read at a time while a coordinator loads.
const LOAD_BYTES_MAX: usize = 1024 * 1024;

/// The broker as its coordinators see it. Weak: the broker owns them.
#[derive(Clone)]
pub(crate) struct CoordinatorPorts {
    pub(crate) state: Weak<BrokerState>,
}

impl CoordinatorPorts {
    fn state(&self) -> Option<Arc<BrokerState>> {
        self.state.upgrade()
    }

    fn partition(
        &self,
        topic: InternalTopic,
        partition: i32,
    ) -> Result<HostedPartition, JournalError> {
        let state = self.state().ok_or_else(stopped)?;
        state
            .partition(topic.name(), partition)
            .map_err(|code| match code {
                ErrorCode::NotLeaderOrFollower => JournalError::NotLeader,
                ErrorCode::UnknownTopicOrPartition => {
                    JournalError::Unavailable(format!("{topic}-{partition} is not there yet"))
                }
                other => JournalError::Failed(format!("{topic}-{partition}: {}", other.name())),
            })
    }
}

fn stopped() -> JournalError {
    JournalError::Unavailable("the broker has stopped".into())
}

#[async_trait]
impl Journal for CoordinatorPorts {
    fn partitions(&self, topic: InternalTopic) -> Option<i32> {
        Some(self.state()?.hosted(topic.name())?.topic.partition_count())
    }

    async fn ensure(&self, topic: InternalTopic, partitions: i32) -> Result<i32, JournalError> {
        if let Some(count) = self.partitions(topic) {
            return Ok(count);
        }
        let state = self.state().ok_or_else(stopped)?;
        let mut request = state.internal_topic(topic.name()).unwrap_or_default();
        request.partitions = Some(partitions);
        match state.create_topic(request).await {
            Ok(topic) => Ok(topic.partition_count()),
            // Somebody else has created it at the same time.
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => {
                let unavailable =
                    |e: millstream_log::OpenError| JournalError::Failed(e.to_string());
                state.hosting.catch_up(&state).await.map_err(unavailable)?;
                self.partitions(topic)
                    .ok_or_else(|| JournalError::Unavailable(error.message))
            }
            Err(error) => Err(JournalError::Unavailable(error.message)),
        }
    }

    fn append(
        &self,
        topic: InternalTopic,
        partition: i32,
        batch: Bytes,
    ) -> Result<Appended, JournalError> {
        let HostedPartition { log, leader_epoch } = self.partition(topic, partition)?;
        let info = log
            .append_as_leader(batch, AppendOrigin::Coordinator, leader_epoch)
            .map_err(journal_error)?;
        Ok(Appended {
            base_offset: info.first_offset.0,
            durable: Box::pin(async move {
                log.wait_high_watermark(info.end_offset())
                    .await
                    .map_err(|failure| JournalError::Failed(failure.to_string()))
            }),
        })
    }

    fn start_offset(&self, topic: InternalTopic, partition: i32) -> Result<i64, JournalError> {
        Ok(self.partition(topic, partition)?.log.log_start_offset().0)
    }

    async fn trim(
        &self,
        topic: InternalTopic,
        partition: i32,
        before: i64,
    ) -> Result<(), JournalError> {
        let log = self.partition(topic, partition)?.log;
        let trim = move || log.delete_records_before(Offset(before));
        match tokio::task::spawn_blocking(trim).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(JournalError::Failed(error.to_string())),
            Err(error) => Err(JournalError::Failed(error.to_string())),
        }
    }

    async fn read(
        &self,
        topic: InternalTopic,
        partition: i32,
        offset: i64,
    ) -> Result<JournalChunk, JournalError> {
        let log = self.partition(topic, partition)?.log;
        let request = FetchRequest {
            offset: Offset(offset),
            bytes_max: LOAD_BYTES_MAX,
            min_one_batch: true,
            up_to: UpTo::LogEnd,
        };
        let read = tokio::task::spawn_blocking(move || log.read(request)).await;
        match read {
            Ok(Ok(batches)) => Ok(JournalChunk {
                batches: batches.batches,
                next_offset: batches.next_offset.0,
            }),
            Ok(Err(error)) => Err(JournalError::Failed(error.to_string())),
            Err(error) => Err(JournalError::Failed(error.to_string())),
        }
    }
}

fn journal_error(error: AppendError) -> JournalError {
    match error {
        AppendError::InvalidProducerEpoch { .. } => JournalError::ProducerFenced,
        AppendError::TooLarge { .. }
        | AppendError::Expands { .. }
        | AppendError::ListTooLarge { .. } => JournalError::TooLarge(error.to_string()),
        AppendError::StaleLeaderEpoch { .. } => JournalError::NotLeader,
        other => JournalError::Failed(other.to_string()),
    }
}

#[async_trait]
impl MarkerWriter for CoordinatorPorts {
    async fn write(&self, partition: &TopicPartition, marker: Marker) -> Result<(), MarkerError> {
        let stopped = || MarkerError::Retriable("the broker has stopped".into());
        write_marker(&*self.state().ok_or_else(stopped)?, partition, marker).await
    }
}

/// The topics of a metadata image, as groups see them; none when the broker
/// has stopped.
struct Topics(Option<Arc<MetadataImage>>);

impl TopicSource for CoordinatorPorts {
    fn topics(&self) -> Arc<dyn TopicsImage> {
        Arc::new(Topics(self.state().map(|state| state.image())))
    }

    fn pace_of(&self, group_id: &str) -> Option<GroupPace> {
        let state = self.state()?;
        let image = state.image();
        let settings = state.configs(&image).group_settings(group_id);
        Some(GroupPace {
            session_timeout: settings.session_timeout,
            heartbeat_interval: settings.heartbeat_interval,
        })
    }
}

impl TopicsImage for Topics {
    fn version(&self) -> u64 {
        self.0.as_ref().map_or(0, |image| image.version())
    }

    fn topic(&self, name: &str) -> Option<(uuid::Uuid, i32)> {
        let topic = self.0.as_ref()?.topic(name)?;
        Some((topic.id, topic.partition_count()))
    }

    fn name_of(&self, id: &uuid::Uuid) -> Option<String> {
        Some(self.0.as_ref()?.topic_by_id(*id)?.name.to_string())
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        let topics = self.0.iter().flat_map(|image| image.topics());
        topics.for_each(|topic| visit(&topic.name));
    }
}

/// Writes an end marker into one of this broker's partitions; see
/// [`MarkerWriter::write`].
pub(crate) async fn write_marker(
    state: &BrokerState,
    partition: &TopicPartition,
    marker: Marker,
) -> Result<(), MarkerError> {
    let retriable = |what: String| MarkerError::Retriable(what);
    let HostedPartition { log, leader_epoch } = state
        .partition(&partition.topic, partition.partition.0)
        .map_err(|code| {
            let gone = state
                .image()
                .partition(&partition.topic, partition.partition)
                .is_none();
            if gone {
                MarkerError::PartitionGone
            } else {
                retriable(code.name().into())
            }
        })?;
    let committed = marker.outcome == TxnOutcome::Commit;
    let kind = if committed {
        ControlKind::Commit
    } else {
        ControlKind::Abort
    };
    let producer = marker.producer;
    let batch = EndTxnMarker {
        kind,
        coordinator_epoch: marker.coordinator_epoch,
    }
    .to_batch(producer.id.0, producer.epoch.0, state.clock().now_ms())
    .map_err(|error| retriable(error.to_string()))?;
    let origin = match marker.version {
        ClientVersion::V1 => AppendOrigin::Coordinator,
        ClientVersion::V2 => AppendOrigin::CoordinatorV2,
    };
    let appended = log.append_as_leader(batch, origin, leader_epoch);
    let info = appended.map_err(|error| match error {
        AppendError::InvalidProducerEpoch { .. } => MarkerError::Fenced,
        AppendError::CoordinatorFenced { .. } => MarkerError::CoordinatorFenced,
        other => retriable(other.to_string()),
    })?;
    log.wait_high_watermark(info.end_offset())
        .await
        .map_err(|failure| retriable(failure.to_string()))?;
    if partition.topic == InternalTopic::ConsumerOffsets.name() {
        state
            .groups()
            .end_transaction(partition.partition.0, producer.id, committed);
    }
    Ok(())
}

#[async_trait]
impl ProducerIdSource for CoordinatorPorts {
    async fn next_block(&self) -> Result<Range<i64>, String> {
        let state = self.state().ok_or("the broker has stopped")?;
        let command = Command::AllocateProducerIds {
            broker: state.node_id(),
        };
        match state.metadata().propose(command).await {
            Ok(Reply::ProducerIds { first, count }) => Ok(first.0..first.0 + count),
            Ok(other) => Err(format!("unexpected reply {other:?}")),
            Err(error) => Err(ApiError::from(error).message),
        }
    }
}
