//! Queries that take for ever, or more than they may: the jobs go on, and
//! each query ends.

use super::tests::{World, eventually, read_by, run, start_orders_job};
use super::{Engine, EngineError, EngineHandle, EngineOptions};
use crate::live::{LiveResult, LiveState, LiveSubscription};
use crate::query::{CutBy, QueryError, QueryResult};
use bytes::Bytes;
use millstream_core::env::SystemClock;
use millstream_core::ids::TopicPartition;
use millstream_core::ports::{Bus, ProduceRecord};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);
/// What no test waits for.
const LONG: Duration = Duration::from_secs(3600);

/// Over [`fill`]: three billion rows of which none is kept, in joins that
/// never wait for anything.
const ENDLESS: &str = "SELECT COUNT(*) FROM orders a, orders b, orders c \
                       WHERE a.amount + b.amount + c.amount < 0";
const ENDLESS_ROWS: i64 = 1_500;

/// The same through a function: each pattern is another one, and takes long to
/// compile.
const PATTERNS: &str = "SELECT COUNT(*) FROM orders a, orders b \
                        WHERE REGEXP(a.region, CONCAT(b.region, '(a{100}){90}'))";

async fn engine(world: &World, change: impl FnOnce(&mut EngineOptions)) -> EngineHandle {
    let mut options = EngineOptions::default();
    options.job.epoch = Duration::from_millis(2);
    options.query.time_max = LONG;
    options.pool.threads = 3;
    change(&mut options);
    let metadata = Arc::clone(&world.metadata);
    Engine::start(options, world.bus.clone(), metadata, SystemClock::shared())
        .await
        .unwrap()
}

/// Orders of one moment.
async fn fill(world: &World, orders: std::ops::Range<i64>) {
    let record = |i: i64| {
        let value = json!({"region": format!("r{i}"), "amount": i, "ts": "2026-11-22 10:00:01"});
        ProduceRecord {
            timestamp_ms: Some(i),
            value: Some(Bytes::from(value.to_string())),
            ..ProduceRecord::default()
        }
    };
    send(world, orders.map(record).collect()).await;
}

async fn send(world: &World, records: Vec<ProduceRecord>) {
    let mut writer = world.bus.writer().await.unwrap();
    let orders = TopicPartition::new("orders", 0);
    writer.send(&orders, records).await.unwrap();
}

type Running = JoinHandle<Result<QueryResult, EngineError>>;

fn start(engine: &EngineHandle, sql: &'static str) -> Running {
    let engine = engine.clone();
    tokio::spawn(async move { engine.execute(sql, &mut engine.session()).await })
}

async fn two_run(engine: &EngineHandle, sql: &'static str) -> [Running; 2] {
    let both = [start(engine, sql), start(engine, sql)];
    eventually("both run", async || engine.inner.queries.running() == 2).await;
    both
}

async fn ends(query: Running) -> EngineError {
    let ended = tokio::time::timeout(PATIENCE, query).await;
    ended.expect("it ends").unwrap().unwrap_err()
}

