//! SHOW, DESCRIBE, EXPLAIN, and the tables of the HTTP API.

use super::Inner;
use super::error::EngineError;
use crate::job::source_tables;
use crate::operators::Chain;
use crate::query::QueryResult;
use millstream_sql::catalog::{Catalog, ColumnKind, TableDef, TableKind};
use millstream_sql::error::SqlError;
use millstream_sql::functions;
use millstream_sql::plan::JobPlan;
use millstream_sql::planner::{plan_bounded, plan_job, plan_materialized};
use millstream_sql::session::Session;
use millstream_sql::statement::{Name, Statement, StatementKind};
use millstream_sql::types::field_type_name;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// A table as the HTTP API answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableInfo {
    /// Name.
    pub name: String,
    /// `table` or `materialized_table`.
    pub kind: String,
    /// The topic that holds it.
    pub topic: String,
    /// Columns in declared order.
    pub columns: Vec<TableColumn>,
    /// The statement that made it.
    pub statement: String,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// Flink's name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `physical`, `metadata`, `computed` or `rowtime`.
    pub role: String,
}

impl Inner {
    pub(super) fn table_infos(&self) -> Vec<TableInfo> {
        let catalog = self.catalog();
        let names = catalog.table_names();
        names
            .iter()
            .filter_map(|name| catalog.table(name))
            .map(|t| table_info(&t))
            .collect()
    }

    pub(super) fn show_tables(&self) -> QueryResult {
        let names = self.catalog().table_names();
        let rows = names
            .into_iter()
            .map(|name| vec![Value::from(name)])
            .collect();
        QueryResult::text(&["table name"], rows)
    }

    pub(super) fn show_jobs(&self) -> QueryResult {
        let rows = self.infos().into_iter().map(|job| {
            let state = serde_json::to_value(job.state).unwrap_or(Value::Null);
            vec![
                Value::from(job.id),
                state,
                Value::from(job.statement),
                Value::from(job.error),
            ]
        });
        QueryResult::text(&["job", "state", "statement", "error"], rows.collect())
    }

    pub(super) fn show_create(&self, name: &Name) -> Result<QueryResult, EngineError> {
        let table = self.named(name)?;
        let text = Value::from(table.statement.clone());
        Ok(QueryResult::text(&["result"], vec![vec![text]]))
    }

    pub(super) fn describe(&self, name: &Name) -> Result<QueryResult, EngineError> {
        let table = self.named(name)?;
        let rows = table.schema.fields().iter().enumerate().map(|(i, field)| {
            let key = table.primary_key.contains(&i).then_some("PRI");
            let extras = match table.columns.get(i) {
                Some(ColumnKind::Computed { expression }) => Some(format!("AS {expression}")),
                Some(ColumnKind::Metadata {
                    is_virtual: true, ..
                }) => Some("METADATA VIRTUAL".to_owned()),
                Some(ColumnKind::Metadata { .. }) => Some("METADATA".to_owned()),
                _ => None,
            };
            let watermark = table
                .watermark
                .as_ref()
                .filter(|w| w.column == i)
                .map(|w| w.expression.clone());
            vec![
                Value::from(field.name().clone()),
                Value::from(field_type_name(field).trim_end_matches(" NOT NULL")),
                Value::from(field.is_nullable().to_string()),
                Value::from(key),
                Value::from(extras),
                Value::from(watermark),
            ]
        });
        // Flink's own six columns.
        let columns = ["name", "type", "null", "key", "extras", "watermark"];
        Ok(QueryResult::text(&columns, rows.collect()))
    }

    pub(super) fn explain(
        &self,
        statement: &Statement,
        session: &Session,
    ) -> Result<QueryResult, EngineError> {
        let StatementKind::Explain(statement) = &statement.kind else {
            return Err(EngineError::Empty);
        };
        let catalog = self.catalog();
        let text = match &statement.kind {
            StatementKind::Insert(insert) => job_text(&plan_job(insert, &catalog, session)?),
            StatementKind::CreateMaterializedTable(create) => {
                job_text(&plan_materialized(create, &catalog, session)?)
            }
            StatementKind::Query(query) => {
                let plan = plan_bounded(query, &catalog, session)?;
                let names: Vec<&str> = plan.tables.iter().map(|t| t.name.as_str()).collect();
                format!(
                    "bounded query over {}\n{}",
                    names.join(", "),
                    plan.plan.display_indent()
                )
            }
            _ => return Err(SqlError::at(statement.position, "this statement has no plan").into()),
        };
        let rows = text.lines().map(|line| vec![Value::from(line)]).collect();
        Ok(QueryResult::text(&["plan"], rows))
    }

    fn named(&self, name: &Name) -> Result<Arc<TableDef>, EngineError> {
        let catalog = self.catalog();
        catalog.table(&name.value).ok_or_else(|| {
            let names = catalog.table_names();
            let error = SqlError::at(name.position, format!("there is no table '{}'", name.value));
            error
                .meant(&name.value, names.iter().map(String::as_str))
                .into()
        })
    }
}

fn table_info(table: &TableDef) -> TableInfo {
    let rowtime = table.watermark.as_ref().map(|w| w.column);
    let columns = table
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| TableColumn {
            name: field.name().clone(),
            type_name: field_type_name(field),
            role: match table.columns.get(i) {
                _ if rowtime == Some(i) => "rowtime",
                Some(ColumnKind::Metadata { .. }) => "metadata",
                Some(ColumnKind::Computed { .. }) => "computed",
                Some(ColumnKind::Physical) | None => "physical",
            }
            .to_owned(),
        });
    TableInfo {
        name: table.name.clone(),
        kind: match table.kind {
            TableKind::Table => "table",
            TableKind::MaterializedTable => "materialized_table",
        }
        .to_owned(),
        topic: table.connector.topic.clone(),
        columns: columns.collect(),
        statement: table.statement.clone(),
    }
}

/// A job's operators from the sink down, one a line.
fn job_text(plan: &JobPlan) -> String {
    let mut lines = vec![format!(
        "sink {} (topic {})",
        plan.sink.name, plan.sink.connector.topic
    )];
    if let Ok((_, chain)) = Chain::new(&plan.root) {
        lines.extend(chain.operators().iter().rev().map(|(operator, _)| {
            format!("{} {} {}", operator.kind, operator.label, operator.detail)
                .trim_end()
                .to_owned()
        }));
    }
    lines.extend(
        source_tables(&plan.root)
            .iter()
            .map(|table| format!("source {table}")),
    );
    let indented = lines
        .iter()
        .enumerate()
        .map(|(depth, line)| "  ".repeat(depth) + line);
    indented.collect::<Vec<_>>().join("\n")
}

pub(super) fn functions() -> QueryResult {
    let rows = functions::list().into_iter().map(|f| {
        vec![
            Value::from(f.name),
            Value::from(f.usage),
            Value::from(f.about),
        ]
    });
    QueryResult::text(&["function name", "usage", "about"], rows.collect())
}

pub(super) fn settings(session: &Session) -> QueryResult {
    let rows = session
        .settings()
        .into_iter()
        .map(|(key, value, about)| vec![Value::from(key), Value::from(value), Value::from(about)]);
    QueryResult::text(&["key", "value", "about"], rows.collect())
}
