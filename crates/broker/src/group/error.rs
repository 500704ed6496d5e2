//! What a group operation can end with, other than well.

use millstream_wire::ErrorCode;

/// Why the group coordinator refused. Each maps to one Kafka error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group id is empty or too long.
    #[error("the group id is empty or too long")]
    InvalidGroupId,
    /// The group does not exist.
    #[error("the group does not exist")]
    GroupIdNotFound,
    /// The group still has members.
    #[error("the group still has members")]
    NonEmptyGroup,
    /// A member reads the topic whose offset would be deleted.
    #[error("a member of the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    /// The session timeout is outside the configured range.
    #[error("the session timeout is outside the allowed range")]
    InvalidSessionTimeout,
    /// The member must join again with the id it was just given (KIP-394).
    #[error("join again with the member id of this answer")]
    MemberIdRequired,
    /// No such member; it must join again.
    #[error("the member is not in the group")]
    UnknownMember,
    /// Another process has taken over this `group.instance.id` (KIP-345).
    #[error("another member has taken over this group instance id")]
    FencedInstanceId,
    /// The member is of an older generation.
    #[error("the generation is not the current one")]
    IllegalGeneration,
    /// A rebalance is under way; the member must join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The member shares no assignor with the others, or names another kind
    /// of protocol.
    #[error("the member's protocols do not fit those of the group")]
    InconsistentProtocol,
    /// The group is full.
    #[error("the group has reached its maximum size")]
    GroupMaxSizeReached,
    /// The commit is larger than a batch may be.
    #[error("the offsets committed at once are too many")]
    CommitTooLarge,
    /// The text committed with an offset is too long.
    #[error("the metadata committed with the offset is too long")]
    OffsetMetadataTooLarge,
    /// The group's state is being read from the log.
    #[error("the coordinator is loading the group")]
    LoadInProgress,
    /// The coordinator cannot serve this group now; ask again.
    #[error("the coordinator is not available")]
    NotAvailable,
    /// This node does not coordinate this group.
    #[error("this node is not the coordinator of the group")]
    NotCoordinator,
    /// A transactional offset is pending (KIP-447).
    #[error("an open transaction has a pending offset")]
    UnstableOffsetCommit,
    /// The producer of a transactional commit is of an older epoch.
    #[error("a newer instance of the producer has taken over")]
    ProducerFenced,
    /// The member has lost touch and must join again (KIP-848).
    #[error("the member epoch is not the current one: abandon all partitions and join again")]
    FencedMemberEpoch,
    /// The commit or fetch is of another member epoch (KIP-848).
    #[error("the member epoch is stale")]
    StaleMemberEpoch,
    /// A living member has this `group.instance.id` (KIP-848).
    #[error("the instance id is held by another member that has not left")]
    UnreleasedInstanceId,
    /// The broker does not offer this assignor.
    #[error("the assignor is not one of those of group.consumer.assignors")]
    UnsupportedAssignor,
    /// The pattern cannot be compiled.
    #[error("SubscribedTopicRegex is not a valid regular expression, or too large")]
    InvalidRegularExpression,
    /// The version of the request does not suit the group's protocol.
    #[error("this version of the request knows no member epochs")]
    UnsupportedVersion,
    /// A ConsumerGroupHeartbeat that contradicts itself, in Kafka's words.
    #[error("{0}")]
    InvalidHeartbeat(&'static str),
    /// The request contradicts itself or breaks a bound.
    #[error("the request is not valid")]
    InvalidRequest,
    /// The log of the group's partition has failed. To a client that is a
    /// coordinator that has gone, as Kafka says it of KAFKA_STORAGE_ERROR: it
    /// looks for the next one, which a restart gives it.
    #[error("the group's record could not be written")]
    Storage,
}

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::InvalidGroupId => Self::InvalidGroupId,
            GroupError::GroupIdNotFound => Self::GroupIdNotFound,
            GroupError::NonEmptyGroup => Self::NonEmptyGroup,
            GroupError::GroupSubscribedToTopic => Self::GroupSubscribedToTopic,
            GroupError::InvalidSessionTimeout => Self::InvalidSessionTimeout,
            GroupError::MemberIdRequired => Self::MemberIdRequired,
            GroupError::UnknownMember => Self::UnknownMemberId,
            GroupError::FencedInstanceId => Self::FencedInstanceId,
            GroupError::IllegalGeneration => Self::IllegalGeneration,
            GroupError::RebalanceInProgress => Self::RebalanceInProgress,
            GroupError::InconsistentProtocol => Self::InconsistentGroupProtocol,
            GroupError::GroupMaxSizeReached => Self::GroupMaxSizeReached,
            GroupError::OffsetMetadataTooLarge => Self::OffsetMetadataTooLarge,
            GroupError::CommitTooLarge => Self::InvalidCommitOffsetSize,
            GroupError::LoadInProgress => Self::CoordinatorLoadInProgress,
            GroupError::NotAvailable => Self::CoordinatorNotAvailable,
            GroupError::NotCoordinator => Self::NotCoordinator,
            GroupError::UnstableOffsetCommit => Self::UnstableOffsetCommit,
            GroupError::ProducerFenced => Self::InvalidProducerEpoch,
            GroupError::FencedMemberEpoch => Self::FencedMemberEpoch,
            GroupError::StaleMemberEpoch => Self::StaleMemberEpoch,
            GroupError::UnreleasedInstanceId => Self::UnreleasedInstanceId,
            GroupError::UnsupportedAssignor => Self::UnsupportedAssignor,
            GroupError::InvalidRegularExpression => Self::InvalidRegularExpression,
            GroupError::UnsupportedVersion => Self::UnsupportedVersion,
            GroupError::InvalidHeartbeat(_) | GroupError::InvalidRequest => Self::InvalidRequest,
            GroupError::Storage => Self::NotCoordinator,
        }
    }
}

impl GroupError {
    /// The number of the error code.
    pub fn code(self) -> i16 {
        ErrorCode::from(self).code()
    }
}

/// The number of a result's error code, 0 when it is well.
pub fn code_of<T>(result: &Result<T, GroupError>) -> i16 {
    result.as_ref().err().map_or(0, |error| error.code())
}
