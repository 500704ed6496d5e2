//! Feeds the monitor once a second and hands its documents out.

use super::readiness::Readiness;
use millstream_broker::BrokerState;
use millstream_cluster::MetadataService;
use millstream_cluster::configs::{ConfigSource, TOPIC_CONFIGS};
use millstream_console::documents::Documents;
use millstream_console::reads::LiveReads;
use millstream_console::routes::TopicConfigs;
use millstream_core::env::Clock;
use millstream_engine::{EngineHandle, JobInfo, JobStatus};
use millstream_ops::inputs::{Inputs, JobView};
use millstream_ops::monitor::Monitor;
use millstream_ops::{collect, process, prometheus};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(1);

/// What is read.
pub struct Monitoring {
    pub broker: Option<Arc<BrokerState>>,
    pub engine: Option<EngineHandle>,
    pub metadata: Arc<MetadataService>,
    pub live_reads: LiveReads,
    pub data_dir: PathBuf,
    pub readiness: Arc<Readiness>,
    pub clock: Arc<dyn Clock>,
}

type LastDocuments = watch::Receiver<Option<Arc<Documents>>>;

impl Monitoring {
    /// Reads until stopped.
    pub fn start(self, stop: CancellationToken) -> LastDocuments {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let mut monitor = Monitor::default();
            let mut ticks = tokio::time::interval(PERIOD);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let jobs = self
                    .engine
                    .as_ref()
                    .map(EngineHandle::jobs)
                    .unwrap_or_default();
                let mut inputs = self.read().await;
                self.readiness.observe(&inputs);
                inputs.jobs = jobs.iter().map(|job| self.view(job)).collect();
                inputs.live_reads = self.live_reads.topics();
                let snapshot = Arc::new(monitor.observe(inputs));
                let jobs = jobs.iter().map(|job| json!(job)).collect();
                let dashboards = self.metadata.image().dashboards().len();
                sender.send_replace(Some(Arc::new(Documents::new(snapshot, jobs, dashboards))));
            }
        });
        receiver
    }

    async fn read(&self) -> Inputs {
        let now_ms = self.clock.now_ms();
        match &self.broker {
            Some(state) => collect::broker(state, now_ms).await,
            None => Inputs {
                now_ms,
                process: process::read(&self.data_dir),
                ..Inputs::default()
            },
        }
    }

    fn view(&self, job: &JobInfo) -> JobView {
        let topic = |table: &String| -> String {
            let tables = self
                .engine
                .as_ref()
                .map(EngineHandle::tables)
                .unwrap_or_default();
            tables
                .into_iter()
                .find(|t| t.name == *table)
                .map_or(table.clone(), |t| t.topic)
        };
        JobView {
            id: job.id.clone(),
            state: state(job.state).to_owned(),
            source_topics: job.sources.iter().map(topic).collect(),
            sink_topic: topic(&job.sink),
            in_records_per_s: job.in_records_per_s,
            out_records_per_s: job.out_records_per_s,
            in_records: job.in_records,
            out_records: job.out_records,
            late_records: job.late_records,
            dead_letters: job.dead_letters,
            lag_records: job.lag_records,
            watermark_lag_ms: job.watermark_lag_ms,
            state_bytes: job.state_bytes,
            epoch: job.epoch,
            epoch_commit_p99_ms: Some(job.epoch_commit_p99_ms),
            restarts: job.restarts,
            error: job.error.clone(),
        }
    }
}

fn state(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Starting => "starting",
        JobStatus::Running => "running",
        JobStatus::Restarting => "restarting",
        JobStatus::Failed => "failed",
        JobStatus::Finished => "finished",
        JobStatus::Stopped => "stopped",
    }
}

/// Renders `/metrics` from the last reading.
pub fn metrics(
    documents: LastDocuments,
    broker: Option<Arc<BrokerState>>,
) -> Box<dyn Fn() -> String + Send + Sync> {
    Box::new(move || {
        let counters = broker
            .as_ref()
            .map(|state| collect::counters(state))
            .unwrap_or_default();
        let last = documents.borrow().clone();
        last.map(|d| prometheus::render(&d.snapshot, &counters))
            .unwrap_or_default()
    })
}

/// A topic's settings as DescribeConfigs has them.
pub fn topic_configs(broker: Option<Arc<BrokerState>>) -> TopicConfigs {
    Box::new(move |name| {
        let Some(state) = &broker else {
            return Vec::new();
        };
        let image = state.image();
        let Some(topic) = image.topic(name) else {
            return Vec::new();
        };
        let view = state.configs(&image);
        TOPIC_CONFIGS
            .iter()
            .map(|def| {
                let resolved = view.topic(&topic.configs, def);
                json!({
                    "name": def.name,
                    "value": if def.sensitive { Value::Null } else { json!(resolved.value()) },
                    "source": source(resolved.source()),
                    "default": def.default,
                    "documentation": def.doc,
                })
            })
            .collect()
    })
}

/// Kafka's own names (`ConfigEntry.ConfigSource`).
fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicGroup => "DYNAMIC_GROUP_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
    }
}
