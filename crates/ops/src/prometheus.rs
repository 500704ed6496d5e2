//! `/metrics` in Prometheus' text format.
//!
//! Topics and groups have kafka_exporter's names, so that its dashboards and
//! alerts work as they are; what is ours begins with `millstream_`. One table
//! of names, [`METRICS`]; a metric that is not in it cannot be written.

use crate::groups::GroupView;
use crate::inputs::{LogsInput, PartitionState};
use crate::monitor::{Snapshot, TopicView};
use std::fmt::Write;

/// Name, type, help.
const METRICS: &[(&str, &str, &str)] = &[
    ("kafka_brokers", "gauge", "Number of brokers in the cluster"),
    (
        "kafka_topic_partitions",
        "gauge",
        "Number of partitions of the topic",
    ),
    (
        "kafka_topic_partition_current_offset",
        "gauge",
        "Current offset of a broker at topic/partition",
    ),
    (
        "kafka_topic_partition_oldest_offset",
        "gauge",
        "Oldest offset of a broker at topic/partition",
    ),
    (
        "kafka_topic_partition_leader",
        "gauge",
        "Leader broker id of the topic/partition",
    ),
    (
        "kafka_topic_partition_leader_is_preferred",
        "gauge",
        "1 if the preferred broker leads the topic/partition",
    ),
    (
        "kafka_topic_partition_replicas",
        "gauge",
        "Number of replicas of the topic/partition",
    ),
    (
        "kafka_topic_partition_in_sync_replica",
        "gauge",
        "Number of in-sync replicas of the topic/partition",
    ),
    (
        "kafka_topic_partition_under_replicated_partition",
        "gauge",
        "1 if the topic/partition is under replicated",
    ),
    (
        "kafka_consumergroup_current_offset",
        "gauge",
        "Current offset of a consumer group at topic/partition",
    ),
    (
        "kafka_consumergroup_lag",
        "gauge",
        "Current approximate lag of a consumer group at topic/partition",
    ),
    (
        "kafka_consumergroup_lag_sum",
        "gauge",
        "Current approximate lag of a consumer group over all partitions of the topic",
    ),
    (
        "kafka_consumergroup_members",
        "gauge",
        "Number of members of the consumer group",
    ),
    (
        "kafka_consumer_lag_millis",
        "gauge",
        "Age of the oldest record that the consumer group has not consumed, in milliseconds",
    ),
    (
        "millstream_topic_in_records_total",
        "counter",
        "Records appended to the topic",
    ),
    (
        "millstream_topic_in_bytes_total",
        "counter",
        "Bytes appended to the topic",
    ),
    (
        "millstream_topic_out_records_total",
        "counter",
        "Records fetched from the topic",
    ),
    (
        "millstream_topic_out_bytes_total",
        "counter",
        "Bytes fetched from the topic",
    ),
    (
        "millstream_topic_size_bytes",
        "gauge",
        "Bytes of the topic on disk",
    ),
    ("millstream_job_up", "gauge", "1 if the job runs"),
    (
        "millstream_job_in_records_total",
        "counter",
        "Records that the job has read",
    ),
    (
        "millstream_job_out_records_total",
        "counter",
        "Records that the job has written",
    ),
    (
        "millstream_job_late_records_total",
        "counter",
        "Rows that came after their window had fired",
    ),
    (
        "millstream_job_dead_letters_total",
        "counter",
        "Records that could not be decoded",
    ),
    (
        "millstream_job_lag_records",
        "gauge",
        "Records that the job has not read yet",
    ),
    (
        "millstream_job_watermark_lag_seconds",
        "gauge",
        "Distance of the job's watermark from now",
    ),
    (
        "millstream_job_epochs_total",
        "counter",
        "Epochs that the job has committed",
    ),
    (
        "millstream_job_epoch_commit_p99_seconds",
        "gauge",
        "99th percentile of the time an epoch takes to commit",
    ),
    (
        "millstream_job_state_bytes",
        "gauge",
        "Bytes of state that the job holds",
    ),
    (
        "millstream_job_restarts_total",
        "counter",
        "Times that the job was restarted after an error",
    ),
    (
        "millstream_health_score",
        "gauge",
        "100 less the points of all findings",
    ),
    ("millstream_connections", "gauge", "Open Kafka connections"),
    (
        "millstream_request_memory_bytes",
        "gauge",
        "Bytes of Kafka requests that have not been answered",
    ),
    (
        "millstream_response_memory_bytes",
        "gauge",
        "Bytes of Kafka responses that have not been taken, without fetched records",
    ),
    (
        "millstream_fetched_memory_bytes",
        "gauge",
        "Bytes of fetched records that have not been sent",
    ),
    (
        "millstream_fetch_session_partitions",
        "gauge",
        "Partitions of all fetch sessions",
    ),
    (
        "millstream_log_appends_total",
        "counter",
        "Appends to partitions' logs",
    ),
    (
        "millstream_log_appended_bytes_total",
        "counter",
        "Bytes of those appends",
    ),
    (
        "millstream_log_syncs_total",
        "counter",
        "Syncs of partitions' logs",
    ),
    (
        "millstream_log_sync_seconds_total",
        "counter",
        "Time that those syncs took, summed over the partitions of each",
    ),
    (
        "millstream_log_failures_total",
        "counter",
        "Partitions' logs that have stopped after an error",
    ),
    (
        "millstream_log_offline_partitions",
        "gauge",
        "Partitions whose log could not be opened",
    ),
    (
        "millstream_cleaner_rounds_total",
        "counter",
        "Rounds of the log cleaner over a partition",
    ),
    (
        "millstream_cleaner_read_bytes_total",
        "counter",
        "Bytes of the segments that those rounds have read",
    ),
    (
        "millstream_cleaner_kept_bytes_total",
        "counter",
        "Bytes that were left of them",
    ),
    (
        "millstream_cleaner_failures_total",
        "counter",
        "Rounds that failed, after which the partition is set aside for a while",
    ),
    (
        "millstream_cleaner_uncleanable_partitions",
        "gauge",
        "Partitions that the log cleaner has set aside",
    ),
    (
        "process_cpu_seconds_total",
        "counter",
        "CPU time used by the process",
    ),
    (
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the process",
    ),
    (
        "millstream_disk_used_bytes",
        "gauge",
        "Bytes used on the data folder's file system",
    ),
    (
        "millstream_disk_total_bytes",
        "gauge",
        "Bytes of the data folder's file system",
    ),
];

