//! The transactional ids of one partition of `__transaction_state`.
//!
//! Invariant: a transit's record is appended after the shard's lock is let go,
//! or a slow disk that holds up one id's append would hold up all of them.
//! The order that counts is kept all the same: an id has one transit at a
//! time, so one record of it is on its way; those of different ids may take
//! any order in the log.

use super::config::TxnConfig;
use super::error::TxnError;
use super::image::TxnImage;
use super::machine::TxnMachine;
use super::records::batch_of;
use crate::journal::rewrite::Rewrite;
use crate::journal::{Appended, InternalTopic, Journal, JournalError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Whether a shard can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardStatus {
    /// Its partition is being read.
    Loading,
    /// It answers.
    Ready,
    /// It does not: the partition could not be read, or another node leads it.
    Closed(TxnError),
}

/// A transactional id, and whoever waits for it to change.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) machine: TxnMachine,
    pub(super) writers: Arc<Writers>,
    changed: Arc<Notify>,
}

/// Batches that have been found to belong to the open transaction and are
/// being appended. A marker that got in between would leave them behind it, in
/// a transaction that nobody ends. (With version 2 the marker's epoch refuses
/// them, with version 1 it is their own.)
#[derive(Debug, Default)]
pub(super) struct Writers {
    count: AtomicUsize,
    gone: Notify,
}

impl Writers {
    pub(super) fn enter(self: &Arc<Self>) -> Writing {
        self.count.fetch_add(1, Ordering::SeqCst);
        Writing(Arc::clone(self))
    }

    /// Ends when all that have entered have gone.
    pub(super) async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// Holds the markers of a transaction back. To be dropped as soon as the batch
/// has its place in the log; never to be held over a wait.
#[derive(Debug)]
pub struct Writing(Arc<Writers>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.gone.notify_waiters();
    }
}

impl Entry {
    pub(super) fn new(machine: TxnMachine) -> Self {
        Self {
            machine,
            writers: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// Wakes whoever waits for a change.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Ends at the next change after this call.
    pub(super) fn next_change(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }
}

/// One partition of `__transaction_state`.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) partition: i32,
    pub(super) state: Mutex<ShardState>,
    pub(super) rewrite: Rewrite,
}

/// What a shard holds.
#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) status: ShardStatus,
    pub(super) ids: HashMap<String, Entry>,
}

impl Shard {
    pub(super) fn new(partition: i32, status: ShardStatus, config: &TxnConfig) -> Arc<Self> {
        let state = ShardState {
            status,
            ids: HashMap::new(),
        };
        Arc::new(Self {
            partition,
            state: Mutex::new(state),
            rewrite: Rewrite::new(config.rewrite_bytes_min),
        })
    }

    /// Appends records about transactional ids as one batch; no image is a
    /// tombstone.
    pub(super) fn append(
        &self,
        journal: &dyn Journal,
        records: &[(&str, Option<&TxnImage>)],
        now_ms: i64,
    ) -> Result<Appended, TxnError> {
        let batch = batch_of(records, now_ms)?;
        self.rewrite.grew(batch.len());
        journal
            .append(InternalTopic::TransactionState, self.partition, batch)
            .map_err(|error| storage_error(&error))
    }
}

impl ShardState {
    pub(super) fn check_ready(&self) -> Result<(), TxnError> {
        match self.status {
            ShardStatus::Ready => Ok(()),
            ShardStatus::Loading => Err(TxnError::LoadInProgress),
            ShardStatus::Closed(error) => Err(error),
        }
    }

    /// The id's entry; an id that nobody has initialised has no producer id
    /// that could be right.
    pub(super) fn entry(&mut self, id: &str) -> Result<&mut Entry, TxnError> {
        self.check_ready()?;
        self.ids
            .get_mut(id)
            .ok_or(TxnError::InvalidProducerIdMapping)
    }
}

/// What a failure of the journal means to a client.
pub(super) fn storage_error(error: &JournalError) -> TxnError {
    match error {
        JournalError::Unavailable(_) => TxnError::NotAvailable,
        JournalError::NotLeader => TxnError::NotCoordinator,
        JournalError::TooLarge(_) => TxnError::InvalidRequest,
        JournalError::ProducerFenced => TxnError::Fenced,
        JournalError::Failed(_) => {
            tracing::error!(%error, "a record of a transaction could not be written");
            TxnError::Storage
        }
    }
}
