//! What comes after a decision: markers, the record of the end; and the
//! decisions that time takes.

use super::config::MARKER_RETRY_BACKOFF_MAX;
use super::coordinator::Inner;
use super::error::TxnError;
use super::image::TxnOutcome;
use super::markers::{Marker, MarkerError};
use super::shard::{Entry, Shard, Writers};
use crate::journal::Appended;
use futures::future::join_all;
use millstream_core::ids::TopicPartition;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Epoch of the coordinator in its markers: a cluster of one never has
/// another one.
pub(crate) const COORDINATOR_EPOCH: i32 = 0;
/// Unused for so long an id may be forgotten when others need its room: as
/// long as a transaction may take by default.
const CROWDED_IDLE_MIN: Duration = Duration::from_secs(15 * 60);
/// Between two looks for such ids.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    /// Writes the markers of a decided transaction, everywhere at once, and
    /// the record of its end. Tries until it is done or the broker stops; a
    /// restart takes it up again.
    pub(super) async fn finish(self: &Arc<Self>, shard: &Arc<Shard>, id: &str) {
        let Some((marker, partitions, writers)) = marker_of(shard, id) else {
            return;
        };
        writers.all_gone().await;
        let writes = partitions
            .iter()
            .map(|partition| self.write_marker(partition, marker));
        // All are appended in the first poll, and their syncs begin at once.
        let written = millstream_log::gather_syncs(join_all(writes)).await;
        if !written.into_iter().all(|written| written) {
            return;
        }
        let mut pause = self.config.marker_retry_backoff;
        loop {
            let change = match shard.state.lock().ids.get(id) {
                Some(entry) => entry.next_change(),
                None => return,
            };
            match self.write_end(shard, id) {
                Ok(()) => return,
                // Its record is being written anew.
                Err(TxnError::ConcurrentTransactions) => {
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = change => {}
                    }
                }
                // A full disk refuses an append and may have space again: without
                // another try the id would answer CONCURRENT_TRANSACTIONS until a
                // restart.
                Err(TxnError::NotAvailable | TxnError::Storage) if !self.stop.is_cancelled() => {
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(MARKER_RETRY_BACKOFF_MAX);
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
        let mut pause = self.config.marker_retry_backoff;
        loop {
            match self.markers.write(partition, marker).await {
                Ok(())
                | Err(
                    MarkerError::PartitionGone
                    | MarkerError::Fenced
                    | MarkerError::CoordinatorFenced,
                ) => return true,
                Err(MarkerError::Retriable(reason)) => {
                    // One line for all that wait for the same disk, or each
                    // in turn, for as long as it takes.
                    if let Some(count) = self.marker_failure_told.due(Instant::now()) {
                        tracing::warn!(
                            %partition, reason, count,
                            "markers were not written; will try again until they are"
                        );
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(MARKER_RETRY_BACKOFF_MAX);
        }
    }

    fn write_end(self: &Arc<Self>, shard: &Arc<Shard>, id: &str) -> Result<(), TxnError> {
        let transit = {
            let mut state = shard.state.lock();
            let entry = state.ids.get_mut(id).ok_or(TxnError::NotCoordinator)?;
            entry.machine.finish(self.clock.now_ms())?
        };
        let appended = self.append(shard, id, &transit)?;
        watch_end(&self.runtime, id.to_owned(), appended);
        // Takes effect before it is durable: see the module documentation of
        // the coordinator.
        if let Some(entry) = shard.state.lock().ids.get_mut(id) {
            entry.machine.complete(transit);
            entry.notify();
        }
        Ok(())
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
            for id in timed_out(shard, self.clock.now_ms()) {
                let (inner, shard) = (Arc::clone(self), Arc::clone(shard));
                self.runtime.spawn(async move {
                    match inner.time_out(&shard, &id).await {
                        Ok(()) => tracing::info!(id, "transaction timed out, aborted it"),
                        // Its client was quicker.
                        Err(TxnError::InvalidState | TxnError::ConcurrentTransactions) => {}
                        Err(error) => {
                            tracing::warn!(%error, id, "a timed-out transaction was not aborted yet");
                        }
                    }
                });
            }
        }
    }

    /// Looks for transactional ids that nobody uses any more.
    pub(super) async fn watch_expiration(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.config.id_expiration_check_interval) => {}
                () = self.crowded.notified() => {}
            }
            self.forget_expired().await;
            // However many are refused, not all of them are looked through.
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(CROWDED_PAUSE) => {}
            }
        }
    }

    /// Forgets transactional ids that nobody has used for long; and when
    /// there is hardly room for others, those that were used longest ago, a
    /// quarter of all. Who makes an id for each checkpoint (Flink) would run
    /// into the bound otherwise.
    pub(super) async fn forget_expired(self: &Arc<Self>) {
        let Ok(shards) = self.existing_shards().await else {
            return;
        };
        let ids_max = self.config.ids_max;
        let is_crowded = self.ids_count.load(Ordering::Relaxed) >= ids_max - ids_max / 8;
        let kept_max = is_crowded.then(|| (ids_max - ids_max / 4) / shards.len().max(1));
        for shard in shards {
            let append = |id: String| {
                let tombstone = [(id.as_str(), None)];
                let appended = shard.append(&*self.journal, &tombstone, self.clock.now_ms());
                (id, appended)
            };
            // All of them on their way before the first is waited for.
            let appended: Vec<_> = self
                .begin_forgetting(shard, kept_max)
                .into_iter()
                .map(append)
                .collect();
            for (id, appended) in appended {
                let is_durable = match appended {
                    Ok(appended) => appended.durable.await.is_ok(),
                    Err(_) => false,
                };
                let mut state = shard.state.lock();
                if is_durable {
                    self.forget(&mut state, &id);
                } else if let Some(entry) = state.ids.get_mut(&id) {
                    entry.machine.cancel();
                    entry.notify();
                }
            }
        }
    }

    fn begin_forgetting(&self, shard: &Shard, kept_max: Option<usize>) -> Vec<String> {
        let (now_ms, mut expiration) = (self.clock.now_ms(), self.config.id_expiration);
        let mut state = shard.state.lock();
        if state.check_ready().is_err() {
            return Vec::new();
        }
        let too_many = state
            .ids
            .len()
            .saturating_sub(kept_max.unwrap_or(usize::MAX));
        if let Some(last) = too_many.checked_sub(1) {
            let mut ages: Vec<i64> = state
                .ids
                .values()
                .filter(|e| e.machine.has_expired(now_ms, CROWDED_IDLE_MIN))
                .map(|e| now_ms.saturating_sub(e.machine.image().updated_ms))
                .collect();
            ages.sort_unstable_by_key(|age| std::cmp::Reverse(*age));
            // The age of the youngest that has to go.
            let age = ages.get(last).or(ages.last()).copied();
            let age = age.and_then(|ms| u64::try_from(ms).ok());
            expiration = expiration.min(age.map_or(expiration, Duration::from_millis));
        }
        let idle = state
            .ids
            .iter_mut()
            .filter(|(_, e)| e.machine.has_expired(now_ms, expiration));
        idle.filter_map(|(id, entry)| entry.machine.hold().then(|| id.clone()))
            .collect()
    }
}

