//! Queries inside expressions. They may not look outside of themselves.

use super::coerce::common_type;
use super::expr::{Binder, convert, position};
use super::scope::internal;
use super::value::Bound;
use crate::error::{Position, SqlError};
use datafusion::common::Spans;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery};
use sqlparser::ast;
use std::sync::Arc;

type Result<T> = std::result::Result<T, SqlError>;

impl Binder<'_> {
    fn subquery(&mut self, query: &ast::Query, at: Position) -> Result<Arc<LogicalPlan>> {
        match &mut self.subqueries {
            Some(subqueries) => subqueries.subquery(query).map(Arc::new),
            None => Err(SqlError::at(at, "a subquery is not supported here")
                .hint("write its result as a table of its own with CREATE MATERIALIZED TABLE")),
        }
    }

    pub(super) fn in_subquery(
        &mut self,
        expr: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        at: Position,
    ) -> Result<Bound> {
        let value = self.bind(expr)?;
        let plan = self.subquery(query, at)?;
        let inner = one_column(&plan, at)?;
        let Some(common) = common_type(value.data_type(), inner.data_type()) else {
            return Err(SqlError::at(
                position(expr),
                format!(
                    "{} and {} cannot be compared",
                    value.type_name(),
                    inner.type_name()
                ),
            )
            .hint("CAST one of them to the other's type"));
        };
        let value = convert(value, &common, self.session, at)?;
        let inner = convert(inner, &common, self.session, at)?;
        let plan = LogicalPlanBuilder::from(plan.as_ref().clone())
            .project(vec![inner.alias("$in")])
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal(at))?;
        let expr = Expr::InSubquery(InSubquery::new(
            Box::new(value),
            uncorrelated(Arc::new(plan)),
            negated,
        ));
        self.bound(expr, at)
    }

    pub(super) fn exists(
        &mut self,
        query: &ast::Query,
        negated: bool,
        at: Position,
    ) -> Result<Bound> {
        let plan = self.subquery(query, at)?;
        self.bound(Expr::Exists(Exists::new(uncorrelated(plan), negated)), at)
    }

    pub(super) fn scalar_subquery(&mut self, query: &ast::Query, at: Position) -> Result<Bound> {
        let plan = self.subquery(query, at)?;
        one_column(&plan, at)?;
        if plan.max_rows() != Some(1) {
            return Err(SqlError::at(at, "this subquery may give more than one row")
                .hint("aggregate in it without GROUP BY, or add LIMIT 1"));
        }
        self.bound(Expr::ScalarSubquery(uncorrelated(plan)), at)
    }
}

fn uncorrelated(subquery: Arc<LogicalPlan>) -> Subquery {
    Subquery {
        subquery,
        outer_ref_columns: Vec::new(),
        spans: Spans::new(),
    }
}

fn one_column(plan: &LogicalPlan, at: Position) -> Result<Bound> {
    match plan.schema().columns().as_slice() {
        [column] => Bound::new(Expr::Column(column.clone()), plan.schema()).map_err(internal(at)),
        columns => Err(SqlError::at(
            at,
            format!("a subquery here has one column, this has {}", columns.len()),
        )),
    }
}
