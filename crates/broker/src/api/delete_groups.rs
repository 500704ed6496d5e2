//! DeleteGroups (42): deletes groups without members, and their offsets.

use super::items::{Pace, once};
use super::{Answer, Handler};
use crate::group::code_of;
use crate::state::RequestContext;
use millstream_wire::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use std::ops::RangeInclusive;

/// DeleteGroups.
pub(super) struct DeleteGroups;

impl Handler for DeleteGroups {
    type Request = DeleteGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(
        context: RequestContext,
        request: DeleteGroupsRequest,
    ) -> Answer<DeleteGroupsResponse> {
        let asked = once(request.groups_names, |id| id);
        let mut results = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for group_id in asked {
            pace.next().await;
            let error_code = code_of(&context.state.groups().delete(&group_id).await);
            results.push(DeletableGroupResult {
                group_id,
                error_code,
            });
        }
        DeleteGroupsResponse {
            results,
            ..Default::default()
        }
        .into()
    }
}
