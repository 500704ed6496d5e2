//! A consumer group: what its records say, and the deadlines of its members.

use super::assignment::Assignment;
use super::member::{ConsumerMember, MemberState};
use super::records::{ConsumerRecord, GroupEpoch, TargetEpoch};
use super::subscription::Regexes;
use crate::group::config::GroupConfig;
use crate::group::error::GroupError;
use crate::group::machine::Now;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The epoch with which a member joins.
pub(super) const JOINING: i32 = 0;
/// The epoch with which a member leaves.
pub(super) const LEAVING: i32 = -1;
/// The epoch with which a static member leaves for a while, and that it then
/// has.
pub(super) const LEFT_STATIC: i32 = -2;

/// Where a consumer group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerGroupState {
    /// No members; it may still have offsets.
    Empty,
    /// The target assignment is older than the group.
    Assigning,
    /// Members are on their way to the target assignment.
    Reconciling,
    /// Every member owns what it is to own.
    Stable,
    /// Being deleted.
    Dead,
}

impl ConsumerGroupState {
    /// Kafka's name, as in ConsumerGroupDescribe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// Until when a member must do what. Not written down: after a restart every
/// member gets its whole time again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Be heard of.
    pub(super) session: Duration,
    /// Give its partitions up, from the epoch on.
    pub(super) revocation: Option<(i32, Duration)>,
    /// A classic member: join again.
    pub(super) join: Option<Duration>,
    /// A classic member: fetch its assignment.
    pub(super) sync: Option<Duration>,
}

impl Deadlines {
    fn first(&self) -> Duration {
        let revocation = self.revocation.map(|(_, deadline)| deadline);
        [revocation, self.join, self.sync]
            .into_iter()
            .flatten()
            .fold(self.session, Duration::min)
    }
}

/// A consumer group. See the module's documentation.
#[derive(Debug)]
pub struct ConsumerGroup {
    pub(super) config: Arc<GroupConfig>,
    /// Of members that are not classic.
    session_timeout: Duration,
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    pub(super) target_epoch: i32,
    pub(super) target_timestamp_ms: i64,
    pub(super) members: BTreeMap<String, ConsumerMember>,
    pub(super) targets: HashMap<String, Assignment>,
    pub(super) static_members: HashMap<String, String>,
    pub(super) regexes: Regexes,
    /// Who has a partition, or is still to give it up, and since which member
    /// epoch. After a restart: since the epoch it then has.
    owners: HashMap<(Uuid, i32), (String, i32)>,
    /// The version of the topics that subscriptions were last compared with.
    pub(super) topics_seen: Option<u64>,
    pub(super) deadlines: HashMap<String, Deadlines>,
    is_dead: bool,
}

impl ConsumerGroup {
    /// A group without members.
    pub fn new(config: Arc<GroupConfig>) -> Self {
        Self {
            session_timeout: config.consumer.session_timeout,
            config,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            target_timestamp_ms: 0,
            members: BTreeMap::new(),
            targets: HashMap::new(),
            static_members: HashMap::new(),
            regexes: Regexes::new(),
            owners: HashMap::new(),
            topics_seen: None,
            deadlines: HashMap::new(),
            is_dead: false,
        }
    }

    /// Whether the group is being deleted.
    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Where the group stands.
    pub fn state(&self) -> ConsumerGroupState {
        if self.is_dead {
            ConsumerGroupState::Dead
        } else if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target_epoch {
            ConsumerGroupState::Assigning
        } else if self
            .members
            .values()
            .all(|member| member.is_reconciled_to(self.target_epoch))
        {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// The group epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch of the target assignment.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// When the target assignment was computed, in milliseconds since the Unix
    /// epoch.
    pub fn target_timestamp_ms(&self) -> i64 {
        self.target_timestamp_ms
    }

    /// The members, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &ConsumerMember> {
        self.members.values()
    }

    /// What a member is to own in the end.
    pub fn target(&self, member_id: &str) -> Option<&Assignment> {
        self.targets.get(member_id)
    }

    /// Name of the assignor that the group uses.
    pub fn assignor_name(&self) -> &'static str {
        self.assignor_of(&self.members_with(None, &[])).name()
    }

