//! The requests of one connection that have not been answered.
//!
//! The two loops of a connection run in one task, so this is a list and not a
//! channel: it wakes nobody, and holds nothing while the connection is silent.
//! Instead [`both`] polls the loop that can go on.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Places that are kept when all is answered.
const KEPT_PLACES: usize = 8;

/// Requests in order, what their answers hold, and the bounds on both.
pub(super) struct InFlight<T> {
    state: Mutex<State<T>>,
    requests_max: usize,
    unsent_bytes_max: usize,
}

struct State<T> {
    /// Those that the writing loop has not taken.
    queue: VecDeque<T>,
    /// Those, and the one that it is answering.
    requests: usize,
    /// Bytes of responses that have been made and not been taken.
    unsent_bytes: usize,
    /// The reading loop waits for room.
    is_held_back: bool,
    /// Nothing more will come.
    is_ended: bool,
}

impl<T> InFlight<T> {
    pub(super) fn new(requests_max: usize, unsent_bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                requests: 0,
                unsent_bytes: 0,
                is_held_back: false,
                is_ended: false,
            }),
            requests_max,
            unsent_bytes_max,
        }
    }

    fn has_room(&self, state: &State<T>) -> bool {
        state.requests < self.requests_max && state.unsent_bytes < self.unsent_bytes_max
    }

    /// Requests that have not been answered.
    pub(super) fn requests(&self) -> usize {
        self.state.lock().requests
    }

    /// For the reading loop: waits until another request may be begun.
    /// Cancel-safe.
    pub(super) async fn room(&self) {
        poll_fn(|_| {
            let mut state = self.state.lock();
            let has_room = self.has_room(&state);
            state.is_held_back = !has_room;
            if has_room {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// For the reading loop: a request that is to be answered.
    pub(super) fn push(&self, request: T) {
        let mut state = self.state.lock();
        state.requests += 1;
        state.queue.push_back(request);
    }

    /// For the reading loop: no more will come once this is dropped.
    pub(super) fn ends(&self) -> Ends<'_, T> {
        Ends(self)
    }

    /// For the writing loop: the next request; `None` when there will be none.
    /// Cancel-safe.
    pub(super) async fn next(&self) -> Option<T> {
        poll_fn(|_| {
            let mut state = self.state.lock();
            match state.queue.pop_front() {
                Some(request) => Poll::Ready(Some(request)),
                None if state.is_ended => Poll::Ready(None),
                None => {
                    state.queue.shrink_to(KEPT_PLACES);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A response of so many bytes has been made.
    pub(super) fn made(&self, bytes: usize) {
        self.state.lock().unsent_bytes += bytes;
    }

    /// For the writing loop: a request is answered, of whose response so many
    /// bytes had been counted by [`made`](Self::made).
    pub(super) fn answered(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.requests -= 1;
        state.unsent_bytes -= bytes;
    }

    /// Whether the reading loop, which waited for room, can go on.
    fn reading_can_go_on(&self) -> bool {
        let state = self.state.lock();
        state.is_held_back && self.has_room(&state)
    }
}

/// See [`InFlight::ends`].
pub(super) struct Ends<'a, T>(&'a InFlight<T>);

impl<T> Drop for Ends<'_, T> {
    fn drop(&mut self) {
        self.0.state.lock().is_ended = true;
    }
}

/// Runs both loops until both have ended: the writing one after the reading
/// one, which may have pushed something, and the reading one once more when
/// the writing one has made the room that it waits for. In a poll of its own:
/// a loop that has used up its turn (tokio's cooperative budget) is pending
/// whatever there is for it, until the next.
pub(super) async fn both<T>(
    in_flight: &InFlight<T>,
    reading: impl Future<Output = ()>,
    writing: impl Future<Output = ()>,
) {
    let (mut reading, mut writing) = (pin!(reading), pin!(writing));
    let (mut is_reading, mut is_writing) = (true, true);
    poll_fn(|context| {
        is_reading = is_reading && reading.as_mut().poll(context).is_pending();
        is_writing = is_writing && writing.as_mut().poll(context).is_pending();
        if !is_reading && !is_writing {
            return Poll::Ready(());
        }
        if is_reading && in_flight.reading_can_go_on() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A reading loop that pushes so many at once, and a writing loop that
    /// answers each after letting others run.
    async fn run(count: usize, in_flight: &InFlight<usize>, bytes: usize) -> Vec<usize> {
        let answered = RefCell::new(Vec::new());
        let reading = async {
            let _ends = in_flight.ends();
            for n in 0..count {
                in_flight.room().await;
                in_flight.push(n);
                in_flight.made(bytes);
            }
        };
        let writing = async {
            while let Some(n) = in_flight.next().await {
                let held = in_flight.requests();
                assert!(held <= in_flight.requests_max, "{held} in flight");
                tokio::task::yield_now().await;
                answered.borrow_mut().push(n);
                in_flight.answered(bytes);
            }
        };
        both(in_flight, reading, writing).await;
        answered.into_inner()
    }

    #[tokio::test]
    async fn all_are_answered_in_order_within_the_bounds() {
        let in_order: Vec<_> = (0..100).collect();
        for (requests_max, bytes_max) in [(1, 1 << 20), (7, 1 << 20), (64, 1), (64, 250)] {
            let in_flight = InFlight::new(requests_max, bytes_max);
            assert_eq!(run(100, &in_flight, 100).await, in_order);
            assert_eq!(in_flight.requests(), 0);
            assert_eq!(in_flight.state.lock().unsent_bytes, 0);
        }
    }

    #[tokio::test]
    async fn a_reading_loop_that_has_used_up_its_turn_gets_another() {
        let in_flight = InFlight::new(1, 1 << 20);
        let reading = async {
            let _ends = in_flight.ends();
            for n in 0..10_000 {
                // Takes from the budget of the task, as sockets do.
                tokio::task::coop::consume_budget().await;
                tokio::select! {
                    biased;
                    () = in_flight.room() => in_flight.push(n),
                    () = std::future::pending() => {}
                }
            }
        };
        let writing = async {
            while in_flight.next().await.is_some() {
                in_flight.answered(0);
            }
        };
        both(&in_flight, reading, writing).await;
        assert_eq!(in_flight.requests(), 0);
    }

    #[tokio::test]
    async fn room_is_refused_at_either_bound_and_given_when_answered() {
        for (requests_max, bytes_max) in [(2, 1 << 20), (64, 200)] {
            let in_flight = InFlight::new(requests_max, bytes_max);
            for n in 0..2 {
                in_flight.room().await;
                in_flight.push(n);
                in_flight.made(100);
            }
            assert!(futures::poll!(pin!(in_flight.room())).is_pending());
            assert!(!in_flight.reading_can_go_on());
            assert_eq!(in_flight.next().await, Some(0));
            assert!(
                futures::poll!(pin!(in_flight.room())).is_pending(),
                "it is not answered yet"
            );
            in_flight.answered(100);
            assert!(in_flight.reading_can_go_on());
            in_flight.room().await;
        }
    }

    #[tokio::test]
    async fn a_silent_connection_holds_no_places() {
        let in_flight = InFlight::new(1_000, 1 << 20);
        assert_eq!(in_flight.state.lock().queue.capacity(), 0);
        assert_eq!(run(1_000, &in_flight, 1).await.len(), 1_000);
        assert!(futures::poll!(pin!(in_flight.next())).is_ready(), "ended");
        in_flight.state.lock().is_ended = false;
        assert!(futures::poll!(pin!(in_flight.next())).is_pending());
        assert!(in_flight.state.lock().queue.capacity() <= 2 * KEPT_PLACES);
    }
}
