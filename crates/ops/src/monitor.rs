//! The monitor: one reading a second in, one snapshot for all pages out.

use crate::groups::{GroupMonitor, GroupView};
use crate::health::{Health, health};
use crate::inputs::{Inputs, JobView, LogsInput, PartitionInput, ProcessInput, TopicInput};
use crate::rates::{History, Rate};
use crate::stream::{Flow, Stream, StreamInputs, stream};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Readings kept of the cluster's rates: 15 minutes of one a second.
const HISTORY_MAX: usize = 900;
/// Readings kept of each topic's rate: one minute.
const TOPIC_HISTORY_MAX: usize = 60;
/// Prefix of the engine's own consumer groups, which its jobs stand for.
pub const JOB_GROUP_PREFIX: &str = "millstream.";

/// Records and bytes a second, in and out.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Rates {
    /// Records a second appended.
    pub in_records_per_s: f64,
    /// Records a second fetched.
    pub out_records_per_s: f64,
    /// Bytes a second appended.
    pub in_bytes_per_s: f64,
    /// Bytes a second fetched.
    pub out_bytes_per_s: f64,
}

/// Rates over time.
#[derive(Debug, Clone, Serialize)]
pub struct RateHistory {
    /// Milliseconds between two values.
    pub step_ms: i64,
    /// When the newest value was read.
    pub end_ms: i64,
    /// Oldest first.
    pub in_records_per_s: Vec<f64>,
    /// Oldest first.
    pub out_records_per_s: Vec<f64>,
}

/// A topic as pages show it, but for what it is linked with.
#[derive(Debug, Clone, Serialize)]
pub struct TopicView {
    /// Name.
    pub name: String,
    /// Topic id.
    pub id: String,
    /// Starts with `__`.
    pub internal: bool,
    /// Number of partitions.
    pub partitions: usize,
    /// Replicas of each.
    pub replicas: usize,
    /// Records there.
    pub records: i64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Its rates.
    #[serde(flatten)]
    pub rates: Rates,
    /// `in_records_per_s` over the last minute, oldest first.
    pub in_history: Vec<f64>,
    /// `retention.ms`.
    pub retention_ms: i64,
    /// `cleanup.policy`.
    pub cleanup_policy: String,
    /// Jobs that write it.
    pub written_by: Vec<String>,
    /// Jobs that read it.
    pub read_by: Vec<String>,
    /// Groups that read it, those of jobs left out.
    pub groups: Vec<String>,
    /// Each partition.
    pub partitions_detail: Vec<PartitionInput>,
}

/// Everything pages show of one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was read.
    pub now_ms: i64,
    /// The ledger.
    pub health: Health,
    /// The cluster's rates, internal topics left out.
    pub rates: Rates,
    /// The same over time.
    pub history: RateHistory,
    /// The graph.
    pub stream: Stream,
    /// All topics by name.
    pub topics: Vec<TopicView>,
    /// Groups, the most behind first; those of jobs left out.
    pub groups: Vec<GroupView>,
    /// Groups of jobs.
    pub job_groups: Vec<GroupView>,
    /// Jobs.
    pub jobs: Vec<JobView>,
    /// The process.
    pub process: ProcessInput,
    /// The logs of all partitions together.
    pub logs: LogsInput,
    /// CPU used, 100 is one core.
    pub cpu_percent: f64,
}

#[derive(Debug)]
struct TopicMemory {
    in_records: Rate,
    out_records: Rate,
    in_bytes: Rate,
    out_bytes: Rate,
    history: History,
}

impl Default for TopicMemory {
    fn default() -> Self {
        Self {
            in_records: Rate::default(),
            out_records: Rate::default(),
            in_bytes: Rate::default(),
            out_bytes: Rate::default(),
            history: History::new(TOPIC_HISTORY_MAX),
        }
    }
}

/// Remembers what rates and histories need.
#[derive(Debug)]
pub struct Monitor {
    topics: HashMap<String, TopicMemory>,
    producers: HashMap<(String, String), Rate>,
    groups: GroupMonitor,
    cpu_ms: Rate,
    history_in: History,
    history_out: History,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            topics: HashMap::new(),
            producers: HashMap::new(),
            groups: GroupMonitor::default(),
            cpu_ms: Rate::default(),
            history_in: History::new(HISTORY_MAX),
            history_out: History::new(HISTORY_MAX),
        }
    }
}