    /// Whether nobody is in it.
    pub fn is_unused(&self) -> bool {
        self.members.is_empty()
    }

    /// Who has the partition, or is still to give it up.
    pub(super) fn owner(&self, topic: &Uuid, partition: i32) -> Option<&str> {
        let owner = self.owners.get(&(*topic, partition));
        owner.map(|(id, _)| id.as_str())
    }

    /// Whether the member had the partition in an epoch before its own, and
    /// has it still (KIP-1251).
    pub(super) fn owned_since(&self, key: &(Uuid, i32), id: &str, epoch: i32) -> bool {
        self.owners
            .get(key)
            .is_some_and(|(owner, since)| owner == id && *since <= epoch)
    }

    /// Turns the group dead before its records are deleted; only one without
    /// members can.
    pub fn kill(&mut self) -> Result<(), GroupError> {
        if !self.is_unused() {
            return Err(GroupError::NonEmptyGroup);
        }
        self.is_dead = true;
        Ok(())
    }

    /// Takes [`ConsumerGroup::kill`] back.
    pub fn revive(&mut self) {
        self.is_dead = false;
    }

    /// All that is to be written of the group as it is.
    pub fn records(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        for (id, member) in &self.members {
            records.push(ConsumerRecord::Member {
                id: id.clone(),
                value: Some(member.metadata.clone()),
            });
        }
        for (pattern, value) in &self.regexes {
            records.push(ConsumerRecord::Regex {
                pattern: pattern.clone(),
                value: Some(value.clone()),
            });
        }
        let value = Some(GroupEpoch {
            epoch: self.epoch,
            metadata_hash: self.metadata_hash,
        });
        records.push(ConsumerRecord::Group { value });
        for (id, target) in &self.targets {
            records.push(ConsumerRecord::Target {
                id: id.clone(),
                value: Some(target.clone()),
            });
        }
        let value = Some(TargetEpoch {
            epoch: self.target_epoch,
            timestamp_ms: self.target_timestamp_ms,
        });
        records.push(ConsumerRecord::TargetEpoch { value });
        for (id, member) in &self.members {
            records.push(ConsumerRecord::Current {
                id: id.clone(),
                value: Some(member.current.clone()),
            });
        }
        records
    }

    /// The records that take the whole group out.
    pub fn all_tombstones(&self) -> Vec<ConsumerRecord> {
        let mut records: Vec<ConsumerRecord> = self
            .members
            .keys()
            .flat_map(|id| super::update::tombstones(id))
            .collect();
        records.extend(self.regexes.keys().map(|pattern| ConsumerRecord::Regex {
            pattern: pattern.clone(),
            value: None,
        }));
        records.push(ConsumerRecord::TargetEpoch { value: None });
        records.push(ConsumerRecord::Group { value: None });
        records
    }

    /// Takes in a record that was decided on and appended, or that a replay
    /// has read.
    pub fn apply(&mut self, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Group { value } => {
                let value = value.unwrap_or(GroupEpoch {
                    epoch: 0,
                    metadata_hash: 0,
                });
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            ConsumerRecord::Member {
                id,
                value: Some(metadata),
            } => {
                if let Some(instance) = &metadata.instance_id {
                    self.static_members.insert(instance.clone(), id.clone());
                }
                let member = self.members.entry(id.clone()).or_default();
                member.id = id;
                member.metadata = metadata;
            }
            ConsumerRecord::Member { id, value: None } => self.forget(&id),
            ConsumerRecord::TargetEpoch { value } => {
                let value = value.unwrap_or(TargetEpoch {
                    epoch: 0,
                    timestamp_ms: 0,
                });
                self.target_epoch = value.epoch;
                self.target_timestamp_ms = value.timestamp_ms;
            }
            ConsumerRecord::Target {
                id,
                value: Some(target),
            } => {
                self.targets.insert(id, target);
            }
            ConsumerRecord::Target { id, value: None } => {
                self.targets.remove(&id);
            }
            ConsumerRecord::Current { id, value } => {
                // A tombstone comes before that of the member itself.
                if value.is_some() || self.members.contains_key(&id) {
                    self.set_current(&id, value.unwrap_or_default());
                }
            }
            ConsumerRecord::Regex {
                pattern,
                value: Some(value),
            } => {
                self.regexes.insert(pattern, value);
            }
            ConsumerRecord::Regex {
                pattern,
                value: None,
            } => {
                self.regexes.remove(&pattern);
            }
        }
    }

