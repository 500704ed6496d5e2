//! OffsetFetch (9): how far groups have read.

use super::items::{Pace, once, partitions_once};
use super::{Answer, Handler};
use crate::group::{
    CommittedOffset, FetchedOffset, GroupCoordinator, GroupError, OffsetsWanted, PartitionKey,
    Stability,
};
use crate::state::RequestContext;
use millstream_cluster::MetadataImage;
use millstream_wire::ErrorCode;
use millstream_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use std::ops::RangeInclusive;

/// OffsetFetch.
pub(super) struct OffsetFetch;

impl Handler for OffsetFetch {
    type Request = OffsetFetchRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=10;

    async fn handle(
        context: RequestContext,
        request: OffsetFetchRequest,
    ) -> Answer<OffsetFetchResponse> {
        let version = context.api_version;
        let image = context.state.image();
        let groups = context.state.groups();
        let stability = if request.require_stable {
            Stability::Stable
        } else {
            Stability::Any
        };
        if version >= 8 {
            let asked = once(request.groups, |group| &group.group_id);
            let mut answers = Vec::with_capacity(asked.len());
            let mut pace = Pace::default();
            for group in asked {
                pace.next().await;
                answers.push(fetch_group(groups, &image, group, stability, version).await);
            }
            return OffsetFetchResponse {
                groups: answers,
                ..Default::default()
            }
            .into();
        }
        // One group, before KIP-709: the same in another form.
        let topics = request.topics.map(|topics| {
            let topic =
                |topic: millstream_wire::messages::offset_fetch::OffsetFetchRequestTopic| {
                    OffsetFetchRequestTopics {
                        name: topic.name,
                        partition_indexes: topic.partition_indexes,
                        ..Default::default()
                    }
                };
            topics.into_iter().map(topic).collect()
        });
        let group = OffsetFetchRequestGroup {
            group_id: request.group_id,
            topics,
            ..Default::default()
        };
        let answer = fetch_group(groups, &image, group, stability, version).await;
        single(answer, version).into()
    }
}

async fn fetch_group(
    groups: &GroupCoordinator,
    image: &MetadataImage,
    group: OffsetFetchRequestGroup,
    stability: Stability,
    version: i16,
) -> OffsetFetchResponseGroup {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    let wanted = match group.topics {
        None => OffsetsWanted::All,
        Some(asked) => OffsetsWanted::Partitions(wanted(asked, image, version, &mut topics)),
    };
    let member_id = group.member_id.as_deref();
    let checked = groups
        .check_fetch(&group.group_id, member_id, group.member_epoch)
        .await;
    let fetched = match checked {
        Ok(()) => {
            groups
                .fetch_offsets(&group.group_id, &wanted, stability)
                .await
        }
        Err(error) => Err(error),
    };
    match fetched {
        Ok(fetched) => {
            for one in fetched {
                add(&mut topics, image, one, version);
            }
            OffsetFetchResponseGroup {
                group_id: group.group_id,
                topics,
                error_code: 0,
            }
        }
        Err(error) => OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics: failed(&wanted, error, version),
            error_code: error.code(),
        },
    }
}

/// The partitions asked for by name; ids that nobody knows are answered at
/// once.
fn wanted(
    mut asked: Vec<OffsetFetchRequestTopics>,
    image: &MetadataImage,
    version: i16,
    unknown: &mut Vec<OffsetFetchResponseTopics>,
) -> Vec<PartitionKey> {
    partitions_once(
        &mut asked,
        |topic| (topic.topic_id, topic.name.clone()),
        |topic| &mut topic.partition_indexes,
        |index| *index,
    );
    let mut wanted = Vec::new();
    for topic in asked {
        let name = if version >= 10 {
            image
                .topic_by_id(topic.topic_id)
                .map(|found| found.name.to_string())
        } else {
            Some(topic.name)
        };
        match name {
            Some(name) => {
                wanted.extend(
                    topic
                        .partition_indexes
                        .into_iter()
                        .map(|p| (name.clone(), p)),
                );
            }
            None => unknown.push(OffsetFetchResponseTopics {
                topic_id: topic.topic_id,
                partitions: topic
                    .partition_indexes
                    .into_iter()
                    .map(|p| partition(p, None, ErrorCode::UnknownTopicId.code()))
                    .collect(),
                ..Default::default()
            }),
        }
    }
    wanted
}

fn add(
    topics: &mut Vec<OffsetFetchResponseTopics>,
    image: &MetadataImage,
    fetched: FetchedOffset,
    version: i16,
) {
    let one = match fetched.committed {
        Ok(committed) => partition(fetched.partition, committed, 0),
        Err(error) => partition(fetched.partition, None, error.code()),
    };
    match topics.last_mut().filter(|last| last.name == fetched.topic) {
        Some(last) => last.partitions.push(one),
        None => {
            let topic_id = image.topic(&fetched.topic).map(|topic| topic.id);
            if version >= 10 && topic_id.is_none() {
                // Version 10 has no way to name a topic that is no more.
                return;
            }
            topics.push(OffsetFetchResponseTopics {
                name: fetched.topic,
                topic_id: topic_id.unwrap_or_default(),
                partitions: vec![one],
            });
        }
    }
}

fn partition(
    partition_index: i32,
    committed: Option<CommittedOffset>,
    error_code: i16,
) -> OffsetFetchResponsePartitions {
    match committed {
        Some(committed) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(committed.metadata),
            error_code,
        },
        None => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code,
        },
    }
}

/// Version 1 has no place for an error of the whole group: each partition
/// carries it.
fn failed(
    wanted: &OffsetsWanted,
    error: GroupError,
    version: i16,
) -> Vec<OffsetFetchResponseTopics> {
    let OffsetsWanted::Partitions(keys) = wanted else {
        return Vec::new();
    };
    if version >= 2 {
        return Vec::new();
    }
    keys.iter()
        .map(|(topic, index)| OffsetFetchResponseTopics {
            name: topic.clone(),
            partitions: vec![partition(*index, None, error.code())],
            ..Default::default()
        })
        .collect()
}

fn single(answer: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let topics = answer
        .topics
        .into_iter()
        .map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|one| OffsetFetchResponsePartition {
                    partition_index: one.partition_index,
                    committed_offset: one.committed_offset,
                    committed_leader_epoch: one.committed_leader_epoch,
                    metadata: one.metadata,
                    error_code: one.error_code,
                })
                .collect(),
        })
        .collect();
    let error_code = if version >= 2 { answer.error_code } else { 0 };
    OffsetFetchResponse {
        topics,
        error_code,
        ..Default::default()
    }
}
