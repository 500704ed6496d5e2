//! The pages' documents: made from the monitor's last snapshot, at most once
//! each, whoever asks.

use millstream_ops::health::{Health, Severity};
use millstream_ops::monitor::Snapshot;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// What does not change while the server runs.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterInfo {
    /// Cluster id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Version of this binary.
    pub version: &'static str,
    /// This node.
    pub node: i32,
    /// When it started.
    pub started_ms: i64,
    /// Kafka listener as clients are told.
    pub kafka: String,
    /// HTTP listener.
    pub http: String,
    /// `fsync`, `replicated` or `external`.
    pub durability: &'static str,
}

/// One snapshot with the documents made of it so far.
#[derive(Debug)]
pub struct Documents {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Job documents of the same moment.
    pub jobs: Vec<Value>,
    dashboards: usize,
    overview: OnceLock<Arc<str>>,
    topics: OnceLock<Arc<str>>,
    groups: OnceLock<Arc<str>>,
    jobs_page: OnceLock<Arc<str>>,
    race: OnceLock<Arc<str>>,
}

impl Documents {
    /// Documents of a snapshot.
    pub fn new(snapshot: Arc<Snapshot>, jobs: Vec<Value>, dashboards: usize) -> Self {
        Self {
            snapshot,
            jobs,
            dashboards,
            overview: OnceLock::new(),
            topics: OnceLock::new(),
            groups: OnceLock::new(),
            jobs_page: OnceLock::new(),
            race: OnceLock::new(),
        }
    }

    /// `GET /api/v1/overview`
    pub fn overview(&self, cluster: &ClusterInfo) -> Arc<str> {
        self.overview
            .get_or_init(|| text(&self.make_overview(cluster)))
            .clone()
    }

    /// `GET /api/v1/topics`, without internal ones.
    pub fn topics(&self) -> Arc<str> {
        self.topics
            .get_or_init(|| text(&self.make_topics(false)))
            .clone()
    }

    /// `GET /api/v1/topics?internal=true`
    pub fn make_topics(&self, internal: bool) -> Value {
        let topics: Vec<Value> = self
            .snapshot
            .topics
            .iter()
            .filter(|t| internal || !t.internal)
            .map(|t| {
                let mut value = json!(t);
                // The list does not carry what only a topic's page shows.
                if let Some(object) = value.as_object_mut() {
                    object.remove("partitions_detail");
                }
                value
            })
            .collect();
        json!({ "topics": topics })
    }

    /// `GET /api/v1/groups`
    pub fn groups(&self) -> Arc<str> {
        self.groups
            .get_or_init(|| text(&json!({ "groups": self.snapshot.groups })))
            .clone()
    }

    /// `GET /api/v1/jobs`
    pub fn jobs(&self) -> Arc<str> {
        self.jobs_page
            .get_or_init(|| text(&json!({ "jobs": self.jobs })))
            .clone()
    }

    /// The foot of the navigation.
    pub fn race(&self) -> Arc<str> {
        let rates = self.snapshot.rates;
        self.race
            .get_or_init(|| {
                text(&json!({
                    "in_records_per_s": rates.in_records_per_s,
                    "out_records_per_s": rates.out_records_per_s,
                    "health": self.snapshot.health.score,
                }))
            })
            .clone()
    }

    fn make_overview(&self, cluster: &ClusterInfo) -> Value {
        let snapshot = &*self.snapshot;
        let visible = || snapshot.topics.iter().filter(|t| !t.internal);
        let mut cluster_value = json!(cluster);
        cluster_value["uptime_ms"] = json!(snapshot.now_ms - cluster.started_ms);
        let partitions: usize = snapshot.topics.iter().map(|t| t.partitions).sum();
        let log_bytes: u64 = snapshot.topics.iter().map(|t| t.bytes).sum();
        let state = node_state(&snapshot.health);
        json!({
            "cluster": cluster_value,
            "health": snapshot.health,
            "rates": snapshot.rates,
            "history": snapshot.history,
            "stream": snapshot.stream,
            "brokers": [{
                "id": cluster.node,
                "host": cluster.kafka,
                "leaders": partitions,
                "partitions": partitions,
                "in_bytes_per_s": snapshot.rates.in_bytes_per_s,
                "out_bytes_per_s": snapshot.rates.out_bytes_per_s,
                "cpu_percent": snapshot.cpu_percent,
                "disk_used_bytes": snapshot.process.disk_used_bytes,
                "disk_total_bytes": snapshot.process.disk_total_bytes,
                "log_bytes": log_bytes,
                "memory_bytes": snapshot.process.memory_bytes,
                "connections": snapshot.process.connections,
                "state": state,
            }],
            "jobs": self.jobs,
            "groups": snapshot.groups,
            "counts": {
                "topics": visible().count(),
                "groups": snapshot.groups.len(),
                "jobs": self.jobs.len(),
                "dashboards": self.dashboards,
            },
        })
    }
}

/// How this node does: the worst of what the ledger has against it.
fn node_state(health: &Health) -> &'static str {
    let causes = health.deductions.iter();
    let nodes = causes.filter(|d| matches!(d.kind, "disk" | "offline_partitions"));
    match nodes.map(|d| d.severity).max() {
        None => "ok",
        Some(Severity::Warn) => "warn",
        Some(Severity::Critical) => "critical",
    }
}

fn text(value: &Value) -> Arc<str> {
    value.to_string().into()
}
