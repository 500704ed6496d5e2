//! Plans: what the planner hands to the engine.
//!
//! Expressions are DataFusion's `PhysicalExpr` over the columns of the node's
//! *input* schema, by index. Every node's `schema` is that of its output.

use crate::catalog::TableDef;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use std::sync::Arc;

/// A continuous `INSERT INTO sink SELECT ...`.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// The statement, whole.
    pub statement: String,
    /// What computes the rows.
    pub root: PlanNode,
    /// Where they go. Columns of `root` line up with the sink's persisted
    /// columns (all but computed and virtual ones), already cast to their
    /// types.
    pub sink: Arc<TableDef>,
}

/// An operator and what feeds it.
#[derive(Debug, Clone)]
pub enum PlanNode {
    /// Reads a table.
    Source(Box<SourceNode>),
    /// Computes columns.
    Project(Box<ProjectNode>),
    /// Keeps rows for which a predicate is true.
    Filter(Box<FilterNode>),
    /// Aggregates per event-time window and key.
    WindowAggregate(Box<WindowAggregateNode>),
}

impl PlanNode {
    /// The schema of what the node puts out.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Source(n) => n.schema.clone(),
            Self::Project(n) => n.schema.clone(),
            Self::Filter(n) => n.input.schema(),
            Self::WindowAggregate(n) => n.schema.clone(),
        }
    }

    /// The node that feeds this one.
    pub fn input(&self) -> Option<&PlanNode> {
        match self {
            Self::Source(_) => None,
            Self::Project(n) => Some(&n.input),
            Self::Filter(n) => Some(&n.input),
            Self::WindowAggregate(n) => Some(&n.input),
        }
    }
}

/// Reads a table: decode, add metadata columns, compute columns, follow the
/// watermark. The steps in order:
///
/// 1. decode the value (and key) into the table's physical columns and take
///    its metadata columns from the record, giving `base_schema`;
/// 2. evaluate `columns` over `base_schema`, giving `schema`, the table's
///    full schema in declared order;
/// 3. evaluate `watermark` over `schema`.
#[derive(Debug, Clone)]
pub struct SourceNode {
    /// Which table.
    pub table: Arc<TableDef>,
    /// Physical and metadata columns, in declared order.
    pub base_schema: SchemaRef,
    /// One expression a column of `schema`, over `base_schema`.
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
    /// The table's full schema.
    pub schema: SchemaRef,
    /// How event time advances; `None` when the table has no `WATERMARK FOR`.
    pub watermark: Option<WatermarkNode>,
}

/// How event time advances.
#[derive(Debug, Clone)]
pub struct WatermarkNode {
    /// Index of the time column in the source's schema.
    pub column: usize,
    /// The watermark of a row, a timestamp, over the source's schema. A
    /// partition's watermark is the maximum so far, in milliseconds; the
    /// source's is the minimum over partitions that are not idle. NULL does
    /// not move it.
    pub expression: Arc<dyn PhysicalExpr>,
}

/// Computes columns.
#[derive(Debug, Clone)]
pub struct ProjectNode {
    /// What feeds it.
    pub input: PlanNode,
    /// One expression an output column, over the input's schema.
    pub expressions: Vec<Arc<dyn PhysicalExpr>>,
    /// Names and types of the expressions.
    pub schema: SchemaRef,
}

/// Keeps the rows for which `predicate` is true (not false, not NULL).
#[derive(Debug, Clone)]
pub struct FilterNode {
    /// What feeds it.
    pub input: PlanNode,
    /// BOOLEAN over the input's schema.
    pub predicate: Arc<dyn PhysicalExpr>,
}

/// `GROUP BY window_start, window_end, keys...` over a window table function.
///
/// The output schema is: the keys, then `window_start` and `window_end`
/// (TIMESTAMP(3) in the time column's zone kind), `window_time`
/// (`window_end - 1 ms`, the event time of what follows), then one column an
/// aggregate. A projection above puts them in the order of the SELECT.
#[derive(Debug, Clone)]
pub struct WindowAggregateNode {
    /// What feeds it.
    pub input: PlanNode,
    /// Index of the time column in the input's schema.
    pub time_column: usize,
    /// Which windows a row falls into.
    pub window: WindowSpec,
    /// Group keys other than the window, over the input's schema.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Aggregates over the input's schema; each gives a `GroupsAccumulator`
    /// or, failing that, an `Accumulator`.
    pub aggregates: Vec<WindowAggregateExpr>,
    /// See above.
    pub schema: SchemaRef,
}

/// One aggregate of a window.
#[derive(Debug, Clone)]
pub struct WindowAggregateExpr {
    /// Function, arguments and DISTINCT, as DataFusion runs it.
    pub function: Arc<AggregateFunctionExpr>,
    /// `FILTER (WHERE ...)`, BOOLEAN over the input's schema.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

/// Which windows a row falls into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSpec {
    /// `TUMBLE`: one window, `[start, start + size)`, with
    /// `start = ts - (ts - offset) mod size`, as Flink's
    /// `TimeWindow.getWindowStartWithOffset`.
    Tumble {
        /// Length in milliseconds, above 0.
        size_ms: i64,
        /// Shift of all windows in milliseconds.
        offset_ms: i64,
    },
}
