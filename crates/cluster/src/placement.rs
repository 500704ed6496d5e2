//! Which brokers hold which partition. Pure.

use crate::command::Refusal;
use crate::image::{Broker, MetadataImage};
use millstream_core::ids::BrokerId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Places `count` partitions with `replication_factor` copies each, round
/// robin. Starts where the cluster's partition count says, so that many small
/// topics spread over the brokers as one large one does.
pub(crate) fn place(
    image: &MetadataImage,
    count: usize,
    replication_factor: i16,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let brokers: Vec<BrokerId> = image.brokers().map(|b: &Arc<Broker>| b.id).collect();
    let copies = usize::try_from(replication_factor).unwrap_or(0);
    if copies == 0 || copies > brokers.len() {
        return Err(Refusal::InvalidReplicationFactor {
            asked: replication_factor,
            available: brokers.len(),
        });
    }
    let start = image.partition_count();
    Ok((0..count)
        .map(|p| {
            brokers
                .iter()
                .cycle()
                .skip((start + p) % brokers.len())
                .take(copies)
                .copied()
                .collect()
        })
        .collect())
}

/// Checks replicas that a caller named.
pub(crate) fn check(image: &MetadataImage, assignments: &[Vec<BrokerId>]) -> Result<(), Refusal> {
    let copies = assignments.first().map_or(0, Vec::len);
    for replicas in assignments {
        if replicas.is_empty() || replicas.len() != copies {
            return Err(Refusal::InvalidAssignment(
                "every partition needs the same number of replicas, at least one".into(),
            ));
        }
        if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
            return Err(Refusal::InvalidAssignment(
                "a broker is named twice for one partition".into(),
            ));
        }
        if let Some(unknown) = replicas.iter().find(|id| image.broker(**id).is_none()) {
            return Err(Refusal::InvalidAssignment(format!(
                "broker {unknown} is not registered"
            )));
        }
    }
    Ok(())
}
