//! ConsumerGroupHeartbeat: a member joins, says what it owns, is told what to
//! own.

use super::assignment::Assignment;
use super::assignor::Assignor;
use super::machine::{ConsumerGroup, JOINING, LEAVING, LEFT_STATIC};
use super::member::{ConsumerMember, MemberCurrent};
use super::records::ConsumerRecord;
use super::subscription::compile;
use super::topics::TopicsImage;
use super::update::Change;
use crate::group::config::GroupConfig;
use crate::group::error::GroupError;
use crate::group::machine::Now;
use std::collections::BTreeSet;
use std::time::Duration;

/// A ConsumerGroupHeartbeat request. What is none has not changed.
#[derive(Debug, Clone, Default)]
pub struct ConsumerHeartbeat {
    /// The member's own id; in version 0 empty when it joins.
    pub member_id: String,
    /// The epoch it is in; 0 joins, -1 leaves, -2 leaves for a while.
    pub epoch: i32,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// It has this long to give partitions up.
    pub rebalance_timeout: Option<Duration>,
    /// Topics that it wants by name.
    pub topics: Option<BTreeSet<String>>,
    /// Topics that it wants by pattern; empty takes the pattern back.
    pub regex: Option<String>,
    /// The assignor it asks for.
    pub assignor: Option<String>,
    /// What it owns.
    pub owned: Option<Assignment>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Address it connects from.
    pub client_host: String,
    /// From version 1 on members make their ids themselves (KIP-1082).
    pub makes_its_id: bool,
}

/// What the member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// Its id.
    pub member_id: String,
    /// Its epoch from now on.
    pub epoch: i32,
    /// What to own, if that has changed or the member cannot know.
    pub assignment: Option<Assignment>,
}

/// What a heartbeat leads to.
#[derive(Debug)]
pub(in crate::group) struct HeartbeatDecision {
    pub(in crate::group) records: Vec<ConsumerRecord>,
    pub(in crate::group) topics_seen: u64,
    pub(in crate::group) answer: HeartbeatAnswer,
}

impl ConsumerHeartbeat {
    /// Whether the member leaves, for good or for a while.
    pub fn leaves(&self) -> bool {
        matches!(self.epoch, LEAVING | LEFT_STATIC)
    }

    /// Whether the member joins.
    pub fn joins(&self) -> bool {
        self.epoch == JOINING
    }

