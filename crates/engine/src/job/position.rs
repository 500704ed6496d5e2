//! Where a job is in its source's partitions.

use super::{JobEnv, JobError};
use crate::changelog::{Control, PartitionPosition};
use crate::operators::WATERMARK_NONE;
use crate::source::startup::{Held, begin};
use millstream_core::ids::{Offset, TopicId, TopicPartition};
use millstream_core::ports::TopicInfo;
use millstream_core::ports::bus::all_partitions;
use millstream_sql::catalog::{BoundedMode, TableDef};

/// One partition of the source.
#[derive(Debug, Clone)]
pub(super) struct Position {
    pub(super) partition: TopicPartition,
    /// Nil where the cluster tells none.
    pub(super) topic_id: TopicId,
    pub(super) next: Offset,
    /// Where bounded input ends.
    pub(super) bound: Option<Offset>,
    /// The partition's end as last seen.
    pub(super) log_end: Offset,
    pub(super) watermark_ms: i64,
}

impl Position {
    /// Bounded input that has been read to its bound.
    pub(super) fn is_finished(&self) -> bool {
        self.bound.is_some_and(|bound| self.next >= bound)
    }

    /// Nothing more can be read now.
    pub(super) fn is_caught_up(&self) -> bool {
        self.next >= self.log_end
    }

    /// Records that can be read and have not been.
    pub(super) fn lag(&self) -> i64 {
        let end = self
            .bound
            .map_or(self.log_end, |bound| bound.min(self.log_end));
        end.0.saturating_sub(self.next.0).max(0)
    }

    pub(super) fn stored(&self, watermark_ms: i64) -> PartitionPosition {
        PartitionPosition {
            topic: self.partition.topic.clone(),
            partition: self.partition.partition.0,
            topic_id: (!self.topic_id.is_nil()).then_some(self.topic_id),
            offset: self.next.0,
            end: self.bound.map(|bound| bound.0),
            watermark_ms,
        }
    }
}

/// Where a job goes on: after its last epoch, else where its table says that
/// a new job begins. Partitions added since are read from their start.
pub(super) async fn positions(
    table: &TableDef,
    topic: &TopicInfo,
    control: Option<&Control>,
    env: &JobEnv,
) -> Result<Vec<Position>, JobError> {
    let connector = &table.connector;
    let before = control.iter().flat_map(|control| &control.partitions);
    let replaced = before
        .filter(|stored| stored.topic == topic.name && !topic.id.is_nil())
        .any(|stored| stored.topic_id.is_some_and(|id| id != topic.id));
    if replaced {
        return Err(JobError::InputReplaced(topic.name.clone()));
    }
    let all = all_partitions(&connector.topic, topic.partitions);
    let bus = env.bus.as_ref();
    let held = Held::of(bus, &all).await?;
    let begin = match control {
        Some(_) => held.starts.clone(),
        None => begin(bus, &connector.startup, &all, &held).await?,
    };
    let bounded = connector.bounded == BoundedMode::Latest;
    let mut positions = Vec::with_capacity(all.len());
    for (i, partition) in all.into_iter().enumerate() {
        let stored = control.and_then(|c| {
            c.partitions
                .iter()
                .find(|p| p.topic == partition.topic && p.partition == partition.partition.0)
        });
        // A bound is fixed when the job first starts; partitions added to
        // bounded input later are past it.
        let position = match stored {
            Some(stored) => Position {
                partition,
                topic_id: topic.id,
                next: Offset(stored.offset),
                bound: stored.end.map(Offset),
                log_end: held.ends[i],
                watermark_ms: stored.watermark_ms,
            },
            None if control.is_some() && bounded => continue,
            None => Position {
                partition,
                topic_id: topic.id,
                next: begin[i],
                bound: bounded.then_some(held.ends[i]),
                log_end: held.ends[i],
                watermark_ms: WATERMARK_NONE,
            },
        };
        if position.next < held.starts[i] && !position.is_finished() {
            return Err(JobError::InputLost {
                topic_partition: position.partition.to_string(),
                offset: position.next.0,
            });
        }
        positions.push(position);
    }
    Ok(positions)
}
