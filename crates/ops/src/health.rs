//! The health ledger: 100 points less named causes, each a line with a count,
//! the worst examples and a page that helps.

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

/// Subjects that a cause names; it counts the others.
const EXAMPLES_MAX: usize = 5;

/// A cause, with all that it is the cause of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deduction {
    /// Points taken off.
    pub points: u32,
    /// How bad.
    pub severity: Severity,
    /// `offline_partitions`, `group_behind`, `group_stopped`, `group_left`,
    /// `job_failed`, `job_restarting`, `watermark_behind` or `disk`; pages
    /// have the words.
    pub kind: &'static str,
    /// How many topics, groups, jobs or nodes.
    pub count: usize,
    /// The worst of them.
    pub subject: String,
    /// The number that goes with it: partitions, seconds of lag, restarts, or
    /// percent of disk.
    pub value: f64,
    /// The console's page: the subject's, or the list's where there are more.
    pub link: String,
    /// The worst ones, the first is `subject`.
    pub examples: Vec<Example>,
}

/// One that a cause is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// Which topic, group, job or node.
    pub subject: String,
    /// Its number.
    pub value: f64,
    /// Its page.
    pub link: String,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// 0 to 100.
    pub score: u32,
    /// What takes points off, a cause a line, the most first.
    pub deductions: Vec<Deduction>,
}

/// What a cause costs: the first one `points`, each further one `more`, all
/// together `points_max`, so that many of a small thing do not look like the
/// end of everything.
struct Cause {
    kind: &'static str,
    severity: Severity,
    points: u32,
    more: u32,
    points_max: u32,
    list: &'static str,
}

const fn cause(
    kind: &'static str,
    severity: Severity,
    (points, more, points_max): (u32, u32, u32),
    list: &'static str,
) -> Cause {
    Cause {
        kind,
        severity,
        points,
        more,
        points_max,
        list,
    }
}

const OFFLINE: Cause = cause(
    "offline_partitions",
    Severity::Critical,
    (25, 5, 50),
    "/topics",
);
const JOB_FAILED: Cause = cause("job_failed", Severity::Critical, (15, 5, 40), "/jobs");
const JOB_RESTARTING: Cause = cause("job_restarting", Severity::Warn, (8, 2, 20), "/jobs");
const WATERMARK: Cause = cause("watermark_behind", Severity::Warn, (3, 1, 6), "/jobs");
const GROUP_STOPPED: Cause = cause("group_stopped", Severity::Critical, (6, 2, 20), "/groups");
const GROUP_BEHIND: Cause = cause("group_behind", Severity::Warn, (3, 1, 10), "/groups");
const GROUP_LEFT: Cause = cause("group_left", Severity::Warn, (1, 0, 1), "/groups");
const DISK_NEARLY_FULL: Cause = cause("disk", Severity::Warn, (4, 0, 4), "/");
const DISK_FULL: Cause = cause("disk", Severity::Critical, (20, 0, 20), "/");

impl Cause {
    /// The one line of a cause; none without an example.
    fn line(&self, mut all: Vec<Example>) -> Option<Deduction> {
        let count = all.len();
        all.sort_by(|a, b| {
            b.value
                .total_cmp(&a.value)
                .then_with(|| a.subject.cmp(&b.subject))
        });
        all.truncate(EXAMPLES_MAX);
        let worst = all.first()?.clone();
        let further = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        let points = self
            .points
            .saturating_add(self.more.saturating_mul(further));
        Some(Deduction {
            points: points.min(self.points_max),
            severity: self.severity,
            kind: self.kind,
            count,
            subject: worst.subject,
            value: worst.value,
            link: match count {
                1 => worst.link,
                _ => self.list.to_owned(),
            },
            examples: all,
        })
    }
}

/// Adds it all up.
pub fn health(
    topics: &[TopicInput],
    groups: &[GroupView],
    jobs: &[JobView],
    process: &ProcessInput,
) -> Health {
    let groups_in = |state| move |g: &&GroupView| g.state == state;
    let jobs_in = |state: &'static str| move |j: &&JobView| j.state == state;
    let lines = [
        OFFLINE.line(topics.iter().filter_map(offline).collect()),
        JOB_FAILED.line(jobs.iter().filter(jobs_in("failed")).map(failed).collect()),
        JOB_RESTARTING.line(
            jobs.iter()
                .filter(jobs_in("restarting"))
                .map(restarting)
                .collect(),
        ),
        WATERMARK.line(jobs.iter().filter_map(late).collect()),
        GROUP_STOPPED.line(
            groups
                .iter()
                .filter(groups_in(GroupState::Stopped))
                .map(lagging)
                .collect(),
        ),
        GROUP_BEHIND.line(
            groups
                .iter()
                .filter(groups_in(GroupState::Behind))
                .map(lagging)
                .collect(),
        ),
        GROUP_LEFT.line(
            groups
                .iter()
                .filter(groups_in(GroupState::Left))
                .map(lagging)
                .collect(),
        ),
        disk(process),
    ];
    let mut deductions: Vec<Deduction> = lines.into_iter().flatten().collect();
    deductions.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.kind.cmp(b.kind)));
    let lost: u32 = deductions.iter().map(|d| d.points).sum();
    Health {
        score: 100_u32.saturating_sub(lost),
        deductions,
    }
}

