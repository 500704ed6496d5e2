//! Fetch (1): reads record batches, with long polls and sessions.

use super::leader_hints::LeaderHints;
use super::{Answer, Handler};
use crate::fetch::read::{Asked, Bounds, PartitionRead, Reading};
use crate::fetch::sessions::{Mode, NewSession, Session, SessionRequest, Told, TopicKey, Wanted};
use crate::state::{BrokerState, RequestContext};
use crate::topics::EPOCH_UNKNOWN;
use millstream_core::ids::{LeaderEpoch, Offset, TopicId};
use millstream_core::limits::PARTITIONS_MAX;
use millstream_log::{ReadySet, UpTo};
use millstream_wire::ErrorCode;
use millstream_wire::codec::Payload;
use millstream_wire::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use parking_lot::Mutex;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Fetch.
pub(super) struct Fetch;

/// From here on topics are named by id (KIP-516).
const VERSION_IDS: i16 = 13;
/// From here on an error names the leader to go to (KIP-951).
const VERSION_HINTS: i16 = 16;
/// From here on clients know KAFKA_STORAGE_ERROR (KIP-112).
const VERSION_STORAGE_ERROR: i16 = 6;
/// Longest wait that a client may ask for; more is cut to this.
const WAIT_MAX: Duration = Duration::from_secs(300);

impl Handler for Fetch {
    type Request = FetchRequest;
    const VERSIONS: RangeInclusive<i16> = 4..=18;

    async fn handle(context: RequestContext, request: FetchRequest) -> Answer<FetchResponse> {
        if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
            // Nobody follows a broker of a cluster of one.
            return refused(ErrorCode::BrokerIdNotRegistered).into();
        }
        // All partitions there can be: nobody has a use for more, and each
        // takes several times its bytes while the fetch waits.
        let asked = request.topics.iter().map(|topic| topic.partitions.len());
        if asked.sum::<usize>() > PARTITIONS_MAX {
            return refused(ErrorCode::InvalidRequest).into();
        }
        let by_id = context.api_version >= VERSION_IDS;
        let bounds = bounds(&context.state, &request);
        let opened =
            context
                .state
                .fetch_sessions()
                .open(session_request(request, by_id, bounds.up_to));
        let (kind, asked) = match opened {
            Ok(Mode::Sessionless(wanted)) => (Kind::Sessionless, Asked::All(wanted)),
            Ok(Mode::New(wanted)) => (Kind::New, Asked::All(wanted)),
            Ok(Mode::Incremental(session)) => (
                Kind::Incremental(Arc::clone(&session)),
                Asked::Session(session),
            ),
            Err(code) => return refused(code).into(),
        };
        let shape = Shape {
            kind,
            version: context.api_version,
            up_to: bounds.up_to,
        };
        let state = Arc::clone(&context.state);
        let mut reading = Reading::new(Arc::clone(&state), context.connection, asked, bounds);
        match reading.attempt_in_turn().await {
            Some(read) => shape.response(&state, &reading, read).into(),
            None => {
                let waits = reading.waits();
                Answer::later(async move {
                    let (reading, read) = reading.wait().await;
                    drop(waits);
                    shape.response(&state, &reading, read)
                })
            }
        }
    }
}

fn refused(code: ErrorCode) -> FetchResponse {
    FetchResponse {
        error_code: code.into(),
        ..Default::default()
    }
}

fn bounds(state: &BrokerState, request: &FetchRequest) -> Bounds {
    let size = |n: i32| usize::try_from(n).unwrap_or(0);
    let wait_max = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let bytes_max = size(request.max_bytes).min(state.settings().fetch_bytes_max);
    Bounds {
        up_to: if request.isolation_level == 1 {
            UpTo::LastStable
        } else {
            UpTo::HighWatermark
        },
        // Or an answer that is full would wait for more.
        bytes_min: size(request.min_bytes).min(bytes_max),
        bytes_max,
        wait_max: wait_max.min(WAIT_MAX),
    }
}

