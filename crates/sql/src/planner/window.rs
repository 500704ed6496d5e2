//! Where a plan's columns are those of a window.

use crate::functions::window::{self, WINDOW_END, WINDOW_START};
use crate::plan::WindowSpec;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};

/// The window columns among a plan's output columns, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Which window.
    pub(super) spec: WindowSpec,
    /// `window_start`.
    pub(super) start: Option<usize>,
    /// `window_end`.
    pub(super) end: Option<usize>,
    /// `window_time`.
    pub(super) row_time: Option<usize>,
    /// The time column itself.
    pub(super) time: Option<usize>,
}

/// Follows the columns that TUMBLE added up to this plan's output.
pub(super) fn window_of(plan: &LogicalPlan) -> Option<Window> {
    match plan {
        LogicalPlan::Filter(filter) => window_of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => window_of(&alias.input),
        LogicalPlan::Projection(projection) => {
            added(projection).or_else(|| passed(projection, window_of(&projection.input)?))
        }
        _ => None,
    }
}

/// The window that this very projection adds.
fn added(projection: &Projection) -> Option<Window> {
    let mut window: Option<Window> = None;
    for (index, expr) in projection.expr.iter().enumerate() {
        let Some((name, spec, time)) = window::parts(plain(expr)) else {
            continue;
        };
        let window = window.get_or_insert_with(|| Window {
            spec,
            start: None,
            end: None,
            row_time: None,
            time: projection.expr.iter().position(|e| plain(e) == time),
        });
        match name {
            WINDOW_START => window.start = Some(index),
            WINDOW_END => window.end = Some(index),
            _ => window.row_time = Some(index),
        }
    }
    window
}

/// Whether a projection is its input, column by column, and then what TUMBLE
/// adds.
pub(super) fn adds_window_only(projection: &Projection) -> bool {
    let schema = projection.input.schema();
    let (same, more) = projection
        .expr
        .split_at(schema.fields().len().min(projection.expr.len()));
    let is_same = |(index, expr): (usize, &Expr)| match expr {
        Expr::Column(column) => index_of(schema, column) == Some(index),
        _ => false,
    };
    same.iter().enumerate().all(is_same) && more.iter().all(|e| window::parts(plain(e)).is_some())
}

/// The columns that a projection passes on.
fn passed(projection: &Projection, below: Window) -> Option<Window> {
    let schema = projection.input.schema();
    let find = |index: Option<usize>| {
        let index = index?;
        projection.expr.iter().position(|e| match plain(e) {
            Expr::Column(column) => index_of(schema, column) == Some(index),
            _ => false,
        })
    };
    Some(Window {
        spec: below.spec,
        start: find(below.start),
        end: find(below.end),
        row_time: find(below.row_time),
        time: find(below.time),
    })
}

/// A column's index.
pub(super) fn index_of(schema: &DFSchema, column: &Column) -> Option<usize> {
    schema.maybe_index_of_column(column)
}

/// Without its alias.
pub(super) fn plain(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}
