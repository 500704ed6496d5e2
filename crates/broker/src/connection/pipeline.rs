//! One connection: read, call in order, answer in order.
//!
//! Two loops on one task. The reading loop decodes a request, runs its
//! handler and queues the answer ([`super::in_flight`], which bounds how many).
//! The writing loop takes answers in order, waits for those that come later,
//! and writes them. Either loop ends the other by cancelling
//! [`Connection::closed`].
//!
//! Whatever is waited for is polled before the cancellation is: most of it is
//! there at once, and then the cancellation's list of those who wait is left
//! alone.

use super::budget::Charge;
use super::frames::{Frame, FrameError, FrameReader, Readable};
use super::in_flight::{InFlight, both};
use super::sending::Sending;
use super::unsent::Queued;
use super::{Connection, ConnectionLimits};
use crate::api::{self, CallError, RawAnswer};
use crate::state::{BrokerState, RequestContext};
use crate::stats::ApiStats;
use futures::FutureExt;
use millstream_wire::ApiKey;
use millstream_wire::codec::EncodeError;
use millstream_wire::frame::{Frame as Response, RequestFrame};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// From here on a request counts as one with long lists.
const LONG_REQUEST_BYTES_MIN: u64 = 256 * 1024;

/// Why a connection ended, other than by the client at a frame's border.
#[derive(Debug, thiserror::Error)]
enum PipelineError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Header(#[from] millstream_wire::frame::FrameError),
    #[error("{0} is not served")]
    UnknownApi(ApiKey),
    #[error("{api} version {version} is not served")]
    UnknownVersion { api: ApiKey, version: i16 },
    #[error("{api}: {source}")]
    Call { api: ApiKey, source: CallError },
    #[error("{api}: {source}")]
    Encode { api: ApiKey, source: EncodeError },
    #[error("{api}: {reason}")]
    Refused { api: ApiKey, reason: String },
    #[error("the client took no byte of a response for {0:?}")]
    WriteStalled(Duration),
    #[error("the client took less than {rate_min} bytes a second of a response of {bytes}")]
    WriteSlow { bytes: usize, rate_min: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("silent for {0:?}")]
    Idle(Duration),
}

impl PipelineError {
    /// Whether the client did what a limit of ours forbids. Somebody who set
    /// the limit, or the client, wants to know.
    fn is_a_limit(&self) -> bool {
        use PipelineError::{Frame, WriteSlow, WriteStalled};
        matches!(
            self,
            Frame(FrameError::Length { .. } | FrameError::Stalled(_))
                | WriteStalled(_)
                | WriteSlow { .. }
        )
    }
}

/// A request whose answer has not left yet.
struct Request {
    api: ApiKey,
    stats: Arc<ApiStats>,
    started: Instant,
    answer: RawAnswer,
    /// Its part of what is unsent, once it is there.
    queued: Option<Queued>,
    /// Part of the node's budget for requests.
    _charge: Charge,
}

/// Serves one connection until it ends or the broker stops.
pub(super) async fn serve(
    stream: tokio::net::TcpStream,
    state: Arc<BrokerState>,
    connection: Arc<Connection>,
) {
    let (read, write) = stream.into_split();
    let limits = state.limits().clone();
    let in_flight = InFlight::new(limits.in_flight_max, limits.connection_unsent_bytes_max);
    let reading = Reading {
        frames: FrameReader::new(read, Arc::clone(state.request_budget()), &limits),
        state: &state,
        connection: &connection,
        in_flight: &in_flight,
    };
    // Boxed: each future that one is moved into would keep room for it twice,
    // which made 30 KiB of these 6 for each connection.
    let read_loop = ending(&state, &connection, Box::pin(reading.run()));
    let writing = Writing {
        stream: write,
        state: &state,
        connection: &connection,
        limits: &limits,
        in_flight: &in_flight,
    };
    let write_loop = ending(&state, &connection, Box::pin(writing.run()));
    // Pipelined requests that came in one read share their syncs.
    millstream_log::gather_syncs(both(&in_flight, read_loop, write_loop)).await;
}

/// Runs one of the loops; whichever ends badly ends both.
async fn ending(
    state: &BrokerState,
    connection: &Connection,
    work: impl Future<Output = Result<(), PipelineError>>,
) {
    if let Err(error) = work.await {
        let told = &state.stats().connections.cut_off_told;
        if error.is_a_limit()
            && let Some(times) = told.due(Instant::now())
        {
            tracing::warn!(peer = %connection.peer, times, %error, "connections cut off by a limit");
        }
        // Ours alone: no client can cause it by what it sends.
        if let PipelineError::Encode { .. } = error {
            tracing::error!(peer = %connection.peer, %error, "a response has no place for what it shall say");
        }
        tracing::debug!(peer = %connection.peer, connection = connection.id, %error, "connection closed");
        connection.closed.cancel();
    }
}

