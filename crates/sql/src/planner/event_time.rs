//! Which column of a query carries event time on, and how far behind it the
//! watermark of its readers stays.

use super::window::{index_of, plain, window_of};
use crate::catalog::{TableDef, WatermarkDef};
use crate::parser::parse_expression;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast::{self, Visit, Visitor};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The event time of a table that a query writes:
///
/// - `window_time` of a window aggregate: windows come out in order, so the
///   watermark is the column itself;
/// - the source's event time under its own name: rows come out as disordered
///   as they came in, so the watermark is the source's, if it is made from
///   that column alone.
pub(super) fn event_time(plan: &LogicalPlan, tables: &[Arc<TableDef>]) -> Option<WatermarkDef> {
    let fields = plan.schema().fields();
    fields.iter().enumerate().find_map(|(column, field)| {
        if !matches!(
            field.data_type(),
            DataType::Timestamp(TimeUnit::Millisecond, _)
        ) {
            return None;
        }
        let expression = match origin(plan, column)? {
            Origin::WindowTime => format!("`{}`", field.name().replace('`', "``")),
            Origin::Scan(name, index) => {
                let table = tables.iter().find(|t| t.name == name)?;
                let watermark = table.watermark.as_ref().filter(|w| w.column == index)?;
                let same_name = table.schema.field(index).name() == field.name();
                (same_name && uses_only(&watermark.expression, field.name()))
                    .then(|| watermark.expression.clone())?
            }
        };
        Some(WatermarkDef { column, expression })
    })
}

/// Where a column comes from, unchanged.
enum Origin {
    /// `window_time`, a key of a window aggregate.
    WindowTime,
    /// A table's column, by index.
    Scan(String, usize),
}

fn origin(plan: &LogicalPlan, index: usize) -> Option<Origin> {
    let below = |expr: &Expr, input: &LogicalPlan| match plain(expr) {
        Expr::Column(column) => index_of(input.schema(), column),
        _ => None,
    };
    match plan {
        LogicalPlan::TableScan(scan) => {
            Some(Origin::Scan(scan.table_name.table().to_owned(), index))
        }
        LogicalPlan::Filter(filter) => origin(&filter.input, index),
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, index),
        LogicalPlan::Projection(projection) => {
            let index = below(projection.expr.get(index)?, &projection.input)?;
            origin(&projection.input, index)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let index = below(aggregate.group_expr.get(index)?, &aggregate.input)?;
            let window = window_of(&aggregate.input)?;
            (window.row_time == Some(index)).then_some(Origin::WindowTime)
        }
        _ => None,
    }
}

/// Whether an expression names no other column.
fn uses_only(expression: &str, column: &str) -> bool {
    struct Names<'a>(&'a str);
    impl Visitor for Names<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match expr {
                ast::Expr::Identifier(name) if name.value != self.0 => ControlFlow::Break(()),
                ast::Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    parse_expression(expression)
        .is_ok_and(|parsed| parsed.ast.visit(&mut Names(column)).is_continue())
}
