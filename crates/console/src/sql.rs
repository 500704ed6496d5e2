//! What the console asks of the engine, as a port: pages and tests meet here.

use crate::problem::Problem;
use async_trait::async_trait;
use serde::Serialize;

/// A result's column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Flink's name of the type.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// What `POST /api/v1/sql` answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows of JSON values.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// There were more rows.
    pub truncated: bool,
    /// How long it took.
    pub elapsed_ms: f64,
    /// Records that gave no row, because they cannot be decoded.
    pub skipped_records: u64,
}

/// One result of a live query.
#[derive(Debug, Clone, PartialEq)]
pub struct LivePush {
    /// Grows with each result.
    pub seq: u64,
    /// From the newest input record's timestamp to the result; `None` without
    /// records.
    pub age_ms: Option<f64>,
    /// `{"columns", "rows"}`.
    pub data: String,
}

/// A running live query. Dropping it unsubscribes.
#[async_trait]
pub trait LiveStream: Send {
    /// The newest result not seen yet; what came between is skipped. An
    /// error does not end the stream: the query is tried again. `None` when
    /// the engine shuts down. Cancel-safe.
    async fn next(&mut self) -> Option<Result<LivePush, Problem>>;
    /// Topics that it reads.
    fn topics(&self) -> Vec<String>;
}

/// SQL, as the console sees it.
#[async_trait]
pub trait SqlPort: Send + Sync + 'static {
    /// Runs statements; the last one's rows.
    async fn execute(&self, sql: &str) -> Result<Answer, Problem>;
    /// Starts, or joins, a live query.
    fn subscribe(&self, sql: &str) -> Result<Box<dyn LiveStream>, Problem>;
    /// The Job documents.
    fn jobs(&self) -> Vec<serde_json::Value>;
    /// Starts a stopped or failed job.
    async fn start_job(&self, id: &str) -> Result<(), Problem>;
    /// Stops a job.
    async fn stop_job(&self, id: &str) -> Result<(), Problem>;
    /// The tables of `GET /api/v1/tables`.
    fn tables(&self) -> Vec<serde_json::Value>;
}
