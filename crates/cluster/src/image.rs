//! The state that everyone reads: an immutable image of the cluster.
//!
//! An image is a handful of shared parts, so a clone costs some reference
//! counts, and a change copies only the map it touches, never the partitions
//! of other topics. Readers keep the image they took for as long as they
//! like; it never changes under them.

use millstream_core::ids::{BrokerId, LeaderEpoch, PartitionId, ProducerId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings by Kafka's dotted names, only those that were set.
pub type ConfigMap = BTreeMap<String, String>;

/// The whole state at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataImage {
    pub(crate) version: u64,
    pub(crate) cluster_id: String,
    pub(crate) next_producer_id: i64,
    pub(crate) brokers: Arc<BTreeMap<BrokerId, Arc<Broker>>>,
    pub(crate) topics: Arc<BTreeMap<Arc<str>, Arc<Topic>>>,
    /// Derived from `topics`: rebuilt when a snapshot is read.
    #[serde(skip)]
    pub(crate) topic_names: Arc<BTreeMap<TopicId, Arc<str>>>,
    pub(crate) cluster_configs: Arc<ConfigMap>,
    pub(crate) broker_configs: Arc<BTreeMap<BrokerId, ConfigMap>>,
    /// By group id; only groups that have any.
    #[serde(default)]
    pub(crate) group_configs: Arc<BTreeMap<String, ConfigMap>>,
    pub(crate) sql_objects: Arc<BTreeMap<String, Arc<SqlObject>>>,
    pub(crate) jobs: Arc<BTreeMap<String, Arc<Job>>>,
    pub(crate) dashboards: Arc<BTreeMap<String, Arc<Dashboard>>>,
}

impl MetadataImage {
    /// Index of the last command that this image contains; grows with every
    /// change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The cluster's id, 22 characters of base64 as Kafka prints it; empty
    /// only before the very first start has completed.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The first producer id that has not been handed out.
    pub fn next_producer_id(&self) -> ProducerId {
        ProducerId(self.next_producer_id)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// One broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// One topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// One topic by id (KIP-516).
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(self.topic_names.get(&id)?)
    }

    /// One partition by topic name and number.
    pub fn partition(&self, topic: &str, partition: PartitionId) -> Option<&Partition> {
        self.topic(topic)?.partition(partition)
    }

    /// Partitions of all topics.
    pub fn partition_count(&self) -> usize {
        self.topics
            .values()
            .map(|topic| topic.partitions.len())
            .sum()
    }

    /// The settings that hold for every broker (Kafka's broker resource with
    /// an empty name).
    pub fn cluster_configs(&self) -> &Arc<ConfigMap> {
        &self.cluster_configs
    }

    /// The settings of one broker alone.
    pub fn broker_configs(&self, id: BrokerId) -> Option<&ConfigMap> {
        self.broker_configs.get(&id)
    }

    /// The settings of one group (KIP-848).
    pub fn group_configs(&self, group_id: &str) -> Option<&ConfigMap> {
        self.group_configs.get(group_id)
    }

    /// The ids of the groups that have settings.
    pub fn configured_groups(&self) -> impl ExactSizeIterator<Item = &str> {
        self.group_configs.keys().map(String::as_str)
    }

    /// Tables, materialized tables and views, by name.
    pub fn sql_objects(&self) -> impl ExactSizeIterator<Item = &Arc<SqlObject>> {
        self.sql_objects.values()
    }

    /// One table, materialized table or view.
    pub fn sql_object(&self, name: &str) -> Option<&Arc<SqlObject>> {
        self.sql_objects.get(name)
    }

    /// All jobs, by id.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Arc<Job>> {
        self.jobs.values()
    }

    /// One job by id.
    pub fn job(&self, id: &str) -> Option<&Arc<Job>> {
        self.jobs.get(id)
    }

    /// One job by name.
    pub fn job_by_name(&self, name: &str) -> Option<&Arc<Job>> {
        self.jobs.values().find(|job| job.name == name)
    }

    /// All dashboards, by id.
    pub fn dashboards(&self) -> impl ExactSizeIterator<Item = &Arc<Dashboard>> {
        self.dashboards.values()
    }

    /// One dashboard.
    pub fn dashboard(&self, id: &str) -> Option<&Arc<Dashboard>> {
        self.dashboards.get(id)
    }

    /// Rebuilds what is derived, after reading a snapshot.
    pub(crate) fn index(&mut self) {
        self.topic_names = Arc::new(
            self.topics
                .iter()
                .map(|(name, t)| (t.id, Arc::clone(name)))
                .collect(),
        );
    }
}

/// A broker and where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: u16,
    /// Rack, if it has one.
    pub rack: Option<String>,
    /// Changes at every start of the broker.
    pub incarnation: uuid::Uuid,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Name.
    pub name: Arc<str>,
    /// Identity, never nil.
    pub id: TopicId,
    /// Partitions in order of their number, at least one.
    pub partitions: Arc<[Partition]>,
    /// Settings by Kafka's names, only those that were set on this topic.
    pub configs: Arc<ConfigMap>,
    /// Whether it belongs to the system (`__consumer_offsets`, ...).
    pub internal: bool,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl Topic {
    /// One partition by number.
    pub fn partition(&self, partition: PartitionId) -> Option<&Partition> {
        self.partitions.get(usize::try_from(partition.0).ok()?)
    }

    /// Number of partitions.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }
}

/// Who holds a partition and who leads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The leader; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// Counts the leaders.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold a copy, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync.
    pub isr: Vec<BrokerId>,
}

/// What a name in SQL stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlObjectKind {
    /// `CREATE TABLE`.
    Table,
    /// `CREATE MATERIALIZED TABLE`.
    MaterializedTable,
    /// `CREATE VIEW`.
    View,
}

/// A named object of the SQL catalog. Tables, materialized tables and views
/// share one space of names, as in Flink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlObject {
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: SqlObjectKind,
    /// The statement that created it, as it was written.
    pub definition: String,
    /// What the planner made of it, as JSON; this crate does not read it.
    pub json: String,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

/// What a job should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Run, and run again after a restart.
    Running,
    /// Keep its definition and its state, do not run.
    Stopped,
}

/// A continuous SQL statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Identity, chosen by whoever created it.
    pub id: String,
    /// Name, unique among jobs.
    pub name: String,
    /// The statement.
    pub statement: String,
    /// What it should be doing.
    pub desired: JobState,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Settings in force when it was created; this crate does not read them.
    pub options: BTreeMap<String, String>,
}

/// A dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboard {
    /// Identity, chosen by whoever created it.
    pub id: String,
    /// The definition as JSON; this crate does not read it.
    pub json: String,
    /// When it was last saved, in milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
}
