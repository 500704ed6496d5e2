//! Settings and bounds of the group coordinator.

use super::consumer::Assignor;
use std::time::Duration;

/// Longest group id, in bytes. Kafka has no bound but the 32,767 bytes of a
/// string on the wire; ours keeps `groups_max` ids small in memory.
pub const GROUP_ID_BYTES_MAX: usize = 4096;

/// Settings of the group coordinator; Kafka's name, default and unit beside
/// each.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`, 6 s.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`, 30 min.
    pub session_timeout_max: Duration,
    /// `group.initial.rebalance.delay.ms`. Kafka waits 3 s for more members
    /// when the first one joins an empty group, to spare large deployments
    /// some rebalances; we wait 100 ms, because a consumer that starts alone
    /// (a demo, a console, a test) should not stand still for 3 s, and
    /// instances started together arrive within that time.
    pub initial_rebalance_delay: Duration,
    /// How long a member that has been given an id, or is new in a rebalance,
    /// is waited for (Kafka's fixed 5 min).
    pub new_member_timeout: Duration,
    /// `group.max.size`: members of one group. Unbounded in Kafka.
    pub group_members_max: usize,
    /// Groups that one coordinator keeps. Unbounded in Kafka.
    pub groups_max: usize,
    /// Bytes of all protocols of one member (its subscription), and of the
    /// assignments of one generation.
    pub member_metadata_bytes_max: usize,
    /// Bytes that the subscriptions and assignments of all members keep, half
    /// of it for those of more than 16 KiB. Unbounded in Kafka.
    pub members_bytes_max: usize,
    /// Bytes that the committed offsets of all groups keep. Unbounded in
    /// Kafka.
    pub offsets_bytes_max: usize,
    /// `offset.metadata.max.bytes`: the string that is committed with an
    /// offset.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, 7 days: how long the offsets of a group
    /// without members are kept.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`, 10 min.
    pub offsets_retention_check_interval: Duration,
    /// `offsets.topic.num.partitions`, 50: partitions of
    /// `__consumer_offsets` when it is created.
    pub offsets_topic_partitions: i32,
    /// Bytes that a partition of `__consumer_offsets` may hold before its
    /// living records are written anew and the rest is dropped. Kafka has a
    /// cleaner for that.
    pub rewrite_bytes_min: u64,
    /// Settings of the new protocol.
    pub consumer: ConsumerGroupConfig,
}

/// Settings of consumer groups (KIP-848).
#[derive(Debug, Clone)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`, 45 s: silence after which a
    /// member is removed. The broker's to say, not the member's.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`, 5 s: what members are told.
    pub heartbeat_interval: Duration,
    /// `group.consumer.max.size`: members of one group. Unbounded in Kafka.
    pub members_max: usize,
    /// `group.consumer.assignors`, the default first.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
}

impl ConsumerGroupConfig {
    /// The assignor of a group in which nobody asks for one.
    pub fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }

    /// Whether the assignor is one of those that members may ask for.
    pub fn offers(&self, assignor: Option<Assignor>) -> bool {
        assignor.is_some_and(|assignor| self.assignors.contains(&assignor))
    }
}

impl Default for ConsumerGroupConfig {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            members_max: 10_000,
            assignors: Assignor::ALL.to_vec(),
            migration: MigrationPolicy::Bidirectional,
        }
    }
}

/// Whether groups with members may change their protocol. Those without may
/// always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// To the new protocol and back.
    Bidirectional,
    /// To the new one only.
    Upgrade,
    /// To the classic one only.
    Downgrade,
    /// Not at all.
    Disabled,
}

impl MigrationPolicy {
    /// The policy of this name, in Kafka's words.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bidirectional" => Self::Bidirectional,
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            "disabled" => Self::Disabled,
            _ => return None,
        })
    }

    /// Whether a classic group may become a consumer group.
    pub fn allows_upgrade(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    /// Whether a consumer group may become a classic group.
    pub fn allows_downgrade(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_millis(100),
            new_member_timeout: Duration::from_secs(5 * 60),
            group_members_max: 10_000,
            groups_max: 100_000,
            member_metadata_bytes_max: 768 * 1024,
            members_bytes_max: 256 * 1024 * 1024,
            offsets_bytes_max: 512 * 1024 * 1024,
            offset_metadata_bytes_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            offsets_topic_partitions: 50,
            rewrite_bytes_min: 8 * 1024 * 1024,
            consumer: ConsumerGroupConfig::default(),
        }
    }
}
