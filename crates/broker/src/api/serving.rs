//! How a partition is told of by Metadata and DescribeTopicPartitions.

use crate::state::BrokerState;
use crate::topics::{HostedTopic, Served};
use millstream_cluster::Topic;
use millstream_core::ids::BrokerId;
use millstream_wire::ErrorCode;
use std::sync::Arc;

/// The partitions of a topic, with what this node knows of their logs beyond
/// the metadata: a disk can fail without anybody having changed the metadata.
pub(super) struct Serving<'a> {
    topic: &'a Topic,
    hosted: Option<Arc<HostedTopic>>,
    node_id: BrokerId,
}

/// One partition; its fields are those of the responses.
pub(super) struct ServedPartition {
    pub(super) error_code: i16,
    pub(super) partition_index: i32,
    pub(super) leader_id: i32,
    pub(super) leader_epoch: i32,
    pub(super) replica_nodes: Vec<i32>,
    pub(super) isr_nodes: Vec<i32>,
    pub(super) offline_replicas: Vec<i32>,
}

impl<'a> Serving<'a> {
    pub(super) fn new(state: &BrokerState, topic: &'a Topic) -> Self {
        Self {
            topic,
            hosted: state.hosted(&topic.name),
            node_id: state.node_id(),
        }
    }

    /// `count` partitions from the one at `first` on.
    pub(super) fn partitions(
        &self,
        first: usize,
        count: usize,
    ) -> impl Iterator<Item = ServedPartition> {
        let partitions = self.topic.partitions.iter().enumerate();
        partitions
            .skip(first)
            .take(count)
            .map(|(index, partition)| {
                let mut told = ServedPartition {
                    error_code: ErrorCode::None.into(),
                    partition_index: i32::try_from(index).unwrap_or(i32::MAX),
                    leader_id: partition.leader.map_or(-1, |id| id.0),
                    leader_epoch: partition.leader_epoch.0,
                    replica_nodes: partition.replicas.iter().map(|id| id.0).collect(),
                    isr_nodes: partition.isr.iter().map(|id| id.0).collect(),
                    offline_replicas: Vec::new(),
                };
                let here = self.hosted.as_ref();
                match here.map_or(Served::Yes, |hosted| hosted.served(index)) {
                    Served::Yes => {}
                    // What is committed can still be read here, so the leader
                    // stays; nobody is in sync any more.
                    Served::ReadOnly => self.take_offline(&mut told),
                    Served::No => {
                        self.take_offline(&mut told);
                        told.leader_id = -1;
                    }
                }
                if told.leader_id < 0 {
                    told.error_code = ErrorCode::LeaderNotAvailable.into();
                }
                told
            })
    }

    fn take_offline(&self, told: &mut ServedPartition) {
        told.isr_nodes.retain(|id| *id != self.node_id.0);
        told.offline_replicas.push(self.node_id.0);
    }
}
