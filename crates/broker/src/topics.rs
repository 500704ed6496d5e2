//! Topics as this node serves them: creating, deleting and altering them
//! through the metadata, and keeping the logs of the partitions that this
//! node leads in step with it.
//!
//! Invariants:
//! - Metadata first, files second: a topic that the metadata has and whose
//!   log is missing is created, a log that the metadata does not have is
//!   removed. So a crash in between is mended at the next start.
//! - Whoever has proposed a change answers its client after [`Hosting`] has
//!   caught up with it.

use crate::error::ApiError;
use crate::state::BrokerState;
use crate::stats::TopicStats;
use millstream_cluster::configs::{TopicSettings, canonical, check_topic_configs};
use millstream_cluster::image::ConfigMap;
use millstream_cluster::{ClusterError, Command, MetadataImage, NewTopic, Reply, Topic};
use millstream_core::ids::{
    BrokerId, LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition, check_topic_name,
};
use millstream_core::ports::ENGINE_CLIENT_ID;
use millstream_log::{Durability, LogError, LogManager, NewPartition, OpenError, PartitionLog};
use millstream_wire::ErrorCode;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// A topic to create; what is `None` is the broker's default.
#[derive(Clone, Debug, Default)]
pub struct TopicRequest {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: Option<i32>,
    /// Copies of each partition.
    pub replication_factor: Option<i16>,
    /// Replicas of each partition.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
    /// Settings by Kafka's names.
    pub configs: ConfigMap,
    /// Whether it belongs to the system.
    pub internal: bool,
}

impl TopicRequest {
    /// A topic with the broker's defaults.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Partitions to add to a topic.
pub(crate) struct MorePartitions {
    /// The topic's name.
    pub(crate) topic: String,
    /// How many it should have afterwards.
    pub(crate) count: i32,
    /// Replicas of each new one.
    pub(crate) assignments: Option<Vec<Vec<BrokerId>>>,
}

/// A partition that this node leads.
#[derive(Clone)]
pub struct HostedPartition {
    /// Its log.
    pub log: Arc<PartitionLog>,
    /// The epoch in which this node leads it.
    pub leader_epoch: LeaderEpoch,
}

/// What Kafka calls the log of its metadata; clients know that it is none of
/// theirs.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A leader epoch of which a client says nothing.
pub(crate) const EPOCH_UNKNOWN: i32 = -1;

impl HostedPartition {
    /// The largest epoch not above `asked`, and where it ends; `None` for one
    /// that is not known yet, or no more. The present one ends with the log,
    /// even if it has written nothing.
    pub(crate) fn end_of_epoch(&self, asked: i32) -> Option<(LeaderEpoch, Offset)> {
        let asked = LeaderEpoch(asked);
        if asked == self.leader_epoch {
            return Some((asked, self.log.progress().log_end_offset));
        }
        (asked.0 >= 0)
            .then(|| self.log.end_offset_for_epoch(asked))
            .flatten()
    }
}

/// How far a partition is served by the node that leads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// As it should be, or another node has it.
    Yes,
    /// Its log has stopped: what is committed can be read.
    ReadOnly,
    /// Its log could not be opened.
    No,
}

/// A topic, its settings in force and the logs of its partitions.
pub struct HostedTopic {
    /// As the metadata has it.
    pub topic: Arc<Topic>,
    /// In force.
    pub settings: TopicSettings,
    pub(crate) stats: Arc<TopicStats>,
    node_id: BrokerId,
    /// By partition number; `None` where this node holds no copy or could
    /// not open it.
    logs: Vec<Option<Arc<PartitionLog>>>,
}

impl HostedTopic {
    /// One partition, or why it cannot be served.
    pub fn partition(&self, partition: i32) -> Result<HostedPartition, ErrorCode> {
        let index = usize::try_from(partition).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
        let state = self
            .topic
            .partitions
            .get(index)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if state.leader != Some(self.node_id) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let log = self.logs.get(index).and_then(Option::as_ref).cloned();
        let log = log.ok_or(ErrorCode::KafkaStorageError)?;
        Ok(HostedPartition {
            log,
            leader_epoch: state.leader_epoch,
        })
    }