fn session_request(request: FetchRequest, by_id: bool, up_to: UpTo) -> SessionRequest {
    let key = |name: String, id: TopicId| {
        if by_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(name.into())
        }
    };
    // Of what a client does not know it says -1; Kafka takes whatever is below
    // 0 for that here.
    let epoch = |epoch: i32| epoch.max(EPOCH_UNKNOWN);
    let mut wanted = Vec::new();
    for topic in request.topics {
        let topic_key = key(topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.into_iter().map(|partition| Wanted {
            topic: topic_key.clone(),
            partition: partition.partition,
            offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            leader_epoch: epoch(partition.current_leader_epoch),
            last_fetched_epoch: epoch(partition.last_fetched_epoch),
            known_as: None,
        }));
    }
    let mut forgotten = Vec::new();
    for topic in request.forgotten_topics_data {
        let topic_key = key(topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.into_iter().map(|p| (topic_key.clone(), p)));
    }
    SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        by_id,
        up_to,
        wanted,
        forgotten,
    }
}

/// What the answer is part of.
enum Kind {
    Sessionless,
    New,
    Incremental(Arc<Mutex<Session>>),
}

/// How the answer to one request looks.
struct Shape {
    kind: Kind,
    version: i16,
    up_to: UpTo,
}

impl Shape {
    fn response(
        self,
        state: &BrokerState,
        reading: &Reading,
        read: Vec<PartitionRead>,
    ) -> FetchResponse {
        let (session_id, read) = match &self.kind {
            Kind::Sessionless => (0, read),
            Kind::New => (self.begin(state, reading, &read), read),
            Kind::Incremental(session) => {
                let mut session = session.lock();
                (session.id, news(&mut session, self.up_to, read))
            }
        };
        let mut hints = LeaderHints::new(state);
        let responses = self.topics(read, &mut hints);
        let node_endpoints = hints.endpoints().map(|broker| NodeEndpoint {
            node_id: broker.id.0,
            host: broker.host.clone(),
            port: broker.port.into(),
            rack: broker.rack.clone(),
        });
        FetchResponse {
            session_id,
            responses,
            node_endpoints: node_endpoints.collect(),
            ..Default::default()
        }
    }

    /// Begins a session with what is being answered.
    fn begin(&self, state: &BrokerState, reading: &Reading, read: &[PartitionRead]) -> i32 {
        let partitions = read.iter().map(|read| {
            let wanted = Wanted {
                known_as: read.name.clone(),
                ..read.wanted.clone()
            };
            (wanted, told(read))
        });
        let new = NewSession {
            partitions: partitions.collect(),
            set: Arc::clone(reading.set()),
            by_id: self.version >= VERSION_IDS,
            up_to: self.up_to,
            topics_version: reading.topics_version(),
        };
        look_again(reading.set(), self.up_to, read);
        let slots_max = state.settings().fetch_sessions_max;
        state.fetch_sessions().keep(new, slots_max)
    }

