//! ConsumerGroupHeartbeat (68): joins, keeps alive and leaves a consumer
//! group (KIP-848).

use super::{Answer, Handler};
use crate::group::{Assignment, ConsumerHeartbeat, GroupError, HeartbeatAnswer};
use crate::state::RequestContext;
use crate::task::started;
use millstream_wire::messages::consumer_group_heartbeat as wire;
use millstream_wire::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use std::ops::RangeInclusive;
use std::time::Duration;

/// ConsumerGroupHeartbeat.
pub(super) struct ConsumerGroupHeartbeat;

impl Handler for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: RequestContext,
        mut request: ConsumerGroupHeartbeatRequest,
    ) -> Answer<ConsumerGroupHeartbeatResponse> {
        let groups = context.state.groups().clone();
        let group_id = std::mem::take(&mut request.group_id);
        let interval_ms = groups.consumer_heartbeat_interval(&group_id).as_millis();
        let interval_ms = i32::try_from(interval_ms).unwrap_or(i32::MAX);
        let asked = Asked {
            assignor: request.server_assignor.clone(),
            regex: request.subscribed_topic_regex.clone(),
        };
        let heartbeat = heartbeat(&context, request);
        let handled = async move { groups.consumer_heartbeat(&group_id, heartbeat).await };
        let answer = started(handled).await;
        Answer::later(async move {
            match answer.await {
                Ok(answer) => accepted(answer, interval_ms),
                Err(error) => refused(error, &asked),
            }
        })
    }
}

fn heartbeat(
    context: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerHeartbeat {
    let owned = request.topic_partitions.map(|topics| {
        let partitions = topics.into_iter().flat_map(|topic| {
            let id = topic.topic_id;
            topic.partitions.into_iter().map(move |p| (id, p))
        });
        partitions.collect::<Assignment>()
    });
    ConsumerHeartbeat {
        member_id: request.member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms)
            .ok()
            .map(Duration::from_millis),
        topics: request
            .subscribed_topic_names
            .map(|names| names.into_iter().collect()),
        regex: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned,
        client_id: context.client_id.to_string(),
        client_host: format!("/{}", context.connection.peer.ip()),
        makes_its_id: context.api_version >= 1,
    }
}

fn accepted(answer: HeartbeatAnswer, heartbeat_interval_ms: i32) -> ConsumerGroupHeartbeatResponse {
    let assignment = answer.assignment.map(|assignment| wire::Assignment {
        topic_partitions: assignment
            .by_topic()
            .map(|(topic_id, partitions)| wire::TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
            })
            .collect(),
    });
    ConsumerGroupHeartbeatResponse {
        member_id: Some(answer.member_id),
        member_epoch: answer.epoch,
        // Who leaves has no next one.
        heartbeat_interval_ms: if answer.epoch < 0 {
            0
        } else {
            heartbeat_interval_ms
        },
        assignment,
        ..Default::default()
    }
}

/// What the client asked for, to be named in a refusal.
struct Asked {
    assignor: Option<String>,
    regex: Option<String>,
}

fn refused(error: GroupError, asked: &Asked) -> ConsumerGroupHeartbeatResponse {
    let message = match (error, &asked.assignor, &asked.regex) {
        (GroupError::UnsupportedAssignor, Some(assignor), _) => {
            format!("ServerAssignor {assignor} is not supported: {error}")
        }
        (GroupError::InvalidRegularExpression, _, Some(regex)) => {
            format!("SubscribedTopicRegex `{regex}` is not a valid regular expression")
        }
        _ => error.to_string(),
    };
    ConsumerGroupHeartbeatResponse {
        error_code: error.code(),
        error_message: Some(message),
        ..Default::default()
    }
}
