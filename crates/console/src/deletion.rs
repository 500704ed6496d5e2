//! Deleting a topic: what is in use, or Millstream's own, is refused.

use crate::messages::bus_problem;
use crate::problem::Problem;
use crate::routes::App;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// `DELETE /api/v1/topics/{name}`
pub async fn delete_topic(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (tables, jobs) = match &app.engine {
        Some(engine) => (engine.tables(), engine.jobs()),
        None => (Vec::new(), Vec::new()),
    };
    check_unused(&name, &tables, &jobs)?;
    app.bus.delete_topic(&name).await.map_err(bus_problem)?;
    Ok(Json(json!({ "name": name })))
}

/// Refuses a topic that a table is over, that a job that is not ended writes
/// dead letters or late rows to, or that is internal.
fn check_unused(topic: &str, tables: &[Value], jobs: &[Value]) -> Result<(), Problem> {
    let refused =
        |title: String, hint: String| Err(Problem::new(StatusCode::CONFLICT, title).hint(hint));
    if topic.starts_with("__") {
        return refused(
            format!("{topic} is an internal topic"),
            "what belongs to it goes with its job or group".into(),
        );
    }
    if let Some(table) = tables.iter().find(|t| t["topic"] == topic) {
        let name = table["name"].as_str().unwrap_or_default();
        let kind = match table["kind"].as_str() {
            Some("materialized_table") => "MATERIALIZED TABLE",
            _ => "TABLE",
        };
        return refused(
            format!("table '{name}' is over topic {topic}"),
            format!("write DROP {kind} `{}` first", name.replace('`', "``")),
        );
    }
    let writes = |job: &&Value| {
        let ended = matches!(
            job["state"].as_str(),
            Some("stopped" | "failed" | "finished")
        );
        !ended && (job["dead_letter_topic"] == topic || job["late_topic"] == topic)
    };
    if let Some(job) = jobs.iter().find(writes) {
        let id = job["id"].as_str().unwrap_or_default();
        return refused(
            format!("job '{id}' writes to topic {topic}"),
            format!("write STOP JOB '{}' first", id.replace('\'', "''")),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(topic: &str) -> Option<String> {
        let tables = [
            json!({ "name": "it`s", "kind": "materialized_table", "topic": "results" }),
            json!({ "name": "unbound", "kind": "table", "topic": null }),
        ];
        let jobs = [
            json!({ "id": "runs", "state": "running", "dead_letter_topic": "runs.dlq", "late_topic": "runs.late" }),
            json!({ "id": "ended", "state": "stopped", "dead_letter_topic": "ended.dlq", "late_topic": "ended.late" }),
        ];
        check_unused(topic, &tables, &jobs)
            .err()
            .map(|p| format!("{} {}: {}", p.status, p.title, p.hint.unwrap_or_default()))
    }

    #[test]
    fn a_topic_in_use_is_refused_with_what_to_do() {
        assert_eq!(
            refusal("results").as_deref(),
            Some(
                "409 table 'it`s' is over topic results: write DROP MATERIALIZED TABLE `it``s` first"
            )
        );
        assert_eq!(
            refusal("runs.late").as_deref(),
            Some("409 job 'runs' writes to topic runs.late: write STOP JOB 'runs' first")
        );
        assert!(refusal("__consumer_offsets").is_some());
    }

    #[test]
    fn what_a_dropped_or_stopped_job_left_can_be_deleted() {
        assert_eq!(refusal("ended.dlq"), None);
        assert_eq!(refusal("dropped.dlq"), None);
    }
}
