//! Fetch sessions (KIP-227): a client names its partitions once, and later
//! requests and responses carry only what changed.
//!
//! Work per request is by what changed, not by what the session has: the
//! session's [`ReadySet`] names the partitions that the client changed, that
//! moved on, that have more than fitted, or that answer an error.
//!
//! Invariants: at most `slots_max` sessions with at most
//! [`SESSION_PARTITIONS_MAX`] partitions each and [`PARTITIONS_MAX`] in all; a
//! session's epoch rises by one with each request, so that a repeated or lost
//! request is noticed; a partition whose id cannot be resolved stays in the
//! session and answers its error each time; a partition that is not in the
//! ready set is registered with its log, which puts it there.

use millstream_core::env::{Clock, Rand};
use millstream_core::ids::TopicId;
use millstream_log::{ReadySet, UpTo};
use millstream_wire::ErrorCode;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Partitions of one session; a client with more fetches without one.
const SESSION_PARTITIONS_MAX: usize = 20_000;
/// Partitions of all sessions together, about 200 bytes each.
const PARTITIONS_MAX: usize = 250_000;
/// Bytes of a topic's name that count as one partition more.
const NAME_BYTES_PER_PARTITION: usize = 256;
/// A session that was silent for this long gives way to a new one
/// (`min.incremental.fetch.session.eviction.ms`).
const EVICT_AFTER: Duration = Duration::from_secs(120);

/// Epoch of a request without a session.
const EPOCH_NONE: i32 = -1;
/// Epoch of a request that asks for a new session.
const EPOCH_NEW: i32 = 0;

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    /// Up to version 12.
    Name(Arc<str>),
    /// From version 13 on (KIP-516).
    Id(TopicId),
}

/// What is asked of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) bytes_max: i32,
    pub(crate) leader_epoch: i32,
    /// The epoch of the last record that the reader has; -1 does not say.
    pub(crate) last_fetched_epoch: i32,
    /// The name under which the id was last known, to tell a topic that was
    /// created again from one that never was.
    pub(crate) known_as: Option<Arc<str>>,
}

/// What the client was last told of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
}

impl Told {
    /// Of nothing yet, so that the first answer is news.
    const NOTHING: Self = Self {
        high_watermark: -2,
        log_start_offset: -2,
    };
}

/// Which partitions a request is about, and how to answer it.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// Answer everything, keep nothing.
    Sessionless(Vec<Wanted>),
    /// Answer everything; the session begins, if there is room for it.
    New(Vec<Wanted>),
    /// Answer what changed.
    Incremental(Arc<Mutex<Session>>),
}

/// The request as the session sees it.
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) up_to: UpTo,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

/// A session to begin.
pub(crate) struct NewSession {
    /// By their keys in the set, from 0.
    pub(crate) partitions: Vec<(Wanted, Told)>,
    pub(crate) set: Arc<ReadySet>,
    pub(crate) by_id: bool,
    pub(crate) up_to: UpTo,
    /// See [`Session::refresh`].
    pub(crate) topics_version: u64,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: i32,
    /// Expected of the next request.
    next_epoch: i32,
    by_id: bool,
    up_to: UpTo,
    topics_version: u64,
    last_used: Duration,
    places: HashMap<(TopicKey, i32), u64>,
    /// By their keys, in the order in which they were named.
    partitions: BTreeMap<u64, (Wanted, Told)>,
    next_key: u64,
    set: Arc<ReadySet>,
    share: Share,
}

/// All sessions of the node.
pub(crate) struct FetchSessions {
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    sessions: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
    /// Partitions of all sessions, see [`Share`].
    partitions: Arc<AtomicUsize>,
}

impl FetchSessions {
    pub(crate) fn new(clock: Arc<dyn Clock>, rand: Arc<dyn Rand>) -> Self {
        Self {
            clock,
            rand,
            sessions: Mutex::default(),
            partitions: Arc::default(),
        }
    }

    /// Finds out what to read, and brings the session up to the request.
    pub(crate) fn open(&self, request: SessionRequest) -> Result<Mode, ErrorCode> {
        match request.epoch {
            EPOCH_NONE | EPOCH_NEW => {
                if request.id != 0 {
                    self.sessions.lock().remove(&request.id);
                }
                Ok(match request.wanted {
                    wanted if request.epoch == EPOCH_NEW && !wanted.is_empty() => Mode::New(wanted),
                    wanted => Mode::Sessionless(wanted),
                })
            }
            _ => self.update(request),
        }
    }