/// Counters of topics, which the snapshot itself does not carry.
#[derive(Debug, Clone, Default)]
pub struct TopicCounters {
    /// Topic.
    pub topic: String,
    /// In records, in bytes, out records, out bytes.
    pub counts: [u64; 4],
}

/// Renders the snapshot.
pub fn render(snapshot: &Snapshot, counters: &[TopicCounters]) -> String {
    let mut page = Page::default();
    page.sample("kafka_brokers", &[], 1.0);
    snapshot
        .topics
        .iter()
        .for_each(|topic| topic_samples(&mut page, topic));
    for group in snapshot.groups.iter().chain(&snapshot.job_groups) {
        group_samples(&mut page, group);
    }
    for counter in counters {
        let labels = [("topic", counter.topic.as_str())];
        let names = ["in_records", "in_bytes", "out_records", "out_bytes"];
        for (name, count) in names.iter().zip(counter.counts) {
            page.sample(
                &format!("millstream_topic_{name}_total"),
                &labels,
                count as f64,
            );
        }
    }
    job_samples(&mut page, snapshot);
    page.sample(
        "millstream_health_score",
        &[],
        f64::from(snapshot.health.score),
    );
    page.sample(
        "millstream_connections",
        &[],
        snapshot.process.connections as f64,
    );
    for (name, value) in [
        (
            "millstream_request_memory_bytes",
            snapshot.process.request_bytes,
        ),
        (
            "millstream_response_memory_bytes",
            snapshot.process.unsent_bytes,
        ),
        (
            "millstream_fetched_memory_bytes",
            snapshot.process.fetched_bytes,
        ),
        (
            "millstream_fetch_session_partitions",
            snapshot.process.fetch_session_partitions,
        ),
    ] {
        page.sample(name, &[], value as f64);
    }
    log_samples(&mut page, &snapshot.logs);
    page.sample(
        "process_cpu_seconds_total",
        &[],
        snapshot.process.cpu_seconds,
    );
    page.sample(
        "process_resident_memory_bytes",
        &[],
        snapshot.process.memory_bytes as f64,
    );
    page.sample(
        "millstream_disk_used_bytes",
        &[],
        snapshot.process.disk_used_bytes as f64,
    );
    page.sample(
        "millstream_disk_total_bytes",
        &[],
        snapshot.process.disk_total_bytes as f64,
    );
    page.finish()
}

