//! Fetch sessions (KIP-227): a client names its partitions once, and later
//! requests and responses carry only what changed.
//!
//! Invariants: at most `slots_max` sessions with at most
//! [`SESSION_PARTITIONS_MAX`] partitions each; a session's epoch rises by one
//! with each request, so that a repeated or lost request is noticed; a
//! partition whose id cannot be resolved stays in the session and answers its
//! error each time.

use millstream_core::env::{Clock, Rand};
use millstream_core::ids::TopicId;
use millstream_wire::ErrorCode;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Partitions of one session; a client with more fetches without one.
const SESSION_PARTITIONS_MAX: usize = 20_000;
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
    Name(String),
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

/// Which partitions a request is about, and how to answer it.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// Answer everything, keep nothing.
    Sessionless,
    /// Answer everything; the session begins, if there is room for it.
    New,
    /// Answer what changed.
    Incremental(Arc<Mutex<Session>>),
}

/// The request as the session sees it.
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: i32,
    /// Expected of the next request.
    next_epoch: i32,
    by_id: bool,
    last_used: Duration,
    /// In the order in which they are read; see [`Session::rotate`].
    partitions: Vec<(Wanted, Told)>,
}

/// All sessions of the node.
pub(crate) struct FetchSessions {
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    sessions: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

impl FetchSessions {
    pub(crate) fn new(clock: Arc<dyn Clock>, rand: Arc<dyn Rand>) -> Self {
        Self {
            clock,
            rand,
            sessions: Mutex::default(),
        }
    }

    /// Finds out what to read, and brings the session up to the request.
    pub(crate) fn open(&self, request: SessionRequest) -> Result<(Mode, Vec<Wanted>), ErrorCode> {
        match request.epoch {
            EPOCH_NONE | EPOCH_NEW => {
                if request.id != 0 {
                    self.sessions.lock().remove(&request.id);
                }
                let new = request.epoch == EPOCH_NEW && !request.wanted.is_empty();
                Ok((
                    if new { Mode::New } else { Mode::Sessionless },
                    request.wanted,
                ))
            }
            _ => self.update(request),
        }
    }

    fn update(&self, request: SessionRequest) -> Result<(Mode, Vec<Wanted>), ErrorCode> {
        let session = self.sessions.lock().get(&request.id).cloned();
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let wanted = {
            let mut state = session.lock();
            if request.epoch != state.next_epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if request.by_id != state.by_id {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            state.apply(request.wanted, &request.forgotten)?;
            // The epoch after the largest is 1: 0 would begin a new session.
            state.next_epoch = state.next_epoch.checked_add(1).unwrap_or(1);
            state.last_used = self.clock.monotonic();
            state
                .partitions
                .iter()
                .map(|(wanted, _)| wanted.clone())
                .collect()
        };
        Ok((Mode::Incremental(session), wanted))
    }

    /// Keeps a session for what was just answered in full; 0 when there is no
    /// room for it.
    pub(crate) fn keep(
        &self,
        partitions: Vec<(Wanted, Told)>,
        by_id: bool,
        slots_max: usize,
    ) -> i32 {
        if partitions.len() > SESSION_PARTITIONS_MAX || slots_max == 0 {
            return 0;
        }
        let now = self.clock.monotonic();
        let mut sessions = self.sessions.lock();
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
        let session = Session {
            id,
            next_epoch: 1,
            by_id,
            last_used: now,
            partitions,
        };
        sessions.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    /// Open sessions.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.sessions.lock().len()
    }
}

impl Session {
    fn apply(
        &mut self,
        wanted: Vec<Wanted>,
        forgotten: &[(TopicKey, i32)],
    ) -> Result<(), ErrorCode> {
        if wanted.is_empty() && forgotten.is_empty() {
            return Ok(());
        }
        let mut places: HashMap<(TopicKey, i32), usize> = self
            .partitions
            .iter()
            .enumerate()
            .map(|(place, (w, _))| ((w.topic.clone(), w.partition), place))
            .collect();
        for wanted in wanted {
            match places.get(&(wanted.topic.clone(), wanted.partition)) {
                Some(place) => {
                    let (old, _) = &mut self.partitions[*place];
                    *old = Wanted {
                        known_as: old.known_as.take(),
                        ..wanted
                    };
                }
                None if self.partitions.len() >= SESSION_PARTITIONS_MAX => {
                    return Err(ErrorCode::InvalidRequest);
                }
                None => {
                    places.insert(
                        (wanted.topic.clone(), wanted.partition),
                        self.partitions.len(),
                    );
                    // Told of nothing yet, so that the first answer is sent.
                    let told = Told {
                        high_watermark: -2,
                        log_start_offset: -2,
                    };
                    self.partitions.push((wanted, told));
                }
            }
        }
        if !forgotten.is_empty() {
            self.partitions.retain(|(w, _)| {
                !forgotten
                    .iter()
                    .any(|(topic, p)| *topic == w.topic && *p == w.partition)
            });
        }
        Ok(())
    }