/// `Some` of what is waited for; `None` when the token is cancelled before. A
/// macro, because a function would make the connection keep room for the
/// future twice.
macro_rules! until {
    ($cancelled:expr, $work:expr) => {
        tokio::select! {
            biased;
            done = $work => Some(done),
            () = $cancelled.cancelled() => None,
        }
    };
}

struct Reading<'a, S> {
    frames: FrameReader<S>,
    state: &'a Arc<BrokerState>,
    connection: &'a Arc<Connection>,
    in_flight: &'a InFlight<Request>,
}

impl<S: Readable> Reading<'_, S> {
    async fn run(mut self) -> Result<(), PipelineError> {
        let (state, connection) = (self.state, self.connection);
        let _ends = self.in_flight.ends();
        // What was answered so far still leaves when the broker stops; nothing
        // new begins.
        while !connection.closed.is_cancelled() && !state.stopping().is_cancelled() {
            let frame = tokio::select! {
                biased;
                frame = self.next_frame() => frame,
                () = state.stopping().cancelled() => return Ok(()),
                () = connection.closed.cancelled() => return Ok(()),
            };
            let Some(frame) = frame? else {
                connection.closed.cancel();
                return Ok(());
            };
            if let Some(request) = self.dispatch(frame).await? {
                self.in_flight.push(request);
            }
        }
        Ok(())
    }

    /// The next frame, once there is room for its request; `None` when the
    /// client has gone.
    async fn next_frame(&mut self) -> Result<Option<Frame>, PipelineError> {
        self.in_flight.room().await;
        self.state.unsent().has_room().await;
        let idle_max = self.state.settings().connection_idle_max;
        loop {
            let waiting = self.frames.wait();
            let begun = match idle_max {
                None => waiting.await?,
                Some(idle_max) => match tokio::time::timeout(idle_max, waiting).await {
                    Ok(begun) => begun?,
                    // A client that waits for us is not idle.
                    Err(_) if self.in_flight.requests() > 0 => continue,
                    Err(_) => return Err(PipelineError::Idle(idle_max)),
                },
            };
            return if begun {
                Ok(Some(self.frames.next().await?))
            } else {
                Ok(None)
            };
        }
    }

    async fn dispatch(&self, frame: Frame) -> Result<Option<Request>, PipelineError> {
        let started = Instant::now();
        let request_bytes = frame.body.len() as u64;
        let request = RequestFrame::parse(frame.body)?;
        let header = &request.header;
        let key = header.api_key;
        let api = api::find(key).ok_or(PipelineError::UnknownApi(key))?;
        let stats = self.state.stats().request(api, request_bytes);
        let called = if (api.version_min..=api.version_max).contains(&header.api_version) {
            let context = RequestContext {
                state: Arc::clone(self.state),
                connection: Arc::clone(self.connection),
                client_id: header.client_id.as_deref().unwrap_or_default().into(),
                api_version: header.api_version,
                correlation_id: header.correlation_id,
            };
            // What is made of a long list takes many times its size: one after
            // the other, and what was made before has to leave first.
            let _turn = match is_long(key, request_bytes) {
                // Never closed.
                true => self.state.long_requests.acquire().await.ok(),
                false => None,
            };
            (api.call)(context, request).await
        } else if key == ApiKey::ApiVersions {
            api::unsupported_api_versions(header.correlation_id)
        } else {
            // As Kafka does; only ApiVersions has an answer that a client
            // of any version can read.
            let version = header.api_version;
            return Err(PipelineError::UnknownVersion { api: key, version });
        };
        let answer = called.map_err(|source| PipelineError::Call { api: key, source })?;
        match answer {
            RawAnswer::None => {
                stats.answered(started.elapsed(), 0);
                Ok(None)
            }
            RawAnswer::Close(reason) => Err(PipelineError::Refused { api: key, reason }),
            answer @ (RawAnswer::Now(_) | RawAnswer::Later(_)) => Ok(Some(Request {
                api: key,
                stats,
                started,
                queued: match &answer {
                    RawAnswer::Now(response) => count(self.state, self.in_flight, key, response),
                    _ => None,
                },
                answer,
                _charge: frame.charge,
            })),
        }
    }
}

