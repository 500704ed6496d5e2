//! What is known of a transactional id, and kept in `__transaction_state`.

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

/// The `transaction.version` that a client speaks (KIP-890). The broker serves
/// both side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientVersion {
    /// Adds partitions itself; its epoch changes with InitProducerId only.
    V1,
    /// The broker adds partitions; every end of a transaction bumps the epoch.
    V2,
}

impl ClientVersion {
    /// The version of a request whose version `first` brought version 2.
    pub fn by_version(version: i16, first: i16) -> Self {
        if version >= first { Self::V2 } else { Self::V1 }
    }

    /// The number in `__transaction_state`. Kafka writes 0 for whatever came
    /// before version 2.
    pub(super) fn code(self) -> i16 {
        match self {
            Self::V1 => 0,
            Self::V2 => 2,
        }
    }

    /// The version of a number in `__transaction_state`.
    pub(super) fn from_code(code: i16) -> Self {
        Self::by_version(code, 2)
    }
}

/// No producer epoch.
pub const NO_EPOCH: ProducerEpoch = ProducerEpoch(-1);
/// No producer id.
pub const NO_PRODUCER: ProducerId = ProducerId(-1);
/// The last epoch that a producer is given: the one above is kept for the
/// marker that ends or fences its transaction, after which a new producer id
/// is needed.
pub(super) const EPOCH_LAST: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

/// What is written about a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnImage {
    /// Current producer id.
    pub producer_id: ProducerId,
    /// Current epoch; -1 before the first InitProducerId is written.
    pub epoch: ProducerEpoch,
    /// The producer id before the last change, which mostly is the current
    /// one; another when the epochs of that one had run out.
    pub previous_producer_id: ProducerId,
    /// While a transaction ends that used up the epochs of its producer id:
    /// the id that its producer goes on with; else -1.
    pub next_producer_id: ProducerId,
    /// The epoch before the last bump that a living producer asked for
    /// (KIP-360), else -1: recognises a retried InitProducerId.
    pub previous_epoch: ProducerEpoch,
    /// The producer's transaction timeout.
    pub timeout: Duration,
    /// Where it stands.
    pub state: TxnState,
    /// Partitions in the open or ending transaction.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the open or last transaction began, in milliseconds since the
    /// epoch; none after an InitProducerId.
    pub started_ms: Option<i64>,
    /// When this was last written, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// What the client of the open or last transaction speaks.
    pub client_version: ClientVersion,
}

impl TxnImage {
    /// The instance that the producer goes on as when the transaction that is
    /// being ended has ended.
    pub(super) fn successor(&self) -> Producer {
        if self.next_producer_id == NO_PRODUCER {
            return Producer {
                id: self.producer_id,
                epoch: self.epoch,
            };
        }
        Producer {
            id: self.next_producer_id,
            epoch: ProducerEpoch(0),
        }
    }
}
