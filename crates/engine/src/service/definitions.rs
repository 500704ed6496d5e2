//! Statements that define: tables, materialized tables, jobs.

use super::Inner;
use super::catalog::{ImageCatalog, OwnTopic, Stored};
use super::dependencies::{circle_of, users_of};
use super::error::{EngineError, refuse};
use super::jobs::stored_options;
use super::topics::{check_name, check_written};
use crate::operators::Chain;
use crate::operators::sink::{Sink, SinkError};
use crate::query::QueryResult;
use crate::source::{Source, SourceError};
use millstream_cluster::{ClusterError, Command, Job, JobState, Refusal, SqlObject, SqlObjectKind};
use millstream_core::env::Clock;
use millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT;
use millstream_sql::catalog::{Catalog, TableDef};
use millstream_sql::error::{Position, SqlError};
use millstream_sql::parser::same_tokens;
use millstream_sql::plan::JobPlan;
use millstream_sql::planner::{define, plan_job, plan_materialized, source_node};
use millstream_sql::session::Session;
use millstream_sql::statement::{CreateMaterializedTable, Drop, Insert, Statement, StatementKind};
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
        let stored = Stored::of(session, None::<OwnTopic>);
        let object = self.object(name, SqlObjectKind::Table, &statement.text, &stored)?;
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
        let (name, at) = (&create.name.value, statement.position);
        if create.or_alter && self.is_unaltered(create, session)? {
            return Ok(QueryResult::ok());
        }
        if self.exists(at, name, create.if_not_exists)? {
            return Ok(QueryResult::ok());
        }
        let catalog = self.catalog();
        if let Some(circle) = circle_of(&catalog.image, name, &create.query.tables()?) {
            return Err(refuse(
                create.query.position,
                format!(
                    "table '{name}' would read itself: {}",
                    circle.join(" reads ")
                ),
                "give the new table another name, or drop what reads it first",
            ));
        }
        if catalog.image.job(name).is_some() {
            return Err(refuse(
                at,
                format!("there is a job '{name}' already, and the table's job would have its name"),
                format!("give the table another name, or write DROP JOB '{name}' first"),
            ));
        }
        let plan = plan_materialized(create, &catalog, session)?;
        self.check_plan(&catalog, name, &plan, at)?;
        let own_topic = self.make_topic(&plan.sink, at).await?;
        let kind = SqlObjectKind::MaterializedTable;
        let stored = Stored::of(session, own_topic.clone());
        let object = self.object(name, kind, &statement.text, &stored)?;
        let proposed = self.propose_object(object, at, create.if_not_exists).await;
        if proposed.is_err() && own_topic.is_some() {
            self.release_topic(None, own_topic.as_ref()).await?;
        }
        proposed?;
        self.create_job(name.clone(), &statement.text, at, session)
            .await
    }

    /// Whether a table is there already, as `CREATE OR ALTER` would make it.
    /// One that is there and would be changed is refused: its job has state,
    /// and its topic rows, of the query that it was made with.
    fn is_unaltered(
        &self,
        create: &CreateMaterializedTable,
        session: &Session,
    ) -> Result<bool, EngineError> {
        let (name, at) = (&create.name.value, create.name.position);
        let image = self.metadata.image();
        let Some(object) = image.sql_object(name) else {
            return Ok(false);
        };
        if object.kind != SqlObjectKind::MaterializedTable {
            return Err(refuse(
                at,
                format!("'{name}' is no materialized table"),
                "choose another name",
            ));
        }
        let statements = millstream_sql::parser::parse(&object.definition)?;
        let Some(StatementKind::CreateMaterializedTable(old)) = statements.first().map(|s| &s.kind)
        else {
            return Err(EngineError::Internal(format!(
                "the definition of '{name}' makes no materialized table"
            )));
        };
        let of_session = Stored {
            own_topic: None,
            ..Stored::with(object)
        };
        let what = if !same_tokens(&old.query.text, &create.query.text) {
            "query"
        } else if !old.options.same_as(&create.options) {
            "options"
        } else if of_session != Stored::of(session, None) {
            "session settings (SET lists them)"
        } else {
            return Ok(true);
        };
        Err(refuse(
            at,
            format!(
                "materialized table '{name}' is there with other {what}, and a running job cannot \
                 be altered"
            ),
            format!(
                "DROP MATERIALIZED TABLE {name}, then run this again: its rows are made anew; or \
                 create another table beside it"
            ),
        ))
    }

    pub(super) async fn insert(
        &self,
        statement: &Statement,
        insert: &Insert,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        let at = statement.position;
        let catalog = self.catalog();
        let plan = plan_job(insert, &catalog, session)?;
        let id = match &session.pipeline_name {
            Some(name) => name.clone(),
            None => self.free_job_id(&insert.table.value, at)?,
        };
        if catalog.image.job(&id).is_some() {
            return Err(job_exists(at, &id));
        }
        self.check_plan(&catalog, &id, &plan, at)?;
        self.make_topic(&plan.sink, at).await?;
        self.create_job(id, &statement.text, at, session).await
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
                return Err(job_exists(position, &name));
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
        if let Some(user) = users_of(&image, name).first() {
            let id = &user.id;
            let (what, hint) = match user.is_materialized {
                true => (
                    "materialized table",
                    format!("write DROP MATERIALIZED TABLE {id} first"),
                ),
                false => (
                    "job",
                    format!("write DROP JOB '{id}' first: what it wrote stays"),
                ),
            };
            let does = if user.writes { "writes" } else { "reads" };
            return Err(refuse(
                at,
                format!("{what} '{id}' {does} table '{name}'"),
                hint,
            ));
        }
        let dropped = Command::DropSqlObject { name: name.clone() };
        if kind != SqlObjectKind::MaterializedTable {
            self.metadata.propose(dropped).await?;
            return Ok(QueryResult::ok());
        }
        // Its rows are the engine's own work; a new table of this name starts
        // from nothing.
        let table = self.catalog().table(name);
        let topic = table.as_ref().map(|table| table.connector.topic.as_str());
        let stored = Stored::with(object);
        self.forget(name, vec![dropped]).await?;
        self.release_topic(topic, stored.own_topic.as_ref()).await
    }

    fn exists(&self, at: Position, name: &str, if_not_exists: bool) -> Result<bool, EngineError> {
        let image = self.metadata.image();
        let Some(object) = image.sql_object(name) else {
            return Ok(false);
        };
        if if_not_exists {
            return Ok(true);
        }
        if object.kind != SqlObjectKind::MaterializedTable {
            return Err(refuse(
                at,
                format!("there is a table '{name}' already"),
                format!(
                    "write CREATE TABLE IF NOT EXISTS, or DROP TABLE {name} first: its topic stays"
                ),
            ));
        }
        let is_stopped = image
            .job(name)
            .is_some_and(|job| job.desired == JobState::Stopped);
        let (state, go_on) = match is_stopped {
            true => (
                ", its job is stopped",
                format!("ALTER MATERIALIZED TABLE {name} RESUME starts it again; to"),
            ),
            false => ("", "to".to_owned()),
        };
        Err(refuse(
            at,
            format!("there is a materialized table '{name}' already{state}"),
            format!(
                "{go_on} make it anew, DROP MATERIALIZED TABLE {name} first, which deletes what it \
                 holds; CREATE OR ALTER MATERIALIZED TABLE leaves one that is the same"
            ),
        ))
    }

    fn object(
        &self,
        name: &str,
        kind: SqlObjectKind,
        definition: &str,
        stored: &Stored,
    ) -> Result<SqlObject, EngineError> {
        let json = serde_json::to_string(stored)
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

    /// A job that could not start, or must not, is refused here, while someone
    /// is looking.
    fn check_plan(
        &self,
        catalog: &ImageCatalog<'_>,
        id: &str,
        plan: &JobPlan,
        at: Position,
    ) -> Result<(), EngineError> {
        check_written(catalog, id, &plan.sink, at)?;
        let (source, _chain) = Chain::new(&plan.root)
            .map_err(|e| EngineError::Sql(SqlError::at(at, e.to_string())))?;
        Source::new(&source).map_err(|e| table_error(at, &source.table.name, &e))?;
        Sink::new(&plan.sink, 1, MESSAGE_BYTES_MAX_DEFAULT).map_err(|e: SinkError| {
            EngineError::Sql(SqlError::at(at, format!("table '{}': {e}", plan.sink.name)))
        })?;
        let (reads, writes) = (&source.table.connector.topic, &plan.sink.connector.topic);
        let says = match self.topic_loop(catalog, plan, std::slice::from_ref(reads)) {
            None => return Ok(()),
            Some(jobs) if jobs.is_empty() => {
                format!("the job would read the topic '{writes}' that it writes")
            }
            Some(jobs) => format!(
                "what the job writes into topic '{writes}' would come back to it in topic \
                 '{reads}', through {}",
                jobs.join(", ")
            ),
        };
        Err(refuse(at, says, "write into another table"))
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
    let session = Stored::with(object).session(Arc::clone(clock));
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
    check_name(table, at)?;
    let node = source_node(table, session)?;
    Source::new(&node).map_err(|e| table_error(at, &table.name, &e))?;
    Ok(())
}

fn job_exists(at: Position, name: &str) -> EngineError {
    refuse(
        at,
        format!("there is a job '{name}' already"),
        format!(
            "SET 'pipeline.name' = '...' to another name, RESET 'pipeline.name', or write \
             DROP JOB '{name}' first"
        ),
    )
}

fn table_error(at: Position, table: &str, error: &SourceError) -> EngineError {
    EngineError::Sql(SqlError::at(at, format!("table '{table}': {error}")))
}