/// The ids whose open transaction has used up its time.
fn timed_out(shard: &Shard, now_ms: i64) -> Vec<String> {
    let state = shard.state.lock();
    if state.check_ready().is_err() {
        return Vec::new();
    }
    let late = state
        .ids
        .iter()
        .filter(|(_, e)| !e.machine.in_transit() && e.machine.has_timed_out(now_ms));
    late.map(|(id, _)| id.clone()).collect()
}

fn marker_of(shard: &Shard, id: &str) -> Option<(Marker, Vec<TopicPartition>, Arc<Writers>)> {
    let state = shard.state.lock();
    let entry: &Entry = state.ids.get(id)?;
    let outcome: TxnOutcome = entry.machine.decided()?;
    let marker = Marker {
        producer: entry.machine.producer(),
        version: entry.machine.image().client_version,
        outcome,
        coordinator_epoch: COORDINATOR_EPOCH,
    };
    Some((
        marker,
        entry.machine.image().partitions.iter().cloned().collect(),
        Arc::clone(&entry.writers),
    ))
}

fn watch_end(runtime: &Handle, id: String, appended: Appended) {
    runtime.spawn(async move {
        if let Err(error) = appended.durable.await {
            tracing::error!(%error, id, "the end of a transaction is not durable");
        }
    });
}
