//! What comes after a decision: markers, the record of the end; and the
//! decisions that time takes.

use super::coordinator::Inner;
use super::error::TxnError;
use super::machine::{Transit, TxnOutcome};
use super::markers::{Marker, MarkerError};
use super::shard::{Entry, Shard};
use crate::journal::Appended;
use futures::future::join_all;
use millstream_core::ids::TopicPartition;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Epoch of the coordinator in its markers: a cluster of one never has
/// another one.
const COORDINATOR_EPOCH: i32 = 0;

impl Inner {
    /// Writes the markers of a decided transaction, everywhere at once, and
    /// the record of its end. Tries until it is done or the broker stops; a
    /// restart takes it up again.
    pub(super) async fn finish(self: &Arc<Self>, shard: &Arc<Shard>, id: &str) {
        let Some((marker, partitions)) = marker_of(shard, id) else {
            return;
        };
        let writes = partitions
            .iter()
            .map(|partition| self.write_marker(partition, marker));
        if !join_all(writes).await.into_iter().all(|written| written) {
            return;
        }
        loop {
            match self.write_end(shard, id) {
                Ok(()) => return,
                Err(TxnError::NotAvailable) if !self.stop.is_cancelled() => {
                    tokio::time::sleep(self.config.marker_retry_backoff).await;
                }
                Err(error) => {
                    // The markers are written; the decision is found again at
                    // the next start, and nothing is lost but this id's time.
                    tracing::error!(%error, id, "the end of a transaction was not recorded");
                    return;
                }
            }
        }
    }

    /// Whether the marker is written, or there is no need of it; not when the
    /// broker stops.
    async fn write_marker(&self, partition: &TopicPartition, marker: Marker) -> bool {
        loop {
            match self.markers.write(partition, marker).await {
                Ok(()) | Err(MarkerError::PartitionGone | MarkerError::Fenced) => return true,
                Err(MarkerError::Retriable(reason)) => {
                    tracing::warn!(%partition, reason, "a marker was not written, will try again");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(self.config.marker_retry_backoff) => {}
            }
        }
    }

    fn write_end(self: &Arc<Self>, shard: &Arc<Shard>, id: &str) -> Result<(), TxnError> {
        let mut state = shard.state.lock();
        let entry = state.ids.get_mut(id).ok_or(TxnError::NotCoordinator)?;
        let transit = entry.machine.finish(self.clock.now_ms())?;
        let appended = self.append(shard, entry, id, &transit);
        match appended {
            Ok(appended) => {
                // Takes effect before it is durable: see the module
                // documentation of the coordinator.
                entry.machine.complete(transit);
                entry.notify();
                watch_end(&self.runtime, id.to_owned(), appended);
                Ok(())
            }
            Err(error) => {
                entry.notify();
                Err(error)
            }
        }
    }

    /// Looks for transactions that have used up their time.
    pub(super) async fn watch_timeouts(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.config.timeout_check_interval) => {}
            }
            self.abort_timed_out().await;
        }
    }

    /// Aborts every transaction that has used up its time.
    pub(super) async fn abort_timed_out(self: &Arc<Self>) {
        let Ok(shards) = self.existing_shards().await else {
            return;
        };
        for shard in shards {
            for (id, transit, appended) in self.decide_timed_out(shard) {
                tracing::info!(id, "transaction timed out, aborting it");
                let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
                self.runtime.spawn(async move {
                    if let Err(error) = inner.carry_through(&shard, &id, transit, appended).await {
                        tracing::warn!(%error, id, "a timed-out transaction was not aborted yet");
                    }
                });
            }
        }
    }

    fn decide_timed_out(&self, shard: &Shard) -> Vec<(String, Transit, Appended)> {
        let now_ms = self.clock.now_ms();
        let mut state = shard.state.lock();
        if state.check_ready().is_err() {
            return Vec::new();
        }
        let mut decided = Vec::new();
        let late = state
            .ids
            .iter_mut()
            .filter(|(_, e)| e.machine.has_timed_out(now_ms));
        for (id, entry) in late {
            let Ok(transit) = entry.machine.time_out(now_ms) else {
                continue;
            };
            match self.append(shard, entry, id, &transit) {
                Ok(appended) => decided.push((id.clone(), transit, appended)),
                Err(error) => tracing::warn!(%error, id, "a timed-out transaction stays open"),
            }
        }
        decided
    }

    /// Looks for transactional ids that nobody uses any more.
    pub(super) async fn watch_expiration(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.config.id_expiration_check_interval) => {}
            }
            self.forget_expired().await;
        }
    }

    /// Forgets transactional ids that nobody has used for long.
    pub(super) async fn forget_expired(self: &Arc<Self>) {
        let Ok(shards) = self.existing_shards().await else {
            return;
        };
        for shard in shards {
            for (id, appended) in self.append_forgotten(shard) {
                let is_durable = appended.durable.await.is_ok();
                let mut state = shard.state.lock();
                if is_durable {
                    self.forget(&mut state, &id);
                } else if let Some(entry) = state.ids.get_mut(&id) {
                    entry.machine.cancel();
                }
            }
        }
    }

    fn append_forgotten(&self, shard: &Shard) -> Vec<(String, Appended)> {
        let now_ms = self.clock.now_ms();
        let mut state = shard.state.lock();
        if state.check_ready().is_err() {
            return Vec::new();
        }
        let mut forgotten = Vec::new();
        let expiration = self.config.id_expiration;
        let idle = state
            .ids
            .iter_mut()
            .filter(|(_, e)| e.machine.has_expired(now_ms, expiration));
        for (id, entry) in idle {
            if entry.machine.begin_forgetting().is_err() {
                continue;
            }
            match shard.append(&*self.journal, &[(id, None)], now_ms) {
                Ok(appended) => forgotten.push((id.clone(), appended)),
                Err(_) => entry.machine.cancel(),
            }
        }
        forgotten
    }
}

fn marker_of(shard: &Shard, id: &str) -> Option<(Marker, Vec<TopicPartition>)> {
    let state = shard.state.lock();
    let entry: &Entry = state.ids.get(id)?;
    let outcome: TxnOutcome = entry.machine.decided()?;
    let marker = Marker {
        producer: entry.machine.producer(),
        outcome,
        coordinator_epoch: COORDINATOR_EPOCH,
    };
    Some((
        marker,
        entry.machine.image().partitions.iter().cloned().collect(),
    ))
}

fn watch_end(runtime: &Handle, id: String, appended: Appended) {
    runtime.spawn(async move {
        if let Err(error) = appended.durable.await {
            tracing::error!(%error, id, "the end of a transaction is not durable");
        }
    });
}
