//! The engine as a service: statements in, results and running jobs out.
//!
//! | module | what |
//! |---|---|
//! | `catalog` | tables, from the statements that the metadata keeps |
//! | `definitions` | CREATE, DROP, INSERT |
//! | `dependencies` | who reads and writes what |
//! | `topics` | which topics a job may write, and whose they are |
//! | `jobs` | which jobs run |
//! | `show` | SHOW, DESCRIBE, EXPLAIN |
//! | `error` | what a call can end with |

mod catalog;
mod definitions;
mod dependencies;
mod error;
mod jobs;
mod show;
#[cfg(test)]
mod tests;
mod topics;

pub use error::EngineError;
pub use show::{TableColumn, TableInfo};

use crate::job::{JobInfo, JobOptions};
use crate::live::{LiveOptions, LiveQueries};
use crate::query::scan::{Scanned, scan};
use crate::query::values::ValueFormat;
use crate::query::{self, QueryLimits, QueryResult};
use catalog::TableCache;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use jobs::Slot;
use millstream_cluster::{JobState, MetadataService, SqlObjectKind};
use millstream_core::env::{Clock, Rand, SystemRand};
use millstream_core::ports::Bus;
use millstream_sql::catalog::TableDef;
use millstream_sql::planner::{plan_bounded, source_node};
use millstream_sql::session::Session;
use millstream_sql::statement::{Query, Statement, StatementKind};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// How the engine runs.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Every job's settings, where its session does not say otherwise.
    pub job: JobOptions,
    /// What one ad-hoc query may take.
    pub query: QueryLimits,
    /// Live queries.
    pub live: LiveOptions,
}

/// Starts engines.
pub struct Engine;

impl Engine {
    /// Starts the engine on the current runtime, and with it all jobs that
    /// should be running.
    pub async fn start(
        options: EngineOptions,
        bus: Arc<dyn Bus>,
        metadata: Arc<MetadataService>,
        clock: Arc<dyn Clock>,
    ) -> Result<EngineHandle, EngineError> {
        let live = LiveQueries::new(
            options.live.clone(),
            options.query.clone(),
            Arc::clone(&bus),
            Arc::clone(&clock),
            Handle::current(),
        );
        let inner = Inner {
            tables: TableCache::new(Arc::clone(&clock)),
            slots: Mutex::default(),
            changes: tokio::sync::Mutex::default(),
            rand: SystemRand::shared(),
            runtime: Handle::current(),
            live,
            options,
            bus,
            metadata,
            clock,
        };
        inner.resume().await;
        Ok(EngineHandle {
            inner: Arc::new(inner),
        })
    }
}

pub(super) struct Inner {
    options: EngineOptions,
    bus: Arc<dyn Bus>,
    metadata: Arc<MetadataService>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
    /// The engine's own: a query never runs on its caller's threads.
    runtime: Handle,
    tables: TableCache,
    slots: Mutex<HashMap<String, Slot>>,
    /// Held while definitions or the set of running jobs change: what was
    /// checked still holds when it is done.
    changes: tokio::sync::Mutex<()>,
    live: LiveQueries,
}

/// A running engine; clones share it.
#[derive(Clone)]
pub struct EngineHandle {
    inner: Arc<Inner>,
}

