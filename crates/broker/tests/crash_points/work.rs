//! The work between two crashes.

use crate::client::Asking;
use crate::known::{Fate, Known, Producer};
use crate::support::kafka::{batch, batch_with, produce_request};
use bytes::Bytes;
use millstream_core::env::Rand;
use millstream_core::env::rand::SeededRand;
use millstream_wire::ErrorCode;
use millstream_wire::batch::BatchOptions;
use millstream_wire::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use millstream_wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use millstream_wire::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use millstream_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_wire::messages::end_txn::EndTxnRequest;
use millstream_wire::messages::init_producer_id::InitProducerIdRequest;
use millstream_wire::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::messages::produce::ProduceResponse;
use millstream_wire::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use millstream_wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

pub(crate) const TOPIC: &str = "t";
pub(crate) const PARTITIONS: i32 = 2;
pub(crate) const GROUP: &str = "commits";
pub(crate) const OFFSETS_OF_TRANSACTIONS: &str = "transactions";
pub(crate) const CLASSIC_GROUP: &str = "classic";
pub(crate) const INSTANCE: &str = "instance";
const CONSUMER_GROUP: &str = "consumer";
const MEMBER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
const ASSIGNMENT: &[u8] = b"all";

/// `transaction.version`, which the client decides by how it asks; each with a
/// transactional id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    fn id(self) -> String {
        format!("{self:?}")
    }
}

/// One piece of work; `None` when there is trouble.
pub(crate) async fn step(
    known: &mut Known,
    asking: &mut Asking,
    chance: &SeededRand,
) -> Option<()> {
    if !known.topic {
        create_topic(asking).await?;
        known.topic = true;
        known.promises += 1;
    }
    match chance.next_u64() % 7 {
        0 | 1 => produce(known, asking).await,
        2 => commit(known, asking).await,
        3 => transaction(known, asking, Version::One, chance.next_u64()).await,
        4 => transaction(known, asking, Version::Two, chance.next_u64()).await,
        5 => join_classic(known, asking).await,
        _ => join_consumer(known, asking).await,
    }
}

async fn create_topic(asking: &mut Asking) -> Option<()> {
    let topic = CreatableTopic {
        name: TOPIC.into(),
        num_partitions: PARTITIONS,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..Default::default()
    };
    // The answer to an earlier one was lost.
    let there = [ErrorCode::TopicAlreadyExists];
    let error_of =
        |r: &millstream_wire::messages::create_topics::CreateTopicsResponse| r.topics[0].error_code;
    asking
        .ask_allowing(&request, 7, error_of, &there)
        .await?
        .ok();
    Some(())
}

fn produced(response: &ProduceResponse) -> i16 {
    response.responses[0].partition_responses[0].error_code
}

async fn produce(known: &mut Known, asking: &mut Asking) -> Option<()> {
    known.last += 1;
    let partition = (known.last % i64::from(PARTITIONS)) as i32;
    let value = format!("plain {}", known.last);
    let request = produce_request(TOPIC, partition, -1, batch(&[&value]));
    let answer = asking.ask(&request, 9, produced).await?;
    let offset = answer.responses[0].partition_responses[0].base_offset;
    known.plain.insert((partition, offset), value);
    known.promises += 1;
    Some(())
}

