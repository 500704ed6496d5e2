//! What a transaction operation can end with, other than well.

use millstream_wire::ErrorCode;

/// Why the transaction coordinator refused. Each maps to one Kafka error
/// code, some by version of the request: see [`Dialect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// The request contradicts itself or breaks a bound.
    #[error("the request is not valid")]
    InvalidRequest,
    /// The timeout is not positive or above the configured maximum.
    #[error("the transaction timeout is not positive or above the maximum")]
    InvalidTimeout,
    /// The transactional id and the producer id do not belong together, or
    /// the id has expired.
    #[error("the producer id does not belong to the transactional id")]
    InvalidProducerIdMapping,
    /// A newer instance has taken over, or the transaction timed out.
    #[error("fenced: a newer instance has taken over, or the transaction timed out")]
    Fenced,
    /// An earlier step of the same id is not finished; ask again.
    #[error("an earlier step of this transactional id is not finished")]
    ConcurrentTransactions,
    /// The transaction is not in a state that allows this.
    #[error("the transaction is not in a state that allows this")]
    InvalidState,
    /// The transaction does not include the partition.
    #[error("the transaction does not include the partition")]
    PartitionNotInTransaction,
    /// The coordinator's state is being read from the log.
    #[error("the coordinator is loading the transactional id")]
    LoadInProgress,
    /// The coordinator cannot serve this id now; ask again.
    #[error("the coordinator is not available")]
    NotAvailable,
    /// This node does not coordinate this id.
    #[error("this node is not the coordinator of the transactional id")]
    NotCoordinator,
    /// The coordinator keeps as many transactional ids as it may.
    #[error("too many transactional ids")]
    TooManyIds,
    /// The log refused the record for good.
    #[error("the transaction's record could not be written")]
    Storage,
}

/// Which of Kafka's codes a version of a request knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The code for [`TxnError::Fenced`].
    pub fenced: FencedAs,
    /// The code for [`TxnError::PartitionNotInTransaction`].
    pub outside: OutsideAs,
}

/// How a request is told that its producer is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FencedAs {
    /// `INVALID_PRODUCER_EPOCH`: what was there before KIP-588.
    InvalidProducerEpoch,
    /// `PRODUCER_FENCED`, since KIP-588: fatal for the producer.
    ProducerFenced,
}

/// How a request is told that a partition is not in the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideAs {
    /// `INVALID_TXN_STATE`: fatal for the producer.
    InvalidTxnState,
    /// `TRANSACTION_ABORTABLE`, since KIP-890: the producer aborts and goes on.
    TransactionAbortable,
}

impl FencedAs {
    /// The way of a request whose version `first` brought KIP-588.
    pub fn by_version(version: i16, first: i16) -> Self {
        if version >= first {
            Self::ProducerFenced
        } else {
            Self::InvalidProducerEpoch
        }
    }
}

impl OutsideAs {
    /// The way of a request whose version `first` brought KIP-890.
    pub fn by_version(version: i16, first: i16) -> Self {
        if version >= first {
            Self::TransactionAbortable
        } else {
            Self::InvalidTxnState
        }
    }
}

impl From<FencedAs> for Dialect {
    /// Of requests that never ask about single partitions.
    fn from(fenced: FencedAs) -> Self {
        Self {
            fenced,
            outside: OutsideAs::InvalidTxnState,
        }
    }
}

impl TxnError {
    /// The error's code, as the version of the request knows it.
    pub fn to_code(self, dialect: impl Into<Dialect>) -> ErrorCode {
        let dialect = dialect.into();
        match self {
            Self::Fenced => match dialect.fenced {
                FencedAs::ProducerFenced => ErrorCode::ProducerFenced,
                FencedAs::InvalidProducerEpoch => ErrorCode::InvalidProducerEpoch,
            },
            Self::PartitionNotInTransaction => match dialect.outside {
                OutsideAs::TransactionAbortable => ErrorCode::TransactionAbortable,
                OutsideAs::InvalidTxnState => ErrorCode::InvalidTxnState,
            },
            Self::InvalidRequest => ErrorCode::InvalidRequest,
            Self::InvalidTimeout => ErrorCode::InvalidTransactionTimeout,
            Self::InvalidProducerIdMapping => ErrorCode::InvalidProducerIdMapping,
            Self::ConcurrentTransactions => ErrorCode::ConcurrentTransactions,
            Self::InvalidState => ErrorCode::InvalidTxnState,
            Self::LoadInProgress => ErrorCode::CoordinatorLoadInProgress,
            Self::NotAvailable | Self::TooManyIds => ErrorCode::CoordinatorNotAvailable,
            Self::NotCoordinator => ErrorCode::NotCoordinator,
            Self::Storage => ErrorCode::NotCoordinator,
        }
    }
}

/// The number of a result's error code, 0 when it is well.
pub fn code_of<T>(result: &Result<T, TxnError>, dialect: impl Into<Dialect>) -> i16 {
    result
        .as_ref()
        .err()
        .map_or(0, |error| error.to_code(dialect).code())
}
