//! Counters of the broker: by API, by topic, of connections.
//!
//! Plain numbers without an exporter; [`Stats::snapshot`] is what the console
//! and the metrics endpoint read. Counters only grow; rates are the reader's.

use crate::api::{APIS, Api};
use crate::seldom::Seldom;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the latency buckets, in microseconds; one more bucket holds
/// what is slower than the last.
pub const LATENCY_BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// The counters.
#[derive(Debug)]
pub struct Stats {
    /// Connections.
    pub(crate) connections: ConnectionStats,
    apis: BTreeMap<i16, Arc<ApiStats>>,
    topics: RwLock<BTreeMap<Arc<str>, Arc<TopicStats>>>,
    producers: RwLock<BTreeMap<ProducerKey, Arc<AtomicU64>>>,
}

/// Client id and topic.
type ProducerKey = (Arc<str>, Arc<str>);

/// Pairs of producing client and topic that are told apart; what comes later
/// counts under the client id [`OTHER_CLIENTS`].
const PRODUCERS_MAX: usize = 1_024;
/// Client id of all producers beyond [`PRODUCERS_MAX`].
pub const OTHER_CLIENTS: &str = "other clients";

/// Counters of connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionStats {
    pub(crate) open: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// When somebody was last told that connections are not accepted,
    /// refused, or cut off for what they do.
    pub(crate) not_accepted_told: Seldom,
    pub(crate) refused_told: Seldom,
    pub(crate) cut_off_told: Seldom,
}

impl ConnectionStats {
    /// Counts a connection as open while the guard lives.
    pub(crate) fn opened(stats: Arc<Stats>) -> OpenConnection {
        stats.connections.accepted.fetch_add(1, Relaxed);
        stats.connections.open.fetch_add(1, Relaxed);
        OpenConnection { stats }
    }
}

/// An open connection; counted off when dropped, however it ends.
pub(crate) struct OpenConnection {
    stats: Arc<Stats>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.stats.connections.open.fetch_sub(1, Relaxed);
    }
}

/// Counters of one API.
#[derive(Debug, Default)]
pub(crate) struct ApiStats {
    requests: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    latency_us_sum: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS_US.len() + 1],
}

/// Counters of one topic.
#[derive(Debug, Default)]
pub(crate) struct TopicStats {
    bytes_in: AtomicU64,
    messages_in: AtomicU64,
    bytes_out: AtomicU64,
    messages_out: AtomicU64,
    produce_failures: AtomicU64,
}

/// All counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Open connections.
    pub connections_open: u64,
    /// Connections accepted since the start.
    pub connections_accepted: u64,
    /// Connections refused by a limit since the start.
    pub connections_refused: u64,
    /// By API name.
    pub apis: BTreeMap<&'static str, ApiSnapshot>,
    /// By topic name.
    pub topics: BTreeMap<Arc<str>, TopicSnapshot>,
}

/// Counters of one API at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiSnapshot {
    /// Requests that came in.
    pub requests: u64,
    /// Their bytes.
    pub request_bytes: u64,
    /// Bytes of the responses.
    pub response_bytes: u64,
    /// Sum of all latencies, from the decoded frame to the written response,
    /// in microseconds. Long polls count the time they wait.
    pub latency_us_sum: u64,
    /// Responses by latency, by [`LATENCY_BUCKETS_US`]; not cumulative.
    pub latency_counts: [u64; LATENCY_BUCKETS_US.len() + 1],
}

/// Counters of one topic at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicSnapshot {
    /// Bytes of record batches appended.
    pub bytes_in: u64,
    /// Records appended.
    pub messages_in: u64,
    /// Bytes of record batches fetched.
    pub bytes_out: u64,
    /// Offsets fetched: records, and what compaction and markers left out.
    pub messages_out: u64,
    /// Batches that were refused.
    pub produce_failures: u64,
}

impl Default for Stats {
    fn default() -> Self {
        let apis = APIS
            .iter()
            .map(|api| (api.key.code(), Arc::default()))
            .collect();
        Self {
            connections: ConnectionStats::default(),
            apis,
            topics: RwLock::default(),
            producers: RwLock::default(),
        }
    }
}

