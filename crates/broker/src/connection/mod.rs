//! Sockets: accepting, framing, the request pipeline of one connection.
//!
//! | module | what |
//! |---|---|
//! | [`acceptor`] | listens, limits connections, stops gracefully |
//! | `budget` | the node's memory for requests |
//! | `frames` | requests out of a byte stream, bounded |
//! | `in_flight` | the requests of one connection that have not been answered |
//! | `unsent` | responses that wait for their clients |
//! | `pipeline` | one connection: read, call in order, answer in order |
//! | `sending` | one response into the socket, from memory and from files |
//!
//! Invariants:
//! - Nothing is read beyond the bytes that the node's budget and the
//!   connection's bound on requests in flight allow: back-pressure is not
//!   reading.
//! - Effects and responses of one connection are in request order.
//! - A peer that stalls in the middle of a frame, or does not take its
//!   responses, or does either too slowly, is cut off after a bounded time.

pub mod acceptor;
pub(crate) mod budget;
mod frames;
mod in_flight;
mod pipeline;
pub(crate) mod sending;
pub(crate) mod unsent;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bounds of the network side that are not Kafka settings.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Largest request frame, in bytes (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// Bytes of all requests that are being read or handled on this node.
    pub requests_bytes_max: usize,
    /// Bytes of all fetched records on their way out.
    pub fetched_bytes_max: usize,
    /// Bytes of all responses that have been made and not been taken, without
    /// fetched records; while there are more, no request is begun.
    pub unsent_bytes_max: usize,
    /// The same of one connection.
    pub connection_unsent_bytes_max: usize,
    /// Requests of one connection that have not been answered.
    pub in_flight_max: usize,
    /// How long a peer may stall in the middle of a frame.
    pub read_stall_max: Duration,
    /// The same while others wait for room in the budget for requests.
    pub read_stall_pressed_max: Duration,
    /// How long a peer may take no byte of a response.
    pub write_stall_max: Duration,
    /// The same while requests are held back because too much is unsent.
    pub write_stall_pressed_max: Duration,
    /// Bytes of a response that a peer must take in a second on average, once
    /// `write_stall_max` is over: a byte now and then would hold the response
    /// for ever.
    pub write_bytes_per_s_min: usize,
    /// How long requests in flight may take to finish when the broker stops.
    pub drain_max: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            request_bytes_max: millstream_core::limits::REQUEST_BYTES_MAX,
            requests_bytes_max: 256 * 1024 * 1024,
            fetched_bytes_max: 256 * 1024 * 1024,
            unsent_bytes_max: 64 * 1024 * 1024,
            connection_unsent_bytes_max: 1024 * 1024,
            in_flight_max: 64,
            read_stall_max: Duration::from_secs(30),
            read_stall_pressed_max: Duration::from_secs(3),
            write_stall_max: Duration::from_secs(30),
            write_stall_pressed_max: Duration::from_secs(3),
            write_bytes_per_s_min: 64 * 1024,
            drain_max: Duration::from_secs(10),
        }
    }
}

/// One connection, as handlers see it.
#[derive(Debug)]
pub struct Connection {
    /// Unique on this node since its start.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The listener that it came in by.
    pub listener: Arc<str>,
    /// Cancelled when the connection ends.
    pub closed: CancellationToken,
    /// Held by the fetched records that are on their way to this client: one
    /// answer's at a time, or a client that takes none could pin as many as it
    /// may have requests in flight.
    pub(crate) fetched: Arc<Semaphore>,
    /// Fetches that have no answer yet. One that came after them does not
    /// take the turn before them: its answer waits for theirs.
    pub(crate) fetches_waiting: AtomicUsize,
}
