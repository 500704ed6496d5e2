//! The read of a fetch: over many partitions, within bounds, waiting without
//! polling.
//!
//! A partition is looked at when it is asked for and when it moves on, see
//! [`ReadySet`]; of a session only those that changed come here at all.

use super::budget::{BYTES_WITHOUT_ROOM, Room};
use super::sessions::{Session, TopicKey, Wanted};
use crate::connection::Connection;
use crate::connection::sending::InFile;
use crate::state::BrokerState;
use crate::stats::TopicStats;
use crate::topics::{EPOCH_UNKNOWN, HostedPartition, HostedTopic, check_leader_epoch};
use bytes::Bytes;
use millstream_core::ids::{LeaderEpoch, Offset};
use millstream_log::{FetchRequest, FetchedBatches, FileRange, PartitionLog, ReadySet, UpTo};
use millstream_wire::ErrorCode;
use millstream_wire::codec::Payload;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A reader this many records behind the end reads what may no longer be in
/// the page cache, so it reads on a thread that may block.
const CATCH_UP_RECORDS: i64 = 100_000;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) up_to: UpTo,
    pub(crate) bytes_min: usize,
    pub(crate) bytes_max: usize,
    pub(crate) wait_max: Duration,
}

/// What one partition gave.
pub(crate) struct PartitionRead<B = Payload> {
    /// Its key in the set that the fetch waits on.
    pub(crate) key: u64,
    pub(crate) wanted: Wanted,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) result: Result<FetchedBatches<B>, ErrorCode>,
    /// Where the log and what the reader has of it part; nothing is read then.
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
}

/// Where the partitions of a fetch come from.
pub(crate) enum Asked {
    /// The request: all of them, their keys are their places.
    All(Vec<Wanted>),
    /// The session: those that its set names.
    Session(Arc<Mutex<Session>>),
}

/// A partition to read, resolved.
struct Target {
    key: u64,
    wanted: Wanted,
    name: Option<Arc<str>>,
    source: Result<Source, ErrorCode>,
    /// Whether a read would give records or an error.
    news: bool,
}

impl Target {
    /// Whether there is no such topic or partition.
    fn is_unknown(&self) -> bool {
        matches!(
            self.source,
            Err(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
        )
    }
}

#[derive(Clone)]
struct Source {
    partition: HostedPartition,
    stats: Arc<TopicStats>,
}

impl Source {
    fn log(&self) -> &Arc<PartitionLog> {
        &self.partition.log
    }

    /// Where the log and the reader's last epoch part, if they do (KIP-595).
    fn diverging(&self, wanted: &Wanted) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        if wanted.last_fetched_epoch == EPOCH_UNKNOWN {
            return Ok(None);
        }
        // Nothing can be said of an epoch that is not in the log yet, or no
        // more.
        let (epoch, end) = self
            .partition
            .end_of_epoch(wanted.last_fetched_epoch)
            .ok_or(ErrorCode::OffsetOutOfRange)?;
        let parts = epoch.0 < wanted.last_fetched_epoch || end.0 < wanted.offset;
        Ok(parts.then_some((epoch, end)))
    }
}

/// The records of a partition, before anything is tied to them.
enum Found {
    Read(Bytes),
    InFile(FileRange),
}

impl Found {
    fn len(&self) -> usize {
        match self {
            Self::Read(bytes) => bytes.len(),
            Self::InFile(range) => range.size,
        }
    }
}

/// What keeps a fetch from reading now.
#[derive(Clone, Copy)]
enum Lack {
    /// Records.
    News,
    /// The client has not taken the records of its last answer.
    Turn,
    /// Room in the node's budget for this many bytes.
    Room(usize),
}

/// A fetch that is under way.
pub(crate) struct Reading {
    state: Arc<BrokerState>,
    connection: Arc<Connection>,
    session: Option<Arc<Mutex<Session>>>,
    set: Arc<ReadySet>,
    targets: Vec<Target>,
    /// By key; of a session only, as all of a request are at their keys.
    places: HashMap<u64, usize>,
    bounds: Bounds,
    deadline: tokio::time::Instant,
    topics: watch::Receiver<u64>,
    topics_version: u64,
    lack: Lack,
    /// See [`Connection::fetched`].
    turn: Option<OwnedSemaphorePermit>,
    room: Option<Room>,
}

