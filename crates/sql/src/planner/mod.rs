//! Statements to plans: names and types are looked up here, and whatever is
//! not supported is refused here.
//!
//! | entry | for |
//! |---|---|
//! | [`define`] | `CREATE TABLE`, `CREATE MATERIALIZED TABLE`: the table |
//! | [`plan_job`] | `INSERT INTO ... SELECT` |
//! | [`plan_materialized`] | the job of a materialized table |
//! | [`plan_bounded`] | `SELECT` |
//! | [`source_node`] | reading a table, for bounded reads too |
//! | [`notices`] | what of a `CREATE` does nothing here |
//!
//! The way of a query: `query` (clauses) over `relation` (FROM), `select`
//! (grouping and output) and `expr` (expressions, with `operators` and
//! `coerce` for their types) gives a DataFusion `LogicalPlan` in which every
//! conversion is spelt out; `stream` lowers it to the engine's operators,
//! `bounded` leaves it to DataFusion.

pub mod bounded;
mod call;
pub(crate) mod coerce;
mod connector;
mod event_time;
mod explain;
pub(crate) mod expr;
mod insert;
mod literal;
mod multiset;
mod notices;
pub(crate) mod operators;
mod query;
mod relation;
pub(crate) mod scope;
mod select;
mod source;
pub(crate) mod steps;
mod stream;
mod subquery;
mod table;
pub(crate) mod value;
mod window;

use crate::catalog::{Catalog, TableDef};
use crate::error::SqlError;
use crate::functions::guard::{Guard, HELD_BYTES_MAX};
use crate::plan::{JobPlan, SourceNode};
use crate::session::Session;
use crate::stack::on_large_stack;
use crate::statement::{CreateMaterializedTable, Insert, Query, Statement, StatementKind};
pub use bounded::{BoundedPlan, ResultColumn, session_context};
use query::{Mode, QueryPlanner};
use std::sync::Arc;

/// Plans on a thread of its own, until the caller's deadline or
/// [`steps::PLANNING_TIME_MAX`].
fn planned<T: Send>(
    session: &Session,
    work: impl FnOnce() -> Result<T, SqlError> + Send,
) -> Result<T, SqlError> {
    let guard = Guard::current().unwrap_or_else(|| {
        let clock = Arc::clone(&session.clock);
        Guard::with_deadline(HELD_BYTES_MAX, clock, steps::PLANNING_TIME_MAX)
    });
    guard.scope(|| on_large_stack(work))
}

/// The table that a `CREATE TABLE` or `CREATE MATERIALIZED TABLE` makes;
/// other statements are refused. A stored table is read back by
/// [`crate::parser::parse`] of its text and this.
pub fn define(
    statement: &Statement,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<TableDef, SqlError> {
    planned(session, || match &statement.kind {
        StatementKind::CreateTable(create) => table::table(create, session),
        StatementKind::CreateMaterializedTable(create) => {
            let job = insert::plan_materialized(create, catalog, session)?;
            Ok(job.sink.as_ref().clone())
        }
        _ => Err(SqlError::at(
            statement.position,
            "this statement makes no table",
        )),
    })
}

/// A `SELECT` over what its tables hold now.
pub fn plan_bounded(
    query: &Query,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<BoundedPlan, SqlError> {
    planned(session, || {
        let mut planner = QueryPlanner::new(catalog, session, Mode::Bounded);
        let plan = planner.query(&query.ast)?;
        Ok(BoundedPlan::new(planner.tables, plan))
    })
}

/// The job of an `INSERT INTO ... SELECT`.
pub fn plan_job(
    insert: &Insert,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<JobPlan, SqlError> {
    planned(session, || insert::plan_job(insert, catalog, session))
}

/// The job of a `CREATE MATERIALIZED TABLE`; its sink is the table itself.
///
/// The table has the query's columns. Its event time is the `window_time` of
/// the query's window aggregate, or the source's event-time column where the
/// query passes it on under its name.
pub fn plan_materialized(
    create: &CreateMaterializedTable,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<JobPlan, SqlError> {
    planned(session, || {
        insert::plan_materialized(create, catalog, session)
    })
}

/// What of a `CREATE` statement is taken and does nothing here, one sentence
/// each; empty for other statements.
pub fn notices(statement: &Statement) -> Vec<String> {
    notices::notices(statement)
}

/// How a table is read, for jobs and for bounded reads.
pub fn source_node(table: &Arc<TableDef>, session: &Session) -> Result<SourceNode, SqlError> {
    planned(session, || source::source_node(table, session))
}
