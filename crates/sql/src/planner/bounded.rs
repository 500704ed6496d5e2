//! Bounded queries: a logical plan whose scans the engine binds to what the
//! tables hold.

use crate::catalog::TableDef;
use crate::types::field_type_name;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{TableReference, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_limit::EliminateLimit;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::collections::HashMap;
use std::sync::Arc;

/// A planned `SELECT`.
#[derive(Debug, Clone)]
pub struct BoundedPlan {
    /// The tables it reads, each once.
    pub tables: Vec<Arc<TableDef>>,
    /// The plan. Scans are by table name over the table's full schema.
    pub plan: LogicalPlan,
    /// The result's columns.
    pub columns: Vec<ResultColumn>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Name.
    pub name: String,
    /// Flink's name of its type.
    pub type_name: String,
}

impl BoundedPlan {
    pub(super) fn new(tables: Vec<Arc<TableDef>>, plan: LogicalPlan) -> Self {
        let columns = plan
            .schema()
            .fields()
            .iter()
            .map(|field| ResultColumn {
                name: field.name().clone(),
                type_name: field_type_name(field),
            })
            .collect();
        Self {
            tables,
            plan,
            columns,
        }
    }

    /// The plan with every scan reading from the provider of its table's
    /// name; the provider's schema is the table's full schema.
    pub fn bind(&self, providers: &HashMap<String, Arc<dyn TableProvider>>) -> Result<LogicalPlan> {
        let bound = self.plan.clone().transform_down_with_subqueries(|plan| {
            let LogicalPlan::TableScan(scan) = &plan else {
                return Ok(Transformed::no(plan));
            };
            let name = scan.table_name.table();
            let Some(provider) = providers.get(name) else {
                return plan_err!("nothing to read table '{name}' from");
            };
            let scan = TableScan::try_new(
                TableReference::bare(name),
                provider_as_source(provider.clone()),
                None,
                Vec::new(),
                None,
            )?;
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })?;
        let bound = bound.data.transform_up_with_subqueries(|plan| {
            plan.map_expressions(|expr| expr.transform_up(|e| Ok(without_metadata(e))))?
                .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(bound.data)
    }
}

/// Declared types travel as metadata of aliases and literals while a query is
/// planned. DataFusion's physical expressions drop them, and it then refuses
/// to run what it planned with them.
fn without_metadata(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Alias(mut alias) if alias.metadata.is_some() => {
            alias.metadata = None;
            Transformed::yes(Expr::Alias(alias))
        }
        Expr::Literal(value, Some(_)) => Transformed::yes(Expr::Literal(value, None)),
        other => Transformed::no(other),
    }
}

/// The rules that a bounded plan is optimised by. None of them evaluates
/// expressions: a cast that fails must fail while running, and only if its
/// row is reached.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(PushDownLimit::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// A context that executes bound plans:
/// `context.execute_logical_plan(plan).await?.execute_stream().await`. It has
/// our optimiser rules, runs on one thread at a time, and its operators hold at
/// most `memory_bytes_max`; nothing spills to disk.
pub fn session_context(memory_bytes_max: usize) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.default_null_ordering = "nulls_min".to_owned();
    options.optimizer.skip_failed_rules = false;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes_max)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(optimizer_rules())
        .build();
    Ok(SessionContext::new_with_state(state))
}
