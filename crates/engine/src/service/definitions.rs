//! Statements that define: tables, materialized tables, jobs.

use super::Inner;
use super::catalog::{ImageCatalog, StoredSession};
use super::error::{EngineError, refuse};
use super::jobs::stored_options;
use crate::operators::Chain;
use crate::operators::sink::{Sink, SinkError};
use crate::query::QueryResult;
use crate::source::{Source, SourceError};
use millstream_cluster::{ClusterError, Command, Job, JobState, Refusal, SqlObject, SqlObjectKind};
use millstream_core::env::Clock;
use millstream_core::ids::check_topic_name;
use millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT;
use millstream_sql::catalog::{Catalog, TableDef, TableKind};
use millstream_sql::error::{Position, SqlError};
use millstream_sql::plan::JobPlan;
use millstream_sql::planner::{define, plan_job, plan_materialized, source_node};
use millstream_sql::session::Session;
use millstream_sql::statement::{CreateMaterializedTable, Drop, Insert, Statement};
use serde_json::Value;
use std::sync::Arc;

/// Names tried for a job without `pipeline.name`.
const JOB_NAMES_MAX: usize = 10_000;

impl Inner {
    pub(super) async fn create_table(
        &self,
        statement: &Statement,
        name: &str,
        if_not_exists: bool,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        if self.exists(statement.position, name, if_not_exists)? {
            return Ok(QueryResult::ok());
        }
        let table = define(statement, &self.catalog(), session)?;
        check_table(&Arc::new(table), statement.position, session)?;
        let object = self.object(name, SqlObjectKind::Table, &statement.text, session)?;
        self.propose_object(object, statement.position, if_not_exists)
            .await?;
        Ok(QueryResult::ok())
    }

    pub(super) async fn create_materialized(
        &self,
        statement: &Statement,
        create: &CreateMaterializedTable,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        let name = &create.name.value;
        if self.exists(statement.position, name, create.if_not_exists)? {
            return Ok(QueryResult::ok());
        }
        let plan = plan_materialized(create, &self.catalog(), session)?;
        check_plan(&plan, statement.position)?;
        let object = self.object(
            name,
            SqlObjectKind::MaterializedTable,
            &statement.text,
            session,
        )?;
        self.propose_object(object, statement.position, create.if_not_exists)
            .await?;
        self.create_job(name.clone(), &statement.text, statement.position, session)
            .await
    }

    pub(super) async fn insert(
        &self,
        statement: &Statement,
        insert: &Insert,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        let plan = plan_job(insert, &self.catalog(), session)?;
        check_plan(&plan, statement.position)?;
        let id = match &session.pipeline_name {
            Some(name) => name.clone(),
            None => self.free_job_id(&insert.table.value, statement.position)?,
        };
        self.create_job(id, &statement.text, statement.position, session)
            .await
    }

    async fn create_job(
        &self,
        id: String,
        statement: &str,
        position: Position,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        let job = Job {
            name: id.clone(),
            statement: statement.to_owned(),
            desired: JobState::Running,
            created_at_ms: self.clock.now_ms(),
            options: stored_options(session),
            id,
        };
        match self.metadata.propose(Command::CreateJob(job.clone())).await {
            Ok(_) => {}
            Err(ClusterError::Refused(Refusal::JobExists(name))) => {
                return Err(refuse(
                    position,
                    format!("there is a job '{name}' already"),
                    "SET 'pipeline.name' = '...' to another name, or RESET 'pipeline.name'",
                ));
            }
            Err(error) => return Err(error.into()),
        }
        self.launch(&job);
        Ok(QueryResult::text(&["job"], vec![vec![Value::from(job.id)]]))
    }

    fn free_job_id(&self, sink: &str, position: Position) -> Result<String, EngineError> {
        let image = self.metadata.image();
        (1..=JOB_NAMES_MAX)
            .map(|n| format!("insert_into_{sink}_{n}"))
            .find(|id| image.job(id).is_none())
            .ok_or_else(|| {
                let hint = "SET 'pipeline.name' = '...' names the next job";
                refuse(position, format!("too many jobs write '{sink}'"), hint)
            })
    }

