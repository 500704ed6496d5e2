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
use millstream_cluster::configs::{TopicSettings, check_topic_configs};
use millstream_cluster::image::ConfigMap;
use millstream_cluster::{Command, MetadataImage, NewTopic, Reply, Topic};
use millstream_core::ids::{BrokerId, LeaderEpoch, PartitionId, TopicId, TopicPartition};
use millstream_log::{Durability, LogConfig, LogError, LogManager, OpenError, PartitionLog};
use millstream_wire::ErrorCode;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

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

/// A partition that this node leads.
#[derive(Clone)]
pub struct HostedPartition {
    /// Its log.
    pub log: Arc<PartitionLog>,
    /// The epoch in which this node leads it.
    pub leader_epoch: LeaderEpoch,
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

    /// In-sync replicas of a partition.
    pub(crate) fn isr_count(&self, partition: i32) -> usize {
        self.topic
            .partition(PartitionId(partition))
            .map_or(0, |p| p.isr.len())
    }
}

/// The topics of this node.
pub(crate) struct Hosting {
    node_id: BrokerId,
    logs: Arc<LogManager>,
    durability: Durability,
    topics: RwLock<Topics>,
    /// The image that was last applied; held while one is being applied.
    applied: tokio::sync::Mutex<Option<Arc<MetadataImage>>>,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Arc<str>, Arc<HostedTopic>>,
    names: HashMap<TopicId, Arc<str>>,
}

/// A log to open, or to give new settings.
struct ToOpen {
    topic_partition: TopicPartition,
    topic_id: TopicId,
    config: LogConfig,
}

impl Hosting {
    pub(crate) fn new(node_id: BrokerId, logs: Arc<LogManager>, durability: Durability) -> Self {
        Self {
            node_id,
            logs,
            durability,
            topics: RwLock::default(),
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
        let mut result = Ok(());
        for topic in changed {
            result = result.and(self.host(state, &image, topic).await);
        }
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
        for hosted in gone {
            state.stats().forget_topic(&hosted.topic.name);
            let name = &*hosted.topic.name;
            // Those that could not be opened too.
            let all = 0..hosted.topic.partition_count();
            self.delete_logs(all.map(|p| TopicPartition::new(name, p)).collect())
                .await;
        }
    }

    async fn delete_logs(&self, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        let logs = Arc::clone(&self.logs);
        let deleted = tokio::task::spawn_blocking(move || {
            for topic_partition in partitions {
                match logs.delete(&topic_partition) {
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

    /// Opens a topic's logs and puts its settings in force.
    async fn host(
        &self,
        state: &BrokerState,
        image: &MetadataImage,
        topic: Arc<Topic>,
    ) -> Result<(), OpenError> {
        let settings = state.configs(image).topic_settings(&topic);
        let config = settings.log_config(self.durability);
        let here = |p: &millstream_cluster::Partition| p.replicas.contains(&self.node_id);
        let wanted: Vec<Option<ToOpen>> = (0..)
            .zip(topic.partitions.iter())
            .map(|(index, partition)| {
                here(partition).then(|| ToOpen {
                    topic_partition: TopicPartition::new(&*topic.name, index),
                    topic_id: topic.id,
                    config: config.clone(),
                })
            })
            .collect();
        let manager = Arc::clone(&self.logs);
        let opened = tokio::task::spawn_blocking(move || open_all(&manager, wanted)).await;
        let (logs, result) = opened.unwrap_or_else(|error| {
            tracing::error!(%error, "opening logs ended badly");
            (Vec::new(), Ok(()))
        });
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
        result
    }
}

type Opened = (Vec<Option<Arc<PartitionLog>>>, Result<(), OpenError>);

/// Opens what can be opened; the first error is returned beside it.
fn open_all(manager: &LogManager, wanted: Vec<Option<ToOpen>>) -> Opened {
    let mut result = Ok(());
    let logs = wanted
        .into_iter()
        .map(|wanted| {
            let ToOpen {
                topic_partition,
                topic_id,
                config,
            } = wanted?;
            if let Some(log) = manager.get(&topic_partition) {
                log.update_config(config);
                return Some(log);
            }
            match manager.create(&topic_partition, topic_id, config) {
                Ok(log) => Some(log),
                Err(error) => {
                    tracing::error!(%topic_partition, %error, "cannot open the log");
                    if result.is_ok() {
                        result = Err(error);
                    }
                    None
                }
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
        let command = self.new_topic(request)?;
        match self.alter(command).await? {
            Reply::Topic(topic) => Ok(topic),
            other => Err(unexpected(&other)),
        }
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
        check_topic_configs(&request.configs)?;
        let settings = self.settings();
        Ok(Command::CreateTopic(NewTopic {
            internal: request.internal || INTERNAL_TOPICS.contains(&request.name.as_str()),
            name: request.name,
            id: self.rand.uuid(),
            partitions: request.partitions.unwrap_or(settings.num_partitions),
            replication_factor: request
                .replication_factor
                .unwrap_or(settings.default_replication_factor),
            assignments: request.assignments,
            configs: request.configs,
            created_at_ms: self.clock.now_ms(),
        }))
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(
        &self,
        name: &str,
        id: Option<TopicId>,
    ) -> Result<Arc<Topic>, ApiError> {
        refuse_internal(name, "deleted")?;
        match self
            .alter(Command::DeleteTopic {
                name: name.to_owned(),
                id,
            })
            .await?
        {
            Reply::Topic(topic) => {
                if let Err(error) = self.groups().topic_deleted(name).await {
                    tracing::warn!(topic = name, %error, "its committed offsets stay until they expire");
                }
                Ok(topic)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Adds partitions to a topic.
    pub(crate) async fn add_partitions(
        &self,
        topic: String,
        count: i32,
        assignments: Option<Vec<Vec<BrokerId>>>,
        validate_only: bool,
    ) -> Result<(), ApiError> {
        refuse_internal(&topic, "given more partitions")?;
        let command = Command::CreatePartitions {
            topic,
            count,
            assignments,
        };
        if validate_only {
            self.image().preview(command)?;
        } else {
            self.alter(command).await?;
        }
        Ok(())
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

/// The coordinators find an id by its hash over the number of partitions.
pub(crate) fn refuse_internal(name: &str, what: &str) -> Result<(), ApiError> {
    if INTERNAL_TOPICS.contains(&name) {
        let message = format!("'{name}' belongs to the coordinators and cannot be {what}");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
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
        ..0 => Ok(()),
        asked if asked < current.0 => Err(ErrorCode::FencedLeaderEpoch),
        asked if asked > current.0 => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}
