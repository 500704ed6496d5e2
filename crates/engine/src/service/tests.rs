//! The engine end to end, SQL in and rows out, on the in-memory bus.

mod definitions;
mod hard_rows;

use super::{Engine, EngineHandle, EngineOptions};
use crate::job::{JobOptions, JobStatus};
use crate::live::{LiveState, LiveSubscription};
use bytes::Bytes;
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_core::env::{RealFs, SystemClock, SystemRand};
use millstream_core::ids::{BrokerId, TopicPartition};
use millstream_core::ports::memory_bus::MemoryBus;
use millstream_core::ports::{Bus, BusError, Isolation, OffsetAt, ProduceRecord, TopicSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const ORDERS: &str = "CREATE TABLE orders (
    region STRING, amount BIGINT, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json',
        'scan.startup.mode' = 'earliest-offset')";

pub(super) const BY_REGION: &str = "CREATE MATERIALIZED TABLE by_region AS
    SELECT window_start, region, COUNT(*) AS orders, SUM(amount) AS revenue
    FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND))
    GROUP BY window_start, window_end, region";

pub(super) struct World {
    pub(super) bus: Arc<MemoryBus>,
    pub(super) metadata: Arc<MetadataService>,
    _dir: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let options = MetadataOptions::new(
            BrokerId(1),
            dir.path().join("metadata"),
            RealFs::shared(),
            SystemRand::shared(),
        );
        let metadata = MetadataService::start(options).await.unwrap();
        Self {
            bus: MemoryBus::shared(),
            metadata,
            _dir: dir,
        }
    }

    pub(super) async fn engine(&self) -> EngineHandle {
        let options = EngineOptions {
            job: JobOptions {
                epoch: Duration::from_millis(2),
                ..JobOptions::default()
            },
            ..EngineOptions::default()
        };
        let metadata = Arc::clone(&self.metadata);
        Engine::start(options, self.bus.clone(), metadata, SystemClock::shared())
            .await
            .unwrap()
    }

    /// The topic of `orders`, for records that are there before a job is.
    pub(super) async fn orders_topic(&self) {
        let spec = TopicSpec {
            name: "orders".to_owned(),
            partitions: 1,
            configs: BTreeMap::new(),
        };
        self.bus.create_topic(spec).await.unwrap();
    }

    pub(super) async fn order(&self, region: &str, amount: i64, time: &str) {
        let value = json!({"region": region, "amount": amount, "ts": format!("2026-11-22 {time}")});
        let record = ProduceRecord {
            value: Some(Bytes::from(value.to_string())),
            ..ProduceRecord::default()
        };
        let mut writer = self.bus.writer().await.unwrap();
        writer
            .send(&TopicPartition::new("orders", 0), vec![record])
            .await
            .unwrap();
    }
}

pub(super) async fn run(engine: &EngineHandle, sql: &str) -> Vec<Vec<Value>> {
    let mut session = engine.session();
    let result = engine.execute(sql, &mut session).await;
    result
        .unwrap_or_else(|e| panic!("{sql}\n{e}\n{:?}", e.hint()))
        .rows
        .values()
}

pub(super) async fn refused(engine: &EngineHandle, sql: &str) -> String {
    let mut session = engine.session();
    match engine.execute(sql, &mut session).await {
        Ok(result) => panic!("{sql} gave {:?}", result.rows),
        Err(error) => error.to_string(),
    }
}

pub(super) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(super) async fn read_by(engine: &EngineHandle, job: &str, records: u64) {
    eventually("the job has read the records", async || {
        let info = engine.job(job).unwrap();
        assert_ne!(info.state, JobStatus::Failed, "{:?}", info.error);
        info.in_records >= records
    })
    .await;
}

/// With the topic there before the job creates it with the wrong partitions.
pub(super) async fn orders_job(world: &World) -> EngineHandle {
    let engine = world.engine().await;
    start_orders_job(&engine).await;
    engine
}

pub(super) async fn start_orders_job(engine: &EngineHandle) {
    run(engine, ORDERS).await;
    let started = run(engine, BY_REGION).await;
    assert_eq!(started, [[json!("by_region")]]);
    eventually("the job runs", async || {
        engine.job("by_region").unwrap().state == JobStatus::Running
    })
    .await;
}

