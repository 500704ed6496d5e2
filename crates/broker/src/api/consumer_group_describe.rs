//! ConsumerGroupDescribe (69): consumer groups with their members (KIP-848).

use super::items::{Pace, once};
use super::{Answer, Handler};
use crate::api::describe_groups::ALL_GROUP_OPERATIONS;
use crate::group::{
    ConsumerGroupDescription, ConsumerMemberDescription, GroupError, NamedPartitions,
};
use crate::state::RequestContext;
use millstream_wire::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    Member, TopicPartitions,
};
use std::ops::RangeInclusive;

/// ConsumerGroupDescribe.
pub(super) struct ConsumerGroupDescribe;

impl Handler for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(
        context: RequestContext,
        request: ConsumerGroupDescribeRequest,
    ) -> Answer<ConsumerGroupDescribeResponse> {
        let asked = once(request.group_ids, |id| id);
        let mut groups = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for id in asked {
            pace.next().await;
            let mut described = match context.state.groups().describe_consumer(&id).await {
                Ok(description) => group(id, description),
                Err(error) => missing(id, error),
            };
            if request.include_authorized_operations && described.error_code == 0 {
                described.authorized_operations = ALL_GROUP_OPERATIONS;
            }
            groups.push(described);
        }
        ConsumerGroupDescribeResponse {
            groups,
            ..Default::default()
        }
        .into()
    }
}

fn group(group_id: String, description: ConsumerGroupDescription) -> DescribedGroup {
    DescribedGroup {
        group_id,
        group_state: description.state.to_owned(),
        group_epoch: description.epoch,
        assignment_epoch: description.assignment_epoch,
        assignor_name: description.assignor.to_owned(),
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(description: ConsumerMemberDescription) -> Member {
    let member = description.member;
    let member_type = i8::from(!member.is_classic());
    let metadata = member.metadata;
    Member {
        member_id: member.id,
        instance_id: metadata.instance_id,
        rack_id: metadata.rack_id,
        member_epoch: member.current.epoch,
        client_id: metadata.client_id,
        client_host: metadata.client_host,
        subscribed_topic_names: metadata.topics.into_iter().collect(),
        // Never null, as Kafka.
        subscribed_topic_regex: Some(metadata.regex.unwrap_or_default()),
        assignment: assignment(description.assigned),
        target_assignment: assignment(description.target),
        member_type,
    }
}

fn assignment(topics: Vec<NamedPartitions>) -> Assignment {
    let topic_partitions = topics
        .into_iter()
        .map(|topic| TopicPartitions {
            topic_id: topic.id,
            topic_name: topic.name,
            partitions: topic.partitions,
        })
        .collect();
    Assignment { topic_partitions }
}

fn missing(group_id: String, error: GroupError) -> DescribedGroup {
    let message = match error {
        GroupError::GroupIdNotFound => format!("Group {group_id} is not a consumer group."),
        other => other.to_string(),
    };
    DescribedGroup {
        error_code: error.code(),
        error_message: Some(message),
        group_id,
        ..Default::default()
    }
}
