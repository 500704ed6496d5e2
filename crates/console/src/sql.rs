//! What the console asks of the engine, as a port: pages and tests meet here.

use crate::problem::Problem;
use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use millstream_engine::{CutBy, ResultRows};
use serde::Serialize;
use serde_json::json;
use std::convert::Infallible;

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
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows of JSON values.
    pub rows: ResultRows,
    /// Set when there were more rows.
    pub truncated_by: Option<CutBy>,
    /// How long it took.
    pub elapsed_ms: f64,
    /// Records that gave no row, because they cannot be decoded.
    pub skipped_records: u64,
    /// What of the statements did nothing, or not quite what it says.
    pub notices: Vec<String>,
}

impl Answer {
    /// The JSON before and after the rows.
    fn around(&self) -> (String, String) {
        let head = format!("{{\"columns\":{},\"rows\":[", json!(self.columns));
        let mut rest = json!({
            "truncated": self.truncated_by.is_some(),
            "elapsed_ms": self.elapsed_ms,
            "skipped_records": self.skipped_records,
        });
        if let Some(by) = self.truncated_by {
            rest["truncated_by"] = json!(by);
        }
        if !self.notices.is_empty() {
            rest["notices"] = json!(self.notices);
        }
        let rest = rest.to_string();
        (head, format!("],{}", rest.trim_start_matches('{')))
    }
}

impl IntoResponse for Answer {
    /// The rows are sent in the pieces that they are held in.
    fn into_response(self) -> Response {
        let (head, tail) = self.around();
        let pieces = std::iter::once(head)
            .chain(self.rows.into_pieces())
            .chain([tail])
            .map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        let body = Body::from_stream(futures::stream::iter(pieces));
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// One result of a live query.
#[derive(Debug, Clone, PartialEq)]
pub struct LivePush {
    /// Grows with each result.
    pub seq: u64,
    /// From the newest input record's timestamp to the result; `None` without
    /// records.
    pub age_ms: Option<f64>,
    /// `{"columns", "rows", "skipped_records"}`, with `truncated_by` and
    /// `covers` where it is not the whole answer.
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
    /// Runs statements; the last one's rows. Dropping the future ends them.
    async fn execute(&self, sql: &str) -> Result<Answer, Problem>;
    /// Starts, or joins, a live query.
    async fn subscribe(&self, sql: &str) -> Result<Box<dyn LiveStream>, Problem>;
    /// The Job documents.
    fn jobs(&self) -> Vec<serde_json::Value>;
    /// Starts a stopped or failed job.
    async fn start_job(&self, id: &str) -> Result<(), Problem>;
    /// Stops a job.
    async fn stop_job(&self, id: &str) -> Result<(), Problem>;
    /// The tables of `GET /api/v1/tables`.
    fn tables(&self) -> Vec<serde_json::Value>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[tokio::test]
    async fn an_answer_in_pieces_is_one_document() {
        let row = |i: i64| vec![Value::from(i), Value::from("x".repeat(100))];
        let rows: Vec<Vec<Value>> = (0..5_000).map(row).collect();
        let answer = Answer {
            columns: vec![Column {
                name: "a\"b".into(),
                data_type: "INT".into(),
            }],
            rows: ResultRows::of(&rows),
            truncated_by: Some(CutBy::Bytes),
            elapsed_ms: 1.5,
            skipped_records: 7,
            notices: vec!["a \"note\"".into()],
        };
        assert!(answer.rows.pieces().len() > 1);
        let body = answer.into_response().into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["rows"], json!(rows));
        assert_eq!(read["columns"], json!([{"name": "a\"b", "type": "INT"}]));
        assert_eq!(read["truncated"], json!(true));
        assert_eq!(read["truncated_by"], json!("bytes"));
        assert_eq!(read["skipped_records"], json!(7));
        assert_eq!(read["notices"], json!(["a \"note\""]));
    }
}