#[tokio::test]
async fn a_materialized_table_fills_and_is_queried() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    world.order("west", 5, "10:00:01").await;
    world.order("west", 7, "10:00:02").await;
    world.order("north", 1, "10:00:02").await;
    world.order("west", 9, "10:00:07").await;
    read_by(&engine, "by_region", 4).await;
    let rows = run(
        &engine,
        "SELECT window_start, region, orders, revenue FROM by_region ORDER BY region",
    )
    .await;
    assert_eq!(
        rows,
        [
            [
                json!("2026-11-22 10:00:00.000"),
                json!("north"),
                json!(1),
                json!(1)
            ],
            [
                json!("2026-11-22 10:00:00.000"),
                json!("west"),
                json!(2),
                json!(12)
            ],
        ]
    );
    let rows = run(
        &engine,
        "SELECT COUNT(*), SUM(amount) FROM orders WHERE region = 'west'",
    )
    .await;
    assert_eq!(rows, [[json!(3), json!(21)]]);
    assert_eq!(
        run(&engine, "SHOW TABLES").await,
        [[json!("by_region")], [json!("orders")]]
    );
    let described = run(&engine, "DESCRIBE orders").await;
    assert_eq!(described.len(), 3);
    assert_eq!(described[0][..2], [json!("region"), json!("STRING")]);
}

#[tokio::test]
async fn jobs_go_on_after_the_engine_has_restarted() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    world.order("west", 5, "10:00:01").await;
    read_by(&engine, "by_region", 1).await;
    engine.shutdown().await;
    drop(engine);

    let engine = world.engine().await;
    world.order("west", 7, "10:00:02").await;
    world.order("west", 9, "10:00:07").await;
    read_by(&engine, "by_region", 3).await;
    let rows = run(&engine, "SELECT orders, revenue FROM by_region").await;
    assert_eq!(rows, [[json!(2), json!(12)]]);
}

#[tokio::test]
async fn a_stopped_job_stays_stopped_and_its_tables_can_be_dropped() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    let error = refused(&engine, "DROP TABLE orders").await;
    assert!(error.contains("by_region"), "{error}");
    let error = refused(&engine, "DROP TABLE by_region").await;
    assert!(error.contains("DROP MATERIALIZED TABLE"), "{error}");
    run(&engine, "STOP JOB 'by_region'").await;
    assert_eq!(engine.job("by_region").unwrap().state, JobStatus::Stopped);
    engine.shutdown().await;
    let engine = world.engine().await;
    assert_eq!(engine.job("by_region").unwrap().state, JobStatus::Stopped);
    engine.start_job("by_region").await.unwrap();
    eventually("it runs again", async || {
        engine.job("by_region").unwrap().state == JobStatus::Running
    })
    .await;
    run(&engine, "DROP MATERIALIZED TABLE by_region").await;
    assert!(engine.jobs().is_empty());
    let gone = world.bus.topic("__millstream_by_region_changelog").await;
    assert!(matches!(gone, Err(BusError::UnknownTopic(_))));
    run(&engine, "DROP TABLE orders").await;
    run(&engine, "DROP TABLE IF EXISTS orders").await;
    assert!(run(&engine, "SHOW TABLES").await.is_empty());
    assert!(
        world.bus.topic("orders").await.is_ok(),
        "a table's topic is the user's"
    );
}

