//! The read of a fetch: over many partitions, within bounds, waiting without
//! polling.

use super::sessions::{TopicKey, Wanted};
use crate::state::BrokerState;
use crate::stats::TopicStats;
use crate::topics::{HostedTopic, check_leader_epoch};
use bytes::Bytes;
use millstream_core::ids::Offset;
use millstream_log::{FetchRequest, FetchedBatches, PartitionLog, UpTo};
use millstream_wire::ErrorCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// A reader this many records behind the end reads what may no longer be in
/// the page cache, so it reads on a thread that may block.
const CATCH_UP_RECORDS: i64 = 100_000;

/// Bytes of a fetch while the node's budget is used up; or one batch.
const BYTES_WITHOUT_ROOM: usize = 64 * 1024;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) up_to: UpTo,
    pub(crate) bytes_min: usize,
    pub(crate) bytes_max: usize,
    pub(crate) wait_max: Duration,
}

/// What one partition gave.
pub(crate) struct PartitionRead {
    pub(crate) wanted: Wanted,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) result: Result<FetchedBatches, ErrorCode>,
}

/// A partition to read, resolved.
struct Target {
    wanted: Wanted,
    name: Option<Arc<str>>,
    source: Result<Source, ErrorCode>,
}

#[derive(Clone)]
struct Source {
    log: Arc<PartitionLog>,
    stats: Arc<TopicStats>,
}

/// A fetch that is under way.
pub(crate) struct Reading {
    state: Arc<BrokerState>,
    targets: Vec<Target>,
    bounds: Bounds,
    waker: Arc<Notify>,
    deadline: tokio::time::Instant,
}

impl Reading {
    pub(crate) fn new(state: Arc<BrokerState>, wanted: Vec<Wanted>, bounds: Bounds) -> Self {
        let targets = wanted
            .into_iter()
            .map(|wanted| resolve(&state, wanted))
            .collect();
        let deadline = tokio::time::Instant::now() + bounds.wait_max;
        Self {
            state,
            targets,
            bounds,
            waker: Arc::new(Notify::new()),
            deadline,
        }
    }

    /// Reads once; `None` when it is too little and there is time to wait.
    pub(crate) async fn attempt(&self) -> Option<Vec<PartitionRead>> {
        // Registered before the look: what happens in between wakes us.
        for source in self.targets.iter().filter_map(|t| t.source.as_ref().ok()) {
            source.log.wake_on_progress(&self.waker);
        }
        let over = self.deadline <= tokio::time::Instant::now()
            || self.state.stopping().is_cancelled()
            || self.bounds.bytes_min == 0
            || self.targets.is_empty();
        if !over && !self.targets.iter().any(|t| self.has_news(t)) {
            return None;
        }
        let read = self.read().await;
        let bytes: usize = read
            .iter()
            .filter_map(|r| r.result.as_ref().ok())
            .map(|b| b.batches.len())
            .sum();
        let failed = read.iter().any(|r| r.result.is_err());
        if !over && !failed && bytes < self.bounds.bytes_min {
            return None;
        }
        for (target, read) in self.targets.iter().zip(&read) {
            if let (Ok(source), Ok(batches)) = (&target.source, &read.result) {
                let records = batches.next_offset.0.saturating_sub(target.wanted.offset);
                source.stats.fetched(
                    u64::try_from(records).unwrap_or(0),
                    batches.batches.len() as u64,
                );
            }
        }
        Some(read)
    }

    /// Waits for enough, or for the end of the time allowed.
    pub(crate) async fn wait(self) -> Vec<PartitionRead> {
        loop {
            tokio::select! {
                () = self.waker.notified() => {}
                () = self.state.stopping().cancelled() => {}
                () = tokio::time::sleep_until(self.deadline) => {}
            }
            if let Some(read) = self.attempt().await {
                return read;
            }
        }
    }

    /// Whether a read would give records or an error.
    fn has_news(&self, target: &Target) -> bool {
        let Ok(source) = &target.source else {
            return true;
        };
        let progress = source.log.progress();
        let end = match self.bounds.up_to {
            UpTo::HighWatermark => progress.high_watermark,
            UpTo::LastStable => progress.last_stable_offset,
            UpTo::LogEnd => progress.log_end_offset,
        };
        let offset = Offset(target.wanted.offset);
        let outside = offset < progress.log_start_offset || offset > progress.log_end_offset;
        offset < end || outside || progress.failure.is_some()
    }