impl Monitor {
    /// One reading. Call about once a second.
    pub fn observe(&mut self, inputs: Inputs) -> Snapshot {
        let (job_groups, groups): (Vec<_>, Vec<_>) = self
            .groups
            .observe(&inputs)
            .into_iter()
            .partition(|g| g.group.starts_with(JOB_GROUP_PREFIX));
        // Looked up, not searched for: with thousands of groups the square of
        // them is most of what a reading costs.
        let there: HashSet<&str> = inputs.topics.iter().map(|t| t.name.as_str()).collect();
        self.topics.retain(|name, _| there.contains(name.as_str()));
        let mut readers: HashMap<&str, Vec<String>> = HashMap::new();
        for group in &groups {
            for topic in &group.topics {
                readers.entry(topic).or_default().push(group.group.clone());
            }
        }
        let topics: Vec<TopicView> = inputs
            .topics
            .iter()
            .map(|t| self.topic(&inputs, t, readers.remove(t.name.as_str())))
            .collect();
        let rates = total(topics.iter().filter(|t| !t.internal).map(|t| t.rates));
        self.history_in.push(rates.in_records_per_s);
        self.history_out.push(rates.out_records_per_s);
        let producers = self.producer_flows(&inputs);
        let topics_in: BTreeMap<String, f64> = topics
            .iter()
            .filter(|t| !t.internal)
            .map(|t| (t.name.clone(), t.rates.in_records_per_s))
            .collect();
        let stream = stream(&StreamInputs {
            producers: &producers,
            topics_in: &topics_in,
            jobs: &inputs.jobs,
            groups: &groups,
            live_reads: &inputs.live_reads,
        });
        let cpu_ms = (inputs.process.cpu_seconds * 1_000.0) as u64;
        Snapshot {
            now_ms: inputs.now_ms,
            health: health(&inputs.topics, &groups, &inputs.jobs, &inputs.process),
            rates,
            history: RateHistory {
                step_ms: 1_000,
                end_ms: inputs.now_ms,
                in_records_per_s: self.history_in.to_vec(),
                out_records_per_s: self.history_out.to_vec(),
            },
            stream,
            topics,
            groups,
            job_groups,
            cpu_percent: self.cpu_ms.observe(inputs.now_ms, cpu_ms) / 10.0,
            jobs: inputs.jobs,
            process: inputs.process,
            logs: inputs.logs,
        }
    }

    fn topic(
        &mut self,
        inputs: &Inputs,
        topic: &TopicInput,
        groups: Option<Vec<String>>,
    ) -> TopicView {
        let now_ms = inputs.now_ms;
        let memory = self.topics.entry(topic.name.clone()).or_default();
        let rates = Rates {
            in_records_per_s: memory.in_records.observe(now_ms, topic.in_records),
            out_records_per_s: memory.out_records.observe(now_ms, topic.out_records),
            in_bytes_per_s: memory.in_bytes.observe(now_ms, topic.in_bytes),
            out_bytes_per_s: memory.out_bytes.observe(now_ms, topic.out_bytes),
        };
        memory.history.push(rates.in_records_per_s);
        let jobs = |which: &dyn Fn(&JobView) -> bool| -> Vec<String> {
            inputs
                .jobs
                .iter()
                .filter(|j| which(j))
                .map(|j| j.id.clone())
                .collect()
        };
        TopicView {
            name: topic.name.clone(),
            id: topic.id.clone(),
            internal: topic.name.starts_with("__"),
            partitions: topic.partitions.len(),
            replicas: topic.replicas,
            records: topic
                .partitions
                .iter()
                .map(|p| p.high_watermark - p.log_start_offset)
                .sum(),
            bytes: topic.partitions.iter().map(|p| p.bytes).sum(),
            rates,
            in_history: memory.history.to_vec(),
            retention_ms: topic.retention_ms,
            cleanup_policy: topic.cleanup_policy.clone(),
            written_by: jobs(&|j| j.sink_topic == topic.name),
            read_by: jobs(&|j| j.source_topics.contains(&topic.name)),
            groups: groups.unwrap_or_default(),
            partitions_detail: topic.partitions.clone(),
        }
    }

    fn producer_flows(&mut self, inputs: &Inputs) -> Vec<Flow> {
        let there: HashSet<(&str, &str)> = inputs
            .producers
            .iter()
            .map(|p| (p.client_id.as_str(), p.topic.as_str()))
            .collect();
        self.producers
            .retain(|(client, topic), _| there.contains(&(client.as_str(), topic.as_str())));
        inputs
            .producers
            .iter()
            .filter(|p| !p.topic.starts_with("__"))
            .map(|p| {
                let key = (p.client_id.clone(), p.topic.clone());
                let rate = self.producers.entry(key).or_default();
                Flow {
                    name: p.client_id.clone(),
                    topic: p.topic.clone(),
                    records_per_s: rate.observe(inputs.now_ms, p.records),
                }
            })
            .filter(|f| f.records_per_s > 0.0)
            .collect()
    }
}

fn total(rates: impl Iterator<Item = Rates>) -> Rates {
    rates.fold(Rates::default(), |sum, r| Rates {
        in_records_per_s: sum.in_records_per_s + r.in_records_per_s,
        out_records_per_s: sum.out_records_per_s + r.out_records_per_s,
        in_bytes_per_s: sum.in_bytes_per_s + r.in_bytes_per_s,
        out_bytes_per_s: sum.out_bytes_per_s + r.out_bytes_per_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(now_ms: i64, in_records: u64) -> Inputs {
        Inputs {
            now_ms,
            topics: vec![
                TopicInput {
                    name: "orders".into(),
                    in_records,
                    ..Default::default()
                },
                TopicInput {
                    name: "__internal".into(),
                    in_records,
                    ..Default::default()
                },
            ],
            ..Default::default()
        }
    }

    #[test]
    fn internal_topics_do_not_count_in_the_clusters_rate() {
        let mut monitor = Monitor::default();
        monitor.observe(reading(0, 0));
        let snapshot = monitor.observe(reading(1_000, 250));
        assert_eq!(snapshot.rates.in_records_per_s, 250.0);
        assert_eq!(snapshot.history.in_records_per_s, [0.0, 250.0]);
    }
}