impl Stats {
    /// Counts a request and returns where to count its answer.
    pub(crate) fn request(&self, api: &Api, bytes: u64) -> Arc<ApiStats> {
        // Every API of the list has an entry since the start.
        let stats = self
            .apis
            .get(&api.key.code())
            .map(Arc::clone)
            .unwrap_or_default();
        stats.requests.fetch_add(1, Relaxed);
        stats.request_bytes.fetch_add(bytes, Relaxed);
        stats
    }

    /// The counters of a topic.
    pub(crate) fn topic(&self, name: &Arc<str>) -> Arc<TopicStats> {
        if let Some(stats) = self.topics.read().get(name) {
            return Arc::clone(stats);
        }
        Arc::clone(self.topics.write().entry(Arc::clone(name)).or_default())
    }

    /// Counts records that a client has appended.
    pub(crate) fn produced(&self, client_id: &Arc<str>, topic: &Arc<str>, records: u64) {
        let key = (Arc::clone(client_id), Arc::clone(topic));
        if let Some(count) = self.producers.read().get(&key) {
            count.fetch_add(records, Relaxed);
            return;
        }
        let mut producers = self.producers.write();
        let key = if producers.len() < PRODUCERS_MAX {
            key
        } else {
            (Arc::from(OTHER_CLIENTS), Arc::clone(topic))
        };
        producers
            .entry(key)
            .or_default()
            .fetch_add(records, Relaxed);
    }

    /// Records appended so far, by client id and topic.
    pub fn producers(&self) -> Vec<(Arc<str>, Arc<str>, u64)> {
        let producers = self.producers.read();
        producers
            .iter()
            .map(|((client, topic), n)| (Arc::clone(client), Arc::clone(topic), n.load(Relaxed)))
            .collect()
    }

    /// Forgets a topic that was deleted.
    pub(crate) fn forget_topic(&self, name: &str) {
        self.topics.write().remove(name);
        self.producers
            .write()
            .retain(|(_, topic), _| &**topic != name);
    }

    /// All counters now.
    pub fn snapshot(&self) -> BrokerStats {
        let apis = APIS
            .iter()
            .filter_map(|api| {
                Some((
                    api.key.info().name,
                    self.apis.get(&api.key.code())?.snapshot(),
                ))
            })
            .collect();
        let topics = self
            .topics
            .read()
            .iter()
            .map(|(name, t)| (Arc::clone(name), t.snapshot()))
            .collect();
        BrokerStats {
            connections_open: self.connections.open.load(Relaxed),
            connections_accepted: self.connections.accepted.load(Relaxed),
            connections_refused: self.connections.refused.load(Relaxed),
            apis,
            topics,
        }
    }
}

impl ApiStats {
    /// Counts an answer.
    pub(crate) fn answered(&self, latency: Duration, response_bytes: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_US.partition_point(|end| *end < us);
        self.response_bytes.fetch_add(response_bytes, Relaxed);
        self.latency_us_sum.fetch_add(us, Relaxed);
        self.latency[bucket].fetch_add(1, Relaxed);
    }

    fn snapshot(&self) -> ApiSnapshot {
        ApiSnapshot {
            requests: self.requests.load(Relaxed),
            request_bytes: self.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
            latency_us_sum: self.latency_us_sum.load(Relaxed),
            latency_counts: std::array::from_fn(|i| self.latency[i].load(Relaxed)),
        }
    }
}

impl TopicStats {
    pub(crate) fn appended(&self, records: u64, bytes: u64) {
        self.messages_in.fetch_add(records, Relaxed);
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.produce_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn fetched(&self, records: u64, bytes: u64) {
        self.messages_out.fetch_add(records, Relaxed);
        self.bytes_out.fetch_add(bytes, Relaxed);
    }

    fn snapshot(&self) -> TopicSnapshot {
        TopicSnapshot {
            bytes_in: self.bytes_in.load(Relaxed),
            messages_in: self.messages_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            messages_out: self.messages_out.load(Relaxed),
            produce_failures: self.produce_failures.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_into_the_bucket_that_ends_at_or_above_it() {
        let stats = ApiStats::default();
        stats.answered(Duration::from_micros(100), 1);
        stats.answered(Duration::from_micros(101), 1);
        stats.answered(Duration::from_secs(60), 1);
        let counts = stats.snapshot().latency_counts;
        assert_eq!(
            (counts[0], counts[1], counts[LATENCY_BUCKETS_US.len()]),
            (1, 1, 1)
        );
        assert_eq!(stats.snapshot().response_bytes, 3);
    }
}
