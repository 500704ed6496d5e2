//! Answers with records: how much memory all of them take, on whose threads
//! they are made, and what is left of them when their clients go.
//!
//! Invariants: an answer that is being made or sent holds its share of one
//! budget; it is made on a thread that may block, so that nothing else waits
//! for it; it ends when its client has gone.

use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::stream;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Bounds of all answers with records.
#[derive(Debug, Clone)]
pub struct ViewLimits {
    /// Bytes of all answers that are being made or sent.
    pub bytes_max: usize,
    /// Bytes that one takes while it is made.
    pub view_bytes: usize,
    /// Bytes of pushes with records that live clients have not taken yet.
    pub tails_bytes_max: usize,
    /// Requests that wait for their share.
    pub waiting_max: usize,
    /// How long they wait.
    pub wait_max: Duration,
    /// How long an answer may take to be sent.
    pub send_max: Duration,
}

impl Default for ViewLimits {
    fn default() -> Self {
        Self {
            bytes_max: 128 << 20,
            view_bytes: 32 << 20,
            tails_bytes_max: 64 << 20,
            waiting_max: 64,
            wait_max: Duration::from_secs(10),
            send_max: Duration::from_secs(30),
        }
    }
}

/// A unit of the budgets, in bytes.
const UNIT: usize = 1024;
/// Bytes handed to a connection at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The budget of all answers with records.
#[derive(Debug, Clone)]
pub struct Views(Arc<Room>);

#[derive(Debug)]
struct Room {
    limits: ViewLimits,
    views: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A share of a budget, given back when dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Default for Views {
    fn default() -> Self {
        Self::new(ViewLimits::default())
    }
}

impl Views {
    /// Nothing taken yet.
    pub fn new(limits: ViewLimits) -> Self {
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self(Arc::new(Room {
            views: room(limits.bytes_max),
            tails: room(limits.tails_bytes_max),
            waiting: AtomicUsize::new(0),
            limits,
        }))
    }

    /// Makes an answer with `work` where blocking is allowed. `work` is told
    /// when the client has gone; its share is held until it ends.
    pub(crate) async fn make<T, F>(
        &self,
        work: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Result<(T, Share), Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + 'static,
    {
        let share = self.share().await?;
        let gone = CancellationToken::new();
        let _here = gone.clone().drop_guard();
        let runtime = tokio::runtime::Handle::current();
        let made = tokio::task::spawn_blocking(move || {
            let answer = runtime.block_on(work(gone));
            answer.map(|answer| (answer, share))
        });
        made.await.unwrap_or_else(|_| {
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer could not be made",
            ))
        })
    }

    async fn share(&self) -> Result<Share, Problem> {
        let limits = &self.0.limits;
        let views = || Arc::clone(&self.0.views);
        if let Ok(permit) = views().try_acquire_many_owned(units(limits.view_bytes)) {
            return Ok(Share(permit));
        }
        let _waiting = Waiting::new(&self.0.waiting);
        if self.0.waiting.load(Ordering::Relaxed) > limits.waiting_max {
            return Err(busy());
        }
        let permit = views().acquire_many_owned(units(limits.view_bytes));
        match tokio::time::timeout(limits.wait_max, permit).await {
            Ok(Ok(permit)) => Ok(Share(permit)),
            _ => Err(busy()),
        }
    }

    /// The answer's body, which holds what it takes of `share` until it is
    /// sent; a client that takes too long gets no more of it.
    pub(crate) async fn body(&self, bytes: Bytes, mut share: Share) -> Result<Body, Problem> {
        self.fit(&mut share, bytes.len()).await?;
        let send_max = self.0.limits.send_max;
        let held = Arc::new(Mutex::new(Some((bytes, share))));
        let overdue = Arc::downgrade(&held);
        tokio::spawn(async move {
            tokio::time::sleep(send_max).await;
            if let Some(held) = overdue.upgrade() {
                held.lock().take();
            }
        });
        Ok(Body::from_stream(stream::unfold(held, |held| async move {
            let piece = {
                let mut left = held.lock();
                match left.as_mut() {
                    Some((bytes, _)) if bytes.is_empty() => None,
                    // Copied: what the connection keeps is counted no more.
                    Some((bytes, _)) => {
                        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                        Some(Ok(Bytes::copy_from_slice(&piece)))
                    }
                    None => Some(Err(std::io::Error::from(std::io::ErrorKind::TimedOut))),
                }
            };
            piece.map(|piece| (piece, held))
        })))
    }

    /// Makes the share as large as what it is for.
    async fn fit(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let (has, needs) = (share.0.num_permits(), bytes.div_ceil(UNIT));
        if has > needs {
            drop(share.0.split(has - needs));
            return Ok(());
        }
        let more = units((needs - has).saturating_mul(UNIT));
        let permit = Arc::clone(&self.0.views).acquire_many_owned(more);
        match tokio::time::timeout(self.0.limits.wait_max, permit).await {
            Ok(Ok(permit)) => {
                share.0.merge(permit);
                Ok(())
            }
            _ => Err(busy()),
        }
    }

    /// Room for a push of this size to a live client; waits until others
    /// have taken theirs.
    pub(crate) async fn tail(&self, bytes: usize) -> Option<Share> {
        let max = self.0.limits.tails_bytes_max;
        let tails = Arc::clone(&self.0.tails);
        let permit = tails.acquire_many_owned(units(bytes.min(max)));
        permit.await.ok().map(Share)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many answers with records are being made",
    )
    .hint("try again in a few seconds")
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pushes_wait_until_others_have_been_taken() {
        let views = Views::new(ViewLimits {
            tails_bytes_max: 4 * UNIT,
            ..ViewLimits::default()
        });
        // One larger than all there is gets all there is.
        let first = views.tail(100 * UNIT).await.unwrap();
        let mut second = Box::pin(views.tail(UNIT));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(second.await.is_some());
    }

    #[tokio::test]
    async fn who_gets_no_share_in_time_is_refused() {
        let views = Views::new(ViewLimits {
            bytes_max: 4 * UNIT,
            view_bytes: 4 * UNIT,
            wait_max: Duration::from_millis(20),
            ..ViewLimits::default()
        });
        let held = views.share().await.unwrap();
        assert_eq!(views.share().await.unwrap_err().status, 503);
        drop(held);
        assert!(views.share().await.is_ok());
    }
}
