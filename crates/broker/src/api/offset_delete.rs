//! OffsetDelete (47): deletes committed offsets of a group (KIP-496).

use super::{Answer, Handler};
use crate::group::code_of;
use crate::state::RequestContext;
use bytes::Bytes;
use millstream_wire::ErrorCode;
use millstream_wire::codec::decode_versioned;
use millstream_wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use millstream_wire::records::consumer_protocol::ConsumerProtocolSubscription;
use std::ops::RangeInclusive;

/// OffsetDelete.
pub(super) struct OffsetDelete;

impl Handler for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(
        context: RequestContext,
        request: OffsetDeleteRequest,
    ) -> Answer<OffsetDeleteResponse> {
        let partitions: Vec<(String, i32)> = request
            .topics
            .into_iter()
            .flat_map(|topic| {
                let name = topic.name;
                topic
                    .partitions
                    .into_iter()
                    .map(move |p| (name.clone(), p.partition_index))
            })
            .collect();
        if request.group_id.is_empty() {
            return OffsetDeleteResponse {
                error_code: ErrorCode::InvalidGroupId.code(),
                ..Default::default()
            }
            .into();
        }
        let groups = context.state.groups();
        let is_known =
            |(topic, partition): &(String, i32)| context.state.partition(topic, *partition).is_ok();
        let known = partitions.iter().filter(|p| is_known(p)).cloned().collect();
        let deleted = groups
            .delete_offsets(&request.group_id, known, is_subscribed)
            .await;
        let mut results = match deleted {
            Ok(results) => results.into_iter(),
            Err(error) => {
                let error_code = error.code();
                return OffsetDeleteResponse {
                    error_code,
                    ..Default::default()
                }
                .into();
            }
        };
        let mut topics: Vec<OffsetDeleteResponseTopic> = Vec::new();
        for partition in partitions {
            let error_code = if is_known(&partition) {
                results.next().map_or(0, |result| code_of(&result))
            } else {
                ErrorCode::UnknownTopicOrPartition.code()
            };
            let (name, partition_index) = partition;
            let one = OffsetDeleteResponsePartition {
                partition_index,
                error_code,
            };
            match topics.last_mut().filter(|last| last.name == name) {
                Some(last) => last.partitions.push(one),
                None => topics.push(OffsetDeleteResponseTopic {
                    name,
                    partitions: vec![one],
                }),
            }
        }
        OffsetDeleteResponse {
            topics,
            ..Default::default()
        }
        .into()
    }
}

/// Whether a consumer's subscription names the topic. One that cannot be read
/// might.
fn is_subscribed(subscription: &[u8], topic: &str) -> bool {
    let subscription = Bytes::copy_from_slice(subscription);
    match decode_versioned::<ConsumerProtocolSubscription>(subscription) {
        Ok((_, subscription)) => subscription.topics.iter().any(|name| name == topic),
        Err(_) => true,
    }
}
