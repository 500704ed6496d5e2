//! Writing the living records of a partition of `__transaction_state` anew.

use super::coordinator::Inner;
use super::error::TxnError;
use super::machine::{NO_EPOCH, TxnImage};
use super::shard::{Shard, ShardState};
use crate::journal::rewrite::REWRITE_BATCH_BYTES;
use crate::journal::{Appended, InternalTopic};
use std::sync::Arc;

impl Inner {
    /// Rewrites the partition if it has grown enough; see
    /// [`crate::journal::rewrite`].
    pub(super) fn rewrite_if_due(self: &Arc<Self>, shard: &Arc<Shard>, state: &mut ShardState) {
        // A transit's record is in the log and not yet in memory.
        if !shard.rewrite.is_due()
            || state.check_ready().is_err()
            || state.ids.values().any(|entry| entry.machine.in_transit())
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
        state: &ShardState,
    ) -> Result<Option<(i64, u64, Appended)>, TxnError> {
        let now_ms = self.clock.now_ms();
        let living = state
            .ids
            .iter()
            .map(|(id, entry)| (id.as_str(), entry.machine.image()));
        // One without an epoch has never been written.
        let mut living = living
            .filter(|(_, image)| image.epoch != NO_EPOCH)
            .peekable();
        let (mut first_offset, mut bytes, mut last) = (None, 0, None);
        while living.peek().is_some() {
            let (mut batch, mut batch_bytes) = (Vec::new(), 0);
            while batch_bytes < REWRITE_BATCH_BYTES
                && let Some((id, image)) = living.next()
            {
                batch_bytes += size_of_record(id, image);
                batch.push((id, Some(image)));
            }
            let appended = shard.append(&*self.journal, &batch, now_ms)?;
            bytes += batch_bytes as u64;
            first_offset.get_or_insert(appended.base_offset);
            last = Some(appended);
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
        last: Appended,
    ) {
        let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
        self.runtime.spawn(async move {
            // What is durable is a prefix: the last append stands for all.
            if last.durable.await.is_ok() {
                let topic = InternalTopic::TransactionState;
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

fn size_of_record(id: &str, image: &TxnImage) -> usize {
    let partitions = image
        .partitions
        .iter()
        .map(|partition| 8 + partition.topic.len());
    96 + id.len() + partitions.sum::<usize>()
}
