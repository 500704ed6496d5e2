//! Bounded queries: what tables hold now, through DataFusion.
//!
//! | module | what |
//! |---|---|
//! | [`pool`] | the threads that queries run on |
//! | `guarded` | plans that can be ended while they compute |
//! | [`scan`] | reads a table's topic to its stable end |
//! | [`values`] | columns as JSON values |
//! | `rows` | a result's rows, bounded |

mod guarded;
pub mod pool;
mod rows;
pub mod scan;
pub mod values;

pub use rows::{CutBy, ResultRows};

use crate::source::SourceError;
use crate::source::startup::StartupError;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use millstream_core::ports::BusError;
use millstream_sql::error::runtime_message;
use millstream_sql::functions::guard::GuardError;
use millstream_sql::planner::BoundedPlan;
use millstream_sql::planner::bounded::session_context;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use values::ValueFormat;

/// What one query may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLimits {
    /// Records read from all its tables.
    pub scan_records_max: usize,
    /// Bytes of rows kept in memory from all its tables.
    pub scan_bytes_max: usize,
    /// Memory of sorts, joins and aggregations, and as much again for what
    /// functions make.
    pub memory_bytes_max: usize,
    /// Rows of the result; more are cut off and said to be.
    pub result_rows_max: usize,
    /// Bytes of the result's rows as JSON; more are cut off and said to be.
    pub result_bytes_max: usize,
    /// Time, once it runs; it waits for a thread at most as long.
    pub time_max: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            scan_records_max: 5_000_000,
            scan_bytes_max: 512 * 1024 * 1024,
            memory_bytes_max: 256 * 1024 * 1024,
            result_rows_max: 10_000,
            result_bytes_max: 32 * 1024 * 1024,
            time_max: Duration::from_secs(60),
        }
    }
}

/// Why a query failed while it ran.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Too many records, or too many bytes of rows.
    #[error("the query takes more than it may: {0}")]
    TooMuch(String),
    /// Too slow.
    #[error("the query took longer than {0:?}")]
    Timeout(Duration),
    /// All threads are taken, and as many wait as may.
    #[error("too many queries run and wait")]
    Busy,
    /// The engine stops.
    #[error("the query was ended: the engine is stopping")]
    Stopping,
    /// A bug.
    #[error("internal error: the query ended without a result; the log says why")]
    Broken,
    /// The log.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A table cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The table says where to begin, and there is no such place.
    #[error(transparent)]
    Startup(StartupError),
    /// An expression failed, memory ran out.
    #[error("{}", runtime_message(.0))]
    Run(DataFusionError),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match GuardError::of(&error) {
            Some(guard @ (GuardError::TooLarge { .. } | GuardError::TextTooLong { .. })) => {
                Self::TooMuch(guard.to_string())
            }
            Some(GuardError::TooLong(after)) => Self::Timeout(*after),
            _ => Self::Run(error),
        }
    }
}

impl From<StartupError> for QueryError {
    fn from(error: StartupError) -> Self {
        match error {
            StartupError::Bus(error) => Self::Bus(error),
            other => Self::Startup(other),
        }
    }
}

impl QueryError {
    /// More about it.
    pub fn detail(&self) -> Option<String> {
        None
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooMuch(_) | Self::Timeout(_) => Some(
                "let a job keep the result: CREATE MATERIALIZED TABLE ... AS SELECT ..., and \
                 query that"
                    .to_owned(),
            ),
            Self::Busy => Some("try again when others have ended".to_owned()),
            _ => None,
        }
    }

    /// Whether the caller can mend it, by another query.
    pub fn is_callers(&self) -> bool {
        !matches!(self, Self::Busy | Self::Stopping | Self::Broken)
    }
}

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// Names and Flink's types.
    pub columns: Vec<QueryColumn>,
    /// Values, row by row.
    pub rows: ResultRows,
    /// Set when there were more rows.
    pub truncated_by: Option<CutBy>,
    /// How long it took.
    pub elapsed_ms: f64,
    /// Records of its tables that gave no row, because they cannot be
    /// decoded.
    pub skipped_records: u64,
    /// What of the statements did nothing, or not quite what it says.
    pub notices: Vec<String>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueryColumn {
    /// Name.
    pub name: String,
    /// Flink's name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
}

impl QueryResult {
    /// A result of text columns.
    pub fn text(names: &[&str], rows: Vec<Vec<Value>>) -> Self {
        let column = |name: &&str| QueryColumn {
            name: (*name).to_owned(),
            type_name: "STRING".to_owned(),
        };
        Self {
            columns: names.iter().map(column).collect(),
            rows: ResultRows::of(&rows),
            truncated_by: None,
            elapsed_ms: 0.0,
            skipped_records: 0,
            notices: Vec::new(),
        }
    }

    /// The same with notices.
    #[must_use]
    pub fn with_notices(mut self, notices: impl IntoIterator<Item = String>) -> Self {
        self.notices.extend(notices);
        self
    }

    /// What a statement without rows answers.
    pub fn ok() -> Self {
        Self::text(&["result"], vec![vec![Value::from("OK")]])
    }
}

/// The rows of a result, and whether there were more.
pub struct Rows {
    /// Values, row by row.
    pub rows: ResultRows,
    /// What cut them off.
    pub truncated_by: Option<CutBy>,
}

/// What queries run in, within the limits' memory.
pub fn context(limits: &QueryLimits) -> Result<SessionContext, QueryError> {
    Ok(session_context(limits.memory_bytes_max)?)
}

/// A plan over these tables, ready to run, once or again and again.
pub fn prepare(
    context: &SessionContext,
    plan: &BoundedPlan,
    tables: &HashMap<String, Arc<dyn TableProvider>>,
) -> Result<LogicalPlan, QueryError> {
    Ok(guarded::optimize(context, &plan.bind(tables)?)?)
}

/// Runs a prepared plan. On a thread of the pool only: it computes for long
/// without yielding.
pub async fn run(
    context: &SessionContext,
    prepared: &LogicalPlan,
    format: &ValueFormat,
    limits: &QueryLimits,
) -> Result<Rows, QueryError> {
    let operators = guarded::operators(context, prepared).await?;
    let mut stream = execute_stream(operators, context.task_ctx())?;
    let mut rows = ResultRows::default();
    let mut truncated_by = None;
    while truncated_by.is_none()
        && let Some(batch) = stream.next().await
    {
        truncated_by = rows.extend(&batch?, format, limits)?;
    }
    Ok(Rows { rows, truncated_by })
}

/// The columns of a planned query.
pub fn columns(plan: &BoundedPlan) -> Vec<QueryColumn> {
    plan.columns
        .iter()
        .map(|c| QueryColumn {
            name: c.name.clone(),
            type_name: c.type_name.clone(),
        })
        .collect()
}
