//! The records of a consumer group (keys 3 to 8 and 16), in Kafka's own
//! formats.

use super::assignment::Assignment;
use super::member::{ClassicSide, MemberCurrent, MemberMetadata, MemberState};
use crate::group::member::Protocol;
use crate::group::records::{RecordError, duration, millis};
use bytes::Bytes;
use millstream_wire::codec::{EncodeError, Message, decode_versioned, encode_versioned};
use millstream_wire::records::consumer_groups::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
    CurrentTopicPartitions, TargetTopicPartitions,
};
use std::collections::BTreeSet;

const GROUP: i16 = 3;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

/// One fact about a consumer group; a value of none is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group itself.
    Group {
        /// Group epoch and the hash of its topics.
        value: Option<GroupEpoch>,
    },
    /// What a member said of itself.
    Member {
        /// Member id.
        id: String,
        /// What.
        value: Option<MemberMetadata>,
    },
    /// The epoch of the target assignment.
    TargetEpoch {
        /// The group epoch it was computed for, and when.
        value: Option<TargetEpoch>,
    },
    /// What a member is to own.
    Target {
        /// Member id.
        id: String,
        /// Its partitions.
        value: Option<Assignment>,
    },
    /// What a member owns.
    Current {
        /// Member id.
        id: String,
        /// In which epoch, and what.
        value: Option<MemberCurrent>,
    },
    /// The topics that a pattern stands for.
    Regex {
        /// The pattern.
        pattern: String,
        /// Its topics.
        value: Option<ResolvedRegex>,
    },
}

impl ConsumerRecord {
    /// Whether it takes something out.
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Group { value } => value.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch { value } => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
            Self::Regex { value, .. } => value.is_none(),
        }
    }

    /// About how many bytes it takes, without the group's id.
    pub fn weight(&self) -> usize {
        const PARTITION: usize = 4;
        const TOPIC: usize = 24;
        let partitions = |assignment: &Assignment| {
            assignment.len() * PARTITION + assignment.by_topic().count() * TOPIC
        };
        let names = |names: &BTreeSet<String>| names.iter().map(|n| n.len() + 3).sum::<usize>();
        match self {
            Self::Group { .. } | Self::TargetEpoch { .. } => 32,
            Self::Member { id, value } => {
                let metadata = value.iter().map(|value| {
                    let classic = value.classic.iter().flat_map(|side| &side.protocols);
                    let classic = classic.map(|p| p.name.len() + p.metadata.len());
                    names(&value.topics) + classic.sum::<usize>() + 256
                });
                id.len() + metadata.sum::<usize>()
            }
            Self::Target { id, value } => id.len() + value.iter().map(partitions).sum::<usize>(),
            Self::Current { id, value } => {
                let both = |value: &MemberCurrent| {
                    partitions(&value.assigned) + partitions(&value.revoking) + 16
                };
                id.len() + value.iter().map(both).sum::<usize>()
            }
            Self::Regex { pattern, value } => {
                pattern.len() + value.iter().map(|v| names(&v.topics)).sum::<usize>() + 16
            }
        }
    }
}

/// The group epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The epoch.
    pub epoch: i32,
    /// Hash over the topics that the group subscribes to.
    pub metadata_hash: i64,
}

/// The epoch of the target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetEpoch {
    /// The group epoch it was computed for.
    pub epoch: i32,
    /// When, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// The topics that a pattern stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// Their names.
    pub topics: BTreeSet<String>,
    /// Version of the topics that it was matched with.
    pub version: u64,
    /// When, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Whether a key of this version is one of ours.
pub(in crate::group) fn owns_key(version: i16) -> bool {
    matches!(
        version,
        GROUP | MEMBER | TARGET_EPOCH | TARGET | CURRENT | REGEX
    )
}

/// Key and value of a record.
pub(in crate::group) fn encode(
    group: &str,
    record: &ConsumerRecord,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let group_id = group.to_owned();
    match record {
        ConsumerRecord::Group { value } => {
            let key = encode_versioned(&ConsumerGroupMetadataKey { group_id }, GROUP)?;
            let value = value.map(|value| ConsumerGroupMetadataValue {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            });
            pair(key, value)
        }
        ConsumerRecord::Member { id, value } => {
            let member_id = id.clone();
            let key = ConsumerGroupMemberMetadataKey {
                group_id,
                member_id,
            };
            pair(
                encode_versioned(&key, MEMBER)?,
                value.as_ref().map(member_value),
            )
        }
        ConsumerRecord::TargetEpoch { value } => {
            let key = ConsumerGroupTargetAssignmentMetadataKey { group_id };
            let value = value.map(|value| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: value.epoch,
                assignment_timestamp: value.timestamp_ms,
            });
            pair(encode_versioned(&key, TARGET_EPOCH)?, value)
        }
        ConsumerRecord::Target { id, value } => {
            let member_id = id.clone();
            let key = ConsumerGroupTargetAssignmentMemberKey {
                group_id,
                member_id,
            };
            pair(
                encode_versioned(&key, TARGET)?,
                value.as_ref().map(target_value),
            )
        }
        ConsumerRecord::Current { id, value } => {
            let member_id = id.clone();
            let key = ConsumerGroupCurrentMemberAssignmentKey {
                group_id,
                member_id,
            };
            pair(
                encode_versioned(&key, CURRENT)?,
                value.as_ref().map(current_value),
            )
        }
        ConsumerRecord::Regex { pattern, value } => {
            let key = ConsumerGroupRegularExpressionKey {
                group_id,
                regular_expression: pattern.clone(),
            };
            let value = value
                .as_ref()
                .map(|value| ConsumerGroupRegularExpressionValue {
                    topics: value.topics.iter().cloned().collect(),
                    version: i64::try_from(value.version).unwrap_or(i64::MAX),
                    timestamp: value.timestamp_ms,
                });
            pair(encode_versioned(&key, REGEX)?, value)
        }
    }
}

