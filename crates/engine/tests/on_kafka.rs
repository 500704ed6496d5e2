//! The same engine over librdkafka on the broker at `MILLSTREAM_TEST_KAFKA`
//! (`HOST:PORT`): Millstream's own and Apache Kafka. The process "crashes" at
//! arbitrary moments; every window comes out once, with the right sums.
#![allow(clippy::expect_used, reason = "a test")]

use bytes::Bytes;
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_connect::kafka::{KafkaBus, KafkaOptions};
use millstream_core::env::{RealFs, SystemClock, SystemRand};
use millstream_core::ids::{BrokerId, TopicPartition};
use millstream_core::ports::{Bus, ProduceRecord, TopicSpec};
use millstream_engine::{Engine, EngineHandle, EngineOptions, JobOptions, JobStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 3;
const ORDERS: i64 = 6_000;
const REGIONS: [&str; 3] = ["华东", "华南", "north"];
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_job_on_any_kafka_is_exactly_once_through_crashes() {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_KAFKA") else {
        println!("NOT RUN: set MILLSTREAM_TEST_KAFKA=HOST:PORT to test against a broker");
        return;
    };
    let millis = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock")
        .as_millis();
    let prefix = format!("engine-{millis}");
    let dir = tempfile::TempDir::new().expect("a folder");
    let world = World {
        bootstrap,
        prefix,
        dir,
    };

    let expected = world.life(|engine, bus| Box::pin(world.prepare(engine, bus)));
    for crash in 1..=4_u64 {
        world.life(move |engine, _| {
            Box::pin(async move {
                let read =
                    |engine: &EngineHandle| engine.jobs().first().map_or(0, |j| j.in_records);
                let before = read(&engine);
                let began = Instant::now();
                // A crash is worth something only while records are read.
                while read(&engine) < before + 200 * crash
                    && began.elapsed() < Duration::from_secs(5)
                {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        });
    }
    let rows = world.life(|engine, _| Box::pin(world.finish(engine)));
    assert_eq!(rows, expected);
}

struct World {
    bootstrap: String,
    prefix: String,
    dir: tempfile::TempDir,
}

type Work<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

impl World {
    /// One process: what it was doing when `work` returns is cut off.
    fn life<'a, T>(&self, work: impl FnOnce(EngineHandle, Arc<KafkaBus>) -> Work<'a, T>) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let result = runtime.block_on(async {
            let options = KafkaOptions {
                bootstrap: self.bootstrap.clone(),
                ..Default::default()
            };
            let bus = KafkaBus::connect(options)
                .await
                .expect("the broker answers");
            let metadata = MetadataService::start(MetadataOptions::new(
                BrokerId(1),
                self.dir.path().join("metadata"),
                RealFs::shared(),
                SystemRand::shared(),
            ))
            .await
            .expect("metadata");
            let job = JobOptions {
                epoch: Duration::from_millis(20),
                poll_bytes_max: 4_096,
                ..JobOptions::default()
            };
            let options = EngineOptions {
                job,
                ..EngineOptions::default()
            };
            let engine = Engine::start(
                options,
                bus.clone(),
                metadata.clone(),
                SystemClock::shared(),
            )
            .await
            .expect("the engine starts");
            let result = work(engine, bus).await;
            // The log of the metadata is this process's; the next opens it.
            metadata.shutdown().await;
            result
        });
        runtime.shutdown_background();
        result
    }

    fn sql(&self, text: &str) -> String {
        text.replace("PREFIX", &self.prefix)
    }

    async fn prepare(&self, engine: EngineHandle, bus: Arc<KafkaBus>) -> Vec<Vec<Value>> {
        let topic = format!("{}-orders", self.prefix);
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: PARTITIONS,
            configs: BTreeMap::new(),
        };
        bus.create_topic(spec).await.expect("a topic");
        let mut writer = bus.writer().await.expect("a writer");
        let mut sums: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
        let mut records = vec![Vec::new(); PARTITIONS as usize];
        for i in 0..ORDERS {
            let (region, amount, ms) = (REGIONS[(i % 7 % 3) as usize], i % 101, i * 40);
            let sum = sums.entry((ms / 5_000 * 5_000, region)).or_default();
            *sum = (sum.0 + 1, sum.1 + amount);
            let value = json!({"region": region, "amount": amount, "ts": time(ms)});
            let record = ProduceRecord {
                value: Some(Bytes::from(value.to_string())),
                ..ProduceRecord::default()
            };
            records[(i % i64::from(PARTITIONS)) as usize].push(record);
        }
        for (partition, records) in (0..).zip(records) {
            let tp = TopicPartition::new(topic.clone(), partition);
            writer.send(&tp, records).await.expect("sent");
        }
        let define = self.sql(
            "CREATE TABLE orders (region STRING, amount BIGINT, ts TIMESTAMP(3),
               WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
             WITH ('connector' = 'kafka', 'topic' = 'PREFIX-orders', 'format' = 'json',
                   'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
             CREATE TABLE revenue (window_start TIMESTAMP(3), region STRING, orders BIGINT,
               revenue BIGINT)
             WITH ('connector' = 'kafka', 'topic' = 'PREFIX-revenue', 'format' = 'json',
                   'millstream.partitions' = '2');
             SET 'pipeline.name' = 'PREFIX';
             INSERT INTO revenue
             SELECT window_start, region, COUNT(*), SUM(amount)
             FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND))
             GROUP BY window_start, window_end, region",
        );
        engine
            .execute(&define, &mut engine.session())
            .await
            .expect("the job starts");
        let row = |((start, region), (orders, revenue)): ((i64, &str), (i64, i64))| {
            vec![
                json!(time(start)),
                json!(region),
                json!(orders),
                json!(revenue),
            ]
        };
        sums.into_iter().map(row).collect()
    }

    async fn finish(&self, engine: EngineHandle) -> Vec<Vec<Value>> {
        let began = Instant::now();
        loop {
            let job = engine.job(&self.prefix).expect("the job");
            assert_ne!(job.state, JobStatus::Failed, "{:?}", job.error);
            if job.state == JobStatus::Finished {
                assert_eq!(job.in_records, ORDERS as u64);
                assert_eq!((job.late_records, job.dead_letters), (0, 0));
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{job:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let select = "SELECT window_start, region, orders, revenue FROM revenue";
        let mut rows = engine
            .execute(select, &mut engine.session())
            .await
            .expect("rows")
            .rows
            .values();
        rows.sort_by_key(|row| (row[0].to_string(), row[1].to_string()));
        rows
    }
}

fn time(ms: i64) -> String {
    // The first hour of a day is enough for these orders.
    let (minutes, seconds, millis) = (ms / 60_000, ms / 1_000 % 60, ms % 1_000);
    format!("2026-11-22 00:{minutes:02}:{seconds:02}.{millis:03}")
}
