//! Topics, offsets, deletions.

use super::brokers::Observer;
use super::errors::{bus_error, code_error};
use super::{Clients, REQUEST_WAIT_MAX, blocking};
use millstream_core::ids::{Offset, TopicId, TopicPartition};
use millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT;
use millstream_core::ports::{BusError, Isolation, OffsetAt, TopicInfo, TopicSpec};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before asking the same again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long one attempt may take: a broker that does not answer must not take
/// the time of those that would.
const ATTEMPT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a topic that should be there may be unknown: a broker that has
/// just started answers before it knows all of them.
const UNKNOWN_MAX: Duration = Duration::from_secs(15);
/// How long a cluster may take to tell a topic's settings. They can be done
/// without, and a job that starts asks for several.
const SETTINGS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Events taken from a client's queue at a time.
const EVENTS_MAX: usize = 1_000;

/// A consumer that only asks.
pub(super) type QueryClient = BaseConsumer<Observer>;

pub(super) struct Admin {
    clients: Clients,
    client: AdminClient<Observer>,
    /// Answers for readers at read_uncommitted.
    uncommitted: QueryClient,
    /// Answers for readers at read_committed: ListOffsets' latest is then
    /// the last stable offset.
    committed: QueryClient,
}

impl Admin {
    pub(super) fn new(clients: &Clients) -> Result<Self, BusError> {
        Ok(Self {
            client: clients.create(&[], "client")?,
            uncommitted: query_client(clients, "read_uncommitted", "millstream-query")?,
            committed: query_client(clients, "read_committed", "millstream-query")?,
            clients: clients.clone(),
        })
    }

    /// The metadata of one topic or of all.
    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, BusError> {
        let metadata = patiently(|| {
            self.uncommitted
                .fetch_metadata(topic, ATTEMPT_WAIT_MAX)
                .map_err(|e| bus_error(e, topic.unwrap_or("cluster")))
        });
        drain(&self.uncommitted);
        let metadata = metadata?;
        self.clients.brokers.learn(&metadata);
        Ok(metadata)
    }

