//! ListGroups (16).

use super::{Answer, Handler};
use crate::group::GroupListing;
use crate::state::RequestContext;
use millstream_wire::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use std::ops::RangeInclusive;

/// ListGroups.
pub(super) struct ListGroups;

impl Handler for ListGroups {
    type Request = ListGroupsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: ListGroupsRequest,
    ) -> Answer<ListGroupsResponse> {
        let list = match context.state.groups().list().await {
            Ok(list) => list,
            Err(error) => {
                let error_code = error.code();
                return ListGroupsResponse {
                    error_code,
                    ..Default::default()
                }
                .into();
            }
        };
        let allows = |filter: &[String], value: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let groups = list
            .groups
            .into_iter()
            .filter(|group| allows(&request.states_filter, group.state))
            .filter(|group| allows(&request.types_filter, group.kind.name()))
            .map(listed)
            .collect();
        let error_code = list.incomplete.map_or(0, |error| error.code());
        ListGroupsResponse {
            groups,
            error_code,
            ..Default::default()
        }
        .into()
    }
}

fn listed(group: GroupListing) -> ListedGroup {
    ListedGroup {
        group_id: group.id,
        protocol_type: group.protocol_type,
        group_state: group.state.to_owned(),
        group_type: group.kind.name().to_owned(),
    }
}