    fn set_current(&mut self, id: &str, current: super::member::MemberCurrent) {
        let before = self.release(id);
        for key in current.assigned.iter().chain(current.revoking.iter()) {
            let since = before.get(&key).copied().unwrap_or(current.epoch);
            self.owners.insert(key, (id.to_owned(), since));
        }
        let member = self.members.entry(id.to_owned()).or_default();
        id.clone_into(&mut member.id);
        member.current = current;
    }

    /// Takes a member's partitions from it; gives since when it had them.
    fn release(&mut self, id: &str) -> HashMap<(Uuid, i32), i32> {
        let mut released = HashMap::new();
        let Some(member) = self.members.get(id) else {
            return released;
        };
        let current = &member.current;
        for key in current.assigned.iter().chain(current.revoking.iter()) {
            if self.owners.get(&key).is_some_and(|(owner, _)| owner == id)
                && let Some((_, since)) = self.owners.remove(&key)
            {
                released.insert(key, since);
            }
        }
        released
    }

    fn forget(&mut self, id: &str) {
        self.release(id);
        self.deadlines.remove(id);
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = member.metadata.instance_id
            && self.static_members.get(&instance).is_some_and(|m| m == id)
        {
            self.static_members.remove(&instance);
        }
    }

    /// Takes in all records of a decision, and the topics it was made with.
    pub fn apply_all(&mut self, records: Vec<ConsumerRecord>, topics_seen: Option<u64>) {
        for record in records {
            self.apply(record);
        }
        if topics_seen.is_some() {
            self.topics_seen = topics_seen;
        }
    }

    /// Gives every member its whole time: after a replay, and after a classic
    /// group became this one.
    pub fn start_sessions(&mut self, now: Now) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.renew(&id, now);
        }
    }

    /// Puts another session timeout in force, for each member from when it is
    /// next heard of. Answers whether it is another one.
    pub(in crate::group) fn set_session_timeout(&mut self, timeout: Duration) -> bool {
        std::mem::replace(&mut self.session_timeout, timeout) != timeout
    }

    /// A member was heard of.
    pub(in crate::group) fn renew(&mut self, id: &str, now: Now) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let timeout = match &member.metadata.classic {
            Some(classic) => classic.session_timeout,
            None => self.session_timeout,
        };
        let session = now.monotonic + timeout;
        let known = self.deadlines.get(id).copied();
        let revocation = (member.current.state == MemberState::UnrevokedPartitions).then(|| {
            let running = known.and_then(|known| known.revocation);
            running
                .filter(|(epoch, _)| *epoch == member.current.epoch)
                .unwrap_or_else(|| {
                    let deadline = now.monotonic + member.metadata.rebalance_timeout;
                    (member.current.epoch, deadline)
                })
        });
        let deadlines = Deadlines {
            session,
            revocation,
            join: known.and_then(|known| known.join),
            sync: known.and_then(|known| known.sync),
        };
        self.deadlines.insert(id.to_owned(), deadlines);
    }

    /// The next moment at which [`ConsumerGroup::overdue`] names somebody.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.values().map(Deadlines::first).min()
    }

    /// The members that have missed a deadline and are to be fenced.
    pub fn overdue(&self, now: Now) -> Vec<String> {
        let mut late: Vec<String> = self
            .deadlines
            .iter()
            .filter(|(_, deadlines)| deadlines.first() <= now.monotonic)
            .map(|(id, _)| id.clone())
            .collect();
        late.sort_unstable();
        late
    }

    /// Looks again a little later at members that could not be fenced.
    pub(in crate::group) fn postpone(&mut self, ids: &[String], until: Duration) {
        for id in ids {
            if let Some(deadlines) = self.deadlines.get_mut(id) {
                *deadlines = Deadlines {
                    session: until,
                    revocation: None,
                    join: None,
                    sync: None,
                };
            }
        }
    }
}
