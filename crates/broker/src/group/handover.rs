//! What is left to do of a cooperative rebalance when a static member is
//! replaced.
//!
//! In a cooperative rebalance (KIP-429) a member first gives up what others are
//! to have, and then joins once more, so that the next generation hands it out.
//! A static member whose process ends in between never does: the new process
//! takes over the smaller assignment without a rebalance (KIP-345), and the
//! partitions that were given up belong to nobody until something else begins
//! one. Apache Kafka leaves them there.

use super::member::Member;
use millstream_wire::codec::decode_versioned;
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use std::collections::HashSet;

/// Whether the member had partitions when it last joined that its assignment
/// takes from it. What no consumer wrote says nothing. With assignors that are
/// not cooperative all is given up before a member joins; one that tells of
/// partitions all the same costs a rebalance when its process starts again.
pub(super) fn is_owed(member: &Member, assignor: &str) -> bool {
    let subscription = member.metadata_for(assignor);
    let Ok((_, subscription)) = decode_versioned::<ConsumerProtocolSubscription>(subscription)
    else {
        return false;
    };
    let assigned = match member.assignment.is_empty() {
        true => Vec::new(),
        false => match decode_versioned::<ConsumerProtocolAssignment>(member.assignment.clone()) {
            Ok((_, assignment)) => assignment.assigned_partitions,
            Err(_) => return false,
        },
    };
    let assigned: HashSet<_> = each(&assigned).collect();
    each(&subscription.owned_partitions).any(|owned| !assigned.contains(&owned))
}

fn each(topics: &[TopicPartitions]) -> impl Iterator<Item = (&str, i32)> {
    topics
        .iter()
        .flat_map(|t| t.partitions.iter().map(|p| (t.topic.as_str(), *p)))
}
