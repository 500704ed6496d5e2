//! Fetch (1): reads record batches, with long polls and sessions.

use super::{Answer, Handler};
use crate::fetch::read::{Bounds, PartitionRead, Reading};
use crate::fetch::sessions::{Mode, SessionRequest, Told, TopicKey, Wanted};
use crate::state::{BrokerState, RequestContext};
use millstream_core::ids::TopicId;
use millstream_log::UpTo;
use millstream_wire::ErrorCode;
use millstream_wire::messages::fetch::{
    AbortedTransaction, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Fetch.
pub(super) struct Fetch;

/// From here on topics are named by id (KIP-516).
const VERSION_IDS: i16 = 13;
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
        let by_id = context.api_version >= VERSION_IDS;
        let bounds = bounds(&context.state, &request);
        let opened = context
            .state
            .fetch_sessions()
            .open(session_request(request, by_id));
        let (mode, wanted) = match opened {
            Ok(opened) => opened,
            Err(code) => return refused(code).into(),
        };
        let shape = Shape {
            mode,
            by_id,
            committed: bounds.up_to == UpTo::LastStable,
        };
        let reading = Reading::new(Arc::clone(&context.state), wanted, bounds);
        match reading.attempt().await {
            Some(read) => shape.response(&context.state, read).into(),
            None => Answer::later(async move {
                let read = reading.wait().await;
                shape.response(&context.state, read)
            }),
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
    Bounds {
        up_to: if request.isolation_level == 1 {
            UpTo::LastStable
        } else {
            UpTo::HighWatermark
        },
        bytes_min: size(request.min_bytes),
        bytes_max: size(request.max_bytes).min(state.settings().fetch_bytes_max),
        wait_max: wait_max.min(WAIT_MAX),
    }
}

fn session_request(request: FetchRequest, by_id: bool) -> SessionRequest {
    let key = |name: String, id: TopicId| {
        if by_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(name)
        }
    };
    let mut wanted = Vec::new();
    for topic in request.topics {
        let topic_key = key(topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.into_iter().map(|partition| Wanted {
            topic: topic_key.clone(),
            partition: partition.partition,
            offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            leader_epoch: partition.current_leader_epoch,
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
        wanted,
        forgotten,
    }
}

/// How the answer to one request looks.
struct Shape {
    mode: Mode,
    by_id: bool,
    committed: bool,
}

impl Shape {
    fn response(self, state: &BrokerState, read: Vec<PartitionRead>) -> FetchResponse {
        let session_id = match &self.mode {
            Mode::Sessionless => 0,
            Mode::New => {
                let partitions = read
                    .iter()
                    .map(|read| {
                        let wanted = Wanted {
                            known_as: read.name.clone(),
                            ..read.wanted.clone()
                        };
                        (wanted, told(read))
                    })
                    .collect();
                let slots_max = state.settings().fetch_sessions_max;
                state
                    .fetch_sessions()
                    .keep(partitions, self.by_id, slots_max)
            }
            Mode::Incremental(session) => session.lock().id,
        };
        let read = match &self.mode {
            Mode::Incremental(session) => news(&mut session.lock(), read),
            Mode::Sessionless | Mode::New => read,
        };
        FetchResponse {
            session_id,
            responses: self.topics(read),
            ..Default::default()
        }
    }

    fn topics(&self, read: Vec<PartitionRead>) -> Vec<FetchableTopicResponse> {
        let mut topics: Vec<FetchableTopicResponse> = Vec::new();
        for read in read {
            let (name, id) = match &read.wanted.topic {
                TopicKey::Name(name) => (name.as_str(), TopicId::nil()),
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
            let data = self.partition(read);
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(data);
            }
        }
        topics
    }

    fn partition(&self, read: PartitionRead) -> PartitionData {
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
                    // Null tells a read_uncommitted client that it need not
                    // look for aborted records.
                    aborted_transactions: self.committed.then(|| aborted.collect()),
                    records: Some(batches.batches),
                    ..Default::default()
                }
            }
            Err(code) => PartitionData {
                partition_index,
                error_code: code.into(),
                high_watermark: -1,
                aborted_transactions: self.committed.then(Vec::new),
                records: Some(bytes::Bytes::new()),
                ..Default::default()
            },
        }
    }
}

/// Of an incremental fetch, only what the client does not know yet.
fn news(
    session: &mut crate::fetch::sessions::Session,
    read: Vec<PartitionRead>,
) -> Vec<PartitionRead> {
    let mut served = HashSet::new();
    let news = read
        .into_iter()
        .enumerate()
        .filter(|(place, read)| {
            let changed = session.tell(*place, &read.wanted, read.name.as_ref(), told(read));
            let has_records = read.result.as_ref().is_ok_and(|b| !b.batches.is_empty());
            if has_records {
                served.insert((read.wanted.topic.clone(), read.wanted.partition));
            }
            changed || has_records || read.result.is_err()
        })
        .map(|(_, read)| read)
        .collect();
    session.rotate(&served);
    news
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