    /// The logs that this node has of the topic, with their numbers.
    pub fn logs(&self) -> impl Iterator<Item = (PartitionId, &Arc<PartitionLog>)> {
        (0..)
            .map(PartitionId)
            .zip(&self.logs)
            .filter_map(|(id, log)| Some((id, log.as_ref()?)))
    }

    /// Whether this node serves what the metadata says that it leads, by
    /// index.
    pub fn served(&self, index: usize) -> Served {
        let led = self.topic.partitions.get(index);
        match (led.and_then(|p| p.leader), self.logs.get(index)) {
            // Not ours, or not hosted yet.
            (leader, _) if leader != Some(self.node_id) => Served::Yes,
            (_, None) => Served::Yes,
            (_, Some(None)) => Served::No,
            (_, Some(Some(log))) if log.has_stopped() => Served::ReadOnly,
            (_, Some(Some(_))) => Served::Yes,
        }
    }

    /// Whether any of its partitions here cannot be written to because of an
    /// error of the disk.
    pub(crate) fn has_failed(&self) -> bool {
        (0..self.logs.len()).any(|index| self.served(index) != Served::Yes)
    }

    /// When too few replicas of a partition are in sync for a write that all
    /// of them are to have: how many are, and how many have to be. More than
    /// there are in all cannot be asked for (Kafka's `effectiveMinIsr`), so
    /// that a topic which was made for a cluster can be written on one node.
    pub(crate) fn lacks_replicas(&self, partition: i32) -> Option<(usize, usize)> {
        let partition = self.topic.partition(PartitionId(partition))?;
        let isr_min = self.settings.min_insync_replicas;
        lacking(partition.isr.len(), partition.replicas.len(), isr_min)
    }
}

fn lacking(isr: usize, replicas: usize, isr_min: usize) -> Option<(usize, usize)> {
    let isr_min = isr_min.min(replicas);
    (isr < isr_min).then_some((isr, isr_min))
}

/// The topics of this node.
pub(crate) struct Hosting {
    node_id: BrokerId,
    logs: Arc<LogManager>,
    durability: Durability,
    topics: RwLock<Topics>,
    /// Counts changes of `topics`: what was found there may be something else
    /// since.
    changes: watch::Sender<u64>,
    /// The image that was last applied; held while one is being applied.
    applied: tokio::sync::Mutex<Option<Arc<MetadataImage>>>,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Arc<str>, Arc<HostedTopic>>,
    names: HashMap<TopicId, Arc<str>>,
}

