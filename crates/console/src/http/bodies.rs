//! Bodies of requests, as they arrive: how long they may take, and how much
//! of the server's memory all of them together.
//!
//! A body's first bytes need no room, so that small requests pass large ones.
//! Beyond them it takes room for the whole of it at once, by what it claims
//! and at most what a route takes; while one waits for room, those that have
//! been arriving for long are cut off.

use super::limits::HttpLimits;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::stream;
use hyper::body::{Body as _, Incoming};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// Why a body did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It took too long.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// It took long while others waited.
    #[error("the body arrived too slowly while others waited")]
    MadeRoom,
    /// There was no room for it.
    #[error("the server is busy with other large requests")]
    NoRoom,
    /// The client broke off.
    #[error("the body broke off")]
    BrokenOff,
}

impl BodyError {
    /// How it is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooSlow | Self::MadeRoom => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::BrokenOff => StatusCode::BAD_REQUEST,
        }
    }

    /// The one that is behind an error of whoever read the body.
    pub fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(*found);
            }
            next = error.source();
        }
        None
    }
}

/// Room for large bodies.
#[derive(Debug, Clone)]
pub(super) struct Bodies(Arc<Room>);

#[derive(Debug)]
struct Room {
    limits: HttpLimits,
    /// A unit is a KiB.
    free: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
}

/// What a request has taken of the room; given back when dropped.
pub(super) type Taken = Arc<parking_lot::Mutex<Option<OwnedSemaphorePermit>>>;

const UNIT: u64 = 1024;

impl Bodies {
    pub(super) fn new(limits: HttpLimits) -> Self {
        let units = limits.bodies_bytes_max / 1024;
        Self(Arc::new(Room {
            free: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            waiting: watch::Sender::new(0),
            limits,
        }))
    }

    /// The body within its bounds. `arrived` is called when all of it is
    /// there; `taken` holds its room for as long as the request is worked on.
    pub(super) fn bound(
        &self,
        body: Incoming,
        taken: Taken,
        arrived: impl FnOnce() + Send + 'static,
    ) -> Body {
        if body.is_end_stream() {
            arrived();
            return Body::empty();
        }
        let arriving = Arriving {
            claimed: body.size_hint().exact(),
            body,
            room: Arc::clone(&self.0),
            taken,
            bytes: 0,
            began: Instant::now(),
            arrived: Some(Box::new(arrived)),
        };
        Body::from_stream(stream::try_unfold(arriving, |mut arriving| async move {
            let data = arriving.next().await?;
            Ok::<_, BodyError>(data.map(|data| (data, arriving)))
        }))
    }
}

struct Arriving {
    body: Incoming,
    claimed: Option<u64>,
    room: Arc<Room>,
    taken: Taken,
    bytes: u64,
    began: Instant,
    arrived: Option<Box<dyn FnOnce() + Send>>,
}

impl Arriving {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let deadline = self.began + self.room.limits.body_read_max;
        let pressed = self.room.pressed(self.began);
        let data = tokio::select! {
            data = data(&mut self.body) => data?,
            () = sleep_until(deadline) => return Err(BodyError::TooSlow),
            () = pressed => return Err(BodyError::MadeRoom),
        };
        let Some(data) = data else {
            if let Some(arrived) = self.arrived.take() {
                arrived();
            }
            return Ok(None);
        };
        self.bytes += data.len() as u64;
        if self.bytes > self.room.limits.body_bytes_free as u64 && self.taken.lock().is_none() {
            let permit = self.room.take(self.claimed, deadline).await?;
            *self.taken.lock() = Some(permit);
        }
        Ok(Some(data))
    }
}

async fn data(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::BrokenOff),
            // Trailers say nothing to anybody here.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

impl Room {
    /// Room for a body of this length, or of the largest that is taken.
    async fn take(
        &self,
        claimed: Option<u64>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, BodyError> {
        let max = crate::routes::BODY_BYTES_MAX as u64;
        let units = claimed.map_or(max, |c| c.min(max)).div_ceil(UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let free = || Arc::clone(&self.free);
        if let Ok(permit) = free().try_acquire_many_owned(units) {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        tokio::select! {
            permit = free().acquire_many_owned(units) => permit.map_err(|_| BodyError::NoRoom),
            () = sleep_until(deadline) => Err(BodyError::NoRoom),
        }
    }

    /// Ends once a body that began then is to go because others wait.
    async fn pressed(&self, began: Instant) {
        let mut waiting = self.waiting.subscribe();
        sleep_until(began + self.limits.body_read_pressed_max).await;
        let _ = waiting.wait_for(|waiting| *waiting > 0).await;
    }
}

struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|waiting| *waiting += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
