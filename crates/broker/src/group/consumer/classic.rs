//! Members that use the classic protocol within a consumer group: the live
//! upgrade of KIP-848.
//!
//! Such a member's generation is its member epoch, its subscription is read
//! by the broker, and its assignment comes from the broker's assignor: nobody
//! leads. It joins again whenever it is to take a step.

use super::assignment::Assignment;
use super::machine::{ConsumerGroup, Deadlines};
use super::member::{ClassicSide, ConsumerMember, MemberState};
use super::records::ConsumerRecord;
use super::topics::TopicsImage;
use super::update::Change;
use crate::group::error::GroupError;
use crate::group::join::JoinRequest;
use crate::group::machine::{JoinOutcome, Now, SyncOutcome};
use crate::group::member::Protocol;
use crate::group::sync::SyncRequest;
use bytes::Bytes;
use millstream_wire::codec::{decode_versioned, encode_versioned};
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Kind of the protocol of all members of a consumer group.
pub(super) const PROTOCOL_TYPE: &str = "consumer";
/// The newest version of what consumers exchange.
const CONSUMER_PROTOCOL_VERSION_MAX: i16 = 3;

/// What a JoinGroup leads to.
#[derive(Debug)]
pub(in crate::group) struct JoinDecision {
    pub(in crate::group) records: Vec<ConsumerRecord>,
    pub(in crate::group) topics_seen: u64,
    pub(in crate::group) outcome: JoinOutcome,
    /// The member that it replaces, if that was the last of the new protocol.
    pub(in crate::group) replaced: Option<String>,
}

impl ConsumerGroup {
    /// Decides on the JoinGroup of a classic member.
    pub(in crate::group) fn join(
        &self,
        request: &JoinRequest,
        topics: &dyn TopicsImage,
        now: Now,
    ) -> Result<JoinDecision, GroupError> {
        let timeouts = self.config.session_timeout_min..=self.config.session_timeout_max;
        if !timeouts.contains(&request.session_timeout) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        if request.bytes() > self.config.member_metadata_bytes_max {
            return Err(GroupError::InvalidRequest);
        }
        if !self.fits(request) {
            return Err(GroupError::InconsistentProtocol);
        }
        let is_new = request.member_id.is_empty();
        let id = if is_new {
            request.fresh_member_id.as_str()
        } else {
            request.member_id.as_str()
        };
        if is_new && request.instance_id.is_none() && request.requires_known_member_id {
            if self.members.len() >= self.config.consumer.members_max {
                return Err(GroupError::GroupMaxSizeReached);
            }
            return Err(GroupError::MemberIdRequired);
        }
        let (mut member, replaced) = self.joining(id, is_new, request)?;
        let subscription = subscription_of(&request.protocols)?;
        let metadata = &mut member.metadata;
        metadata.instance_id.clone_from(&request.instance_id);
        metadata.rack_id = subscription.rack_id;
        metadata.client_id.clone_from(&request.client_id);
        metadata.client_host.clone_from(&request.client_host);
        metadata.rebalance_timeout = request.rebalance_timeout;
        metadata.topics = subscription.topics.into_iter().collect();
        metadata.regex = None;
        metadata.assignor = None;
        metadata.classic = Some(ClassicSide {
            session_timeout: request.session_timeout,
            protocols: request.protocols.clone(),
        });
        let owned = by_id(&subscription.owned_partitions, topics);
        let change = Change {
            member,
            replaces: replaced.clone(),
            owned: Some(&owned),
        };
        let update = self.update(change, topics, now);
        let outcome = JoinOutcome {
            generation: update.member.current.epoch,
            protocol_type: PROTOCOL_TYPE.into(),
            protocol: first_name(&request.protocols),
            leader: String::new(),
            member_id: update.member.id.clone(),
            members: Vec::new(),
            skip_assignment: false,
        };
        Ok(JoinDecision {
            records: update.records,
            topics_seen: update.topics_seen,
            outcome,
            replaced,
        })
    }