impl Hosting {
    pub(crate) fn new(node_id: BrokerId, logs: Arc<LogManager>, durability: Durability) -> Self {
        Self {
            node_id,
            logs,
            durability,
            topics: RwLock::default(),
            changes: watch::Sender::new(0),
            applied: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn logs(&self) -> &Arc<LogManager> {
        &self.logs
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<HostedTopic>> {
        self.topics.read().by_name.get(name).cloned()
    }

    pub(crate) fn get_by_id(&self, id: TopicId) -> Option<Arc<HostedTopic>> {
        let topics = self.topics.read();
        topics.by_name.get(topics.names.get(&id)?).cloned()
    }

    /// Changes of the topics or of who leads them, as a stream.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn all(&self) -> Vec<Arc<HostedTopic>> {
        self.topics.read().by_name.values().cloned().collect()
    }

    /// Removes logs that the metadata does not know: topics that were deleted
    /// while a crash kept their files.
    pub(crate) async fn remove_strays(&self, image: &MetadataImage) {
        let known = |log: &PartitionLog| {
            image.topic_by_id(log.topic_id()).is_some_and(|topic| {
                *topic.name == *log.topic_partition().topic
                    && topic.partition(log.topic_partition().partition).is_some()
            })
        };
        let strays = self.logs.all().into_iter().filter(|log| !known(log));
        let mut strays: Vec<_> = strays.map(|log| log.topic_partition().clone()).collect();
        // One that cannot be opened does not tell its topic's id.
        let offline = self
            .logs
            .offline()
            .into_iter()
            .map(|(topic_partition, _)| topic_partition);
        strays.extend(offline.filter(|tp| image.partition(&tp.topic, tp.partition).is_none()));
        self.delete_logs(strays).await;
    }

    /// Brings this node's logs in step with the newest metadata.
    pub(crate) async fn catch_up(&self, state: &BrokerState) -> Result<(), OpenError> {
        let mut applied = self.applied.lock().await;
        let image = state.image();
        let before = applied.clone();
        if before
            .as_ref()
            .is_some_and(|before| before.version() == image.version())
        {
            return Ok(());
        }
        let defaults_changed = before.as_ref().is_none_or(|before| {
            before.cluster_configs() != image.cluster_configs()
                || before.broker_configs(self.node_id) != image.broker_configs(self.node_id)
        });
        if defaults_changed {
            let settings = state.configs(&image).broker_settings();
            self.logs.set_cleaner_config(settings.cleaner);
            self.logs.set_retention_check(settings.retention_check);
        }
        self.remove_deleted(state, &image).await;
        let changed: Vec<Arc<Topic>> = image
            .topics()
            .filter(|topic| {
                defaults_changed
                    || self
                        .get(&topic.name)
                        .is_none_or(|hosted| !Arc::ptr_eq(&hosted.topic, topic))
            })
            .cloned()
            .collect();
        let result = self.host(state, &image, changed).await;
        *applied = Some(image);
        result
    }

    async fn remove_deleted(&self, state: &BrokerState, image: &MetadataImage) {
        let gone: Vec<Arc<HostedTopic>> = {
            let mut topics = self.topics.write();
            let gone: Vec<_> = topics
                .by_name
                .values()
                .filter(|hosted| image.topic_by_id(hosted.topic.id).is_none())
                .cloned()
                .collect();
            for hosted in &gone {
                topics.by_name.remove(&hosted.topic.name);
                topics.names.remove(&hosted.topic.id);
            }
            gone
        };
        if !gone.is_empty() {
            self.changes.send_modify(|n| *n += 1);
        }
        let mut partitions = Vec::new();
        for hosted in gone {
            let name = &*hosted.topic.name;
            state.stats().forget_topic(name);
            // Those that could not be opened too.
            let all = 0..hosted.topic.partition_count();
            partitions.extend(all.map(|p| TopicPartition::new(name, p)));
        }
        self.delete_logs(partitions).await;
    }

    async fn delete_logs(&self, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        let logs = Arc::clone(&self.logs);
        let deleted = tokio::task::spawn_blocking(move || {
            let outcomes = logs.delete_all(partitions.clone());
            for (topic_partition, outcome) in partitions.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => tracing::debug!(%topic_partition, "log removed"),
                    Err(LogError::Unknown(_)) => {}
                    // The metadata says it is gone; the next start tries again.
                    Err(error) => tracing::error!(%topic_partition, %error, "log not removed"),
                }
            }
        });
        if let Err(error) = deleted.await {
            tracing::error!(%error, "removing logs ended badly");
        }
    }

    /// Opens the logs of topics and puts their settings in force; the first
    /// error of any of them is returned.
    async fn host(
        &self,
        state: &BrokerState,
        image: &MetadataImage,
        topics: Vec<Arc<Topic>>,
    ) -> Result<(), OpenError> {
        if topics.is_empty() {
            return Ok(());
        }
        let settings: Vec<TopicSettings> = topics
            .iter()
            .map(|topic| state.configs(image).topic_settings(topic))
            .collect();
        // In the order in which `collect` below takes them.
        let mut wanted = Vec::new();
        for (topic, settings) in topics.iter().zip(&settings) {
            let config = settings.log_config(self.durability);
            for (index, _) in self.held(topic).filter(|(_, held)| *held) {
                wanted.push(NewPartition {
                    topic_partition: TopicPartition::new(&*topic.name, index),
                    topic_id: topic.id,
                    config: config.clone(),
                });
            }
        }
        let manager = Arc::clone(&self.logs);
        let opened = tokio::task::spawn_blocking(move || open_all(&manager, wanted)).await;
        let (opened, result) = opened.unwrap_or_else(|error| {
            tracing::error!(%error, "opening logs ended badly");
            (Vec::new(), Ok(()))
        });
        let mut opened = opened.into_iter();
        for (topic, settings) in topics.into_iter().zip(settings) {
            let logs = self
                .held(&topic)
                .map(|(_, held)| if held { opened.next().flatten() } else { None })
                .collect();
            let hosted = Arc::new(HostedTopic {
                settings,
                stats: state.stats().topic(&topic.name),
                node_id: self.node_id,
                logs,
                topic,
            });
            let mut topics = self.topics.write();
            topics
                .names
                .insert(hosted.topic.id, Arc::clone(&hosted.topic.name));
            topics
                .by_name
                .insert(Arc::clone(&hosted.topic.name), hosted);
        }
        self.changes.send_modify(|n| *n += 1);
        result
    }

