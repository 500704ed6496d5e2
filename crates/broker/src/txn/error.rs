//! What a transaction operation can end with, other than well.

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
    /// The transaction can only be aborted.
    #[error("the transaction must be aborted")]
    Abortable,
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
