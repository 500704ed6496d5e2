//! What a consumer group needs to know of the cluster's metadata.

use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The topics at one moment.
pub trait TopicsImage: Send + Sync {
    /// Grows with every change of the topics.
    fn version(&self) -> u64;
    /// Id and number of partitions of a topic, if it exists.
    fn topic(&self, name: &str) -> Option<(Uuid, i32)>;
    /// Name of the topic with this id.
    fn name_of(&self, id: &Uuid) -> Option<String>;
    /// Calls back with the name of every topic.
    fn for_each_name(&self, visit: &mut dyn FnMut(&str));
}

/// Where the newest topics are asked for.
pub trait TopicSource: Send + Sync {
    /// The topics as they are now.
    fn topics(&self) -> Arc<dyn TopicsImage>;

    /// The settings of a group as they are now; `None` are those of
    /// [`ConsumerGroupConfig`](crate::group::ConsumerGroupConfig).
    fn pace_of(&self, _group_id: &str) -> Option<GroupPace> {
        None
    }
}

/// What may be set for a single group (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPace {
    /// `consumer.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
}
