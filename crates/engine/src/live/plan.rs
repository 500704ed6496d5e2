//! What a live query needs of its tables, found by planning it once.

use crate::query;
use crate::service::EngineError;
use crate::source::Source;
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use millstream_sql::catalog::Catalog;
use millstream_sql::error::SqlError;
use millstream_sql::plan::SourceNode;
use millstream_sql::planner::{BoundedPlan, plan_bounded, source_node};
use millstream_sql::session::Session;
use millstream_sql::statement::{Query, StatementKind};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A live query that is ready to be subscribed to.
pub(crate) struct Planned {
    /// Tells queries apart: the text and the definitions of its tables.
    pub(super) key: Vec<String>,
    pub(super) plan: BoundedPlan,
    pub(super) needed: Vec<Needed>,
    pub(super) time_zone: Tz,
}

/// A table, and what of it is looked at.
pub(super) struct Needed {
    pub(super) node: SourceNode,
    /// By index into the table's schema.
    pub(super) columns: BTreeSet<usize>,
}

impl Planned {
    pub(super) fn topics(&self) -> Vec<String> {
        let topics = self.needed.iter();
        topics
            .map(|needed| needed.node.table.connector.topic.clone())
            .collect()
    }
}

/// Plans one SELECT.
pub(crate) fn plan(
    sql: &str,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Planned, EngineError> {
    let query = only_query(sql)?;
    let plan = plan_bounded(&query, catalog, session)?;
    let mut key = vec![sql.trim().to_owned(), session.time_zone.name().to_owned()];
    key.extend(plan.tables.iter().map(|table| table.statement.clone()));
    let mut columns = columns_of(&plan)?;
    let mut needed = Vec::with_capacity(plan.tables.len());
    for table in &plan.tables {
        let node = source_node(table, session)?;
        // Whoever subscribes is told that a table cannot be read.
        Source::new(&node).map_err(query::QueryError::from)?;
        needed.push(Needed {
            node,
            columns: columns.remove(&table.name).unwrap_or_default(),
        });
    }
    Ok(Planned {
        key,
        plan,
        needed,
        time_zone: session.time_zone,
    })
}

/// The columns that the plan's scans read, by table.
fn columns_of(plan: &BoundedPlan) -> Result<HashMap<String, BTreeSet<usize>>, query::QueryError> {
    let empty = |schema| Arc::new(EmptyTable::new(schema)) as Arc<dyn TableProvider>;
    let tables = plan.tables.iter();
    let tables = tables
        .map(|table| (table.name.clone(), empty(table.schema.clone())))
        .collect();
    let context = query::context(&query::QueryLimits::default())?;
    let optimized = query::prepare(&context, plan, &tables)?;
    let mut columns: HashMap<String, BTreeSet<usize>> = HashMap::new();
    optimized
        .apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let all = || (0..scan.source.schema().fields().len()).collect();
                let read: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
                let name = scan.table_name.table().to_owned();
                columns.entry(name).or_default().extend(read);
            }
            Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
        })
        .map_err(query::QueryError::from)?;
    Ok(columns)
}

fn only_query(sql: &str) -> Result<Query, EngineError> {
    let mut statements = millstream_sql::parser::parse(sql)?;
    let Some(statement) = statements.pop() else {
        return Err(EngineError::Empty);
    };
    match statement.kind {
        StatementKind::Query(query) if statements.is_empty() => Ok(query),
        _ => {
            let error = SqlError::at(statement.position, "a live query is one SELECT");
            Err(error
                .hint("run other statements with POST /api/v1/sql")
                .into())
        }
    }
}