#[tokio::test]
async fn an_insert_is_a_job_with_a_name() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    run(
        &engine,
        "CREATE TABLE big (region STRING, amount BIGINT)
         WITH ('connector' = 'kafka', 'topic' = 'big', 'format' = 'csv', 'millstream.partitions' = '2')",
    )
    .await;
    let insert = "INSERT INTO big SELECT region, amount * 2 FROM orders WHERE amount > 10";
    assert_eq!(run(&engine, insert).await, [[json!("insert_into_big_1")]]);
    assert_eq!(run(&engine, insert).await, [[json!("insert_into_big_2")]]);
    let named = format!("SET 'pipeline.name' = 'doubler'; {insert}");
    assert_eq!(run(&engine, &named).await, [[json!("doubler")]]);
    assert!(refused(&engine, &named).await.contains("doubler"));
    eventually("the job runs", async || {
        engine.job("doubler").unwrap().state == JobStatus::Running
    })
    .await;
    assert_eq!(world.bus.topic("big").await.unwrap().partitions, 2);
    world.order("west", 11, "10:00:01").await;
    world.order("west", 10, "10:00:01").await;
    for job in ["insert_into_big_1", "insert_into_big_2", "doubler"] {
        read_by(&engine, job, 2).await;
    }
    let rows = run(&engine, "SELECT region, amount FROM big").await;
    assert_eq!(rows, vec![vec![json!("west"), json!(22)]; 3]);
    let jobs = run(&engine, "SHOW JOBS").await;
    assert_eq!(jobs.len(), 3);
    assert!(!run(&engine, &format!("EXPLAIN {insert}")).await.is_empty());
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_it_is_written() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    run(
        &engine,
        &ORDERS.replace("TABLE orders", "TABLE IF NOT EXISTS orders"),
    )
    .await;
    for (sql, says) in [
        (ORDERS, "already"),
        ("SELECT amout FROM orders", "amout"),
        ("SELECT * FROM order_s", "order_s"),
        (
            "INSERT INTO orders SELECT region, amount, ts FROM orders",
            "writes",
        ),
        ("STOP JOB 'nope'", "nope"),
        ("SHOW CREATE TABLE nope", "nope"),
        ("", "no statement"),
    ] {
        let error = refused(&engine, sql).await;
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_query_beyond_its_limits_is_refused_with_a_way_out() {
    let world = World::new().await;
    let mut options = EngineOptions::default();
    options.query.scan_records_max = 2;
    let metadata = Arc::clone(&world.metadata);
    let engine = Engine::start(options, world.bus.clone(), metadata, SystemClock::shared());
    let engine = engine.await.unwrap();
    run(&engine, ORDERS).await;
    let spec = millstream_core::ports::TopicSpec {
        name: "orders".into(),
        partitions: 1,
        configs: Default::default(),
    };
    world.bus.create_topic(spec).await.unwrap();
    for _ in 0..3 {
        world.order("west", 1, "10:00:01").await;
    }
    let error = engine
        .execute("SELECT * FROM orders", &mut engine.session())
        .await
        .unwrap_err();
    assert!(error.hint().unwrap().contains("MATERIALIZED"), "{error}");
}

async fn result(live: &mut LiveSubscription) -> Vec<Vec<Value>> {
    match tokio::time::timeout(PATIENCE, live.next()).await.unwrap() {
        Some(LiveState::Result(result)) => result.rows.values(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_live_query_is_pushed_when_its_table_changes() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    let sql = "SELECT COUNT(*) AS orders, SUM(amount) AS revenue FROM orders";
    let mut first = engine.subscribe(sql).await.unwrap();
    assert_eq!(result(&mut first).await, [[json!(0), Value::Null]]);
    world.order("west", 5, "10:00:01").await;
    assert_eq!(result(&mut first).await, [[json!(1), json!(5)]]);
    // Another subscriber shares the runner, and sees the newest at once.
    let mut second = engine.subscribe(sql).await.unwrap();
    assert_eq!(result(&mut second).await, [[json!(1), json!(5)]]);
    let mut windows = engine
        .subscribe("SELECT region, revenue FROM by_region")
        .await
        .unwrap();
    assert_eq!(result(&mut windows).await, Vec::<Vec<Value>>::new());
    world.order("west", 7, "10:00:09").await;
    assert_eq!(result(&mut first).await, [[json!(2), json!(12)]]);
    assert_eq!(result(&mut second).await, [[json!(2), json!(12)]]);
    assert_eq!(result(&mut windows).await, [[json!("west"), json!(5)]]);
    let LiveState::Result(pushed) = first.current() else {
        panic!("no result")
    };
    assert!(pushed.age_ms.unwrap() < 5_000.0);
    assert_eq!(pushed.columns[0].name, "orders");
    assert!(engine.subscribe("SELECT nope FROM orders").await.is_err());
    assert!(engine.subscribe("DROP TABLE orders").await.is_err());
    engine.shutdown().await;
    assert_eq!(first.next().await, None);
}

/// A file of the repository.
fn repository(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    std::fs::read_to_string(format!("{root}{path}")).unwrap()
}

/// Every `"sql"` of a dashboard file.
fn panel_queries(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(sql) if name == "sql" => queries.push(sql.to_owned()),
                    _ => panel_queries(field, queries),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| panel_queries(item, queries)),
        _ => {}
    }
}

#[tokio::test]
async fn the_retail_scenario_runs_and_its_panels_answer() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, &repository("scenarios/retail/pipeline.sql")).await;
    let jobs: Vec<String> = engine.jobs().into_iter().map(|job| job.id).collect();
    assert_eq!(jobs.len(), 6, "{jobs:?}");
    for job in &jobs {
        eventually("the job runs", async || {
            let info = engine.job(job).unwrap();
            assert_ne!(info.state, JobStatus::Failed, "{:?}", info.error);
            info.state == JobStatus::Running
        })
        .await;
    }
    let order = |i: i64| {
        let status = if i % 4 == 0 { "failed" } else { "paid" };
        let value = json!({
            "order_id": format!("o-{i}"), "user_id": i, "province": "浙江", "city": "杭州",
            "region": "华东", "product": "茶", "category": "食品", "quantity": 2,
            "amount": "12.50", "pay_method": "alipay", "status": status,
            "fail_reason": if i % 4 == 0 { json!("余额不足") } else { Value::Null },
            "order_time": format!("2026-11-22T10:00:{:02}.000Z", i / 10),
        });
        ProduceRecord {
            value: Some(Bytes::from(value.to_string())),
            ..Default::default()
        }
    };
    let mut writer = world.bus.writer().await.unwrap();
    let orders = (0..200).map(order).collect();
    writer
        .send(&TopicPartition::new("orders", 0), orders)
        .await
        .unwrap();
    for job in &jobs {
        read_by(&engine, job, 200).await;
        let info = engine.job(job).unwrap();
        assert_eq!((info.dead_letters, info.late_records), (0, 0), "{job}");
        assert!(info.out_records > 0, "{job} gives rows");
    }
    // Windows of 5 seconds to 10:00:15 have fired at the watermark 10:00:17.
    let rows = run(
        &engine,
        "SELECT * FROM orders_by_region_5s ORDER BY window_start",
    )
    .await;
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[1][2..],
        [json!("华东"), json!(38), json!("475.00"), json!("12.50")]
    );
    let alerts = run(&engine, "SELECT attempts, failures FROM payment_alerts").await;
    assert_eq!(
        alerts,
        vec![
            vec![json!(50), json!(13)],
            vec![json!(50), json!(12)],
            vec![json!(50), json!(13)]
        ]
    );

    let dashboard = serde_json::from_str(&repository("scenarios/retail/dashboard.json")).unwrap();
    let mut queries = Vec::new();
    panel_queries(&dashboard, &mut queries);
    assert!(queries.len() > 5);
    for sql in queries {
        let mut live = engine
            .subscribe(&sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}\n{e}"));
        assert!(!result(&mut live).await.is_empty(), "{sql}");
    }
}

