//! Where reading a table begins (`scan.startup.mode`), for a job that has no
//! epoch yet and for a bounded read.

use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{Bus, BusError, OffsetAt};
use millstream_sql::catalog::{OffsetReset, StartupMode};
use std::collections::BTreeMap;

/// Why there is no beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// The log.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A group that has nothing to say of a partition.
    #[error(
        "group '{group}' has committed no offset of {partition} that is still there: add \
         'properties.auto.offset.reset' = 'earliest' or 'latest' to the table"
    )]
    NothingCommitted {
        /// Whose.
        group: String,
        /// Where.
        partition: TopicPartition,
    },
    /// An offset that the partition does not have.
    #[error(
        "{partition} has no offset {offset}, it holds {start} to {end}: change the table's \
         'scan.startup.specific-offsets'"
    )]
    NoOffset {
        /// Where.
        partition: TopicPartition,
        /// What was asked for.
        offset: i64,
        /// Its first offset.
        start: Offset,
        /// One past its last.
        end: Offset,
    },
    /// A partition that the topic does not have.
    #[error(
        "topic {topic} has no partition {partition}: change the table's \
         'scan.startup.specific-offsets'"
    )]
    NoPartition {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
}

/// What partitions hold: first offsets, and stable ends.
#[derive(Debug, Clone)]
pub struct Held {
    /// The first offset that is still there.
    pub starts: Vec<Offset>,
    /// One past the last that can be read.
    pub ends: Vec<Offset>,
}

impl Held {
    /// Asks for both.
    pub async fn of(bus: &dyn Bus, partitions: &[TopicPartition]) -> Result<Self, BusError> {
        Ok(Self {
            ends: bus.offsets(partitions, OffsetAt::LatestStable).await?,
            starts: bus.offsets(partitions, OffsetAt::Earliest).await?,
        })
    }

    fn has(&self, partition: usize, offset: Offset) -> bool {
        let start = self.starts.get(partition);
        let end = self.ends.get(partition);
        start.is_some_and(|s| *s <= offset) && end.is_some_and(|e| offset <= *e)
    }
}

/// The offset at which each of a topic's partitions, all of them, begins.
pub async fn begin(
    bus: &dyn Bus,
    mode: &StartupMode,
    partitions: &[TopicPartition],
    held: &Held,
) -> Result<Vec<Offset>, StartupError> {
    match mode {
        StartupMode::Earliest => Ok(held.starts.clone()),
        StartupMode::Latest => Ok(held.ends.clone()),
        StartupMode::TimestampMs(ms) => {
            Ok(bus.offsets(partitions, OffsetAt::TimestampMs(*ms)).await?)
        }
        StartupMode::GroupOffsets { group, reset } => {
            let committed = bus.committed(group, partitions).await?;
            group_offsets(group, *reset, partitions, &committed, held)
        }
        StartupMode::SpecificOffsets { offsets, group } => {
            let committed = match group {
                Some(group) => bus.committed(group, partitions).await?,
                None => vec![None; partitions.len()],
            };
            specific_offsets(offsets, partitions, &committed, held)
        }
    }
}

fn group_offsets(
    group: &str,
    reset: OffsetReset,
    partitions: &[TopicPartition],
    committed: &[Option<Offset>],
    held: &Held,
) -> Result<Vec<Offset>, StartupError> {
    let mut begin = Vec::with_capacity(partitions.len());
    for (i, partition) in partitions.iter().enumerate() {
        let known = committed.get(i).copied().flatten();
        let known = known.filter(|offset| held.has(i, *offset));
        let other = match reset {
            OffsetReset::None => None,
            OffsetReset::Earliest => held.starts.get(i).copied(),
            OffsetReset::Latest => held.ends.get(i).copied(),
        };
        begin.push(
            known
                .or(other)
                .ok_or_else(|| StartupError::NothingCommitted {
                    group: group.to_owned(),
                    partition: partition.clone(),
                })?,
        );
    }
    Ok(begin)
}

