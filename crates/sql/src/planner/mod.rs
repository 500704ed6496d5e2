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

pub mod bounded;

use crate::catalog::{Catalog, TableDef};
use crate::error::{Position, SqlError};
use crate::plan::{JobPlan, SourceNode};
use crate::session::Session;
use crate::statement::{CreateMaterializedTable, Insert, Query, Statement};
pub use bounded::BoundedPlan;
use std::sync::Arc;

/// The table that a `CREATE TABLE` or `CREATE MATERIALIZED TABLE` makes;
/// other statements are refused. A stored table is read back by
/// [`crate::parser::parse`] of its text and this.
pub fn define(
    statement: &Statement,
    _catalog: &dyn Catalog,
    _session: &Session,
) -> Result<TableDef, SqlError> {
    Err(SqlError::at(statement.position, "not there yet"))
}

/// The job of an `INSERT INTO ... SELECT`.
pub fn plan_job(
    insert: &Insert,
    _catalog: &dyn Catalog,
    _session: &Session,
) -> Result<JobPlan, SqlError> {
    Err(SqlError::at(insert.query.position, "not there yet"))
}

/// The job of a `CREATE MATERIALIZED TABLE`; its sink is the table itself.
pub fn plan_materialized(
    create: &CreateMaterializedTable,
    _catalog: &dyn Catalog,
    _session: &Session,
) -> Result<JobPlan, SqlError> {
    Err(SqlError::at(create.query.position, "not there yet"))
}

/// A `SELECT` over what its tables hold now.
pub fn plan_bounded(
    query: &Query,
    _catalog: &dyn Catalog,
    _session: &Session,
) -> Result<BoundedPlan, SqlError> {
    Err(SqlError::at(query.position, "not there yet"))
}

/// How a table is read: its computed columns and watermark over its physical
/// and metadata columns.
pub fn source_node(_table: &Arc<TableDef>, _session: &Session) -> Result<SourceNode, SqlError> {
    Err(SqlError::at(Position::START, "not there yet"))
}
