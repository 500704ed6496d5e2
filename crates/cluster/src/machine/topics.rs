//! Topics and partitions.

use crate::command::{NewTopic, Refusal, Reply};
use crate::image::{MetadataImage, Partition, Topic};
use crate::placement;
use millstream_core::ids::{BrokerId, LeaderEpoch, PartitionId, TopicId, check_topic_name};
use millstream_core::limits::PARTITIONS_MAX;
use std::sync::Arc;

pub(super) fn create(image: &mut MetadataImage, new: NewTopic) -> Result<Reply, Refusal> {
    check_name(image, &new.name)?;
    let replicas = match new.assignments {
        Some(assignments) => {
            placement::check(image, &assignments)?;
            check_count(image, assignments.len())?;
            assignments
        }
        None => {
            let count = positive(new.partitions)?;
            check_count(image, count)?;
            placement::place(image, count, new.replication_factor)?
        }
    };
    let name: Arc<str> = new.name.into();
    let topic = Arc::new(Topic {
        name: Arc::clone(&name),
        id: new.id,
        partitions: replicas.into_iter().map(first_leader).collect(),
        configs: Arc::new(new.configs),
        internal: new.internal,
        created_at_ms: new.created_at_ms,
    });
    Arc::make_mut(&mut image.topic_names).insert(topic.id, Arc::clone(&name));
    Arc::make_mut(&mut image.topics).insert(name, Arc::clone(&topic));
    Ok(Reply::Topic(topic))
}

pub(super) fn delete(
    image: &mut MetadataImage,
    name: &str,
    id: Option<TopicId>,
) -> Result<Reply, Refusal> {
    let topic = image
        .topic(name)
        .ok_or_else(|| Refusal::UnknownTopic(name.to_owned()))?;
    if id.is_some_and(|id| id != topic.id) {
        return Err(Refusal::TopicIdMismatch(name.to_owned()));
    }
    let topic = Arc::clone(topic);
    Arc::make_mut(&mut image.topics).remove(name);
    Arc::make_mut(&mut image.topic_names).remove(&topic.id);
    Ok(Reply::Topic(topic))
}

pub(super) fn add_partitions(
    image: &mut MetadataImage,
    name: &str,
    count: i32,
    assignments: Option<Vec<Vec<BrokerId>>>,
) -> Result<Reply, Refusal> {
    let topic = image
        .topic(name)
        .ok_or_else(|| Refusal::UnknownTopic(name.to_owned()))?;
    let existing = topic.partitions.len();
    let added = positive(count)?.checked_sub(existing).filter(|added| *added > 0).ok_or_else(|| {
        Refusal::InvalidPartitions(format!(
            "topic '{name}' has {existing} partitions: their number can only be increased, {count} was asked for"
        ))
    })?;
    check_count(image, added)?;
    let replicas = match assignments {
        Some(assignments) => {
            if assignments.len() != added {
                return Err(Refusal::InvalidAssignment(format!(
                    "{added} partitions are to be added but replicas are named for {}",
                    assignments.len()
                )));
            }
            placement::check(image, &assignments)?;
            assignments
        }
        None => {
            let copies = topic.partitions.first().map_or(1, |p| p.replicas.len());
            placement::place(image, added, i16::try_from(copies).unwrap_or(i16::MAX))?
        }
    };
    let partitions = topic
        .partitions
        .iter()
        .cloned()
        .chain(replicas.into_iter().map(first_leader))
        .collect();
    Ok(put(
        image,
        Topic {
            partitions,
            ..Topic::clone(topic)
        },
    ))
}

pub(super) fn change_partition(
    image: &mut MetadataImage,
    topic_id: TopicId,
    partition: PartitionId,
    leader_epoch: LeaderEpoch,
    leader: Option<BrokerId>,
    isr: Vec<BrokerId>,
) -> Result<Reply, Refusal> {
    let topic = image
        .topic_by_id(topic_id)
        .ok_or_else(|| Refusal::UnknownTopic(topic_id.to_string()))?;
    let unknown = || Refusal::UnknownPartition {
        topic: topic.name.to_string(),
        partition,
    };
    let index = usize::try_from(partition.0).map_err(|_| unknown())?;
    let mut partitions = topic.partitions.to_vec();
    let state = partitions.get_mut(index).ok_or_else(unknown)?;
    if leader_epoch != state.leader_epoch {
        return Err(Refusal::FencedLeaderEpoch {
            asked: leader_epoch,
            current: state.leader_epoch,
        });
    }
    if let Some(stranger) = isr
        .iter()
        .chain(&leader)
        .find(|id| !state.replicas.contains(id))
    {
        return Err(Refusal::InvalidAssignment(format!(
            "broker {stranger} holds no copy of {}-{partition}",
            topic.name
        )));
    }
    if leader != state.leader {
        state.leader_epoch = LeaderEpoch(state.leader_epoch.0 + 1);
    }
    state.leader = leader;
    state.isr = isr;
    Ok(put(
        image,
        Topic {
            partitions: partitions.into(),
            ..Topic::clone(topic)
        },
    ))
}

fn put(image: &mut MetadataImage, topic: Topic) -> Reply {
    let topic = Arc::new(topic);
    Arc::make_mut(&mut image.topics).insert(Arc::clone(&topic.name), Arc::clone(&topic));
    Reply::Topic(topic)
}

fn first_leader(replicas: Vec<BrokerId>) -> Partition {
    Partition {
        leader: replicas.first().copied(),
        leader_epoch: LeaderEpoch(0),
        isr: replicas.clone(),
        replicas,
    }
}

fn check_name(image: &MetadataImage, name: &str) -> Result<(), Refusal> {
    check_topic_name(name).map_err(|error| Refusal::InvalidTopicName(error.to_string()))?;
    if image.topic(name).is_some() {
        return Err(Refusal::TopicExists(name.to_owned()));
    }
    // Kafka's Topic.hasCollision. Only a name with one of the two characters
    // can collide, which keeps the common case cheap.
    if name.contains(['.', '_'])
        && let Some(existing) = image.topics().find(|t| metric_name_eq(&t.name, name))
    {
        return Err(Refusal::TopicCollides {
            name: name.to_owned(),
            existing: existing.name.to_string(),
        });
    }
    Ok(())
}

fn metric_name_eq(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

fn positive(count: i32) -> Result<usize, Refusal> {
    usize::try_from(count)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| {
            Refusal::InvalidPartitions(format!(
                "{count} partitions were asked for: at least 1 is needed"
            ))
        })
}

fn check_count(image: &MetadataImage, added: usize) -> Result<(), Refusal> {
    if added == 0 {
        return Err(Refusal::InvalidPartitions(
            "at least 1 partition is needed".into(),
        ));
    }
    // The sum cannot overflow: both are array lengths in memory or an i32.
    if image.partition_count() + added > PARTITIONS_MAX {
        return Err(Refusal::LimitReached(format!(
            "{PARTITIONS_MAX} partitions in the cluster"
        )));
    }
    Ok(())
}
