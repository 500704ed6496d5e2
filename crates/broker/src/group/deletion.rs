//! How groups and offsets go: on request, by age, with their topic.

use super::coordinator::{GroupCoordinator, Inner};
use super::error::GroupError;
use super::kind::GroupMachine;
use super::machine::{GroupState, Now};
use super::offsets::PartitionKey;
use super::records::GroupRecord;
use super::shard::{Group, Shard, ShardState, ShardStatus, Written};
use crate::task::detached;
use millstream_core::limits::TOPIC_NAME_CHARS_MAX;
use millstream_wire::codec::decode_versioned;
use millstream_wire::records::consumer_protocol::ConsumerProtocolSubscription;
use std::sync::Arc;

/// Bytes of the tombstones of one batch, well below what a batch may have.
const TOMBSTONES_BYTES: usize = 256 * 1024;
/// Bytes of a tombstone beside its group and topic.
const TOMBSTONE_BYTES: usize = 64;

/// Offsets with tombstones in the log.
pub(super) struct Doomed {
    /// Group, partitions, and when that is durable. Was written, so it happens
    /// whatever becomes of the rest.
    appended: Vec<(String, Vec<PartitionKey>, Written)>,
    /// What the log said to the rest.
    refused: Result<(), GroupError>,
}

impl Default for Doomed {
    fn default() -> Self {
        Self {
            appended: Vec::new(),
            refused: Ok(()),
        }
    }
}

impl Doomed {
    fn add(&mut self, other: Self) {
        self.appended.extend(other.appended);
        self.refused = self.refused.and(other.refused);
    }
}

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
                self.inner.append_tombstones(&shard, group_id, &doomed),
            )
        };
        self.inner.remove_when_durable(&shard, doomed).await?;
        Ok(results)
    }

    /// Deletes the offsets that all groups have for a topic that is no more.
    pub async fn topic_deleted(&self, topic: &str) -> Result<(), GroupError> {
        for shard in self.inner.existing_shards().await? {
            let doomed = self.inner.append_topic_deletion(shard, topic);
            self.inner.remove_when_durable(shard, doomed).await?;
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

    /// As many batches as it takes.
    fn append_tombstones(&self, shard: &Shard, group_id: &str, keys: &[PartitionKey]) -> Doomed {
        let tombstone = |(topic, partition): &PartitionKey| GroupRecord::Offset {
            group: group_id.to_owned(),
            topic: topic.clone(),
            partition: *partition,
            value: None,
        };
        let mut doomed = Doomed::default();
        let bytes_max = group_id.len() + TOPIC_NAME_CHARS_MAX + TOMBSTONE_BYTES;
        for keys in keys.chunks((TOMBSTONES_BYTES / bytes_max).max(1)) {
            let records: Vec<GroupRecord> = keys.iter().map(tombstone).collect();
            match self.append(shard, &records, None) {
                Ok(written) => {
                    doomed
                        .appended
                        .push((group_id.to_owned(), keys.to_vec(), written));
                }
                Err(error) => {
                    doomed.refused = Err(error);
                    break;
                }
            }
        }
        doomed
    }

    fn append_topic_deletion(&self, shard: &Shard, topic: &str) -> Doomed {
        let mut state = shard.state.lock();
        if matches!(state.status, ShardStatus::Loading) {
            state.deleted_while_loading.push(topic.to_owned());
            return Doomed::default();
        }
        self.doom_topic(shard, &state, topic)
    }

    /// What was deleted while the partition was being read. Its state is
    /// locked by the caller, before anybody can commit to a topic of that name.
    pub(super) fn doom_deleted(&self, shard: &Shard, state: &mut ShardState) -> Doomed {
        let mut doomed = Doomed::default();
        for topic in std::mem::take(&mut state.deleted_while_loading) {
            doomed.add(self.doom_topic(shard, state, &topic));
        }
        doomed
    }

    fn doom_topic(&self, shard: &Shard, state: &ShardState, topic: &str) -> Doomed {
        let mut doomed = Doomed::default();
        for (id, group) in &state.groups {
            let keys = group
                .offsets
                .iter()
                .map(|(key, _)| key)
                .filter(|key| key.0 == topic);
            let keys: Vec<PartitionKey> = keys.cloned().collect();
            doomed.add(self.append_tombstones(shard, id, &keys));
        }
        doomed
    }

    /// Removes what has tombstones, each when it is durable; then tells the
    /// first error.
    pub(super) async fn remove_when_durable(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        doomed: Doomed,
    ) -> Result<(), GroupError> {
        let (shard, inner) = (Arc::clone(shard), Arc::clone(self));
        let removed = detached(&self.runtime, async move {
            let mut all = doomed.refused;
            for (group_id, keys, written) in doomed.appended {
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
                all = all.and(outcome);
            }
            all
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
            let doomed = self.append_expired(&shard);
            for (group_id, keys, _) in &doomed.appended {
                tracing::info!(group = %group_id, offsets = keys.len(), "offsets expired");
            }
            self.remove_when_durable(&shard, doomed).await?;
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

    fn append_expired(&self, shard: &Shard) -> Doomed {
        let state = shard.state.lock();
        let mut doomed = Doomed::default();
        if state.check_ready().is_err() {
            return doomed;
        }
        let retention_ms =
            i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.clock.now_ms();
        for (id, group) in &state.groups {
            if group.offsets.is_changing() {
                continue;
            }
            let idle_since_ms = idle_since_ms(&group.machine);
            let mut keys = group.offsets.expired(now_ms, retention_ms, idle_since_ms);
            if !keys.is_empty() {
                keys.retain(|(topic, _)| !may_read(&group.machine, topic));
            }
            doomed.add(self.append_tombstones(shard, id, &keys));
        }
        doomed
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
