//! How groups and offsets go: on request, by age, with their topic.

use super::coordinator::{GroupCoordinator, Inner};
use super::error::GroupError;
use super::kind::GroupMachine;
use super::machine::{GroupState, Now};
use super::offsets::PartitionKey;
use super::records::GroupRecord;
use super::shard::{Group, Shard, ShardState, Written};
use crate::task::detached;
use millstream_wire::codec::decode_versioned;
use millstream_wire::records::consumer_protocol::ConsumerProtocolSubscription;
use std::sync::Arc;

impl GroupCoordinator {
    /// Deletes a group without members, and its offsets; returns when that is
    /// durable.
    pub async fn delete(&self, group_id: &str) -> Result<(), GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Err(GroupError::GroupIdNotFound);
        }
        let shard = self.inner.shard_of_any(group_id).await?;
        let written = self.inner.append_group_deletion(&shard, group_id)?;
        let (inner, group_id) = (Arc::clone(&self.inner), group_id.to_owned());
        let deleted = detached(&self.inner.runtime, async move {
            let (outcome, in_flight) = match written {
                Some(written) => {
                    let (outcome, in_flight) = written.durable().await;
                    (outcome, Some(in_flight))
                }
                None => (Ok(()), None),
            };
            let mut state = shard.state.lock();
            drop(in_flight);
            match outcome {
                Ok(()) => inner.forget_group(&mut state, &group_id),
                Err(_) => {
                    let now = Now::of(&*inner.clock);
                    if let Some(group) = state.groups.get_mut(&group_id) {
                        group.machine.revive(now);
                    }
                }
            }
            outcome
        });
        deleted.await.unwrap_or(Err(GroupError::NotAvailable))
    }

    /// Deletes the offsets of some partitions; one result for each. A topic
    /// that a member is subscribed to keeps its offsets:
    /// `is_subscribed(subscription, topic)` knows how to read a subscription.
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        partitions: Vec<PartitionKey>,
        is_subscribed: impl Fn(&[u8], &str) -> bool + Send,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Err(GroupError::GroupIdNotFound);
        }
        let shard = self.inner.shard_of_any(group_id).await?;
        let (results, doomed) = {
            let mut state = shard.state.lock();
            let group = state.group(group_id)?.ok_or(GroupError::GroupIdNotFound)?;
            let results = check_offset_deletion(group, &partitions, is_subscribed)?;
            let doomed: Vec<PartitionKey> = partitions
                .into_iter()
                .zip(&results)
                .filter(|(_, result)| result.is_ok())
                .map(|(key, _)| key)
                .collect();
            (
                results,
                self.inner.append_tombstones(&shard, group_id, doomed)?,
            )
        };
        if let Some((keys, written)) = doomed {
            self.inner
                .remove_when_durable(&shard, group_id, keys, written)
                .await?;
        }
        Ok(results)
    }

    /// Deletes the offsets that all groups have for a topic that is no more.
    pub async fn topic_deleted(&self, topic: &str) -> Result<(), GroupError> {
        for shard in self.inner.existing_shards().await? {
            let doomed = self.inner.append_topic_deletion(shard, topic)?;
            for (group_id, keys, written) in doomed {
                self.inner
                    .remove_when_durable(shard, &group_id, keys, written)
                    .await?;
            }
        }
        Ok(())
    }
}

fn check_offset_deletion(
    group: &Group,
    partitions: &[PartitionKey],
    is_subscribed: impl Fn(&[u8], &str) -> bool,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    if group.machine.is_dead() {
        return Err(GroupError::GroupIdNotFound);
    }
    if group.machine.is_empty() {
        return Ok(vec![Ok(()); partitions.len()]);
    }
    let classic = match &group.machine {
        GroupMachine::Classic(classic) => classic,
        GroupMachine::Consumer(consumer) => {
            let check = |(topic, _): &PartitionKey| {
                if consumer.subscribes_to(topic) {
                    Err(GroupError::GroupSubscribedToTopic)
                } else {
                    Ok(())
                }
            };
            return Ok(partitions.iter().map(check).collect());
        }
    };
    if classic.protocol_type() != Some("consumer") {
        return Err(GroupError::NonEmptyGroup);
    }
    let protocol = classic.protocol().unwrap_or_default();
    let subscriptions: Vec<_> = classic
        .members()
        .map(|member| member.metadata_for(protocol))
        .collect();
    let check = |(topic, _): &PartitionKey| {
        if subscriptions
            .iter()
            .any(|subscription| is_subscribed(subscription, topic))
        {
            Err(GroupError::GroupSubscribedToTopic)
        } else {
            Ok(())
        }
    };
    Ok(partitions.iter().map(check).collect())
}

