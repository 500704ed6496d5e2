//! How members go: on their own wish, for a while, or because they missed a
//! deadline.

use super::assignment::Assignment;
use super::heartbeat::{ConsumerHeartbeat, HeartbeatAnswer};
use super::machine::{ConsumerGroup, LEFT_STATIC};
use super::member::{ConsumerMember, MemberCurrent};
use super::records::{ConsumerRecord, GroupEpoch};
use super::subscription::metadata_hash;
use super::topics::TopicsImage;
use super::update::tombstones;
use crate::group::error::GroupError;
use crate::group::machine::Now;

/// What a leave leads to.
#[derive(Debug)]
pub(in crate::group) enum Leaving {
    /// The member of this id is to be removed.
    ForGood(String),
    /// A static member has gone and will come back: these are to be written.
    ForAWhile(Vec<ConsumerRecord>),
}

impl ConsumerGroup {
    /// Decides on a heartbeat of a member that leaves.
    pub(in crate::group) fn leave(
        &self,
        request: &ConsumerHeartbeat,
    ) -> Result<(Leaving, HeartbeatAnswer), GroupError> {
        let member = self.holder(&request.member_id, request.instance_id.as_deref())?;
        let answer = HeartbeatAnswer {
            member_id: request.member_id.clone(),
            epoch: request.epoch,
            assignment: None,
        };
        let leaving = if request.epoch == LEFT_STATIC {
            Leaving::ForAWhile(vec![paused(member)])
        } else {
            Leaving::ForGood(member.id.clone())
        };
        Ok((leaving, answer))
    }

    /// The member of this id, which must be the holder of the instance id.
    pub(super) fn holder(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<&ConsumerMember, GroupError> {
        let id = match instance_id {
            None => member_id,
            Some(instance) => match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(holder) if holder != member_id => return Err(GroupError::FencedInstanceId),
                Some(holder) => holder,
            },
        };
        self.members.get(id).ok_or(GroupError::UnknownMember)
    }

    /// The member that a LeaveGroup names: an administrator may name a static
    /// member by its instance id alone.
    pub(in crate::group) fn leaver(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<String, GroupError> {
        let by_instance = instance_id.filter(|_| member_id.is_empty());
        match by_instance {
            Some(instance) => self
                .static_members
                .get(instance)
                .cloned()
                .ok_or(GroupError::UnknownMember),
            None => self
                .holder(member_id, instance_id)
                .map(|member| member.id.clone()),
        }
    }

    /// The records that take members out. The others' target is computed anew
    /// when one of them is heard of.
    pub(in crate::group) fn removal(
        &self,
        ids: &[String],
        topics: &dyn TopicsImage,
        now: Now,
    ) -> Vec<ConsumerRecord> {
        let mut records: Vec<ConsumerRecord> = ids.iter().flat_map(|id| tombstones(id)).collect();
        let members = self.members_with(None, ids);
        let (regexes, changed) = self.resolve(&members, topics, now);
        records.extend(changed);
        let value = Some(GroupEpoch {
            epoch: self.epoch + 1,
            metadata_hash: metadata_hash(&members, &regexes, topics),
        });
        records.push(ConsumerRecord::Group { value });
        records
    }
}

/// Keeps its partitions for the same instance, until its session ends.
fn paused(member: &ConsumerMember) -> ConsumerRecord {
    ConsumerRecord::Current {
        id: member.id.clone(),
        value: Some(MemberCurrent {
            epoch: LEFT_STATIC,
            revoking: Assignment::default(),
            ..member.current.clone()
        }),
    }
}