    pub(super) async fn drop_table(
        &self,
        drop: &Drop,
        kind: SqlObjectKind,
    ) -> Result<QueryResult, EngineError> {
        let (name, at) = (&drop.name.value, drop.name.position);
        let image = self.metadata.image();
        let Some(object) = image.sql_object(name) else {
            if drop.if_exists {
                return Ok(QueryResult::ok());
            }
            let names: Vec<&str> = image.sql_objects().map(|o| o.name.as_str()).collect();
            let error = SqlError::at(at, format!("there is no table '{name}'"));
            return Err(error.meant(name, names).into());
        };
        if object.kind != kind {
            let (is, write) = match object.kind {
                SqlObjectKind::MaterializedTable => ("materialized table", "MATERIALIZED TABLE"),
                SqlObjectKind::Table => ("table", "TABLE"),
                SqlObjectKind::View => ("view", "VIEW"),
            };
            return Err(refuse(
                at,
                format!("'{name}' is a {is}"),
                format!("write DROP {write}"),
            ));
        }
        let mut users = self.users_of(name);
        users.retain(|job| kind != SqlObjectKind::MaterializedTable || job != name);
        if let Some(job) = users.first() {
            return Err(refuse(
                at,
                format!("job '{job}' uses table '{name}'"),
                format!("write STOP JOB '{job}' first"),
            ));
        }
        if kind == SqlObjectKind::MaterializedTable {
            let topic = self
                .catalog()
                .table(name)
                .map(|table| table.connector.topic.clone());
            self.forget(name).await?;
            self.metadata
                .propose(Command::DropSqlObject { name: name.clone() })
                .await?;
            // Its rows are the engine's own work; a new table of this name
            // starts from nothing. A CREATE TABLE's topic is never touched.
            if let Some(topic) = topic {
                self.delete_topic(&topic).await?;
            }
        } else {
            self.metadata
                .propose(Command::DropSqlObject { name: name.clone() })
                .await?;
        }
        Ok(QueryResult::ok())
    }

    fn exists(&self, at: Position, name: &str, if_not_exists: bool) -> Result<bool, EngineError> {
        if self.metadata.image().sql_object(name).is_none() {
            return Ok(false);
        }
        if if_not_exists {
            return Ok(true);
        }
        Err(refuse(
            at,
            format!("there is a table '{name}' already"),
            "write CREATE TABLE IF NOT EXISTS, or drop it first",
        ))
    }

    fn object(
        &self,
        name: &str,
        kind: SqlObjectKind,
        definition: &str,
        session: &Session,
    ) -> Result<SqlObject, EngineError> {
        let json = serde_json::to_string(&StoredSession::of(session))
            .map_err(|e| EngineError::Cluster(ClusterError::Stopped(e.to_string())))?;
        Ok(SqlObject {
            name: name.to_owned(),
            kind,
            definition: definition.to_owned(),
            json,
            created_at_ms: self.clock.now_ms(),
        })
    }

    async fn propose_object(
        &self,
        object: SqlObject,
        at: Position,
        if_not_exists: bool,
    ) -> Result<(), EngineError> {
        match self
            .metadata
            .propose(Command::CreateSqlObject(object))
            .await
        {
            // Someone else was faster.
            Err(ClusterError::Refused(Refusal::SqlObjectExists(name))) => {
                self.exists(at, &name, if_not_exists).map(|_| ())
            }
            other => Ok(other.map(|_| ())?),
        }
    }

    pub(super) fn catalog(&self) -> ImageCatalog<'_> {
        ImageCatalog {
            image: self.metadata.image(),
            cache: &self.tables,
        }
    }
}

/// The job of a materialized table that has none.
pub(super) fn job_of(object: &SqlObject, clock: &Arc<dyn Clock>) -> Command {
    let stored: Option<StoredSession> = serde_json::from_str(&object.json).ok();
    let session = stored
        .map(|s| s.session(Arc::clone(clock)))
        .unwrap_or_default();
    Command::CreateJob(Job {
        id: object.name.clone(),
        name: object.name.clone(),
        statement: object.definition.clone(),
        desired: JobState::Running,
        created_at_ms: clock.now_ms(),
        options: stored_options(&session),
    })
}

/// Whatever a table's definition can get wrong is found when it is created,
/// not when it is first used.
fn check_table(table: &Arc<TableDef>, at: Position, session: &Session) -> Result<(), EngineError> {
    check_topic(table, at)?;
    let node = source_node(table, session)?;
    Source::new(&node).map_err(|e| table_error(at, &table.name, &e))?;
    Ok(())
}

fn check_topic(table: &TableDef, at: Position) -> Result<(), EngineError> {
    check_topic_name(&table.connector.topic).map_err(|e| {
        let hint = match table.kind {
            TableKind::Table => "write another 'topic' in WITH (...)",
            TableKind::MaterializedTable => {
                "write WITH ('topic' = '...'), or a name that a topic can have"
            }
        };
        refuse(at, e.to_string(), hint)
    })
}

fn table_error(at: Position, table: &str, error: &SourceError) -> EngineError {
    EngineError::Sql(SqlError::at(at, format!("table '{table}': {error}")))
}

/// A job that could not start is refused here, while someone is looking.
fn check_plan(plan: &JobPlan, at: Position) -> Result<(), EngineError> {
    check_topic(&plan.sink, at)?;
    let (source, _chain) =
        Chain::new(&plan.root).map_err(|e| EngineError::Sql(SqlError::at(at, e.to_string())))?;
    Source::new(&source).map_err(|e| table_error(at, &source.table.name, &e))?;
    Sink::new(&plan.sink, 1, MESSAGE_BYTES_MAX_DEFAULT).map_err(|e: SinkError| {
        EngineError::Sql(SqlError::at(at, format!("table '{}': {e}", plan.sink.name)))
    })?;
    if source.table.connector.topic == plan.sink.connector.topic {
        return Err(refuse(
            at,
            format!(
                "the job would read the topic '{}' that it writes",
                plan.sink.connector.topic
            ),
            "write into another table",
        ));
    }
    Ok(())
}