fn log_samples(page: &mut Page, logs: &LogsInput) {
    let counts = &logs.counts;
    let mut sample = |name: &str, value: f64| {
        page.sample(&format!("millstream_{name}"), &[], value);
    };
    sample("log_appends_total", counts.appends as f64);
    sample("log_appended_bytes_total", counts.appended_bytes as f64);
    sample("log_syncs_total", counts.syncs as f64);
    sample("log_sync_seconds_total", counts.sync_us as f64 / 1e6);
    sample("log_failures_total", counts.failures as f64);
    sample("log_offline_partitions", logs.offline_partitions as f64);
    sample("cleaner_rounds_total", counts.cleanings as f64);
    let read_bytes = counts.cleaned_bytes_before;
    sample("cleaner_read_bytes_total", read_bytes as f64);
    let kept_bytes = counts.cleaned_bytes_after;
    sample("cleaner_kept_bytes_total", kept_bytes as f64);
    sample("cleaner_failures_total", counts.cleanings_failed as f64);
    let uncleanable = logs.uncleanable_partitions;
    sample("cleaner_uncleanable_partitions", uncleanable as f64);
}

fn topic_samples(page: &mut Page, topic: &TopicView) {
    let name = topic.name.as_str();
    page.sample(
        "kafka_topic_partitions",
        &[("topic", name)],
        topic.partitions as f64,
    );
    page.sample(
        "millstream_topic_size_bytes",
        &[("topic", name)],
        topic.bytes as f64,
    );
    for p in &topic.partitions_detail {
        let partition = p.partition.to_string();
        let labels = [("partition", partition.as_str()), ("topic", name)];
        let replicas = topic.replicas as f64;
        let failed = f64::from(p.state != PartitionState::Online);
        let values = [
            ("leader", f64::from(p.leader)),
            ("leader_is_preferred", f64::from(p.leader >= 0)),
            ("replicas", replicas),
            ("in_sync_replica", replicas - failed),
            ("under_replicated_partition", failed),
            ("current_offset", p.high_watermark as f64),
            ("oldest_offset", p.log_start_offset as f64),
        ];
        // Nobody knows the offsets of a log that cannot be opened.
        let known = match p.state {
            PartitionState::Offline => &values[..5],
            PartitionState::Online | PartitionState::ReadOnly => &values[..],
        };
        for (metric, value) in known {
            page.sample(&format!("kafka_topic_partition_{metric}"), &labels, *value);
        }
    }
}

fn group_samples(page: &mut Page, group: &GroupView) {
    let name = group.group.as_str();
    page.sample(
        "kafka_consumergroup_members",
        &[("consumergroup", name)],
        group.members_count as f64,
    );
    for p in &group.partitions {
        let partition = p.partition.to_string();
        let labels = [
            ("consumergroup", name),
            ("partition", partition.as_str()),
            ("topic", &p.topic),
        ];
        page.sample(
            "kafka_consumergroup_current_offset",
            &labels,
            p.committed as f64,
        );
        page.sample("kafka_consumergroup_lag", &labels, p.lag_records as f64);
        page.sample("kafka_consumer_lag_millis", &labels, p.lag_ms as f64);
    }
    for topic in &group.topics {
        let lag: i64 = group
            .partitions
            .iter()
            .filter(|p| p.topic == *topic)
            .map(|p| p.lag_records)
            .sum();
        let labels = [("consumergroup", name), ("topic", topic.as_str())];
        page.sample("kafka_consumergroup_lag_sum", &labels, lag as f64);
    }
}

fn job_samples(page: &mut Page, snapshot: &Snapshot) {
    for job in &snapshot.jobs {
        let labels = [("job", job.id.as_str())];
        let mut sample = |name: &str, value: f64| {
            page.sample(&format!("millstream_job_{name}"), &labels, value);
        };
        sample("up", if job.state == "running" { 1.0 } else { 0.0 });
        sample("in_records_total", job.in_records as f64);
        sample("out_records_total", job.out_records as f64);
        sample("late_records_total", job.late_records as f64);
        sample("dead_letters_total", job.dead_letters as f64);
        if let Some(lag_records) = job.lag_records {
            sample("lag_records", lag_records as f64);
        }
        sample("epochs_total", job.epoch as f64);
        sample("state_bytes", job.state_bytes as f64);
        sample("restarts_total", job.restarts as f64);
        if let Some(lag_ms) = job.watermark_lag_ms {
            sample("watermark_lag_seconds", lag_ms as f64 / 1_000.0);
        }
        if let Some(p99_ms) = job.epoch_commit_p99_ms {
            sample("epoch_commit_p99_seconds", p99_ms / 1_000.0);
        }
    }
}