impl Inner {
    fn append_group_deletion(
        &self,
        shard: &Shard,
        group_id: &str,
    ) -> Result<Option<Written>, GroupError> {
        let mut state = shard.state.lock();
        let now = Now::of(&*self.clock);
        let group = state.group(group_id)?.ok_or(GroupError::GroupIdNotFound)?;
        if group.machine.is_dead() {
            return Err(GroupError::GroupIdNotFound);
        }
        if group.offsets.is_changing() {
            return Err(GroupError::NonEmptyGroup);
        }
        group.machine.kill(now)?;
        let mut records: Vec<GroupRecord> = group
            .offsets
            .iter()
            .map(|((topic, partition), _)| GroupRecord::Offset {
                group: group_id.to_owned(),
                topic: topic.clone(),
                partition: *partition,
                value: None,
            })
            .collect();
        if group.recorded.is_some() {
            records.push(GroupRecord::Group {
                group: group_id.to_owned(),
                value: None,
            });
        }
        if let GroupMachine::Consumer(consumer) = &group.machine {
            let tombstones = consumer.all_tombstones().into_iter();
            records.extend(tombstones.map(|record| GroupRecord::Consumer {
                group: group_id.to_owned(),
                record,
            }));
        }
        if records.is_empty() {
            return Ok(None);
        }
        match self.append(shard, &records, None) {
            Ok(written) => Ok(Some(written)),
            Err(error) => {
                group.machine.revive(now);
                Err(error)
            }
        }
    }

    fn append_tombstones(
        &self,
        shard: &Shard,
        group_id: &str,
        keys: Vec<PartitionKey>,
    ) -> Result<Option<(Vec<PartitionKey>, Written)>, GroupError> {
        if keys.is_empty() {
            return Ok(None);
        }
        let tombstone = |(topic, partition): &PartitionKey| GroupRecord::Offset {
            group: group_id.to_owned(),
            topic: topic.clone(),
            partition: *partition,
            value: None,
        };
        let records: Vec<GroupRecord> = keys.iter().map(tombstone).collect();
        let written = self.append(shard, &records, None)?;
        Ok(Some((keys, written)))
    }

    #[allow(clippy::type_complexity)]
    fn append_topic_deletion(
        &self,
        shard: &Shard,
        topic: &str,
    ) -> Result<Vec<(String, Vec<PartitionKey>, Written)>, GroupError> {
        let state = shard.state.lock();
        let mut doomed = Vec::new();
        for (id, group) in &state.groups {
            let keys = group
                .offsets
                .iter()
                .map(|(key, _)| key)
                .filter(|key| key.0 == topic);
            let keys: Vec<PartitionKey> = keys.cloned().collect();
            if let Some((keys, written)) = self.append_tombstones(shard, id, keys)? {
                doomed.push((id.clone(), keys, written));
            }
        }
        Ok(doomed)
    }

    async fn remove_when_durable(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        group_id: &str,
        keys: Vec<PartitionKey>,
        written: Written,
    ) -> Result<(), GroupError> {
        let (shard, group_id) = (Arc::clone(shard), group_id.to_owned());
        let inner = Arc::clone(self);
        let removed = detached(&self.runtime, async move {
            let base_offset = written.base_offset();
            let (outcome, in_flight) = written.durable().await;
            let mut state = shard.state.lock();
            drop(in_flight);
            if let Some(group) = state.groups.get_mut(&group_id).filter(|_| outcome.is_ok()) {
                for (key, journal_offset) in keys.iter().zip(base_offset..) {
                    group.offsets.remove(key, journal_offset);
                }
            }
            inner.rewrite_if_due(&shard, &mut state);
            outcome
        });
        removed.await.unwrap_or(Err(GroupError::NotAvailable))
    }

