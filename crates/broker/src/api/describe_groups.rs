//! DescribeGroups (15): classic groups with their members.

use super::items::{Pace, once};
use super::{Answer, Handler};
use crate::group::{GroupDescription, GroupError, GroupKind, GroupState, MemberDescription};
use crate::state::RequestContext;
use millstream_wire::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use std::ops::RangeInclusive;

/// All operations on a group, as KIP-430 numbers them: read, delete, describe,
/// and those on its settings (KIP-848). There are no ACLs yet, so everybody may
/// do everything.
pub(super) const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// DescribeGroups.
pub(super) struct DescribeGroups;

impl Handler for DescribeGroups {
    type Request = DescribeGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    async fn handle(
        context: RequestContext,
        request: DescribeGroupsRequest,
    ) -> Answer<DescribeGroupsResponse> {
        let asked = once(request.groups, |id| id);
        let mut groups = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for id in asked {
            pace.next().await;
            let mut described = match context.state.groups().describe(&id).await {
                // KIP-1043: newer clients ask ConsumerGroupDescribe first and
                // are to be told the difference.
                Ok(description)
                    if description.kind == GroupKind::Consumer && context.api_version >= 6 =>
                {
                    not_classic(id)
                }
                Ok(description) => group(description),
                Err(error) => missing(id, error, context.api_version),
            };
            if request.include_authorized_operations && described.error_code == 0 {
                described.authorized_operations = ALL_GROUP_OPERATIONS;
            }
            groups.push(described);
        }
        DescribeGroupsResponse {
            groups,
            ..Default::default()
        }
        .into()
    }
}

fn group(description: GroupDescription) -> DescribedGroup {
    DescribedGroup {
        error_message: None,
        group_id: description.id,
        group_state: classic_state(description.state).to_owned(),
        protocol_type: description.protocol_type,
        protocol_data: description.protocol,
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

/// Older consoles know only this API. Kafka tells them that a consumer group
/// is Dead; they are better served with what is so, in the states that they
/// know.
fn classic_state(state: &'static str) -> &'static str {
    match state {
        "Assigning" => GroupState::PreparingRebalance.name(),
        "Reconciling" => GroupState::CompletingRebalance.name(),
        other => other,
    }
}

fn not_classic(group_id: String) -> DescribedGroup {
    DescribedGroup {
        error_code: GroupError::GroupIdNotFound.code(),
        error_message: Some(format!("Group {group_id} is not a classic group.")),
        group_state: GroupState::Dead.name().to_owned(),
        group_id,
        ..Default::default()
    }
}

fn member(description: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: description.id,
        group_instance_id: description.instance_id,
        client_id: description.client_id,
        client_host: description.client_host,
        member_metadata: description.metadata,
        member_assignment: description.assignment,
    }
}

fn missing(group_id: String, error: GroupError, version: i16) -> DescribedGroup {
    // Before KIP-1043 (version 6) a group that does not exist is a dead one.
    let is_dead = error == GroupError::GroupIdNotFound;
    let error_code = if is_dead && version < 6 {
        0
    } else {
        error.code()
    };
    DescribedGroup {
        error_code,
        error_message: (version >= 6).then(|| error.to_string()),
        group_id,
        group_state: if is_dead {
            GroupState::Dead.name().to_owned()
        } else {
            String::new()
        },
        ..Default::default()
    }
}
