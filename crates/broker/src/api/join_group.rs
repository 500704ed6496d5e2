//! JoinGroup (11): joins a classic group and waits for its next generation.

use super::{Answer, Handler};
use crate::group::{JoinOutcome, JoinRefusal, JoinRequest, Protocol};
use crate::state::RequestContext;
use crate::task::started;
use bytes::Bytes;
use millstream_wire::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use std::ops::RangeInclusive;
use std::time::Duration;

/// JoinGroup.
pub(super) struct JoinGroup;

impl Handler for JoinGroup {
    type Request = JoinGroupRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=9;

    async fn handle(
        context: RequestContext,
        request: JoinGroupRequest,
    ) -> Answer<JoinGroupResponse> {
        let version = context.api_version;
        let group_id = request.group_id.clone();
        let groups = context.state.groups().clone();
        let join = join_request(&context, request);
        let answer = started(async move { groups.join(&group_id, join).await }).await;
        Answer::later(async move {
            match answer.await {
                Ok(outcome) => accepted(outcome),
                Err(refusal) => refused(refusal, version),
            }
        })
    }
}

fn join_request(context: &RequestContext, request: JoinGroupRequest) -> JoinRequest {
    let version = context.api_version;
    let protocols = request
        .protocols
        .into_iter()
        // Copied: it is kept for longer than the request's frame.
        .map(|protocol| Protocol {
            name: protocol.name,
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        })
        .collect();
    // Before KIP-62 one timeout served for both.
    let rebalance_timeout_ms = if version == 0 {
        request.session_timeout_ms
    } else {
        request.rebalance_timeout_ms
    };
    JoinRequest {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: context.client_id.to_string(),
        client_host: format!("/{}", context.connection.peer.ip()),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance_timeout_ms),
        protocol_type: request.protocol_type,
        protocols,
        fresh_member_id: String::new(),
        requires_known_member_id: version >= 4,
        supports_skip_assignment: version >= 9,
    }
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn accepted(outcome: JoinOutcome) -> JoinGroupResponse {
    let members = outcome
        .members
        .into_iter()
        .map(|member| JoinGroupResponseMember {
            member_id: member.id,
            group_instance_id: member.instance_id,
            metadata: member.metadata,
        })
        .collect();
    JoinGroupResponse {
        generation_id: outcome.generation,
        protocol_type: Some(outcome.protocol_type),
        protocol_name: Some(outcome.protocol),
        leader: outcome.leader,
        skip_assignment: outcome.skip_assignment,
        member_id: outcome.member_id,
        members,
        ..Default::default()
    }
}

fn refused(refusal: JoinRefusal, version: i16) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: refusal.error.code(),
        member_id: refusal.member_id,
        protocol_type: None,
        // Null since version 7, empty before.
        protocol_name: (version < 7).then(String::new),
        ..Default::default()
    }
}
