//! The steps that a member's heartbeat, and the JoinGroup of a classic member
//! of such a group, have in common: note what it wants, raise the group
//! epoch, compute the target, take the member a step towards it.

use super::assignment::Assignment;
use super::assignor::Assignor;
use super::machine::ConsumerGroup;
use super::member::ConsumerMember;
use super::reconcile::{Target, reconcile};
use super::records::{ConsumerRecord, GroupEpoch, TargetEpoch};
use super::subscription::{demand, metadata_hash};
use super::topics::TopicsImage;
use crate::group::machine::Now;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A member that has said something.
pub(super) struct Change<'a> {
    /// The member with what it said, not yet reconciled.
    pub(super) member: ConsumerMember,
    /// The static member whose place it takes.
    pub(super) replaces: Option<String>,
    /// What it says it owns.
    pub(super) owned: Option<&'a Assignment>,
}

/// What is to be written, and the member as it then is.
pub(super) struct Update {
    pub(super) records: Vec<ConsumerRecord>,
    pub(super) member: ConsumerMember,
    /// The version of the topics that was looked at.
    pub(super) topics_seen: u64,
}

impl ConsumerGroup {
    pub(super) fn update(&self, change: Change<'_>, topics: &dyn TopicsImage, now: Now) -> Update {
        let Change {
            mut member,
            replaces,
            owned,
        } = change;
        let mut records = Vec::new();
        let without: Vec<String> = replaces.iter().cloned().collect();
        for id in &without {
            records.extend(tombstones(id));
        }
        let place = replaces.as_deref().unwrap_or(&member.id);
        let known = self.members.get(place);
        if known.map(|k| (&k.id, &k.metadata)) != Some((&member.id, &member.metadata)) {
            records.push(ConsumerRecord::Member {
                id: member.id.clone(),
                value: Some(member.metadata.clone()),
            });
        }
        let resubscribes = known.is_none_or(|known| {
            known.metadata.topics != member.metadata.topics
                || known.metadata.regex != member.metadata.regex
        });
        let epoch = self.next_epoch(&member, &without, resubscribes, (topics, now), &mut records);
        let none = Assignment::default();
        let target = match epoch {
            Some(regexes) => {
                self.retarget(&member, &without, &regexes, (topics, now), &mut records)
            }
            None => {
                let target = self.targets.get(place).unwrap_or(&none);
                if replaces.is_some() {
                    records.push(ConsumerRecord::Target {
                        id: member.id.clone(),
                        value: Some(target.clone()),
                    });
                }
                (self.target_epoch, Cow::Borrowed(target))
            }
        };
        let target = Target {
            epoch: target.0,
            partitions: &target.1,
        };
        let is_free = |topic: &_, partition| {
            self.owner(topic, partition)
                .is_none_or(|owner| owner == member.id || without.iter().any(|id| id == owner))
        };
        let next = reconcile(&member.current, target, owned, is_free);
        let written = self.members.get(&member.id).map(|known| &known.current);
        if written != Some(&next) {
            records.push(ConsumerRecord::Current {
                id: member.id.clone(),
                value: Some(next.clone()),
            });
        }
        member.current = next;
        Update {
            records,
            member,
            topics_seen: topics.version(),
        }
    }

    /// Raises the group epoch if something has changed. Gives the patterns'
    /// topics where a new target must be computed.
    fn next_epoch(
        &self,
        member: &ConsumerMember,
        without: &[String],
        resubscribes: bool,
        (topics, now): (&dyn TopicsImage, Now),
        records: &mut Vec<ConsumerRecord>,
    ) -> Option<Retarget> {
        let is_current = self.topics_seen == Some(topics.version());
        let is_behind = self.target_epoch < self.epoch;
        if is_current && !resubscribes && !is_behind {
            return None;
        }
        let members = self.members_with(Some(member), without);
        let (regexes, changed) = self.resolve(&members, topics, now);
        records.extend(changed);
        let metadata_hash = metadata_hash(&members, &regexes, topics);
        let mut epoch = self.epoch;
        if resubscribes || metadata_hash != self.metadata_hash {
            epoch += 1;
            let value = Some(GroupEpoch {
                epoch,
                metadata_hash,
            });
            records.push(ConsumerRecord::Group { value });
        }
        (self.target_epoch < epoch).then_some(Retarget { epoch, regexes })
    }

    /// Computes the target assignment anew; gives the member's part of it.
    fn retarget(
        &self,
        member: &ConsumerMember,
        without: &[String],
        retarget: &Retarget,
        (topics, now): (&dyn TopicsImage, Now),
        records: &mut Vec<ConsumerRecord>,
    ) -> (i32, Cow<'static, Assignment>) {
        let members = self.members_with(Some(member), without);
        let none = Assignment::default();
        // A static member that comes back under another id stands for what
        // it had.
        let place = |id: &str| match without.first() {
            Some(replaced) if id == member.id => replaced.clone(),
            _ => id.to_owned(),
        };
        let before = |id: &str| self.targets.get(&place(id)).unwrap_or(&none);
        let demand = demand(&members, &retarget.regexes, topics, before);
        let assigned = self.assignor_of(&members).assign(&demand);
        let mut own = Assignment::default();
        for (one, target) in members.iter().zip(assigned) {
            if one.id == member.id {
                own = target.clone();
            }
            if self.targets.get(&one.id) != Some(&target) {
                records.push(ConsumerRecord::Target {
                    id: one.id.clone(),
                    value: Some(target),
                });
            }
        }
        let value = Some(TargetEpoch {
            epoch: retarget.epoch,
            timestamp_ms: now.wall_ms,
        });
        records.push(ConsumerRecord::TargetEpoch { value });
        (retarget.epoch, Cow::Owned(own))
    }

    /// The assignor that most members ask for; the configured default where
    /// none does.
    pub(super) fn assignor_of(&self, members: &[&ConsumerMember]) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let asked = members
            .iter()
            .filter_map(|m| m.metadata.assignor.as_deref());
        for assignor in asked.filter_map(Assignor::by_name) {
            *votes.entry(assignor).or_default() += 1;
        }
        let default = self.config.consumer.default_assignor();
        let most = votes.iter().max_by_key(|(assignor, votes)| {
            // Of equals the default.
            (**votes, **assignor == default)
        });
        most.map_or(default, |(assignor, _)| *assignor)
    }
}

/// A target that is to be computed.
struct Retarget {
    epoch: i32,
    regexes: super::subscription::Regexes,
}

/// The records that take a member out.
pub(super) fn tombstones(id: &str) -> [ConsumerRecord; 3] {
    let id = || id.to_owned();
    [
        ConsumerRecord::Current {
            id: id(),
            value: None,
        },
        ConsumerRecord::Target {
            id: id(),
            value: None,
        },
        ConsumerRecord::Member {
            id: id(),
            value: None,
        },
    ]
}