    fn update(&self, request: SessionRequest) -> Result<Mode, ErrorCode> {
        let id = request.id;
        let session = self.sessions.lock().get(&id).cloned();
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let updated = session.lock().update(request, self.clock.monotonic());
        match updated {
            Ok(()) => Ok(Mode::Incremental(session)),
            Err(Denied::Code(code)) => Err(code),
            Err(Denied::TooLarge) => {
                self.sessions.lock().remove(&id);
                // The client begins anew, and is answered without a session.
                Err(ErrorCode::FetchSessionIdNotFound)
            }
        }
    }

    /// Keeps a session for what was just answered in full; 0 when there is no
    /// room for it.
    pub(crate) fn keep(&self, new: NewSession, slots_max: usize) -> i32 {
        if slots_max == 0 {
            return 0;
        }
        let mut share = Share::of(&self.partitions);
        let now = self.clock.monotonic();
        let mut sessions = self.sessions.lock();
        let has_room = new
            .partitions
            .iter()
            .all(|(wanted, _)| share.take(cost(wanted)));
        if !has_room {
            return 0;
        }
        if sessions.len() >= slots_max {
            let idle = sessions
                .iter()
                .map(|(id, session)| (session.lock().last_used, *id))
                .min()
                .filter(|(last_used, _)| now.saturating_sub(*last_used) >= EVICT_AFTER);
            match idle {
                Some((_, id)) => sessions.remove(&id),
                None => return 0,
            };
        }
        let id = loop {
            let id = (self.rand.next_u64() & 0x7fff_ffff) as i32;
            if id != 0 && !sessions.contains_key(&id) {
                break id;
            }
        };
        let session = Session::begin(id, new, now, share);
        sessions.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    /// Open sessions, and partitions of all of them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let sessions = self.sessions.lock().len();
        (sessions, self.partitions.load(Ordering::Relaxed))
    }
}

/// Why a request cannot go on with its session.
enum Denied {
    Code(ErrorCode),
    TooLarge,
}

impl Session {
    fn begin(id: i32, new: NewSession, now: Duration, share: Share) -> Self {
        let mut session = Self {
            id,
            next_epoch: 1,
            by_id: new.by_id,
            up_to: new.up_to,
            topics_version: new.topics_version,
            last_used: now,
            places: HashMap::with_capacity(new.partitions.len()),
            partitions: BTreeMap::new(),
            next_key: 0,
            set: new.set,
            share,
        };
        for (wanted, told) in new.partitions {
            session.insert(wanted, told);
        }
        session
    }

    fn insert(&mut self, wanted: Wanted, told: Told) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        let place = (wanted.topic.clone(), wanted.partition);
        self.partitions.insert(key, (wanted, told));
        // One that a request names twice is what it says last.
        if let Some(before) = self.places.insert(place, key) {
            self.drop_key(before);
        }
        key
    }

    fn drop_key(&mut self, key: u64) {
        self.set.forget(key);
        if let Some((wanted, _)) = self.partitions.remove(&key) {
            self.share.give_back(cost(&wanted));
        }
    }

    fn update(&mut self, request: SessionRequest, now: Duration) -> Result<(), Denied> {
        if request.epoch != self.next_epoch {
            return Err(Denied::Code(ErrorCode::InvalidFetchSessionEpoch));
        }
        if request.by_id != self.by_id {
            return Err(Denied::Code(ErrorCode::FetchSessionTopicIdError));
        }
        for wanted in request.wanted {
            self.apply(wanted)?;
        }
        for place in request.forgotten {
            if let Some(key) = self.places.remove(&place) {
                self.drop_key(key);
            }
        }
        if request.up_to != self.up_to {
            // Whoever was at its end before may not be now.
            self.up_to = request.up_to;
            self.mark_all();
        }
        // The epoch after the largest is 1: 0 would begin a new session.
        self.next_epoch = self.next_epoch.checked_add(1).unwrap_or(1);
        self.last_used = now;
        Ok(())
    }

    fn apply(&mut self, wanted: Wanted) -> Result<(), Denied> {
        let place = (wanted.topic.clone(), wanted.partition);
        let known = self.places.get(&place).copied();
        let key = match known.and_then(|key| Some((key, self.partitions.get_mut(&key)?))) {
            Some((key, (old, _))) => {
                *old = Wanted {
                    known_as: old.known_as.take(),
                    ..wanted
                };
                key
            }
            None if self.share.take(cost(&wanted)) => self.insert(wanted, Told::NOTHING),
            None => return Err(Denied::TooLarge),
        };
        self.set.mark(key);
        Ok(())
    }

    /// What the session waits on.
    pub(crate) fn set(&self) -> &Arc<ReadySet> {
        &self.set
    }

    /// How many partitions it has.
    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// One of its partitions.
    pub(crate) fn wanted(&self, key: u64) -> Option<&Wanted> {
        self.partitions.get(&key).map(|(wanted, _)| wanted)
    }

    /// Has all looked at when topics changed since the last time: a partition
    /// may be led in another epoch, gone, or there again.
    pub(crate) fn refresh(&mut self, topics_version: u64) {
        if self.topics_version != topics_version {
            self.topics_version = topics_version;
            self.mark_all();
        }
    }

    fn mark_all(&self) {
        // All are, so in their own order.
        self.set.take();
        for key in self.partitions.keys() {
            self.set.mark(*key);
        }
    }

    /// Notes what the client is now told; true when it is news.
    pub(crate) fn tell(&mut self, key: u64, name: Option<&Arc<str>>, told: Told) -> bool {
        let Some((wanted, before)) = self.partitions.get_mut(&key) else {
            return false;
        };
        if let Some(name) = name {
            wanted.known_as.get_or_insert_with(|| Arc::clone(name));
        }
        std::mem::replace(before, told) != told
    }
}