impl EngineHandle {
    /// A session with the defaults, for one connection or request.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.inner.clock))
    }

    /// Runs the statements of a text in order and answers for the last one
    /// that returns rows, else for the last. Stops at the first error; what
    /// ran before it stays done.
    pub async fn execute(
        &self,
        text: &str,
        session: &mut Session,
    ) -> Result<QueryResult, EngineError> {
        let (inner, text) = (Arc::clone(&self.inner), text.to_owned());
        let mut own = session.clone();
        // A caller that goes away does not cut a definition in half.
        let task = self.inner.runtime.spawn(async move {
            let result = inner.execute(&text, &mut own).await;
            (own, result)
        });
        let (changed, result) = task
            .await
            .map_err(|e| EngineError::Internal(e.to_string()))?;
        *session = changed;
        result
    }

    /// All jobs, by id.
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.inner.infos()
    }

    /// One job.
    pub fn job(&self, id: &str) -> Option<JobInfo> {
        let image = self.inner.metadata.image();
        image.job(id).map(|job| self.inner.info(job))
    }

    /// Stops a job for good, until [`EngineHandle::start_job`]; its state
    /// stays in its changelog topic.
    pub async fn stop_job(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, JobState::Stopped).await
    }

    /// Starts a stopped or failed job where it was.
    pub async fn start_job(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, JobState::Running).await
    }

    async fn change(&self, id: &str, desired: JobState) -> Result<(), EngineError> {
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        // As with statements: not cut in half by a caller that goes away.
        let task = self.inner.runtime.spawn(async move {
            let _one_at_a_time = inner.changes.lock().await;
            match desired {
                JobState::Running => inner.start(&id).await,
                JobState::Stopped => inner.stop(&id).await,
            }
        });
        task.await
            .map_err(|e| EngineError::Internal(e.to_string()))?
    }

    /// All tables, by name.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.inner.table_infos()
    }

    /// Subscribes to a `SELECT` that is run again whenever its tables change.
    pub fn subscribe(&self, sql: &str) -> Result<crate::live::LiveSubscription, EngineError> {
        let session = self.session();
        self.inner
            .live
            .subscribe(sql, &self.inner.catalog(), &session)
    }

    /// Ends all jobs after their current epochs, for a clean shutdown; they
    /// run again at the next start.
    pub async fn shutdown(&self) {
        let handles: Vec<_> = self
            .inner
            .slots
            .lock()
            .values()
            .filter_map(|slot| match slot {
                Slot::Task(handle) => Some(Arc::clone(handle)),
                Slot::Broken(_) => None,
            })
            .collect();
        futures::future::join_all(handles.iter().map(|handle| handle.stop())).await;
        self.inner.live.shutdown();
    }
}

fn returns_rows(kind: &StatementKind) -> bool {
    match kind {
        StatementKind::Query(_)
        | StatementKind::ShowTables
        | StatementKind::ShowJobs
        | StatementKind::ShowFunctions
        | StatementKind::ShowCreateTable(_)
        | StatementKind::Describe(_)
        | StatementKind::Explain(_)
        | StatementKind::Insert(_)
        | StatementKind::CreateMaterializedTable(_) => true,
        StatementKind::Set(set) => set.is_none(),
        StatementKind::CreateTable(_)
        | StatementKind::DropTable(_)
        | StatementKind::DropMaterializedTable(_)
        | StatementKind::SuspendMaterializedTable(_)
        | StatementKind::ResumeMaterializedTable(_)
        | StatementKind::StopJob(_)
        | StatementKind::StartJob(_)
        | StatementKind::DropJob(_)
        | StatementKind::Reset(_) => false,
    }
}

/// Whether a statement changes definitions, or which jobs run.
fn changes_definitions(kind: &StatementKind) -> bool {
    match kind {
        StatementKind::CreateTable(_)
        | StatementKind::CreateMaterializedTable(_)
        | StatementKind::DropTable(_)
        | StatementKind::DropMaterializedTable(_)
        | StatementKind::SuspendMaterializedTable(_)
        | StatementKind::ResumeMaterializedTable(_)
        | StatementKind::Insert(_)
        | StatementKind::StopJob(_)
        | StatementKind::StartJob(_)
        | StatementKind::DropJob(_) => true,
        StatementKind::Query(_)
        | StatementKind::ShowTables
        | StatementKind::ShowJobs
        | StatementKind::ShowFunctions
        | StatementKind::ShowCreateTable(_)
        | StatementKind::Describe(_)
        | StatementKind::Explain(_)
        | StatementKind::Set(_)
        | StatementKind::Reset(_) => false,
    }
}

impl Inner {
    async fn execute(&self, text: &str, session: &mut Session) -> Result<QueryResult, EngineError> {
        let began = self.clock.monotonic();
        let mut answer: Option<(bool, QueryResult)> = None;
        for statement in millstream_sql::parser::parse(text)? {
            let has_rows = returns_rows(&statement.kind);
            let result = self.run(&statement, session).await?;
            if has_rows || !answer.as_ref().is_some_and(|(rows, _)| *rows) {
                answer = Some((has_rows, result));
            }
        }
        let (_, mut result) = answer.ok_or(EngineError::Empty)?;
        let took = self.clock.monotonic().saturating_sub(began);
        result.elapsed_ms = took.as_secs_f64() * 1_000.0;
        Ok(result)
    }