    fn topics(
        &self,
        read: Vec<PartitionRead>,
        hints: &mut LeaderHints,
    ) -> Vec<FetchableTopicResponse> {
        let mut topics: Vec<FetchableTopicResponse> = Vec::new();
        for read in read {
            let (name, id) = match &read.wanted.topic {
                TopicKey::Name(name) => (&**name, TopicId::nil()),
                TopicKey::Id(id) => ("", *id),
            };
            let same = topics
                .last()
                .is_some_and(|t| t.topic == name && t.topic_id == id);
            if !same {
                topics.push(FetchableTopicResponse {
                    topic: name.to_owned(),
                    topic_id: id,
                    partitions: Vec::new(),
                });
            }
            let data = self.partition(read, hints);
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(data);
            }
        }
        topics
    }

    /// As Kafka does it for clients that may not know the newer code.
    fn error_code(&self, code: ErrorCode) -> ErrorCode {
        match code {
            ErrorCode::KafkaStorageError if self.version < VERSION_STORAGE_ERROR => {
                ErrorCode::NotLeaderOrFollower
            }
            code => code,
        }
    }

    fn committed(&self) -> bool {
        self.up_to == UpTo::LastStable
    }

    fn partition(&self, read: PartitionRead, hints: &mut LeaderHints) -> PartitionData {
        let partition_index = read.wanted.partition;
        match read.result {
            Ok(batches) => {
                let aborted = batches.aborted.iter().map(|aborted| AbortedTransaction {
                    producer_id: aborted.producer_id.0,
                    first_offset: aborted.first_offset.0,
                });
                PartitionData {
                    partition_index,
                    error_code: 0,
                    high_watermark: batches.high_watermark.0,
                    last_stable_offset: batches.last_stable_offset.0,
                    log_start_offset: batches.log_start_offset.0,
                    diverging_epoch: read.diverging.map(epoch_end).unwrap_or_default(),
                    // Null tells a read_uncommitted client that it need not
                    // look for aborted records.
                    aborted_transactions: self.committed().then(|| aborted.collect()),
                    records: Some(batches.batches),
                    ..Default::default()
                }
            }
            Err(code) => PartitionData {
                partition_index,
                error_code: self.error_code(code).into(),
                current_leader: read
                    .name
                    .filter(|_| self.version >= VERSION_HINTS)
                    .and_then(|name| hints.hint(code, &name, partition_index))
                    .map(|hint| LeaderIdAndEpoch {
                        leader_id: hint.leader_id,
                        leader_epoch: hint.leader_epoch,
                    })
                    .unwrap_or_default(),
                high_watermark: -1,
                aborted_transactions: None,
                records: Some(Payload::default()),
                ..Default::default()
            },
        }
    }
}

fn epoch_end((epoch, end_offset): (LeaderEpoch, Offset)) -> EpochEndOffset {
    EpochEndOffset {
        epoch: epoch.0,
        end_offset: end_offset.0,
    }
}

/// Of an incremental fetch, only what the client does not know yet.
fn news(session: &mut Session, up_to: UpTo, read: Vec<PartitionRead>) -> Vec<PartitionRead> {
    look_again(session.set(), up_to, &read);
    let is_news = |read: &PartitionRead| {
        let changed = session.tell(read.key, read.name.as_ref(), told(read));
        changed || has_records(read) || read.diverging.is_some() || read.result.is_err()
    };
    read.into_iter().filter(is_news).collect()
}

fn has_records(read: &PartitionRead) -> bool {
    read.result.as_ref().is_ok_and(|b| !b.batches.is_empty())
}

/// Marks what the next fetch of the session must look at though nothing
/// happens to it: an error, more than fitted, or what was answered, should
/// the client ask for it again. Those that got nothing come first, so that a
/// busy one cannot starve the others of `max_bytes`.
fn look_again(set: &ReadySet, up_to: UpTo, read: &[PartitionRead]) {
    let has_more = |read: &PartitionRead| match &read.result {
        Ok(_) if read.diverging.is_some() => true,
        Ok(batches) => {
            let end = match up_to {
                UpTo::LastStable => batches.last_stable_offset,
                _ => batches.high_watermark,
            };
            read.wanted.offset < end.0
        }
        Err(_) => true,
    };
    let again = || read.iter().filter(|read| has_more(read));
    for read in again().filter(|read| !has_records(read)) {
        set.mark(read.key);
    }
    for read in again().filter(|read| has_records(read)) {
        set.mark(read.key);
    }
}

fn told(read: &PartitionRead) -> Told {
    match &read.result {
        Ok(batches) => Told {
            high_watermark: batches.high_watermark.0,
            log_start_offset: batches.log_start_offset.0,
        },
        Err(_) => Told {
            high_watermark: -1,
            log_start_offset: -1,
        },
    }
}
