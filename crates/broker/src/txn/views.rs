//! What transactions look like from outside: lists and descriptions.

use super::coordinator::TxnCoordinator;
use super::error::TxnError;
use super::image::{Producer, TxnImage, TxnState};

/// A transactional id in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnListing {
    /// Its id.
    pub id: String,
    /// The current producer instance.
    pub producer: Producer,
    /// Where it stands.
    pub state: TxnState,
    /// When its open or last transaction began, in milliseconds since the Unix
    /// epoch.
    pub started_ms: Option<i64>,
}

/// All transactional ids, and whether some could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnList {
    /// Those that could be asked, by id.
    pub transactions: Vec<TxnListing>,
    /// Set when a partition is still being read.
    pub incomplete: Option<TxnError>,
}

impl TxnCoordinator {
    /// All transactional ids.
    pub async fn list(&self) -> Result<TxnList, TxnError> {
        let mut list = TxnList {
            transactions: Vec::new(),
            incomplete: None,
        };
        for shard in self.inner.existing_shards().await? {
            let state = shard.state.lock();
            if let Err(error) = state.check_ready() {
                list.incomplete = Some(error);
                continue;
            }
            list.transactions
                .extend(state.ids.iter().map(|(id, entry)| TxnListing {
                    id: id.clone(),
                    producer: entry.machine.producer(),
                    state: entry.machine.image().state,
                    started_ms: entry.machine.image().started_ms,
                }));
        }
        list.transactions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    /// One transactional id; [`TxnError::InvalidProducerIdMapping`] where
    /// there is none.
    pub async fn describe(&self, id: &str) -> Result<TxnImage, TxnError> {
        if self.inner.existing_shards().await?.is_empty() {
            return Err(TxnError::InvalidProducerIdMapping);
        }
        let shard = self.inner.shard_of(id).await?;
        let mut state = shard.state.lock();
        Ok(state.entry(id)?.machine.image().clone())
    }
}