    /// Looks for expired offsets from time to time.
    pub(super) async fn watch_retention(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.config.offsets_retention_check_interval) => {}
            }
            if let Err(error) = self.expire_offsets().await {
                tracing::warn!(%error, "expired offsets could not be deleted, will try again");
            }
        }
    }

    /// Deletes offsets past their retention, and groups of which nothing is
    /// left.
    pub(super) async fn expire_offsets(self: &Arc<Self>) -> Result<(), GroupError> {
        for shard in self.existing_shards().await?.to_vec() {
            let doomed = self.append_expired(&shard)?;
            for (group_id, keys, written) in doomed {
                tracing::info!(group = %group_id, offsets = keys.len(), "offsets expired");
                self.remove_when_durable(&shard, &group_id, keys, written)
                    .await?;
            }
            let unused: Vec<String> = unused_groups(&shard.state.lock());
            let coordinator = GroupCoordinator {
                inner: Arc::clone(self),
            };
            for group_id in unused {
                match coordinator.delete(&group_id).await {
                    // Somebody joined in the meantime.
                    Ok(()) | Err(GroupError::NonEmptyGroup | GroupError::GroupIdNotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    #[allow(clippy::type_complexity)]
    fn append_expired(
        &self,
        shard: &Shard,
    ) -> Result<Vec<(String, Vec<PartitionKey>, Written)>, GroupError> {
        let state = shard.state.lock();
        if state.check_ready().is_err() {
            return Ok(Vec::new());
        }
        let retention_ms =
            i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.clock.now_ms();
        let mut doomed = Vec::new();
        for (id, group) in &state.groups {
            if group.offsets.is_changing() {
                continue;
            }
            let idle_since_ms = idle_since_ms(&group.machine);
            let mut keys = group.offsets.expired(now_ms, retention_ms, idle_since_ms);
            if !keys.is_empty() {
                keys.retain(|(topic, _)| !may_read(&group.machine, topic));
            }
            if let Some((keys, written)) = self.append_tombstones(shard, id, keys)? {
                doomed.push((id.clone(), keys, written));
            }
        }
        Ok(doomed)
    }
}

/// When a classic group lost its last member; none where every offset ages by
/// itself.
fn idle_since_ms(machine: &GroupMachine) -> Option<i64> {
    match machine {
        GroupMachine::Classic(group) if group.state() == GroupState::Empty => {
            group.protocol_type().map(|_| group.state_timestamp_ms())
        }
        GroupMachine::Classic(_) | GroupMachine::Consumer(_) => None,
    }
}

/// Whether a member reads the topic, or may: offsets of topics that a group
/// with members has unsubscribed from go too (KIP-211, KIP-496), but only
/// where the subscriptions can be read.
fn may_read(machine: &GroupMachine, topic: &str) -> bool {
    match machine {
        GroupMachine::Consumer(group) => group.subscribes_to(topic),
        GroupMachine::Classic(group) => match group.state() {
            GroupState::Empty => false,
            GroupState::Stable if group.protocol_type() == Some("consumer") => {
                let protocol = group.protocol().unwrap_or_default();
                group.members().any(|member| {
                    let subscription = member.metadata_for(protocol);
                    decode_versioned::<ConsumerProtocolSubscription>(subscription)
                        .map_or(true, |(_, wants)| wants.topics.iter().any(|t| t == topic))
                })
            }
            _ => true,
        },
    }
}

fn unused_groups(state: &ShardState) -> Vec<String> {
    let unused = state.groups.iter().filter(|(_, group)| group.is_unused());
    unused.map(|(id, _)| id.clone()).collect()
}
