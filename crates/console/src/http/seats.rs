//! Who is connected, and who goes when one too many comes.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All connections.
#[derive(Debug, Clone)]
pub(super) struct Seats(Arc<Room>);

#[derive(Debug)]
struct Room {
    seats_max: usize,
    began: Instant,
    taken: Mutex<HashMap<u64, Arc<State>>>,
    next: AtomicU64,
    /// Receivers are the seats: closed when none is taken.
    present: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    /// A request has arrived whole and is being worked on.
    busy: AtomicBool,
    /// Milliseconds since the listener began.
    active_ms: AtomicU64,
    cut: CancellationToken,
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    state: Arc<State>,
    room: Arc<Room>,
    _present: watch::Receiver<()>,
}

impl Seats {
    pub(super) fn new(seats_max: usize) -> Self {
        Self(Arc::new(Room {
            seats_max,
            began: Instant::now(),
            taken: Mutex::default(),
            next: AtomicU64::new(0),
            present: watch::Sender::new(()),
        }))
    }

    /// A seat; `None` when all are taken by requests that are being worked
    /// on. Whoever has been silent longest makes room.
    pub(super) fn take(&self) -> Option<Arc<Seat>> {
        let state = Arc::new(State {
            busy: AtomicBool::new(false),
            active_ms: AtomicU64::new(self.0.now_ms()),
            cut: CancellationToken::new(),
        });
        let mut taken = self.0.taken.lock();
        if taken.len() >= self.0.seats_max && !cut_silent(&mut taken) {
            return None;
        }
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        taken.insert(id, Arc::clone(&state));
        Some(Arc::new(Seat {
            id,
            state,
            room: Arc::clone(&self.0),
            _present: self.0.present.subscribe(),
        }))
    }

    /// Closes the connection that has been silent longest: the process has
    /// no file left.
    pub(super) fn make_room(&self) {
        cut_silent(&mut self.0.taken.lock());
    }

    /// Closes all connections.
    pub(super) fn cut_all(&self) {
        for state in self.0.taken.lock().values() {
            state.cut.cancel();
        }
    }

    /// Waits until nobody is connected.
    pub(super) async fn empty(&self) {
        self.0.present.closed().await;
    }
}

/// Whether there was one to cut. It counts as gone at once: its task ends at
/// its next turn.
fn cut_silent(taken: &mut HashMap<u64, Arc<State>>) -> bool {
    let silent = taken
        .iter()
        .filter(|(_, state)| !state.busy.load(Ordering::Relaxed))
        .min_by_key(|(id, state)| (state.active_ms.load(Ordering::Relaxed), **id))
        .map(|(id, _)| *id);
    let Some(state) = silent.and_then(|id| taken.remove(&id)) else {
        return false;
    };
    state.cut.cancel();
    true
}

impl Room {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Seat {
    /// Bytes came or went.
    pub(super) fn touch(&self) {
        let now_ms = self.room.now_ms();
        self.state.active_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether a request is being worked on.
    pub(super) fn set_busy(&self, busy: bool) {
        self.state.busy.store(busy, Ordering::Relaxed);
    }

    /// Cancelled when others need the place.
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.state.cut
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.taken.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_longest_makes_room_and_who_works_stays() {
        let seats = Seats::new(2);
        let busy = seats.take().unwrap();
        busy.set_busy(true);
        let silent = seats.take().unwrap();
        let third = seats.take().unwrap();
        assert!(silent.cut().is_cancelled());
        assert!(!busy.cut().is_cancelled());
        third.set_busy(true);
        assert!(seats.take().is_none(), "both work");
        drop(third);
        assert!(seats.take().is_some());
    }
}
