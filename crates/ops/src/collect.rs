//! Takes the broker's readings.
//!
//! Cost: a few atomic loads a partition, one batch read for each partition in
//! which a group lags and a few where it is behind by transaction markers
//! only, at most [`TIMESTAMP_READS_MAX`] a reading.

use crate::inputs::{
    AssignmentView, ClientInput, CommittedInput, GroupInput, Inputs, LogsInput, MemberView,
    PartitionInput, PartitionState, TopicInput,
};
use crate::process;
use crate::prometheus::TopicCounters;
use bytes::Bytes;
use millstream_broker::BrokerState;
use millstream_broker::group::{MemberDescription, OffsetsWanted, Stability};
use millstream_broker::topics::{HostedTopic, Served};
use millstream_core::ids::Offset;
use millstream_log::{CleanupPolicy, FetchRequest, PartitionLog, UpTo};
use millstream_wire::batch::BatchHeader;
use millstream_wire::codec::decode_versioned;
use millstream_wire::records::consumer_protocol::ConsumerProtocolAssignment;

/// Batches read for their timestamps in one reading; groups beyond it show
/// the time of their newest commit instead.
const TIMESTAMP_READS_MAX: usize = 256;

/// Batches looked at past one committed offset; where all of them are markers
/// and aborted records, there may be records after them.
const BATCHES_PAST_MAX: usize = 16;

/// All readings of the broker. Blocks for small reads of the page cache: call
/// it where blocking is allowed.
pub fn topics(state: &BrokerState) -> Vec<TopicInput> {
    let stats = state.stats().snapshot();
    state
        .hosted_all()
        .iter()
        .map(|hosted| {
            let name = &*hosted.topic.name;
            let counters = stats.topics.get(name).copied().unwrap_or_default();
            let config = hosted.logs().next().map(|(_, log)| log.config());
            TopicInput {
                name: name.to_owned(),
                id: hosted.topic.id.to_string(),
                replicas: hosted
                    .topic
                    .partitions
                    .first()
                    .map_or(1, |p| p.replicas.len()),
                cleanup_policy: config
                    .as_ref()
                    .map_or("delete", |c| policy(c.cleanup_policy))
                    .to_owned(),
                retention_ms: config.and_then(|c| c.retention_ms).unwrap_or(-1),
                partitions: partitions(hosted),
                in_records: counters.messages_in,
                in_bytes: counters.bytes_in,
                out_records: counters.messages_out,
                out_bytes: counters.bytes_out,
            }
        })
        .collect()
}

fn policy(policy: CleanupPolicy) -> &'static str {
    match policy {
        CleanupPolicy::Delete => "delete",
        CleanupPolicy::Compact => "compact",
        CleanupPolicy::CompactAndDelete => "compact,delete",
    }
}

fn partitions(hosted: &HostedTopic) -> Vec<PartitionInput> {
    let mut partitions: Vec<_> = hosted
        .logs()
        .map(|(id, log)| {
            let progress = log.progress();
            let known = hosted.topic.partition(id);
            PartitionInput {
                partition: id.0,
                state: match log.has_stopped() {
                    false => PartitionState::Online,
                    true => PartitionState::ReadOnly,
                },
                leader: known.and_then(|p| p.leader).map_or(-1, |l| l.0),
                leader_epoch: known.map_or(-1, |p| p.leader_epoch.0),
                log_start_offset: progress.log_start_offset.0,
                high_watermark: progress.high_watermark.0,
                last_stable_offset: progress.last_stable_offset.0,
                bytes: log.size_bytes(),
                last_timestamp_ms: None,
            }
        })
        .collect();
    // Those without a log to ask.
    let indexes = 0..hosted.topic.partitions.len();
    let offline = indexes.filter(|index| hosted.served(*index) == Served::No);
    partitions.extend(offline.map(|index| PartitionInput {
        partition: i32::try_from(index).unwrap_or(i32::MAX),
        state: PartitionState::Offline,
        leader: -1,
        ..Default::default()
    }));
    partitions.sort_by_key(|p| p.partition);
    partitions
}

/// Groups with their members and offsets. Groups whose coordinator is still
/// loading are left out until it has.
pub async fn groups(state: &BrokerState) -> Vec<GroupInput> {
    let Ok(list) = state.groups().list().await else {
        return Vec::new();
    };
    let mut inputs = Vec::with_capacity(list.groups.len());
    let mut reads_left = TIMESTAMP_READS_MAX;
    for listing in list.groups {
        let offsets = state
            .groups()
            .fetch_offsets(&listing.id, &OffsetsWanted::All, Stability::Any)
            .await;
        let mut committed = Vec::new();
        for offset in offsets.unwrap_or_default() {
            let Ok(Some(known)) = offset.committed else {
                continue;
            };
            let hosted = state.partition(&offset.topic, offset.partition).ok();
            let unread = match &hosted {
                Some(hosted) => unread(&hosted.log, known.offset, &mut reads_left),
                None => Unread::Unknown,
            };
            committed.push(CommittedInput {
                topic: offset.topic,
                partition: offset.partition,
                committed: known.offset,
                commit_timestamp_ms: known.commit_timestamp_ms,
                oldest_unread_ms: match unread {
                    Unread::Since(timestamp_ms) => Some(timestamp_ms),
                    Unread::NotLookedAt => Some(known.commit_timestamp_ms),
                    Unread::Nothing | Unread::Unknown => None,
                },
                is_caught_up: unread == Unread::Nothing,
            });
        }
        let described = state.groups().describe(&listing.id).await.ok();
        inputs.push(GroupInput {
            group: listing.id,
            kafka_state: listing.state.to_owned(),
            protocol: described
                .as_ref()
                .map(|d| d.protocol.clone())
                .unwrap_or_default(),
            members: described
                .iter()
                .flat_map(|d| d.members.iter().map(member))
                .collect(),
            offsets: committed,
        });
    }
    inputs
}

