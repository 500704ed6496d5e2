//! Everything that can change, what comes back, and why it is refused.
//!
//! Commands are stored in the raft log as JSON by the names used here: a
//! variant or field may be added, never renamed or given another meaning.

use crate::image::{ConfigMap, Dashboard, Job, JobState, SqlObject, Topic};
use millstream_core::ids::{BrokerId, LeaderEpoch, PartitionId, ProducerId, TopicId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Producer ids handed out at a time (KIP-730).
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Commands of one [`Command::Each`].
pub const COMMANDS_MAX: usize = 1000;

/// One change. All that is random or read from a clock is inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Names the cluster, once. Refused nowhere: a second one changes nothing.
    InitCluster {
        /// 22 characters of base64.
        cluster_id: String,
    },
    /// A broker has started. Its partitions get a new leader epoch when
    /// `incarnation` is new: what it had not synced may be gone, and a
    /// consumer that saw it must be able to notice (KIP-320).
    RegisterBroker {
        /// Its id.
        id: BrokerId,
        /// Advertised host.
        host: String,
        /// Advertised port.
        port: u16,
        /// Rack, if it has one.
        rack: Option<String>,
        /// New at every start.
        incarnation: uuid::Uuid,
    },
    /// Several in order, each by itself: one that is refused leaves the
    /// others. At most [`COMMANDS_MAX`], none of them this one.
    Each(Vec<Command>),
    /// Creates a topic.
    CreateTopic(NewTopic),
    /// Deletes a topic.
    DeleteTopic {
        /// Its name.
        name: String,
        /// Its id where the caller named one: another topic of this name is
        /// left alone.
        id: Option<TopicId>,
    },
    /// Adds partitions.
    CreatePartitions {
        /// The topic's name.
        topic: String,
        /// The number of partitions it should have afterwards.
        count: i32,
        /// Replicas of each new partition; placed by the machine when `None`.
        assignments: Option<Vec<Vec<BrokerId>>>,
    },
    /// Changes leader and in-sync replicas of one partition.
    ChangePartition {
        /// Whose.
        topic_id: TopicId,
        /// Which.
        partition: PartitionId,
        /// The leader epoch that the caller knows; refused when it is past.
        leader_epoch: LeaderEpoch,
        /// The new leader; a change raises the epoch.
        leader: Option<BrokerId>,
        /// The new in-sync replicas.
        isr: Vec<BrokerId>,
    },
    /// Changes settings. Names and values have been checked by the proposer
    /// against [`crate::configs`].
    AlterConfigs {
        /// Whose.
        resource: ConfigResource,
        /// In order.
        changes: Vec<ConfigChange>,
    },
    /// Hands out [`PRODUCER_ID_BLOCK`] producer ids.
    AllocateProducerIds {
        /// To whom.
        broker: BrokerId,
    },
    /// Creates a table, materialized table or view.
    CreateSqlObject(SqlObject),
    /// Replaces the definition of one that exists (`CREATE OR REPLACE`,
    /// `ALTER`), or creates it.
    PutSqlObject(SqlObject),
    /// Drops one.
    DropSqlObject {
        /// Its name.
        name: String,
    },
    /// Creates a job.
    CreateJob(Job),
    /// Starts or stops a job.
    SetJobState {
        /// Its id.
        id: String,
        /// What it should be doing.
        desired: JobState,
    },
    /// Replaces the statement and options of a job.
    AlterJob {
        /// Its id.
        id: String,
        /// The new statement.
        statement: String,
        /// The new options.
        options: std::collections::BTreeMap<String, String>,
    },
    /// Forgets a job.
    DeleteJob {
        /// Its id.
        id: String,
    },
    /// Saves a dashboard.
    PutDashboard(Dashboard),
    /// Deletes a dashboard.
    DeleteDashboard {
        /// Its id.
        id: String,
    },
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Identity, random, chosen by the proposer.
    pub id: TopicId,
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Copies of each partition, at least 1.
    pub replication_factor: i16,
    /// Replicas of each partition; placed by the machine when `None`, else
    /// its length is the number of partitions.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
    /// Settings, checked by the proposer against [`crate::configs`].
    pub configs: ConfigMap,
    /// Whether it belongs to the system.
    pub internal: bool,
    /// Now, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigResource {
    /// A topic's, by name.
    Topic(String),
    /// One broker's.
    Broker(BrokerId),
    /// Those of every broker.
    Cluster,
    /// A group's, by its id, whether there is such a group or not.
    Group(String),
}

/// A change to one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Kafka's name of it.
    pub name: String,
    /// What to do.
    pub op: ConfigOp,
}

/// What to do with a setting (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOp {
    /// Gives it this value.
    Set(String),
    /// Back to its default.
    Delete,
    /// Adds elements to a list.
    Append(String),
    /// Takes elements out of a list.
    Subtract(String),
}

/// What a command gives back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// The topic as it is now, or as it was when it was deleted.
    Topic(Arc<Topic>),
    /// Of each command.
    Each(Vec<Result<Reply, Refusal>>),
    /// `count` ids from `first`.
    ProducerIds {
        /// The first.
        first: ProducerId,
        /// How many.
        count: i64,
    },
}

/// Why the machine refused a command. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A topic of this name is there.
    #[error("topic '{0}' already exists")]
    TopicExists(String),
    /// A topic whose name differs only in '.' and '_' is there: their metric
    /// names would be the same (Kafka refuses it too).
    #[error(
        "topic '{name}' collides with existing topic '{existing}': '.' and '_' are the same in metric names"
    )]
    TopicCollides {
        /// The name asked for.
        name: String,
        /// The one that is there.
        existing: String,
    },
    /// No such topic.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(String),
    /// The topic of this name has another id.
    #[error("topic '{0}' has another id: it was deleted and created again")]
    TopicIdMismatch(String),
    /// The name is not one that Kafka allows.
    #[error("{0}")]
    InvalidTopicName(String),
    /// The number of partitions cannot be.
    #[error("{0}")]
    InvalidPartitions(String),
    /// The number of copies cannot be.
    #[error("replication factor {asked} is not possible: {available} broker(s) are registered")]
    InvalidReplicationFactor {
        /// Copies asked for.
        asked: i16,
        /// Brokers there are.
        available: usize,
    },
    /// The replicas named cannot be.
    #[error("{0}")]
    InvalidAssignment(String),
    /// No such partition.
    #[error("topic '{topic}' has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: PartitionId,
    },
    /// The caller's leader epoch is past.
    #[error("leader epoch {asked} is past, the partition is at {current}")]
    FencedLeaderEpoch {
        /// The caller's.
        asked: LeaderEpoch,
        /// The partition's.
        current: LeaderEpoch,
    },
    /// No such broker.
    #[error("broker {0} is not registered")]
    UnknownBroker(BrokerId),
    /// A SQL object of this name is there.
    #[error("'{0}' already exists in the catalog")]
    SqlObjectExists(String),
    /// No such SQL object.
    #[error("'{0}' does not exist in the catalog")]
    UnknownSqlObject(String),
    /// A job of this name or id is there.
    #[error("job '{0}' already exists")]
    JobExists(String),
    /// No such job.
    #[error("job '{0}' does not exist")]
    UnknownJob(String),
    /// No such dashboard.
    #[error("dashboard '{0}' does not exist")]
    UnknownDashboard(String),
    /// A bound would be passed.
    #[error("limit reached: {0}")]
    LimitReached(String),
}