fn pair<V: Message>(key: Bytes, value: Option<V>) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let value = value.map(|value| encode_versioned(&value, 0)).transpose()?;
    Ok((key, value))
}

fn member_value(value: &MemberMetadata) -> ConsumerGroupMemberMetadataValue {
    let classic = value.classic.as_ref().map(|classic| ClassicMemberMetadata {
        session_timeout_ms: millis(classic.session_timeout),
        supported_protocols: classic
            .protocols
            .iter()
            .map(|protocol| ClassicProtocol {
                name: protocol.name.clone(),
                metadata: protocol.metadata.clone(),
            })
            .collect(),
    });
    ConsumerGroupMemberMetadataValue {
        instance_id: value.instance_id.clone(),
        rack_id: value.rack_id.clone(),
        client_id: value.client_id.clone(),
        client_host: value.client_host.clone(),
        subscribed_topic_names: value.topics.iter().cloned().collect(),
        subscribed_topic_regex: value.regex.clone(),
        rebalance_timeout_ms: millis(value.rebalance_timeout),
        server_assignor: value.assignor.clone(),
        classic_member_metadata: classic,
    }
}

fn target_value(value: &Assignment) -> ConsumerGroupTargetAssignmentMemberValue {
    let topic_partitions = value
        .by_topic()
        .map(|(topic, partitions)| TargetTopicPartitions {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
        })
        .collect();
    ConsumerGroupTargetAssignmentMemberValue { topic_partitions }
}

fn current_value(value: &MemberCurrent) -> ConsumerGroupCurrentMemberAssignmentValue {
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: value.epoch,
        previous_member_epoch: value.previous_epoch,
        state: value.state.code(),
        assigned_partitions: current_partitions(&value.assigned),
        partitions_pending_revocation: current_partitions(&value.revoking),
    }
}

fn current_partitions(assignment: &Assignment) -> Vec<CurrentTopicPartitions> {
    assignment
        .by_topic()
        .map(|(topic, partitions)| CurrentTopicPartitions {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        })
        .collect()
}

