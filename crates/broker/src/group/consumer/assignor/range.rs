//! The range assignor.

use super::{Assignment, Demand, MemberDemand};

/// Contiguous ranges of each topic, in the order of instance ids, then of
/// member ids: the order, and with it the co-partitioning, survives a static
/// member that comes back under a new member id.
pub(super) fn assign(demand: &Demand<'_>) -> Vec<Assignment> {
    let mut order: Vec<usize> = (0..demand.members.len()).collect();
    order.sort_by_key(|index| rank(&demand.members[*index]));
    let mut assignments = vec![Assignment::default(); demand.members.len()];
    for (topic, partitions) in &demand.topics {
        let wants = |index: &&usize| demand.members[**index].topics.contains(topic);
        let subscribers: Vec<usize> = order.iter().filter(wants).copied().collect();
        let count = i32::try_from(subscribers.len()).unwrap_or(i32::MAX).max(1);
        let (least, with_one_more) = (partitions / count, partitions % count);
        let mut next = 0;
        for (index, member) in (0..).zip(subscribers) {
            let size = least + i32::from(index < with_one_more);
            for partition in next..next + size {
                assignments[member].insert(*topic, partition);
            }
            next += size;
        }
    }
    assignments
}

/// Static members come first.
fn rank<'a>(member: &MemberDemand<'a>) -> (bool, &'a str, &'a str) {
    match member.instance_id {
        Some(instance) => (false, instance, member.id),
        None => (true, "", member.id),
    }
}
