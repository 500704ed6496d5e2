//! librdkafka's errors as the bus's.

use millstream_core::ports::BusError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What an error means to a caller of the bus. `subject` is the topic, group
/// or transactional id concerned.
pub(super) fn bus_error(error: KafkaError, subject: &str) -> BusError {
    if let KafkaError::Transaction(transaction) = &error {
        let code = transaction.code();
        if is_fenced(code) {
            return BusError::Fenced(subject.to_owned());
        }
        let text = transaction.string();
        if transaction.txn_requires_abort() {
            return BusError::AbortRequired(text);
        }
        if transaction.is_retriable() {
            return BusError::Retriable(text);
        }
        return code_error(code, subject, text);
    }
    let text = error.to_string();
    match &error {
        KafkaError::AdminOp(code) => code_error(*code, subject, text),
        KafkaError::ClientConfig(..) | KafkaError::Nul(_) => BusError::Invalid(text),
        KafkaError::Canceled => BusError::Retriable(text),
        other => match other.rdkafka_error_code() {
            Some(code) => code_error(code, subject, text),
            None => BusError::Fatal(text),
        },
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}

/// What an error code means.
pub(super) fn code_error(code: RDKafkaErrorCode, subject: &str, text: String) -> BusError {
    use RDKafkaErrorCode as Code;
    if is_fenced(code) {
        return BusError::Fenced(subject.to_owned());
    }
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            BusError::UnknownTopic(subject.to_owned())
        }
        Code::TopicAlreadyExists => BusError::TopicExists(subject.to_owned()),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            BusError::TooLarge(text)
        }
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::InvalidRequest
        | Code::InvalidArgument
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout => BusError::Invalid(text),
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::WaitingForCoordinator
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::ConcurrentTransactions
        | Code::QueueFull => BusError::Retriable(text),
        _ => BusError::Fatal(text),
    }
}
