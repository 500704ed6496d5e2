//! SyncGroup (14): hands in (the leader) and waits for the assignment.

use super::{Answer, Handler};
use crate::group::{SyncOutcome, SyncRequest};
use crate::state::RequestContext;
use crate::task::started;
use bytes::Bytes;
use millstream_wire::ErrorCode;
use millstream_wire::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use std::ops::RangeInclusive;

/// SyncGroup.
pub(super) struct SyncGroup;

impl Handler for SyncGroup {
    type Request = SyncGroupRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: SyncGroupRequest,
    ) -> Answer<SyncGroupResponse> {
        // KIP-559: since version 5 a member says what it takes the group for.
        let is_named = request.protocol_type.is_some() && request.protocol_name.is_some();
        if context.api_version >= 5 && !is_named {
            let error_code = ErrorCode::InconsistentGroupProtocol.code();
            return SyncGroupResponse {
                error_code,
                ..Default::default()
            }
            .into();
        }
        let groups = context.state.groups().clone();
        let group_id = request.group_id.clone();
        let sync = sync_request(request);
        let answer = started(async move { groups.sync(&group_id, sync).await }).await;
        Answer::later(async move {
            match answer.await {
                Ok(outcome) => accepted(outcome),
                Err(error) => SyncGroupResponse {
                    error_code: error.code(),
                    ..Default::default()
                },
            }
        })
    }
}

fn sync_request(request: SyncGroupRequest) -> SyncRequest {
    SyncRequest {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request
            .assignments
            .into_iter()
            // Copied: it is kept for longer than the request's frame.
            .map(|one| (one.member_id, Bytes::copy_from_slice(&one.assignment)))
            .collect(),
    }
}

fn accepted(outcome: SyncOutcome) -> SyncGroupResponse {
    SyncGroupResponse {
        protocol_type: Some(outcome.protocol_type),
        protocol_name: Some(outcome.protocol),
        assignment: outcome.assignment,
        ..Default::default()
    }
}