async fn commit(known: &mut Known, asking: &mut Asking) -> Option<()> {
    known.last += 1;
    known.offset.1 = known.last;
    let partition = OffsetCommitRequestPartition {
        committed_offset: known.last,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    asking
        .ask(&request, 8, |r| r.topics[0].partitions[0].error_code)
        .await?;
    known.offset.0 = known.last;
    known.promises += 1;
    Some(())
}

/// A new instance of the producer; the one before is fenced, and what it left
/// open is ended.
pub(crate) async fn init_producer(
    known: &mut Known,
    asking: &mut Asking,
    version: Version,
) -> Option<Producer> {
    let before = *known.producers.entry(version).or_default();
    let request = InitProducerIdRequest {
        transactional_id: Some(version.id()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let answer = asking.ask(&request, 4, |r| r.error_code).await?;
    let producer = Producer {
        id: answer.producer_id,
        epoch: answer.producer_epoch,
        sequences: [0; PARTITIONS as usize],
    };
    if let Some(before) = before {
        let newer = producer.id != before.id || producer.epoch > before.epoch;
        assert!(newer, "{}: {producer:?} after {before:?}", asking.at);
    }
    known.producers.insert(version, Some(producer));
    known.promises += 1;
    Some(producer)
}

async fn transaction(
    known: &mut Known,
    asking: &mut Asking,
    version: Version,
    chance: u64,
) -> Option<()> {
    let mut producer = match known.producers.get(&version).copied().flatten() {
        Some(producer) => producer,
        None => init_producer(known, asking, version).await?,
    };
    known.last += 1;
    let n = known.last;
    known.transactions.insert(n, Fate::Aborted);
    if version == Version::One {
        add_partitions(asking, &producer).await?;
    }
    for partition in 0..PARTITIONS {
        let sequence = &mut producer.sequences[partition as usize];
        let options = BatchOptions {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: *sequence,
            is_transactional: true,
            ..Default::default()
        };
        *sequence += 1;
        let records = batch_with(options, &[&format!("in transaction {n}")]);
        let mut request = produce_request(TOPIC, partition, -1, records);
        request.transactional_id = Some(version.id());
        let at = if version == Version::One { 9 } else { 12 };
        asking.ask(&request, at, produced).await?;
    }
    commit_in_transaction(asking, version, &producer, n).await?;
    known.producers.insert(version, Some(producer));
    match chance % 5 {
        // The next instance ends it.
        0 => init_producer(known, asking, version).await.map(drop),
        1 => end(known, asking, version, producer, false).await,
        _ => {
            known.transactions.insert(n, Fate::Unknown);
            end(known, asking, version, producer, true).await?;
            known.transactions.insert(n, Fate::Committed);
            Some(())
        }
    }
}

async fn add_partitions(asking: &mut Asking, producer: &Producer) -> Option<()> {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: Version::One.id(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: (0..PARTITIONS).collect(),
        }],
        ..Default::default()
    };
    let answer = asking.ask(&request, 3, |r| {
        let of_topic = &r.results_by_topic_v3_and_below[0];
        of_topic.results_by_partition[0].partition_error_code
    });
    answer.await.map(drop)
}

async fn commit_in_transaction(
    asking: &mut Asking,
    version: Version,
    producer: &Producer,
    offset: i64,
) -> Option<()> {
    if version == Version::One {
        let request = AddOffsetsToTxnRequest {
            transactional_id: version.id(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            group_id: OFFSETS_OF_TRANSACTIONS.into(),
        };
        asking.ask(&request, 3, |r| r.error_code).await?;
    }
    let partition = TxnOffsetCommitRequestPartition {
        committed_offset: offset,
        ..Default::default()
    };
    let request = TxnOffsetCommitRequest {
        transactional_id: version.id(),
        group_id: OFFSETS_OF_TRANSACTIONS.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        generation_id_or_member_epoch: -1,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: TOPIC.into(),
            partitions: vec![partition],
        }],
        ..Default::default()
    };
    let at = if version == Version::One { 3 } else { 5 };
    let answer = asking.ask(&request, at, |r| r.topics[0].partitions[0].error_code);
    answer.await.map(drop)
}

async fn end(
    known: &mut Known,
    asking: &mut Asking,
    version: Version,
    producer: Producer,
    committed: bool,
) -> Option<()> {
    let request = EndTxnRequest {
        transactional_id: version.id(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    };
    let at = if version == Version::One { 3 } else { 5 };
    let answer = asking.ask(&request, at, |r| r.error_code).await?;
    if version == Version::Two {
        let next = Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
            sequences: [0; PARTITIONS as usize],
        };
        known.producers.insert(version, Some(next));
    }
    known.promises += 1;
    Some(())
}

/// The static member's process starts anew, and takes its place.
async fn join_classic(known: &mut Known, asking: &mut Asking) -> Option<()> {
    let is_first = known.classic.take().is_none();
    let request = JoinGroupRequest {
        group_id: CLASSIC_GROUP.into(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        group_instance_id: Some(INSTANCE.into()),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"subscription"),
        }],
        ..Default::default()
    };
    let joined = asking.ask(&request, 5, |r| r.error_code).await?;
    let leads = joined.leader == joined.member_id;
    let assignment = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(ASSIGNMENT),
    };
    let request = SyncGroupRequest {
        group_id: CLASSIC_GROUP.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: Some(INSTANCE.into()),
        assignments: if leads { vec![assignment] } else { Vec::new() },
        ..Default::default()
    };
    let synced = asking.ask(&request, 3, |r| r.error_code).await?;
    assert_eq!(synced.assignment, ASSIGNMENT, "{}: {is_first}", asking.at);
    known.classic = Some((joined.member_id, joined.generation_id));
    known.promises += 1;
    Some(())
}

pub(crate) fn consumer_heartbeat(member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
    let joins = member_epoch == 0;
    ConsumerGroupHeartbeatRequest {
        group_id: CONSUMER_GROUP.into(),
        member_id: MEMBER.into(),
        member_epoch,
        rebalance_timeout_ms: if joins { 60_000 } else { -1 },
        subscribed_topic_names: joins.then(|| vec![TOPIC.into()]),
        topic_partitions: joins.then(Vec::new),
        ..Default::default()
    }
}

/// Joins, or tells that it is there.
async fn join_consumer(known: &mut Known, asking: &mut Asking) -> Option<()> {
    let heartbeat = consumer_heartbeat(known.consumer.unwrap_or(0));
    let answer = asking.ask(&heartbeat, 0, |r| r.error_code).await?;
    known.consumer = Some(answer.member_epoch);
    known.promises += 1;
    Some(())
}
