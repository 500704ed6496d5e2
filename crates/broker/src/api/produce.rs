//! Produce (0): appends record batches.
//!
//! Appending happens in [`Handler::handle`], so batches of one connection
//! take their places in request order; waiting for the disk comes later.
//!
//! From version 12 on (KIP-890) the partitions of transactional batches become
//! part of the transaction here, all those of a request at once: the
//! coordinator's record of them is durable before the first batch is appended.

use super::leader_hints::LeaderHints;
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::{HostedTopic, INTERNAL_TOPICS, refuse_job_state};
use crate::txn::{ClientVersion, Dialect, FencedAs, OutsideAs, Producer, TxnError, Writing};
use bytes::Bytes;
use millstream_core::ids::{Offset, ProducerEpoch, ProducerId, TopicPartition};
use millstream_log::{AppendError, AppendOrigin, CheckedBatches, PartitionLog};
use millstream_wire::ErrorCode;
use millstream_wire::batch::{BatchError, BatchHeader, BatchView, is_intact, split_batches};
use millstream_wire::compression::Compression;
use millstream_wire::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData,
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Produce.
pub(super) struct Produce;

/// From here on the broker adds partitions to the transaction (KIP-890).
const VERSION_ADDS_TO_TRANSACTION: i16 = 12;
/// From here on clients know `TRANSACTION_ABORTABLE` (KIP-890).
const VERSION_ABORTABLE: i16 = 11;
/// From here on topics are named by id (KIP-516).
const VERSION_TOPIC_IDS: i16 = 13;
/// From here on an error names the leader to go to (KIP-951).
const VERSION_HINTS: i16 = 10;
/// From here on clients know zstd (KIP-110).
const VERSION_ZSTD: i16 = 7;

impl Handler for Produce {
    type Request = ProduceRequest;
    // Versions 0 to 2 carry older message formats. They are announced all the
    // same, because librdkafka gives up compression when they are not
    // (librdkafka#4956), and refused when used, as Kafka 4 does.
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const ANNOUNCED_FROM: i16 = 0;

    async fn handle(context: RequestContext, request: ProduceRequest) -> Answer<ProduceResponse> {
        let acks = request.acks;
        let mut call = Call {
            state: &context.state,
            version: context.api_version,
            acks,
            transactional_id: request.transactional_id.as_deref(),
            client_id: &context.client_id,
            added: HashMap::new(),
        };
        call.add_to_transaction(&request.topic_data).await;
        let mut response = ProduceResponse::default();
        let mut pending = Vec::new();
        for topic in request.topic_data {
            let place = response.responses.len();
            response
                .responses
                .push(call.topic(topic, place, &mut pending).await);
        }
        call.hint(&mut response);
        match acks {
            0 => match first_error(&response) {
                // The only way to tell a client that expects no answer.
                Some(code) => Answer::Close(format!("produce with acks=0 failed: {code}")),
                None => Answer::None,
            },
            // acks=1 waits too: on Kafka a leader's own append is readable at
            // once, and clients count on it (DeleteRecords or ListOffsets right
            // after the answer). Here readable means durable.
            _ => {
                let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
                let timeout = Duration::from_millis(timeout_ms);
                // The request's time is for acks=all only: a client may send 0.
                let timeout = match acks {
                    1 => timeout.max(ACKS_1_WAIT),
                    _ => timeout,
                };
                Answer::later(wait_durable(response, pending, timeout))
            }
        }
    }
}

/// How long acks=1 waits for its records to become readable, at least.
const ACKS_1_WAIT: Duration = Duration::from_secs(30);

fn first_error(response: &ProduceResponse) -> Option<ErrorCode> {
    let mut partitions = response
        .responses
        .iter()
        .flat_map(|t| &t.partition_responses);
    partitions
        .find(|p| p.error_code != 0)
        .map(|p| ErrorCode::from(p.error_code))
}

/// An append that is not yet as durable as asked for.
struct Pending {
    topic: usize,
    partition: usize,
    log: Arc<PartitionLog>,
    end_offset: Offset,
}

/// Answers when all is committed and readable, or the time is over.
async fn wait_durable(
    mut response: ProduceResponse,
    pending: Vec<Pending>,
    timeout: Duration,
) -> ProduceResponse {
    let deadline = tokio::time::Instant::now() + timeout;
    for Pending {
        topic,
        partition,
        log,
        end_offset,
    } in pending
    {
        let waited = tokio::time::timeout_at(deadline, log.wait_high_watermark(end_offset)).await;
        let error = match waited {
            Ok(Ok(())) => continue,
            // Appended, and a restart may show it. KAFKA_STORAGE_ERROR would say that
            // it is not there: librdkafka then gives its sequence numbers to other
            // records, which would be taken for duplicates and lost.
            Ok(Err(failure)) => {
                ApiError::new(ErrorCode::NotEnoughReplicasAfterAppend, failure.to_string())
            }
            Err(_) => ApiError::new(
                ErrorCode::RequestTimedOut,
                "appended, but not committed within the request's timeout",
            ),
        };
        let topic = response.responses.get_mut(topic);
        if let Some(place) = topic.and_then(|t| t.partition_responses.get_mut(partition)) {
            *place = failed(place.index, error, Vec::new());
        }
    }
    response
}