    fn joining(
        &self,
        id: &str,
        is_new: bool,
        request: &JoinRequest,
    ) -> Result<(ConsumerMember, Option<String>), GroupError> {
        let Some(instance) = &request.instance_id else {
            return match self.members.get(id) {
                Some(known) => Ok((known.clone(), None)),
                None => Ok((self.new_member(id)?, None)),
            };
        };
        let holder = self
            .static_members
            .get(instance)
            .and_then(|id| self.members.get(id));
        match holder {
            Some(holder) if is_new => Ok((self.take_over(holder, id), Some(holder.id.clone()))),
            Some(holder) if holder.id == id => Ok((holder.clone(), None)),
            Some(_) => Err(GroupError::FencedInstanceId),
            None if is_new => Ok((self.new_member(id)?, None)),
            None => Err(GroupError::UnknownMember),
        }
    }

    /// Whether the classic members and the new one have an assignor in
    /// common, so that the group could go back to the classic protocol.
    fn fits(&self, request: &JoinRequest) -> bool {
        if request.protocol_type != PROTOCOL_TYPE || request.protocols.is_empty() {
            return false;
        }
        let mut others = self
            .members
            .values()
            .filter(|member| member.id != request.member_id)
            .filter_map(|member| member.metadata.classic.as_ref())
            .peekable();
        let others: Vec<&ClassicSide> = match others.peek() {
            Some(_) => others.collect(),
            None => return true,
        };
        request.protocols.iter().any(|offered| {
            let offers =
                |side: &&ClassicSide| side.protocols.iter().any(|p| p.name == offered.name);
            others.iter().all(offers)
        })
    }

    /// A classic member has joined: it has its rebalance timeout to fetch its
    /// assignment.
    pub(in crate::group) fn await_sync(&mut self, id: &str, now: Now) {
        let timeout = self.rebalance_timeout(id);
        if let Some(deadlines) = self.deadlines.get_mut(id) {
            deadlines.join = None;
            deadlines.sync = Some(now.monotonic + timeout);
        }
    }