/// A request with lists of many names. Records are no list.
fn is_long(api: ApiKey, bytes: u64) -> bool {
    bytes > LONG_REQUEST_BYTES_MIN && !matches!(api, ApiKey::Produce | ApiKey::Fetch)
}

/// Counts a response as unsent; fetched records are counted elsewhere.
fn count(
    state: &BrokerState,
    in_flight: &InFlight<Request>,
    api: ApiKey,
    response: &Response,
) -> Option<Queued> {
    (api != ApiKey::Fetch).then(|| {
        in_flight.made(response.size_bytes());
        state.unsent().add(response.size_bytes())
    })
}

struct Writing<'a> {
    stream: OwnedWriteHalf,
    state: &'a Arc<BrokerState>,
    connection: &'a Arc<Connection>,
    limits: &'a ConnectionLimits,
    in_flight: &'a InFlight<Request>,
}

impl Writing<'_> {
    async fn run(mut self) -> Result<(), PipelineError> {
        let connection = self.connection;
        while !connection.closed.is_cancelled() {
            let Some(next) = until!(connection.closed, self.in_flight.next()) else {
                return Ok(());
            };
            let Some(mut request) = next else {
                self.stream.shutdown().await?;
                connection.closed.cancel();
                return Ok(());
            };
            let api = request.api;
            let response = match request.answer {
                RawAnswer::Now(response) => response,
                RawAnswer::Later(response) => {
                    let Some(made) = until!(connection.closed, response) else {
                        return Ok(());
                    };
                    let made = made.map_err(|source| PipelineError::Encode { api, source })?;
                    request.queued = count(self.state, self.in_flight, api, &made);
                    made
                }
                RawAnswer::None | RawAnswer::Close(_) => continue,
            };
            let Some(written) = until!(connection.closed, self.write(response)) else {
                return Ok(());
            };
            let bytes = written?;
            let counted = request.queued.as_ref().map_or(0, |queued| queued.bytes);
            self.in_flight.answered(counted);
            drop(request.queued);
            request.stats.answered(request.started.elapsed(), bytes);
        }
        Ok(())
    }

    /// Writes a response; returns its size in bytes.
    async fn write(&mut self, response: Response) -> Result<u64, PipelineError> {
        let bytes = response.size_bytes();
        let mut sending = Sending::new(response)?;
        // Most of them the socket takes at once, without a timer.
        if let Some(sent) = sending.some(self.stream.as_ref()).now_or_never() {
            sent?;
        }
        if sending.left() == 0 {
            return Ok(bytes as u64);
        }
        let deadline = tokio::time::Instant::now() + time_max(bytes, self.limits);
        let mut slow = std::pin::pin!(tokio::time::sleep_until(deadline));
        while sending.left() > 0 {
            tokio::select! {
                biased;
                sent = sending.some(self.stream.as_ref()) => sent?,
                () = &mut slow => {
                    let rate_min = self.limits.write_bytes_per_s_min;
                    return Err(PipelineError::WriteSlow { bytes, rate_min });
                }
                stalled = stalled(self.state, self.limits) => {
                    return Err(PipelineError::WriteStalled(stalled));
                }
            }
            // Always ready to take a byte is not fast enough either.
            if sending.left() > 0 && tokio::time::Instant::now() > deadline {
                let rate_min = self.limits.write_bytes_per_s_min;
                return Err(PipelineError::WriteSlow { bytes, rate_min });
            }
        }
        Ok(bytes as u64)
    }
}

/// Ends when a client that takes nothing has had its time: less of it while
/// others are held back by what it does not take.
async fn stalled(state: &BrokerState, limits: &ConnectionLimits) -> Duration {
    let (stall_max, pressed_max) = (limits.write_stall_max, limits.write_stall_pressed_max);
    let mut unsent = state.unsent().pressed();
    let mut fetches = state.fetched_budget().waiting();
    let under_pressure = async {
        tokio::time::sleep(pressed_max).await;
        // The senders live in the state.
        tokio::select! {
            _ = unsent.wait_for(|pressed| *pressed) => {}
            _ = fetches.wait_for(|waiting| *waiting > 0) => {}
        }
    };
    tokio::select! {
        () = tokio::time::sleep(stall_max) => stall_max,
        () = under_pressure => pressed_max,
    }
}

/// How long a response of this size may take.
fn time_max(bytes: usize, limits: &ConnectionLimits) -> Duration {
    let rate_min = limits.write_bytes_per_s_min.max(1);
    limits.write_stall_max
        + Duration::from_millis((bytes as u64).saturating_mul(1000) / rate_min as u64)
}
