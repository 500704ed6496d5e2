//! Rows on which a job must not end, and what becomes of them.

use super::definitions::{record, topic};
use super::{World, eventually, read_by, run};
use crate::job::JobStatus;
use crate::service::EngineHandle;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{Bus, Isolation, OffsetAt, Record};
use serde_json::json;

/// Starts a job, feeds it, and waits until it has read all.
async fn fed(world: &World, sql: &str, job: &str, values: &[&str]) -> EngineHandle {
    let engine = world.engine().await;
    run(&engine, sql).await;
    eventually("the job runs", async || {
        let info = engine.job(job).unwrap();
        assert_ne!(info.state, JobStatus::Failed, "{:?}", info.error);
        info.state == JobStatus::Running
    })
    .await;
    for value in values {
        record(world, "t", value).await;
    }
    read_by(&engine, job, values.len() as u64).await;
    engine
}

/// The dead letters of a job.
async fn letters(world: &World, job: &str) -> Vec<Record> {
    let partition = TopicPartition::new(format!("{job}.dlq"), 0);
    let at = [partition.clone()];
    let end = world
        .bus
        .offsets(&at, OffsetAt::LatestStable)
        .await
        .unwrap()[0];
    let start = [(partition, Offset(0))];
    let mut reader = world
        .bus
        .reader(&start, Isolation::ReadCommitted)
        .await
        .unwrap();
    let mut records = Vec::new();
    let mut next = Offset(0);
    while next < end {
        for chunk in reader.poll(super::PATIENCE, 1 << 20).await.unwrap() {
            records.extend(chunk.records);
            next = chunk.next_offset;
        }
    }
    records
}

fn header(record: &Record, name: &str) -> Option<String> {
    let name = format!("__connect.errors.{name}");
    let header = record.headers.iter().find(|h| h.key == name)?;
    Some(String::from_utf8(header.value.as_ref()?.to_vec()).unwrap())
}

#[tokio::test]
async fn a_time_out_of_range_costs_its_row_and_not_the_job() {
    let world = World::new().await;
    topic(&world, "t").await;
    let sql = "CREATE TABLE t (t BIGINT, ts AS TO_TIMESTAMP_LTZ(t, 3),
            WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
            WITH ('connector' = 'kafka', 'format' = 'json');
         CREATE MATERIALIZED TABLE a AS SELECT window_start, COUNT(*) AS n
            FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
            GROUP BY window_start, window_end";
    let values = [
        r#"{"t": 1700000000000}"#,
        r#"{"t": 1700000000000000000}"#,
        r#"{"t": 9223372036854775807}"#,
        r#"{"t": -9223372036854775808}"#,
        r#"{"t": 1700000001000}"#,
        r#"{"t": 1700000009000}"#,
    ];
    let engine = fed(&world, sql, "a", &values).await;
    assert_eq!(run(&engine, "SELECT n FROM a").await, [[json!(2)]]);
    assert_eq!(engine.job("a").unwrap().dead_letters, 3);
    let letters = letters(&world, "a").await;
    let offsets: Vec<_> = letters.iter().filter_map(|l| header(l, "offset")).collect();
    assert_eq!(offsets, ["1", "2", "3"]);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_failing_row_after_an_aggregation_is_a_dead_letter_with_its_values() {
    let world = World::new().await;
    topic(&world, "t").await;
    let sql = "CREATE TABLE t (k STRING, x INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
            WITH ('connector' = 'kafka', 'format' = 'json');
         CREATE MATERIALIZED TABLE a AS SELECT k, 10 / SUM(x) AS ratio
            FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
            GROUP BY window_start, window_end, k";
    let values = [
        r#"{"k": "zero", "x": 0, "ts": "2026-01-01 00:00:01"}"#,
        r#"{"k": "five", "x": 5, "ts": "2026-01-01 00:00:01"}"#,
        r#"{"k": "five", "x": 1, "ts": "2026-01-01 00:00:09"}"#,
    ];
    let engine = fed(&world, sql, "a", &values).await;
    assert_eq!(
        run(&engine, "SELECT k, ratio FROM a").await,
        [[json!("five"), json!(2)]]
    );
    let letters = letters(&world, "a").await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(header(letter, "stage").as_deref(), Some("SELECT"));
    assert_eq!(header(letter, "offset"), None, "no one record made it");
    let row: serde_json::Value = serde_json::from_slice(letter.value.as_ref().unwrap()).unwrap();
    assert!(row.to_string().contains("zero"), "{row}");
    let reason = header(letter, "exception.message").unwrap();
    assert!(reason.to_lowercase().contains("zero"), "{reason}");
    engine.shutdown().await;
}

#[tokio::test]
async fn late_rows_are_read_back_with_the_format_of_their_table() {
    for (format, values) in [
        (
            "'format' = 'csv'",
            ["west,1,2026-01-01 00:00:09", "east,2,2026-01-01 00:00:01"],
        ),
        (
            "'format' = 'json'",
            [
                r#"{"k": "west", "x": 1, "ts": "2026-01-01 00:00:09"}"#,
                r#"{"k": "east", "x": 2, "ts": "2026-01-01 00:00:01"}"#,
            ],
        ),
        (
            "'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'",
            [
                r#"{"k": "west", "x": 1, "ts": "2026-01-01T00:00:09"}"#,
                r#"{"k": "east", "x": 2, "ts": "2026-01-01T00:00:01"}"#,
            ],
        ),
    ] {
        let world = World::new().await;
        topic(&world, "t").await;
        let table = |name: &str, topic: &str| {
            format!(
                "CREATE TABLE {name} (k STRING, x INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
                 WITH ('connector' = 'kafka', 'topic' = '{topic}', {format})"
            )
        };
        let sql = format!(
            "{};
             CREATE MATERIALIZED TABLE a AS SELECT SUM(x) AS x
                FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
                GROUP BY window_start, window_end",
            table("t", "t")
        );
        let engine = fed(&world, &sql, "a", &values[..1]).await;
        record(&world, "t", values[1]).await;
        read_by(&engine, "a", 2).await;
        assert_eq!(engine.job("a").unwrap().late_records, 1, "{format}");
        run(&engine, &table("late_rows", "a.late")).await;
        assert_eq!(
            run(&engine, "SELECT k, x, ts FROM late_rows").await,
            [[json!("east"), json!(2), json!("2026-01-01 00:00:01.000")]],
            "{format}"
        );
        engine.shutdown().await;
    }
}
