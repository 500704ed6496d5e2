//! AddOffsetsToTxn (25): makes a group's offsets part of a transaction.

use super::{Answer, Handler};
use crate::journal::InternalTopic;
use crate::state::{BrokerState, RequestContext};
use crate::task::started;
use crate::txn::{ClientVersion, FencedAs, Producer};
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use millstream_wire::messages::add_offsets_to_txn::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// AddOffsetsToTxn.
pub(super) struct AddOffsetsToTxn;

impl Handler for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(
        context: RequestContext,
        request: AddOffsetsToTxnRequest,
    ) -> Answer<AddOffsetsToTxnResponse> {
        let fenced = FencedAs::by_version(context.api_version, 2);
        let state = Arc::clone(&context.state);
        let answer = started(async move { add(&state, request, fenced).await }).await;
        Answer::later(async move {
            AddOffsetsToTxnResponse {
                error_code: answer.await,
                ..Default::default()
            }
        })
    }
}

async fn add(state: &BrokerState, request: AddOffsetsToTxnRequest, fenced: FencedAs) -> i16 {
    let partition = match state.groups().partition_of(&request.group_id).await {
        Ok(partition) => partition,
        Err(error) => return error.code(),
    };
    let producer = Producer {
        id: ProducerId(request.producer_id),
        epoch: ProducerEpoch(request.producer_epoch),
    };
    let partition = TopicPartition::new(InternalTopic::ConsumerOffsets.name(), partition);
    let transactions = state.txns();
    let added = transactions
        .add_partitions(
            &request.transactional_id,
            producer,
            vec![partition],
            ClientVersion::V1,
        )
        .await;
    crate::txn::code_of(&added, fenced)
}
