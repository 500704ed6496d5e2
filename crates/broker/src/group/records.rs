//! The records of `__consumer_offsets`, in Kafka's own formats.
//!
//! Written are the versions that every Kafka since 2.3 reads: offsets in
//! version 3 (1 with an expiry of their own), groups in version 3.

use super::consumer::{self, ConsumerRecord};
use super::error::GroupError;
use super::machine::{GroupSnapshot, MemberSnapshot};
use super::offsets::CommittedOffset;
use crate::txn::Producer;
use bytes::Bytes;
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::codec::{DecodeError, EncodeError, decode_versioned, encode_versioned};
use millstream_wire::records::consumer_offsets::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use std::time::Duration;

const OFFSET_KEY_VERSION: i16 = 1;
const OFFSET_VALUE_VERSION: i16 = 3;
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const GROUP_VALUE_VERSION: i16 = 3;

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupRecord {
    /// The committed offset of a partition; none is a tombstone.
    Offset {
        /// Whose.
        group: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What was committed.
        value: Option<CommittedOffset>,
    },
    /// A group's generation; none is a tombstone.
    Group {
        /// Which.
        group: String,
        /// Its members and their assignments.
        value: Option<GroupSnapshot>,
    },
    /// A fact about a consumer group (KIP-848).
    Consumer {
        /// Which.
        group: String,
        /// What.
        record: ConsumerRecord,
    },
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Key or value do not hold.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A kind of record that this version does not know.
    #[error("records of key version {0} are not known")]
    UnknownKey(i16),
}

/// The records as one batch, transactional if a producer is given.
pub(super) fn batch_of(
    records: &[GroupRecord],
    producer: Option<Producer>,
    now_ms: i64,
) -> Result<Bytes, GroupError> {
    let options = match producer {
        Some(producer) => BatchOptions {
            producer_id: producer.id.0,
            producer_epoch: producer.epoch.0,
            is_transactional: true,
            ..BatchOptions::default()
        },
        None => BatchOptions::default(),
    };
    let mut builder = BatchBuilder::new(options);
    for record in records {
        let (key, value) = encode(record).map_err(|error| {
            tracing::warn!(%error, "a group's record cannot be encoded");
            GroupError::InvalidRequest
        })?;
        builder
            .append(now_ms, Some(&key), value.as_deref(), &[])
            .map_err(|_| GroupError::InvalidRequest)?;
    }
    builder.build().map_err(|_| GroupError::InvalidRequest)
}

/// Key and value of a record.
pub fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    match record {
        GroupRecord::Offset {
            group,
            topic,
            partition,
            value,
        } => {
            let key = OffsetCommitKey {
                group: group.clone(),
                topic: topic.clone(),
                partition: *partition,
            };
            let key = encode_versioned(&key, OFFSET_KEY_VERSION)?;
            Ok((key, value.as_ref().map(encode_offset).transpose()?))
        }
        GroupRecord::Group { group, value } => {
            let key = GroupMetadataKey {
                group: group.clone(),
            };
            let key = encode_versioned(&key, GROUP_KEY_VERSION)?;
            Ok((key, value.as_ref().map(encode_group).transpose()?))
        }
        GroupRecord::Consumer { group, record } => consumer::encode(group, record),
    }
}

fn encode_offset(value: &CommittedOffset) -> Result<Bytes, EncodeError> {
    let version = match value.expire_timestamp_ms {
        Some(_) => OFFSET_VALUE_VERSION_WITH_EXPIRY,
        None => OFFSET_VALUE_VERSION,
    };
    let value = OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
        commit_timestamp: value.commit_timestamp_ms,
        expire_timestamp: value.expire_timestamp_ms.unwrap_or(-1),
        ..OffsetCommitValue::default()
    };
    encode_versioned(&value, version)
}

fn encode_group(value: &GroupSnapshot) -> Result<Bytes, EncodeError> {
    let members = value
        .members
        .iter()
        .map(|member| MemberMetadata {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: millis(member.rebalance_timeout),
            session_timeout: millis(member.session_timeout),
            subscription: member.subscription.clone(),
            assignment: member.assignment.clone(),
        })
        .collect();
    let value = GroupMetadataValue {
        protocol_type: value.protocol_type.clone(),
        generation: value.generation,
        protocol: value.protocol.clone(),
        leader: value.leader.clone(),
        current_state_timestamp: value.state_timestamp_ms,
        members,
    };
    encode_versioned(&value, GROUP_VALUE_VERSION)
}

