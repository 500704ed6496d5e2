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
//! of a living producer) and KIP-588 (who is fenced how).

use super::error::TxnError;
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where a transactional id stands. The numbers are those of
/// `__transaction_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnState {
    /// A producer, no transaction yet.
    Empty,
    /// Partitions have been added.
    Ongoing,
    /// Decided to commit; markers are being written.
    PrepareCommit,
    /// Decided to abort; markers are being written.
    PrepareAbort,
    /// Committed.
    CompleteCommit,
    /// Aborted.
    CompleteAbort,
    /// Being forgotten.
    Dead,
}

impl TxnState {
    /// The number in `__transaction_state`.
    pub fn code(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
            Self::Dead => 6,
        }
    }

    /// The state of a number in `__transaction_state`.
    pub fn from_code(code: i8) -> Option<Self> {
        let all = [
            Self::Empty,
            Self::Ongoing,
            Self::PrepareCommit,
            Self::PrepareAbort,
            Self::CompleteCommit,
            Self::CompleteAbort,
            Self::Dead,
        ];
        all.into_iter().find(|state| state.code() == code)
    }

    /// Kafka's name, as in DescribeTransactions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
        }
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Its records become visible.
    Commit,
    /// Its records never become visible.
    Abort,
}

/// A producer instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Producer {
    /// Producer id.
    pub id: ProducerId,
    /// Fences older instances of the same id.
    pub epoch: ProducerEpoch,
}

/// No producer epoch.
pub const NO_EPOCH: ProducerEpoch = ProducerEpoch(-1);
/// No producer id.
pub const NO_PRODUCER: ProducerId = ProducerId(-1);
/// From here on a new producer id is needed: the last epoch is kept for the
/// fence of a timeout.
const EXHAUSTED_EPOCH: i16 = i16::MAX - 1;

/// What is written about a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnImage {
    /// Current producer id.
    pub producer_id: ProducerId,
    /// Current epoch; -1 before the first InitProducerId is written.
    pub epoch: ProducerEpoch,
    /// The producer id before the epoch ran out, else -1.
    pub previous_producer_id: ProducerId,
    /// The epoch before the last bump that a living producer asked for
    /// (KIP-360), else -1: recognises a retried InitProducerId.
    pub previous_epoch: ProducerEpoch,
    /// The producer's transaction timeout.
    pub timeout: Duration,
    /// Where it stands.
    pub state: TxnState,
    /// Partitions in the open or ending transaction.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the open transaction began, in milliseconds since the epoch.
    pub started_ms: Option<i64>,
    /// When this was last written, in milliseconds since the epoch.
    pub updated_ms: i64,
}

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
    /// It has ended that way already (a retry), or there was nothing to end.
    AlreadyEnded,
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
            previous_epoch: NO_EPOCH,
            timeout: Duration::ZERO,
            state: TxnState::Empty,
            partitions: BTreeSet::new(),
            started_ms: None,
            updated_ms: now_ms,
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
                let transit = self.fence(now_ms);
                Ok(InitDecision::AbortFirst(transit))
            }
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => {
                self.begin_instance(expected, fresh, timeout, now_ms)
            }
        }
    }

    fn is_ours(&self, producer: Producer) -> bool {
        let exhausted_before =
            producer.id == self.image.previous_producer_id && producer.epoch.0 >= EXHAUSTED_EPOCH;
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
        let exhausted = current.0 >= EXHAUSTED_EPOCH;
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
            next.previous_producer_id = self.image.producer_id;
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

    /// Decides how the open transaction ends.
    pub fn end(
        &mut self,
        producer: Producer,
        outcome: TxnOutcome,
        now_ms: i64,
    ) -> Result<EndDecision, TxnError> {
        self.check_producer(producer)?;
        self.check_idle()?;
        match (self.image.state, outcome) {
            (TxnState::Ongoing, _) => Ok(EndDecision::Write(self.decide(outcome, now_ms))),
            // A transaction that added nothing ends as its owner likes.
            (TxnState::Empty, _)
            | (TxnState::CompleteCommit, TxnOutcome::Commit)
            | (TxnState::CompleteAbort, TxnOutcome::Abort) => Ok(EndDecision::AlreadyEnded),
            (TxnState::PrepareCommit, TxnOutcome::Commit)
            | (TxnState::PrepareAbort, TxnOutcome::Abort) => Err(TxnError::ConcurrentTransactions),
            (TxnState::Dead, _) => Err(TxnError::InvalidProducerIdMapping),
            _ => Err(TxnError::InvalidState),
        }
    }

    /// Whether the open transaction has used up its time.
    pub fn has_timed_out(&self, now_ms: i64) -> bool {
        let timeout_ms = i64::try_from(self.image.timeout.as_millis()).unwrap_or(i64::MAX);
        let started = self
            .image
            .started_ms
            .filter(|_| self.image.state == TxnState::Ongoing);
        started.is_some_and(|started| started.saturating_add(timeout_ms) <= now_ms)
    }

    /// Aborts a transaction that has used up its time; its producer is fenced.
    pub fn time_out(&mut self, now_ms: i64) -> Result<Transit, TxnError> {
        self.check_idle()?;
        if !self.has_timed_out(now_ms) {
            return Err(TxnError::InvalidState);
        }
        Ok(self.fence(now_ms))
    }

    /// The record that says that all markers are written.
    pub fn finish(&mut self, now_ms: i64) -> Result<Transit, TxnError> {
        self.check_idle()?;
        let state = match self.image.state {
            TxnState::PrepareCommit => TxnState::CompleteCommit,
            TxnState::PrepareAbort => TxnState::CompleteAbort,
            _ => return Err(TxnError::InvalidState),
        };
        let mut next = self.image.clone();
        next.state = state;
        next.partitions.clear();
        next.started_ms = None;
        next.updated_ms = now_ms;
        Ok(self.begin(next))
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

    /// Turns the id dead before its tombstone is written.
    pub fn begin_forgetting(&mut self) -> Result<Transit, TxnError> {
        self.check_idle()?;
        let mut next = self.image.clone();
        next.state = TxnState::Dead;
        Ok(self.begin(next))
    }

    fn check_idle(&self) -> Result<(), TxnError> {
        if self.in_transit {
            Err(TxnError::ConcurrentTransactions)
        } else {
            Ok(())
        }
    }

    fn check_producer(&self, producer: Producer) -> Result<(), TxnError> {
        if producer.id != self.image.producer_id {
            return Err(TxnError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.image.epoch {
            return Err(TxnError::Fenced);
        }
        Ok(())
    }

    /// An abort with a bumped epoch: whatever the fenced instance still sends
    /// is refused by the partitions from the marker on.
    fn fence(&mut self, now_ms: i64) -> Transit {
        let mut transit = self.decide(TxnOutcome::Abort, now_ms);
        if let Some(epoch) = transit.next.epoch.0.checked_add(1) {
            transit.next.epoch = ProducerEpoch(epoch);
            transit.next.previous_epoch = NO_EPOCH;
        }
        transit
    }

    fn decide(&mut self, outcome: TxnOutcome, now_ms: i64) -> Transit {
        let mut next = self.image.clone();
        next.state = match outcome {
            TxnOutcome::Commit => TxnState::PrepareCommit,
            TxnOutcome::Abort => TxnState::PrepareAbort,
        };
        next.updated_ms = now_ms;
        self.begin(next)
    }

    fn begin(&mut self, next: TxnImage) -> Transit {
        self.in_transit = true;
        Transit { next }
    }
}
