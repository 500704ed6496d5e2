//! One connection: read, call in order, answer in order.
//!
//! Two loops on one task. The reading loop decodes a request, runs its
//! handler and queues the answer; the queue's length is the bound on requests
//! in flight. The writing loop takes answers in order, waits for those that
//! come later, and writes them. Either loop ends the other by cancelling
//! [`Connection::closed`].

use super::frames::{Frame, FrameError, FrameReader};
use super::{Connection, ConnectionLimits};
use crate::api::{self, CallError, RawAnswer};
use crate::state::{BrokerState, RequestContext};
use crate::stats::ApiStats;
use bytes::{Buf, Bytes};
use millstream_wire::ApiKey;
use millstream_wire::codec::EncodeError;
use millstream_wire::frame::{Frame as Response, RequestFrame};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Pieces of a response given to one vectored write.
const WRITE_SLICES_MAX: usize = 64;

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
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("silent for {0:?}")]
    Idle(Duration),
}

/// A request whose answer has not left yet.
struct InFlight {
    api: ApiKey,
    stats: Arc<ApiStats>,
    started: Instant,
    answer: RawAnswer,
    /// Part of the node's budget for requests.
    _permit: OwnedSemaphorePermit,
}

/// Serves one connection until it ends or the broker stops.
pub(super) async fn serve(
    stream: tokio::net::TcpStream,
    state: Arc<BrokerState>,
    connection: Arc<Connection>,
) {
    let (read, write) = stream.into_split();
    let limits = state.limits().clone();
    let (answers, queue) = mpsc::channel(limits.in_flight_max);
    let in_flight = AtomicUsize::new(0);
    let reading = Reading {
        frames: FrameReader::new(
            read,
            Arc::clone(state.request_budget()),
            limits.request_bytes_max,
            limits.read_stall_max,
        ),
        state: &state,
        connection: &connection,
        in_flight: &in_flight,
    };
    let read_loop = ending(&connection, reading.run(answers));
    let write_loop = ending(
        &connection,
        write_answers(write, queue, &connection, &limits, &in_flight),
    );
    // Pipelined requests that came in one read share their syncs.
    millstream_log::gather_syncs(async { tokio::join!(read_loop, write_loop) }).await;
}

/// Runs one of the loops; whichever ends badly ends both.
async fn ending(connection: &Connection, work: impl Future<Output = Result<(), PipelineError>>) {
    if let Err(error) = work.await {
        // Ours alone: no client can cause it by what it sends.
        if let PipelineError::Encode { .. } = error {
            tracing::error!(peer = %connection.peer, %error, "a response has no place for what it shall say");
        }
        tracing::debug!(peer = %connection.peer, connection = connection.id, %error, "connection closed");
        connection.closed.cancel();
    }
}

struct Reading<'a, S> {
    frames: FrameReader<S>,
    state: &'a Arc<BrokerState>,
    connection: &'a Arc<Connection>,
    in_flight: &'a AtomicUsize,
}

impl<S: AsyncRead + Unpin> Reading<'_, S> {
    async fn run(mut self, answers: mpsc::Sender<InFlight>) -> Result<(), PipelineError> {
        loop {
            let slot = tokio::select! {
                biased;
                () = self.connection.closed.cancelled() => return Ok(()),
                slot = answers.reserve() => match slot {
                    Ok(slot) => slot,
                    Err(_) => return Ok(()),
                },
            };
            let frame = tokio::select! {
                biased;
                () = self.connection.closed.cancelled() => return Ok(()),
                // What was answered so far still leaves; nothing new begins.
                () = self.state.stopping().cancelled() => return Ok(()),
                frame = self.next_frame() => frame?,
            };
            let Some(frame) = frame else {
                self.connection.closed.cancel();
                return Ok(());
            };
            if let Some(request) = self.dispatch(frame).await? {
                self.in_flight.fetch_add(1, Ordering::Relaxed);
                slot.send(request);
            }
        }
    }

    /// The next frame; `None` when the client has gone.
    async fn next_frame(&mut self) -> Result<Option<Frame>, PipelineError> {
        let idle_max = self.state.settings().connection_idle_max;
        loop {
            let waiting = self.frames.wait();
            let begun = match idle_max {
                None => waiting.await?,
                Some(idle_max) => match tokio::time::timeout(idle_max, waiting).await {
                    Ok(begun) => begun?,
                    // A client that waits for us is not idle.
                    Err(_) if self.in_flight.load(Ordering::Relaxed) > 0 => continue,
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

    async fn dispatch(&self, frame: Frame) -> Result<Option<InFlight>, PipelineError> {
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
            answer @ (RawAnswer::Now(_) | RawAnswer::Later(_)) => Ok(Some(InFlight {
                api: key,
                stats,
                started,
                answer,
                _permit: frame.permit,
            })),
        }
    }
}

async fn write_answers(
    mut stream: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<InFlight>,
    connection: &Connection,
    limits: &ConnectionLimits,
    in_flight: &AtomicUsize,
) -> Result<(), PipelineError> {
    loop {
        let next = tokio::select! {
            biased;
            () = connection.closed.cancelled() => return Ok(()),
            next = queue.recv() => next,
        };
        let Some(request) = next else {
            stream.shutdown().await?;
            connection.closed.cancel();
            return Ok(());
        };
        let encoded = match request.answer {
            RawAnswer::Now(encoded) => encoded,
            RawAnswer::Later(encoded) => tokio::select! {
                biased;
                () = connection.closed.cancelled() => return Ok(()),
                encoded = encoded => encoded
                    .map_err(|source| PipelineError::Encode { api: request.api, source })?,
            },
            RawAnswer::None | RawAnswer::Close(_) => continue,
        };
        let bytes = write(&mut stream, encoded, connection, limits.write_stall_max).await?;
        in_flight.fetch_sub(1, Ordering::Relaxed);
        request.stats.answered(request.started.elapsed(), bytes);
    }
}

/// Writes a response; returns its size in bytes.
async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    response: Response,
    connection: &Connection,
    stall_max: Duration,
) -> Result<u64, PipelineError> {
    let mut chunks = VecDeque::from(response.into_chunks());
    let mut total = 0;
    while !chunks.is_empty() {
        let slices: Vec<io::IoSlice<'_>> = chunks
            .iter()
            .take(WRITE_SLICES_MAX)
            .map(|chunk| io::IoSlice::new(chunk))
            .collect();
        let written = tokio::select! {
            biased;
            () = connection.closed.cancelled() => return Ok(total),
            written = tokio::time::timeout(stall_max, stream.write_vectored(&slices)) => {
                written.map_err(|_| PipelineError::WriteStalled(stall_max))??
            }
        };
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        total += written as u64;
        advance(&mut chunks, written);
    }
    Ok(total)
}

fn advance(chunks: &mut VecDeque<Bytes>, mut bytes: usize) {
    while let Some(chunk) = chunks.front_mut() {
        if chunk.len() > bytes {
            chunk.advance(bytes);
            return;
        }
        bytes -= chunk.len();
        chunks.pop_front();
    }
}