/// What a record says; `offset` is its own in the partition.
pub fn decode(key: &Bytes, value: Option<&Bytes>, offset: i64) -> Result<GroupRecord, RecordError> {
    match key_version(key) {
        0 | 1 => {
            let (_, key) = decode_versioned::<OffsetCommitKey>(key.clone())?;
            let value = value
                .map(|value| decode_offset(value, offset))
                .transpose()?;
            let OffsetCommitKey {
                group,
                topic,
                partition,
            } = key;
            Ok(GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            })
        }
        2 => {
            let (_, key) = decode_versioned::<GroupMetadataKey>(key.clone())?;
            let value = value.map(decode_group).transpose()?;
            Ok(GroupRecord::Group {
                group: key.group,
                value,
            })
        }
        other if consumer::owns_key(other) => {
            let (group, record) = consumer::decode(key, value)?;
            Ok(GroupRecord::Consumer { group, record })
        }
        other => Err(RecordError::UnknownKey(other)),
    }
}

fn key_version(key: &Bytes) -> i16 {
    key.first_chunk()
        .map_or(-1, |bytes| i16::from_be_bytes(*bytes))
}

fn decode_offset(value: &Bytes, journal_offset: i64) -> Result<CommittedOffset, RecordError> {
    let (_, value) = decode_versioned::<OffsetCommitValue>(value.clone())?;
    Ok(CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata,
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: Some(value.expire_timestamp).filter(|at| *at >= 0),
        journal_offset,
    })
}

fn decode_group(value: &Bytes) -> Result<GroupSnapshot, RecordError> {
    let (_, value) = decode_versioned::<GroupMetadataValue>(value.clone())?;
    let members = value
        .members
        .into_iter()
        .map(|member| {
            let session_timeout = duration(member.session_timeout);
            MemberSnapshot {
                id: member.member_id,
                instance_id: member.group_instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout: match member.rebalance_timeout {
                    -1 => session_timeout,
                    other => duration(other),
                },
                session_timeout,
                subscription: member.subscription,
                assignment: member.assignment,
            }
        })
        .collect();
    Ok(GroupSnapshot {
        protocol_type: value.protocol_type,
        generation: value.generation,
        protocol: value.protocol,
        leader: value.leader,
        state_timestamp_ms: value.current_state_timestamp,
        members,
    })
}

pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

pub(super) fn duration(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(expire_timestamp_ms: Option<i64>) -> CommittedOffset {
        CommittedOffset {
            offset: 42,
            leader_epoch: if expire_timestamp_ms.is_some() { -1 } else { 3 },
            metadata: "where I was".into(),
            commit_timestamp_ms: 1_000,
            expire_timestamp_ms,
            journal_offset: 9,
        }
    }

    #[test]
    fn records_come_back_as_written() {
        let member = MemberSnapshot {
            id: "m".into(),
            instance_id: Some("host-1".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout: Duration::from_secs(60),
            session_timeout: Duration::from_secs(10),
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        };
        let snapshot = GroupSnapshot {
            protocol_type: "consumer".into(),
            generation: 5,
            protocol: Some("range".into()),
            leader: Some("m".into()),
            state_timestamp_ms: 77,
            members: vec![member],
        };
        let offset = |value| GroupRecord::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: 3,
            value,
        };
        let records = [
            offset(Some(committed(None))),
            offset(Some(committed(Some(5_000)))),
            offset(None),
            GroupRecord::Group {
                group: "g".into(),
                value: Some(snapshot),
            },
            GroupRecord::Group {
                group: "g".into(),
                value: None,
            },
        ];
        for record in records {
            let (key, value) = encode(&record).unwrap();
            assert_eq!(decode(&key, value.as_ref(), 9).unwrap(), record);
        }
    }

    #[test]
    fn a_kind_of_record_from_the_future_is_named_not_misread() {
        let key = Bytes::from_static(&[0, 9, 1, 2, 3]);
        assert!(matches!(
            decode(&key, None, 0),
            Err(RecordError::UnknownKey(9))
        ));
        assert!(decode(&Bytes::new(), None, 0).is_err());
    }
}
