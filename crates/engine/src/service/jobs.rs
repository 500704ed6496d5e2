//! The jobs of this engine: which run, and what becomes of them.

use super::catalog::Stored;
use super::dependencies::{is_materialized, uses_of};
use super::error::{EngineError, refuse};
use super::{Inner, definitions};
use crate::job::stats::blank;
use crate::job::{
    JobEnv, JobHandle, JobInfo, JobNames, JobOptions, JobSpec, JobStatus, panic_text,
};
use crate::query::QueryResult;
use millstream_cluster::{Command, Job, JobState, SqlObjectKind};
use millstream_sql::error::{Position, SqlError};
use millstream_sql::plan::JobPlan;
use millstream_sql::planner::{plan_job, plan_materialized};
use millstream_sql::session::Session;
use millstream_sql::statement::{DropJob, Name, StatementKind};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

const OPTION_TIME_ZONE: &str = "table.local-time-zone";
const OPTION_EPOCH: &str = "millstream.epoch.interval";
const OPTION_IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";

/// A job as this engine holds it.
pub(super) enum Slot {
    /// Has, or had, a task.
    Task(Arc<JobHandle>),
    /// Could not be started.
    Broken(String),
}

/// The session settings that a job is planned with, as the metadata keeps
/// them.
pub(super) fn stored_options(session: &Session) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    options.insert(
        OPTION_TIME_ZONE.to_owned(),
        session.time_zone.name().to_owned(),
    );
    if let Some(epoch) = session.epoch_interval {
        options.insert(OPTION_EPOCH.to_owned(), epoch.as_millis().to_string());
    }
    if let Some(timeout) = session.idle_timeout {
        options.insert(
            OPTION_IDLE_TIMEOUT.to_owned(),
            timeout.as_millis().to_string(),
        );
    }
    options
}

/// A job's option that is a number of milliseconds.
fn duration(job: &Job, option: &str) -> Option<Duration> {
    let ms = job.options.get(option)?.parse().ok()?;
    Some(Duration::from_millis(ms))
}

impl Inner {
    /// Starts a job's task from what the metadata says of it. Whatever keeps
    /// it from being planned is this job's failure and nobody else's.
    pub(super) fn launch(&self, job: &Job) {
        let planned = catch_unwind(AssertUnwindSafe(|| self.plan_stored(job)))
            .unwrap_or_else(|panic| Err(EngineError::Internal(panic_text(&*panic))));
        let slot = match planned {
            Ok(plan) => {
                let spec = JobSpec {
                    id: job.id.clone(),
                    statement: job.statement.clone(),
                    plan,
                    options: self.job_options(job),
                };
                Slot::Task(Arc::new(JobHandle::start(spec, self.job_env())))
            }
            Err(error) => {
                tracing::error!(job = job.id, %error, "the job cannot be started");
                Slot::Broken(error.to_string())
            }
        };
        self.slots.lock().insert(job.id.clone(), slot);
    }

    fn job_env(&self) -> JobEnv {
        JobEnv {
            bus: Arc::clone(&self.bus),
            clock: Arc::clone(&self.clock),
            rand: Arc::clone(&self.rand),
            runtime: self.runtime.clone(),
        }
    }

    fn job_options(&self, job: &Job) -> JobOptions {
        let mut options = self.options.job.clone();
        if let Some(epoch) = duration(job, OPTION_EPOCH) {
            options.epoch = epoch;
        }
        options
    }

    fn plan_stored(&self, job: &Job) -> Result<JobPlan, EngineError> {
        let time_zone = job
            .options
            .get(OPTION_TIME_ZONE)
            .cloned()
            .unwrap_or_else(|| "UTC".into());
        let idle_timeout_ms = duration(job, OPTION_IDLE_TIMEOUT)
            .and_then(|timeout| u64::try_from(timeout.as_millis()).ok());
        let stored = Stored {
            time_zone,
            idle_timeout_ms,
            ..Stored::default()
        };
        let session = stored.session(Arc::clone(&self.clock));
        let catalog = self.catalog();
        for table in uses_of(&job.statement).iter().flat_map(|uses| &uses.reads) {
            if let Some(Err(reason)) = catalog.resolve(table) {
                let message = format!("table '{table}' cannot be read back: {reason}");
                return Err(SqlError::at(Position::START, message).into());
            }
        }
        let statements = millstream_sql::parser::parse(&job.statement)?;
        match statements.first().map(|s| &s.kind) {
            Some(StatementKind::Insert(insert)) => Ok(plan_job(insert, &catalog, &session)?),
            Some(StatementKind::CreateMaterializedTable(create)) => {
                Ok(plan_materialized(create, &catalog, &session)?)
            }
            _ => Err(EngineError::Empty),
        }
    }

