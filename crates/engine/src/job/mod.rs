//! Jobs: one task each, which reads, computes, and commits epoch by epoch.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | settings |
//! | [`names`] | topics, group and transactional id |
//! | [`stats`] | what a job shows of itself |
//! | `position` | where the job is in its source |
//! | `instance` | one life of a job, from restore to the first failure |
//! | `backoff` | when a job that has failed is started again |
//! | `lag` | how far behind it is meanwhile |
//! | `epoch` | what an epoch writes, and its one transaction |
//!
//! Invariant: whatever fails in an epoch, nothing of it is ever visible; the
//! next instance starts from the last committed control record and does the
//! epoch's work again from the same input.

mod backoff;
mod cancel_watch;
mod epoch;
mod halves;
mod instance;
mod lag;
pub mod names;
pub mod options;
mod position;
pub mod stats;
#[cfg(test)]
mod tests;

pub use names::JobNames;
pub use options::JobOptions;
pub use stats::{JobInfo, JobStats, JobStatus, OperatorNode};

use crate::changelog::ChangelogError;
use crate::operators::OperatorError;
use crate::operators::sink::SinkError;
use crate::source::SourceError;
use crate::source::startup::StartupError;
use backoff::Backoff;
use futures::FutureExt;
use instance::{Ended, Instance};
use millstream_core::env::{Clock, Rand};
use millstream_core::ports::{Bus, BusError};
use millstream_sql::plan::{JobPlan, PlanNode};
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a stop waits for the running commit.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a job's instance ended.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// An operator.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The source table.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The sink table.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The changelog.
    #[error(transparent)]
    Changelog(#[from] ChangelogError),
    /// More state than allowed.
    #[error(
        "the state takes {bytes} bytes, {limit} are allowed: use shorter windows or fewer keys, \
         or raise the engine's state budget"
    )]
    StateBudget {
        /// What it takes.
        bytes: usize,
        /// What it may.
        limit: usize,
    },
    /// Records that the job has not read are gone.
    #[error(
        "{topic_partition} has no offset {offset} any more: records were removed before the job \
         had read them. Drop the job and create it again to start from what is there"
    )]
    InputLost {
        /// Where.
        topic_partition: String,
        /// The next offset that the job would read.
        offset: i64,
    },
    /// The source's topic is not there any more.
    #[error(
        "topic {0}, which the job reads, was deleted: its position and state belong to that topic. \
         Drop the job and create it again to begin with a new topic of this name"
    )]
    InputDeleted(String),
    /// Another topic has taken the place of the source's.
    #[error(
        "topic {0}, which the job reads, was deleted and made again: the job's position and state \
         belong to the old one. Drop the job and create it again to begin with the new one"
    )]
    InputReplaced(String),
    /// The table says where to begin, and there is no such place.
    #[error(transparent)]
    Startup(StartupError),
    /// A bug.
    #[error("internal error: {0}")]
    Panic(String),
}

