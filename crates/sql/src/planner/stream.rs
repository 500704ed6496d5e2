//! Logical plans to the engine's operators.

use super::query::Result;
use super::scope::internal;
use super::source::source_node;
use super::window::{adds_window_only, index_of, plain, window_of};
use crate::catalog::TableDef;
use crate::error::{Position, SqlError};
use crate::plan::{FilterNode, PlanNode, ProjectNode, WindowAggregateExpr, WindowAggregateNode};
use crate::session::Session;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::collections::HashSet;
use std::sync::Arc;

/// Lowers plans of one query.
pub(super) struct Lowering<'a> {
    pub(super) session: &'a Session,
    pub(super) tables: &'a [Arc<TableDef>],
    /// Where the query stands, for what should have been refused before.
    pub(super) at: Position,
}

impl Lowering<'_> {
    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<PlanNode> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let table = self
                    .tables
                    .iter()
                    .find(|t| t.name == scan.table_name.table());
                let Some(table) = table else {
                    return Err(SqlError::at(
                        self.at,
                        format!("table '{}' is not there", scan.table_name),
                    ));
                };
                Ok(PlanNode::Source(Box::new(source_node(
                    table,
                    self.session,
                )?)))
            }
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Filter(filter) => Ok(PlanNode::Filter(Box::new(FilterNode {
                input: self.plan(&filter.input)?,
                predicate: physical(&filter.predicate, filter.input.schema(), self.at)?,
            }))),
            LogicalPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                let schema = projection.input.schema();
                let expressions = projection.expr.iter().map(|e| physical(e, schema, self.at));
                Ok(PlanNode::Project(Box::new(ProjectNode {
                    input,
                    expressions: expressions.collect::<Result<_>>()?,
                    schema: projection.schema.inner().clone(),
                })))
            }
            LogicalPlan::Aggregate(aggregate) => self.window_aggregate(aggregate),
            other => Err(SqlError::at(
                self.at,
                format!("{} is not supported in a job", other.display()),
            )),
        }
    }

    fn window_aggregate(&self, aggregate: &Aggregate) -> Result<PlanNode> {
        let input = &aggregate.input;
        let Some(window) = window_of(input) else {
            return Err(SqlError::at(
                self.at,
                "an aggregate without a window is not supported in a job",
            ));
        };
        // Every time in a window has the same window: its start serves where
        // the query dropped the time column.
        let (Some(time_column), Some(start)) = (window.time.or(window.start), window.start) else {
            return Err(SqlError::at(
                self.at,
                "GROUP BY must name both window_start and window_end",
            ));
        };
        let schema = input.schema();
        let window_field = schema.field(start);
        let mut keys = Vec::new();
        let mut fields: Vec<Field> = Vec::new();
        let mut places = Vec::new();
        for expr in &aggregate.group_expr {
            let expr = plain(expr);
            let index = match expr {
                Expr::Column(column) => index_of(schema, column),
                _ => None,
            };
            places.push(match index {
                Some(_) if index == window.start => Place::Window(0),
                Some(_) if index == window.end => Place::Window(1),
                Some(_) if index == window.row_time => Place::Window(2),
                _ => {
                    let key = physical(expr, schema, self.at)?;
                    let field = key
                        .return_field(schema.as_arrow())
                        .map_err(internal(self.at))?;
                    let name = format!("$key{}", keys.len());
                    fields.push(field.as_ref().clone().with_name(name));
                    keys.push(key);
                    Place::Key(keys.len() - 1)
                }
            });
        }
        for name in ["window_start", "window_end", "window_time"] {
            fields.push(Field::new(name, window_field.data_type().clone(), false));
        }
        let mut aggregates = Vec::new();
        for (i, expr) in aggregate.aggr_expr.iter().enumerate() {
            let built = self.aggregate_expr(plain(expr), schema, format!("$agg{i}"))?;
            fields.push(built.function.field().as_ref().clone());
            aggregates.push(built);
        }
        let mut reads = HashSet::new();
        for expr in aggregate.aggr_expr.iter().chain(&aggregate.group_expr) {
            let expr = plain(expr);
            let is_window = matches!(expr, Expr::Column(c) if [window.start, window.end, window.row_time].contains(&index_of(schema, c)));
            if !is_window {
                reads.extend(
                    expr.column_refs()
                        .into_iter()
                        .filter_map(|c| index_of(schema, c)),
                );
            }
        }
        let node = WindowAggregateNode {
            input: self.window_input(input, &reads, time_column)?,
            time_column,
            window: window.spec,
            keys,
            aggregates,
            schema: Arc::new(Schema::new(fields)),
        };
        Ok(reordered(node, &places, aggregate.schema.inner().clone()))
    }

    /// The aggregate's input. The columns that TUMBLE added stand last: where
    /// only the aggregate itself reads them, they are not computed at all,
    /// because it finds the window by itself.
    fn window_input(
        &self,
        plan: &LogicalPlan,
        reads: &HashSet<usize>,
        time_column: usize,
    ) -> Result<PlanNode> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => {
                self.window_input(&alias.input, reads, time_column)
            }
            LogicalPlan::Filter(filter) => {
                let schema = filter.input.schema();
                let mut reads = reads.clone();
                let columns = filter.predicate.column_refs();
                reads.extend(columns.into_iter().filter_map(|c| index_of(schema, c)));
                Ok(PlanNode::Filter(Box::new(FilterNode {
                    input: self.window_input(&filter.input, &reads, time_column)?,
                    predicate: physical(&filter.predicate, schema, self.at)?,
                })))
            }
            LogicalPlan::Projection(projection) => {
                let width = projection.input.schema().fields().len();
                let unread = reads.iter().all(|i| *i < width) && time_column < width;
                if unread && adds_window_only(projection) {
                    return self.plan(&projection.input);
                }
                self.plan(plan)
            }
            _ => self.plan(plan),
        }
    }

    fn aggregate_expr(
        &self,
        expr: &Expr,
        schema: &DFSchema,
        name: String,
    ) -> Result<WindowAggregateExpr> {
        let Expr::AggregateFunction(call) = expr else {
            return Err(SqlError::at(self.at, format!("{expr} is no aggregate")));
        };
        let args = call
            .params
            .args
            .iter()
            .map(|a| physical(a, schema, self.at));
        let function = AggregateExprBuilder::new(call.func.clone(), args.collect::<Result<_>>()?)
            .schema(schema.inner().clone())
            .alias(name)
            .with_distinct(call.params.distinct)
            .build()
            .map_err(internal(self.at))?;
        let filter = match &call.params.filter {
            Some(filter) => Some(physical(filter, schema, self.at)?),
            None => None,
        };
        Ok(WindowAggregateExpr {
            function: Arc::new(function),
            filter,
        })
    }
}

/// Where a group expression is in the aggregate's output.
enum Place {
    Key(usize),
    Window(usize),
}

/// The aggregate's columns in the order of the logical plan.
fn reordered(node: WindowAggregateNode, places: &[Place], schema: SchemaRef) -> PlanNode {
    let keys = node.keys.len();
    let indices = places.iter().map(|place| match place {
        Place::Key(key) => *key,
        Place::Window(part) => keys + part,
    });
    let aggregates = (0..node.aggregates.len()).map(|i| keys + 3 + i);
    let expressions = indices
        .chain(aggregates)
        .map(|index| {
            let name = node.schema.field(index).name();
            Arc::new(PhysicalColumn::new(name, index)) as Arc<dyn PhysicalExpr>
        })
        .collect();
    PlanNode::Project(Box::new(ProjectNode {
        input: PlanNode::WindowAggregate(Box::new(node)),
        expressions,
        schema,
    }))
}

/// An expression over a schema, ready to run.
pub(super) fn physical(
    expr: &Expr,
    schema: &DFSchema,
    at: Position,
) -> Result<Arc<dyn PhysicalExpr>> {
    create_physical_expr(expr, schema, &ExecutionProps::new()).map_err(internal(at))
}
