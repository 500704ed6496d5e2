//! Committing and reading offsets.

use super::coordinator::{GroupCoordinator, Inner};
use super::error::GroupError;
use super::liveness::{CommitIdentity, CommitKind};
use super::machine::Now;
use super::offsets::{CommittedOffset, PartitionKey};
use super::records::GroupRecord;
use super::shard::{Group, Shard, Written};
use crate::task::detached;
use crate::txn::{Producer, Writing};
use millstream_core::ids::ProducerId;
use std::sync::Arc;
use std::time::Duration;

/// Who commits, as the request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committer {
    /// Empty for a client that does not use group management.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// -1 for a client that does not use group management.
    pub generation: i32,
}

impl Committer {
    /// A client that does not use group management.
    pub fn outside() -> Self {
        Self {
            member_id: String::new(),
            instance_id: None,
            generation: -1,
        }
    }

    fn identity(&self) -> CommitIdentity<'_> {
        CommitIdentity {
            member_id: &self.member_id,
            instance_id: self.instance_id.as_deref(),
            generation: self.generation,
        }
    }
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read; -1 is unknown.
    pub leader_epoch: i32,
    /// Whatever the consumer wants to keep with it.
    pub metadata: String,
}

/// What is known of a partition's offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// What is committed, if anything;
    /// [`GroupError::UnstableOffsetCommit`] when only stable offsets are
    /// wanted and an open transaction has one.
    pub committed: Result<Option<CommittedOffset>, GroupError>,
}

/// Which partitions an offset fetch is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetsWanted {
    /// All that have an offset.
    All,
    /// These.
    Partitions(Vec<PartitionKey>),
}

/// Whether offsets that an open transaction is about to change may be read
/// (KIP-447).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// The last committed one will do.
    Any,
    /// Refuse while a transaction is open.
    Stable,
}

/// One result for each offset, in the order asked.
pub type CommitResults = Vec<Result<(), GroupError>>;

impl GroupCoordinator {
    /// Commits offsets; returns when they are durable. `retention` is how
    /// long they are to be kept, where the client may say so. A member of a
    /// group that does not exist gets [`GroupError::GroupIdNotFound`].
    pub async fn commit_offsets(
        &self,
        group_id: &str,
        who: &Committer,
        offsets: Vec<OffsetToCommit>,
        retention: Option<Duration>,
    ) -> Result<CommitResults, GroupError> {
        self.commit_offsets_at(group_id, who, offsets, retention, i16::MAX)
            .await
    }

    /// As [`GroupCoordinator::commit_offsets`], by this version of
    /// OffsetCommit: members of consumer groups need one with member epochs.
    pub async fn commit_offsets_at(
        &self,
        group_id: &str,
        who: &Committer,
        offsets: Vec<OffsetToCommit>,
        retention: Option<Duration>,
        version: i16,
    ) -> Result<CommitResults, GroupError> {
        let commit = Commit {
            producer: None,
            retention,
            version,
        };
        self.inner
            .commit(group_id, who, offsets, commit, None)
            .await
    }