impl Reading {
    pub(crate) fn new(
        state: Arc<BrokerState>,
        connection: Arc<Connection>,
        asked: Asked,
        bounds: Bounds,
    ) -> Self {
        let mut topics = state.hosting.changes();
        // Before anything is looked up: what changes later is noticed.
        let topics_version = *topics.borrow_and_update();
        let (session, set, wanted) = match asked {
            Asked::All(wanted) => (None, Arc::default(), wanted),
            Asked::Session(session) => {
                let set = {
                    let mut session = session.lock();
                    session.refresh(topics_version);
                    Arc::clone(session.set())
                };
                (Some(session), set, Vec::new())
            }
        };
        let mut reading = Self {
            deadline: tokio::time::Instant::now() + bounds.wait_max,
            state,
            connection,
            session,
            set,
            targets: Vec::with_capacity(wanted.len()),
            places: HashMap::new(),
            bounds,
            topics,
            topics_version,
            lack: Lack::News,
            turn: None,
            room: None,
        };
        for (key, wanted) in (0..).zip(wanted) {
            reading.add(key, wanted);
        }
        reading
    }

    /// What the fetch waits on.
    pub(crate) fn set(&self) -> &Arc<ReadySet> {
        &self.set
    }

    /// Of the topics that the partitions were looked up in.
    pub(crate) fn topics_version(&self) -> u64 {
        self.topics_version
    }

    /// Reads once, if no fetch of the connection waits already: it would have
    /// to wait for what this one has read to be sent, which waits for it.
    pub(crate) async fn attempt_in_turn(&mut self) -> Option<Vec<PartitionRead>> {
        if self.connection.fetches_waiting.load(Ordering::Relaxed) > 0 {
            self.lack = Lack::Turn;
            return None;
        }
        self.attempt().await
    }

    /// Counts the fetch among those that wait, until that is dropped.
    pub(crate) fn waits(&self) -> WaitingFetch {
        let connection = Arc::clone(&self.connection);
        connection.fetches_waiting.fetch_add(1, Ordering::Relaxed);
        WaitingFetch(connection)
    }

    /// Reads once; `None` when it is too little and there is time to wait.
    async fn attempt(&mut self) -> Option<Vec<PartitionRead>> {
        self.collect();
        let over = self.deadline <= tokio::time::Instant::now()
            || self.state.stopping().is_cancelled()
            || self.bounds.bytes_min == 0
            || self.asks_for_nothing();
        if !over && !self.targets.iter().any(|t| t.news) {
            self.lack = Lack::News;
            self.room = None;
            return None;
        }
        if self.turn.is_none() {
            let turn = Arc::clone(&self.connection.fetched).try_acquire_owned();
            let Ok(turn) = turn else {
                self.lack = Lack::Turn;
                return None;
            };
            self.turn = Some(turn);
        }
        let (read, lack) = self.read(over).await;
        // Who asks for a partition that is not there gets to know with the
        // rest, as from Kafka: at once it would ask again at once.
        let mut targets = self.targets.iter().zip(&read);
        let failed = targets
            .any(|(t, read)| read.diverging.is_some() || (read.result.is_err() && !t.is_unknown()));
        let waits = || lack.is_some() || self.available(&read) < self.bounds.bytes_min;
        if !over && !failed && waits() {
            self.lack = lack.unwrap_or(Lack::News);
            // What was not enough was not sent: the room is for others.
            self.room = None;
            self.turn = None;
            return None;
        }
        for (target, read) in self.targets.iter().zip(&read) {
            if let (Ok(source), Ok(batches)) = (&target.source, &read.result) {
                let records = batches.next_offset.0.saturating_sub(target.wanted.offset);
                source.stats.fetched(
                    u64::try_from(records).unwrap_or(0),
                    batches.batches.len() as u64,
                );
            }
        }
        self.targets.clear();
        Some(self.hold(read))
    }

