//! The engine behind the console's port.

use crate::problem::Problem;
use crate::sql::{Answer, Column, LivePush, LiveStream, SqlPort};
use async_trait::async_trait;
use axum::http::StatusCode;
use millstream_engine::{
    EngineError, EngineHandle, LiveResult, LiveState, LiveSubscription, QueryColumn, TableInfo,
};
use serde_json::{Value, json};

/// The embedded engine.
pub struct EmbeddedEngine(pub EngineHandle);

#[async_trait]
impl SqlPort for EmbeddedEngine {
    async fn execute(&self, sql: &str) -> Result<Answer, Problem> {
        let mut session = self.0.session();
        let result = self.0.execute(sql, &mut session).await.map_err(problem)?;
        Ok(Answer {
            columns: result.columns.into_iter().map(column).collect(),
            rows: result.rows,
            truncated_by: result.truncated_by,
            elapsed_ms: result.elapsed_ms,
            skipped_records: result.skipped_records,
            notices: result.notices,
        })
    }

    async fn subscribe(&self, sql: &str) -> Result<Box<dyn LiveStream>, Problem> {
        let subscription = self.0.subscribe(sql).await.map_err(problem)?;
        Ok(Box::new(EmbeddedStream(subscription)))
    }

    fn jobs(&self) -> Vec<Value> {
        self.0.jobs().iter().map(|job| json!(job)).collect()
    }

    async fn start_job(&self, id: &str) -> Result<(), Problem> {
        self.0.start_job(id).await.map_err(problem)
    }

    async fn stop_job(&self, id: &str) -> Result<(), Problem> {
        self.0.stop_job(id).await.map_err(problem)
    }

    fn tables(&self) -> Vec<Value> {
        self.0
            .tables()
            .iter()
            .map(|table: &TableInfo| json!(table))
            .collect()
    }
}

struct EmbeddedStream(LiveSubscription);

#[async_trait]
impl LiveStream for EmbeddedStream {
    async fn next(&mut self) -> Option<Result<LivePush, Problem>> {
        match self.0.next().await? {
            // `next` waits while the tables are read for the first time.
            LiveState::Loading => Some(Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the query is still loading",
            ))),
            LiveState::Result(result) => Some(Ok(LivePush {
                seq: result.seq,
                age_ms: result.age_ms,
                data: live_data(&result),
            })),
            LiveState::Error(reason) => Some(Err(Problem::bad_request(reason))),
        }
    }

    fn topics(&self) -> Vec<String> {
        self.0.topics().to_vec()
    }
}

fn live_data(result: &LiveResult) -> String {
    let mut rest = json!({
        "columns": result.columns,
        "skipped_records": result.skipped_records,
    });
    if let Some(by) = result.truncated_by {
        rest["truncated"] = json!(true);
        rest["truncated_by"] = json!(by);
    }
    if !result.covers.is_empty() {
        rest["covers"] = json!(result.covers);
    }
    let rest = rest.to_string();
    let mut data = String::with_capacity(rest.len() + result.rows.bytes() + 16);
    data.push_str("{\"rows\":[");
    result.rows.pieces().iter().for_each(|p| data.push_str(p));
    data.push_str("],");
    data.push_str(rest.trim_start_matches('{'));
    data
}

fn column(column: QueryColumn) -> Column {
    Column {
        name: column.name,
        data_type: column.type_name,
    }
}

/// The one place where the engine's errors become problems.
fn problem(error: EngineError) -> Problem {
    let status = match &error {
        EngineError::UnknownJob(_) => StatusCode::NOT_FOUND,
        error if error.is_callers() => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut problem = Problem::new(status, error.title());
    problem.detail = error.detail();
    problem.hint = error.hint();
    if let Some((line, column)) = error.position() {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        problem = problem.at(small(line), small(column));
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_engine::{Covers, CutBy, ResultRows};

    #[test]
    fn a_live_answer_that_is_not_whole_says_what_it_covers() {
        let covers = Covers {
            table: "orders".into(),
            rows: 2,
            of: 9,
            since_ms: Some(5),
        };
        let whole = LiveResult {
            columns: Vec::new(),
            rows: ResultRows::of(&[vec![json!(1)], vec![json!(2)]]),
            truncated_by: None,
            covers: Vec::new(),
            skipped_records: 3,
            age_ms: None,
            seq: 1,
        };
        let read =
            |result: &LiveResult| -> Value { serde_json::from_str(&live_data(result)).unwrap() };
        let expected = json!({"rows": [[1], [2]], "columns": [], "skipped_records": 3});
        assert_eq!(read(&whole), expected);
        let cut = LiveResult {
            truncated_by: Some(CutBy::Rows),
            covers: vec![covers],
            ..whole
        };
        let cut = read(&cut);
        assert_eq!(cut["truncated_by"], json!("rows"));
        let covers = json!([{"table": "orders", "rows": 2, "of": 9, "since_ms": 5}]);
        assert_eq!(cut["covers"], covers);
    }
}