struct Call<'a> {
    state: &'a Arc<BrokerState>,
    version: i16,
    acks: i16,
    transactional_id: Option<&'a str>,
    client_id: &'a Arc<str>,
    /// The partitions of each producer (mostly one), and what the coordinator
    /// said about adding them; empty before [`VERSION_ADDS_TO_TRANSACTION`].
    added: HashMap<Producer, Added>,
}

/// Partitions that were to be added to a transaction.
struct Added {
    partitions: HashSet<TopicPartition>,
    outcome: Result<(), TxnError>,
}

impl Call<'_> {
    async fn add_to_transaction(&mut self, topics: &[TopicProduceData]) {
        let Some(id) = self.transactional_id else {
            return;
        };
        if self.version < VERSION_ADDS_TO_TRANSACTION {
            return;
        }
        let mut partitions: HashMap<Producer, HashSet<TopicPartition>> = HashMap::new();
        for topic in topics {
            let Some(hosted) = self.hosted(topic) else {
                continue;
            };
            for data in &topic.partition_data {
                // What is wrong with a batch is told when its turn comes; it
                // adds nothing.
                let batch = data.records.as_ref().map(|r| self.check_batch(r));
                let Some(Ok(batch)) = batch else { continue };
                let header = batch.header();
                if header.is_transactional()
                    && self.check_topic(&hosted, data.index).is_ok()
                    && hosted.partition(data.index).is_ok()
                {
                    let partition = TopicPartition::new(&*hosted.topic.name, data.index);
                    partitions
                        .entry(producer_of(header))
                        .or_default()
                        .insert(partition);
                }
            }
        }
        let txns = self.state.txns();
        for (producer, partitions) in partitions {
            let all = partitions.iter().cloned().collect();
            let outcome = txns.add_partitions(id, producer, all, ClientVersion::V2);
            let added = Added {
                outcome: outcome.await,
                partitions,
            };
            self.added.insert(producer, added);
        }
    }

    fn hosted(&self, topic: &TopicProduceData) -> Option<Arc<HostedTopic>> {
        if self.version >= VERSION_TOPIC_IDS {
            self.state.hosted_by_id(topic.topic_id)
        } else {
            self.state.hosted(&topic.name)
        }
    }

    /// Tells who leads the partitions that this node does not (KIP-951).
    fn hint(&self, response: &mut ProduceResponse) {
        // Kafka hints at this one only: a producer knows no epochs.
        let is_elsewhere = |partition: &PartitionProduceResponse| {
            partition.error_code == i16::from(ErrorCode::NotLeaderOrFollower)
        };
        let mut partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        if self.version < VERSION_HINTS || !partitions.any(is_elsewhere) {
            return;
        }
        let mut hints = LeaderHints::new(self.state);
        for topic in &mut response.responses {
            let hosted = if topic.topic_id.is_nil() {
                self.state.hosted(&topic.name)
            } else {
                self.state.hosted_by_id(topic.topic_id)
            };
            let Some(hosted) = hosted else { continue };
            for partition in &mut topic.partition_responses {
                let code = ErrorCode::from(partition.error_code);
                if is_elsewhere(partition)
                    && let Some(hint) = hints.hint(code, &hosted.topic.name, partition.index)
                {
                    partition.current_leader = LeaderIdAndEpoch {
                        leader_id: hint.leader_id,
                        leader_epoch: hint.leader_epoch,
                    };
                }
            }
        }
        response.node_endpoints = hints
            .endpoints()
            .map(|broker| NodeEndpoint {
                node_id: broker.id.0,
                host: broker.host.clone(),
                port: broker.port.into(),
                rack: broker.rack.clone(),
            })
            .collect();
    }

    async fn topic(
        &self,
        topic: TopicProduceData,
        place: usize,
        pending: &mut Vec<Pending>,
    ) -> TopicProduceResponse {
        let by_id = self.version >= VERSION_TOPIC_IDS;
        let hosted = self.hosted(&topic);
        let mut answer = TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: Vec::with_capacity(topic.partition_data.len()),
        };
        for data in topic.partition_data {
            let index = data.index;
            let appended = match &hosted {
                Some(hosted) => self.append(hosted, data).await,
                None if by_id => Err(Refused::from(ApiError::new(
                    ErrorCode::UnknownTopicId,
                    "no such topic id",
                ))),
                None => Err(ApiError::unknown_topic(&answer.name).into()),
            };
            answer.partition_responses.push(match appended {
                Ok(appended) => {
                    pending.push(Pending {
                        topic: place,
                        partition: answer.partition_responses.len(),
                        log: appended.log,
                        end_offset: appended.end_offset,
                    });
                    appended.response
                }
                Err(refused) => {
                    if let Some(hosted) = &hosted {
                        hosted.stats.refused();
                    }
                    failed(index, refused.error, refused.records)
                }
            });
        }
        answer
    }

    async fn append(
        &self,
        hosted: &HostedTopic,
        data: PartitionProduceData,
    ) -> Result<Appended, Refused> {
        self.check_topic(hosted, data.index)?;
        let partition = hosted
            .partition(data.index)
            .map_err(refuse(hosted, data.index))?;
        let records = data.records.unwrap_or_default();
        let batch = self.check_batch(&records)?;
        let writing = if batch.header().is_transactional() {
            let at = TopicPartition::new(&*hosted.topic.name, data.index);
            let checked = self.check_transaction(&batch, at).await;
            if checked.is_err() {
                // It may come again, and what was sent after it must not come
                // before it.
                let (producer, sequence) =
                    (producer_of(batch.header()), batch.header().base_sequence);
                partition.log.hold_up(producer.id, producer.epoch, sequence);
            }
            checked?
        } else {
            None
        };
        let (count, bytes) = (batch.header().records_count, records.len() as u64);
        drop(batch);
        let checked = check(&partition.log, records, self.origin()).await?;
        let info = partition
            .log
            .append_checked(checked, partition.leader_epoch)
            .map_err(refused_by_log)?;
        drop(writing);
        if !info.duplicate {
            let count = u64::try_from(count).unwrap_or(0);
            hosted.stats.appended(count, bytes);
            self.state
                .stats()
                .produced(self.client_id, &hosted.topic.name, count);
        }
        Ok(Appended {
            end_offset: info.end_offset(),
            log: partition.log,
            response: PartitionProduceResponse {
                index: data.index,
                base_offset: info.first_offset.0,
                log_append_time_ms: info.log_append_time_ms.unwrap_or(-1),
                log_start_offset: info.log_start_offset.0,
                ..Default::default()
            },
        })
    }

    fn check_topic(&self, hosted: &HostedTopic, partition: i32) -> Result<(), ApiError> {
        if !matches!(self.acks, -1..=1) {
            let message = format!("acks={}: use 0, 1 or -1 (all)", self.acks);
            return Err(ApiError::new(ErrorCode::InvalidRequiredAcks, message));
        }
        let name = &*hosted.topic.name;
        if INTERNAL_TOPICS.contains(&name) {
            let message = format!("'{name}' is written by the coordinators only");
            return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
        }
        refuse_job_state(self.client_id, name, "written by anyone else")?;
        let lacks = hosted.lacks_replicas(partition).filter(|(isr, _)| *isr > 0);
        if self.acks == -1
            && let Some((isr, isr_min)) = lacks
        {
            let message = format!("{isr} in-sync replica(s), min.insync.replicas is {isr_min}");
            return Err(ApiError::new(ErrorCode::NotEnoughReplicas, message));
        }
        Ok(())
    }

    /// Kafka takes exactly one batch of message format 2 per partition.
    fn check_batch(&self, records: &Bytes) -> Result<BatchView, Refused> {
        let invalid = |message: &str| ApiError::new(ErrorCode::InvalidRecord, message);
        let corrupt = |error: BatchError| match error {
            // As Kafka's `ProduceRequest.validateRecords` says of them.
            BatchError::UnsupportedMagic(_) => invalid(&error.to_string()),
            // Damage is worth another try; what was sent like that is not.
            BatchError::Header { .. } if is_intact(records) => invalid(&error.to_string()),
            BatchError::Truncated { .. } => invalid(&error.to_string()),
            _ => ApiError::new(ErrorCode::CorruptMessage, error.to_string()),
        };
        let mut batches = split_batches(records.clone());
        let batch = batches
            .next()
            .ok_or_else(|| invalid("no record batch for this partition"))?
            .map_err(corrupt)?;
        if batches.next().is_some() {
            return Err(invalid("more than one record batch for this partition").into());
        }
        let base_offset = batch.header().base_offset;
        if base_offset != 0 {
            let message = format!("a batch to append has the base offset 0, not {base_offset}");
            return Err(invalid(&message).into());
        }
        let compression = batch.header().compression().map_err(|error| {
            ApiError::new(ErrorCode::UnsupportedCompressionType, error.to_string())
        })?;
        if compression == Compression::Zstd && self.version < VERSION_ZSTD {
            let message = "zstd needs Produce version 7 or later (KIP-110)";
            return Err(ApiError::new(ErrorCode::UnsupportedCompressionType, message).into());
        }
        Ok(batch)
    }

    fn origin(&self) -> AppendOrigin {
        if self.version >= VERSION_ADDS_TO_TRANSACTION {
            AppendOrigin::ClientV2
        } else {
            AppendOrigin::Client
        }
    }

    async fn check_transaction(
        &self,
        batch: &BatchView,
        partition: TopicPartition,
    ) -> Result<Option<Writing>, ApiError> {
        let id = self.transactional_id.ok_or_else(|| {
            ApiError::new(
                ErrorCode::TransactionalIdAuthorizationFailed,
                "a transactional batch in a request without a transactional id",
            )
        })?;
        let producer = producer_of(batch.header());
        let checked = if self.version >= VERSION_ADDS_TO_TRANSACTION {
            match self.added.get(&producer) {
                Some(added) if added.partitions.contains(&partition) => {
                    added.outcome.map(|()| None)
                }
                // It was not there yet when the partitions were added: no
                // marker would come to it.
                Some(_) => Err(TxnError::NotAvailable),
                None => Err(TxnError::PartitionNotInTransaction),
            }
        } else {
            let txns = self.state.txns();
            let verified = txns.verify_writing(id, producer, &partition).await;
            verified.map(Some)
        };
        checked.map_err(|error| {
            let code = match error {
                // Clients of version 2 know of it, and often meet it while the
                // transaction before is being ended.
                TxnError::ConcurrentTransactions if self.version >= VERSION_ADDS_TO_TRANSACTION => {
                    ErrorCode::ConcurrentTransactions
                }
                // As Kafka's verification does: a code that every version of
                // every client tries again on.
                TxnError::ConcurrentTransactions
                | TxnError::LoadInProgress
                | TxnError::NotAvailable
                | TxnError::NotCoordinator
                | TxnError::Storage
                | TxnError::TooManyIds => ErrorCode::NotEnoughReplicas,
                other => other.to_code(Dialect {
                    fenced: FencedAs::InvalidProducerEpoch,
                    outside: OutsideAs::by_version(self.version, VERSION_ABORTABLE),
                }),
            };
            ApiError::new(code, error.to_string())
        })
    }
}