    async fn run(
        &self,
        statement: &Statement,
        session: &mut Session,
    ) -> Result<QueryResult, EngineError> {
        let _one_at_a_time = match changes_definitions(&statement.kind) {
            true => Some(self.changes.lock().await),
            false => None,
        };
        match &statement.kind {
            StatementKind::CreateTable(create) => {
                let name = &create.name.value;
                self.create_table(statement, name, create.if_not_exists, session)
                    .await
            }
            StatementKind::CreateMaterializedTable(create) => {
                self.create_materialized(statement, create, session).await
            }
            StatementKind::DropTable(drop) => self.drop_table(drop, SqlObjectKind::Table).await,
            StatementKind::DropMaterializedTable(drop) => {
                self.drop_table(drop, SqlObjectKind::MaterializedTable)
                    .await
            }
            StatementKind::Insert(insert) => self.insert(statement, insert, session).await,
            StatementKind::Query(query) => self.query(query, session).await,
            StatementKind::ShowTables => Ok(self.show_tables()),
            StatementKind::ShowJobs => Ok(self.show_jobs()),
            StatementKind::ShowFunctions => Ok(show::functions()),
            StatementKind::ShowCreateTable(name) => self.show_create(name),
            StatementKind::Describe(name) => self.describe(name),
            StatementKind::Explain(explained) => self.explain(explained, session),
            StatementKind::StopJob(id) => {
                self.stop(&id.value).await?;
                Ok(QueryResult::ok())
            }
            StatementKind::StartJob(id) => {
                self.start(&id.value).await?;
                Ok(QueryResult::ok())
            }
            StatementKind::DropJob(drop) => self.drop_job(drop).await,
            StatementKind::SuspendMaterializedTable(name) => {
                self.alter_materialized(name, JobState::Stopped).await
            }
            StatementKind::ResumeMaterializedTable(name) => {
                self.alter_materialized(name, JobState::Running).await
            }
            StatementKind::Set(None) => Ok(show::settings(session)),
            StatementKind::Set(Some((key, value))) => {
                session.set(&key.value, Some(value), key.position)?;
                Ok(QueryResult::ok())
            }
            StatementKind::Reset(Some(key)) => {
                session.set(&key.value, None, key.position)?;
                Ok(QueryResult::ok())
            }
            StatementKind::Reset(None) => {
                let keys: Vec<&str> = session.settings().iter().map(|(key, ..)| *key).collect();
                for key in keys {
                    session.set(key, None, statement.position)?;
                }
                Ok(QueryResult::ok())
            }
        }
    }

    async fn query(&self, query: &Query, session: &Session) -> Result<QueryResult, EngineError> {
        let plan = plan_bounded(query, &self.catalog(), session)?;
        let columns = query::columns(&plan);
        let format = ValueFormat {
            time_zone: session.time_zone,
            types: columns.iter().map(|c| c.type_name.clone()).collect(),
        };
        self.check_topics(&plan.tables).await?;
        let limits = &self.options.query;
        let mut scanned = Scanned::default();
        let read = self.read_tables(&plan.tables, session, &mut scanned);
        let tables = tokio::time::timeout(limits.time_max, read)
            .await
            .unwrap_or(Err(query::QueryError::Timeout(limits.time_max).into()))?;
        let context = query::context(limits)?;
        let rows = query::run(&context, &plan, &tables, &format, limits).await?;
        Ok(QueryResult {
            columns,
            rows: rows.rows,
            truncated: rows.truncated,
            elapsed_ms: 0.0,
            skipped_records: scanned.skipped,
        })
    }

    async fn read_tables(
        &self,
        tables: &[Arc<TableDef>],
        session: &Session,
        scanned: &mut Scanned,
    ) -> Result<HashMap<String, Arc<dyn TableProvider>>, EngineError> {
        let mut providers: HashMap<String, Arc<dyn TableProvider>> = HashMap::new();
        for table in tables {
            let node = source_node(table, session)?;
            let rows = scan(self.bus.as_ref(), &node, &self.options.query, scanned).await?;
            let provider = MemTable::try_new(node.schema.clone(), vec![rows])
                .map_err(query::QueryError::from)?;
            providers.insert(table.name.clone(), Arc::new(provider));
        }
        Ok(providers)
    }
}