    /// Whether all logs that this node should have of a topic are open, or it
    /// is gone.
    fn is_whole(&self, topic: &Topic) -> bool {
        self.get_by_id(topic.id).is_none_or(|hosted| {
            let mut logs = self.held(&hosted.topic).zip(&hosted.logs);
            logs.all(|((_, held), log)| !held || log.is_some())
        })
    }

    /// The partitions by number, and whether this node holds a copy.
    fn held<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = (i32, bool)> + 'a {
        let partitions = (0..).zip(topic.partitions.iter());
        partitions.map(|(index, partition)| (index, partition.replicas.contains(&self.node_id)))
    }
}

type Opened = (Vec<Option<Arc<PartitionLog>>>, Result<(), OpenError>);

/// Opens what can be opened; the first error is returned beside it.
fn open_all(manager: &LogManager, wanted: Vec<NewPartition>) -> Opened {
    let mut result = Ok(());
    let logs = manager
        .create_all(wanted)
        .into_iter()
        .map(|opened| match opened {
            Ok(log) => Some(log),
            Err(error) => {
                tracing::error!(%error, "cannot open a log");
                if result.is_ok() {
                    result = Err(error);
                }
                None
            }
        })
        .collect();
    (logs, result)
}

impl BrokerState {
    /// A topic of this node, by name.
    pub fn hosted(&self, name: &str) -> Option<Arc<HostedTopic>> {
        self.hosting.get(name)
    }

    /// A topic of this node, by id.
    pub fn hosted_by_id(&self, id: TopicId) -> Option<Arc<HostedTopic>> {
        self.hosting.get_by_id(id)
    }

    /// All topics of this node.
    pub fn hosted_all(&self) -> Vec<Arc<HostedTopic>> {
        self.hosting.all()
    }

    /// A partition that this node leads, or why it cannot be served.
    pub fn partition(&self, topic: &str, partition: i32) -> Result<HostedPartition, ErrorCode> {
        self.hosted(topic)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?
            .partition(partition)
    }

    /// Creates a topic; it can be written to when this returns.
    pub async fn create_topic(&self, request: TopicRequest) -> Result<Arc<Topic>, ApiError> {
        only(self.create_topics(vec![request]).await)
    }

    /// [`Self::create_topic`] of several, which share their writes to the
    /// disk. The outcomes are in order.
    pub(crate) async fn create_topics(
        &self,
        requests: Vec<TopicRequest>,
    ) -> Vec<Result<Arc<Topic>, ApiError>> {
        let commands = requests.into_iter().map(|request| self.new_topic(request));
        let replies = self.alter_each(commands.collect()).await;
        replies.into_iter().map(topic_of).collect()
    }

    /// What [`Self::create_topic`] would create.
    pub(crate) fn validate_topic(&self, request: TopicRequest) -> Result<Arc<Topic>, ApiError> {
        let command = self.new_topic(request)?;
        match self.image().preview(command)? {
            Reply::Topic(topic) => Ok(topic),
            other => Err(unexpected(&other)),
        }
    }

