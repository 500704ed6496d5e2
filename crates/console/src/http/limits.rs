//! The bounds of the HTTP listener, in one place.

use std::time::Duration;

/// What clients of the listener may hold, and for how long.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Connections in all, WebSockets included. When one more comes, the one
    /// that has been silent longest, and for whom nothing is being worked on,
    /// is closed.
    pub connections_max: usize,
    /// Bytes of a request's line and headers.
    pub head_bytes_max: usize,
    /// Time for a request's line and headers to arrive, counted from the
    /// answer before: also how long a connection is kept without a request.
    pub head_read_max: Duration,
    /// Time for a request's body to arrive.
    pub body_read_max: Duration,
    /// The same while another body waits for room.
    pub body_read_pressed_max: Duration,
    /// Bytes of all bodies whose requests are being worked on, beyond the
    /// first [`Self::body_bytes_free`] of each.
    pub bodies_bytes_max: usize,
    /// What each body may have without asking for room: small requests pass
    /// large ones.
    pub body_bytes_free: usize,
    /// A client that takes nothing of its answer for this long is cut off.
    pub write_stall_max: Duration,
    /// Time between two pings of a WebSocket.
    pub live_ping: Duration,
    /// A WebSocket whose client is silent for this long, pongs included, is
    /// closed.
    pub live_silent_max: Duration,
}

/// Share of the files a process may open that HTTP connections may take: the
/// log's segments and Kafka's clients need the most.
const OPEN_FILES_SHARE: u64 = 8;
/// Connections, however many files may be open.
const CONNECTIONS_MAX: u64 = 1_024;
/// Connections, however few files may be open.
const CONNECTIONS_MIN: u64 = 32;

impl HttpLimits {
    /// For a process that may have this many files open.
    pub fn for_open_files(open_files_max: u64) -> Self {
        let connections =
            (open_files_max / OPEN_FILES_SHARE).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        Self {
            connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
            ..Self::default()
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            head_bytes_max: 64 * 1024,
            head_read_max: Duration::from_secs(20),
            body_read_max: Duration::from_secs(30),
            body_read_pressed_max: Duration::from_secs(1),
            bodies_bytes_max: 64 << 20,
            body_bytes_free: 16 * 1024,
            write_stall_max: Duration::from_secs(20),
            live_ping: Duration::from_secs(30),
            live_silent_max: Duration::from_secs(90),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_a_small_share_of_the_open_files() {
        let max = |files| HttpLimits::for_open_files(files).connections_max;
        assert_eq!((max(2_048), max(64), max(1 << 20)), (256, 32, 1_024));
    }
}
