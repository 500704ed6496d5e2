//! How far behind a job is while it does not read: between two lives, and
//! while it restores its state.

use super::JobEnv;
use super::stats::JobStats;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::OffsetAt;
use parking_lot::Mutex;
use std::time::Duration;

/// How often the ends of the source's partitions are asked for.
const PERIOD: Duration = Duration::from_secs(1);

/// Where a job's committed work ends in a partition of its source.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub(super) partition: TopicPartition,
    pub(super) next: Offset,
    /// Where bounded input ends.
    pub(super) bound: Option<Offset>,
}

/// Keeps `lag_records` true, from what is committed to what can be read. Where
/// the log does not answer, the last figure stays.
pub(super) async fn watch(env: &JobEnv, stats: &Mutex<JobStats>) {
    loop {
        let committed = stats.lock().committed.clone();
        let partitions: Vec<TopicPartition> =
            committed.iter().map(|c| c.partition.clone()).collect();
        if !partitions.is_empty()
            && let Ok(ends) = env.bus.offsets(&partitions, OffsetAt::LatestStable).await
        {
            stats.lock().lag_records = Some(lag(&committed, &ends));
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn lag(committed: &[Committed], ends: &[Offset]) -> i64 {
    committed
        .iter()
        .zip(ends)
        .map(|(c, end)| {
            let end = c.bound.map_or(*end, |bound| bound.min(*end));
            end.0.saturating_sub(c.next.0).max(0)
        })
        .sum()
}
