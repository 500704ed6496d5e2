//! The pure function from an image and a command to the next image.
//!
//! Deterministic, without I/O, and all or nothing: a refused command leaves
//! the image as it was.

mod catalog;
mod topics;

use crate::command::{
    COMMANDS_MAX, Command, ConfigChange, ConfigOp, ConfigResource, PRODUCER_ID_BLOCK, Refusal,
    Reply,
};
use crate::image::{Broker, ConfigMap, MetadataImage, Topic};
use millstream_core::ids::{BrokerId, LeaderEpoch, ProducerId};
use std::sync::Arc;

/// Brokers of one cluster.
const BROKERS_MAX: usize = 1_000;
/// Settings of one resource.
const CONFIGS_PER_RESOURCE_MAX: usize = 1_000;
/// Groups with settings of their own.
const CONFIGURED_GROUPS_MAX: usize = 10_000;

/// Applies one command.
pub(crate) fn apply(image: &mut MetadataImage, command: Command) -> Result<Reply, Refusal> {
    match command {
        Command::InitCluster { cluster_id } => {
            if image.cluster_id.is_empty() {
                image.cluster_id = cluster_id;
            }
            Ok(Reply::Done)
        }
        Command::RegisterBroker {
            id,
            host,
            port,
            rack,
            incarnation,
        } => register_broker(
            image,
            Broker {
                id,
                host,
                port,
                rack,
                incarnation,
            },
        ),
        Command::Each(commands) => {
            if commands.len() > COMMANDS_MAX {
                return Err(Refusal::LimitReached(format!(
                    "{COMMANDS_MAX} changes in one"
                )));
            }
            let replies = commands.into_iter().map(|command| match command {
                Command::Each(_) => Err(Refusal::LimitReached("one list of changes".into())),
                command => apply(image, command),
            });
            Ok(Reply::Each(replies.collect()))
        }
        Command::CreateTopic(topic) => topics::create(image, topic),
        Command::DeleteTopic { name, id } => topics::delete(image, &name, id),
        Command::CreatePartitions {
            topic,
            count,
            assignments,
        } => topics::add_partitions(image, &topic, count, assignments),
        Command::ChangePartition {
            topic_id,
            partition,
            leader_epoch,
            leader,
            isr,
        } => topics::change_partition(image, topic_id, partition, leader_epoch, leader, isr),
        Command::AlterConfigs { resource, changes } => alter_configs(image, resource, changes),
        Command::AllocateProducerIds { broker } => allocate_producer_ids(image, broker),
        Command::CreateSqlObject(object) => catalog::create_sql_object(image, object),
        Command::PutSqlObject(object) => catalog::put_sql_object(image, object),
        Command::DropSqlObject { name } => catalog::drop_sql_object(image, &name),
        Command::CreateJob(job) => catalog::create_job(image, job),
        Command::SetJobState { id, desired } => catalog::set_job_state(image, &id, desired),
        Command::AlterJob {
            id,
            statement,
            options,
        } => catalog::alter_job(image, &id, statement, options),
        Command::DeleteJob { id } => catalog::delete_job(image, &id),
        Command::PutDashboard(dashboard) => catalog::put_dashboard(image, dashboard),
        Command::DeleteDashboard { id } => catalog::delete_dashboard(image, &id),
    }
}

impl MetadataImage {
    /// What a command would do and give back, without proposing it.
    pub fn preview(&self, command: Command) -> Result<Reply, Refusal> {
        apply(&mut self.clone(), command)
    }
}

fn register_broker(image: &mut MetadataImage, broker: Broker) -> Result<Reply, Refusal> {
    let id = broker.id;
    let previous = image.broker(id);
    if previous.is_none() && image.brokers.len() >= BROKERS_MAX {
        return Err(Refusal::LimitReached(format!(
            "{BROKERS_MAX} brokers in one cluster"
        )));
    }
    let restarted = previous.is_some_and(|p| p.incarnation != broker.incarnation);
    Arc::make_mut(&mut image.brokers).insert(id, Arc::new(broker));
    if restarted {
        raise_leader_epochs(image, id);
    }
    Ok(Reply::Done)
}

