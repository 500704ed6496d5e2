//! Jobs: a query, and the table it writes.

use super::coerce::implicit;
use super::connector::materialized_connector;
use super::event_time::event_time;
use super::expr::position;
use super::query::{Mode, QueryPlanner, Result, columns_of, project};
use super::relation::no_table;
use super::stream::Lowering;
use super::table::{materialized_field, persisted};
use super::value::Bound;
use crate::catalog::{Catalog, ColumnKind, TableDef, TableKind};
use crate::error::{Position, SqlError};
use crate::functions::call::null;
use crate::functions::cast::{OnError, cast};
use crate::functions::native::{Args, Native, Nulls, Params};
use crate::plan::{JobPlan, PlanNode};
use crate::session::Session;
use crate::statement::{CreateMaterializedTable, Insert, Query};
use crate::types::{SqlType, field_type_name};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Field, Schema};
use datafusion::common::exec_err;
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast;
use std::sync::Arc;

/// The job of an `INSERT INTO ... SELECT`.
pub(super) fn plan_job(
    insert: &Insert,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<JobPlan> {
    let name = &insert.table;
    let Some(sink) = catalog.table(&name.value) else {
        return Err(no_table(&name.value, name.position, &catalog.table_names()));
    };
    if sink.kind == TableKind::MaterializedTable {
        return Err(SqlError::at(
            name.position,
            format!("'{}' is a materialized table", name.value),
        )
        .detail("Its own query writes it")
        .hint("INSERT INTO a table made with CREATE TABLE"));
    }
    let mut planner = QueryPlanner::new(catalog, session, Mode::Streaming);
    let plan = planner.query(&insert.query.ast)?;
    let exprs = sink_columns(insert, &plan, &sink, session)?;
    let root = lower(&planner, plan, exprs, &insert.query)?;
    Ok(JobPlan {
        statement: insert.text.clone(),
        root,
        sink,
    })
}

/// The job of a `CREATE MATERIALIZED TABLE`.
pub(super) fn plan_materialized(
    create: &CreateMaterializedTable,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<JobPlan> {
    let at = create.query.position;
    let mut planner = QueryPlanner::new(catalog, session, Mode::Streaming);
    let plan = planner.query(&create.query.ast)?;
    let columns = columns_of(&plan);
    let fields = columns.iter().map(|c| materialized_field(c, at));
    let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
    let kinds = vec![ColumnKind::Physical; schema.fields().len()];
    let sink = Arc::new(TableDef {
        name: create.name.value.clone(),
        statement: create.text.clone(),
        kind: TableKind::MaterializedTable,
        primary_key: Vec::new(),
        watermark: event_time(&plan, &planner.tables),
        connector: materialized_connector(&create.options, &create.name, &schema, &kinds)?,
        columns: kinds,
        schema,
    });
    let exprs = columns.into_iter().map(|c| c.expr).collect();
    let root = lower(&planner, plan, exprs, &create.query)?;
    Ok(JobPlan {
        statement: create.text.clone(),
        root,
        sink,
    })
}

fn lower(
    planner: &QueryPlanner<'_>,
    plan: LogicalPlan,
    exprs: Vec<Expr>,
    query: &Query,
) -> Result<PlanNode> {
    let plan = project(plan, exprs, query.position)?;
    Lowering {
        session: planner.session,
        tables: &planner.tables,
        at: query.position,
    }
    .plan(&plan)
}

/// One expression a persisted column of the sink.
fn sink_columns(
    insert: &Insert,
    plan: &LogicalPlan,
    sink: &TableDef,
    session: &Session,
) -> Result<Vec<Expr>> {
    let persisted = persisted(sink);
    let targets = targets(insert, sink, &persisted)?;
    let columns = columns_of(plan);
    let places = item_places(&insert.query);
    if columns.len() != targets.len() {
        return Err(SqlError::at(
            insert.query.position,
            format!(
                "the query has {} columns, '{}' takes {}",
                columns.len(),
                sink.name,
                targets.len()
            ),
        )
        .detail(schemas(&columns, &persisted)));
    }
    let mut exprs = Vec::new();
    for (slot, (_, field)) in persisted.iter().enumerate() {
        let value = match targets.iter().position(|t| *t == slot) {
            Some(at) => match columns.get(at) {
                Some(column) => {
                    let place = places.get(at).copied().unwrap_or(insert.query.position);
                    assigned(column, field, session, place, &columns, &persisted)?
                }
                None => null(field.data_type())?,
            },
            None if field.is_nullable() => null(field.data_type())?,
            None => {
                return Err(SqlError::at(
                    insert.table.position,
                    format!("column '{}' is NOT NULL and gets no value", field.name()),
                )
                .hint("add it to the list of columns"));
            }
        };
        exprs.push(value.alias(field.name()));
    }
    Ok(exprs)
}

/// Which persisted column each of the query's columns goes to.
fn targets(insert: &Insert, sink: &TableDef, persisted: &[(usize, Field)]) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok((0..persisted.len()).collect());
    }
    let mut targets = Vec::new();
    for name in &insert.columns {
        let Some(slot) = persisted.iter().position(|(_, f)| *f.name() == name.value) else {
            let error = if sink.schema.field_with_name(&name.value).is_ok() {
                SqlError::at(
                    name.position,
                    format!(
                        "column '{}' is computed or VIRTUAL and cannot be written",
                        name.value
                    ),
                )
            } else {
                SqlError::at(
                    name.position,
                    format!("table '{}' has no column '{}'", sink.name, name.value),
                )
                .meant(
                    &name.value,
                    persisted.iter().map(|(_, f)| f.name().as_str()),
                )
            };
            return Err(error);
        };
        if targets.contains(&slot) {
            return Err(SqlError::at(
                name.position,
                format!("column '{}' is there twice", name.value),
            ));
        }
        targets.push(slot);
    }
    Ok(targets)
}

