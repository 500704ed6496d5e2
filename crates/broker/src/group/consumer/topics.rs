//! What a consumer group needs to know of topics.

use std::sync::Arc;
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
}
