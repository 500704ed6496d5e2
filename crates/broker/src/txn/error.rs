//! What a transaction operation can end with, other than well.

use millstream_wire::ErrorCode;

/// Why the transaction coordinator refused. Each maps to one Kafka error
/// code, for [`TxnError::Fenced`] by version of the request.
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

/// How a request is told that its producer is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FencedAs {
    /// `INVALID_PRODUCER_EPOCH`: what was there before KIP-588.
    InvalidProducerEpoch,
    /// `PRODUCER_FENCED`, since KIP-588: fatal for the producer.
    ProducerFenced,
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

impl TxnError {
    /// The error's code; being fenced is told by version.
    pub fn to_code(self, fenced: FencedAs) -> ErrorCode {
        match (self, fenced) {
            (Self::Fenced, FencedAs::ProducerFenced) => ErrorCode::ProducerFenced,
            (Self::Fenced, FencedAs::InvalidProducerEpoch) => ErrorCode::InvalidProducerEpoch,
            (Self::InvalidRequest, _) => ErrorCode::InvalidRequest,
            (Self::InvalidTimeout, _) => ErrorCode::InvalidTransactionTimeout,
            (Self::InvalidProducerIdMapping, _) => ErrorCode::InvalidProducerIdMapping,
            (Self::ConcurrentTransactions, _) => ErrorCode::ConcurrentTransactions,
            (Self::InvalidState | Self::PartitionNotInTransaction, _) => ErrorCode::InvalidTxnState,
            (Self::LoadInProgress, _) => ErrorCode::CoordinatorLoadInProgress,
            (Self::NotAvailable | Self::TooManyIds, _) => ErrorCode::CoordinatorNotAvailable,
            (Self::NotCoordinator, _) => ErrorCode::NotCoordinator,
            (Self::Storage, _) => ErrorCode::UnknownServerError,
        }
    }
}

/// The number of a result's error code, 0 when it is well.
pub fn code_of<T>(result: &Result<T, TxnError>, fenced: FencedAs) -> i16 {
    result
        .as_ref()
        .err()
        .map_or(0, |error| error.to_code(fenced).code())
}