    /// Checks what can be checked without the group.
    pub(in crate::group) fn check(&self, config: &GroupConfig) -> Result<(), GroupError> {
        let invalid = |why| Err(GroupError::InvalidHeartbeat(why));
        let needs_id = self.makes_its_id || self.epoch > 0 || self.epoch == LEAVING;
        if needs_id && self.member_id.trim().is_empty() {
            return invalid("MemberId can't be empty.");
        }
        let is_empty =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        if is_empty(&self.instance_id) {
            return invalid("InstanceId can't be empty.");
        }
        if is_empty(&self.rack_id) {
            return invalid("RackId can't be empty.");
        }
        if self.bytes() > config.member_metadata_bytes_max {
            return invalid("The subscription is too large.");
        }
        match self.epoch {
            JOINING => self.check_joining()?,
            LEFT_STATIC if self.instance_id.is_none() => {
                return invalid("InstanceId can't be null.");
            }
            epoch if epoch < LEFT_STATIC => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        match self.assignor.as_deref() {
            Some(name) if !config.consumer.offers(Assignor::by_name(name)) => {
                Err(GroupError::UnsupportedAssignor)
            }
            _ => Ok(()),
        }
    }

    fn check_joining(&self) -> Result<(), GroupError> {
        let invalid = |why| Err(GroupError::InvalidHeartbeat(why));
        if self.rebalance_timeout.is_none() {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if self.topics.is_none() && self.regex.is_none() {
            return invalid("SubscribedTopicNames must be set in first request.");
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let names = self.topics.iter().flatten().map(String::len).sum::<usize>();
        let texts = [
            Some(&self.member_id),
            self.instance_id.as_ref(),
            self.rack_id.as_ref(),
            self.regex.as_ref(),
        ];
        names + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// A request that says everything is answered with everything: its sender
    /// has forgotten what it was told.
    fn is_full(&self) -> bool {
        let subscribes = self.topics.is_some() || self.regex.is_some();
        self.rebalance_timeout.is_some() && subscribes && self.owned.is_some()
    }
}

impl ConsumerGroup {
    /// Decides on a heartbeat of a member that does not leave. `fresh_id` is
    /// what a member gets that has no id.
    pub(in crate::group) fn heartbeat(
        &self,
        request: &ConsumerHeartbeat,
        fresh_id: &str,
        topics: &dyn TopicsImage,
        now: Now,
    ) -> Result<HeartbeatDecision, GroupError> {
        let id = match request.member_id.as_str() {
            "" => fresh_id,
            id => id,
        };
        let (mut member, replaces) = match &request.instance_id {
            None => (self.dynamic_member(id, request)?, None),
            Some(instance) => self.static_member(id, instance, request)?,
        };
        self.note(&mut member, request)?;
        let before = member.current.assigned.clone();
        let change = Change {
            member,
            replaces,
            owned: request.owned.as_ref(),
        };
        let update = self.update(change, topics, now);
        let current = &update.member.current;
        let tells_all = request.joins() || request.is_full() || current.assigned != before;
        Ok(HeartbeatDecision {
            answer: HeartbeatAnswer {
                member_id: update.member.id.clone(),
                epoch: current.epoch,
                assignment: tells_all.then(|| current.assigned.clone()),
            },
            records: update.records,
            topics_seen: update.topics_seen,
        })
    }

    fn dynamic_member(
        &self,
        id: &str,
        request: &ConsumerHeartbeat,
    ) -> Result<ConsumerMember, GroupError> {
        match self.members.get(id) {
            Some(known) => {
                if !request.joins() {
                    check_epoch(&known.current, request)?;
                }
                Ok(known.clone())
            }
            None if request.joins() => self.new_member(id),
            None => Err(GroupError::UnknownMember),
        }
    }

    fn static_member(
        &self,
        id: &str,
        instance: &str,
        request: &ConsumerHeartbeat,
    ) -> Result<(ConsumerMember, Option<String>), GroupError> {
        let holder = self
            .static_members
            .get(instance)
            .and_then(|id| self.members.get(id));
        if !request.joins() {
            let holder = holder.ok_or(GroupError::UnknownMember)?;
            if holder.id != id {
                return Err(GroupError::FencedInstanceId);
            }
            check_epoch(&holder.current, request)?;
            return Ok((holder.clone(), None));
        }
        let Some(holder) = holder else {
            return Ok((self.new_member(id)?, None));
        };
        // Two living members that claim one instance are a mistake of their
        // operator: the second is refused until the first has left.
        if !holder.is_classic() && holder.current.epoch != LEFT_STATIC {
            return Err(GroupError::UnreleasedInstanceId);
        }
        let replaced = Some(holder.id.clone()).filter(|old| old != id);
        Ok((self.take_over(holder, id), replaced))
    }

    /// The member of another id in the place of a static member: it has its
    /// partitions, and joins.
    pub(super) fn take_over(&self, holder: &ConsumerMember, id: &str) -> ConsumerMember {
        ConsumerMember {
            id: id.to_owned(),
            metadata: holder.metadata.clone(),
            current: MemberCurrent {
                epoch: JOINING,
                previous_epoch: JOINING,
                ..holder.current.clone()
            },
        }
    }

    pub(super) fn new_member(&self, id: &str) -> Result<ConsumerMember, GroupError> {
        if self.members.len() >= self.config.consumer.members_max {
            return Err(GroupError::GroupMaxSizeReached);
        }
        Ok(ConsumerMember {
            id: id.to_owned(),
            ..Default::default()
        })
    }

    /// Writes down what the member says of itself.
    fn note(
        &self,
        member: &mut ConsumerMember,
        request: &ConsumerHeartbeat,
    ) -> Result<(), GroupError> {
        let metadata = &mut member.metadata;
        metadata.classic = None;
        metadata.client_id.clone_from(&request.client_id);
        metadata.client_host.clone_from(&request.client_host);
        let update = |field: &mut Option<String>, said: &Option<String>| {
            if said.is_some() {
                field.clone_from(said);
            }
        };
        update(&mut metadata.instance_id, &request.instance_id);
        update(&mut metadata.rack_id, &request.rack_id);
        update(&mut metadata.assignor, &request.assignor);
        if let Some(timeout) = request.rebalance_timeout {
            metadata.rebalance_timeout = timeout;
        }
        if let Some(topics) = &request.topics {
            metadata.topics.clone_from(topics);
        }
        if let Some(regex) = &request.regex {
            let regex = Some(regex).filter(|regex| !regex.is_empty()).cloned();
            if let Some(regex) = regex
                .as_ref()
                .filter(|r| metadata.regex.as_ref() != Some(r))
            {
                compile(regex)?;
            }
            metadata.regex = regex;
        }
        Ok(())
    }
}

/// Fences a member that has lost touch. One that still has the previous epoch
/// and nothing but what it was given did not get our last answer: it is
/// welcome (the heartbeat is repeated).
fn check_epoch(current: &MemberCurrent, request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let repeats = request.epoch == current.previous_epoch
        && request
            .owned
            .as_ref()
            .is_some_and(|owned| owned.is_subset_of(&current.assigned));
    if request.epoch == current.epoch || (request.epoch < current.epoch && repeats) {
        Ok(())
    } else {
        Err(GroupError::FencedMemberEpoch)
    }
}
