//! Bounded queries: what tables hold now, through DataFusion.
//!
//! | module | what |
//! |---|---|
//! | [`scan`] | reads a table's topic to its stable end |
//! | [`values`] | columns as JSON values |

pub mod scan;
pub mod values;

use crate::source::SourceError;
use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use millstream_core::ports::BusError;
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
    /// Memory of sorts, joins and aggregations.
    pub memory_bytes_max: usize,
    /// Rows of the result; more are cut off and said to be.
    pub result_rows_max: usize,
    /// Time.
    pub time_max: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            scan_records_max: 5_000_000,
            scan_bytes_max: 512 * 1024 * 1024,
            memory_bytes_max: 256 * 1024 * 1024,
            result_rows_max: 10_000,
            time_max: Duration::from_secs(60),
        }
    }
}

/// Why a query failed while it ran.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Too many records, or too many bytes of rows.
    #[error("the query reads more than it may: {0}")]
    TooMuch(String),
    /// Too slow.
    #[error("the query took longer than {0:?}")]
    Timeout(Duration),
    /// The log.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A table cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An expression failed, memory ran out.
    #[error("{}", .0.strip_backtrace())]
    Run(#[from] DataFusionError),
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
            _ => None,
        }
    }
}

/// A result as the HTTP API answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryResult {
    /// Names and Flink's types.
    pub columns: Vec<QueryColumn>,
    /// Values, row by row.
    pub rows: Vec<Vec<Value>>,
    /// There were more rows.
    pub truncated: bool,
    /// How long it took.
    pub elapsed_ms: f64,
    /// Records of its tables that gave no row, because they cannot be
    /// decoded.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_records: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
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
            rows,
            truncated: false,
            elapsed_ms: 0.0,
            skipped_records: 0,
        }
    }

    /// What a statement without rows answers.
    pub fn ok() -> Self {
        Self::text(&["result"], vec![vec![Value::from("OK")]])
    }
}

/// The rows of a result, and whether there were more.
pub struct Rows {
    /// Values, row by row.
    pub rows: Vec<Vec<Value>>,
    /// There were more.
    pub truncated: bool,
}

/// What queries run in, within the limits' memory.
pub fn context(limits: &QueryLimits) -> Result<SessionContext, QueryError> {
    Ok(session_context(limits.memory_bytes_max)?)
}

/// Runs a planned query over these tables.
pub async fn run(
    context: &SessionContext,
    plan: &BoundedPlan,
    tables: &HashMap<String, Arc<dyn TableProvider>>,
    format: &ValueFormat,
    limits: &QueryLimits,
) -> Result<Rows, QueryError> {
    let work = async {
        let bound = plan.bind(tables)?;
        let mut stream = context
            .execute_logical_plan(bound)
            .await?
            .execute_stream()
            .await?;
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch: RecordBatch = batch?;
            let room = limits.result_rows_max - rows.len();
            let fitting = batch.slice(0, batch.num_rows().min(room));
            rows.extend(format.rows(&fitting)?);
            if batch.num_rows() > room {
                return Ok(Rows {
                    rows,
                    truncated: true,
                });
            }
        }
        Ok(Rows {
            rows,
            truncated: false,
        })
    };
    tokio::time::timeout(limits.time_max, work)
        .await
        .unwrap_or(Err(QueryError::Timeout(limits.time_max)))
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
