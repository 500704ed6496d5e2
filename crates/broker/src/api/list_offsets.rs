//! ListOffsets (2): offsets by time, or the ends of a log.

use super::items::{Pace, partitions_once};
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::{HostedPartition, check_leader_epoch};
use millstream_core::ids::LeaderEpoch;
use millstream_log::{PartitionLog, TimestampedOffset, UpTo};
use millstream_wire::ErrorCode;
use millstream_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// KIP-734.
const MAX_TIMESTAMP: i64 = -3;
/// KIP-405: the first offset that is not only in tiered storage.
const EARLIEST_LOCAL: i64 = -4;
/// KIP-1005: the last offset in tiered storage.
const LATEST_TIERED: i64 = -5;
/// KIP-1023: the first offset that is not in tiered storage yet.
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// ListOffsets.
pub(super) struct ListOffsets;

impl Handler for ListOffsets {
    type Request = ListOffsetsRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=11;

    async fn handle(
        context: RequestContext,
        request: ListOffsetsRequest,
    ) -> Answer<ListOffsetsResponse> {
        let up_to = if request.isolation_level == 1 {
            UpTo::LastStable
        } else {
            UpTo::HighWatermark
        };
        let mut asked = request.topics;
        partitions_once(
            &mut asked,
            |topic| topic.name.clone(),
            |topic| &mut topic.partitions,
            |partition| partition.partition_index,
        );
        let mut topics = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for topic in asked {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                pace.next().await;
                let index = asked.partition_index;
                let version = context.api_version;
                let found = find(&context.state, &topic.name, asked, up_to, version).await;
                partitions.push(match found {
                    Ok(found) => ListOffsetsPartitionResponse {
                        partition_index: index,
                        error_code: 0,
                        timestamp: found.map_or(-1, |f| f.timestamp_ms),
                        offset: found.map_or(-1, |f| f.offset.0),
                        // From 4 on there is a place for it (KIP-320).
                        leader_epoch: match found {
                            Some(found) if version >= 4 => found.leader_epoch.0,
                            _ => -1,
                        },
                    },
                    Err(error) => ListOffsetsPartitionResponse {
                        partition_index: index,
                        error_code: error.code.into(),
                        ..Default::default()
                    },
                });
            }
            topics.push(ListOffsetsTopicResponse {
                name: topic.name,
                partitions,
            });
        }
        ListOffsetsResponse {
            topics,
            ..Default::default()
        }
        .into()
    }
}

async fn find(
    state: &BrokerState,
    topic: &str,
    asked: ListOffsetsPartition,
    up_to: UpTo,
    version: i16,
) -> Result<Option<TimestampedOffset>, ApiError> {
    let code = |code: ErrorCode| ApiError::new(code, code.name());
    let HostedPartition { log, leader_epoch } = state
        .partition(topic, asked.partition_index)
        .map_err(code)?;
    check_leader_epoch(asked.current_leader_epoch, leader_epoch).map_err(code)?;
    let progress = log.progress();
    match asked.timestamp {
        LATEST => {
            let end = match up_to {
                UpTo::LastStable => progress.last_stable_offset,
                _ => progress.high_watermark,
            };
            // Whatever is written next is of the present epoch; as Kafka, also
            // where the last stable offset is older.
            Ok(Some(TimestampedOffset {
                offset: end,
                timestamp_ms: -1,
                leader_epoch,
            }))
        }
        EARLIEST => Ok(Some(earliest(&log, leader_epoch))),
        // All offsets are local while there is no tiered storage.
        EARLIEST_LOCAL if version >= 8 => Ok(Some(earliest(&log, leader_epoch))),
        LATEST_TIERED if version >= 9 => Ok(None),
        EARLIEST_PENDING_UPLOAD if version >= 11 => Ok(None),
        MAX_TIMESTAMP if version >= 7 => {
            let found = blocking(state, &log, |log| log.max_timestamp()).await?;
            let end = match up_to {
                UpTo::LastStable => progress.last_stable_offset,
                _ => progress.high_watermark,
            };
            // As Kafka: not the largest of what the reader may see, but none
            // while the largest of all is not decided.
            Ok(found.filter(|found| found.offset < end))
        }
        timestamp_ms if timestamp_ms >= 0 => {
            blocking(state, &log, move |log| {
                log.offset_for_timestamp(timestamp_ms, up_to)
            })
            .await
        }
        _ => Err(code(ErrorCode::UnsupportedVersion)),
    }
}

/// Searching by time reads files, and walks over the batch that it ends at,
/// however much that expands to: not many of them at once.
async fn blocking<T: Send + 'static>(
    state: &BrokerState,
    log: &Arc<PartitionLog>,
    search: impl FnOnce(&PartitionLog) -> Result<T, millstream_log::ReadError> + Send + 'static,
) -> Result<T, ApiError> {
    let log = Arc::clone(log);
    // Never closed.
    let _expanding = state.expansions().acquire().await;
    match tokio::task::spawn_blocking(move || search(&log)).await {
        Ok(found) => Ok(found?),
        Err(stopped) => Err(ApiError::new(
            ErrorCode::UnknownServerError,
            stopped.to_string(),
        )),
    }
}

/// The start of the log, and the epoch of the record there; with none, that of
/// the record to come.
fn earliest(log: &PartitionLog, leader_epoch: LeaderEpoch) -> TimestampedOffset {
    let progress = log.progress();
    let offset = progress.log_start_offset;
    let epoch = (offset < progress.log_end_offset)
        .then(|| log.epoch_at(offset))
        .flatten();
    TimestampedOffset {
        offset,
        timestamp_ms: -1,
        leader_epoch: epoch.unwrap_or(leader_epoch),
    }
}
