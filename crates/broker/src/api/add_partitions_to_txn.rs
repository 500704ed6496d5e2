//! AddPartitionsToTxn (24): tells the coordinator where a transaction will
//! write.
//!
//! Versions 0 to 3 are a client's, one transaction each. Versions 4 and 5 are
//! for brokers: several transactions at once, also to ask whether a partition
//! is in a transaction (KIP-890).

use super::{Answer, Handler};
use crate::state::{BrokerState, RequestContext};
use crate::task::started;
use crate::txn::{ClientVersion, Dialect, FencedAs, OutsideAs, Producer, TxnCoordinator, TxnError};
use millstream_cluster::MetadataImage;
use millstream_core::ids::{PartitionId, ProducerEpoch, ProducerId, TopicPartition};
use millstream_wire::ErrorCode;
use millstream_wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// AddPartitionsToTxn.
pub(super) struct AddPartitionsToTxn;

impl Handler for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: AddPartitionsToTxnRequest,
    ) -> Answer<AddPartitionsToTxnResponse> {
        let how = How {
            dialect: Dialect {
                fenced: FencedAs::by_version(context.api_version, 2),
                outside: OutsideAs::by_version(context.api_version, 5),
            },
            // A broker adds for clients of version 2, a client for itself.
            client: ClientVersion::by_version(context.api_version, 4),
        };
        let state = Arc::clone(&context.state);
        if context.api_version >= 4 {
            return batched(state, request.transactions, how).await.into();
        }
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        let answer = started(async move { run(&state, transaction, how).await }).await;
        Answer::later(async move {
            AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below: answer.await.topic_results,
                ..Default::default()
            }
        })
    }
}

/// What the version of the request decides.
#[derive(Clone, Copy)]
struct How {
    dialect: Dialect,
    client: ClientVersion,
}

async fn batched(
    state: Arc<BrokerState>,
    transactions: Vec<AddPartitionsToTxnTransaction>,
    how: How,
) -> AddPartitionsToTxnResponse {
    let mut results_by_transaction = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        results_by_transaction.push(run(&state, transaction, how).await);
    }
    AddPartitionsToTxnResponse {
        results_by_transaction,
        ..Default::default()
    }
}

async fn run(
    state: &BrokerState,
    transaction: AddPartitionsToTxnTransaction,
    how: How,
) -> AddPartitionsToTxnResult {
    let id = transaction.transactional_id;
    let producer = Producer {
        id: ProducerId(transaction.producer_id),
        epoch: ProducerEpoch(transaction.producer_epoch),
    };
    let code = |result: Result<(), TxnError>| crate::txn::code_of(&result, how.dialect);
    let topic_results = if transaction.verify_only {
        let verify = |tp| verify(state.txns(), &id, producer, tp);
        let mut results = Vec::with_capacity(transaction.topics.len());
        for topic in transaction.topics {
            let mut results_by_partition = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let error = code(verify(TopicPartition::new(&topic.name, partition)).await);
                results_by_partition.push(result(partition, error));
            }
            results.push(AddPartitionsToTxnTopicResult {
                name: topic.name,
                results_by_partition,
            });
        }
        results
    } else {
        let image = state.image();
        match all_known(&transaction.topics, &image) {
            Ok(partitions) => {
                let added = state
                    .txns()
                    .add_partitions(&id, producer, partitions, how.client)
                    .await;
                let error = code(added);
                results(transaction.topics, |_, _| error)
            }
            // All or nothing: those that exist are not added either.
            Err(()) => results(transaction.topics, |topic, partition| {
                if is_known(&image, topic, partition) {
                    ErrorCode::OperationNotAttempted.code()
                } else {
                    ErrorCode::UnknownTopicOrPartition.code()
                }
            }),
        }
    };
    AddPartitionsToTxnResult {
        transactional_id: id,
        topic_results,
    }
}

async fn verify(
    transactions: &TxnCoordinator,
    id: &str,
    producer: Producer,
    partition: TopicPartition,
) -> Result<(), TxnError> {
    // Another broker asks, whose append is its own to hold.
    let verified = transactions.verify_writing(id, producer, &partition);
    verified.await.map(drop)
}

fn all_known(
    topics: &[AddPartitionsToTxnTopic],
    image: &MetadataImage,
) -> Result<Vec<TopicPartition>, ()> {
    let mut known = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            if !is_known(image, &topic.name, *partition) {
                return Err(());
            }
            known.push(TopicPartition::new(&topic.name, *partition));
        }
    }
    Ok(known)
}

fn is_known(image: &MetadataImage, topic: &str, partition: i32) -> bool {
    image.partition(topic, PartitionId(partition)).is_some()
}

fn results(
    topics: Vec<AddPartitionsToTxnTopic>,
    error: impl Fn(&str, i32) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    topics
        .into_iter()
        .map(|topic| {
            let one = |partition: i32| result(partition, error(&topic.name, partition));
            let results_by_partition = topic.partitions.iter().copied().map(one).collect();
            AddPartitionsToTxnTopicResult {
                name: topic.name,
                results_by_partition,
            }
        })
        .collect()
}

fn result(partition_index: i32, partition_error_code: i16) -> AddPartitionsToTxnPartitionResult {
    AddPartitionsToTxnPartitionResult {
        partition_index,
        partition_error_code,
    }
}
