//! The records of `__transaction_state`, in Kafka's own format: value
//! version 1, which Kafka 4.0 and later write once `transaction.version` is
//! 1 or more (KIP-915, KIP-890). Version 0 is read too.

use super::error::TxnError;
use super::image::{ClientVersion, NO_EPOCH, TxnImage, TxnState};
use bytes::Bytes;
use millstream_core::ids::{PartitionId, ProducerEpoch, ProducerId, TopicPartition};
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::codec::{DecodeError, EncodeError, decode_versioned, encode_versioned};
use millstream_wire::records::transaction_state::{
    PartitionsSchema, TransactionLogKey, TransactionLogValue,
};
use std::collections::BTreeSet;
use std::time::Duration;

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TxnRecordError {
    /// Key or value do not hold.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A state that this version does not know.
    #[error("transaction state {0} is not known")]
    UnknownState(i8),
}

/// A batch of records about transactional ids; no image is a tombstone.
pub(super) fn batch_of(
    records: &[(&str, Option<&TxnImage>)],
    now_ms: i64,
) -> Result<Bytes, TxnError> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (id, image) in records {
        let (key, value) = encode(id, *image).map_err(|error| {
            tracing::warn!(%error, "a transaction's record cannot be encoded");
            TxnError::InvalidRequest
        })?;
        builder
            .append(now_ms, Some(&key), value.as_deref(), &[])
            .map_err(|_| TxnError::InvalidRequest)?;
    }
    builder.build().map_err(|_| TxnError::InvalidRequest)
}

pub(super) fn encode(
    id: &str,
    image: Option<&TxnImage>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let key = TransactionLogKey {
        transactional_id: id.to_owned(),
    };
    let key = encode_versioned(&key, KEY_VERSION)?;
    Ok((key, image.map(encode_image).transpose()?))
}

fn encode_image(image: &TxnImage) -> Result<Bytes, EncodeError> {
    let value = TransactionLogValue {
        producer_id: image.producer_id.0,
        previous_producer_id: image.previous_producer_id.0,
        next_producer_id: image.next_producer_id.0,
        producer_epoch: image.epoch.0,
        transaction_timeout_ms: i32::try_from(image.timeout.as_millis()).unwrap_or(i32::MAX),
        transaction_status: image.state.code(),
        transaction_partitions: match image.state {
            // Kafka writes null where a transaction cannot have any.
            TxnState::Empty => None,
            _ => Some(by_topic(&image.partitions)),
        },
        transaction_last_update_timestamp_ms: image.updated_ms,
        transaction_start_timestamp_ms: image.started_ms.unwrap_or(-1),
        client_transaction_version: image.client_version.code(),
        ..TransactionLogValue::default()
    };
    encode_versioned(&value, VALUE_VERSION)
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<PartitionsSchema> {
    let mut topics: Vec<PartitionsSchema> = Vec::new();
    for partition in partitions {
        match topics.last_mut() {
            Some(last) if last.topic == partition.topic => {
                last.partition_ids.push(partition.partition.0);
            }
            _ => topics.push(PartitionsSchema {
                topic: partition.topic.clone(),
                partition_ids: vec![partition.partition.0],
            }),
        }
    }
    topics
}

/// What a record says: the transactional id, and its image unless the record
/// is a tombstone.
pub(super) fn decode(
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<(String, Option<TxnImage>), TxnRecordError> {
    let (_, key) = decode_versioned::<TransactionLogKey>(key.clone())?;
    let image = value.map(decode_image).transpose()?;
    Ok((key.transactional_id, image))
}

fn decode_image(value: &Bytes) -> Result<TxnImage, TxnRecordError> {
    let (_, value) = decode_versioned::<TransactionLogValue>(value.clone())?;
    let state = TxnState::from_code(value.transaction_status)
        .ok_or(TxnRecordError::UnknownState(value.transaction_status))?;
    let partitions = value
        .transaction_partitions
        .unwrap_or_default()
        .into_iter()
        .flat_map(|topic| {
            let name = topic.topic;
            topic
                .partition_ids
                .into_iter()
                .map(move |partition| TopicPartition {
                    topic: name.clone(),
                    partition: PartitionId(partition),
                })
        })
        .collect();
    Ok(TxnImage {
        producer_id: ProducerId(value.producer_id),
        epoch: ProducerEpoch(value.producer_epoch),
        previous_producer_id: ProducerId(value.previous_producer_id),
        next_producer_id: ProducerId(value.next_producer_id),
        // Not part of the record: after a restart a bump is no longer
        // recognised as a retry, and its producer is fenced, as in Kafka.
        previous_epoch: NO_EPOCH,
        timeout: Duration::from_millis(u64::try_from(value.transaction_timeout_ms).unwrap_or(0)),
        state,
        partitions,
        started_ms: Some(value.transaction_start_timestamp_ms).filter(|at| *at >= 0),
        updated_ms: value.transaction_last_update_timestamp_ms,
        client_version: ClientVersion::from_code(value.client_transaction_version),
    })
}

#[cfg(test)]
mod tests {
    use super::super::image::NO_PRODUCER;
    use super::*;

    #[test]
    fn records_come_back_as_written() {
        let image = TxnImage {
            producer_id: ProducerId(7),
            epoch: ProducerEpoch(3),
            previous_producer_id: NO_PRODUCER,
            next_producer_id: NO_PRODUCER,
            previous_epoch: NO_EPOCH,
            timeout: Duration::from_secs(60),
            state: TxnState::Ongoing,
            partitions: [("a", 1), ("a", 2), ("b", 0)]
                .map(|(topic, partition)| TopicPartition::new(topic, partition))
                .into(),
            started_ms: Some(10),
            updated_ms: 20,
            client_version: ClientVersion::V1,
        };
        let replaced = TxnImage {
            previous_producer_id: ProducerId(6),
            next_producer_id: ProducerId(8),
            client_version: ClientVersion::V2,
            ..image.clone()
        };
        for image in [image, replaced] {
            let (key, value) = encode("orders", Some(&image)).unwrap();
            assert_eq!(
                decode(&key, value.as_ref()).unwrap(),
                ("orders".into(), Some(image))
            );
        }
        let (key, value) = encode("orders", None).unwrap();
        assert_eq!(
            decode(&key, value.as_ref()).unwrap(),
            ("orders".into(), None)
        );
    }
}
