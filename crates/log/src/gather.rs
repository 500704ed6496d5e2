//! Syncs that are asked for together begin together.
//!
//! The file system lets concurrent `fdatasync` calls share one commit of its
//! journal, but only those that have begun when the commit begins: four that
//! begin 50 us apart take twice as long as four that begin at once
//! (`benches/README.md` has the figures). So what one poll of a task appends
//! to several partitions, a transaction's markers or a client's pipelined
//! requests, is handed to the flusher when the poll ends.
//!
//! Invariant: a request that is held here belongs to the running poll and is
//! handed over when it ends, also by a panic. Nothing waits inside a poll, so
//! nobody can wait for a request that is held.

use crate::durability::FlushRequest;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;

thread_local! {
    /// What the running poll has asked for; `None` outside of [`gather_syncs`].
    static HELD: RefCell<Option<Vec<FlushRequest>>> = const { RefCell::new(None) };
}

/// Runs the future; all syncs that one of its polls asks for begin at the end
/// of that poll.
pub async fn gather_syncs<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _gathering = Gathering::begin();
        future.as_mut().poll(context)
    })
    .await
}

/// Keeps the request until the running poll ends; gives it back when there is
/// none.
pub(crate) fn hold(request: FlushRequest) -> Option<FlushRequest> {
    HELD.with_borrow_mut(|held| match held {
        Some(requests) => {
            requests.push(request);
            None
        }
        None => Some(request),
    })
}

/// One poll.
struct Gathering {
    /// Not of one that polls another: its own end comes later.
    is_outermost: bool,
}

impl Gathering {
    fn begin() -> Self {
        HELD.with_borrow_mut(|held| {
            let is_outermost = held.is_none();
            held.get_or_insert_default();
            Self { is_outermost }
        })
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        if self.is_outermost {
            let held = HELD.take();
            FlushRequest::hand_over(held.unwrap_or_default());
        }
    }
}
