//! Topics that a test makes up, and a group that is driven by hand.

use super::*;
use crate::group::config::GroupConfig;
use crate::group::error::GroupError;
use crate::group::machine::Now;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The topics at one moment.
#[derive(Debug, Clone, Default)]
pub(in crate::group) struct FakeTopics {
    topics: BTreeMap<String, (Uuid, i32)>,
    version: u64,
}

impl FakeTopics {
    pub(in crate::group) fn of(topics: &[(&str, i32)]) -> Self {
        let mut fake = Self::default();
        for (name, partitions) in topics {
            fake.set(name, *partitions);
        }
        fake
    }

    pub(in crate::group) fn set(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        let id = Uuid::from_u128(u128::from(self.version));
        let topic = self.topics.entry(name.to_owned()).or_insert((id, 0));
        topic.1 = partitions;
    }

    pub(in crate::group) fn remove(&mut self, name: &str) {
        self.version += 1;
        self.topics.remove(name);
    }

    pub(in crate::group) fn id(&self, name: &str) -> Uuid {
        self.topics[name].0
    }
}

impl TopicsImage for FakeTopics {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<(Uuid, i32)> {
        self.topics.get(name).copied()
    }

    fn name_of(&self, id: &Uuid) -> Option<String> {
        let mut topics = self.topics.iter();
        topics
            .find(|(_, topic)| topic.0 == *id)
            .map(|(name, _)| name.clone())
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.topics.keys().for_each(|name| visit(name));
    }
}

/// Topics that change while a coordinator runs.
#[derive(Debug, Default)]
pub(in crate::group) struct FakeSource(
    pub(in crate::group) Mutex<FakeTopics>,
    pub(in crate::group) Mutex<Option<GroupPace>>,
);

impl TopicSource for FakeSource {
    fn topics(&self) -> Arc<dyn TopicsImage> {
        Arc::new(self.0.lock().clone())
    }

    fn pace_of(&self, _group_id: &str) -> Option<GroupPace> {
        *self.1.lock()
    }
}

/// A group, driven by hand.
pub(super) struct Driven {
    pub(super) group: ConsumerGroup,
    pub(super) topics: FakeTopics,
    pub(super) now: Now,
}

/// A consumer: it gives up and takes what it is told, when it is polled.
#[derive(Debug, Clone, Default)]
pub(super) struct Consumer {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) epoch: i32,
    pub(super) owned: Assignment,
    /// How it joined.
    joined: ConsumerHeartbeat,
    /// It did not get its last answer: it says everything again.
    pub(super) is_unsure: bool,
}

impl Driven {
    pub(super) fn new(topics: &[(&str, i32)]) -> Self {
        Self::with(topics, GroupConfig::default())
    }

    pub(super) fn with(topics: &[(&str, i32)], config: GroupConfig) -> Self {
        Self {
            group: ConsumerGroup::new(Arc::new(config)),
            topics: FakeTopics::of(topics),
            now: Now {
                monotonic: Duration::from_secs(1_000),
                wall_ms: 1,
            },
        }
    }

    pub(super) fn send(
        &mut self,
        request: &ConsumerHeartbeat,
    ) -> Result<HeartbeatAnswer, GroupError> {
        request.check(&self.group.config)?;
        let decision = self
            .group
            .heartbeat(request, "fresh", &self.topics, self.now)?;
        self.group
            .apply_all(decision.records, Some(decision.topics_seen));
        self.group.renew(&decision.answer.member_id, self.now);
        Ok(decision.answer)
    }

    pub(super) fn remove(&mut self, ids: &[&str]) {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let records = self.group.removal(&ids, &self.topics, self.now);
        self.group.apply_all(records, None);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
    }

    /// What is left after a restart.
    pub(super) fn restart(&mut self) {
        let mut group = ConsumerGroup::new(Arc::clone(&self.group.config));
        group.apply_all(self.group.records(), None);
        group.start_sessions(self.now);
        self.group = group;
    }
}

/// A request with which a member joins.
pub(super) fn joining(id: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: id.into(),
        rebalance_timeout: Some(Duration::from_secs(60)),
        topics: Some(topics.iter().map(|t| (*t).to_owned()).collect()),
        owned: Some(Assignment::default()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        makes_its_id: true,
        ..Default::default()
    }
}

impl Consumer {
    pub(super) fn join(world: &mut Driven, id: &str, topics: &[&str]) -> Self {
        Self::join_with(world, &joining(id, topics))
    }

    pub(super) fn join_with(world: &mut Driven, request: &ConsumerHeartbeat) -> Self {
        let answer = world.send(request).unwrap();
        Self {
            id: answer.member_id,
            instance: request.instance_id.clone(),
            epoch: answer.epoch,
            owned: answer.assignment.unwrap(),
            joined: request.clone(),
            is_unsure: false,
        }
    }

    /// What it sends when nothing is new.
    pub(super) fn request(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            member_id: self.id.clone(),
            instance_id: self.instance.clone(),
            epoch: self.epoch,
            owned: Some(self.owned.clone()),
            makes_its_id: true,
            ..Default::default()
        }
    }

    /// What it sends when it is not sure what it was told.
    fn full_request(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            epoch: self.epoch,
            owned: Some(self.owned.clone()),
            ..self.joined.clone()
        }
    }

    /// One heartbeat of which the answer is lost.
    pub(super) fn lose(&mut self, world: &mut Driven) {
        let _ = world.send(&self.request());
        self.is_unsure = true;
    }

    /// One heartbeat; a member that is fenced gives all up and joins again.
    pub(super) fn poll_or_rejoin(&mut self, world: &mut Driven) {
        match self.poll(world) {
            Ok(()) => {}
            Err(GroupError::FencedMemberEpoch) => *self = Self::join_with(world, &self.joined),
            Err(error) => panic!("{error}"),
        }
    }

    /// Subscribes anew.
    pub(super) fn say(&mut self, world: &mut Driven, request: &ConsumerHeartbeat) {
        let answer = world.send(request).unwrap();
        self.take(answer);
    }

    /// One heartbeat.
    pub(super) fn poll(&mut self, world: &mut Driven) -> Result<(), GroupError> {
        let request = match self.is_unsure {
            true => self.full_request(),
            false => self.request(),
        };
        let answer = world.send(&request)?;
        self.is_unsure = false;
        self.take(answer);
        Ok(())
    }

    fn take(&mut self, answer: HeartbeatAnswer) {
        self.epoch = answer.epoch;
        if let Some(assignment) = answer.assignment {
            self.owned = assignment;
        }
    }
}
