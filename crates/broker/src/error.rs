//! The one place where our errors become Kafka's error codes.

use millstream_cluster::configs::ConfigError;
use millstream_cluster::{ClusterError, Refusal};
use millstream_log::{AppendError, LogError, ReadError};
use millstream_wire::ErrorCode;

/// An error as a response tells it: a code, and words where the version has
/// room for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The code.
    pub code: ErrorCode,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn unknown_topic(name: &str) -> Self {
        Self::new(
            ErrorCode::UnknownTopicOrPartition,
            format!("topic '{name}' does not exist"),
        )
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            Refusal::TopicCollides { .. } | Refusal::InvalidTopicName(_) => {
                ErrorCode::InvalidTopicException
            }
            Refusal::UnknownTopic(_) | Refusal::UnknownPartition { .. } => {
                ErrorCode::UnknownTopicOrPartition
            }
            Refusal::TopicIdMismatch(_) => ErrorCode::UnknownTopicId,
            Refusal::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            Refusal::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            Refusal::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            Refusal::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Refusal::UnknownBroker(_) => ErrorCode::BrokerIdNotRegistered,
            Refusal::LimitReached(_) => ErrorCode::PolicyViolation,
            // Not reachable from the Kafka protocol.
            Refusal::SqlObjectExists(_)
            | Refusal::UnknownSqlObject(_)
            | Refusal::JobExists(_)
            | Refusal::UnknownJob(_)
            | Refusal::UnknownDashboard(_) => ErrorCode::UnknownServerError,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<ClusterError> for ApiError {
    fn from(error: ClusterError) -> Self {
        let code = match error {
            ClusterError::Refused(refusal) => return refusal.into(),
            ClusterError::NotLeader(_) => ErrorCode::NotController,
            ClusterError::Stopped(_) | ClusterError::Io(_) => ErrorCode::KafkaStorageError,
            ClusterError::NoLeader(_) => ErrorCode::RequestTimedOut,
            ClusterError::OtherNode { .. }
            | ClusterError::Emptied(_)
            | ClusterError::Locked(_)
            | ClusterError::InvalidNodeId(_) => ErrorCode::UnknownServerError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorCode::InvalidConfig, error.to_string())
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::Corrupt(_) => ErrorCode::CorruptMessage,
            AppendError::InvalidRecord(_) | AppendError::Keyless { .. } => ErrorCode::InvalidRecord,
            AppendError::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
            AppendError::TooLarge { .. } | AppendError::Expands { .. } => {
                ErrorCode::MessageTooLarge
            }
            AppendError::ListTooLarge { .. } => ErrorCode::RecordListTooLarge,
            AppendError::InvalidTimestamp { .. } | AppendError::TimestampType { .. } => {
                ErrorCode::InvalidTimestamp
            }
            AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            AppendError::InvalidTxnState(_) => ErrorCode::InvalidTxnState,
            AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            AppendError::StaleLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
            AppendError::Failed(_) | AppendError::Io { .. } => ErrorCode::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
            ReadError::Io { .. } => ErrorCode::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let message = error.to_string();
        let code = match error {
            LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            LogError::Unknown(_) => ErrorCode::UnknownTopicOrPartition,
            LogError::Read(read) => return read.into(),
            LogError::Failed(_) | LogError::Io { .. } => ErrorCode::KafkaStorageError,
        };
        Self::new(code, message)
    }
}