/// What a partition counts against the bounds: one, and one more for each
/// [`NAME_BYTES_PER_PARTITION`] of a name that no topic can have.
fn cost(wanted: &Wanted) -> usize {
    match &wanted.topic {
        TopicKey::Id(_) => 1,
        TopicKey::Name(name) => 1 + name.len() / NAME_BYTES_PER_PARTITION,
    }
}

/// A session's share of the partitions that all may have; given back when it
/// is dropped.
#[derive(Debug)]
struct Share {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Share {
    fn of(all: &Arc<AtomicUsize>) -> Self {
        Self {
            all: Arc::clone(all),
            own: 0,
        }
    }

    fn take(&mut self, n: usize) -> bool {
        if self.own + n > SESSION_PARTITIONS_MAX {
            return false;
        }
        if self.all.fetch_add(n, Ordering::Relaxed) + n > PARTITIONS_MAX {
            self.all.fetch_sub(n, Ordering::Relaxed);
            return false;
        }
        self.own += n;
        true
    }

    fn give_back(&mut self, n: usize) {
        let n = n.min(self.own);
        self.own -= n;
        self.all.fetch_sub(n, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::env::clock::ManualClock;
    use millstream_core::env::rand::SeededRand;

    fn sessions() -> (Arc<ManualClock>, FetchSessions) {
        let clock = ManualClock::at(0);
        (
            Arc::clone(&clock),
            FetchSessions::new(clock, SeededRand::shared(1)),
        )
    }

    fn wanted(topic: &str, partition: i32) -> Wanted {
        Wanted {
            topic: TopicKey::Name(topic.into()),
            partition,
            offset: 0,
            bytes_max: 1024,
            leader_epoch: -1,
            last_fetched_epoch: -1,
            known_as: None,
        }
    }

    fn request(id: i32, epoch: i32, wanted: Vec<Wanted>) -> SessionRequest {
        SessionRequest {
            id,
            epoch,
            by_id: false,
            up_to: UpTo::HighWatermark,
            wanted,
            forgotten: Vec::new(),
        }
    }

    fn keep_all(sessions: &FetchSessions, partitions: Vec<Wanted>, slots_max: usize) -> i32 {
        let new = NewSession {
            partitions: partitions
                .into_iter()
                .map(|wanted| (wanted, Told::default()))
                .collect(),
            set: Arc::default(),
            by_id: false,
            up_to: UpTo::HighWatermark,
            topics_version: 0,
        };
        sessions.keep(new, slots_max)
    }

    fn keep(sessions: &FetchSessions, names: &[&str], slots_max: usize) -> i32 {
        keep_all(
            sessions,
            names.iter().map(|n| wanted(n, 0)).collect(),
            slots_max,
        )
    }

    /// The partitions that a request has to look at.
    fn ready(sessions: &FetchSessions, request: SessionRequest) -> Vec<Wanted> {
        let Ok(Mode::Incremental(session)) = sessions.open(request) else {
            panic!("not incremental")
        };
        let session = session.lock();
        let keys = session.set().take();
        keys.into_iter()
            .filter_map(|key| session.wanted(key).cloned())
            .collect()
    }

    #[test]
    fn an_incremental_request_looks_at_what_changed_only() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a", "b"], 10);
        assert_eq!(ready(&sessions, request(id, 1, vec![])), []);

        let moved = Wanted {
            offset: 7,
            ..wanted("b", 0)
        };
        let forgotten = vec![(TopicKey::Name("a".into()), 0)];
        let more = request(id, 2, vec![moved.clone(), wanted("c", 3)]);
        let read = ready(&sessions, SessionRequest { forgotten, ..more });
        assert_eq!(read, [moved.clone(), wanted("c", 3)]);
        assert_eq!(sessions.counts(), (1, 2), "one was forgotten");

        // All, when what they are read up to is another, or topics changed.
        let committed = SessionRequest {
            up_to: UpTo::LastStable,
            ..request(id, 3, vec![])
        };
        let mut read = ready(&sessions, committed);
        read.sort_by_key(|wanted| wanted.partition);
        assert_eq!(read, [moved, wanted("c", 3)]);
    }

    #[test]
    fn all_are_looked_at_once_after_topics_changed() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a", "b"], 10);
        let Ok(Mode::Incremental(session)) = sessions.open(request(id, 1, vec![])) else {
            panic!()
        };
        let mut session = session.lock();
        session.refresh(0);
        assert_eq!(session.set().take().len(), 0);
        session.refresh(5);
        session.refresh(5);
        assert_eq!(session.set().take().len(), 2);
        session.refresh(5);
        assert_eq!(session.set().take().len(), 0);
    }

