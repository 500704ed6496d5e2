//! The HTTP listener: connections within bounds.
//!
//! | module | what |
//! |---|---|
//! | [`limits`] | all bounds |
//! | `seats` | who is connected, who makes room |
//! | `socket` | bytes in and out, stalls |
//! | [`bodies`] | requests' bodies as they arrive |
//!
//! Invariants: what one client holds or leaves half-sent never keeps another
//! out for longer than a bound says; the listener outlives a lack of files.

pub mod bodies;
pub mod limits;
mod seats;
mod socket;

use axum::Router;
use axum::extract::Request;
use bodies::{Bodies, Taken};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use limits::HttpLimits;
use seats::{Seat, Seats};
use socket::Socket;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Pause after the system refused to give a connection: nothing is gained by
/// asking at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long answers that are being sent may take once the listener closes.
const CLOSE_MAX: Duration = Duration::from_millis(500);
/// Least time between two log lines about refused connections.
const REFUSED_LOG_MIN: Duration = Duration::from_secs(60);

/// Serves until `close`, then lets the answers that are being sent end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    close: CancellationToken,
) {
    let seats = Seats::new(limits.connections_max);
    let bodies = Bodies::new(limits.clone());
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = close.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let refused = match accepted {
            Ok((stream, _)) => match seats.take() {
                Some(seat) => {
                    let connection = Connection {
                        seat,
                        bodies: bodies.clone(),
                        limits: limits.clone(),
                        close: close.clone(),
                    };
                    tokio::spawn(connection.serve(stream, router.clone()));
                    continue;
                }
                None => format!(
                    "all {} connections are being worked on",
                    limits.connections_max
                ),
            },
            // No file is left (EMFILE, ENFILE), or the client has gone again.
            Err(error) => {
                seats.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                error.to_string()
            }
        };
        if complained.is_none_or(|at| at.elapsed() > REFUSED_LOG_MIN) {
            complained = Some(Instant::now());
            tracing::warn!(reason = refused, "an HTTP connection was refused");
        }
    }
    drop(listener);
    if tokio::time::timeout(CLOSE_MAX, seats.empty())
        .await
        .is_err()
    {
        seats.cut_all();
        seats.empty().await;
    }
}

struct Connection {
    seat: Arc<Seat>,
    bodies: Bodies,
    limits: HttpLimits,
    close: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, router: Router) {
        // Answers are small: waiting for more to send costs a round trip.
        let _ = stream.set_nodelay(true);
        let Self {
            seat,
            bodies,
            limits,
            close,
        } = self;
        let socket = Socket::new(stream, Arc::clone(&seat), limits.write_stall_max);
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: Request<Incoming>| {
            let working = Working::new(Arc::clone(&seat));
            let arrived = Arc::clone(&seat);
            let taken = Arc::clone(&working.taken);
            let request =
                request.map(|body| bodies.bound(body, taken, move || arrived.set_busy(true)));
            let answer = router.call(request);
            async move {
                let answer = answer.await;
                drop(working);
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_read_max)
            .max_buf_size(limits.head_bytes_max)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // How a connection ends is its client's business.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = close.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// A request that is being worked on, with the room that its body takes.
struct Working {
    seat: Arc<Seat>,
    taken: Taken,
}

impl Working {
    fn new(seat: Arc<Seat>) -> Self {
        Self {
            seat,
            taken: Taken::default(),
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.seat.set_busy(false);
    }
}
