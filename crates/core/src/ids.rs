//! Newtypes for numbers that must not be mixed.
//!
//! An *offset* counts records in a partition; a *position* counts bytes in a
//! file and is a plain `u64`. Topic names are plain strings that have passed
//! [`check_topic_name`].

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number_newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

number_newtype! {
    /// The position of a record in its partition, counted in records from 0.
    Offset(i64)
}
number_newtype! {
    /// The number of a partition within its topic, from 0.
    PartitionId(i32)
}
number_newtype! {
    /// Counts the leaders that a partition has had (KIP-101); -1 is unknown.
    LeaderEpoch(i32)
}
number_newtype! {
    /// The id of an idempotent or transactional producer (KIP-98); -1 is none.
    ProducerId(i64)
}
number_newtype! {
    /// Fences older instances of one producer id (KIP-98); -1 is none.
    ProducerEpoch(i16)
}
number_newtype! {
    /// The id of a broker, from 1.
    BrokerId(i32)
}

impl Offset {
    /// The offset `records` after this one.
    #[must_use]
    pub fn plus(self, records: i64) -> Self {
        Self(self.0 + records)
    }
}

/// A topic's identity across deletion and re-creation (KIP-516); never nil
/// for a topic that exists.
pub type TopicId = uuid::Uuid;

/// A partition by topic name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// A partition by topic name and number.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition: PartitionId(partition),
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Why a topic name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// The name is empty.
    #[error("a topic name cannot be empty")]
    Empty,
    /// `.` and `..` would be folder names.
    #[error("a topic cannot be named \".\" or \"..\"")]
    Dots,
    /// Longer than a folder name can be.
    #[error("topic name of {0} characters: the longest allowed is 249")]
    TooLong(usize),
    /// A character outside Kafka's set.
    #[error("topic name has the character {0:?}: use letters, digits, '.', '_' and '-'")]
    Character(char),
}

/// Kafka's rule for topic names (`Topic.validate`): 1 to 249 of
/// `[a-zA-Z0-9._-]`, and neither `.` nor `..`.
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    if let Some(character) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        return Err(TopicNameError::Character(character));
    }
    if name.len() > crate::limits::TOPIC_NAME_CHARS_MAX {
        return Err(TopicNameError::TooLong(name.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        assert_eq!(check_topic_name("orders.paid-v2_x"), Ok(()));
        assert_eq!(check_topic_name(""), Err(TopicNameError::Empty));
        assert_eq!(check_topic_name(".."), Err(TopicNameError::Dots));
        assert_eq!(
            check_topic_name("订单"),
            Err(TopicNameError::Character('订'))
        );
        assert_eq!(check_topic_name("a/b"), Err(TopicNameError::Character('/')));
        assert_eq!(check_topic_name(&"a".repeat(249)), Ok(()));
        assert_eq!(
            check_topic_name(&"a".repeat(250)),
            Err(TopicNameError::TooLong(250))
        );
    }
}
