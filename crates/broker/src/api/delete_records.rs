//! DeleteRecords (21): removes records below an offset.

use super::items::{Pace, partitions_once};
use super::{Answer, Handler};
use crate::error::ApiError;
use crate::state::{BrokerState, RequestContext};
use crate::topics::refuse_job_state;
use millstream_core::ids::Offset;
use millstream_wire::ErrorCode;
use millstream_wire::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use std::ops::RangeInclusive;

/// Offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// DeleteRecords.
pub(super) struct DeleteRecords;

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: DeleteRecordsRequest,
    ) -> Answer<DeleteRecordsResponse> {
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
            for partition in topic.partitions {
                pace.next().await;
                let index = partition.partition_index;
                let deleted = match refuse_job_state(&context.client_id, &topic.name, "cut") {
                    Ok(()) => delete(&context.state, &topic.name, index, partition.offset).await,
                    Err(error) => Err(error),
                };
                let (low_watermark, error_code) = match deleted {
                    Ok(low_watermark) => (low_watermark.0, 0),
                    Err(error) => (-1, error.code.into()),
                };
                partitions.push(DeleteRecordsPartitionResult {
                    partition_index: index,
                    low_watermark,
                    error_code,
                });
            }
            topics.push(DeleteRecordsTopicResult {
                name: topic.name,
                partitions,
            });
        }
        DeleteRecordsResponse {
            topics,
            ..Default::default()
        }
        .into()
    }
}

/// Returns the new start of the log.
pub(crate) async fn delete(
    state: &BrokerState,
    topic: &str,
    partition: i32,
    before: i64,
) -> Result<Offset, ApiError> {
    crate::topics::refuse_internal(topic, "cut").map_err(|error| ApiError {
        code: ErrorCode::InvalidTopicException,
        ..error
    })?;
    let log = state
        .partition(topic, partition)
        .map_err(|code| ApiError::new(code, format!("{topic}-{partition}: {}", code.name())))?
        .log;
    // Of a topic that is only compacted this would take the newest value of a
    // key.
    if state
        .hosted(topic)
        .is_some_and(|hosted| !hosted.settings.is_deleted_from())
    {
        return Err(ApiError::new(
            ErrorCode::PolicyViolation,
            format!("{topic}: its cleanup.policy has no 'delete'"),
        ));
    }
    let before = if before == HIGH_WATERMARK {
        log.high_watermark()
    } else {
        Offset(before)
    };
    let deleted = tokio::task::spawn_blocking(move || log.delete_records_before(before)).await;
    match deleted {
        Ok(low_watermark) => Ok(low_watermark?),
        Err(stopped) => Err(ApiError::new(
            ErrorCode::UnknownServerError,
            stopped.to_string(),
        )),
    }
}