    /// Bytes that there are, as Kafka counts them (`DelayedFetch`): whole
    /// batches rarely fill a partition's bound, and a read ends with its
    /// segment, so what is there beyond counts up to that bound.
    fn available(&self, read: &[PartitionRead<Found>]) -> usize {
        let mut sum = 0usize;
        for (target, read) in self.targets.iter().zip(read) {
            let (Ok(source), Ok(batches)) = (&target.source, &read.result) else {
                continue;
            };
            let mut bytes = batches.batches.len();
            let end = match self.bounds.up_to {
                UpTo::HighWatermark => batches.high_watermark,
                UpTo::LastStable => batches.last_stable_offset,
                UpTo::LogEnd => source.log().progress().log_end_offset,
            };
            if bytes < self.bounds.bytes_min && batches.next_offset < end {
                let bytes_max = usize::try_from(target.wanted.bytes_max).unwrap_or(0);
                let beyond = source.log().bytes_from(batches.next_offset);
                bytes = bytes.max(bytes.saturating_add(beyond).min(bytes_max));
            }
            sum = sum.saturating_add(bytes);
        }
        sum
    }

    /// Waits for enough, or for the end of the time allowed.
    pub(crate) async fn wait(mut self) -> (Self, Vec<PartitionRead>) {
        let state = Arc::clone(&self.state);
        loop {
            let lacking = async {
                match self.lack {
                    Lack::News => self.set.marked().await,
                    Lack::Turn => {
                        let turn = Arc::clone(&self.connection.fetched).acquire_owned();
                        self.turn = turn.await.ok();
                    }
                    Lack::Room(bytes) => self.room = Some(state.fetched_budget().wait(bytes).await),
                }
            };
            let deadline = self.deadline;
            let waits_for_turn = matches!(self.lack, Lack::Turn);
            tokio::select! {
                biased;
                () = lacking => {}
                // The records of the answer before are given up with the
                // connection at the latest; an answer without its turn would
                // have to be empty, though there may be records.
                () = state.stopping().cancelled(), if !waits_for_turn => {}
                () = tokio::time::sleep_until(deadline), if !waits_for_turn => {}
                // The sender lives in the state, which we hold.
                _ = self.topics.changed(), if !waits_for_turn => {}
            }
            if let Some(read) = self.attempt().await {
                return (self, read);
            }
        }
    }

    /// Without partitions, or with none that is known, there is nothing to
    /// wait for.
    fn asks_for_nothing(&self) -> bool {
        let unknown = self.targets.iter().filter(|t| t.is_unknown()).count();
        match &self.session {
            Some(session) => session.lock().len() == unknown,
            None => self.targets.len() == unknown,
        }
    }

    /// Takes up what has moved on, or is to be looked up anew.
    fn collect(&mut self) {
        let topics_version = *self.topics.borrow_and_update();
        let changed = self.topics_version != topics_version;
        if changed {
            self.topics_version = topics_version;
            for target in &mut self.targets {
                let fresh = resolve(&self.state, target.key, target.wanted.clone());
                *target = fresh;
            }
            if let Some(session) = &self.session {
                session.lock().refresh(topics_version);
            }
        }
        let keys = self.set.take();
        for key in keys {
            if self.place(key).is_none() {
                let wanted = self
                    .session
                    .as_ref()
                    .and_then(|session| session.lock().wanted(key).cloned());
                if let Some(wanted) = wanted {
                    self.add(key, wanted);
                }
                continue;
            }
            if let Some(place) = self.place(key) {
                self.look(place);
            }
        }
        if changed {
            (0..self.targets.len()).for_each(|place| self.look(place));
        }
    }

    fn place(&self, key: u64) -> Option<usize> {
        match self.session {
            Some(_) => self.places.get(&key).copied(),
            None => usize::try_from(key)
                .ok()
                .filter(|key| *key < self.targets.len()),
        }
    }

    fn add(&mut self, key: u64, wanted: Wanted) {
        let place = self.targets.len();
        if self.session.is_some() {
            self.places.insert(key, place);
        }
        self.targets.push(resolve(&self.state, key, wanted));
        self.look(place);
    }

