//! librdkafka's errors as the bus's.
//!
//! librdkafka reports far more than it gives up on: lost connections, brokers
//! that leave its list, partitions between two leaders. It mends all of these
//! by itself, and the call or the read that met them is worth repeating.
//! Only what it says is fatal, fencing, and what it cannot know to pass is an
//! end.

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
        KafkaError::MessageConsumptionFatal(code) => fatal_error(*code, subject, text),
        other => match other.rdkafka_error_code() {
            Some(code) => code_error(code, subject, text),
            None => BusError::Fatal(text),
        },
    }
}

/// What the error means after which a client does nothing any more.
pub(super) fn fatal_error(code: RDKafkaErrorCode, subject: &str, text: String) -> BusError {
    if is_fenced(code) {
        BusError::Fenced(subject.to_owned())
    } else {
        BusError::Fatal(text)
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
        code if passes(code) => BusError::Retriable(text),
        _ => BusError::Fatal(text),
    }
}

/// Whether librdkafka mends it by itself, or asking again does: brokers and
/// leaders that come and go, and time-outs.
fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        // Connections, and brokers that leave or enter the list of them while
        // a request is under way.
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::NodeUpdate
            | Code::UnknownBroker
            | Code::BrokerNotAvailable
            | Code::NetworkException
            // Time.
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::QueueFull
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Retry
            | Code::Interrupted
            // What a client knows of the cluster is old.
            | Code::WaitCache
            | Code::WaitingForCoordinator
            | Code::Outdated
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::ListenerNotFound
            | Code::StaleBrokerEpoch
            | Code::UnknownTopicId
            // Leaders, coordinators and replicas between two states.
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::ISRInsufficient
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
    )
}

/// What an error that came instead of a record means to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All of a partition has been read: no error at all.
    EndOfPartition,
    /// A position is no longer, or not yet, in a partition's log.
    OutOfRange,
    /// The topic is not there, or a broker that has just started does not
    /// know it yet.
    TopicUnknown,
    /// librdkafka goes on by itself.
    Passing,
    /// The reader ends.
    Lasting,
}

/// What an error that came instead of a record means.
pub(super) fn reading(error: &KafkaError) -> Reading {
    use RDKafkaErrorCode as Code;
    match error {
        KafkaError::PartitionEOF(_) => Reading::EndOfPartition,
        KafkaError::MessageConsumptionFatal(_) => Reading::Lasting,
        other => match other.rdkafka_error_code() {
            Some(Code::PartitionEOF) => Reading::EndOfPartition,
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Reading::OutOfRange,
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
                Reading::TopicUnknown
            }
            Some(code) if passes(code) => Reading::Passing,
            _ => Reading::Lasting,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    /// What was seen while brokers of a cluster of three were killed in turn,
    /// and what is like it.
    const MENDED: [Code; 14] = [
        Code::BrokerTransportFailure,
        Code::DestroyBroker,
        Code::BrokerDestroy,
        Code::AllBrokersDown,
        Code::Resolve,
        Code::OperationTimedOut,
        Code::NotLeaderForPartition,
        Code::LeaderNotAvailable,
        Code::FencedLeaderEpoch,
        Code::UnknownLeaderEpoch,
        Code::OffsetNotAvailable,
        Code::CoordinatorNotAvailable,
        Code::NotEnoughReplicas,
        Code::NetworkException,
    ];

    #[test]
    fn what_librdkafka_mends_ends_no_reader_and_is_worth_another_try() {
        for code in MENDED {
            for error in [
                KafkaError::MessageConsumption(code),
                KafkaError::Global(code),
            ] {
                assert_eq!(reading(&error), Reading::Passing, "{code:?}");
            }
            for error in [
                KafkaError::MetadataFetch(code),
                KafkaError::OffsetFetch(code),
                KafkaError::AdminOp(code),
                KafkaError::Global(code),
            ] {
                let known = bus_error(error, "orders");
                assert!(
                    matches!(known, BusError::Retriable(_)),
                    "{code:?}: {known:?}"
                );
            }
        }
    }

    #[test]
    fn the_end_of_a_partition_is_no_error() {
        for error in [
            KafkaError::PartitionEOF(3),
            KafkaError::Global(Code::PartitionEOF),
        ] {
            assert_eq!(reading(&error), Reading::EndOfPartition);
        }
    }

    #[test]
    fn fatal_errors_and_what_nobody_can_mend_end_a_reader() {
        for error in [
            KafkaError::MessageConsumptionFatal(Code::BrokerTransportFailure),
            KafkaError::MessageConsumption(Code::Authentication),
            KafkaError::MessageConsumption(Code::TopicAuthorizationFailed),
            // Bytes that cannot be read must not be passed over in silence.
            KafkaError::MessageConsumption(Code::BadMessage),
            KafkaError::MessageConsumption(Code::BadCompression),
            KafkaError::MessageConsumption(Code::Unknown),
        ] {
            assert_eq!(reading(&error), Reading::Lasting, "{error:?}");
            let known = bus_error(error, "orders");
            assert!(matches!(known, BusError::Fatal(_)), "{known:?}");
        }
    }

    #[test]
    fn positions_and_topics_that_are_gone_are_looked_into() {
        let of = |code| reading(&KafkaError::MessageConsumption(code));
        assert_eq!(of(Code::AutoOffsetReset), Reading::OutOfRange);
        assert_eq!(of(Code::UnknownTopicOrPartition), Reading::TopicUnknown);
    }

    #[test]
    fn fencing_is_fencing_however_it_is_told() {
        for code in [
            Code::Fenced,
            Code::ProducerFenced,
            Code::InvalidProducerEpoch,
        ] {
            for error in [
                KafkaError::Global(code),
                KafkaError::MessageConsumptionFatal(code),
            ] {
                assert_eq!(
                    bus_error(error, "job"),
                    BusError::Fenced("job".to_owned()),
                    "{code:?}"
                );
            }
        }
    }
}
