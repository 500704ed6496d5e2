//! Commits a transaction's group offsets, right after the transaction.
//!
//! Not with TxnOffsetCommit: a transaction would then end only when the
//! group's coordinator is there, which takes a cluster longer than anything
//! else after a broker was lost, and librdkafka can wait for ever for one
//! that has left the cluster (librdkafka issue 5511). The offsets are for the
//! world's lag monitors; nothing here reads on from them. What is lost
//! between a transaction and its offsets is made up for by the next one's.

use super::Clients;
use super::admin::{QueryClient, partition_list, query_client};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::BusError;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a transaction waits for its offsets; they are committed all the
/// same.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The offsets of one writer's groups.
pub(super) struct GroupOffsets {
    clients: Clients,
    groups: BTreeMap<String, Arc<Group>>,
}

struct Group {
    name: String,
    client: QueryClient,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest; older ones that were not committed yet are not any more.
    next: Option<TopicPartitionList>,
    /// A thread is committing, and will look at `next` again.
    committing: bool,
}

impl GroupOffsets {
    pub(super) fn new(clients: &Clients) -> Self {
        Self {
            clients: clients.clone(),
            groups: BTreeMap::new(),
        }
    }

    /// Commits a group's offsets, and waits for it a moment, unless the ones
    /// before are still on their way.
    pub(super) async fn commit(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        let list = partition_list(
            offsets
                .iter()
                .map(|(tp, offset)| (tp, KafkaOffset::Offset(offset.0))),
        )?;
        let group = self.group(group)?;
        {
            let mut state = group.state();
            state.next = Some(list);
            if std::mem::replace(&mut state.committing, true) {
                return Ok(());
            }
        }
        let done = tokio::task::spawn_blocking(move || group.commit_all());
        // Either way they are committed by that thread.
        let _ = tokio::time::timeout(WAIT_MAX, done).await;
        Ok(())
    }

    fn group(&mut self, name: &str) -> Result<Arc<Group>, BusError> {
        if let Some(group) = self.groups.get(name) {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(Group {
            name: name.to_owned(),
            client: query_client(&self.clients, "read_committed", name)?,
            state: Mutex::default(),
        });
        self.groups.insert(name.to_owned(), Arc::clone(&group));
        Ok(group)
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits until there is nothing newer. Blocks.
    fn commit_all(&self) {
        loop {
            let list = {
                let mut state = self.state();
                let Some(list) = state.next.take() else {
                    state.committing = false;
                    return;
                };
                list
            };
            if let Err(error) = self.client.commit(&list, CommitMode::Sync) {
                tracing::debug!(group = self.name, %error, "offsets were not committed");
            }
            super::admin::drain(&self.client);
        }
    }
}
