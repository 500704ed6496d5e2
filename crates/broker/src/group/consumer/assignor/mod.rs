//! The broker's assignors: who is to own what.
//!
//! Both are deterministic, give every partition that somebody wants to
//! exactly one member that wants it, and ignore racks: replicas of a
//! partition in the member's own rack are not preferred (nor are they by
//! Kafka's since 4.0).

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use super::assignment::Assignment;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// An assignor of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Evenly over all partitions, moving as few as possible.
    Uniform,
    /// For each topic a range of partitions to each member, so that equal
    /// partitions of equal topics meet in one member.
    Range,
}

impl Assignor {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// Computes the target assignment of every member, in the order given.
    pub fn assign(self, demand: &Demand<'_>) -> Vec<Assignment> {
        match self {
            Self::Uniform => uniform::assign(demand),
            Self::Range => range::assign(demand),
        }
    }
}

/// Who wants what.
#[derive(Debug, Default)]
pub struct Demand<'a> {
    /// Number of partitions of every topic that somebody wants and that
    /// exists.
    pub topics: BTreeMap<Uuid, i32>,
    /// The members, each once.
    pub members: Vec<MemberDemand<'a>>,
}

/// What one member wants and has.
#[derive(Debug)]
pub struct MemberDemand<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its `group.instance.id`.
    pub instance_id: Option<&'a str>,
    /// Topics that it wants and that exist.
    pub topics: BTreeSet<Uuid>,
    /// What it was to own so far.
    pub target: &'a Assignment,
}