    /// Finds out whether a read of the target would give anything.
    fn look(&mut self, place: usize) {
        let up_to = self.bounds.up_to;
        let Some(target) = self.targets.get_mut(place) else {
            return;
        };
        if let Ok(source) = &target.source {
            // Registered before the look: what happens in between wakes us.
            source.log().wake_in_set(&self.set, target.key);
        }
        target.news = match &target.source {
            Ok(source) => {
                !matches!(source.diverging(&target.wanted), Ok(None))
                    || has_news(source.log(), Offset(target.wanted.offset), up_to)
            }
            Err(_) => !target.is_unknown(),
        };
    }

    /// Reads all targets; and what was lacking to read more, if anything.
    async fn read(&mut self, over: bool) -> (Vec<PartitionRead<Found>>, Option<Lack>) {
        let wanted = self.targets.iter().fold(0usize, |sum, target| {
            sum.saturating_add(usize::try_from(target.wanted.bytes_max).unwrap_or(0))
        });
        let wanted = wanted.min(self.bounds.bytes_max);
        let budget = self.state.fetched_budget();
        let mut lack = None;
        let mut room = match self.room.take().or_else(|| budget.try_take(wanted)) {
            Some(room) => room,
            None if over => Room::default(),
            None => return (Vec::new(), Some(Lack::Room(BYTES_WITHOUT_ROOM))),
        };
        // Without any room: who the leader is and where the log ends.
        let is_empty = wanted > 0 && room.bytes() == 0;
        let mut left = room.bytes().min(wanted);
        let mut first = !is_empty;
        let mut used = 0;
        let mut read = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            let mut diverging = None;
            let mut result = match &target.source {
                Ok(source) => match source.diverging(&target.wanted) {
                    Ok(None) => self.read_one(source, &target.wanted, left, first).await,
                    Ok(at) => {
                        diverging = at;
                        Ok(nothing(source.log(), &target.wanted))
                    }
                    Err(code) => Err(code),
                },
                Err(code) => Err(*code),
            };
            if let Ok(batches) = &mut result {
                let bytes = batches.batches.len();
                if used + bytes > room.bytes() && !budget.try_extend(&mut room, used + bytes) {
                    // One batch that is larger than what there is room for.
                    lack = Some(Lack::Room(used + bytes));
                    batches.batches = Found::Read(Bytes::new());
                    batches.next_offset = Offset(target.wanted.offset);
                    batches.aborted.clear();
                } else {
                    used += bytes;
                }
                first &= bytes == 0;
                left = left.saturating_sub(bytes);
            }
            read.push(PartitionRead {
                key: target.key,
                wanted: target.wanted.clone(),
                name: target.name.clone(),
                result,
                diverging,
            });
        }
        room.shrink(used);
        self.room = Some(room);
        (read, lack)
    }

    /// Ties room and turn to the bytes that were read.
    fn hold(&mut self, read: Vec<PartitionRead<Found>>) -> Vec<PartitionRead> {
        let held = Arc::new(Held {
            _room: self.room.take(),
            _turn: self.turn.take(),
        });
        let hold = |found| match found {
            Found::Read(bytes) if bytes.is_empty() => Payload::default(),
            Found::Read(bytes) => Payload::Here(Bytes::from_owner(HeldBytes {
                bytes,
                _held: Arc::clone(&held),
            })),
            Found::InFile(range) => {
                let held = Arc::clone(&held) as Arc<dyn Debug + Send + Sync>;
                Payload::Elsewhere(Arc::new(InFile { range, held }))
            }
        };
        let held = read.into_iter().map(|read| PartitionRead {
            key: read.key,
            wanted: read.wanted,
            name: read.name,
            result: read.result.map(|batches| batches.map(hold)),
            diverging: read.diverging,
        });
        held.collect()
    }

    async fn read_one(
        &self,
        source: &Source,
        wanted: &Wanted,
        left: usize,
        first: bool,
    ) -> Result<FetchedBatches<Found>, ErrorCode> {
        let request = FetchRequest {
            offset: Offset(wanted.offset),
            bytes_max: left.min(usize::try_from(wanted.bytes_max).unwrap_or(0)),
            // KIP-74: only the first partition with records may go beyond the
            // bounds, or the response could be of any size.
            min_one_batch: first,
            up_to: self.bounds.up_to,
        };
        // What is in the page cache goes from there to the socket; errors are
        // for the read to tell.
        if let Ok(Some(found)) = source.log().locate(request) {
            return Ok(found.map(Found::InFile));
        }
        let behind = source
            .log()
            .high_watermark()
            .0
            .saturating_sub(wanted.offset);
        let log = Arc::clone(source.log());
        let result = if behind > CATCH_UP_RECORDS {
            match tokio::task::spawn_blocking(move || log.read(request)).await {
                Ok(result) => result,
                Err(_) => return Err(ErrorCode::UnknownServerError),
            }
        } else {
            log.read(request)
        };
        let read = result.map(|read| read.map(Found::Read));
        read.map_err(|error| {
            let error = crate::error::ApiError::from(error);
            if error.code != ErrorCode::OffsetOutOfRange {
                tracing::error!(partition = %source.log().topic_partition(), error = error.message, "read failed");
            }
            error.code
        })
    }
}