/// KIP-320: a leader that comes back may have lost what it had not synced.
/// The new epoch lets followers and consumers find out.
fn raise_leader_epochs(image: &mut MetadataImage, broker: BrokerId) {
    for topic in Arc::make_mut(&mut image.topics).values_mut() {
        if !topic.partitions.iter().any(|p| p.leader == Some(broker)) {
            continue;
        }
        let mut partitions = topic.partitions.to_vec();
        for partition in partitions.iter_mut().filter(|p| p.leader == Some(broker)) {
            partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
        }
        *topic = Arc::new(Topic {
            partitions: partitions.into(),
            ..Topic::clone(topic)
        });
    }
}

fn allocate_producer_ids(image: &mut MetadataImage, broker: BrokerId) -> Result<Reply, Refusal> {
    if image.broker(broker).is_none() {
        return Err(Refusal::UnknownBroker(broker));
    }
    let first = image.next_producer_id;
    image.next_producer_id = first
        .checked_add(PRODUCER_ID_BLOCK)
        .ok_or_else(|| Refusal::LimitReached("all producer ids are handed out".into()))?;
    Ok(Reply::ProducerIds {
        first: ProducerId(first),
        count: PRODUCER_ID_BLOCK,
    })
}

fn alter_configs(
    image: &mut MetadataImage,
    resource: ConfigResource,
    changes: Vec<ConfigChange>,
) -> Result<Reply, Refusal> {
    match resource {
        ConfigResource::Topic(name) => {
            let topic = image
                .topic(&name)
                .ok_or_else(|| Refusal::UnknownTopic(name.clone()))?;
            let configs = changed(&topic.configs, changes)?;
            let topic = Arc::new(Topic {
                configs: Arc::new(configs),
                ..Topic::clone(topic)
            });
            Arc::make_mut(&mut image.topics).insert(Arc::clone(&topic.name), Arc::clone(&topic));
            Ok(Reply::Topic(topic))
        }
        ConfigResource::Broker(id) => {
            if image.broker(id).is_none() {
                return Err(Refusal::UnknownBroker(id));
            }
            let empty = ConfigMap::new();
            let configs = changed(image.broker_configs(id).unwrap_or(&empty), changes)?;
            Arc::make_mut(&mut image.broker_configs).insert(id, configs);
            Ok(Reply::Done)
        }
        ConfigResource::Cluster => {
            image.cluster_configs = Arc::new(changed(&image.cluster_configs, changes)?);
            Ok(Reply::Done)
        }
        ConfigResource::Group(id) => alter_group(image, id, changes),
    }
}

fn alter_group(
    image: &mut MetadataImage,
    id: String,
    changes: Vec<ConfigChange>,
) -> Result<Reply, Refusal> {
    let known = image.group_configs.get(&id);
    if known.is_none() && image.group_configs.len() >= CONFIGURED_GROUPS_MAX {
        return Err(Refusal::LimitReached(format!(
            "{CONFIGURED_GROUPS_MAX} groups with settings"
        )));
    }
    let configs = changed(known.unwrap_or(&ConfigMap::new()), changes)?;
    let groups = Arc::make_mut(&mut image.group_configs);
    if configs.is_empty() {
        groups.remove(&id);
    } else {
        groups.insert(id, configs);
    }
    Ok(Reply::Done)
}

/// `current` with `changes` applied in order.
pub(crate) fn changed(
    current: &ConfigMap,
    changes: Vec<ConfigChange>,
) -> Result<ConfigMap, Refusal> {
    let mut configs = current.clone();
    for ConfigChange { name, op } in changes {
        match op {
            ConfigOp::Set(value) => {
                configs.insert(name, value);
            }
            ConfigOp::Delete => {
                configs.remove(&name);
            }
            ConfigOp::Append(value) => {
                let mut list = elements(configs.get(&name).map_or("", String::as_str));
                for element in elements(&value) {
                    if !list.contains(&element) {
                        list.push(element);
                    }
                }
                configs.insert(name, list.join(","));
            }
            ConfigOp::Subtract(value) => {
                let gone = elements(&value);
                let mut list = elements(configs.get(&name).map_or("", String::as_str));
                list.retain(|element| !gone.contains(element));
                configs.insert(name, list.join(","));
            }
        }
    }
    if configs.len() > CONFIGS_PER_RESOURCE_MAX {
        return Err(Refusal::LimitReached(format!(
            "{CONFIGS_PER_RESOURCE_MAX} settings on one resource"
        )));
    }
    Ok(configs)
}

/// The elements of a setting that is a list.
pub(crate) fn elements(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
