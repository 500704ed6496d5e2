//! The health ledger: 100 points less named deductions, each with a reason
//! and a page that helps.

use crate::groups::{GroupState, GroupView};
use crate::inputs::{JobView, PartitionState, ProcessInput, TopicInput};
use crate::link::page_link;
use serde::Serialize;

/// Share of the disk above which it is a warning, and above which critical.
const DISK_WARN: f64 = 0.85;
const DISK_CRITICAL: f64 = 0.95;
/// Distance of the watermark from now above which a job is behind.
const WATERMARK_LAG_WARN_MS: i64 = 60_000;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Look at it.
    Warn,
    /// Act.
    Critical,
}

/// One deduction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deduction {
    /// Points taken off.
    pub points: u32,
    /// How bad.
    pub severity: Severity,
    /// `offline_partitions`, `group_behind`, `group_stopped`, `job_failed`,
    /// `job_restarting`, `watermark_behind` or `disk`; pages have the words.
    pub kind: &'static str,
    /// Which topic, group, job or node.
    pub subject: String,
    /// The number that goes with it: partitions, seconds of lag, or percent
    /// of disk.
    pub value: f64,
    /// The console's page.
    pub link: String,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// 0 to 100.
    pub score: u32,
    /// What takes points off, the most first.
    pub deductions: Vec<Deduction>,
}

/// Adds it all up.
pub fn health(
    topics: &[TopicInput],
    groups: &[GroupView],
    jobs: &[JobView],
    process: &ProcessInput,
) -> Health {
    let mut deductions: Vec<Deduction> = topics
        .iter()
        .filter_map(topic)
        .chain(groups.iter().filter_map(group))
        .chain(jobs.iter().filter_map(job))
        .chain(disk(process))
        .collect();
    deductions.sort_by(|a, b| {
        b.points
            .cmp(&a.points)
            .then_with(|| a.subject.cmp(&b.subject))
    });
    let lost: u32 = deductions.iter().map(|d| d.points).sum();
    Health {
        score: 100_u32.saturating_sub(lost),
        deductions,
    }
}

fn topic(topic: &TopicInput) -> Option<Deduction> {
    let partitions = topic.partitions.iter();
    let offline = partitions
        .filter(|p| p.state != PartitionState::Online)
        .count();
    (offline > 0).then(|| Deduction {
        points: 25,
        severity: Severity::Critical,
        kind: "offline_partitions",
        subject: topic.name.clone(),
        value: offline as f64,
        link: page_link("topics", &topic.name),
    })
}

fn group(group: &GroupView) -> Option<Deduction> {
    let (points, severity, kind) = match group.state {
        GroupState::Behind if group.clears_in_ms.is_none() => (4, Severity::Warn, "group_behind"),
        GroupState::Behind => (2, Severity::Warn, "group_behind"),
        GroupState::Stopped => (6, Severity::Critical, "group_stopped"),
        GroupState::KeepingUp | GroupState::Rebalancing | GroupState::Idle => return None,
    };
    Some(Deduction {
        points,
        severity,
        kind,
        subject: group.group.clone(),
        value: group.lag_ms as f64 / 1_000.0,
        link: page_link("groups", &group.group),
    })
}

fn job(job: &JobView) -> Option<Deduction> {
    let (points, severity, kind, value) = match job.state.as_str() {
        "failed" => (15, Severity::Critical, "job_failed", 0.0),
        "restarting" => (8, Severity::Warn, "job_restarting", job.restarts as f64),
        "running" => match job.watermark_lag_ms {
            // Old input that has been read is no delay of the job's.
            Some(lag_ms) if lag_ms > WATERMARK_LAG_WARN_MS && job.lag_records > Some(0) => (
                3,
                Severity::Warn,
                "watermark_behind",
                lag_ms as f64 / 1_000.0,
            ),
            _ => return None,
        },
        _ => return None,
    };
    Some(Deduction {
        points,
        severity,
        kind,
        subject: job.id.clone(),
        value,
        link: page_link("jobs", &job.id),
    })
}

fn disk(process: &ProcessInput) -> Option<Deduction> {
    if process.disk_total_bytes == 0 {
        return None;
    }
    let share = process.disk_used_bytes as f64 / process.disk_total_bytes as f64;
    let (points, severity) = if share > DISK_CRITICAL {
        (20, Severity::Critical)
    } else if share > DISK_WARN {
        (4, Severity::Warn)
    } else {
        return None;
    };
    Some(Deduction {
        points,
        severity,
        kind: "disk",
        subject: "node 1".into(),
        value: share * 100.0,
        link: "/".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_job_and_a_full_disk_take_points_off_with_reasons() {
        let jobs = [JobView {
            id: "j".into(),
            state: "failed".into(),
            ..Default::default()
        }];
        let process = ProcessInput {
            disk_used_bytes: 90,
            disk_total_bytes: 100,
            ..Default::default()
        };
        let health = health(&[], &[], &jobs, &process);
        assert_eq!(health.score, 81);
        let kinds: Vec<_> = health.deductions.iter().map(|d| d.kind).collect();
        assert_eq!(kinds, ["job_failed", "disk"]);
    }

    #[test]
    fn a_job_that_has_read_all_of_its_old_input_is_not_behind() {
        let job = |lag_records| JobView {
            id: "j".into(),
            state: "running".into(),
            watermark_lag_ms: Some(15_000_000_000),
            lag_records,
            ..Default::default()
        };
        let process = ProcessInput::default();
        for (lag_records, score) in [(Some(0), 100), (None, 100), (Some(1), 97)] {
            let health = health(&[], &[], &[job(lag_records)], &process);
            assert_eq!(health.score, score, "{lag_records:?}");
        }
    }

    #[test]
    fn a_partition_that_cannot_be_written_to_is_told_by_its_topic() {
        let partition = |state| crate::inputs::PartitionInput {
            state,
            ..Default::default()
        };
        let topics = [TopicInput {
            name: "orders".into(),
            partitions: vec![
                partition(PartitionState::Online),
                partition(PartitionState::ReadOnly),
                partition(PartitionState::Offline),
            ],
            ..Default::default()
        }];
        let health = health(&topics, &[], &[], &ProcessInput::default());
        assert_eq!(health.score, 75);
        let told = &health.deductions[0];
        assert_eq!((told.kind, told.value), ("offline_partitions", 2.0));
        assert_eq!(told.link, "/topics/orders");
    }

    #[test]
    fn all_well_is_100_and_nothing_to_say() {
        let health = health(&[], &[], &[], &ProcessInput::default());
        assert_eq!(
            health,
            Health {
                score: 100,
                deductions: vec![]
            }
        );
    }
}
