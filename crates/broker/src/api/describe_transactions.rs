//! DescribeTransactions (65).

use super::items::{Pace, once};
use super::{Answer, Handler};
use crate::state::RequestContext;
use crate::txn::{FencedAs, TxnError, TxnImage};
use millstream_wire::ErrorCode;
use millstream_wire::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};
use std::ops::RangeInclusive;

/// DescribeTransactions.
pub(super) struct DescribeTransactions;

impl Handler for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(
        context: RequestContext,
        request: DescribeTransactionsRequest,
    ) -> Answer<DescribeTransactionsResponse> {
        let asked = once(request.transactional_ids, |id| id);
        let mut transaction_states = Vec::with_capacity(asked.len());
        let mut pace = Pace::default();
        for id in asked {
            pace.next().await;
            let described = match context.state.txns().describe(&id).await {
                Ok(image) => transaction(id, image),
                Err(error) => TransactionState {
                    error_code: code(error).code(),
                    transactional_id: id,
                    ..Default::default()
                },
            };
            transaction_states.push(described);
        }
        DescribeTransactionsResponse {
            transaction_states,
            ..Default::default()
        }
        .into()
    }
}

fn code(error: TxnError) -> ErrorCode {
    match error {
        TxnError::InvalidProducerIdMapping => ErrorCode::TransactionalIdNotFound,
        other => other.to_code(FencedAs::ProducerFenced),
    }
}

fn transaction(id: String, image: TxnImage) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in image.partitions {
        match topics
            .last_mut()
            .filter(|last| last.topic == partition.topic)
        {
            Some(last) => last.partitions.push(partition.partition.0),
            None => topics.push(TopicData {
                topic: partition.topic,
                partitions: vec![partition.partition.0],
            }),
        }
    }
    TransactionState {
        error_code: 0,
        transactional_id: id,
        transaction_state: image.state.name().to_owned(),
        transaction_timeout_ms: i32::try_from(image.timeout.as_millis()).unwrap_or(i32::MAX),
        transaction_start_time_ms: image.started_ms.unwrap_or(-1),
        producer_id: image.producer_id.0,
        producer_epoch: image.epoch.0,
        topics,
    }
}
