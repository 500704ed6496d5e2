//! The records of `__consumer_offsets`, as Kafka writes them.
//!
//! A key's version says what the record is: see [`ConsumerOffsetsKey`].

use crate::codec::{DecodeError, EncodeError, Message, Reader, encode_versioned};
use bytes::Bytes;
use uuid::Uuid;

crate::message! {
    /// The key of a committed offset.
    pub struct OffsetCommitKey(0-1) {
        /// Id of the group.
        group: String [0+],
        /// Topic name.
        topic: String [0+],
        /// Partition number.
        partition: i32 [0+],
    }
}

crate::message! {
    /// A committed offset.
    pub struct OffsetCommitValue(0-4, flexible 4+) {
        /// Offset of the next record to read.
        offset: i64 [0+],
        /// Leader epoch of the last record read; -1 is unknown.
        leader_epoch: i32 [3+, default(-1), ignorable],
        /// Free text that comes back with the offset.
        metadata: String [0+],
        /// When it was committed, in milliseconds since 1970.
        commit_timestamp: i64 [0+],
        /// When it expires, in milliseconds since 1970; -1 for by the retention.
        expire_timestamp: i64 [1, default(-1), ignorable],
        /// Id of the topic (KIP-516).
        topic_id: Uuid [4+, tag(0), ignorable],
    }
}

crate::message! {
    /// The key of a classic group.
    pub struct GroupMetadataKey(2-2) {
        /// Id of the group.
        group: String [2+],
    }
}

crate::message! {
    /// A classic group: its members and its generation.
    pub struct GroupMetadataValue(0-4, flexible 4+) {
        /// What the group is for: `consumer` for consumers.
        protocol_type: String [0+],
        /// Generation of the group.
        generation: i32 [0+],
        /// Name of the chosen protocol; null without members.
        protocol: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Member id of the leader; null without members.
        leader: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// When the state was entered, in milliseconds since 1970; -1 is unknown.
        current_state_timestamp: i64 [2+, default(-1), ignorable],
        /// Members.
        members: Vec<MemberMetadata> [0+],
    }

    /// One of the `members` of [`GroupMetadataValue`].
    pub struct MemberMetadata {
        /// Id of the member.
        member_id: String [0+],
        /// Id of a static member (KIP-345); null is none.
        group_instance_id: Option<String> [3+, nullable(3+), ignorable],
        /// What the member calls its client.
        client_id: String [0+],
        /// Where the member connects from.
        client_host: String [0+],
        /// Milliseconds to join again in a rebalance; -1 for the session timeout.
        rebalance_timeout: i32 [1+, default(-1), ignorable],
        /// Milliseconds without a heartbeat after which the member is dead.
        session_timeout: i32 [0+],
        /// What it sent with the chosen protocol.
        subscription: Bytes [0+],
        /// What the leader gave it.
        assignment: Bytes [0+],
    }
}

/// The version at which committed offsets are keyed: 0 was keyed before
/// Kafka 0.9.
const OFFSET_COMMIT_KEY_VERSION: i16 = 1;
/// The version at which classic groups are keyed.
const GROUP_METADATA_KEY_VERSION: i16 = 2;

/// What a record of `__consumer_offsets` is about: the version of its key is
/// the record's type.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerOffsetsKey {
    /// A committed offset; the value is an [`OffsetCommitValue`], or null when
    /// it is gone.
    Offset(OffsetCommitKey),
    /// A classic group; the value is a [`GroupMetadataValue`], or null when it
    /// is gone.
    Group(GroupMetadataKey),
    /// A record of a type that is not known here, as those of KIP-848: to be
    /// kept, and skipped by a reader.
    Other(i16),
}

impl ConsumerOffsetsKey {
    /// Reads the key of a record.
    pub fn decode(key: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        match reader.i16()? {
            version @ 0..=OFFSET_COMMIT_KEY_VERSION => {
                OffsetCommitKey::decode(version, &mut reader).map(Self::Offset)
            }
            version @ GROUP_METADATA_KEY_VERSION => {
                GroupMetadataKey::decode(version, &mut reader).map(Self::Group)
            }
            other => Ok(Self::Other(other)),
        }
    }

    /// Writes the key of a record; a key of an unknown type cannot be.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            Self::Offset(key) => encode_versioned(key, OFFSET_COMMIT_KEY_VERSION),
            Self::Group(key) => encode_versioned(key, GROUP_METADATA_KEY_VERSION),
            &Self::Other(version) => Err(EncodeError::UnsupportedVersion {
                message: "ConsumerOffsetsKey",
                version,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_their_version() {
        let offset = ConsumerOffsetsKey::Offset(OffsetCommitKey {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 7,
        });
        let bytes = offset.encode().unwrap();
        assert_eq!(&bytes[..], [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 7]);
        assert_eq!(ConsumerOffsetsKey::decode(bytes), Ok(offset));

        let group = ConsumerOffsetsKey::Group(GroupMetadataKey {
            group: "g".to_owned(),
        });
        let bytes = group.encode().unwrap();
        assert_eq!(&bytes[..], [0, 2, 0, 1, b'g']);
        assert_eq!(ConsumerOffsetsKey::decode(bytes), Ok(group));

        let newer = Bytes::from_static(&[0, 3, 9, 9]);
        assert_eq!(
            ConsumerOffsetsKey::decode(newer),
            Ok(ConsumerOffsetsKey::Other(3))
        );
        assert!(ConsumerOffsetsKey::decode(Bytes::from_static(&[0])).is_err());
    }
}
