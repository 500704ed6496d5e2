//! TxnOffsetCommit (28): commits offsets as part of a transaction.
//!
//! From version 5 on (KIP-890) it makes the group part of the transaction by
//! itself; before, AddOffsetsToTxn must have done so.

use super::items::partitions_once;
use super::{Answer, Handler};
use crate::group::{Committer, GroupError, OffsetToCommit};
use crate::journal::InternalTopic;
use crate::state::{BrokerState, RequestContext};
use crate::task::started;
use crate::txn::ClientVersion;
use crate::txn::{Dialect, FencedAs, OutsideAs, Producer, TxnError, Writing};
use millstream_core::ids::{PartitionId, ProducerEpoch, ProducerId, TopicPartition};
use millstream_wire::ErrorCode;
use millstream_wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// TxnOffsetCommit.
pub(super) struct TxnOffsetCommit;

/// From here on the broker adds the group to the transaction (KIP-890).
const VERSION_ADDS_TO_TRANSACTION: i16 = 5;
/// From here on clients know `TRANSACTION_ABORTABLE` (KIP-890).
const VERSION_ABORTABLE: i16 = 4;

impl Handler for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(
        context: RequestContext,
        request: TxnOffsetCommitRequest,
    ) -> Answer<TxnOffsetCommitResponse> {
        let (state, version) = (Arc::clone(&context.state), context.api_version);
        Answer::Later(started(async move { commit(&state, request, version).await }).await)
    }
}

async fn commit(
    state: &BrokerState,
    mut request: TxnOffsetCommitRequest,
    version: i16,
) -> TxnOffsetCommitResponse {
    partitions_once(
        &mut request.topics,
        |topic| topic.name.clone(),
        |topic| &mut topic.partitions,
        |partition| partition.partition_index,
    );
    let image = state.image();
    let is_known =
        |topic: &str, partition: i32| image.partition(topic, PartitionId(partition)).is_some();
    let offsets: Vec<OffsetToCommit> = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(move |partition| (topic, partition))
        })
        .filter(|(topic, partition)| is_known(&topic.name, partition.partition_index))
        .map(|(topic, partition)| OffsetToCommit {
            topic: topic.name.clone(),
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.clone().unwrap_or_default(),
        })
        .collect();
    let producer = Producer {
        id: ProducerId(request.producer_id),
        epoch: ProducerEpoch(request.producer_epoch),
    };
    let who = Committer {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
    };
    let id = &request.transactional_id;
    let admitted = match offsets.is_empty() {
        // Nothing to commit: no transaction begins with that.
        true => Ok(None),
        false if request.group_id.is_empty() => Err(ErrorCode::InvalidGroupId),
        false => admit(state, id, producer, &request.group_id, version).await,
    };
    let committed = match admitted {
        Ok(_) if offsets.is_empty() => Ok(Vec::new()),
        Ok(writing) => state
            .groups()
            .commit_offsets_in_transaction(&request.group_id, &who, producer, offsets, writing)
            .await
            .map_err(|error| match error {
                // As Kafka (`validateTransactionalOffsetCommit`): the producer
                // aborts and goes on. It knows no STALE_MEMBER_EPOCH, which
                // would end it.
                GroupError::GroupIdNotFound | GroupError::StaleMemberEpoch => {
                    ErrorCode::IllegalGeneration
                }
                other => other.into(),
            }),
        Err(error) => Err(error),
    };
    let (mut results, all) = match committed {
        Ok(results) => (results.into_iter(), 0),
        Err(error) => (Vec::new().into_iter(), error.code()),
    };
    let mut code = |topic: &str, partition: i32| {
        if !is_known(topic, partition) {
            return ErrorCode::UnknownTopicOrPartition.code();
        }
        results
            .next()
            .map_or(all, |result| crate::group::code_of(&result))
    };
    let topics = request
        .topics
        .into_iter()
        .map(|topic| response(topic, &mut code))
        .collect();
    TxnOffsetCommitResponse {
        topics,
        ..Default::default()
    }
}

/// KIP-890: an offset of a transaction that does not know of it would stay
/// pending for ever. So the group becomes part of the transaction here, or is
/// found to be; then its markers wait until the answer is dropped.
async fn admit(
    state: &BrokerState,
    id: &str,
    producer: Producer,
    group_id: &str,
    version: i16,
) -> Result<Option<Writing>, ErrorCode> {
    let partition = state
        .groups()
        .partition_of(group_id)
        .await
        .map_err(ErrorCode::from)?;
    let partition = TopicPartition::new(InternalTopic::ConsumerOffsets.name(), partition);
    let client = ClientVersion::by_version(version, VERSION_ADDS_TO_TRANSACTION);
    let admitted = match client {
        ClientVersion::V1 => {
            let verified = state.txns().verify_writing(id, producer, &partition);
            verified.await.map(Some)
        }
        ClientVersion::V2 => {
            let partitions = vec![partition];
            state
                .txns()
                .add_partitions(id, producer, partitions, client)
                .await
                .map(|()| None)
        }
    };
    admitted.map_err(|error| match error {
        // Clients of version 1 do not expect it here; this they try again on,
        // without looking for the coordinator anew.
        TxnError::ConcurrentTransactions if client == ClientVersion::V1 => {
            ErrorCode::CoordinatorLoadInProgress
        }
        error => error.to_code(Dialect {
            fenced: FencedAs::InvalidProducerEpoch,
            outside: OutsideAs::by_version(version, VERSION_ABORTABLE),
        }),
    })
}

fn response(
    topic: TxnOffsetCommitRequestTopic,
    code: &mut impl FnMut(&str, i32) -> i16,
) -> TxnOffsetCommitResponseTopic {
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        partitions.push(TxnOffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: code(&topic.name, partition.partition_index),
        });
    }
    TxnOffsetCommitResponseTopic {
        name: topic.name,
        partitions,
    }
}