    #[test]
    fn a_wrong_epoch_or_id_is_refused() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a"], 10);
        let open = |id, epoch| sessions.open(request(id, epoch, vec![])).err();
        assert_eq!(open(id, 2), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(open(id, 1), None);
        assert_eq!(open(id, 1), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(
            open(id.wrapping_add(1), 1),
            Some(ErrorCode::FetchSessionIdNotFound)
        );
        let by_id = SessionRequest {
            by_id: true,
            ..request(id, 2, vec![])
        };
        assert_eq!(
            sessions.open(by_id).err(),
            Some(ErrorCode::FetchSessionTopicIdError)
        );
    }

    #[test]
    fn a_final_epoch_closes_the_session() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a"], 10);
        let mode = sessions
            .open(request(id, EPOCH_NONE, vec![wanted("a", 0)]))
            .unwrap();
        assert!(matches!(mode, Mode::Sessionless(_)));
        drop(mode);
        assert_eq!(sessions.counts(), (0, 0));
    }

    #[test]
    fn a_full_cache_gives_way_only_after_a_silence() {
        let (clock, sessions) = sessions();
        let first = keep(&sessions, &["a"], 1);
        assert_ne!(first, 0);
        assert_eq!(keep(&sessions, &["b"], 1), 0);
        clock.advance_ms(EVICT_AFTER.as_millis() as i64);
        assert_ne!(keep(&sessions, &["b"], 1), 0);
        assert_eq!(
            sessions.open(request(first, 1, vec![])).err(),
            Some(ErrorCode::FetchSessionIdNotFound)
        );
        assert_eq!(sessions.counts(), (1, 1));
    }

    #[test]
    fn partitions_are_bounded_by_session_and_in_all() {
        let (_, sessions) = sessions();
        let many = |n: usize| (0..n as i32).map(|p| wanted("t", p)).collect::<Vec<_>>();
        assert_eq!(
            keep_all(&sessions, many(SESSION_PARTITIONS_MAX + 1), 1000),
            0
        );
        let full = keep_all(&sessions, many(SESSION_PARTITIONS_MAX), 1000);
        assert_ne!(full, 0);
        let grown = sessions.open(request(full, 1, vec![wanted("one more", 0)]));
        assert_eq!(grown.err(), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(sessions.counts(), (0, 0), "it begins anew");

        let kept = (0..1000)
            .take_while(|_| keep_all(&sessions, many(SESSION_PARTITIONS_MAX / 4), 1000) != 0)
            .count();
        assert_eq!(kept, PARTITIONS_MAX / (SESSION_PARTITIONS_MAX / 4));
        assert_eq!(sessions.counts(), (kept, PARTITIONS_MAX));
        // A name that no topic can have counts by its length.
        let (_, sessions) = self::sessions();
        let long = "x".repeat(NAME_BYTES_PER_PARTITION * SESSION_PARTITIONS_MAX);
        assert_eq!(keep(&sessions, &[&long], 1000), 0);
    }

    #[test]
    fn a_partition_named_twice_is_what_is_said_last() {
        let (_, sessions) = sessions();
        let last = Wanted {
            offset: 9,
            ..wanted("a", 0)
        };
        let id = keep_all(&sessions, vec![wanted("a", 0), last.clone()], 10);
        assert_eq!(sessions.counts(), (1, 1));
        let Ok(Mode::Incremental(session)) = sessions.open(request(id, 1, vec![])) else {
            panic!()
        };
        assert_eq!(
            session.lock().wanted(1),
            Some(&last),
            "by its place in the request"
        );
    }

    #[test]
    fn only_news_is_told() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a"], 10);
        let Ok(Mode::Incremental(session)) = sessions.open(request(id, 1, vec![wanted("b", 0)]))
        else {
            panic!()
        };
        let mut session = session.lock();
        let key = session.set().take()[0];
        let mut tell = |told| session.tell(key, None, told);
        assert!(tell(Told::default()), "a new partition is always told");
        assert!(!tell(Told::default()));
        assert!(tell(Told {
            high_watermark: 1,
            log_start_offset: 0
        }));
    }
}
