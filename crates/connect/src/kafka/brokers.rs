//! The cluster's brokers, as all clients of one bus see them come and go.
//!
//! librdkafka tells every failure of every client as an error, the end of a
//! partition among them, and mends most of them by itself. What an operator
//! wants to know is one line when a broker goes and one when it is back: the
//! clients' log lines are read here, and the rest of them is for debugging.
//!
//! The addresses that the cluster's metadata names are kept too: a client
//! made later finds the cluster when the configured brokers are away.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::ProducerContext;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// How often a broker that went away is looked for, and how long one look
/// may take.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// A broker that answers and refuses is told of again after this long.
const REFUSAL_REPEAT: Duration = Duration::from_secs(60);
/// Brokers remembered of one cluster; more are not told of or asked first.
const BROKERS_MAX: usize = 1_000;

/// The brokers of one cluster.
pub(super) struct Brokers {
    state: Mutex<State>,
    /// Where a broker that went away is looked for.
    runtime: Option<Handle>,
}

#[derive(Default)]
struct State {
    /// Addresses of the cluster's last metadata.
    known: BTreeSet<String>,
    /// Since when.
    away: BTreeMap<String, Instant>,
    /// When it was last told.
    refusing: BTreeMap<String, Instant>,
}

impl Brokers {
    /// None known yet. Those that go away are looked for on `runtime`.
    pub(super) fn new(runtime: Option<Handle>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            runtime,
        })
    }

    /// The configured addresses, and after them those that the cluster named.
    pub(super) fn bootstrap(&self, configured: &str) -> String {
        let state = self.state();
        let mut addresses: Vec<&str> = configured
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .collect();
        let new = state
            .known
            .iter()
            .filter(|known| !addresses.contains(&known.as_str()))
            .map(String::as_str)
            .collect::<Vec<_>>();
        addresses.extend(new);
        addresses.join(",")
    }

    /// The cluster has told who belongs to it.
    pub(super) fn learn(&self, metadata: &Metadata) {
        let named: BTreeSet<String> = metadata
            .brokers()
            .iter()
            .take(BROKERS_MAX)
            .map(|b| format!("{}:{}", b.host(), b.port()))
            .collect();
        if !named.is_empty() {
            self.state().known = named;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client could not reach a broker. True the first time.
    fn went(&self, address: &str) -> bool {
        let mut state = self.state();
        let room = state.away.len() < BROKERS_MAX;
        let new = room && !state.away.contains_key(address);
        if new {
            state.away.insert(address.to_owned(), Instant::now());
        }
        new
    }

    /// A broker can be reached again; how long it was away.
    fn came(&self, address: &str) -> Option<Duration> {
        let since = self.state().away.remove(address)?;
        Some(since.elapsed())
    }

    /// Whether it is time to tell that a broker refuses its clients.
    fn refuses(&self, address: &str) -> bool {
        let mut state = self.state();
        let last = state.refusing.get(address);
        let due = last.is_none_or(|at| at.elapsed() >= REFUSAL_REPEAT);
        if due && (last.is_some() || state.refusing.len() < BROKERS_MAX) {
            state.refusing.insert(address.to_owned(), Instant::now());
        }
        due
    }

    fn on_failure(self: &Arc<Self>, failure: &Failure<'_>) {
        let (broker, reason) = (failure.address, failure.reason);
        if !failure.unreachable {
            if self.refuses(broker) {
                tracing::warn!(
                    broker,
                    reason,
                    "a broker of the Kafka cluster refuses its clients"
                );
            }
        } else if self.went(broker) {
            match &self.runtime {
                Some(runtime) => {
                    let follow = follow(Arc::downgrade(self), broker.to_owned(), reason.to_owned());
                    runtime.spawn(follow);
                }
                None => tell_away(broker, reason),
            }
        }
    }
}

fn tell_away(broker: &str, reason: &str) {
    tracing::warn!(
        broker,
        reason,
        "a broker of the Kafka cluster cannot be reached"
    );
}

/// Tells that a broker went, and when it accepts connections again: its
/// clients connect to it only once they need it. A client may tell late,
/// when the broker is back already.
async fn follow(brokers: Weak<Brokers>, broker: String, reason: String) {
    let late = accepts(&broker).await;
    if !late {
        tell_away(&broker, &reason);
        while !accepts(&broker).await {
            tokio::time::sleep(LOOK_PERIOD).await;
            if brokers.strong_count() == 0 {
                return;
            }
        }
    }
    let away = brokers.upgrade().and_then(|b| b.came(&broker));
    if let Some(away) = away.filter(|_| !late) {
        tracing::info!(
            broker,
            away_s = away.as_secs(),
            "a broker of the Kafka cluster is back"
        );
    }
}

async fn accepts(broker: &str) -> bool {
    let look = tokio::time::timeout(LOOK_PERIOD, TcpStream::connect(broker));
    matches!(look.await, Ok(Ok(_)))
}

/// What every client of the bus tells, to [`Brokers`].
#[derive(Clone)]
pub(super) struct Observer(Arc<Brokers>);

impl Observer {
    pub(super) fn new(brokers: &Arc<Brokers>) -> Self {
        Self(Arc::clone(brokers))
    }
}

impl ClientContext for Observer {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        if facility == "FAIL"
            && let Some(failure) = failure(text)
        {
            self.0.on_failure(&failure);
        }
        tracing::debug!(target: "librdkafka", facility, "{text}");
    }

    // Whatever matters is answered by a call or by a reader as well, and is
    // judged there.
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::debug!(target: "librdkafka", %error, "{reason}");
        }
    }
}