    async fn read(&self) -> Vec<PartitionRead> {
        let (limit, permit) = self.room();
        let mut left = limit;
        let mut read = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            let result = match &target.source {
                Ok(source) => {
                    self.read_one(source, &target.wanted, left, left == limit)
                        .await
                }
                Err(code) => Err(*code),
            };
            if let Ok(batches) = &result {
                left = left.saturating_sub(batches.batches.len());
            }
            read.push(PartitionRead {
                wanted: target.wanted.clone(),
                name: target.name.clone(),
                result,
            });
        }
        hold(&mut read, permit);
        read
    }

    /// How much may be read, and the part of the node's budget for it. Never
    /// waits: slow clients can hold the budget for long, and others would
    /// stand still with them. Without room, each fetch gets a little.
    fn room(&self) -> (usize, Option<OwnedSemaphorePermit>) {
        let wanted = self.targets.iter().fold(0usize, |sum, target| {
            sum.saturating_add(usize::try_from(target.wanted.bytes_max).unwrap_or(0))
        });
        let bounds = self
            .bounds
            .bytes_max
            .min(self.state.limits().fetched_bytes_max);
        let limit = bounds.min(wanted);
        let permits = u32::try_from(limit).unwrap_or(u32::MAX);
        match Arc::clone(self.state.fetched_budget()).try_acquire_many_owned(permits) {
            Ok(permit) => (limit, Some(permit)),
            Err(_) => (limit.min(BYTES_WITHOUT_ROOM), None),
        }
    }

    async fn read_one(
        &self,
        source: &Source,
        wanted: &Wanted,
        left: usize,
        first: bool,
    ) -> Result<FetchedBatches, ErrorCode> {
        let request = FetchRequest {
            offset: Offset(wanted.offset),
            bytes_max: left.min(usize::try_from(wanted.bytes_max).unwrap_or(0)),
            // KIP-74: only the first partition with records may go beyond the
            // bounds, or the response could be of any size.
            min_one_batch: first,
            up_to: self.bounds.up_to,
        };
        let behind = source.log.high_watermark().0.saturating_sub(wanted.offset);
        let log = Arc::clone(&source.log);
        let result = if behind > CATCH_UP_RECORDS {
            match tokio::task::spawn_blocking(move || log.read(request)).await {
                Ok(result) => result,
                Err(_) => return Err(ErrorCode::UnknownServerError),
            }
        } else {
            log.read(request)
        };
        result.map_err(|error| {
            let error = crate::error::ApiError::from(error);
            if error.code != ErrorCode::OffsetOutOfRange {
                tracing::error!(partition = %source.log.topic_partition(), error = error.message, "read failed");
            }
            error.code
        })
    }
}

/// Bytes that hold a part of the node's budget until they have been sent.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ties the budget to the bytes that were read; the rest is given back.
fn hold(read: &mut [PartitionRead], permit: Option<OwnedSemaphorePermit>) {
    let Some(mut permit) = permit else { return };
    for batches in read.iter_mut().filter_map(|r| r.result.as_mut().ok()) {
        // A first batch beyond the bounds is not in the permit; it is one.
        if let Some(part) = permit.split(batches.batches.len())
            && !batches.batches.is_empty()
        {
            let bytes = std::mem::take(&mut batches.batches);
            batches.batches = Bytes::from_owner(Held {
                bytes,
                _permit: part,
            });
        }
    }
}

fn resolve(state: &BrokerState, wanted: Wanted) -> Target {
    let hosted = match &wanted.topic {
        TopicKey::Name(name) => state.hosted(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        TopicKey::Id(id) => state.hosted_by_id(*id).ok_or_else(|| {
            // A session that knew the topic by name can tell one that was
            // created again from one that is not there.
            match wanted
                .known_as
                .as_deref()
                .and_then(|name| state.hosted(name))
            {
                Some(_) => ErrorCode::InconsistentTopicId,
                None => ErrorCode::UnknownTopicId,
            }
        }),
    };
    let name = hosted
        .as_ref()
        .ok()
        .map(|hosted| Arc::clone(&hosted.topic.name));
    let source = hosted.and_then(|hosted: Arc<HostedTopic>| {
        let partition = hosted.partition(wanted.partition)?;
        check_leader_epoch(wanted.leader_epoch, partition.leader_epoch)?;
        Ok(Source {
            log: partition.log,
            stats: Arc::clone(&hosted.stats),
        })
    });
    Target {
        wanted,
        name,
        source,
    }
}