    pub(super) fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        let metadata = self.metadata(None)?;
        let mut topics: Vec<TopicInfo> = metadata
            .topics()
            .iter()
            .filter_map(|t| topic_info(t).ok())
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    pub(super) fn topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        self.topic_and_leaders(name).map(|(info, _)| info)
    }

    /// A topic that was there; unknown only when it stays so.
    pub(super) fn known_topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        insistently(|| self.topic(name))
    }

    /// A topic, and how many of its partitions have a leader.
    fn topic_and_leaders(&self, name: &str) -> Result<(TopicInfo, i32), BusError> {
        let metadata = self.metadata(Some(name))?;
        match metadata.topics().iter().find(|t| t.name() == name) {
            Some(topic) => {
                let led = topic
                    .partitions()
                    .iter()
                    .filter(|p| p.leader() >= 0)
                    .count();
                Ok((topic_info(topic)?, i32::try_from(led).unwrap_or(i32::MAX)))
            }
            None => Err(BusError::UnknownTopic(name.to_owned())),
        }
    }

    /// `max.message.bytes` of a topic, at most what the producers here send.
    /// The default where the cluster does not tell us in time: a job must not
    /// need the right to read settings, and a broker that is away must not
    /// hold up its start.
    pub(super) async fn batch_bytes_max(&self, name: &str) -> usize {
        let topic = ResourceSpecifier::Topic(name);
        let options = AdminOptions::new().request_timeout(Some(SETTINGS_WAIT_MAX));
        let described = self.client.describe_configs([&topic], &options).await;
        let told = described.ok().and_then(|resources| {
            let resource = resources.into_iter().next()?.ok()?;
            let setting = resource.get("max.message.bytes")?.value.clone()?;
            setting.parse::<usize>().ok()
        });
        told.unwrap_or(MESSAGE_BYTES_MAX_DEFAULT)
            .min(MESSAGE_BYTES_MAX_DEFAULT)
    }

    pub(super) async fn create_topic(
        self: &Arc<Self>,
        spec: TopicSpec,
    ) -> Result<TopicInfo, BusError> {
        // -1: the cluster's default.replication.factor (KIP-464).
        let mut topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1));
        for (key, value) in &spec.configs {
            topic = topic.set(key, value);
        }
        let results = self
            .client
            .create_topics([&topic], &admin_options())
            .await
            .map_err(|e| bus_error(e, &spec.name))?;
        for result in results {
            result.map_err(|(name, code)| code_error(code, &name, code.to_string()))?;
        }
        let (admin, name, partitions) = (Arc::clone(self), spec.name.clone(), spec.partitions);
        blocking(move || admin.await_leaders(&name, partitions)).await
    }

    /// A topic can be written to when each partition has a leader.
    fn await_leaders(&self, name: &str, partitions: i32) -> Result<TopicInfo, BusError> {
        let began = Instant::now();
        loop {
            match self.topic_and_leaders(name) {
                Ok((info, led)) if led == partitions => return Ok(info),
                Ok(_) | Err(BusError::UnknownTopic(_) | BusError::Retriable(_))
                    if began.elapsed() < REQUEST_WAIT_MAX => {}
                Ok((_, led)) => {
                    let text = format!("{led} of {partitions} partitions of {name} have a leader");
                    return Err(BusError::Retriable(text));
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    pub(super) async fn delete_topic(&self, name: &str) -> Result<(), BusError> {
        let results = self
            .client
            .delete_topics(&[name], &admin_options())
            .await
            .map_err(|e| bus_error(e, name))?;
        for result in results {
            result.map_err(|(name, code)| code_error(code, &name, code.to_string()))?;
        }
        Ok(())
    }

    pub(super) async fn delete_records(
        &self,
        before: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        let list = partition_list(before.iter().map(|(tp, o)| (tp, KafkaOffset::Offset(o.0))))?;
        let done = self
            .client
            .delete_records(&list, &admin_options())
            .await
            .map_err(|e| bus_error(e, "records"))?;
        for (element, (tp, offset)) in done.elements().iter().zip(before) {
            match element.error().map_err(|e| bus_error(e, &tp.topic)) {
                Ok(()) => {}
                Err(_)
                    if element.error().err().and_then(|e| e.rdkafka_error_code())
                        == Some(RDKafkaErrorCode::OffsetOutOfRange) =>
                {
                    return Err(BusError::OffsetOutOfRange {
                        topic_partition: tp.clone(),
                        offset: *offset,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError> {
        match at {
            OffsetAt::Earliest => self.ends(partitions, Isolation::ReadUncommitted, |(low, _)| low),
            OffsetAt::Latest => self.ends(partitions, Isolation::ReadUncommitted, |(_, high)| high),
            OffsetAt::LatestStable => {
                self.ends(partitions, Isolation::ReadCommitted, |(_, high)| high)
            }
            OffsetAt::TimestampMs(ms) => self.offsets_at_time(partitions, ms),
        }
    }

    fn ends(
        &self,
        partitions: &[TopicPartition],
        isolation: Isolation,
        which: fn((i64, i64)) -> i64,
    ) -> Result<Vec<Offset>, BusError> {
        let (consumer, level) = match isolation {
            Isolation::ReadUncommitted => (&self.uncommitted, "read_uncommitted"),
            Isolation::ReadCommitted => (&self.committed, "read_committed"),
        };
        // A new leader answers a moment after the metadata names it.
        let ask = |client: &QueryClient, tp: &TopicPartition| {
            patiently(|| {
                client
                    .fetch_watermarks(&tp.topic, tp.partition.0, ATTEMPT_WAIT_MAX)
                    .map(|ends| Offset(which(ends)))
                    .map_err(|e| bus_error(e, &tp.topic))
            })
        };
        let mut fresh = None;
        let mut ends = Vec::with_capacity(partitions.len());
        for tp in partitions {
            let mut end = ask(fresh.as_ref().unwrap_or(consumer), tp);
            // A client can go on for ever not to know a topic after brokers
            // came and went: one made anew is asked before it is believed.
            if matches!(end, Err(BusError::UnknownTopic(_))) && fresh.is_none() {
                let client = query_client(&self.clients, level, "millstream-query")?;
                end = insistently(|| ask(&client, tp));
                fresh = Some(client);
            }
            ends.push(end?);
        }
        drain(consumer);
        Ok(ends)
    }

    fn offsets_at_time(
        &self,
        partitions: &[TopicPartition],
        ms: i64,
    ) -> Result<Vec<Offset>, BusError> {
        let list = partition_list(partitions.iter().map(|tp| (tp, KafkaOffset::Offset(ms))))?;
        let found = insistently(|| {
            self.uncommitted
                .offsets_for_times(list.clone(), ATTEMPT_WAIT_MAX)
                .map_err(|e| bus_error(e, "offsets"))
        });
        drain(&self.uncommitted);
        let found = found?;
        partitions
            .iter()
            .map(|tp| {
                let element = found.find_partition(&tp.topic, tp.partition.0);
                if let Some(element) = &element {
                    element.error().map_err(|e| bus_error(e, &tp.topic))?;
                }
                match element.map(|e| e.offset()) {
                    Some(KafkaOffset::Offset(offset)) => Ok(Offset(offset)),
                    // None at or after that time: the end.
                    _ => {
                        let at = std::slice::from_ref(tp);
                        let ends = self.offsets(at, OffsetAt::Latest)?;
                        ends.first()
                            .copied()
                            .ok_or_else(|| BusError::UnknownTopic(tp.topic.clone()))
                    }
                }
            })
            .collect()
    }

    pub(super) fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError> {
        // At read_committed librdkafka asks for stable offsets only and waits
        // while a transaction with offsets of the group is open.
        let consumer = query_client(&self.clients, "read_uncommitted", group)?;
        let list = partition_list(partitions.iter().map(|tp| (tp, KafkaOffset::Invalid)))?;
        let found = patiently(|| {
            consumer
                .committed_offsets(list.clone(), ATTEMPT_WAIT_MAX)
                .map_err(|e| bus_error(e, group))
        })?;
        Ok(partitions
            .iter()
            .map(|tp| {
                match found
                    .find_partition(&tp.topic, tp.partition.0)
                    .map(|e| e.offset())
                {
                    Some(KafkaOffset::Offset(offset)) => Some(Offset(offset)),
                    _ => None,
                }
            })
            .collect())
    }
}

/// Asks again while the answer is that it may be asked again. Blocks.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, BusError>) -> Result<T, BusError> {
    let began = Instant::now();
    loop {
        match ask() {
            Err(BusError::Retriable(_)) if began.elapsed() < REQUEST_WAIT_MAX => {
                std::thread::sleep(RETRY_PAUSE);
            }
            answer => return answer,
        }
    }
}

/// The same about topics that should be there: asks again while they are
/// unknown, too. Blocks.
fn insistently<T>(mut ask: impl FnMut() -> Result<T, BusError>) -> Result<T, BusError> {
    let began = Instant::now();
    loop {
        match patiently(&mut ask) {
            Err(BusError::UnknownTopic(_)) if began.elapsed() < UNKNOWN_MAX => {
                std::thread::sleep(RETRY_PAUSE);
            }
            answer => return answer,
        }
    }
}

/// A consumer that only asks.
pub(super) fn query_client(
    clients: &Clients,
    isolation: &str,
    group: &str,
) -> Result<QueryClient, BusError> {
    let settings = [
        ("group.id", group),
        ("isolation.level", isolation),
        ("enable.auto.commit", "false"),
        ("allow.auto.create.topics", "false"),
    ];
    clients.create(&settings, group)
}

/// Takes what a client that is never read from has to tell: log lines and
/// errors, which would pile up.
pub(super) fn drain(client: &QueryClient) {
    for _ in 0..EVENTS_MAX {
        if client.poll(Duration::ZERO).is_none() {
            return;
        }
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_WAIT_MAX))
        .operation_timeout(Some(REQUEST_WAIT_MAX))
}

pub(super) fn partition_list<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, KafkaOffset)>,
) -> Result<TopicPartitionList, BusError> {
    let mut list = TopicPartitionList::new();
    for (tp, offset) in partitions {
        list.add_partition_offset(&tp.topic, tp.partition.0, offset)
            .map_err(|e| bus_error(e, &tp.topic))?;
    }
    Ok(list)
}

fn topic_info(topic: &MetadataTopic) -> Result<TopicInfo, BusError> {
    if let Some(error) = topic.error() {
        let code = RDKafkaErrorCode::from(error);
        return Err(code_error(code, topic.name(), code.to_string()));
    }
    let partitions = topic.partitions().len();
    Ok(TopicInfo {
        name: topic.name().to_owned(),
        // librdkafka's metadata does not carry topic ids.
        id: TopicId::nil(),
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
    })
}
