//! What a job shows of itself.

use super::lag::Committed;
use super::names::JobNames;
use crate::changelog::Counters;
use crate::operators::{OperatorInfo, WATERMARK_END, WATERMARK_NONE};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// How far back a rate looks.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Commit times kept for the percentiles.
const COMMITS_KEPT: usize = 512;

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Restoring its state.
    Starting,
    /// Reading and writing.
    Running,
    /// Waiting after a failure, then starting again.
    Restarting,
    /// Given up; a person has to act.
    Failed,
    /// Bounded input has been read to its end.
    Finished,
    /// Stopped by a person.
    Stopped,
}

/// The job document of the HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "each field is documented in docs/reference/http-api.md"
)]
pub struct JobInfo {
    pub id: String,
    pub statement: String,
    pub state: JobStatus,
    pub error: Option<String>,
    pub started_ms: i64,
    pub sources: Vec<String>,
    pub sink: String,
    pub epoch: u64,
    pub epoch_ms: u64,
    pub epoch_commit_p50_ms: f64,
    pub epoch_commit_p99_ms: f64,
    pub watermark_ms: Option<i64>,
    pub watermark_lag_ms: Option<i64>,
    pub in_records_per_s: f64,
    pub out_records_per_s: f64,
    pub in_records: u64,
    pub out_records: u64,
    pub late_records: u64,
    pub dead_letters: u64,
    pub late_topic: String,
    pub dead_letter_topic: String,
    pub state_bytes: u64,
    pub lag_records: Option<i64>,
    pub restarts: u64,
    pub operators: Vec<OperatorNode>,
}

/// One operator of the job's graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "each field is documented in docs/reference/http-api.md"
)]
pub struct OperatorNode {
    pub id: usize,
    pub kind: String,
    pub label: String,
    pub detail: String,
    pub records_per_s: f64,
    pub inputs: Vec<usize>,
}

/// A job's numbers, kept by its task.
#[derive(Debug)]
pub struct JobStats {
    /// What it is doing.
    pub status: JobStatus,
    /// Why it failed, or restarts.
    pub error: Option<String>,
    /// The last committed epoch.
    pub epoch: u64,
    /// Source watermark.
    pub watermark_ms: i64,
    /// Totals of committed epochs.
    pub counters: Counters,
    /// Memory of the state.
    pub state_bytes: u64,
    /// Records that can be read and have not been; `None` while it is not known.
    pub lag_records: Option<i64>,
    /// Failures since the start.
    pub restarts: u64,
    /// Epochs committed since the start.
    pub(super) commits: u64,
    /// Where the last committed epoch left the source.
    pub(super) committed: Vec<Committed>,
    operators: Vec<(OperatorInfo, RateMeter)>,
    commits_ms: VecDeque<f64>,
}

impl Default for JobStats {
    fn default() -> Self {
        Self {
            status: JobStatus::Starting,
            error: None,
            epoch: 0,
            watermark_ms: WATERMARK_NONE,
            counters: Counters::default(),
            state_bytes: 0,
            lag_records: None,
            restarts: 0,
            commits: 0,
            committed: Vec::new(),
            operators: Vec::new(),
            commits_ms: VecDeque::new(),
        }
    }
}

impl JobStats {
    /// The operators' totals now; they count from each start of the job.
    pub fn observe_operators(&mut self, operators: Vec<(OperatorInfo, u64)>, now: Duration) {
        if self.operators.len() != operators.len() {
            self.operators = operators
                .iter()
                .map(|(i, _)| (i.clone(), RateMeter::default()))
                .collect();
        }
        for ((info, meter), (new_info, total)) in self.operators.iter_mut().zip(operators) {
            *info = new_info;
            meter.observe(total, now);
        }
    }

    /// One epoch has committed in this time.
    pub fn observe_commit(&mut self, took: Duration) {
        self.commits += 1;
        if self.commits_ms.len() == COMMITS_KEPT {
            self.commits_ms.pop_front();
        }
        self.commits_ms.push_back(took.as_secs_f64() * 1_000.0);
    }

    fn commit_percentile(&self, percent: usize) -> f64 {
        let mut sorted: Vec<f64> = self.commits_ms.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or(0.0)
    }