    /// Whether a member may read offsets with this epoch. Members of classic
    /// groups, and who names no member, may always.
    pub async fn check_fetch(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Ok(());
        }
        let shard = self.inner.shard_of_any(group_id).await?;
        let mut state = shard.state.lock();
        let group = state.group(group_id)?;
        match group.and_then(|group| group.machine.consumer()) {
            Some(machine) => machine.check_fetch(member_id, member_epoch),
            None => Ok(()),
        }
    }

    /// Adds offsets to a producer's open transaction; they become visible
    /// when its commit marker is written. The caller has made sure that the
    /// transaction includes the group (AddOffsetsToTxn); `writing` holds its
    /// markers back until the offsets have their place in the log.
    pub async fn commit_offsets_in_transaction(
        &self,
        group_id: &str,
        who: &Committer,
        producer: Producer,
        offsets: Vec<OffsetToCommit>,
        writing: Option<Writing>,
    ) -> Result<CommitResults, GroupError> {
        let commit = Commit {
            producer: Some(producer),
            retention: None,
            version: i16::MAX,
        };
        let inner = &self.inner;
        inner.commit(group_id, who, offsets, commit, writing).await
    }

    /// Ends a producer's transaction in one partition of
    /// `__consumer_offsets`. To be called when its marker is durable there,
    /// before anybody is told that the transaction has ended.
    pub fn end_transaction(&self, partition: i32, producer: ProducerId, committed: bool) {
        if let Some(shard) = self.inner.shard(partition) {
            let mut state = shard.state.lock();
            state.end_transaction(producer, committed);
            self.inner.rewrite_if_due(shard, &mut state);
        }
    }

    /// Reads committed offsets. A group that does not exist has none.
    pub async fn fetch_offsets(
        &self,
        group_id: &str,
        wanted: &OffsetsWanted,
        stability: Stability,
    ) -> Result<Vec<FetchedOffset>, GroupError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Ok(none_committed(wanted));
        }
        let shard = self.inner.shard_of_any(group_id).await?;
        let mut state = shard.state.lock();
        let Some(group) = state.group(group_id)? else {
            return Ok(none_committed(wanted));
        };
        if group.machine.is_dead() {
            return Ok(none_committed(wanted));
        }
        let offsets = &group.offsets;
        let fetch = |(topic, partition): &PartitionKey| {
            let unstable = stability == Stability::Stable && offsets.is_unstable(topic, *partition);
            let committed = if unstable {
                Err(GroupError::UnstableOffsetCommit)
            } else {
                Ok(offsets.get(topic, *partition).cloned())
            };
            FetchedOffset {
                topic: topic.clone(),
                partition: *partition,
                committed,
            }
        };
        let mut all: Vec<PartitionKey> = match wanted {
            OffsetsWanted::Partitions(keys) => return Ok(keys.iter().map(fetch).collect()),
            OffsetsWanted::All => offsets.iter().map(|(key, _)| key.clone()).collect(),
        };
        if stability == Stability::Stable {
            all.extend(offsets.unstable().cloned());
            all.sort_unstable();
            all.dedup();
        }
        Ok(all.iter().map(fetch).collect())
    }
}

fn none_committed(wanted: &OffsetsWanted) -> Vec<FetchedOffset> {
    let OffsetsWanted::Partitions(keys) = wanted else {
        return Vec::new();
    };
    keys.iter()
        .map(|(topic, partition)| FetchedOffset {
            topic: topic.clone(),
            partition: *partition,
            committed: Ok(None),
        })
        .collect()
}

/// What distinguishes one kind of commit from another.
#[derive(Clone, Copy)]
struct Commit {
    producer: Option<Producer>,
    retention: Option<Duration>,
    /// Of OffsetCommit.
    version: i16,
}