    /// Notes what the client is now told; true when it is news. `place` is
    /// where the partition was when the request was opened.
    pub(crate) fn tell(
        &mut self,
        place: usize,
        read: &Wanted,
        name: Option<&Arc<str>>,
        told: Told,
    ) -> bool {
        let is_it = |w: &Wanted| w.partition == read.partition && w.topic == read.topic;
        // Another request of the session may have moved it meanwhile.
        let place = match self.partitions.get(place) {
            Some((wanted, _)) if is_it(wanted) => Some(place),
            _ => self.partitions.iter().position(|(wanted, _)| is_it(wanted)),
        };
        let Some((wanted, before)) = place.and_then(|place| self.partitions.get_mut(place)) else {
            return false;
        };
        if let Some(name) = name {
            wanted.known_as.get_or_insert_with(|| Arc::clone(name));
        }
        std::mem::replace(before, told) != told
    }

    /// Moves the partitions that were answered with records to the end, so
    /// that a busy one cannot starve the others of `max_bytes`.
    pub(crate) fn rotate(&mut self, served: &HashSet<(TopicKey, i32)>) {
        if served.is_empty() || served.len() == self.partitions.len() {
            return;
        }
        let is_served = |w: &Wanted| served.contains(&(w.topic.clone(), w.partition));
        let (back, front): (Vec<_>, Vec<_>) = std::mem::take(&mut self.partitions)
            .into_iter()
            .partition(|(w, _)| is_served(w));
        self.partitions = front;
        self.partitions.extend(back);
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
            known_as: None,
        }
    }

    fn request(id: i32, epoch: i32, wanted: Vec<Wanted>) -> SessionRequest {
        SessionRequest {
            id,
            epoch,
            by_id: false,
            wanted,
            forgotten: Vec::new(),
        }
    }

    fn keep(sessions: &FetchSessions, names: &[&str], slots_max: usize) -> i32 {
        let partitions = names
            .iter()
            .map(|n| (wanted(n, 0), Told::default()))
            .collect();
        sessions.keep(partitions, false, slots_max)
    }

    #[test]
    fn an_incremental_request_reads_all_partitions_of_its_session() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a", "b"], 10);
        let (mode, read) = sessions.open(request(id, 1, vec![])).unwrap();
        assert!(matches!(mode, Mode::Incremental(_)));
        assert_eq!(read, [wanted("a", 0), wanted("b", 0)]);

        let moved = Wanted {
            offset: 7,
            ..wanted("b", 0)
        };
        let forgotten = vec![(TopicKey::Name("a".into()), 0)];
        let more = request(id, 2, vec![moved.clone(), wanted("c", 3)]);
        let (_, read) = sessions.open(SessionRequest { forgotten, ..more }).unwrap();
        assert_eq!(read, [moved, wanted("c", 3)]);
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
        let (mode, _) = sessions
            .open(request(id, EPOCH_NONE, vec![wanted("a", 0)]))
            .unwrap();
        assert!(matches!(mode, Mode::Sessionless));
        assert_eq!(sessions.len(), 0);
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
    }

    #[test]
    fn served_partitions_go_to_the_end() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a", "b", "c"], 10);
        let (mode, _) = sessions.open(request(id, 1, vec![])).unwrap();
        let Mode::Incremental(session) = mode else {
            panic!()
        };
        session
            .lock()
            .rotate(&HashSet::from([(TopicKey::Name("a".into()), 0)]));
        let (_, read) = sessions.open(request(id, 2, vec![])).unwrap();
        assert_eq!(read, [wanted("b", 0), wanted("c", 0), wanted("a", 0)]);
    }

    #[test]
    fn only_news_is_told() {
        let (_, sessions) = sessions();
        let id = keep(&sessions, &["a"], 10);
        let (mode, _) = sessions.open(request(id, 1, vec![wanted("b", 0)])).unwrap();
        let Mode::Incremental(session) = mode else {
            panic!()
        };
        let mut session = session.lock();
        let b = wanted("b", 0);
        let mut tell = |told| session.tell(1, &b, None, told);
        assert!(tell(Told::default()), "a new partition is always told");
        assert!(!tell(Told::default()));
        assert!(tell(Told {
            high_watermark: 1,
            log_start_offset: 0
        }));
    }
}