    fn new_topic(&self, request: TopicRequest) -> Result<Command, ApiError> {
        if request.name == METADATA_TOPIC {
            let message = format!("'{METADATA_TOPIC}' is the name of the metadata's own log");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        let configs = canonical(request.configs);
        check_topic_configs(&configs)?;
        let settings = self.settings();
        Ok(Command::CreateTopic(NewTopic {
            internal: request.internal
                || INTERNAL_TOPICS.contains(&request.name.as_str())
                || is_job_state(&request.name),
            name: request.name,
            id: self.rand.uuid(),
            partitions: request.partitions.unwrap_or(settings.num_partitions),
            replication_factor: request
                .replication_factor
                .unwrap_or(settings.default_replication_factor),
            assignments: request.assignments,
            configs,
            created_at_ms: self.clock.now_ms(),
        }))
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(
        &self,
        name: &str,
        id: Option<TopicId>,
    ) -> Result<Arc<Topic>, ApiError> {
        only(self.delete_topics(vec![(name.to_owned(), id)]).await)
    }

    /// [`Self::delete_topic`] of several, which share their writes to the
    /// disk. The outcomes are in order.
    pub(crate) async fn delete_topics(
        &self,
        topics: Vec<(String, Option<TopicId>)>,
    ) -> Vec<Result<Arc<Topic>, ApiError>> {
        let commands = topics.into_iter().map(|(name, id)| {
            refuse_internal(&name, "deleted")?;
            Ok(Command::DeleteTopic { name, id })
        });
        let replies = self.alter_each(commands.collect()).await;
        let outcomes: Vec<_> = replies.into_iter().map(topic_of).collect();
        for topic in outcomes.iter().flatten() {
            if let Err(error) = self.groups().topic_deleted(&topic.name).await {
                tracing::warn!(topic = %topic.name, %error, "its committed offsets stay until they expire");
            }
        }
        outcomes
    }

    /// Adds partitions to topics, which share their writes to the disk. The
    /// outcomes are in order.
    pub(crate) async fn add_partitions(
        &self,
        topics: Vec<MorePartitions>,
        validate_only: bool,
    ) -> Vec<Result<(), ApiError>> {
        let commands = topics.into_iter().map(|more| {
            refuse_internal(&more.topic, "given more partitions")?;
            Ok(Command::CreatePartitions {
                topic: more.topic,
                count: more.count,
                assignments: more.assignments,
            })
        });
        if validate_only {
            let image = self.image();
            let preview = |command: Result<Command, ApiError>| {
                image.preview(command?)?;
                Ok(())
            };
            return commands.map(preview).collect();
        }
        let replies = self.alter_each(commands.collect()).await;
        replies.into_iter().map(|reply| reply.map(drop)).collect()
    }

    /// Proposes a change and returns when this node has caught up with it.
    pub(crate) async fn alter(&self, command: Command) -> Result<Reply, ApiError> {
        let reply = self.metadata.propose(command).await?;
        self.hosting
            .catch_up(self)
            .await
            .map_err(|error| ApiError::new(ErrorCode::KafkaStorageError, error.to_string()))?;
        Ok(reply)
    }

    /// [`Self::alter`] of several in order, each by itself; one that was
    /// refused before is passed on.
    async fn alter_each(
        &self,
        commands: Vec<Result<Command, ApiError>>,
    ) -> Vec<Result<Reply, ApiError>> {
        let mut refused: Vec<Option<ApiError>> = Vec::with_capacity(commands.len());
        let mut proposed = Vec::with_capacity(commands.len());
        for command in commands {
            match command {
                Ok(command) => {
                    refused.push(None);
                    proposed.push(command);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let mut replies = self.metadata.propose_each(proposed).await.into_iter();
        let caught_up = self
            .hosting
            .catch_up(self)
            .await
            .map_err(|error| ApiError::new(ErrorCode::KafkaStorageError, error.to_string()));
        let outcomes = refused.into_iter().map(|refused| match refused {
            Some(error) => Err(error),
            None => {
                let reply = replies.next().unwrap_or_else(|| {
                    Err(ClusterError::Stopped("the metadata gave no reply".into()))
                })?;
                match (&caught_up, &reply) {
                    (Err(error), Reply::Topic(topic)) if !self.hosting.is_whole(topic) => {
                        Err(error.clone())
                    }
                    _ => Ok(reply),
                }
            }
        });
        outcomes.collect()
    }

    /// The settings of one of the coordinators' topics, if it is one.
    pub(crate) fn internal_topic(&self, name: &str) -> Option<TopicRequest> {
        let settings = self.settings();
        let (partitions, replication_factor) = match name {
            CONSUMER_OFFSETS => (
                settings.offsets_topic_partitions,
                settings.offsets_topic_replication_factor,
            ),
            TRANSACTION_STATE => (
                settings.transaction_topic_partitions,
                settings.transaction_topic_replication_factor,
            ),
            _ => return None,
        };
        let configs = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "104857600"),
        ];
        Some(TopicRequest {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(replication_factor),
            assignments: None,
            configs: configs.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            internal: true,
        })
    }
}

const CONSUMER_OFFSETS: &str = "__consumer_offsets";
const TRANSACTION_STATE: &str = "__transaction_state";
/// Topics that only the coordinators write.
pub(crate) const INTERNAL_TOPICS: [&str; 2] = [CONSUMER_OFFSETS, TRANSACTION_STATE];

/// What the names of topics begin with that hold the state of the engine's
/// jobs. Only the job writes there, through the bus; a record of somebody
/// else's would end it.
const JOB_STATE_PREFIX: &str = "__millstream_";

/// Whether a topic holds a job's state.
fn is_job_state(name: &str) -> bool {
    name.starts_with(JOB_STATE_PREFIX)
}

/// Refuses to a client what only a job may do, with the code that Kafka has
/// for its own internal topics.
///
/// An engine that has this broker as its bus is known by its client id, as
/// Kafka knows its own tools that may write internal topics
/// (`AdminUtils.ADMIN_CLIENT_ID`): a guard against mistakes, not against
/// whoever means it.
pub(crate) fn refuse_job_state(client_id: &str, name: &str, what: &str) -> Result<(), ApiError> {
    if is_job_state(name) && client_id != ENGINE_CLIENT_ID {
        let message = format!(
            "'{name}' holds the state of a job and cannot be {what}; DROP JOB or DROP \
             MATERIALIZED TABLE removes it"
        );
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(())
}

/// What a name that no topic has is answered with.
pub(crate) fn why_unknown(name: &str) -> ErrorCode {
    match check_topic_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

/// What is said of a topic that is not there.
pub(crate) fn unknown(name: &str) -> ApiError {
    match check_topic_name(name) {
        Ok(()) => ApiError::unknown_topic(name),
        Err(error) => ApiError::new(ErrorCode::InvalidTopicException, error.to_string()),
    }
}

/// The coordinators find an id by its hash over the number of partitions.
pub(crate) fn refuse_internal(name: &str, what: &str) -> Result<(), ApiError> {
    if INTERNAL_TOPICS.contains(&name) {
        let message = format!("'{name}' belongs to the coordinators and cannot be {what}");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

fn topic_of(reply: Result<Reply, ApiError>) -> Result<Arc<Topic>, ApiError> {
    match reply? {
        Reply::Topic(topic) => Ok(topic),
        other => Err(unexpected(&other)),
    }
}

/// The outcome of a list of one.
fn only<T>(mut outcomes: Vec<Result<T, ApiError>>) -> Result<T, ApiError> {
    outcomes
        .pop()
        .unwrap_or_else(|| Err(ApiError::new(ErrorCode::UnknownServerError, "no outcome")))
}

fn unexpected(reply: &Reply) -> ApiError {
    ApiError::new(
        ErrorCode::UnknownServerError,
        format!("unexpected reply {reply:?}"),
    )
}

/// Follows the metadata until the broker stops.
pub(crate) async fn follow_metadata(state: Arc<BrokerState>) {
    let mut changes = state.metadata().watch();
    loop {
        tokio::select! {
            biased;
            () = state.stopping().cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        // Errors are logged where they happen; the partition answers them.
        let _ = state.hosting.catch_up(&state).await;
    }
}

/// KIP-320: whether the client's knowledge of the leader is the present one;
/// -1 is no knowledge, and fine.
pub(crate) fn check_leader_epoch(asked: i32, current: LeaderEpoch) -> Result<(), ErrorCode> {
    match asked {
        EPOCH_UNKNOWN => Ok(()),
        asked if asked < current.0 => Err(ErrorCode::FencedLeaderEpoch),
        asked if asked > current.0 => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::lacking;

    #[test]
    fn no_more_replicas_are_asked_for_than_there_are() {
        assert_eq!(lacking(1, 1, 2), None);
        assert_eq!(lacking(1, 3, 2), Some((1, 2)));
        assert_eq!(lacking(2, 3, 2), None);
        assert_eq!(lacking(2, 3, 5), Some((2, 3)));
    }
}