fn specific_offsets(
    offsets: &BTreeMap<i32, i64>,
    partitions: &[TopicPartition],
    committed: &[Option<Offset>],
    held: &Held,
) -> Result<Vec<Offset>, StartupError> {
    let there = |number: &i32| partitions.iter().any(|p| p.partition.0 == *number);
    if let (Some(partition), Some(first)) = (offsets.keys().find(|p| !there(p)), partitions.first())
    {
        return Err(StartupError::NoPartition {
            topic: first.topic.clone(),
            partition: *partition,
        });
    }
    let mut begin = Vec::with_capacity(partitions.len());
    for (i, partition) in partitions.iter().enumerate() {
        let start = held.starts.get(i).copied().unwrap_or_default();
        begin.push(match offsets.get(&partition.partition.0) {
            Some(offset) if held.has(i, Offset(*offset)) => Offset(*offset),
            Some(offset) => {
                return Err(StartupError::NoOffset {
                    partition: partition.clone(),
                    offset: *offset,
                    start,
                    end: held.ends.get(i).copied().unwrap_or_default(),
                });
            }
            None => committed
                .get(i)
                .copied()
                .flatten()
                .filter(|offset| held.has(i, *offset))
                .unwrap_or(start),
        });
    }
    Ok(begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ports::bus::all_partitions;
    use millstream_core::ports::memory_bus::MemoryBus;
    use millstream_core::ports::{ProduceRecord, TopicSpec};
    use std::sync::Arc;
    use std::time::Duration;

    /// A topic of three partitions with ten records each, of which the first
    /// three are gone; group `g` has committed 5 of partition 0 and 1 of
    /// partition 1, which is gone.
    async fn bus() -> Arc<MemoryBus> {
        let bus = MemoryBus::shared();
        let spec = TopicSpec {
            name: "orders".into(),
            partitions: 3,
            configs: BTreeMap::new(),
        };
        bus.create_topic(spec).await.unwrap();
        let all = all_partitions("orders", 3);
        let mut writer = bus.writer().await.unwrap();
        for partition in &all {
            let records = vec![ProduceRecord::default(); 10];
            writer.send(partition, records).await.unwrap();
        }
        let gone: Vec<_> = all.iter().map(|p| (p.clone(), Offset(3))).collect();
        bus.delete_records(&gone).await.unwrap();
        let mut writer = bus
            .transaction_writer("t", Duration::from_secs(60))
            .await
            .unwrap();
        writer.begin().await.unwrap();
        let offsets = [(all[0].clone(), Offset(5)), (all[1].clone(), Offset(1))];
        writer.send_offsets("g", &offsets).await.unwrap();
        writer.commit().await.unwrap();
        bus
    }

    async fn of(mode: StartupMode) -> Result<Vec<i64>, String> {
        let bus = bus().await;
        let all = all_partitions("orders", 3);
        let held = Held::of(bus.as_ref(), &all).await.unwrap();
        begin(bus.as_ref(), &mode, &all, &held)
            .await
            .map(|offsets| offsets.iter().map(|o| o.0).collect())
            .map_err(|e| e.to_string())
    }

    fn group(reset: OffsetReset) -> StartupMode {
        StartupMode::GroupOffsets {
            group: "g".into(),
            reset,
        }
    }

    fn specific(offsets: &[(i32, i64)], group: Option<&str>) -> StartupMode {
        StartupMode::SpecificOffsets {
            offsets: offsets.iter().copied().collect(),
            group: group.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn a_group_begins_where_it_has_committed_and_else_as_it_says() {
        assert_eq!(of(group(OffsetReset::Earliest)).await, Ok(vec![5, 3, 3]));
        assert_eq!(of(group(OffsetReset::Latest)).await, Ok(vec![5, 10, 10]));
        let error = of(group(OffsetReset::None)).await.unwrap_err();
        assert!(error.contains("group 'g'"), "{error}");
        assert!(error.contains("orders-1"), "{error}");
        assert!(error.contains("auto.offset.reset"), "{error}");
    }

    #[tokio::test]
    async fn specific_offsets_begin_there_and_the_rest_as_committed_or_at_the_start() {
        assert_eq!(of(specific(&[(2, 7)], None)).await, Ok(vec![3, 3, 7]));
        assert_eq!(
            of(specific(&[(2, 10)], Some("g"))).await,
            Ok(vec![5, 3, 10])
        );
    }

    #[tokio::test]
    async fn offsets_that_are_not_there_are_named() {
        for offset in [2, 11] {
            let error = of(specific(&[(0, offset)], None)).await.unwrap_err();
            let expected = format!("orders-0 has no offset {offset}, it holds 3 to 10");
            assert!(error.contains(&expected), "{error}");
        }
        let error = of(specific(&[(3, 0)], None)).await.unwrap_err();
        assert!(error.contains("topic orders has no partition 3"), "{error}");
    }
}
