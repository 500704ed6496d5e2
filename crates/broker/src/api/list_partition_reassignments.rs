//! ListPartitionReassignments (46): which partitions are on the move (KIP-455).
//!
//! None ever is: with one node there is nowhere to move to, see
//! [`super::alter_partition_reassignments`].

use super::{Answer, Handler};
use crate::state::RequestContext;
use millstream_wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use std::ops::RangeInclusive;

/// ListPartitionReassignments.
pub(super) struct ListPartitionReassignments;

impl Handler for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(
        _context: RequestContext,
        _request: ListPartitionReassignmentsRequest,
    ) -> Answer<ListPartitionReassignmentsResponse> {
        // Topics and partitions that do not exist are not on the move either,
        // and Kafka says nothing of them.
        ListPartitionReassignmentsResponse {
            error_message: None,
            ..Default::default()
        }
        .into()
    }
}