fn member(member: &MemberDescription) -> MemberView {
    MemberView {
        id: member.id.clone(),
        client_id: member.client_id.clone(),
        host: member.client_host.clone(),
        assignments: assignments(&member.assignment),
    }
}

/// What a consumer owns; nothing for groups of other kinds (Connect, Streams
/// of its own), whose bytes are theirs.
fn assignments(bytes: &Bytes) -> Vec<AssignmentView> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let Ok((_, decoded)) = decode_versioned::<ConsumerProtocolAssignment>(bytes.clone()) else {
        return Vec::new();
    };
    decoded
        .assigned_partitions
        .into_iter()
        .map(|t| AssignmentView {
            topic: t.topic,
            partitions: t.partitions,
        })
        .collect()
}

/// What a reader at an offset would still get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// Nothing up to the high watermark.
    Nothing,
    /// Records, the first of a batch with this timestamp.
    Since(i64),
    /// Something that is not decided yet, or cannot be read.
    Unknown,
    /// There was no read left for it.
    NotLookedAt,
}

/// What is past a committed offset. Transaction markers and aborted records
/// are passed over, as every reader does: a consumer that has read all and
/// commits its last record's offset and one is not behind.
fn unread(log: &PartitionLog, committed: i64, reads_left: &mut usize) -> Unread {
    let mut offset = Offset(committed.max(log.log_start_offset().0));
    for _ in 0..BATCHES_PAST_MAX {
        let progress = log.progress();
        if offset >= progress.high_watermark {
            return Unread::Nothing;
        }
        if offset >= progress.last_stable_offset {
            return Unread::Unknown;
        }
        if *reads_left == 0 {
            return Unread::NotLookedAt;
        }
        *reads_left -= 1;
        let request = FetchRequest {
            offset,
            bytes_max: 1,
            min_one_batch: true,
            up_to: UpTo::LastStable,
        };
        let Ok(fetched) = log.read(request) else {
            return Unread::Unknown;
        };
        let Ok(header) = BatchHeader::parse(&fetched.batches) else {
            return Unread::Unknown;
        };
        let first = Offset(header.base_offset);
        let is_aborted = header.is_transactional()
            && fetched.aborted.iter().any(|aborted| {
                aborted.producer_id.0 == header.producer_id
                    && aborted.first_offset <= first
                    && first <= aborted.last_offset
            });
        if !header.is_control() && !is_aborted {
            return Unread::Since(header.base_timestamp);
        }
        offset = Offset(header.next_offset());
    }
    Unread::NotLookedAt
}

/// All readings together.
pub async fn broker(state: &BrokerState, now_ms: i64) -> Inputs {
    let mut process = process::read(state.data_dir());
    process.connections = state.stats().snapshot().connections_open;
    let held = state.held();
    process.request_bytes = held.request_bytes as u64;
    process.unsent_bytes = held.unsent_bytes as u64;
    process.fetched_bytes = held.fetched_bytes as u64;
    process.fetch_session_partitions = held.fetch_session_partitions as u64;
    Inputs {
        now_ms,
        topics: topics(state),
        groups: groups(state).await,
        jobs: Vec::new(),
        producers: producers(state),
        process,
        logs: LogsInput {
            counts: state.logs().metrics(),
            offline_partitions: state.logs().offline().len(),
            uncleanable_partitions: state.logs().uncleanable().len(),
        },
        live_reads: Vec::new(),
    }
}

fn producers(state: &BrokerState) -> Vec<ClientInput> {
    state
        .stats()
        .producers()
        .into_iter()
        .map(|(client_id, topic, records)| ClientInput {
            client_id: client_id.to_string(),
            topic: topic.to_string(),
            records,
        })
        .collect()
}

/// The topics' counters for `/metrics`.
pub fn counters(state: &BrokerState) -> Vec<TopicCounters> {
    state
        .stats()
        .snapshot()
        .topics
        .iter()
        .map(|(topic, t)| TopicCounters {
            topic: topic.to_string(),
            counts: [t.messages_in, t.bytes_in, t.messages_out, t.bytes_out],
        })
        .collect()
}
