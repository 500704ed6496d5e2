//! What groups look like from outside: lists and descriptions.

use super::coordinator::GroupCoordinator;
use super::error::GroupError;
use super::machine::GroupState;
use super::shard::Group;
use bytes::Bytes;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// Kind of protocol, such as `consumer`; empty for a group that only has
    /// offsets.
    pub protocol_type: String,
    /// Where it stands.
    pub state: GroupState,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: GroupState,
    /// When it came to stand there, in milliseconds since the Unix epoch.
    pub state_timestamp_ms: i64,
    /// Kind of protocol, such as `consumer`.
    pub protocol_type: String,
    /// The assignor; empty unless stable.
    pub protocol: String,
    /// The current generation.
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
    /// unless the group is stable.
    pub metadata: Bytes,
    /// Its assignment (`ConsumerProtocolAssignment` for consumers); empty
    /// unless the group is stable.
    pub assignment: Bytes,
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
                    protocol_type: group.machine.protocol_type().unwrap_or_default().to_owned(),
                    state: group.machine.state(),
                }));
        }
        list.groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    /// One group; [`GroupError::GroupIdNotFound`] where there is none.
    pub async fn describe(&self, group_id: &str) -> Result<GroupDescription, GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Err(GroupError::GroupIdNotFound);
        }
        let shard = self.inner.shard_of_any(group_id).await?;
        let mut state = shard.state.lock();
        let group = state.group(group_id)?.ok_or(GroupError::GroupIdNotFound)?;
        Ok(description(group_id, group))
    }
}

fn description(id: &str, group: &Group) -> GroupDescription {
    let machine = &group.machine;
    // Between generations there is no protocol that subscriptions and
    // assignments could be read by.
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
            assignment: if is_stable {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        })
        .collect();
    GroupDescription {
        id: id.to_owned(),
        state: machine.state(),
        state_timestamp_ms: machine.state_timestamp_ms(),
        protocol_type: machine.protocol_type().unwrap_or_default().to_owned(),
        protocol: protocol.to_owned(),
        generation: machine.generation(),
        members,
    }
}
