//! One transactional id as a pure state machine: events in, records to write
//! out, no I/O, no clock of its own.
//!
//! ```text
//!            add           end(commit)                markers written
//!   Empty ---------> Ongoing ---------> PrepareCommit ----------------> CompleteCommit
//!     ^                |  end(abort)                  markers written       |
//!     |                +--------------> PrepareAbort  ----------------> CompleteAbort
//!     |  init          | timeout, init (epoch fence) ^                      |
//!     +----------------|-----------------------------|----------------------+
//!                      +-----------------------------+          add: Ongoing
//! ```
//!
//! Every change is a [`Transit`]: what the id will be once the record of it
//! is durable. While a transit is being written nothing else may begin
//! (`CONCURRENT_TRANSACTIONS`); [`TxnMachine::complete`] or
//! [`TxnMachine::cancel`] ends it.
//!
//! Invariants:
//! - one transit at a time;
//! - the producer epoch never goes back within a producer id;
//! - from PrepareCommit only CompleteCommit follows, from PrepareAbort only
//!   CompleteAbort: the decision stands once it is durable.
//!
//! The rules are those of KIP-98 (transactions), KIP-360 (bumping the epoch
//! of a living producer), KIP-588 (who is fenced how) and KIP-890
//! (`transaction.version` 2). How a transaction ends is in `ending`.

use super::error::TxnError;
use super::image::{
    ClientVersion, EPOCH_LAST, NO_EPOCH, NO_PRODUCER, Producer, TxnImage, TxnOutcome, TxnState,
};
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use std::collections::BTreeSet;
use std::time::Duration;

/// A change that is to be written; see the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transit {
    /// What the id will be.
    pub next: TxnImage,
}

/// What an InitProducerId leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitDecision {
    /// Write this, then answer with its producer.
    Write(Transit),
    /// A retry: answer with the producer as it is (KIP-360).
    Answer(Producer),
    /// An older instance left a transaction open: abort it with a bumped
    /// epoch, then ask again.
    AbortFirst(Transit),
    /// The epochs of this producer id are used up: ask again with a new one.
    NeedsProducerId,
}

/// What an AddPartitionsToTxn leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddDecision {
    /// Write this, then answer.
    Write(Transit),
    /// All of them are in it already.
    AlreadyThere,
}

/// What an EndTxn leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndDecision {
    /// Write this decision, then the markers, then [`TxnMachine::finish`].
    Write(Transit),
    /// It has ended that way already (a retry), or there was nothing to end:
    /// answer with this producer.
    Ended(Producer),
    /// This end uses up the epochs of the producer id: ask again with a new
    /// one.
    NeedsProducerId,
}

/// One transactional id.
#[derive(Debug, Clone)]
pub struct TxnMachine {
    image: TxnImage,
    in_transit: bool,
}

impl TxnMachine {
    /// An id that nobody has used.
    pub fn new(producer_id: ProducerId, now_ms: i64) -> Self {
        Self::restore(TxnImage {
            producer_id,
            epoch: NO_EPOCH,
            previous_producer_id: NO_PRODUCER,
            next_producer_id: NO_PRODUCER,
            previous_epoch: NO_EPOCH,
            timeout: Duration::ZERO,
            state: TxnState::Empty,
            partitions: BTreeSet::new(),
            started_ms: None,
            updated_ms: now_ms,
            client_version: ClientVersion::V1,
        })
    }

    /// An id as a record of `__transaction_state` left it.
    pub fn restore(image: TxnImage) -> Self {
        Self {
            image,
            in_transit: false,
        }
    }

    /// What is durable of it (or about to be, for a completed transaction).
    pub fn image(&self) -> &TxnImage {
        &self.image
    }

    /// The current producer instance.
    pub fn producer(&self) -> Producer {
        Producer {
            id: self.image.producer_id,
            epoch: self.image.epoch,
        }
    }

    /// Whether a transit is being written.
    pub fn in_transit(&self) -> bool {
        self.in_transit
    }

    /// The outcome whose markers are to be written, if one has been decided.
    pub fn decided(&self) -> Option<TxnOutcome> {
        match self.image.state {
            TxnState::PrepareCommit => Some(TxnOutcome::Commit),
            TxnState::PrepareAbort => Some(TxnOutcome::Abort),
            _ => None,
        }
    }

    /// Ends a transit whose record is durable.
    pub fn complete(&mut self, transit: Transit) {
        debug_assert!(self.in_transit, "a transit completes once");
        self.image = transit.next;
        self.in_transit = false;
    }

    /// Holds the id while its image is appended once more, unchanged, or its
    /// tombstone; ends with [`TxnMachine::cancel`]. Whether it could be held.
    pub(super) fn hold(&mut self) -> bool {
        !std::mem::replace(&mut self.in_transit, true)
    }

    /// Ends a transit whose record could not be written.
    pub fn cancel(&mut self) {
        self.in_transit = false;
    }