impl ConsumerContext for Observer {}

impl ProducerContext for Observer {
    type DeliveryOpaque = ();

    // A transaction's commit waits for its deliveries and tells of failures.
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// A broker's failure, from a line of librdkafka's log.
#[derive(Debug, PartialEq, Eq)]
struct Failure<'a> {
    address: &'a str,
    reason: &'a str,
    /// There is no connection; otherwise there was one, and no session on it.
    unreachable: bool,
}

/// Reads `[thrd:NAME]: NAME: REASON (after 5ms in state STATE, ...)`, where a
/// name is `sasl_ssl://HOST:PORT/ID`. `None` for coordinators, which are not
/// named by address and are one of the brokers too, and for connections that
/// were lost without a reason: brokers close idle ones, and whether this one
/// is gone the next connection tells.
fn failure(text: &str) -> Option<Failure<'_>> {
    let text = match text.strip_prefix("[thrd:") {
        Some(rest) => rest.split_once("]: ")?.1,
        None => text,
    };
    let (name, text) = text.split_once(": ")?;
    let name = name.rsplit_once("://").map_or(name, |(_, rest)| rest);
    let address = name.split('/').next()?;
    let (host, port) = address.rsplit_once(':')?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return None;
    }
    let (reason, after) = text.rsplit_once(" (after ")?;
    let (_, state) = after.split_once("in state ")?;
    let state = state.split([',', ')']).next()?;
    let unreachable = match state {
        "UP" | "UPDATE" => return None,
        // librdkafka adds what it may come from, where it may come from
        // something: TLS, SASL.
        _ if matches!(
            reason,
            "Disconnected" | "Disconnected: connection reset by peer"
        ) =>
        {
            return None;
        }
        "INIT" | "DOWN" | "TRY_CONNECT" | "CONNECT" => true,
        _ => false,
    };
    Some(Failure {
        address,
        reason,
        unreachable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_a_broker_away() {
        let line = "[thrd:127.0.0.1:19092/1]: 127.0.0.1:19092/1: Connect to \
                    ipv4#127.0.0.1:19092 failed: Connection refused (after 0ms in state CONNECT, \
                    1 identical error(s) suppressed)";
        let read = failure(line).expect("a failure");
        assert_eq!(read.address, "127.0.0.1:19092");
        assert_eq!(
            read.reason,
            "Connect to ipv4#127.0.0.1:19092 failed: Connection refused"
        );
        assert!(read.unreachable);
    }

    #[test]
    fn a_refused_login_is_no_broker_away() {
        let line = "[thrd:sasl_ssl://kafka.example:9093/bootstrap]: \
                    sasl_ssl://kafka.example:9093/bootstrap: SASL authentication error: bad \
                    password (after 312ms in state AUTH_REQ)";
        let read = failure(line).expect("a failure");
        assert_eq!(read.address, "kafka.example:9093");
        assert!(!read.unreachable);
    }

    #[test]
    fn what_tells_of_no_broker_is_left_alone() {
        for line in [
            // The broker, or its idle timer, closed a connection.
            "[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Disconnected (after 600123ms in state UP)",
            "[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Disconnected: connection reset by peer \
             (after 0ms in state APIVERSION_QUERY)",
            "[thrd:TxnCoordinator]: TxnCoordinator: 127.0.0.1:9092: Connect to \
             ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
            "[thrd::0/internal]: :0/internal: no (after 0ms in state INIT)",
            "",
            "(after )",
        ] {
            assert_eq!(failure(line), None, "{line}");
        }
    }

    #[test]
    fn a_broker_goes_once_and_comes_once() {
        let brokers = Brokers::new(None);
        assert!(brokers.went("a:1"));
        assert!(!brokers.went("a:1"));
        assert!(brokers.went("b:1"));
        assert!(brokers.came("a:1").is_some());
        assert!(brokers.came("a:1").is_none());
        assert!(brokers.went("a:1"));
    }

    #[test]
    fn no_more_brokers_are_remembered_than_the_bound() {
        let brokers = Brokers::new(None);
        for n in 0..BROKERS_MAX {
            assert!(brokers.went(&format!("b:{n}")));
            assert!(brokers.refuses(&format!("b:{n}")));
        }
        assert!(!brokers.went("one:1"));
        assert!(brokers.refuses("one:1"));
        let state = brokers.state();
        assert_eq!(
            (state.away.len(), state.refusing.len()),
            (BROKERS_MAX, BROKERS_MAX)
        );
    }

    #[test]
    fn a_refusal_is_not_told_at_every_attempt() {
        let brokers = Brokers::new(None);
        assert!(brokers.refuses("a:1"));
        assert!(!brokers.refuses("a:1"));
    }

    #[test]
    fn new_clients_ask_the_configured_brokers_and_those_the_cluster_named() {
        let brokers = Brokers::new(None);
        assert_eq!(brokers.bootstrap(" a:1 ,b:1,"), "a:1,b:1");
        brokers.state().known = ["b:1", "c:1"].map(str::to_owned).into();
        assert_eq!(brokers.bootstrap("a:1,b:1"), "a:1,b:1,c:1");
    }
}
