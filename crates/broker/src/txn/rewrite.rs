//! Writing the living records of a partition of `__transaction_state` anew.
//!
//! It goes through the ids batch by batch. Only the ids of one batch are held
//! while that is appended, as if each were in transit; all others go on.
//! What may be dropped afterwards is what lies before the first batch: an id
//! that was there when the rewrite began has been written since, and so has
//! one that came while it went on, or the second pass writes it.

use super::coordinator::Inner;
use super::error::TxnError;
use super::image::{NO_EPOCH, TxnImage};
use super::shard::{Shard, ShardState};
use crate::journal::rewrite::REWRITE_BATCH_BYTES;
use crate::journal::{Appended, InternalTopic};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::futures::OwnedNotified;

/// What a rewrite has done so far.
#[derive(Default)]
struct Progress {
    seen: HashSet<String>,
    first_offset: Option<i64>,
    bytes: usize,
    last: Option<Appended>,
}

/// Ids that are held, and what is known of them.
type Held = Vec<(String, TxnImage)>;

impl Inner {
    /// Rewrites the partition if it has grown enough; see
    /// [`crate::journal::rewrite`].
    pub(super) fn rewrite_if_due(self: &Arc<Self>, shard: &Arc<Shard>, state: &ShardState) {
        if !shard.rewrite.is_due() || state.check_ready().is_err() {
            return;
        }
        shard.rewrite.began();
        let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
        self.runtime.spawn(async move {
            let mut progress = Progress::default();
            let bytes = match inner.append_living(&shard, &mut progress).await {
                Ok(()) => {
                    inner.trim(&shard, &mut progress).await;
                    progress.bytes as u64
                }
                Err(error) => {
                    tracing::warn!(partition = shard.partition, %error, "living records not rewritten");
                    0
                }
            };
            shard.rewrite.ended(bytes);
        });
    }

    /// Appends all living records.
    async fn append_living(&self, shard: &Shard, progress: &mut Progress) -> Result<(), TxnError> {
        // The second pass is for ids that came while the first went on, and
        // behind its first batch.
        for pass in 0..2 {
            if pass > 0 && progress.first_offset.is_none() {
                break;
            }
            let mut rest = shard.state.lock().unseen(&progress.seen);
            while !rest.is_empty() {
                let (held, busy) = shard.state.lock().hold(&mut rest, &mut progress.seen)?;
                if !held.is_empty() {
                    let appended = self.append_held(shard, &held, progress);
                    shard.state.lock().release(&held);
                    appended?;
                } else if let Some(change) = busy {
                    tokio::select! {
                        () = self.stop.cancelled() => return Err(TxnError::NotAvailable),
                        () = change => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn append_held(
        &self,
        shard: &Shard,
        held: &Held,
        progress: &mut Progress,
    ) -> Result<(), TxnError> {
        let records: Vec<_> = held
            .iter()
            .map(|(id, image)| (id.as_str(), Some(image)))
            .collect();
        let appended = shard.append(&*self.journal, &records, self.clock.now_ms())?;
        progress.first_offset.get_or_insert(appended.base_offset);
        progress.bytes += held
            .iter()
            .map(|(id, i)| size_of_record(id, i))
            .sum::<usize>();
        progress.last = Some(appended);
        Ok(())
    }

    async fn trim(&self, shard: &Shard, progress: &mut Progress) {
        let (Some(first_offset), Some(last)) = (progress.first_offset, progress.last.take()) else {
            return;
        };
        // What is durable is a prefix: the last append stands for all.
        if last.durable.await.is_err() {
            return;
        }
        let topic = InternalTopic::TransactionState;
        let trimmed = self
            .journal
            .trim(topic, shard.partition, first_offset)
            .await;
        if let Err(error) = trimmed {
            tracing::warn!(partition = shard.partition, %error, "partition not trimmed");
        }
    }
}

impl ShardState {
    fn unseen(&self, seen: &HashSet<String>) -> Vec<String> {
        self.ids
            .keys()
            .filter(|id| !seen.contains(*id))
            .cloned()
            .collect()
    }

    /// Takes ids from `rest` and holds them, up to a batch. Those in transit
    /// stay in `rest`; the change to wait for is one of theirs.
    fn hold(
        &mut self,
        rest: &mut Vec<String>,
        seen: &mut HashSet<String>,
    ) -> Result<(Held, Option<OwnedNotified>), TxnError> {
        self.check_ready()?;
        let (mut held, mut bytes, mut busy, mut kept) = (Held::new(), 0, None, Vec::new());
        while bytes < REWRITE_BATCH_BYTES
            && let Some(id) = rest.pop()
        {
            let Some(entry) = self.ids.get_mut(&id) else {
                continue;
            };
            // One without an epoch has never been written. If it is written
            // before the first batch, the second pass finds it.
            if entry.machine.image().epoch == NO_EPOCH && !entry.machine.in_transit() {
                continue;
            }
            if !entry.machine.hold() {
                busy.get_or_insert_with(|| entry.next_change());
                kept.push(id);
                continue;
            }
            let image = entry.machine.image().clone();
            bytes += size_of_record(&id, &image);
            seen.insert(id.clone());
            held.push((id, image));
        }
        rest.append(&mut kept);
        Ok((held, busy))
    }

    fn release(&mut self, held: &Held) {
        for (id, _) in held {
            if let Some(entry) = self.ids.get_mut(id) {
                entry.machine.cancel();
                entry.notify();
            }
        }
    }
}

fn size_of_record(id: &str, image: &TxnImage) -> usize {
    let partitions = image
        .partitions
        .iter()
        .map(|partition| 8 + partition.topic.len());
    96 + id.len() + partitions.sum::<usize>()
}