/// A query's column as the sink's, by Flink's implicit casts.
fn assigned(
    column: &Bound,
    field: &Field,
    session: &Session,
    at: Position,
    columns: &[Bound],
    persisted: &[(usize, Field)],
) -> Result<Expr> {
    let mismatch = || {
        SqlError::at(
            at,
            format!(
                "column '{}' is {}, the query gives {}",
                field.name(),
                field_type_name(field),
                column.type_name()
            ),
        )
        .detail(schemas(columns, persisted))
        .hint(format!(
            "write CAST(... AS {})",
            super::source::declared(field).name
        ))
    };
    if !implicit(column.data_type(), field.data_type()) {
        return Err(mismatch());
    }
    // Declared lengths are the sink's promise to its readers, not a
    // conversion: Flink's sinks write as is unless told otherwise.
    let plain = SqlType::of(field.data_type().clone());
    let mut value = column.clone();
    let same = value.data_type() == field.data_type();
    let nullable = value.nullable();
    let expr = if same {
        value.expr
    } else {
        value.field = Arc::new(Field::new("value", value.data_type().clone(), nullable));
        match cast(value.clone(), &plain, OnError::Fail, session.time_zone) {
            Some(expr) => expr,
            // ROWs that differ in names only.
            None => Expr::Cast(datafusion::logical_expr::Cast::new(
                Box::new(value.expr),
                field.data_type().clone(),
            )),
        }
    };
    if field.is_nullable() || !nullable {
        return Ok(expr);
    }
    let params = Params {
        text: field.name().clone(),
        ..Params::default()
    };
    Ok(Native::call(
        "NOT_NULL",
        not_null,
        field.data_type().clone(),
        Nulls::Never,
        params,
        vec![expr],
    ))
}

/// Flink's `table.exec.sink.not-null-enforcer` = ERROR.
fn not_null(args: &Args<'_>) -> datafusion::common::Result<ArrayRef> {
    let array = args.array(0)?;
    if array.null_count() > 0 {
        return exec_err!(
            "column '{}' is NOT NULL, but a row of the query has NULL in it",
            args.params().text
        );
    }
    Ok(array.clone())
}

/// Both sides, as Flink shows them.
fn schemas(columns: &[Bound], persisted: &[(usize, Field)]) -> String {
    let query: Vec<_> = columns
        .iter()
        .map(|c| format!("{}: {}", c.field.name(), field_type_name(&c.field)))
        .collect();
    let sink: Vec<_> = persisted
        .iter()
        .map(|(_, f)| format!("{}: {}", f.name(), field_type_name(f)))
        .collect();
    format!(
        "Query: [{}]. Table: [{}]",
        query.join(", "),
        sink.join(", ")
    )
}

/// Where each output column of a plain SELECT stands.
fn item_places(query: &Query) -> Vec<Position> {
    let ast::SetExpr::Select(select) = query.ast.body.as_ref() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for item in &select.projection {
        match item {
            ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                places.push(position(expr));
            }
            // After * the columns cannot be counted any more.
            _ => return Vec::new(),
        }
    }
    places
}
