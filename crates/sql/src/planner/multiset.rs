//! `INTERSECT ALL` and `EXCEPT ALL`: rows with their multiplicities.
//!
//! A row that is there m times on the left and n times on the right is
//! min(m, n) times in the intersection and max(0, m - n) times in the
//! difference (SQL:2016 7.17). Each side's rows are numbered among their
//! equals; then the k-th of them on the left meets the k-th on the right.

use super::query::{Result, columns_of, project};
use super::scope::internal;
use crate::error::Position;
use datafusion::common::Column;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};

/// Which of the left side's rows stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// `INTERSECT ALL`
    Matched,
    /// `EXCEPT ALL`
    Unmatched,
}

/// Both sides have the same number of columns, of the same types.
pub(super) fn match_all(
    left: LogicalPlan,
    right: LogicalPlan,
    keep: Keep,
    at: Position,
) -> Result<LogicalPlan> {
    let names: Vec<String> = columns_of(&left)
        .iter()
        .map(|column| column.field.name().clone())
        .collect();
    let (left, right) = (numbered(left, at)?, numbered(right, at)?);
    let matched = match keep {
        Keep::Matched => LogicalPlanBuilder::intersect(left, right, true),
        Keep::Unmatched => LogicalPlanBuilder::except(left, right, true),
    };
    let matched = matched.map_err(internal(at))?;
    let columns = columns_of(&matched).into_iter().zip(names);
    let columns = columns
        .map(|(column, name)| column.expr.alias(name))
        .collect();
    project(matched, columns, at)
}

/// The columns under names of their own, and the row's number among equals.
fn numbered(plan: LogicalPlan, at: Position) -> Result<LogicalPlan> {
    let columns = columns_of(&plan).into_iter().enumerate();
    let columns = columns
        .map(|(i, column)| column.expr.alias(format!("$column{i}")))
        .collect();
    let plan = project(plan, columns, at)?;
    let equals: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|field| Expr::Column(Column::from(field)))
        .collect();
    let number = row_number()
        .partition_by(equals)
        .build()
        .map_err(internal(at))?;
    LogicalPlanBuilder::from(plan)
        .window([number.alias("$number")])
        .and_then(LogicalPlanBuilder::build)
        .map_err(internal(at))
}
