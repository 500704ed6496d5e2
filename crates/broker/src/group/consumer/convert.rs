//! A classic group of consumers becomes a consumer group when a member of the
//! new protocol joins it, and goes back when the last one has left (KIP-848,
//! `group.consumer.migration.policy`).

use super::assignment::Assignment;
use super::classic::{PROTOCOL_TYPE, assignment_bytes, by_id};
use super::machine::ConsumerGroup;
use super::member::{ClassicSide, ConsumerMember, MemberCurrent, MemberMetadata, MemberState};
use super::records::{ConsumerRecord, GroupEpoch, TargetEpoch};
use super::subscription::{Regexes, metadata_hash};
use super::topics::TopicsImage;
use crate::group::config::GroupConfig;
use crate::group::machine::{ClassicGroup, GroupSnapshot, MemberSnapshot, Now};
use crate::group::member::Member;
use millstream_wire::codec::decode_versioned;
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use std::sync::Arc;

/// The consumer group that a classic group of consumers becomes: its members
/// keep what they own, its generation becomes the epoch of all. None where
/// its members cannot be understood.
pub(in crate::group) fn from_classic(
    classic: &ClassicGroup,
    config: &Arc<GroupConfig>,
    topics: &dyn TopicsImage,
    now: Now,
) -> Option<(ConsumerGroup, Vec<ConsumerRecord>)> {
    let mut group = ConsumerGroup::new(Arc::clone(config));
    let mut records = Vec::new();
    let epoch = classic.generation();
    if classic
        .protocol_type()
        .is_some_and(|kind| kind != PROTOCOL_TYPE)
        && !classic.is_unused()
    {
        return None;
    }
    let protocol = classic.protocol();
    let mut members = Vec::new();
    // Who is joining for the first time does not know its id: it is told to
    // join again, and that is when it becomes a member.
    for member in classic.members().filter(|member| !member.is_new) {
        members.push(from_classic_member(member, protocol, epoch, topics)?);
    }
    for member in &members {
        records.push(ConsumerRecord::Member {
            id: member.id.clone(),
            value: Some(member.metadata.clone()),
        });
    }
    let borrowed: Vec<&ConsumerMember> = members.iter().collect();
    let value = Some(GroupEpoch {
        epoch,
        metadata_hash: metadata_hash(&borrowed, &Regexes::new(), topics),
    });
    records.push(ConsumerRecord::Group { value });
    for member in &members {
        records.push(ConsumerRecord::Target {
            id: member.id.clone(),
            value: Some(member.current.assigned.clone()),
        });
    }
    let value = Some(TargetEpoch {
        epoch,
        timestamp_ms: now.wall_ms,
    });
    records.push(ConsumerRecord::TargetEpoch { value });
    for member in members {
        records.push(ConsumerRecord::Current {
            id: member.id,
            value: Some(member.current),
        });
    }
    group.apply_all(records.clone(), None);
    group.start_sessions(now);
    Some((group, records))
}

fn from_classic_member(
    member: &Member,
    protocol: Option<&str>,
    epoch: i32,
    topics: &dyn TopicsImage,
) -> Option<ConsumerMember> {
    let chosen = member
        .protocols
        .iter()
        .find(|p| protocol == Some(p.name.as_str()))
        .or(member.protocols.first())?;
    let (_, subscription) =
        decode_versioned::<ConsumerProtocolSubscription>(chosen.metadata.clone()).ok()?;
    let assigned = if member.assignment.is_empty() {
        Assignment::default()
    } else {
        let bytes = member.assignment.clone();
        let (_, assignment) = decode_versioned::<ConsumerProtocolAssignment>(bytes).ok()?;
        by_id(&assignment.assigned_partitions, topics)
    };
    Some(ConsumerMember {
        id: member.id.clone(),
        metadata: MemberMetadata {
            instance_id: member.instance_id.clone(),
            rack_id: subscription.rack_id,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: subscription.topics.into_iter().collect(),
            regex: None,
            rebalance_timeout: member.rebalance_timeout,
            assignor: None,
            classic: Some(ClassicSide {
                session_timeout: member.session_timeout,
                protocols: member.protocols.clone(),
            }),
        },
        current: MemberCurrent {
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned,
            revoking: Assignment::default(),
        },
    })
}

impl ConsumerGroup {
    /// Whether only members of the classic protocol are left without those
    /// named, and at least one.
    pub(in crate::group) fn is_classic_without(&self, ids: &[String]) -> bool {
        let mut left = self
            .members
            .values()
            .filter(|member| !ids.contains(&member.id))
            .peekable();
        left.peek().is_some() && left.all(ConsumerMember::is_classic)
    }
}

/// The classic group that a consumer group becomes without the members named,
/// when all others use the classic protocol. They keep what they own until
/// they have joined again.
pub(in crate::group) fn to_classic(
    group: &ConsumerGroup,
    without: &[String],
    topics: &dyn TopicsImage,
    now: Now,
) -> ClassicGroup {
    let members: Vec<&ConsumerMember> = group.members_with(None, without);
    let snapshot = GroupSnapshot {
        protocol_type: PROTOCOL_TYPE.into(),
        generation: group.epoch,
        protocol: None,
        leader: members.first().map(|member| member.id.clone()),
        state_timestamp_ms: now.wall_ms,
        members: members
            .iter()
            .map(|member| MemberSnapshot {
                id: member.id.clone(),
                instance_id: member.metadata.instance_id.clone(),
                client_id: member.metadata.client_id.clone(),
                client_host: member.metadata.client_host.clone(),
                rebalance_timeout: member.metadata.rebalance_timeout,
                session_timeout: member
                    .metadata
                    .classic
                    .as_ref()
                    .map(|side| side.session_timeout)
                    .unwrap_or_default(),
                subscription: bytes::Bytes::new(),
                assignment: assignment_bytes(member, topics),
            })
            .collect(),
    };
    let protocols = members.into_iter().map(|member| {
        let side = member.metadata.classic.as_ref();
        let protocols = side.map(|side| side.protocols.clone()).unwrap_or_default();
        (member.id.clone(), protocols)
    });
    let mut classic = ClassicGroup::restore(Arc::clone(&group.config), snapshot, now);
    classic.set_protocols(protocols);
    classic
}
