//! What one act of planning may come to: nodes, relations, time.
//!
//! A text is bounded, but what it says can multiply: a WITH query stands in
//! the plan once for each time that it is named, and some operators need an
//! operand twice. So nodes are counted as they come to be, not as they are
//! written. Each act of planning has a thread of its own
//! ([`crate::stack::on_large_stack`]), which is where the counts are.

use crate::error::{Position, SqlError};
use crate::functions::guard::{self, GuardError};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use std::cell::Cell;
use std::time::Duration;

type Result<T> = std::result::Result<T, SqlError>;

/// Nodes of expressions and operators in one plan, with all WITH queries
/// written out. A long list of VALUES or IN has as many as the text's length
/// allows; what multiplies gets here soon.
const NODES_MAX: usize = 500_000;
/// Tables, subqueries' rows and VALUES in one plan, with all WITH queries
/// written out.
const RELATIONS_MAX: usize = 128;
/// Operators one above the other in one plan. Whoever walks a plan recurses
/// over them, on a thread's ordinary stack.
const DEPTH_MAX: usize = 64;
/// How long planning may take, where whoever asks sets no deadline.
pub(crate) const PLANNING_TIME_MAX: Duration = Duration::from_secs(60);

thread_local! {
    static SPENT: Cell<Spent> = const { Cell::new(Spent { nodes: 0, relations: 0 }) };
}

/// What a plan, or a part of one, has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    nodes: usize,
    relations: usize,
}

/// Counts nodes that planning is about to make.
pub(crate) fn nodes(count: usize, at: Position) -> Result<()> {
    spend(
        Spent {
            nodes: count,
            relations: 0,
        },
        at,
    )
}

/// Counts a relation of so many columns.
pub(super) fn relation(columns: usize, at: Position) -> Result<()> {
    spend(
        Spent {
            nodes: columns,
            relations: 1,
        },
        at,
    )
}

/// Counts a part that comes into the plan once more.
pub(super) fn spend(more: Spent, at: Position) -> Result<()> {
    guard::check().map_err(|error| ended(&error, at))?;
    let spent = SPENT.with(|spent| {
        let sum = Spent {
            nodes: spent.get().nodes.saturating_add(more.nodes),
            relations: spent.get().relations.saturating_add(more.relations),
        };
        spent.set(sum);
        sum
    });
    if spent.relations > RELATIONS_MAX {
        return Err(SqlError::at(at, "the query reads too many tables")
            .detail(format!(
                "At most {RELATIONS_MAX} are allowed, and a WITH query counts each time that it is named"
            ))
            .hint("keep the result of a part with CREATE MATERIALIZED TABLE"));
    }
    if spent.nodes > NODES_MAX {
        return Err(SqlError::at(at, "the query is too large")
            .detail(format!(
                "It comes to more than {NODES_MAX} nodes, where a WITH query counts each time that it is named"
            ))
            .hint("compute parts in a subquery, or keep them with CREATE MATERIALIZED TABLE"));
    }
    Ok(())
}

fn ended(error: &GuardError, at: Position) -> SqlError {
    SqlError::at(at, format!("the query was not planned: {error}"))
        .hint("write it in smaller parts")
}

/// Refuses a plan that is too deep to be walked.
pub(super) fn check_depth(plan: &LogicalPlan, at: Position) -> Result<()> {
    if depth_of(plan) <= DEPTH_MAX {
        return Ok(());
    }
    Err(SqlError::at(at, "the query is nested too deeply")
        .detail(format!(
            "At most {DEPTH_MAX} operators may stand one above the other, and a WITH query is \
             written out where it is named"
        ))
        .hint("keep the result of a part with CREATE MATERIALIZED TABLE"))
}

fn depth_of(plan: &LogicalPlan) -> usize {
    let inputs = plan.inputs();
    1 + inputs.into_iter().map(depth_of).max().unwrap_or(0)
}

/// What a plan comes to when it is put in once more.
pub(super) fn size_of(plan: &LogicalPlan) -> Spent {
    let mut size = Spent::default();
    // The closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        size.nodes += 1;
        if node.inputs().is_empty() {
            size.relations += 1;
        }
        node.apply_expressions(|expr| {
            size.nodes += nodes_of(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    size
}

/// Nodes of an expression.
pub(crate) fn nodes_of(expr: &Expr) -> usize {
    let mut count = 0;
    // The closure never fails.
    let _ = expr.apply(|_| {
        count += 1;
        Ok(TreeNodeRecursion::Continue)
    });
    count
}
