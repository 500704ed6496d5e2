//! Writing the living records of a partition of `__consumer_offsets` anew.

use super::coordinator::Inner;
use super::error::GroupError;
use super::kind::GroupMachine;
use super::offsets::PartitionKey;
use super::records::GroupRecord;
use super::shard::{Shard, ShardState, Written};
use crate::journal::InternalTopic;
use crate::journal::rewrite::REWRITE_BATCH_BYTES;
use std::sync::Arc;

/// A record to write anew, and about how many bytes it takes.
type Living = (GroupRecord, usize);

impl Inner {
    /// Rewrites the partition if it has grown enough; see
    /// [`crate::journal::rewrite`].
    pub(super) fn rewrite_if_due(self: &Arc<Self>, shard: &Arc<Shard>, state: &mut ShardState) {
        // An offset that an open transaction holds back is later in the log
        // than the committed one, which must not be moved past it.
        if !shard.rewrite.is_due() || !state.transactions.is_empty() || state.check_ready().is_err()
        {
            return;
        }
        shard.rewrite.began();
        match self.append_living(shard, state) {
            Ok(Some((first_offset, bytes, last))) => {
                self.trim_when_durable(shard, first_offset, bytes, last);
            }
            Ok(None) => shard.rewrite.ended(0),
            Err(error) => {
                tracing::warn!(partition = shard.partition, %error, "living records not rewritten");
                shard.rewrite.ended(0);
            }
        }
    }

    /// Appends all living records; gives the first offset, the size and the
    /// last append.
    fn append_living(
        &self,
        shard: &Shard,
        state: &mut ShardState,
    ) -> Result<Option<(i64, u64, Written)>, GroupError> {
        let mut living = living_records(state);
        let (mut first_offset, mut bytes, mut last) = (None, 0, None);
        while !living.is_empty() {
            let batch = take_batch(&mut living, &mut bytes);
            let written = self.append(shard, &batch, None)?;
            for (record, journal_offset) in batch.iter().zip(written.base_offset()..) {
                note_rewritten(state, record, journal_offset);
            }
            first_offset.get_or_insert(written.base_offset());
            last = Some(written);
        }
        Ok(first_offset
            .zip(last)
            .map(|(first_offset, last)| (first_offset, bytes, last)))
    }

    fn trim_when_durable(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        first_offset: i64,
        bytes: u64,
        last: Written,
    ) {
        let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
        self.runtime.spawn(async move {
            // What is durable is a prefix: the last append stands for all.
            let (outcome, in_flight) = last.durable().await;
            drop(in_flight);
            if outcome.is_ok() {
                let topic = InternalTopic::ConsumerOffsets;
                let trimmed = inner
                    .journal
                    .trim(topic, shard.partition, first_offset)
                    .await;
                if let Err(error) = trimmed {
                    tracing::warn!(partition = shard.partition, %error, "partition not trimmed");
                }
            }
            shard.rewrite.ended(bytes);
        });
    }
}

fn living_records(state: &ShardState) -> Vec<Living> {
    let mut living = Vec::new();
    for (id, group) in &state.groups {
        if let Some(snapshot) = &group.recorded {
            let members = &snapshot.members;
            let bytes = members
                .iter()
                .map(|m| 256 + m.subscription.len() + m.assignment.len());
            let bytes = 64 + id.len() + bytes.sum::<usize>();
            living.push((
                GroupRecord::Group {
                    group: id.clone(),
                    value: Some(snapshot.clone()),
                },
                bytes,
            ));
        }
        if let GroupMachine::Consumer(consumer) = &group.machine {
            let records = consumer.records().into_iter();
            living.extend(records.map(|record| {
                let bytes = 64 + id.len() + record.weight();
                let group = id.clone();
                (GroupRecord::Consumer { group, record }, bytes)
            }));
        }
        for ((topic, partition), value) in group.offsets.iter() {
            let record = GroupRecord::Offset {
                group: id.clone(),
                topic: topic.clone(),
                partition: *partition,
                value: Some(value.clone()),
            };
            living.push((record, 64 + id.len() + topic.len() + value.metadata.len()));
        }
    }
    living
}

fn take_batch(living: &mut Vec<Living>, total: &mut u64) -> Vec<GroupRecord> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < REWRITE_BATCH_BYTES
        && let Some((record, size)) = living.pop()
    {
        bytes += size;
        batch.push(record);
    }
    *total += bytes as u64;
    batch
}

fn note_rewritten(state: &mut ShardState, record: &GroupRecord, journal_offset: i64) {
    let GroupRecord::Offset {
        group,
        topic,
        partition,
        ..
    } = record
    else {
        return;
    };
    if let Some(group) = state.groups.get_mut(group) {
        let key: PartitionKey = (topic.clone(), *partition);
        group.offsets.rewritten(&key, journal_offset);
    }
}