impl Inner {
    async fn commit(
        self: &Arc<Self>,
        group_id: &str,
        who: &Committer,
        offsets: Vec<OffsetToCommit>,
        commit: Commit,
        writing: Option<Writing>,
    ) -> Result<CommitResults, GroupError> {
        let shard = self.shard_of_any(group_id).await?;
        let results: CommitResults = offsets
            .iter()
            .map(|offset| self.check_metadata(offset))
            .collect();
        let accepted = offsets
            .into_iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(offset, _)| offset)
            .collect();
        let appended = self.append_commit(&shard, group_id, who, accepted, commit);
        if !matches!(appended, Ok(Some(_))) {
            self.forget_if_untouched(&mut shard.state.lock(), group_id);
        }
        let appended = appended?;
        // They have their place in the log: the marker may come after it.
        drop(writing);
        let Some((values, written)) = appended else {
            return Ok(results);
        };
        let (inner, group_id) = (Arc::clone(self), group_id.to_owned());
        // Detached: the commit must be settled even if the client goes away.
        let settled = detached(&self.runtime, async move {
            let (outcome, in_flight) = written.durable().await;
            let mut state = shard.state.lock();
            drop(in_flight);
            if let Some(group) = state.groups.get_mut(&group_id) {
                settle_commit(group, values, commit, outcome);
            }
            inner.rewrite_if_due(&shard, &mut state);
            outcome
        });
        settled.await.unwrap_or(Err(GroupError::NotAvailable))?;
        Ok(results)
    }

    fn check_metadata(&self, offset: &OffsetToCommit) -> Result<(), GroupError> {
        if offset.metadata.len() > self.config.offset_metadata_bytes_max {
            Err(GroupError::OffsetMetadataTooLarge)
        } else {
            Ok(())
        }
    }

    #[allow(clippy::type_complexity)]
    fn append_commit(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        group_id: &str,
        who: &Committer,
        offsets: Vec<OffsetToCommit>,
        commit: Commit,
    ) -> Result<Option<(Vec<(PartitionKey, CommittedOffset)>, Written)>, GroupError> {
        let mut state = shard.state.lock();
        state.check_ready()?;
        if !state.groups.contains_key(group_id) && who.generation >= 0 {
            return Err(GroupError::GroupIdNotFound);
        }
        let now = Now::of(&*self.clock);
        let kind = match commit.producer {
            Some(_) => CommitKind::Transactional,
            None => CommitKind::Plain,
        };
        let group = self.group_or_new(&mut state, group_id)?;
        let machine = &mut group.machine;
        let accepted = machine.accept_commit(who.identity(), kind, commit.version, now);
        if accepted == Err(GroupError::StaleMemberEpoch)
            && let Some(consumer) = machine.consumer()
        {
            let topics = self.topics.topics();
            let keys = offsets
                .iter()
                .map(|offset| Some((topics.topic(&offset.topic)?.0, offset.partition)));
            if !consumer.owned_then(who.identity(), keys) {
                return Err(GroupError::StaleMemberEpoch);
            }
        } else {
            accepted?;
        }
        if offsets.is_empty() {
            return Ok(None);
        }
        let mut values = committed_values(offsets, commit.retention, now.wall_ms);
        let grows = group.offsets.grows_by(&values);
        if grows > 0 && !self.memory.has_room_for_offsets(grows) {
            self.tell_full("committed offsets");
            return Err(GroupError::CommitTooLarge);
        }
        let records: Vec<GroupRecord> = values
            .iter()
            .map(|((topic, partition), value)| GroupRecord::Offset {
                group: group_id.to_owned(),
                topic: topic.clone(),
                partition: *partition,
                value: Some(value.clone()),
            })
            .collect();
        let written = match self.append(shard, &records, commit.producer) {
            // Of what a request says only its size can be wrong by now.
            Err(GroupError::InvalidRequest) => return Err(GroupError::CommitTooLarge),
            written => written?,
        };
        for (value, journal_offset) in values.iter_mut().zip(written.base_offset()..) {
            value.1.journal_offset = journal_offset;
        }
        if let Some(producer) = commit.producer {
            // Held back from the moment it has its place in the log: the
            // marker can only come after it.
            for (key, value) in &values {
                group.offsets.hold(producer.id, key.clone(), value.clone());
            }
            state
                .transactions
                .entry(producer.id)
                .or_default()
                .insert(group_id.to_owned());
        } else {
            group.offsets.begin_commit();
        }
        Ok(Some((values, written)))
    }
}

fn settle_commit(
    group: &mut Group,
    values: Vec<(PartitionKey, CommittedOffset)>,
    commit: Commit,
    outcome: Result<(), GroupError>,
) {
    match commit.producer {
        None => {
            group.offsets.settle(match outcome {
                Ok(()) => values,
                Err(_) => Vec::new(),
            });
        }
        Some(producer) if outcome.is_err() => {
            for (key, value) in values {
                group
                    .offsets
                    .release(producer.id, &key, value.journal_offset);
            }
        }
        Some(_) => {}
    }
}

fn committed_values(
    offsets: Vec<OffsetToCommit>,
    retention: Option<Duration>,
    now_ms: i64,
) -> Vec<(PartitionKey, CommittedOffset)> {
    let expire_timestamp_ms = retention
        .map(|kept| now_ms.saturating_add(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)));
    offsets
        .into_iter()
        .map(|offset| {
            let value = CommittedOffset {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata,
                commit_timestamp_ms: now_ms,
                expire_timestamp_ms,
                journal_offset: -1,
            };
            ((offset.topic, offset.partition), value)
        })
        .collect()
}