fn example(page: &str, subject: &str, value: f64) -> Example {
    Example {
        subject: subject.to_owned(),
        value,
        link: page_link(page, subject),
    }
}

fn offline(topic: &TopicInput) -> Option<Example> {
    let partitions = topic.partitions.iter();
    let offline = partitions
        .filter(|p| p.state != PartitionState::Online)
        .count();
    (offline > 0).then(|| example("topics", &topic.name, offline as f64))
}

fn lagging(group: &GroupView) -> Example {
    example("groups", &group.group, group.lag_ms as f64 / 1_000.0)
}

fn failed(job: &JobView) -> Example {
    example("jobs", &job.id, 0.0)
}

fn restarting(job: &JobView) -> Example {
    example("jobs", &job.id, job.restarts as f64)
}

/// Behind in time is who has records left to read: a job that has read all of
/// what is old, or whose input is silent, is not.
fn late(job: &JobView) -> Option<Example> {
    let lag_ms = job.watermark_lag_ms?;
    let late =
        job.state == "running" && job.lag_records > Some(0) && lag_ms > WATERMARK_LAG_WARN_MS;
    late.then(|| example("jobs", &job.id, lag_ms as f64 / 1_000.0))
}

fn disk(process: &ProcessInput) -> Option<Deduction> {
    if process.disk_total_bytes == 0 {
        return None;
    }
    let share = process.disk_used_bytes as f64 / process.disk_total_bytes as f64;
    let cause = match share {
        share if share > DISK_CRITICAL => DISK_FULL,
        share if share > DISK_WARN => DISK_NEARLY_FULL,
        _ => return None,
    };
    cause.line(vec![Example {
        subject: "node 1".into(),
        value: share * 100.0,
        link: "/".into(),
    }])
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
        assert_eq!((told.kind, told.count), ("offline_partitions", 1));
        assert_eq!(told.value, 2.0);
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

    fn group(name: String, state: GroupState, lag_ms: i64) -> GroupView {
        GroupView {
            group: name,
            state,
            lag_ms,
            ..GroupView::default()
        }
    }

    #[test]
    fn five_hundred_groups_are_a_line_for_each_cause_with_a_count() {
        let groups: Vec<GroupView> = (0..500)
            .map(|i| {
                let state = match i % 3 {
                    0 => GroupState::Left,
                    1 => GroupState::Behind,
                    _ => GroupState::Stopped,
                };
                group(format!("g{i:03}"), state, i * 1_000)
            })
            .collect();
        let health = health(&[], &groups, &[], &ProcessInput::default());
        let lines: Vec<_> = health
            .deductions
            .iter()
            .map(|d| (d.kind, d.count, d.points, d.subject.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                ("group_stopped", 166, 20, "g497"),
                ("group_behind", 167, 10, "g499"),
                ("group_left", 167, 1, "g498"),
            ]
        );
        assert_eq!(health.score, 69);
        for line in &health.deductions {
            assert_eq!((line.link.as_str(), line.examples.len()), ("/groups", 5));
        }
    }

    #[test]
    fn groups_that_were_left_are_news_once() {
        let groups: Vec<GroupView> = (0..31)
            .map(|i| group(format!("g{i}"), GroupState::Left, 86_400_000))
            .collect();
        let health = health(&[], &groups, &[], &ProcessInput::default());
        assert_eq!(health.score, 99);
    }

    #[test]
    fn a_job_that_has_read_all_of_what_is_old_is_well() {
        let job = |lag_records| JobView {
            id: "history".into(),
            state: "running".into(),
            watermark_lag_ms: Some(90 * 86_400_000),
            lag_records,
            ..Default::default()
        };
        let score = |job| health(&[], &[], &[job], &ProcessInput::default()).score;
        assert_eq!((score(job(Some(0))), score(job(Some(10)))), (100, 97));
    }
}
