//! What the console asks of the engine, as a port: pages and tests meet here.

use crate::problem::Problem;
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::watch;

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
}

/// One state of a live query.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveAnswer {
    /// Grows with each state.
    pub seq: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// Timestamp of the newest record that went in; `None` without records.
    pub newest_ms: Option<i64>,
    /// `{"columns", "rows"}` or, when the query no longer works, the problem.
    pub result: Result<Arc<str>, Problem>,
}

/// A live query's states: the newest only.
pub type LiveStates = watch::Receiver<Option<Arc<LiveAnswer>>>;

/// A running live query. Dropping it unsubscribes.
pub struct LiveSubscription {
    /// Its states; `None` until the first.
    pub states: LiveStates,
    /// Whatever keeps the query running.
    pub keep: Box<dyn std::any::Any + Send>,
    /// Topics it reads.
    pub topics: Vec<String>,
}

/// SQL, as the console sees it.
#[async_trait]
pub trait SqlPort: Send + Sync + 'static {
    /// Runs statements; the last one's rows.
    async fn execute(&self, sql: &str) -> Result<Answer, Problem>;
    /// Starts, or joins, a live query.
    async fn subscribe(&self, sql: &str) -> Result<LiveSubscription, Problem>;
    /// The Job documents.
    fn jobs(&self) -> Vec<serde_json::Value>;
    /// Stops a job.
    async fn stop_job(&self, id: &str) -> Result<(), Problem>;
    /// The tables of `GET /api/v1/tables`.
    fn tables(&self) -> Vec<serde_json::Value>;
}