/// CONCAT of five texts as long as the amount says.
const LENGTHS: &str = "CREATE MATERIALIZED TABLE lengths AS
    SELECT CHAR_LENGTH(CONCAT(
        LPAD(region, CAST(amount AS INT), 'x'), LPAD(region, CAST(amount AS INT), 'x'),
        LPAD(region, CAST(amount AS INT), 'x'), LPAD(region, CAST(amount AS INT), 'x'),
        LPAD(region, CAST(amount AS INT), 'x'))) AS n
    FROM orders";

#[tokio::test]
async fn a_row_whose_texts_are_too_large_is_a_dead_letter_and_the_job_goes_on() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    run(&engine, LENGTHS).await;
    for amount in [10, 16_000_000, 20] {
        world.order("west", amount, "10:00:01").await;
    }
    read_by(&engine, "lengths", 3).await;
    let rows = run(&engine, "SELECT n FROM lengths ORDER BY n").await;
    assert_eq!(rows, [[json!(50)], [json!(100)]]);
    assert_eq!(engine.job("lengths").unwrap().dead_letters, 1);
    engine.shutdown().await;
}

#[tokio::test]
async fn rows_whose_texts_are_too_large_only_together_are_all_taken() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    world.orders_topic().await;
    for n in 0..12 {
        world.order("west", 2_000_000 + n, "10:00:01").await;
    }
    run(&engine, LENGTHS).await;
    read_by(&engine, "lengths", 12).await;
    let rows = run(&engine, "SELECT COUNT(*), MIN(n) FROM lengths").await;
    assert_eq!(rows, [[json!(12), json!(10_000_000)]]);
    assert_eq!(engine.job("lengths").unwrap().dead_letters, 0);
    engine.shutdown().await;
}

#[tokio::test]
async fn what_fails_at_run_time_is_told_with_its_column() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    world.orders_topic().await;
    world.order("west", 0, "10:00:01").await;
    let error = refused(&engine, "SELECT 10 / amount AS share FROM orders").await;
    assert!(error.starts_with("division by zero"), "{error}");
    run(
        &engine,
        "CREATE MATERIALIZED TABLE shares AS SELECT 10 / amount AS share FROM orders",
    )
    .await;
    read_by(&engine, "shares", 1).await;
    let letters = TopicPartition::new(engine.job("shares").unwrap().dead_letter_topic, 0);
    let start = world
        .bus
        .offsets(std::slice::from_ref(&letters), OffsetAt::Earliest);
    let from = [(letters.clone(), start.await.unwrap()[0])];
    let reader = world.bus.reader(&from, Isolation::ReadCommitted);
    let mut reader = reader.await.unwrap();
    let mut reason = None;
    eventually("the dead letter is there", async || {
        let chunks = reader.poll(Duration::ZERO, 1 << 20).await.unwrap();
        let mut headers = chunks
            .iter()
            .flat_map(|c| &c.records)
            .flat_map(|r| &r.headers);
        let found = headers.find(|h| h.key == "__connect.errors.exception.message");
        reason = found.and_then(|h| h.value.clone());
        reason.is_some()
    })
    .await;
    let reason = String::from_utf8(reason.unwrap().to_vec()).unwrap();
    assert!(
        reason.starts_with("column 'share': division by zero"),
        "{reason}"
    );
    engine.shutdown().await;
}