    /// Begins a producer instance. `expected` is the instance that a living
    /// producer believes to be, when it asks to go on with a bumped epoch
    /// (KIP-360). `fresh` is a new producer id, needed when the epochs of the
    /// old one are used up.
    pub fn init(
        &mut self,
        expected: Option<Producer>,
        fresh: Option<ProducerId>,
        timeout: Duration,
        now_ms: i64,
    ) -> Result<InitDecision, TxnError> {
        self.check_idle()?;
        if expected.is_some_and(|producer| !self.is_ours(producer)) {
            return Err(TxnError::Fenced);
        }
        match self.image.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort | TxnState::Dead => {
                Err(TxnError::ConcurrentTransactions)
            }
            TxnState::Ongoing => {
                // A stale instance that asks for a bump must not end the
                // transaction of the one that took over.
                if expected.is_some_and(|producer| producer != self.producer()) {
                    return Err(TxnError::Fenced);
                }
                Ok(match self.fence(fresh, now_ms) {
                    EndDecision::Write(transit) => InitDecision::AbortFirst(transit),
                    _ => InitDecision::NeedsProducerId,
                })
            }
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => {
                self.begin_instance(expected, fresh, timeout, now_ms)
            }
        }
    }

    fn is_ours(&self, producer: Producer) -> bool {
        let exhausted_before =
            producer.id == self.image.previous_producer_id && producer.epoch >= EPOCH_LAST;
        self.image.epoch == NO_EPOCH || producer.id == self.image.producer_id || exhausted_before
    }

    fn begin_instance(
        &mut self,
        expected: Option<Producer>,
        fresh: Option<ProducerId>,
        timeout: Duration,
        now_ms: i64,
    ) -> Result<InitDecision, TxnError> {
        let current = self.image.epoch;
        let expected_epoch = expected.map(|producer| producer.epoch);
        let exhausted = current >= EPOCH_LAST;
        let mut next = self.image.clone();
        next.state = TxnState::Empty;
        next.timeout = timeout;
        next.partitions.clear();
        next.started_ms = None;
        next.updated_ms = now_ms;
        if exhausted && expected_epoch.is_none_or(|epoch| epoch == current) {
            let Some(fresh) = fresh else {
                return Ok(InitDecision::NeedsProducerId);
            };
            next.previous_epoch = if expected.is_some() {
                current
            } else {
                NO_EPOCH
            };
            next.producer_id = fresh;
            next.epoch = ProducerEpoch(0);
            return Ok(InitDecision::Write(self.begin(next)));
        }
        match expected_epoch {
            // A new instance: forget the last epoch, so that the instance
            // before this one cannot pass for a retry of it.
            None => next.previous_epoch = NO_EPOCH,
            Some(epoch) if current == NO_EPOCH || epoch == current => next.previous_epoch = current,
            // KIP-360: the bump was written, its answer was lost.
            Some(epoch) if epoch == self.image.previous_epoch => {
                return Ok(InitDecision::Answer(self.producer()));
            }
            Some(_) => return Err(TxnError::Fenced),
        }
        next.epoch = ProducerEpoch(current.0 + 1);
        Ok(InitDecision::Write(self.begin(next)))
    }

    /// Adds partitions to the open transaction, or opens one.
    pub fn add_partitions(
        &mut self,
        producer: Producer,
        partitions: &[TopicPartition],
        client: ClientVersion,
        now_ms: i64,
    ) -> Result<AddDecision, TxnError> {
        self.check_producer(producer)?;
        self.check_idle()?;
        match self.image.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => {
                return Err(TxnError::ConcurrentTransactions);
            }
            TxnState::Dead => return Err(TxnError::InvalidProducerIdMapping),
            TxnState::Ongoing if partitions.iter().all(|p| self.image.partitions.contains(p)) => {
                return Ok(AddDecision::AlreadyThere);
            }
            _ => {}
        }
        let mut next = self.image.clone();
        if next.state != TxnState::Ongoing {
            next.partitions.clear();
            next.started_ms = Some(now_ms);
        }
        next.state = TxnState::Ongoing;
        next.partitions.extend(partitions.iter().cloned());
        next.updated_ms = now_ms;
        next.client_version = client;
        Ok(AddDecision::Write(self.begin(next)))
    }

    /// Whether the producer's open transaction includes the partition: asked
    /// before a transactional batch is appended (KIP-890), so that a late
    /// batch cannot open a transaction that nobody will end.
    pub fn verify(&self, producer: Producer, partition: &TopicPartition) -> Result<(), TxnError> {
        self.check_producer(producer)?;
        if matches!(
            self.image.state,
            TxnState::PrepareCommit | TxnState::PrepareAbort
        ) {
            return Err(TxnError::ConcurrentTransactions);
        }
        let open = self.image.state == TxnState::Ongoing;
        if open && self.image.partitions.contains(partition) {
            Ok(())
        } else {
            Err(TxnError::PartitionNotInTransaction)
        }
    }

    /// Whether nobody has used the id for so long that it may be forgotten.
    pub fn has_expired(&self, now_ms: i64, expiration: Duration) -> bool {
        let expiration_ms = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        let idle = matches!(
            self.image.state,
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort
        );
        idle && !self.in_transit && self.image.updated_ms.saturating_add(expiration_ms) <= now_ms
    }

    pub(super) fn check_idle(&self) -> Result<(), TxnError> {
        if self.in_transit {
            Err(TxnError::ConcurrentTransactions)
        } else {
            Ok(())
        }
    }

    pub(super) fn check_producer(&self, producer: Producer) -> Result<(), TxnError> {
        if producer.id != self.image.producer_id {
            return Err(TxnError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.image.epoch {
            return Err(TxnError::Fenced);
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, mut next: TxnImage) -> Transit {
        debug_assert!(!self.in_transit, "one transit at a time");
        next.previous_producer_id = self.image.producer_id;
        self.in_transit = true;
        Transit { next }
    }
}
