//! Reading a partition of `__transaction_state` back into memory.

use super::coordinator::Inner;
use super::error::TxnError;
use super::image::TxnImage;
use super::machine::TxnMachine;
use super::records;
use super::shard::{Entry, Shard, ShardStatus, storage_error};
use crate::journal::{InternalTopic, JournalError};
use millstream_wire::batch::{BatchError, BatchView, split_batches};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a partition could not be read.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a batch of the partition cannot be read: {0}")]
    Batch(#[from] BatchError),
}

type Images = HashMap<String, TxnImage>;

impl Inner {
    /// Reads a partition; afterwards its shard answers, and transactions that
    /// had been decided are finished.
    pub(super) async fn load(self: &Arc<Self>, shard: &Arc<Shard>) {
        let images = match self.replay(shard).await {
            Ok(images) => images,
            Err(error) => {
                tracing::error!(partition = shard.partition, %error, "transactions cannot be loaded");
                shard.state.lock().status = ShardStatus::Closed(match &error {
                    LoadError::Journal(error) => storage_error(error),
                    LoadError::Batch(_) => TxnError::NotAvailable,
                });
                return;
            }
        };
        self.count_loaded(images.len());
        let mut decided = Vec::new();
        {
            let mut state = shard.state.lock();
            for (id, image) in images {
                let entry = Entry::new(TxnMachine::restore(image));
                if entry.machine.decided().is_some() {
                    decided.push(id.clone());
                }
                state.ids.insert(id, entry);
            }
            state.status = ShardStatus::Ready;
        }
        for id in decided {
            tracing::info!(id, "finishing a transaction that had been decided");
            let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
            self.runtime
                .spawn(async move { inner.finish(&shard, &id).await });
        }
    }

    async fn replay(&self, shard: &Shard) -> Result<Images, LoadError> {
        let (topic, partition) = (InternalTopic::TransactionState, shard.partition);
        let mut images = Images::new();
        let mut offset = self.journal.start_offset(topic, partition)?;
        loop {
            let chunk = self.journal.read(topic, partition, offset).await?;
            if chunk.batches.is_empty() {
                return Ok(images);
            }
            shard.rewrite.grew(chunk.batches.len());
            for batch in split_batches(chunk.batches) {
                take_batch(&mut images, &batch?)?;
            }
            offset = chunk.next_offset;
        }
    }
}

fn take_batch(images: &mut Images, batch: &BatchView) -> Result<(), LoadError> {
    for record in batch.records()? {
        let record = record?;
        let Some(key) = &record.key else { continue };
        match records::decode(key, record.value.as_ref()) {
            Ok((id, Some(image))) => {
                images.insert(id, image);
            }
            Ok((id, None)) => {
                images.remove(&id);
            }
            Err(error) => {
                tracing::warn!(offset = record.offset, %error, "record skipped");
            }
        }
    }
    Ok(())
}