/// Samples by metric: the format wants all samples of a metric together.
#[derive(Default)]
struct Page {
    samples: std::collections::HashMap<String, String>,
}

impl Page {
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        debug_assert!(
            METRICS.iter().any(|(n, _, _)| *n == name),
            "{name} is not in METRICS"
        );
        let lines = self.samples.entry(name.to_owned()).or_default();
        lines.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(lines, "{open}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            lines.push('}');
        }
        let _ = writeln!(lines, " {value}");
    }

    fn finish(self) -> String {
        let mut text = String::new();
        for (name, kind, help) in METRICS {
            if let Some(lines) = self.samples.get(*name) {
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::{Inputs, JobView, PartitionInput, TopicInput};

    #[test]
    fn a_partition_whose_log_failed_is_under_replicated() {
        let partition = |partition, state, leader| PartitionInput {
            partition,
            state,
            leader,
            high_watermark: 7,
            ..Default::default()
        };
        let snapshot = Monitor::default().observe(Inputs {
            topics: vec![TopicInput {
                name: "t".into(),
                replicas: 1,
                partitions: vec![
                    partition(0, PartitionState::ReadOnly, 1),
                    partition(1, PartitionState::Offline, -1),
                ],
                ..Default::default()
            }],
            ..Default::default()
        });
        let page = render(&snapshot, &[]);
        for line in [
            "kafka_topic_partition_in_sync_replica{partition=\"0\",topic=\"t\"} 0",
            "kafka_topic_partition_under_replicated_partition{partition=\"0\",topic=\"t\"} 1",
            "kafka_topic_partition_current_offset{partition=\"0\",topic=\"t\"} 7",
            "kafka_topic_partition_leader{partition=\"1\",topic=\"t\"} -1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} not in\n{page}");
        }
        assert!(!page.contains("current_offset{partition=\"1\""));
    }
    use crate::monitor::Monitor;
    use millstream_log::LogCounts;

    #[test]
    fn metrics_have_kafka_exporters_names_and_escape_labels() {
        let snapshot = Monitor::default().observe(Inputs {
            topics: vec![TopicInput {
                name: "orders".into(),
                replicas: 1,
                partitions: vec![PartitionInput {
                    high_watermark: 42,
                    leader: 1,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            jobs: vec![JobView {
                id: "a\"b".into(),
                state: "running".into(),
                ..Default::default()
            }],
            ..Default::default()
        });
        let page = render(
            &snapshot,
            &[TopicCounters {
                topic: "orders".into(),
                counts: [1, 2, 3, 4],
            }],
        );
        for line in [
            "# TYPE kafka_topic_partition_current_offset gauge",
            "kafka_topic_partition_current_offset{partition=\"0\",topic=\"orders\"} 42",
            "kafka_topic_partitions{topic=\"orders\"} 1",
            "millstream_topic_in_bytes_total{topic=\"orders\"} 2",
            "millstream_job_up{job=\"a\\\"b\"} 1",
        ] {
            assert!(
                page.lines().any(|l| l == line),
                "{line} is missing in\n{page}"
            );
        }
    }

    #[test]
    fn the_logs_and_the_cleaners_counters_are_told() {
        let snapshot = Monitor::default().observe(Inputs {
            logs: LogsInput {
                counts: LogCounts {
                    appends: 1,
                    appended_bytes: 2,
                    syncs: 3,
                    sync_us: 4_500_000,
                    failures: 5,
                    cleanings: 6,
                    cleaned_bytes_before: 7,
                    cleaned_bytes_after: 8,
                    cleanings_failed: 9,
                },
                offline_partitions: 10,
                uncleanable_partitions: 11,
            },
            ..Default::default()
        });
        let page = render(&snapshot, &[]);
        let told = page.lines().filter(|line| {
            line.starts_with("millstream_log_") || line.starts_with("millstream_cleaner_")
        });
        let expected = [
            "millstream_log_appends_total 1",
            "millstream_log_appended_bytes_total 2",
            "millstream_log_syncs_total 3",
            "millstream_log_sync_seconds_total 4.5",
            "millstream_log_failures_total 5",
            "millstream_log_offline_partitions 10",
            "millstream_cleaner_rounds_total 6",
            "millstream_cleaner_read_bytes_total 7",
            "millstream_cleaner_kept_bytes_total 8",
            "millstream_cleaner_failures_total 9",
            "millstream_cleaner_uncleanable_partitions 11",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
