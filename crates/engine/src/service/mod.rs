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
#[cfg(test)]
mod flink_tests;
mod jobs;
#[cfg(test)]
mod query_tests;
mod show;
#[cfg(test)]
mod tests;
mod topics;

pub use error::EngineError;
pub use show::{TableColumn, TableInfo};

use crate::job::{JobInfo, JobOptions};
use crate::live::{self, LiveOptions, LiveQueries};
use crate::query::pool::{Line, PoolOptions, QueryPool};
use crate::query::scan::{Scanned, scan};
use crate::query::values::ValueFormat;
use crate::query::{self, QueryError, QueryLimits, QueryResult};
use catalog::TableCache;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use jobs::Slot;
use millstream_cluster::{JobState, MetadataService, SqlObjectKind};
use millstream_core::env::{Clock, Rand, SystemRand};
use millstream_core::ports::Bus;
use millstream_sql::catalog::TableDef;
use millstream_sql::planner::{
    define, notices, plan_bounded, plan_job, plan_materialized, source_node,
};
use millstream_sql::session::Session;
use millstream_sql::statement::{Statement, StatementKind};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Notices in one answer; a text can have many statements.
const NOTICES_MAX: usize = 100;

/// How the engine runs.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Every job's settings, where its session does not say otherwise.
    pub job: JobOptions,
    /// What one ad-hoc query may take.
    pub query: QueryLimits,
    /// How many run and wait.
    pub pool: PoolOptions,
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
        let threads = |error: std::io::Error| {
            EngineError::Internal(format!("the threads of queries do not start: {error}"))
        };
        let bytes_max = options.query.memory_bytes_max;
        let queries = QueryPool::start("query", &options.pool, bytes_max).map_err(threads)?;
        let queries = Arc::new(queries);
        let one = PoolOptions {
            threads: 1,
            ..options.pool.clone()
        };
        let planning = QueryPool::start("plan", &one, bytes_max).map_err(threads)?;
        let live = LiveQueries::new(
            options.live.clone(),
            options.query.clone(),
            Arc::clone(&bus),
            Arc::clone(&clock),
            Arc::clone(&queries),
            Handle::current(),
        );
        let inner = Inner {
            tables: TableCache::new(Arc::clone(&clock)),
            slots: Mutex::default(),
            changes: tokio::sync::Mutex::default(),
            rand: SystemRand::shared(),
            runtime: Handle::current(),
            queries,
            planning,
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
    /// The engine's own, for the jobs.
    runtime: Handle,
    /// Where SELECT, EXPLAIN and live queries run.
    queries: Arc<QueryPool>,
    /// Where texts are parsed, and definitions and live queries planned: one
    /// that takes for ever holds up no query, and slow queries do not keep
    /// anybody from defining and stopping jobs.
    planning: QueryPool,
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
    /// ran before it stays done. Dropping the future ends a query, and the
    /// text after the statement that is being run.
    pub async fn execute(
        &self,
        text: &str,
        session: &mut Session,
    ) -> Result<QueryResult, EngineError> {
        let (inner, text) = (Arc::clone(&self.inner), text.to_owned());
        let mut own = session.clone();
        let gone = CancellationToken::new();
        let _gone = gone.clone().drop_guard();
        // A caller that goes away does not cut a definition in half.
        let task = self.inner.runtime.spawn(async move {
            let result = inner.execute(text, &mut own, &gone).await;
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
    pub async fn subscribe(&self, sql: &str) -> Result<crate::live::LiveSubscription, EngineError> {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        let session = self.session();
        let plan = move || async move { live::plan(&sql, &inner.catalog(), &session) };
        let time_max = self.inner.options.query.time_max;
        let planned = self
            .inner
            .planning
            .run(Line::Once, time_max, plan)
            .await??;
        self.inner.live.subscribe(planned)
    }

    /// Ends all queries, and refuses new ones; waits for none of them.
    pub fn end_queries(&self) {
        self.inner.live.shutdown();
        self.inner.queries.shutdown();
        self.inner.planning.shutdown();
    }

    /// Ends all queries, then all jobs after their current epochs, for a clean
    /// shutdown; the jobs run again at the next start.
    pub async fn shutdown(&self) {
        self.end_queries();
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
    async fn execute(
        self: &Arc<Self>,
        text: String,
        session: &mut Session,
        gone: &CancellationToken,
    ) -> Result<QueryResult, EngineError> {
        let began = self.clock.monotonic();
        let mut answer: Option<(bool, QueryResult)> = None;
        let mut notices = Vec::new();
        let parse = move || async move { millstream_sql::parser::parse(&text) };
        for statement in self.on(&self.planning, gone, parse).await?? {
            if gone.is_cancelled() {
                return Err(QueryError::Stopping.into());
            }
            let has_rows = returns_rows(&statement.kind);
            let mut result = self.run(statement, session, gone).await?;
            // All of them are told, whichever statement's rows are answered.
            for notice in std::mem::take(&mut result.notices) {
                if notices.len() < NOTICES_MAX && !notices.contains(&notice) {
                    notices.push(notice);
                }
            }
            if has_rows || !answer.as_ref().is_some_and(|(rows, _)| *rows) {
                answer = Some((has_rows, result));
            }
        }
        let (_, mut result) = answer.ok_or(EngineError::Empty)?;
        let took = self.clock.monotonic().saturating_sub(began);
        result.elapsed_ms = took.as_secs_f64() * 1_000.0;
        result.notices = notices;
        Ok(result)
    }

    /// Work on the threads of a pool, until its time limit or until the caller
    /// is gone.
    async fn on<T, F>(
        &self,
        pool: &QueryPool,
        gone: &CancellationToken,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        tokio::select! {
            result = pool.run(Line::Once, self.options.query.time_max, work) => result,
            () = gone.cancelled() => Err(QueryError::Stopping),
        }
    }

    async fn run(
        self: &Arc<Self>,
        statement: Statement,
        session: &mut Session,
        gone: &CancellationToken,
    ) -> Result<QueryResult, EngineError> {
        let _one_at_a_time = match changes_definitions(&statement.kind) {
            true => Some(self.changes.lock().await),
            false => None,
        };
        let statement = &Arc::new(statement);
        match &statement.kind {
            StatementKind::CreateTable(create) => {
                self.in_time(statement, session, gone).await?;
                let name = &create.name.value;
                let result = self
                    .create_table(statement, name, create.if_not_exists, session)
                    .await?;
                Ok(result.with_notices(notices(statement)))
            }
            StatementKind::CreateMaterializedTable(create) => {
                self.in_time(statement, session, gone).await?;
                let result = self.create_materialized(statement, create, session).await?;
                Ok(result.with_notices(notices(statement)))
            }
            StatementKind::DropTable(drop) => self.drop_table(drop, SqlObjectKind::Table).await,
            StatementKind::DropMaterializedTable(drop) => {
                self.drop_table(drop, SqlObjectKind::MaterializedTable)
                    .await
            }
            StatementKind::Insert(insert) => {
                self.in_time(statement, session, gone).await?;
                self.insert(statement, insert, session).await
            }
            StatementKind::Query(_) => {
                let (inner, session) = (Arc::clone(self), session.clone());
                let statement = Arc::clone(statement);
                let work = move || async move { inner.query(&statement, &session).await };
                self.on(&self.queries, gone, work).await?
            }
            StatementKind::Explain(_) => {
                let (inner, session) = (Arc::clone(self), session.clone());
                let statement = Arc::clone(statement);
                let work = move || async move { inner.explain(&statement, &session) };
                self.on(&self.queries, gone, work).await?
            }
            StatementKind::ShowTables => Ok(self.show_tables()),
            StatementKind::ShowJobs => Ok(self.show_jobs()),
            StatementKind::ShowFunctions => Ok(show::functions()),
            StatementKind::ShowCreateTable(name) => self.show_create(name),
            StatementKind::Describe(name) => self.describe(name),
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
                let notice = session.set(&key.value, Some(value), key.position)?;
                Ok(QueryResult::ok().with_notices(notice))
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

    /// Fails when a definition cannot be planned in time. What else is wrong
    /// with it is told by who defines it, and plans it again on the threads
    /// of the jobs.
    async fn in_time(
        self: &Arc<Self>,
        statement: &Arc<Statement>,
        session: &Session,
        gone: &CancellationToken,
    ) -> Result<(), EngineError> {
        let (inner, session) = (Arc::clone(self), session.clone());
        let statement = Arc::clone(statement);
        let work = move || async move { inner.try_planning(&statement, &session) };
        Ok(self.on(&self.planning, gone, work).await?)
    }

    fn try_planning(&self, statement: &Statement, session: &Session) {
        let catalog = self.catalog();
        let _ = match &statement.kind {
            StatementKind::CreateMaterializedTable(create) => {
                plan_materialized(create, &catalog, session).map(|_| ())
            }
            StatementKind::Insert(insert) => plan_job(insert, &catalog, session).map(|_| ()),
            _ => define(statement, &catalog, session).map(|_| ()),
        };
    }

    async fn query(
        &self,
        statement: &Statement,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        let StatementKind::Query(query) = &statement.kind else {
            return Err(EngineError::Empty);
        };
        let plan = plan_bounded(query, &self.catalog(), session)?;
        let columns = query::columns(&plan);
        let format = ValueFormat {
            time_zone: session.time_zone,
            types: columns.iter().map(|c| c.type_name.clone()).collect(),
        };
        self.check_topics(&plan.tables).await?;
        let limits = &self.options.query;
        let mut scanned = Scanned::default();
        let tables = self
            .read_tables(&plan.tables, session, &mut scanned)
            .await?;
        let context = query::context(limits)?;
        let prepared = query::prepare(&context, &plan, &tables)?;
        let rows = query::run(&context, &prepared, &format, limits).await?;
        Ok(QueryResult {
            columns,
            rows: rows.rows,
            truncated_by: rows.truncated_by,
            elapsed_ms: 0.0,
            skipped_records: scanned.skipped,
            notices: Vec::new(),
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