    /// The document, but for what only the job's definition knows.
    pub fn fill(&self, mut info: JobInfo, now: Duration, now_ms: i64) -> JobInfo {
        let known = self.watermark_ms != WATERMARK_NONE && self.watermark_ms != WATERMARK_END;
        info.state = self.status;
        info.error.clone_from(&self.error);
        info.epoch = self.epoch;
        info.epoch_commit_p50_ms = self.commit_percentile(50);
        info.epoch_commit_p99_ms = self.commit_percentile(99);
        info.watermark_ms = known.then_some(self.watermark_ms);
        info.watermark_lag_ms = known.then(|| now_ms.saturating_sub(self.watermark_ms));
        info.in_records = self.counters.in_records;
        info.out_records = self.counters.out_records;
        info.late_records = self.counters.late_records;
        info.dead_letters = self.counters.dead_letters;
        info.state_bytes = self.state_bytes;
        info.lag_records = self.lag_records;
        info.restarts = self.restarts;
        info.operators = self
            .operators
            .iter()
            .enumerate()
            .map(|(id, (operator, meter))| OperatorNode {
                id,
                kind: operator.kind.to_owned(),
                label: operator.label.clone(),
                detail: operator.detail.clone(),
                records_per_s: meter.per_second(now),
                inputs: id.checked_sub(1).into_iter().collect(),
            })
            .collect();
        info.in_records_per_s = info.operators.first().map_or(0.0, |o| o.records_per_s);
        info.out_records_per_s = info.operators.last().map_or(0.0, |o| o.records_per_s);
        info
    }
}

/// A document of a job of which nothing is known but its definition.
pub fn blank(id: &str, statement: &str, epoch: Duration) -> JobInfo {
    let names = JobNames::new(id);
    JobInfo {
        id: id.to_owned(),
        statement: statement.to_owned(),
        state: JobStatus::Stopped,
        error: None,
        started_ms: 0,
        sources: Vec::new(),
        sink: String::new(),
        epoch: 0,
        epoch_ms: u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX),
        epoch_commit_p50_ms: 0.0,
        epoch_commit_p99_ms: 0.0,
        watermark_ms: None,
        watermark_lag_ms: None,
        in_records_per_s: 0.0,
        out_records_per_s: 0.0,
        in_records: 0,
        out_records: 0,
        late_records: 0,
        dead_letters: 0,
        late_topic: names.late,
        dead_letter_topic: names.dead_letters,
        state_bytes: 0,
        lag_records: None,
        restarts: 0,
        operators: Vec::new(),
    }
}

/// A rate over the last seconds, from a total that is looked at now and then.
#[derive(Debug, Default)]
pub struct RateMeter {
    /// Time and total, oldest first; at most one a tenth of the window, and
    /// one older than the window.
    samples: VecDeque<(Duration, u64)>,
    newest: Option<(Duration, u64)>,
}

impl RateMeter {
    /// The total now. A total that falls starts the meter anew.
    pub fn observe(&mut self, total: u64, now: Duration) {
        if self.newest.is_some_and(|(_, before)| total < before) {
            self.samples.clear();
        }
        let due = self
            .samples
            .back()
            .is_none_or(|(last, _)| now.saturating_sub(*last) >= RATE_WINDOW / 10);
        if due {
            self.samples.push_back((now, total));
        }
        self.newest = Some((now, total));
        let horizon = now.saturating_sub(RATE_WINDOW);
        while self.samples.get(1).is_some_and(|(at, _)| *at <= horizon) {
            self.samples.pop_front();
        }
    }

    /// Per second, over the last seconds up to `now`.
    pub fn per_second(&self, now: Duration) -> f64 {
        let Some((_, total)) = self.newest else {
            return 0.0;
        };
        let horizon = now.saturating_sub(RATE_WINDOW);
        // The last sample at or before the horizon, else the first there is.
        let from = self
            .samples
            .iter()
            .rev()
            .find(|(at, _)| *at <= horizon)
            .or(self.samples.front());
        let Some((at, before)) = from else { return 0.0 };
        // Nothing changed between an old sample and the horizon is not known:
        // the rate is taken from the sample on.
        let seconds = now.saturating_sub(*at).as_secs_f64();
        if seconds < 0.1 {
            0.0
        } else {
            total.saturating_sub(*before) as f64 / seconds
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_the_last_seconds() {
        let mut meter = RateMeter::default();
        for second in 0..30 {
            meter.observe(second * 100, Duration::from_secs(second));
        }
        let rate = meter.per_second(Duration::from_secs(29));
        assert!((rate - 100.0).abs() < 1.0, "{rate}");
        let later = meter.per_second(Duration::from_secs(129));
        assert!(later < 1.0, "{later}: nothing has come for 100 s");
    }
}
