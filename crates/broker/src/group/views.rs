//! What groups look like from outside: lists and descriptions.

use super::consumer::{Assignment, ConsumerGroup, ConsumerMember, TopicsImage};
use super::coordinator::GroupCoordinator;
use super::error::GroupError;
use super::kind::{GroupKind, GroupMachine};
use super::machine::{ClassicGroup, GroupState};
use bytes::Bytes;
use uuid::Uuid;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// Which protocol it speaks.
    pub kind: GroupKind,
    /// Kind of protocol, such as `consumer`; empty for a group that only has
    /// offsets.
    pub protocol_type: String,
    /// Where it stands, in Kafka's words.
    pub state: &'static str,
}

/// A group with its members, as the classic protocol shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// Which protocol it speaks.
    pub kind: GroupKind,
    /// Where it stands, in Kafka's words.
    pub state: &'static str,
    /// When it came to stand there, in milliseconds since the Unix epoch; for
    /// a consumer group when its target assignment was computed.
    pub state_timestamp_ms: i64,
    /// Kind of protocol, such as `consumer`.
    pub protocol_type: String,
    /// The assignor; empty for a classic group that is not stable.
    pub protocol: String,
    /// The current generation, or the group epoch.
    pub generation: i32,
    /// The members, by id.
    pub members: Vec<MemberDescription>,
}

/// A member of a described group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Member id.
    pub id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Address it connects from.
    pub client_host: String,
    /// Its subscription (`ConsumerProtocolSubscription` for consumers); empty
    /// for a classic group that is not stable.
    pub metadata: Bytes,
    /// Its assignment (`ConsumerProtocolAssignment` for consumers); while a
    /// classic group rebalances that of the generation before.
    pub assignment: Bytes,
}

/// A consumer group, as KIP-848 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    /// Where it stands, in Kafka's words.
    pub state: &'static str,
    /// The group epoch.
    pub epoch: i32,
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// The assignor.
    pub assignor: &'static str,
    /// The members, by id.
    pub members: Vec<ConsumerMemberDescription>,
}

/// A member of a described consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// The member itself.
    pub member: ConsumerMember,
    /// What it owns.
    pub assigned: Vec<NamedPartitions>,
    /// What it is to own in the end.
    pub target: Vec<NamedPartitions>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPartitions {
    /// Id of the topic.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// All groups, and whether some could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupList {
    /// Those that could be asked, by id.
    pub groups: Vec<GroupListing>,
    /// Set when a partition is still being read.
    pub incomplete: Option<GroupError>,
}

impl GroupCoordinator {
    /// All groups, those with nothing but offsets included.
    pub async fn list(&self) -> Result<GroupList, GroupError> {
        let mut list = GroupList {
            groups: Vec::new(),
            incomplete: None,
        };
        for shard in self.inner.existing_shards().await? {
            let state = shard.state.lock();
            if let Err(error) = state.check_ready() {
                list.incomplete = Some(error);
                continue;
            }
            list.groups
                .extend(state.groups.iter().map(|(id, group)| GroupListing {
                    id: id.clone(),
                    kind: group.machine.kind(),
                    protocol_type: group.machine.protocol_type().unwrap_or_default().to_owned(),
                    state: group.machine.state_name(),
                }));
        }
        list.groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    /// One group of either protocol; [`GroupError::GroupIdNotFound`] where
    /// there is none. Members of a consumer group are shown in the form of
    /// the classic protocol.
    pub async fn describe(&self, group_id: &str) -> Result<GroupDescription, GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Err(GroupError::GroupIdNotFound);
        }
        let shard = self.inner.shard_of_any(group_id).await?;
        let topics = self.inner.topics.topics();
        let mut state = shard.state.lock();
        let group = state.group(group_id)?.ok_or(GroupError::GroupIdNotFound)?;
        Ok(match &group.machine {
            GroupMachine::Classic(machine) => classic(group_id, machine),
            GroupMachine::Consumer(machine) => as_classic(group_id, machine, &*topics),
        })
    }

    /// One consumer group; [`GroupError::GroupIdNotFound`] where there is
    /// none of that protocol.
    pub async fn describe_consumer(
        &self,
        group_id: &str,
    ) -> Result<ConsumerGroupDescription, GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Err(GroupError::GroupIdNotFound);
        }
        let shard = self.inner.shard_of(group_id).await?;
        let topics = self.inner.topics.topics();
        let mut state = shard.state.lock();
        let group = state.group(group_id)?.ok_or(GroupError::GroupIdNotFound)?;
        let machine = group
            .machine
            .consumer()
            .ok_or(GroupError::GroupIdNotFound)?;
        let members = machine.members().map(|member| {
            let target = machine.target(&member.id);
            ConsumerMemberDescription {
                member: member.clone(),
                assigned: named(&member.current.assigned, &*topics),
                target: target
                    .map(|target| named(target, &*topics))
                    .unwrap_or_default(),
            }
        });
        Ok(ConsumerGroupDescription {
            state: machine.state().name(),
            epoch: machine.epoch(),
            assignment_epoch: machine.target_epoch(),
            assignor: machine.assignor_name(),
            members: members.collect(),
        })
    }
}

/// Partitions by topic; a topic that is no more has no name to be shown by.
fn named(assignment: &Assignment, topics: &dyn TopicsImage) -> Vec<NamedPartitions> {
    assignment
        .by_topic()
        .filter_map(|(id, partitions)| {
            Some(NamedPartitions {
                id: *id,
                name: topics.name_of(id)?,
                partitions: partitions.iter().copied().collect(),
            })
        })
        .collect()
}

fn as_classic(id: &str, machine: &ConsumerGroup, topics: &dyn TopicsImage) -> GroupDescription {
    let members = machine
        .members()
        .map(|member| MemberDescription {
            id: member.id.clone(),
            instance_id: member.metadata.instance_id.clone(),
            client_id: member.metadata.client_id.clone(),
            client_host: member.metadata.client_host.clone(),
            metadata: machine.subscription_bytes(member),
            assignment: ConsumerGroup::assignment_bytes(member, topics),
        })
        .collect();
    GroupDescription {
        id: id.to_owned(),
        kind: GroupKind::Consumer,
        state: machine.state().name(),
        state_timestamp_ms: machine.target_timestamp_ms(),
        protocol_type: "consumer".into(),
        protocol: machine.assignor_name().to_owned(),
        generation: machine.epoch(),
        members,
    }
}

fn classic(id: &str, machine: &ClassicGroup) -> GroupDescription {
    // Between generations there is no protocol that subscriptions could be
    // read by.
    let protocol = match machine.state() {
        GroupState::Stable => machine.protocol().unwrap_or_default(),
        _ => "",
    };
    let is_stable = machine.state() == GroupState::Stable;
    let members = machine
        .members()
        .map(|member| MemberDescription {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable {
                member.metadata_for(protocol)
            } else {
                Bytes::new()
            },
            // Of the generation before, until there is a new one.
            assignment: member.assignment.clone(),
        })
        .collect();
    GroupDescription {
        id: id.to_owned(),
        kind: GroupKind::Classic,
        state: machine.state().name(),
        state_timestamp_ms: machine.state_timestamp_ms(),
        protocol_type: machine.protocol_type().unwrap_or_default().to_owned(),
        protocol: protocol.to_owned(),
        generation: machine.generation(),
        members,
    }
}