/// See [`Reading::waits`].
pub(crate) struct WaitingFetch(Arc<Connection>);

impl Drop for WaitingFetch {
    fn drop(&mut self) {
        self.0.fetches_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Reading {
    /// A fetch that ends without an answer leaves its partitions to the next
    /// one of its session.
    fn drop(&mut self) {
        for target in &self.targets {
            self.set.mark(target.key);
        }
    }
}

/// Whether a read would give records or an error.
fn has_news(log: &PartitionLog, offset: Offset, up_to: UpTo) -> bool {
    let progress = log.progress();
    let end = match up_to {
        UpTo::HighWatermark => progress.high_watermark,
        UpTo::LastStable => progress.last_stable_offset,
        UpTo::LogEnd => progress.log_end_offset,
    };
    let outside = offset < progress.log_start_offset || offset > progress.log_end_offset;
    offset < end || outside || progress.failure.is_some()
}

/// No records, and where the log stands.
fn nothing(log: &PartitionLog, wanted: &Wanted) -> FetchedBatches<Found> {
    let progress = log.progress();
    FetchedBatches {
        batches: Found::Read(Bytes::new()),
        next_offset: Offset(wanted.offset),
        aborted: Vec::new(),
        high_watermark: progress.high_watermark,
        last_stable_offset: progress.last_stable_offset,
        log_start_offset: progress.log_start_offset,
    }
}

/// What an answer's records hold until the last of them has been sent.
#[derive(Debug)]
struct Held {
    _room: Option<Room>,
    _turn: Option<OwnedSemaphorePermit>,
}

struct HeldBytes {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn resolve(state: &BrokerState, key: u64, wanted: Wanted) -> Target {
    let hosted = match &wanted.topic {
        TopicKey::Name(name) => state.hosted(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        TopicKey::Id(id) => state.hosted_by_id(*id).ok_or_else(|| {
            // A session that knew the topic by name can tell one that was
            // created again from one that is not there.
            match wanted
                .known_as
                .as_deref()
                .and_then(|name| state.hosted(name))
            {
                Some(_) => ErrorCode::InconsistentTopicId,
                None if wanted.known_as.is_some() => ErrorCode::UnknownTopicOrPartition,
                None => ErrorCode::UnknownTopicId,
            }
        }),
    };
    let name = hosted
        .as_ref()
        .ok()
        .map(|hosted| Arc::clone(&hosted.topic.name));
    let source = hosted.and_then(|hosted: Arc<HostedTopic>| {
        let partition = hosted.partition(wanted.partition)?;
        check_leader_epoch(wanted.leader_epoch, partition.leader_epoch)?;
        Ok(Source {
            partition,
            stats: Arc::clone(&hosted.stats),
        })
    });
    Target {
        key,
        wanted,
        name,
        source,
        news: true,
    }
}