    /// Starts what should be running, and the job of a materialized table
    /// whose creation was cut off between the table and the job.
    pub(super) async fn resume(&self) {
        let image = self.metadata.image();
        for object in image.sql_objects() {
            if object.kind != SqlObjectKind::MaterializedTable || image.job(&object.name).is_some()
            {
                continue;
            }
            let created = self
                .metadata
                .propose(definitions::job_of(object, &self.clock))
                .await;
            if let Err(error) = created {
                tracing::error!(table = object.name, %error, "the table's job cannot be made");
            }
        }
        for job in self.metadata.image().jobs() {
            if job.desired == JobState::Running {
                self.launch(job);
            }
        }
    }

    pub(super) fn infos(&self) -> Vec<JobInfo> {
        self.metadata
            .image()
            .jobs()
            .map(|job| self.info(job))
            .collect()
    }

    pub(super) fn info(&self, job: &Job) -> JobInfo {
        let unstarted = || blank(&job.id, &job.statement, self.job_options(job).epoch);
        match self.slots.lock().get(&job.id) {
            Some(Slot::Task(handle)) => handle.info(),
            Some(Slot::Broken(error)) => JobInfo {
                state: JobStatus::Failed,
                error: Some(error.clone()),
                ..unstarted()
            },
            None => unstarted(),
        }
    }

    /// Stops a job; its state stays in its changelog.
    ///
    /// Like everything that changes definitions, one at a time: the caller
    /// holds `Inner::changes`.
    pub(super) async fn stop(&self, id: &str) -> Result<(), EngineError> {
        self.set_desired(id, JobState::Stopped).await?;
        let handle = match self.slots.lock().get(id) {
            Some(Slot::Task(handle)) => Some(Arc::clone(handle)),
            _ => None,
        };
        if let Some(handle) = handle {
            handle.stop().await;
        }
        Ok(())
    }

    /// Starts a stopped or failed job where it was.
    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let running = matches!(
            self.slots.lock().get(id),
            Some(Slot::Task(handle)) if !matches!(
                handle.status(),
                JobStatus::Stopped | JobStatus::Failed | JobStatus::Finished
            )
        );
        self.set_desired(id, JobState::Running).await?;
        if running {
            return Ok(());
        }
        if let Some(job) = self.metadata.image().job(id) {
            self.launch(job);
        }
        Ok(())
    }

    async fn set_desired(&self, id: &str, desired: JobState) -> Result<(), EngineError> {
        if self.metadata.image().job(id).is_none() {
            return Err(EngineError::UnknownJob(id.to_owned()));
        }
        self.metadata
            .propose(Command::SetJobState {
                id: id.to_owned(),
                desired,
            })
            .await?;
        Ok(())
    }

    /// `DROP JOB`: stops a job, forgets it and its state. What it wrote stays.
    pub(super) async fn drop_job(&self, drop: &DropJob) -> Result<QueryResult, EngineError> {
        let id = &drop.id.value;
        let image = self.metadata.image();
        if image.job(id).is_none() {
            return match drop.if_exists {
                true => Ok(QueryResult::ok()),
                false => Err(EngineError::UnknownJob(id.clone())),
            };
        }
        if is_materialized(&image, id) {
            return Err(refuse(
                drop.id.position,
                format!("job '{id}' fills the materialized table '{id}'"),
                "write DROP MATERIALIZED TABLE, which drops its job too",
            ));
        }
        self.forget(id, Vec::new()).await?;
        Ok(QueryResult::ok())
    }

    /// `ALTER MATERIALIZED TABLE ... SUSPEND` and `RESUME`.
    pub(super) async fn alter_materialized(
        &self,
        name: &Name,
        desired: JobState,
    ) -> Result<QueryResult, EngineError> {
        let image = self.metadata.image();
        if !is_materialized(&image, &name.value) {
            let names = image
                .sql_objects()
                .filter(|object| object.kind == SqlObjectKind::MaterializedTable)
                .map(|object| object.name.as_str());
            let message = format!("there is no materialized table '{}'", name.value);
            return Err(SqlError::at(name.position, message)
                .meant(&name.value, names)
                .into());
        }
        match desired {
            JobState::Running => self.start(&name.value).await?,
            JobState::Stopped => self.stop(&name.value).await?,
        }
        Ok(QueryResult::ok())
    }

    /// Stops a job, forgets it and its state; `with` is changed in the
    /// metadata together with it. Where this is cut off before that, the job
    /// is a stopped one.
    pub(super) async fn forget(&self, id: &str, mut with: Vec<Command>) -> Result<(), EngineError> {
        match self.stop(id).await {
            Ok(()) => {
                self.delete_topic(&JobNames::new(id).changelog).await?;
                with.push(Command::DeleteJob { id: id.to_owned() });
            }
            Err(EngineError::UnknownJob(_)) => {}
            Err(error) => return Err(error),
        }
        for done in self.metadata.propose_each(with).await {
            done?;
        }
        self.slots.lock().remove(id);
        Ok(())
    }
}
