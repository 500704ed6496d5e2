//! WriteTxnMarkers (27): writes end markers into partitions.
//!
//! Coordinators use it between brokers; an operator uses it to abort a
//! transaction that no coordinator knows of (`kafka-transactions abort`,
//! KIP-664).

use super::{Answer, Handler};
use crate::coordination::write_marker;
use crate::state::{BrokerState, RequestContext};
use crate::task::started;
use crate::txn::{COORDINATOR_EPOCH, ClientVersion, Marker, MarkerError, Producer, TxnOutcome};
use futures::future::join_all;
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use millstream_wire::ErrorCode;
use millstream_wire::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopic, WritableTxnMarkerTopicResult, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// WriteTxnMarkers.
pub(super) struct WriteTxnMarkers;

impl Handler for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    async fn handle(
        context: RequestContext,
        request: WriteTxnMarkersRequest,
    ) -> Answer<WriteTxnMarkersResponse> {
        let state = Arc::clone(&context.state);
        let work = async move {
            let written = request.markers.iter().map(|marker| write(&state, marker));
            WriteTxnMarkersResponse {
                markers: join_all(written).await,
            }
        };
        Answer::Later(started(work).await)
    }
}

async fn write(state: &BrokerState, request: &WritableTxnMarker) -> WritableTxnMarkerResult {
    if request.coordinator_epoch > COORDINATOR_EPOCH {
        return refused(request, ErrorCode::TransactionCoordinatorFenced);
    }
    let marker = Marker {
        producer: Producer {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
        },
        version: ClientVersion::by_version(request.transaction_version.into(), 2),
        outcome: if request.transaction_result {
            TxnOutcome::Commit
        } else {
            TxnOutcome::Abort
        },
        coordinator_epoch: request.coordinator_epoch,
    };
    let topics = request.topics.iter().map(|one| topic(state, one, marker));
    WritableTxnMarkerResult {
        producer_id: request.producer_id,
        topics: join_all(topics).await,
    }
}

/// Of a coordinator that there never was: its markers would make those of the
/// one that there is look old.
fn refused(request: &WritableTxnMarker, code: ErrorCode) -> WritableTxnMarkerResult {
    let topics = request.topics.iter().map(|topic| {
        let partitions =
            topic
                .partition_indexes
                .iter()
                .map(|index| WritableTxnMarkerPartitionResult {
                    partition_index: *index,
                    error_code: code.code(),
                });
        WritableTxnMarkerTopicResult {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        }
    });
    WritableTxnMarkerResult {
        producer_id: request.producer_id,
        topics: topics.collect(),
    }
}

async fn topic(
    state: &BrokerState,
    topic: &WritableTxnMarkerTopic,
    marker: Marker,
) -> WritableTxnMarkerTopicResult {
    let written = topic.partition_indexes.iter().map(async |index| {
        let partition = TopicPartition::new(&topic.name, *index);
        let written = write_marker(state, &partition, marker).await;
        WritableTxnMarkerPartitionResult {
            partition_index: *index,
            error_code: written.err().map_or(0, |error| code(&error).code()),
        }
    });
    WritableTxnMarkerTopicResult {
        name: topic.name.clone(),
        partitions: join_all(written).await,
    }
}

fn code(error: &MarkerError) -> ErrorCode {
    match error {
        MarkerError::PartitionGone => ErrorCode::UnknownTopicOrPartition,
        MarkerError::Fenced => ErrorCode::InvalidProducerEpoch,
        MarkerError::CoordinatorFenced => ErrorCode::TransactionCoordinatorFenced,
        MarkerError::Retriable(_) => ErrorCode::NotLeaderOrFollower,
    }
}
