//! OffsetForLeaderEpoch (23): where an epoch ended, so that a consumer can
//! tell that records it has read were lost (KIP-320).

use super::items::{Pace, partitions_once};
use super::{Answer, Handler};
use crate::state::{BrokerState, RequestContext};
use crate::topics::check_leader_epoch;
use millstream_wire::ErrorCode;
use millstream_wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use std::ops::RangeInclusive;

/// OffsetForLeaderEpoch.
pub(super) struct OffsetForLeaderEpoch;

impl Handler for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    const VERSIONS: RangeInclusive<i16> = 2..=4;

    async fn handle(
        context: RequestContext,
        request: OffsetForLeaderEpochRequest,
    ) -> Answer<OffsetForLeaderEpochResponse> {
        let mut asked = request.topics;
        partitions_once(
            &mut asked,
            |topic| topic.topic.clone(),
            |topic| &mut topic.partitions,
            |partition| partition.partition,
        );
        let mut topics = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for topic in asked {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                pace.next().await;
                let partition = asked.partition;
                let found = find(&context.state, &topic.topic, &asked);
                partitions.push(found.unwrap_or_else(|code| EpochEndOffset {
                    error_code: code.into(),
                    partition,
                    ..Default::default()
                }));
            }
            topics.push(OffsetForLeaderTopicResult {
                topic: topic.topic,
                partitions,
            });
        }
        OffsetForLeaderEpochResponse {
            topics,
            ..Default::default()
        }
        .into()
    }
}

fn find(
    state: &BrokerState,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    let partition = state.partition(topic, asked.partition)?;
    check_leader_epoch(asked.current_leader_epoch, partition.leader_epoch)?;
    // An epoch that is not known yet has no end: -1.
    let end = partition.end_of_epoch(asked.leader_epoch);
    Ok(EpochEndOffset {
        error_code: 0,
        partition: asked.partition,
        leader_epoch: end.map_or(-1, |(epoch, _)| epoch.0),
        end_offset: end.map_or(-1, |(_, offset)| offset.0),
    })
}
