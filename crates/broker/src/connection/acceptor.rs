//! Listens, limits connections, stops gracefully.

use super::{Connection, pipeline};
use crate::state::BrokerState;
use crate::stats::ConnectionStats;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that the system queues before they are accepted.
const BACKLOG: i32 = 1024;
/// Pause after a failed accept (out of file descriptors, say), so that the
/// loop does not spin until some are closed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// File descriptors kept for connections of one listener.
const RESERVED_FILES_MAX: usize = 32;

/// Binds a listener.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections of one listener.
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    pub(crate) name: Arc<str>,
    pub(crate) state: Arc<BrokerState>,
    /// Ends connections at once, after the time to drain them is over.
    pub(crate) kill: CancellationToken,
}

impl Acceptor {
    /// Runs until the broker stops and its connections have ended.
    pub(crate) async fn run(self) {
        let tasks = TaskTracker::new();
        let slots = Arc::new(Slots::default());
        let next_id = AtomicU64::new(1);
        let mut reserve = Reserve::default();
        reserve.fill();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.state.stopping().cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    reserve.fill();
                    let id = next_id.fetch_add(1, Ordering::Relaxed);
                    self.admit(stream, peer, id, &slots, &tasks);
                }
                Err(error) if is_out_of_files(&error) && reserve.give_one() => {}
                Err(error) => {
                    let told = &self.state.stats().connections.not_accepted_told;
                    if let Some(times) = told.due(Instant::now()) {
                        tracing::warn!(
                            times, %error,
                            "cannot accept connections; if this process has too many open files, raise its limit (ulimit -n, or LimitNOFILE= in a systemd unit)"
                        );
                    }
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        drop(self.listener);
        tasks.close();
        let drain_max = self.state.limits().drain_max;
        if tokio::time::timeout(drain_max, tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "cutting off connections that did not drain"
            );
            self.kill.cancel();
            tasks.wait().await;
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        id: u64,
        slots: &Arc<Slots>,
        tasks: &TaskTracker,
    ) {
        let settings = self.state.settings();
        let stats = self.state.stats();
        let admitted = slots.take(
            peer.ip(),
            settings.connections_max,
            settings.connections_per_ip_max,
        );
        let Some(slot) = admitted else {
            stats.connections.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(times) = stats.connections.refused_told.due(Instant::now()) {
                tracing::warn!(
                    %peer, times,
                    max.connections = settings.connections_max,
                    max.connections.per.ip = settings.connections_per_ip_max,
                    "connections refused: as many as are allowed are open"
                );
            }
            return;
        };
        // Responses are written whole; waiting for more only adds latency.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection lost at once");
            return;
        }
        let connection = Arc::new(Connection {
            id,
            peer,
            listener: Arc::clone(&self.name),
            closed: self.kill.child_token(),
            fetched: Arc::new(Semaphore::new(1)),
            fetches_waiting: AtomicUsize::new(0),
        });
        let state = Arc::clone(&self.state);
        let opened = ConnectionStats::opened(Arc::clone(stats));
        tasks.spawn(async move {
            pipeline::serve(stream, state, connection).await;
            drop((opened, slot));
        });
    }
}

/// File descriptors that are kept for connections to come, so that a process
/// whose files are used up elsewhere (by idle HTTP connections, say) goes on
/// taking Kafka's clients in.
#[derive(Default)]
struct Reserve {
    held: Vec<socket2::Socket>,
}

impl Reserve {
    /// Takes what there is, up to [`RESERVED_FILES_MAX`].
    fn fill(&mut self) {
        while self.held.len() < RESERVED_FILES_MAX {
            let made = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let Ok(socket) = made else { return };
            self.held.push(socket);
        }
    }

    /// Gives one up for the next connection; false when there is none left.
    fn give_one(&mut self) -> bool {
        self.held.pop().is_some()
    }
}

/// Whether this process, or the system, has as many open files as it may.
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

/// Counts connections, in all and by address.
#[derive(Default)]
struct Slots {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when it is dropped.
struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Slots {
    fn take(self: &Arc<Self>, address: IpAddr, max: usize, per_address_max: usize) -> Option<Slot> {
        let mut taken = self.taken.lock();
        let count = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= max || count >= per_address_max {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, count + 1);
        Some(Slot {
            slots: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_in_all_and_by_address_and_given_back() {
        let slots = Arc::new(Slots::default());
        let [a, b] = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
        let first = slots.take(a, 3, 2).unwrap();
        let _second = slots.take(a, 3, 2).unwrap();
        assert!(slots.take(a, 3, 2).is_none(), "two from one address");
        let _third = slots.take(b, 3, 2).unwrap();
        assert!(slots.take(b, 3, 2).is_none(), "three in all");
        drop(first);
        assert!(slots.take(b, 3, 2).is_some());
        let refused = slots.take(IpAddr::from([127, 0, 0, 3]), 0, 2);
        assert!(refused.is_none());
        let known = slots.taken.lock().by_address.len();
        assert_eq!(known, 2, "whoever was refused leaves no trace");
    }
}
