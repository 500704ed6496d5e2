//! Who leads instead, and where: what Produce and Fetch add to an error that
//! says so, so that a client need not ask for the metadata (KIP-951).

use crate::state::BrokerState;
use millstream_cluster::{Broker, MetadataImage};
use millstream_core::ids::{BrokerId, PartitionId};
use millstream_wire::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The hints of one response.
pub(super) struct LeaderHints {
    image: Arc<MetadataImage>,
    named: BTreeSet<BrokerId>,
}

/// A leader and its epoch, as responses carry them.
pub(super) struct LeaderHint {
    pub(super) leader_id: i32,
    pub(super) leader_epoch: i32,
}

impl LeaderHints {
    pub(super) fn new(state: &BrokerState) -> Self {
        Self {
            image: state.image(),
            named: BTreeSet::new(),
        }
    }

    /// Who leads the partition, if the error is about that and somebody does.
    pub(super) fn hint(
        &mut self,
        code: ErrorCode,
        topic: &str,
        partition: i32,
    ) -> Option<LeaderHint> {
        let about_leader = matches!(
            code,
            ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
        );
        let state = self.image.partition(topic, PartitionId(partition))?;
        let leader = state.leader.filter(|_| about_leader)?;
        self.named.insert(leader);
        Some(LeaderHint {
            leader_id: leader.0,
            leader_epoch: state.leader_epoch.0,
        })
    }

    /// The brokers that were named.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Broker> {
        let named = self.named.iter();
        named.filter_map(|id| self.image.broker(*id).map(|broker| &**broker))
    }
}