impl JobError {
    fn operator(&self) -> Option<&OperatorError> {
        match self {
            Self::Operator(error) | Self::Source(SourceError::Operator(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether records come to too much together, and could be taken in parts.
    fn is_too_large(&self) -> bool {
        matches!(self.operator(), Some(OperatorError::TooLarge(_)))
    }

    /// Whether an evaluation was ended from outside.
    fn is_ended(&self) -> bool {
        matches!(self.operator(), Some(OperatorError::Ended(_)))
    }
}

impl JobError {
    /// Whether doing the same again must fail the same way.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Bus(error) | Self::Changelog(ChangelogError::Bus(error)) => {
                matches!(error, BusError::TooLarge(_) | BusError::Invalid(_))
            }
            Self::Changelog(ChangelogError::Incomplete { .. }) | Self::Panic(_) => false,
            Self::Operator(_)
            | Self::Source(_)
            | Self::Sink(_)
            | Self::Changelog(_)
            | Self::StateBudget { .. }
            | Self::InputLost { .. }
            | Self::InputDeleted(_)
            | Self::InputReplaced(_)
            | Self::Startup(_) => true,
        }
    }

    fn is_fenced(&self) -> bool {
        matches!(
            self,
            Self::Bus(BusError::Fenced(_))
                | Self::Changelog(ChangelogError::Bus(BusError::Fenced(_)))
        )
    }
}

impl From<StartupError> for JobError {
    fn from(error: StartupError) -> Self {
        match error {
            StartupError::Bus(error) => Self::Bus(error),
            other => Self::Startup(other),
        }
    }
}

/// A job as it is defined.
#[derive(Clone)]
pub struct JobSpec {
    /// Identity; names its topics.
    pub id: String,
    /// The statement that made it.
    pub statement: String,
    /// What it computes.
    pub plan: JobPlan,
    /// How it runs.
    pub options: JobOptions,
}

/// What a job runs on.
#[derive(Clone)]
pub struct JobEnv {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for back-off.
    pub rand: Arc<dyn Rand>,
    /// Where the task runs, whoever starts it.
    pub runtime: tokio::runtime::Handle,
}

/// A running job.
pub struct JobHandle {
    spec: Arc<JobSpec>,
    env: JobEnv,
    started_ms: i64,
    stats: Arc<Mutex<JobStats>>,
    cancel: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl JobHandle {
    /// Starts a job's task.
    pub fn start(spec: JobSpec, env: JobEnv) -> Self {
        let spec = Arc::new(spec);
        let stats = Arc::new(Mutex::new(JobStats::default()));
        let cancel = CancellationToken::new();
        let supervisor = Supervisor {
            spec: Arc::clone(&spec),
            env: env.clone(),
            stats: Arc::clone(&stats),
            cancel: cancel.clone(),
        };
        let task = env.runtime.spawn(supervisor.run());
        Self {
            started_ms: env.clock.now_ms(),
            spec,
            env,
            stats,
            cancel,
            task: Mutex::new(Some(task)),
        }
    }

    /// Stops it and returns when nothing of it runs any more. What its last
    /// epoch had not committed is done again when it is started again.
    pub async fn stop(&self) {
        self.cancel.cancel();
        let task = self.task.lock().take();
        let Some(mut task) = task else { return };
        match tokio::time::timeout(STOP_WAIT_MAX, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(job = self.spec.id, %error, "the task ended badly"),
            Err(_) => {
                task.abort();
                tracing::warn!(job = self.spec.id, "did not end its epoch in time, cut off");
                self.stats.lock().status = JobStatus::Stopped;
            }
        }
    }

    /// Ends it at once, wherever it is, as a crash of the process would.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// Its definition.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What it is doing.
    pub fn status(&self) -> JobStatus {
        self.stats.lock().status
    }

    /// The job document.
    pub fn info(&self) -> JobInfo {
        let mut info = stats::blank(&self.spec.id, &self.spec.statement, self.spec.options.epoch);
        info.started_ms = self.started_ms;
        info.sources = source_tables(&self.spec.plan.root);
        info.sink.clone_from(&self.spec.plan.sink.name);
        let (now, now_ms) = (self.env.clock.monotonic(), self.env.clock.now_ms());
        self.stats.lock().fill(info, now, now_ms)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Names of the tables that a plan reads.
pub(crate) fn source_tables(root: &PlanNode) -> Vec<String> {
    let mut node = root;
    while let Some(input) = node.input() {
        node = input;
    }
    match node {
        PlanNode::Source(source) => vec![source.table.name.clone()],
        _ => Vec::new(),
    }
}

/// Keeps a job alive: instance after instance until it ends for good.
struct Supervisor {
    spec: Arc<JobSpec>,
    env: JobEnv,
    stats: Arc<Mutex<JobStats>>,
    cancel: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        let options = &self.spec.options;
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        loop {
            let commits_before = self.stats.lock().commits;
            let error = match self.one_life().await {
                Ok(Ended::Finished) => return self.end(JobStatus::Finished, None),
                Ok(Ended::Cancelled) => return self.end(JobStatus::Stopped, None),
                Ok(Ended::Outdated) => continue,
                Err(error) => error,
            };
            let committed = self.stats.lock().commits != commits_before;
            let rightful = backoff.failed(committed, error.is_fenced());
            let reason = error.to_string();
            if error.is_permanent() || !rightful {
                tracing::error!(job = self.spec.id, error = reason, "job failed");
                return self.end(JobStatus::Failed, Some(reason));
            }
            let pause = backoff.pause(self.env.rand.next_u64());
            tracing::warn!(job = self.spec.id, error = reason, ?pause, "job restarts");
            {
                let mut stats = self.stats.lock();
                stats.status = JobStatus::Restarting;
                // Not known until it has been looked at again.
                stats.lag_records = None;
                stats.error = Some(reason);
                stats.restarts += 1;
            }
            tokio::select! {
                () = self.cancel.cancelled() => return self.end(JobStatus::Stopped, None),
                () = tokio::time::sleep(pause) => {}
                () = lag::watch(&self.env, &self.stats) => {}
            }
        }
    }

    async fn one_life(&self) -> Result<Ended, JobError> {
        let life = async {
            let restore = Instance::restore(&self.spec, &self.env, &self.stats);
            let instance = tokio::select! {
                () = self.cancel.cancelled() => return Ok(Ended::Cancelled),
                instance = restore => instance?,
                // Does not end.
                () = lag::watch(&self.env, &self.stats) => return Ok(Ended::Cancelled),
            };
            // Takes notice of the cancellation between epochs: a transaction
            // cut off in the middle would hold back readers until it times out.
            instance.run(&self.cancel).await
        };
        let ended = AssertUnwindSafe(life).catch_unwind().await;
        ended.unwrap_or_else(|panic| Err(JobError::Panic(panic_text(&*panic))))
    }

    fn end(&self, status: JobStatus, error: Option<String>) {
        let mut stats = self.stats.lock();
        stats.status = status;
        stats.error = error;
        if status != JobStatus::Finished {
            stats.lag_records = None;
        }
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
