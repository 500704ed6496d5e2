//! A member of a classic group.

use bytes::Bytes;
use std::time::Duration;

/// Names a request that waits inside a group for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// An assignor that a member offers, with its subscription, opaque to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Name of the assignor, such as `range` or `cooperative-sticky`.
    pub name: String,
    /// The member's subscription as that assignor reads it.
    pub metadata: Bytes,
}

/// A member of a classic group.
#[derive(Debug, Clone)]
pub struct Member {
    /// Id given by the coordinator.
    pub id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Address it connects from, as `/1.2.3.4`.
    pub client_host: String,
    /// It is removed when it stays silent for this long.
    pub session_timeout: Duration,
    /// It has this long to join again when a rebalance begins.
    pub rebalance_timeout: Duration,
    /// Assignors in its order of preference.
    pub protocols: Vec<Protocol>,
    /// What the leader assigned to it in the current generation.
    pub assignment: Bytes,
    pub(super) awaiting_join: Option<Ticket>,
    pub(super) awaiting_sync: Option<Ticket>,
    /// It has joined a rebalance that is not complete: it does not know its
    /// id yet and so cannot send heartbeats.
    pub(super) is_new: bool,
    /// The last generation for which it sent a SyncGroup.
    pub(super) synced_generation: i32,
    pub(super) expires_at: Duration,
}

impl Member {
    /// Whether it offers the assignor.
    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| p.name == protocol)
    }

    /// Its subscription for the assignor; empty where it does not offer it.
    pub fn metadata_for(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|p| p.name == protocol)
            .map(|p| p.metadata.clone())
            .unwrap_or_default()
    }

    /// The deadline at which it is removed, if it can be now: a known member
    /// that waits inside a join or sync is alive by definition, its request
    /// is parked with us.
    pub(super) fn expiry(&self) -> Option<Duration> {
        let parked = self.awaiting_join.is_some() || self.awaiting_sync.is_some();
        (self.is_new || !parked).then_some(self.expires_at)
    }
}
