//! Sockets: accepting, framing, the request pipeline of one connection.
//!
//! | module | what |
//! |---|---|
//! | [`acceptor`] | listens, limits connections, stops gracefully |
//! | `frames` | requests out of a byte stream, bounded |
//! | `pipeline` | one connection: read, call in order, answer in order |
//!
//! Invariants:
//! - Nothing is read beyond the bytes that the node's budget and the
//!   connection's bound on requests in flight allow: back-pressure is not
//!   reading.
//! - Effects and responses of one connection are in request order.
//! - A peer that stalls in the middle of a frame, or does not take its
//!   responses, is cut off after a bounded time.

pub mod acceptor;
mod frames;
mod pipeline;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
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
    /// Requests of one connection that have not been answered.
    pub in_flight_max: usize,
    /// How long a peer may stall in the middle of a frame.
    pub read_stall_max: Duration,
    /// How long a peer may take no byte of a response.
    pub write_stall_max: Duration,
    /// How long requests in flight may take to finish when the broker stops.
    pub drain_max: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            request_bytes_max: millstream_core::limits::REQUEST_BYTES_MAX,
            requests_bytes_max: 256 * 1024 * 1024,
            fetched_bytes_max: 256 * 1024 * 1024,
            in_flight_max: 64,
            read_stall_max: Duration::from_secs(30),
            write_stall_max: Duration::from_secs(30),
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
}
