//! LeaveGroup (13): takes members out of a classic group.

use super::{Answer, Handler};
use crate::group::{Leaver, code_of};
use crate::state::RequestContext;
use millstream_wire::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use std::ops::RangeInclusive;

/// LeaveGroup.
pub(super) struct LeaveGroup;

impl Handler for LeaveGroup {
    type Request = LeaveGroupRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: LeaveGroupRequest,
    ) -> Answer<LeaveGroupResponse> {
        let is_batched = context.api_version >= 3;
        let leavers: Vec<Leaver> = if is_batched {
            request.members.into_iter().map(leaver).collect()
        } else {
            vec![Leaver {
                member_id: request.member_id,
                instance_id: None,
            }]
        };
        let results = match context
            .state
            .groups()
            .leave(&request.group_id, &leavers)
            .await
        {
            Ok(results) => results,
            Err(error) => {
                let error_code = error.code();
                return LeaveGroupResponse {
                    error_code,
                    ..Default::default()
                }
                .into();
            }
        };
        if !is_batched {
            let error_code = results.first().map_or(0, code_of);
            return LeaveGroupResponse {
                error_code,
                ..Default::default()
            }
            .into();
        }
        let members = leavers
            .into_iter()
            .zip(&results)
            .map(|(leaver, result)| MemberResponse {
                member_id: leaver.member_id,
                group_instance_id: leaver.instance_id,
                error_code: code_of(result),
            })
            .collect();
        LeaveGroupResponse {
            members,
            ..Default::default()
        }
        .into()
    }
}

fn leaver(member: MemberIdentity) -> Leaver {
    Leaver {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
    }
}