fn producer_of(header: &BatchHeader) -> Producer {
    Producer {
        id: ProducerId(header.producer_id),
        epoch: ProducerEpoch(header.producer_epoch),
    }
}

struct Appended {
    log: Arc<PartitionLog>,
    end_offset: Offset,
    response: PartitionProduceResponse,
}

/// Why a partition's batch was refused, and which records are to blame.
struct Refused {
    error: ApiError,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            records: Vec::new(),
        }
    }
}

fn refuse(hosted: &HostedTopic, partition: i32) -> impl Fn(ErrorCode) -> ApiError + '_ {
    move |code| {
        ApiError::new(
            code,
            format!("{}-{partition}: {}", hosted.topic.name, code.name()),
        )
    }
}

/// Looks inside the batch; what takes long to expand, on a thread that may be
/// kept.
async fn check(
    log: &Arc<PartitionLog>,
    records: Bytes,
    origin: AppendOrigin,
) -> Result<CheckedBatches, Refused> {
    let quickly = log.check_quickly(records.clone(), origin);
    if let Some(checked) = quickly.map_err(refused_by_log)? {
        return Ok(checked);
    }
    let log = Arc::clone(log);
    let checked = tokio::task::spawn_blocking(move || log.check(records, origin)).await;
    match checked {
        Ok(checked) => checked.map_err(refused_by_log),
        Err(_) => {
            Err(ApiError::new(ErrorCode::NotLeaderOrFollower, "the broker is stopping").into())
        }
    }
}

fn refused_by_log(error: AppendError) -> Refused {
    let records = match &error {
        AppendError::InvalidTimestamp { records, .. }
        | AppendError::TimestampType { records }
        | AppendError::Keyless { records } => records.as_slice(),
        _ => &[],
    };
    let named = |batch_index: &i32| BatchIndexAndErrorMessage {
        batch_index: *batch_index,
        batch_index_error_message: Some(error.to_string()),
    };
    Refused {
        records: records.iter().map(named).collect(),
        error: error.into(),
    }
}

fn failed(
    index: i32,
    error: ApiError,
    record_errors: Vec<BatchIndexAndErrorMessage>,
) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: error.code.into(),
        base_offset: -1,
        error_message: Some(error.message),
        record_errors,
        ..Default::default()
    }
}