    /// Handles the SyncGroup of a classic member.
    pub(in crate::group) fn sync(
        &mut self,
        request: &SyncRequest,
        topics: &dyn TopicsImage,
        now: Now,
    ) -> Result<SyncOutcome, GroupError> {
        let member = self.classic_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != member.current.epoch {
            return Err(GroupError::IllegalGeneration);
        }
        let protocol = member
            .metadata
            .classic
            .as_ref()
            .map(|side| first_name(&side.protocols))
            .unwrap_or_default();
        let differs = |said: &Option<String>, is: &str| said.as_ref().is_some_and(|s| s != is);
        if differs(&request.protocol_type, PROTOCOL_TYPE) || differs(&request.protocol, &protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        // One that gives partitions up has joined already: it first is to
        // finish that.
        if member.current.epoch < self.epoch
            && member.current.state != MemberState::UnrevokedPartitions
        {
            let id = member.id.clone();
            self.await_join(&id, now);
            return Err(GroupError::RebalanceInProgress);
        }
        let outcome = SyncOutcome {
            protocol_type: PROTOCOL_TYPE.into(),
            protocol,
            assignment: assignment_bytes(member, topics),
        };
        let id = request.member_id.clone();
        if let Some(deadlines) = self.deadlines.get_mut(&id) {
            deadlines.sync = None;
        }
        self.renew(&id, now);
        Ok(outcome)
    }

    /// Handles the Heartbeat of a classic member.
    pub(in crate::group) fn classic_heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), GroupError> {
        let member = self.classic_member(member_id, instance_id)?;
        if generation != member.current.epoch {
            return Err(GroupError::IllegalGeneration);
        }
        let is_to_join = member.current.epoch < self.epoch
            || match member.current.state {
                MemberState::Stable => false,
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => self.can_have_more(member),
            };
        self.renew(member_id, now);
        if is_to_join {
            self.await_join(member_id, now);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether all that the member waits for has been given up.
    fn can_have_more(&self, member: &ConsumerMember) -> bool {
        let target = self.targets.get(&member.id).cloned().unwrap_or_default();
        let missing = target.difference(&member.current.assigned);
        missing
            .iter()
            .all(|(topic, p)| self.owner(&topic, p).is_none())
    }

    fn await_join(&mut self, id: &str, now: Now) {
        let deadline = now.monotonic + self.rebalance_timeout(id);
        if let Some(Deadlines { join, .. }) = self.deadlines.get_mut(id) {
            join.get_or_insert(deadline);
        }
    }

    fn rebalance_timeout(&self, id: &str) -> Duration {
        let member = self.members.get(id);
        member.map_or(Duration::ZERO, |member| member.metadata.rebalance_timeout)
    }

    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<&ConsumerMember, GroupError> {
        let member = self.holder(member_id, instance_id)?;
        if member.is_classic() {
            Ok(member)
        } else {
            Err(GroupError::UnknownMember)
        }
    }
}

fn first_name(protocols: &[Protocol]) -> String {
    protocols
        .first()
        .map(|protocol| protocol.name.clone())
        .unwrap_or_default()
}

/// What a classic consumer says with the assignor that it likes best.
pub(super) fn subscription_of(
    protocols: &[Protocol],
) -> Result<ConsumerProtocolSubscription, GroupError> {
    let first = protocols.first().ok_or(GroupError::InconsistentProtocol)?;
    decode_versioned(first.metadata.clone())
        .map(|(_, subscription)| subscription)
        .map_err(|_| GroupError::InconsistentProtocol)
}

/// Partitions by topic id; topics that are no more are left out.
pub(super) fn by_id(topics: &[TopicPartitions], image: &dyn TopicsImage) -> Assignment {
    topics
        .iter()
        .filter_map(|topic| Some((image.topic(&topic.topic)?.0, &topic.partitions)))
        .flat_map(|(id, partitions)| partitions.iter().map(move |p| (id, *p)))
        .collect()
}

/// What a member owns, as consumers of the classic protocol read it.
pub(super) fn assignment_bytes(member: &ConsumerMember, topics: &dyn TopicsImage) -> Bytes {
    let assigned_partitions = by_name(&member.current.assigned, topics)
        .into_iter()
        .map(|(topic, partitions)| TopicPartitions { topic, partitions })
        .collect();
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions,
        user_data: None,
    };
    let spoken = member.metadata.classic.as_ref().and_then(|side| {
        let metadata = &side.protocols.first()?.metadata;
        Some(i16::from_be_bytes(*metadata.first_chunk()?))
    });
    let version = spoken
        .unwrap_or(CONSUMER_PROTOCOL_VERSION_MAX)
        .clamp(0, CONSUMER_PROTOCOL_VERSION_MAX);
    // Only an array of more than 2^31 elements could not be written.
    encode_versioned(&assignment, version).unwrap_or_default()
}

/// Partitions by the topic's name; topics that are no more are left out.
pub(super) fn by_name(
    assignment: &Assignment,
    topics: &dyn TopicsImage,
) -> BTreeMap<String, Vec<i32>> {
    assignment
        .by_topic()
        .filter_map(|(id, partitions)| {
            let name = topics.name_of(id)?;
            Some((name, partitions.iter().copied().collect()))
        })
        .collect()
}

impl ConsumerGroup {
    /// What a member wants, as consumers of the classic protocol say it.
    pub fn subscription_bytes(&self, member: &ConsumerMember) -> Bytes {
        let topics: std::collections::BTreeSet<&String> =
            super::subscription::wanted(member, &self.regexes).collect();
        let subscription = ConsumerProtocolSubscription {
            topics: topics.into_iter().cloned().collect(),
            rack_id: member.metadata.rack_id.clone(),
            ..Default::default()
        };
        encode_versioned(&subscription, CONSUMER_PROTOCOL_VERSION_MAX).unwrap_or_default()
    }

    /// What a member owns, as consumers of the classic protocol read it.
    pub fn assignment_bytes(member: &ConsumerMember, topics: &dyn TopicsImage) -> Bytes {
        assignment_bytes(member, topics)
    }
}