/// What a record with a key of ours says, and of which group.
pub(in crate::group) fn decode(
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<(String, ConsumerRecord), RecordError> {
    let version = key
        .first_chunk()
        .map_or(-1, |bytes| i16::from_be_bytes(*bytes));
    Ok(match version {
        GROUP => {
            let key: ConsumerGroupMetadataKey = read(key)?;
            let value = optional(value)?.map(|value: ConsumerGroupMetadataValue| GroupEpoch {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            });
            (key.group_id, ConsumerRecord::Group { value })
        }
        MEMBER => {
            let key: ConsumerGroupMemberMetadataKey = read(key)?;
            let (id, value) = (key.member_id, optional(value)?.map(member));
            (key.group_id, ConsumerRecord::Member { id, value })
        }
        TARGET_EPOCH => {
            let key: ConsumerGroupTargetAssignmentMetadataKey = read(key)?;
            let value =
                optional(value)?.map(|value: ConsumerGroupTargetAssignmentMetadataValue| {
                    TargetEpoch {
                        epoch: value.assignment_epoch,
                        timestamp_ms: value.assignment_timestamp,
                    }
                });
            (key.group_id, ConsumerRecord::TargetEpoch { value })
        }
        TARGET => {
            let key: ConsumerGroupTargetAssignmentMemberKey = read(key)?;
            let (id, value) = (key.member_id, optional(value)?.map(target));
            (key.group_id, ConsumerRecord::Target { id, value })
        }
        CURRENT => {
            let key: ConsumerGroupCurrentMemberAssignmentKey = read(key)?;
            let (id, value) = (key.member_id, optional(value)?.map(current));
            (key.group_id, ConsumerRecord::Current { id, value })
        }
        REGEX => {
            let key: ConsumerGroupRegularExpressionKey = read(key)?;
            let value =
                optional(value)?.map(|value: ConsumerGroupRegularExpressionValue| ResolvedRegex {
                    topics: value.topics.into_iter().collect(),
                    version: u64::try_from(value.version).unwrap_or(0),
                    timestamp_ms: value.timestamp,
                });
            let pattern = key.regular_expression;
            (key.group_id, ConsumerRecord::Regex { pattern, value })
        }
        other => return Err(RecordError::UnknownKey(other)),
    })
}

fn read<M: Message>(bytes: &Bytes) -> Result<M, RecordError> {
    Ok(decode_versioned::<M>(bytes.clone())?.1)
}

fn optional<M: Message>(bytes: Option<&Bytes>) -> Result<Option<M>, RecordError> {
    bytes.map(read).transpose()
}

fn member(value: ConsumerGroupMemberMetadataValue) -> MemberMetadata {
    let classic = value.classic_member_metadata.map(|classic| ClassicSide {
        session_timeout: duration(classic.session_timeout_ms),
        protocols: classic
            .supported_protocols
            .into_iter()
            .map(|protocol| Protocol {
                name: protocol.name,
                metadata: protocol.metadata,
            })
            .collect(),
    });
    MemberMetadata {
        instance_id: value.instance_id,
        rack_id: value.rack_id,
        client_id: value.client_id,
        client_host: value.client_host,
        topics: value.subscribed_topic_names.into_iter().collect(),
        regex: value
            .subscribed_topic_regex
            .filter(|regex| !regex.is_empty()),
        rebalance_timeout: duration(value.rebalance_timeout_ms),
        assignor: value.server_assignor,
        classic,
    }
}

fn target(value: ConsumerGroupTargetAssignmentMemberValue) -> Assignment {
    value
        .topic_partitions
        .into_iter()
        .flat_map(|topic| {
            let id = topic.topic_id;
            topic.partitions.into_iter().map(move |p| (id, p))
        })
        .collect()
}

fn current(value: ConsumerGroupCurrentMemberAssignmentValue) -> MemberCurrent {
    let partitions = |topics: Vec<CurrentTopicPartitions>| {
        topics
            .into_iter()
            .flat_map(|topic| {
                let id = topic.topic_id;
                topic.partitions.into_iter().map(move |p| (id, p))
            })
            .collect()
    };
    MemberCurrent {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: MemberState::of_code(value.state),
        assigned: partitions(value.assigned_partitions),
        revoking: partitions(value.partitions_pending_revocation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn records_come_back_as_written_and_tombstones_too() {
        let partitions: Assignment = [(Uuid::from_u128(1), 0), (Uuid::from_u128(1), 3)]
            .into_iter()
            .collect();
        let metadata = MemberMetadata {
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            topics: ["a".to_owned()].into(),
            regex: Some("b.*".into()),
            rebalance_timeout: Duration::from_secs(300),
            assignor: Some("range".into()),
            classic: Some(ClassicSide {
                session_timeout: Duration::from_secs(45),
                protocols: vec![Protocol {
                    name: "range".into(),
                    metadata: Bytes::from_static(b"s"),
                }],
            }),
            ..Default::default()
        };
        let current = MemberCurrent {
            epoch: 4,
            previous_epoch: 3,
            state: MemberState::UnrevokedPartitions,
            assigned: partitions.clone(),
            revoking: [(Uuid::from_u128(2), 9)].into_iter().collect(),
        };
        let regex = ResolvedRegex {
            topics: ["b1".to_owned()].into(),
            version: 7,
            timestamp_ms: 8,
        };
        let epoch = GroupEpoch {
            epoch: 5,
            metadata_hash: -9,
        };
        let target_epoch = TargetEpoch {
            epoch: 5,
            timestamp_ms: 1,
        };
        let id = || "m".to_owned();
        let pattern = || "b.*".to_owned();
        let records = [
            ConsumerRecord::Group { value: Some(epoch) },
            ConsumerRecord::Group { value: None },
            ConsumerRecord::Member {
                id: id(),
                value: Some(metadata),
            },
            ConsumerRecord::Member {
                id: id(),
                value: None,
            },
            ConsumerRecord::TargetEpoch {
                value: Some(target_epoch),
            },
            ConsumerRecord::TargetEpoch { value: None },
            ConsumerRecord::Target {
                id: id(),
                value: Some(partitions),
            },
            ConsumerRecord::Target {
                id: id(),
                value: None,
            },
            ConsumerRecord::Current {
                id: id(),
                value: Some(current),
            },
            ConsumerRecord::Current {
                id: id(),
                value: None,
            },
            ConsumerRecord::Regex {
                pattern: pattern(),
                value: Some(regex),
            },
            ConsumerRecord::Regex {
                pattern: pattern(),
                value: None,
            },
        ];
        for record in records {
            let (key, value) = encode("g", &record).unwrap();
            let version = i16::from_be_bytes([key[0], key[1]]);
            assert!(owns_key(version));
            assert_eq!(decode(&key, value.as_ref()).unwrap(), ("g".into(), record));
        }
    }
}
