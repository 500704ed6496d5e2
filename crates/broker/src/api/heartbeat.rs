//! Heartbeat (12): keeps a member of a classic group alive.

use super::{Answer, Handler};
use crate::group::code_of;
use crate::state::RequestContext;
use millstream_wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use std::ops::RangeInclusive;

/// Heartbeat.
pub(super) struct Heartbeat;

impl Handler for Heartbeat {
    type Request = HeartbeatRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(
        context: RequestContext,
        request: HeartbeatRequest,
    ) -> Answer<HeartbeatResponse> {
        let HeartbeatRequest {
            group_id,
            generation_id,
            member_id,
            group_instance_id,
        } = request;
        let groups = context.state.groups();
        let instance = group_instance_id.as_deref();
        let result = groups
            .heartbeat(&group_id, &member_id, instance, generation_id)
            .await;
        HeartbeatResponse {
            error_code: code_of(&result),
            ..Default::default()
        }
        .into()
    }
}