async fn result(live: &mut LiveSubscription) -> Arc<LiveResult> {
    match tokio::time::timeout(PATIENCE, live.next()).await.unwrap() {
        Some(LiveState::Result(result)) => result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn jobs_go_on_beside_endless_queries_which_end_when_their_callers_go() {
    jobs_go_on_beside(ENDLESS).await;
    jobs_go_on_beside(PATTERNS).await;
}

async fn jobs_go_on_beside(endless: &'static str) {
    let world = World::new().await;
    let engine = engine(&world, |_| {}).await;
    start_orders_job(&engine).await;
    fill(&world, 0..ENDLESS_ROWS).await;
    let endless = two_run(&engine, endless).await;
    world.order("west", 1, "10:01:00").await;
    let orders = u64::try_from(ENDLESS_ROWS).unwrap() + 1;
    read_by(&engine, "by_region", orders).await;
    eventually("the job has committed the window", async || {
        engine.job("by_region").unwrap().out_records > 0
    })
    .await;
    assert_eq!(engine.inner.queries.running(), 2, "all the while");
    endless.iter().for_each(JoinHandle::abort);
    eventually("the threads are free", async || {
        engine.inner.queries.running() == 0
    })
    .await;
}

#[tokio::test]
async fn endless_queries_end_at_their_time_limit() {
    let world = World::new().await;
    let engine = engine(&world, |o| o.query.time_max = Duration::from_secs(2)).await;
    start_orders_job(&engine).await;
    fill(&world, 0..ENDLESS_ROWS).await;
    for endless in [ENDLESS, PATTERNS] {
        for query in two_run(&engine, endless).await {
            let error = ends(query).await;
            let timeout = matches!(error, EngineError::Query(QueryError::Timeout(_)));
            assert!(timeout, "{error}");
            assert!(error.hint().is_some());
        }
        eventually("the threads are free", async || {
            engine.inner.queries.running() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn shutdown_ends_endless_queries_and_does_not_wait_for_them() {
    let world = World::new().await;
    let engine = engine(&world, |_| {}).await;
    start_orders_job(&engine).await;
    fill(&world, 0..ENDLESS_ROWS).await;
    let endless = two_run(&engine, ENDLESS).await;
    tokio::time::timeout(PATIENCE, engine.shutdown())
        .await
        .expect("it stops");
    for query in endless {
        let error = ends(query).await;
        let stopping = matches!(error, EngineError::Query(QueryError::Stopping));
        assert!(stopping, "{error}");
    }
}

#[tokio::test]
async fn an_endless_live_query_ends_with_its_last_viewer_and_at_its_limit() {
    let world = World::new().await;
    let engine = engine(&world, |o| o.query.time_max = Duration::from_secs(2)).await;
    start_orders_job(&engine).await;
    fill(&world, 0..ENDLESS_ROWS).await;
    let mut live = engine.subscribe(ENDLESS).await.unwrap();
    // Reading the table takes a turn too, so running is no sign of it.
    let state = tokio::time::timeout(PATIENCE, live.next()).await.unwrap();
    let Some(LiveState::Error(reason)) = state else {
        panic!("{state:?}")
    };
    assert!(reason.contains("longer than 2s"), "{reason}");
    drop(live);
    eventually("the threads are free", async || {
        engine.inner.queries.running() == 0
    })
    .await;
}

#[tokio::test]
async fn a_result_is_bounded_by_its_bytes_and_says_so() {
    let world = World::new().await;
    let engine = engine(&world, |o| o.query.result_bytes_max = 100).await;
    start_orders_job(&engine).await;
    fill(&world, 0..20).await;
    let execute = async |sql: &str| engine.execute(sql, &mut engine.session()).await;
    let cut = execute("SELECT region, amount FROM orders").await.unwrap();
    // Ten of ["r0",0] with commas and one of ["r10",10].
    assert_eq!((cut.rows.len(), cut.truncated_by), (11, Some(CutBy::Bytes)));
    let whole = execute("SELECT region, amount FROM orders LIMIT 5").await;
    assert_eq!(whole.unwrap().truncated_by, None);
    let error = execute("SELECT LPAD(region, 200, 'x') FROM orders").await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("at most 100"), "{error}");
}

#[tokio::test]
async fn what_functions_make_is_bounded_by_the_memory_of_the_query() {
    let world = World::new().await;
    let engine = engine(&world, |o| o.query.memory_bytes_max = 10_000_000).await;
    start_orders_job(&engine).await;
    fill(&world, 0..20).await;
    let sql = "SELECT MAX(CHAR_LENGTH(LPAD(region, 1000000, 'x'))) FROM orders";
    let error = engine
        .execute(sql, &mut engine.session())
        .await
        .unwrap_err();
    let query = matches!(error, EngineError::Query(QueryError::TooMuch(_)));
    assert!(query && error.to_string().contains("LPAD"), "{error}");
}

#[tokio::test]
async fn a_live_answer_is_the_whole_answer_as_long_as_the_rows_fit() {
    let world = World::new().await;
    let engine = engine(&world, |_| {}).await;
    start_orders_job(&engine).await;
    fill(&world, 0..5_000).await;
    let garbage = ProduceRecord {
        value: Some(Bytes::from_static(b"{")),
        ..ProduceRecord::default()
    };
    send(&world, vec![garbage]).await;
    let sql = "SELECT COUNT(*), SUM(amount) FROM orders";
    let mut live = engine.subscribe(sql).await.unwrap();
    let whole = result(&mut live).await;
    assert_eq!(whole.rows.values(), run(&engine, sql).await);
    assert_eq!(whole.rows.values()[0][0], json!(5_000));
    assert_eq!((whole.covers.len(), whole.skipped_records), (0, 1));
}

#[tokio::test]
async fn a_live_answer_over_the_newest_rows_says_which() {
    let world = World::new().await;
    let engine = engine(&world, |o| o.live.rows_max = 100).await;
    start_orders_job(&engine).await;
    fill(&world, 0..250).await;
    let sql = "SELECT COUNT(*) AS n, MIN(amount) AS least FROM orders";
    let mut live = engine.subscribe(sql).await.unwrap();
    let seen = result(&mut live).await;
    assert_eq!(seen.rows.values(), [[json!(100), json!(150)]]);
    let covers = &seen.covers[0];
    let says = (
        covers.table.as_str(),
        covers.rows,
        covers.of,
        covers.since_ms,
    );
    assert_eq!(says, ("orders", 100, 250, Some(150)));
    fill(&world, 250..300).await;
    let seen = result(&mut live).await;
    assert_eq!(seen.rows.values(), [[json!(100), json!(200)]]);
    assert_eq!(seen.covers[0].of, 300);
}

#[tokio::test]
async fn live_memory_bounds_what_is_kept_of_a_table() {
    let world = World::new().await;
    let engine = engine(&world, |o| o.live.bytes_max = 100_000).await;
    start_orders_job(&engine).await;
    for i in 0..20 {
        fill(&world, i * 1_000..(i + 1) * 1_000).await;
    }
    let mut live = engine
        .subscribe("SELECT COUNT(*), MAX(amount) FROM orders")
        .await
        .unwrap();
    let seen = result(&mut live).await;
    let row = seen.rows.values().remove(0);
    let covers = &seen.covers[0];
    assert_eq!(
        (row[0].as_u64(), &row[1]),
        (Some(covers.rows), &json!(19_999))
    );
    assert!((1..20_000).contains(&covers.rows), "{covers:?}");
    assert_eq!(covers.of, 20_000);
}

#[tokio::test]
async fn live_queries_of_a_table_share_what_is_kept_of_it() {
    let world = World::new().await;
    let engine = engine(&world, |_| {}).await;
    start_orders_job(&engine).await;
    fill(&world, 0..10).await;
    let mut all = Vec::new();
    for (sql, answer) in [
        ("SELECT COUNT(*) FROM orders", json!(10)),
        ("SELECT SUM(amount) FROM orders", json!(45)),
        ("SELECT MAX(region) FROM orders", json!("r9")),
        (
            "SELECT MIN(amount) FROM orders WHERE region > 'r3'",
            json!(4),
        ),
        ("SELECT COUNT(ts) FROM orders", json!(10)),
    ] {
        let mut live = engine.subscribe(sql).await.unwrap();
        assert_eq!(result(&mut live).await.rows.values(), [[answer]], "{sql}");
        all.push(live);
    }
    assert_eq!(engine.inner.live.tails(), 3);
    drop(all);
    eventually("nobody keeps rows", async || engine.inner.live.tails() == 0).await;
}
