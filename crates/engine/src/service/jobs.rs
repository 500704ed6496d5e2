//! The jobs of this engine: which run, and what becomes of them.

use super::catalog::{ImageCatalog, StoredSession};
use super::error::EngineError;
use super::{Inner, definitions};
use crate::job::stats::blank;
use crate::job::{
    JobEnv, JobHandle, JobInfo, JobNames, JobOptions, JobSpec, JobStatus, source_tables,
};
use millstream_cluster::{Command, Job, JobState, SqlObjectKind};
use millstream_core::ports::BusError;
use millstream_sql::plan::JobPlan;
use millstream_sql::planner::{plan_job, plan_materialized};
use millstream_sql::session::Session;
use millstream_sql::statement::StatementKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const OPTION_TIME_ZONE: &str = "table.local-time-zone";
const OPTION_EPOCH: &str = "millstream.epoch.interval";

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
    options
}

impl Inner {
    /// Starts a job's task from what the metadata says of it.
    pub(super) fn launch(&self, job: &Job) {
        let slot = match self.plan_stored(job) {
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
        let epoch = job.options.get(OPTION_EPOCH).and_then(|ms| ms.parse().ok());
        let mut options = self.options.job.clone();
        if let Some(ms) = epoch {
            options.epoch = Duration::from_millis(ms);
        }
        options
    }

    fn plan_stored(&self, job: &Job) -> Result<JobPlan, EngineError> {
        let time_zone = job
            .options
            .get(OPTION_TIME_ZONE)
            .cloned()
            .unwrap_or_else(|| "UTC".into());
        let session = StoredSession { time_zone }.session(Arc::clone(&self.clock));
        let catalog = ImageCatalog {
            image: self.metadata.image(),
            cache: &self.tables,
        };
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
    pub(super) async fn resume(&self) -> Result<(), EngineError> {
        let image = self.metadata.image();
        for object in image.sql_objects() {
            if object.kind == SqlObjectKind::MaterializedTable && image.job(&object.name).is_none()
            {
                self.metadata
                    .propose(definitions::job_of(object, &self.clock))
                    .await?;
            }
        }
        for job in self.metadata.image().jobs() {
            if job.desired == JobState::Running {
                self.launch(job);
            }
        }
        Ok(())
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

    /// Stops a job, forgets it and its state.
    pub(super) async fn forget(&self, id: &str) -> Result<(), EngineError> {
        match self.stop(id).await {
            Ok(()) => {}
            Err(EngineError::UnknownJob(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.metadata
            .propose(Command::DeleteJob { id: id.to_owned() })
            .await?;
        self.slots.lock().remove(id);
        self.delete_topic(&JobNames::new(id).changelog).await
    }

    pub(super) async fn delete_topic(&self, name: &str) -> Result<(), EngineError> {
        match self.bus.delete_topic(name).await {
            Ok(()) | Err(BusError::UnknownTopic(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Jobs with a task that reads or writes a table.
    pub(super) fn users_of(&self, table: &str) -> Vec<String> {
        let slots = self.slots.lock();
        let uses = |handle: &JobHandle| {
            let plan = &handle.spec().plan;
            plan.sink.name == table || source_tables(&plan.root).iter().any(|t| t == table)
        };
        let mut users: Vec<String> = slots
            .iter()
            .filter_map(|(id, slot)| match slot {
                Slot::Task(handle) if uses(handle) => Some((id, handle.status())),
                _ => None,
            })
            .filter(|(_, status)| !matches!(status, JobStatus::Stopped | JobStatus::Finished))
            .map(|(id, _)| id.clone())
            .collect();
        users.sort();
        users
    }
}
