//! Names that a job has on the log.

use millstream_core::ids::{TopicPartition, check_topic_name};
use millstream_core::limits::TOPIC_NAME_CHARS_MAX;
use millstream_core::partitioner::murmur2;

/// Topics, group and transactional id of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobNames {
    /// Internal topic with state and positions.
    pub changelog: String,
    /// Undecodable records.
    pub dead_letters: String,
    /// Rows that came after their window had fired.
    pub late: String,
    /// Consumer group whose offsets show the job's progress to lag monitors.
    pub group: String,
    /// Fences older instances.
    pub transactional_id: String,
}

impl JobNames {
    /// The names of job `id`.
    pub fn new(id: &str) -> Self {
        let stem = topic_stem(id);
        Self {
            changelog: format!("__millstream_{stem}_changelog"),
            dead_letters: format!("{stem}.dlq"),
            late: format!("{stem}.late"),
            group: format!("millstream.{id}"),
            transactional_id: format!("millstream.{id}"),
        }
    }

    /// The changelog's one partition.
    pub fn changelog_partition(&self) -> TopicPartition {
        TopicPartition::new(self.changelog.clone(), 0)
    }
}

/// `id` where a topic can be called so, else its letters that a topic can
/// have, and a hash that keeps it apart from others.
fn topic_stem(id: &str) -> String {
    const ROOM: usize = TOPIC_NAME_CHARS_MAX - "__millstream__changelog".len();
    if check_topic_name(id).is_ok() && id.len() <= ROOM {
        return id.to_owned();
    }
    let letters: String = id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '_'
            }
        })
        .take(ROOM - 9)
        .collect();
    format!("{letters}_{:08x}", murmur2(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_table_name_makes_topic_names() {
        assert_eq!(
            JobNames::new("orders_5s").changelog,
            "__millstream_orders_5s_changelog"
        );
        let chinese = JobNames::new("订单");
        assert_ne!(chinese.late, JobNames::new("支付").late);
        let long = JobNames::new(&"x".repeat(500));
        for name in [
            &chinese.changelog,
            &chinese.late,
            &long.changelog,
            &long.dead_letters,
        ] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
    }
}
