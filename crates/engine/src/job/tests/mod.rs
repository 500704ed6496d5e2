//! Jobs on the in-memory bus: exactly once through any failure.

mod faulty_bus;
mod hard_input;
mod plans;

use super::{JobEnv, JobHandle, JobSpec, JobStatus};
use crate::operators::ErrorPolicy;
use bytes::Bytes;
use faulty_bus::{Faults, FaultyBus};
use millstream_core::env::rand::SeededRand;
use millstream_core::env::{Rand, SystemClock};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::memory_bus::MemoryBus;
use millstream_core::ports::{Bus, Isolation, OffsetAt, ProduceRecord, Record, TopicSpec};
use millstream_sql::catalog::BoundedMode;
use plans::{SIZE_MS, Shape, casts, spec, windows};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const REGIONS: [&str; 4] = ["华东", "华南", "north", "west"];

#[derive(Debug)]
struct Order {
    region: &'static str,
    amount: i64,
    ts: i64,
}

fn order_record(order: &Order) -> ProduceRecord {
    let time = chrono::DateTime::from_timestamp_millis(order.ts).unwrap();
    let value = serde_json::json!({
        "region": order.region,
        "amount": order.amount,
        "ts": time.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    });
    ProduceRecord {
        timestamp_ms: Some(order.ts),
        value: Some(Bytes::from(value.to_string())),
        ..Default::default()
    }
}

fn text_record(value: &str) -> ProduceRecord {
    ProduceRecord {
        value: Some(Bytes::from(value.to_owned())),
        ..Default::default()
    }
}

async fn topic(bus: &dyn Bus, name: &str, partitions: i32) {
    let spec = TopicSpec {
        name: name.into(),
        partitions,
        configs: BTreeMap::new(),
    };
    bus.create_topic(spec).await.unwrap();
}

async fn send(bus: &dyn Bus, topic: &str, partition: i32, records: Vec<ProduceRecord>) {
    let mut writer = bus.writer().await.unwrap();
    writer
        .send(&TopicPartition::new(topic, partition), records)
        .await
        .unwrap();
}

fn order(region: &'static str, amount: i64, ts: i64) -> ProduceRecord {
    order_record(&Order { region, amount, ts })
}

fn env(bus: Arc<dyn Bus>) -> JobEnv {
    JobEnv {
        bus,
        clock: SystemClock::shared(),
        rand: SeededRand::shared(7),
        runtime: tokio::runtime::Handle::current(),
    }
}

fn bounded(partitions: i32) -> Shape {
    Shape {
        bounded: BoundedMode::Latest,
        partitions,
        idle_timeout: None,
    }
}

fn unbounded(partitions: i32) -> Shape {
    Shape {
        bounded: BoundedMode::Unbounded,
        partitions,
        idle_timeout: None,
    }
}

/// All committed records of a topic.
async fn read(bus: &dyn Bus, topic: &str) -> Vec<Record> {
    let Ok(info) = bus.topic(topic).await else {
        return Vec::new();
    };
    let mut records = Vec::new();
    for tp in all_partitions(topic, info.partitions) {
        let at = [tp.clone()];
        let mut next = bus.offsets(&at, OffsetAt::Earliest).await.unwrap()[0];
        let end = bus.offsets(&at, OffsetAt::LatestStable).await.unwrap()[0];
        let mut reader = bus
            .reader(&[(tp, next)], Isolation::ReadCommitted)
            .await
            .unwrap();
        while next < end {
            for chunk in reader.poll(Duration::ZERO, 1 << 20).await.unwrap() {
                next = chunk.next_offset;
                records.extend(chunk.records);
            }
        }
    }
    records
}

type Revenue = BTreeMap<(String, String), Vec<(i64, i64)>>;

/// Orders and revenue by window and region, as the sink's topic has them.
async fn revenue(bus: &dyn Bus) -> Revenue {
    let mut rows = Revenue::new();
    for record in read(bus, "revenue").await {
        let row: serde_json::Value =
            serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let key = (text("window_start"), text("region"));
        let value = (
            row["orders"].as_i64().unwrap(),
            row["revenue"].as_i64().unwrap(),
        );
        rows.entry(key).or_default().push(value);
    }
    rows
}

/// The same, computed from the orders alone.
fn expected_revenue<'a>(orders: impl Iterator<Item = &'a Order>) -> Revenue {
    let mut windows: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
    for order in orders {
        let sum = windows
            .entry((order.ts / SIZE_MS * SIZE_MS, order.region))
            .or_default();
        sum.0 += 1;
        sum.1 += order.amount;
    }
    windows
        .into_iter()
        .map(|((start, region), sum)| ((sql_time(start), region.to_owned()), vec![sum]))
        .collect()
}

/// A time as Flink's JSON format writes TIMESTAMP(3).
fn sql_time(ms: i64) -> String {
    let text = chrono::DateTime::from_timestamp_millis(ms)
        .unwrap()
        .format("%Y-%m-%d %H:%M:%S%.3f");
    let text = text.to_string();
    text.strip_suffix(".000").unwrap_or(&text).to_owned()
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn finished(job: &JobHandle) {
    eventually("the job finishes", async || {
        let info = job.info();
        assert_ne!(info.state, JobStatus::Failed, "{:?}", info.error);
        info.state == JobStatus::Finished
    })
    .await;
}

async fn in_records(job: &JobHandle, count: u64) {
    eventually("records are committed", async || {
        let info = job.info();
        assert_ne!(info.state, JobStatus::Failed, "{:?}", info.error);
        info.in_records >= count
    })
    .await;
}

#[tokio::test]
async fn bounded_input_fires_its_last_windows_and_finishes() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 2).await;
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![order("west", 5, 1_000), order("west", 7, 6_000)],
    )
    .await;
    send(
        bus.as_ref(),
        "orders",
        1,
        vec![order("west", 9, 2_000), order("north", 1, 2_000)],
    )
    .await;
    let job = JobHandle::start(spec("j", windows(&bounded(2))), env(bus.clone()));
    finished(&job).await;
    let expected: Revenue = [
        ((sql_time(0), "north".to_owned()), vec![(1, 1)]),
        ((sql_time(0), "west".to_owned()), vec![(2, 14)]),
        ((sql_time(5_000), "west".to_owned()), vec![(1, 7)]),
    ]
    .into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
    let info = job.info();
    assert_eq!(
        (info.in_records, info.out_records, info.late_records),
        (4, 3, 0)
    );
    assert_eq!(info.lag_records, Some(0));
    assert_eq!(
        info.operators
            .iter()
            .map(|o| o.kind.as_str())
            .collect::<Vec<_>>(),
        ["source", "window", "project", "sink"]
    );
    let committed = bus
        .committed("millstream.j", &all_partitions("orders", 2))
        .await
        .unwrap();
    assert_eq!(committed, [Some(Offset(2)), Some(Offset(2))]);

    // What is finished stays finished, and what came later is not its input.
    send(bus.as_ref(), "orders", 0, vec![order("west", 100, 60_000)]).await;
    let again = JobHandle::start(spec("j", windows(&bounded(2))), env(bus.clone()));
    finished(&again).await;
    assert_eq!(revenue(bus.as_ref()).await, expected);
    assert_eq!(again.info().in_records, 4);
}

#[tokio::test]
async fn windows_open_at_a_stop_go_on_after_a_start() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![order("west", 5, 1_000), order("west", 7, 2_000)],
    )
    .await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    in_records(&job, 2).await;
    assert!(job.info().state_bytes > 0);
    job.stop().await;
    assert_eq!(job.status(), JobStatus::Stopped);
    assert!(revenue(bus.as_ref()).await.is_empty(), "the window is open");

    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![order("west", 1, 4_999), order("north", 1, 6_000)],
    )
    .await;
    in_records(&job, 4).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(3, 13)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
    assert_eq!(job.info().watermark_ms, Some(5_000));
}

#[tokio::test]
async fn late_rows_are_counted_and_kept_with_the_window_they_missed() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    // The watermark is then 4,999: exactly the last millisecond of [0, 5 s).
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![order("west", 1, 100), order("west", 2, 5_999)],
    )
    .await;
    in_records(&job, 2).await;
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![order("west", 64, 4_999), order("west", 4, 5_000)],
    )
    .await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 8, 11_000)]).await;
    in_records(&job, 5).await;
    let expected: Revenue = [
        ((sql_time(0), "west".to_owned()), vec![(1, 1)]),
        ((sql_time(5_000), "west".to_owned()), vec![(2, 6)]),
    ]
    .into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
    assert_eq!(job.info().late_records, 1);
    let late = read(bus.as_ref(), "j.late").await;
    assert_eq!(late.len(), 1);
    let row: serde_json::Value = serde_json::from_slice(late[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(
        (row["region"].as_str(), row["amount"].as_i64()),
        (Some("west"), Some(64))
    );
    assert_eq!(header(&late[0], "millstream.late.window_end"), "5000");
    assert_eq!(header(&late[0], "millstream.late.watermark"), "4999");
    assert_eq!(header(&late[0], "millstream.source.offset"), "2");
}

fn header(record: &Record, name: &str) -> String {
    let header = record.headers.iter().find(|h| h.key == name);
    let header = header.unwrap_or_else(|| panic!("no header {name}"));
    String::from_utf8(header.value.as_ref().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn undecodable_records_become_dead_letters_and_the_job_goes_on() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    let bad = ProduceRecord {
        key: Some(Bytes::from_static(b"k")),
        timestamp_ms: Some(42),
        ..text_record("{\"region\": \"we")
    };
    let untimed = text_record(r#"{"region": "west", "amount": 1}"#);
    let records = vec![order("west", 1, 100), bad, untimed, order("west", 2, 200)];
    send(bus.as_ref(), "orders", 0, records).await;
    let job = JobHandle::start(spec("j", windows(&bounded(1))), env(bus.clone()));
    finished(&job).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(2, 3)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
    assert_eq!(job.info().dead_letters, 2);
    let letters = read(bus.as_ref(), "j.dlq").await;
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].value.as_deref(), Some(&b"{\"region\": \"we"[..]));
    assert_eq!(
        (letters[0].key.as_deref(), letters[0].timestamp_ms),
        (Some(&b"k"[..]), 42)
    );
    for (name, value) in [
        ("__connect.errors.topic", "orders"),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "1"),
        ("__connect.errors.connector.name", "j"),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
    ] {
        assert_eq!(header(&letters[0], name), value, "{name}");
    }
    assert!(!header(&letters[0], "__connect.errors.exception.message").is_empty());
    assert!(header(&letters[1], "__connect.errors.exception.message").contains("NULL"));
}

#[tokio::test]
async fn records_that_cannot_be_read_are_a_dead_letter_and_the_job_goes_on() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    let records = (0..6).map(|i| order("west", 1 << i, 100 + i)).collect();
    send(bus.as_ref(), "orders", 0, records).await;
    let orders = TopicPartition::new("orders", 0);
    bus.damage(&orders, Offset(1), Offset(3), "a flipped bit");
    let job = JobHandle::start(spec("j", windows(&bounded(1))), env(bus.clone()));
    finished(&job).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(3, 1 + 16 + 32)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
    assert_eq!((job.info().dead_letters, job.info().restarts), (1, 0));
    let letters = read(bus.as_ref(), "j.dlq").await;
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0].key, &letters[0].value), (&None, &None));
    for (name, value) in [
        ("__connect.errors.topic", "orders"),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "1"),
        ("millstream.unreadable.last_offset", "3"),
        ("__connect.errors.connector.name", "j"),
        ("__connect.errors.stage", "KAFKA_CONSUME"),
        ("__connect.errors.exception.message", "a flipped bit"),
    ] {
        assert_eq!(header(&letters[0], name), value, "{name}");
    }
}

#[tokio::test]
async fn a_row_on_which_an_expression_fails_is_a_dead_letter_or_fails_the_job() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    let row = |region: &str, amount: i64| {
        text_record(&format!(
            r#"{{"region": "{region}", "amount": {amount}, "ts": "2026-11-22 20:41:05"}}"#
        ))
    };
    let records = vec![
        row("1", 20),
        row("x", 20),
        row("y", 5),
        row("3", 30),
        row("z", 11),
    ];
    send(bus.as_ref(), "orders", 0, records).await;
    let job = JobHandle::start(spec("j", casts(&bounded(1))), env(bus.clone()));
    finished(&job).await;
    let numbers: Vec<i64> = read(bus.as_ref(), "numbers")
        .await
        .iter()
        .map(|r| serde_json::from_slice::<serde_json::Value>(r.value.as_ref().unwrap()).unwrap())
        .map(|row| row["number"].as_i64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        [1, 3],
        "the filtered-out row never reached the CAST"
    );
    let letters = read(bus.as_ref(), "j.dlq").await;
    let offsets: Vec<String> = letters
        .iter()
        .map(|l| header(l, "__connect.errors.offset"))
        .collect();
    assert_eq!(offsets, ["1", "4"]);

    let mut strict = spec("strict", casts(&bounded(1)));
    strict.options.error_policy = ErrorPolicy::Fail;
    let job = JobHandle::start(strict, env(bus.clone()));
    eventually("the job fails", async || job.status() == JobStatus::Failed).await;
    assert!(
        job.info().error.unwrap().starts_with("SELECT: "),
        "names the operator"
    );
}

#[tokio::test]
async fn an_idle_partition_lets_windows_fire_only_with_an_idle_timeout() {
    for idle in [None, Some(Duration::from_millis(30))] {
        let bus = MemoryBus::shared();
        topic(bus.as_ref(), "orders", 2).await;
        let shape = Shape {
            idle_timeout: idle,
            ..unbounded(2)
        };
        let job = JobHandle::start(spec("j", windows(&shape)), env(bus.clone()));
        send(
            bus.as_ref(),
            "orders",
            0,
            vec![order("west", 5, 1_000), order("west", 7, 9_000)],
        )
        .await;
        in_records(&job, 2).await;
        if idle.is_some() {
            eventually("the window fires", async || {
                !revenue(bus.as_ref()).await.is_empty()
            })
            .await;
            assert_eq!(job.info().watermark_ms, Some(8_000));
        } else {
            assert_eq!(job.info().watermark_ms, None);
            assert!(revenue(bus.as_ref()).await.is_empty());
            send(bus.as_ref(), "orders", 1, vec![order("west", 5, 8_000)]).await;
            in_records(&job, 3).await;
            assert_eq!(job.info().watermark_ms, Some(7_000));
            assert_eq!(revenue(bus.as_ref()).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn the_changelog_stays_small_and_restores_what_it_was_cut_down_to() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    let mut spec = spec("j", windows(&unbounded(1)));
    spec.options.changelog_bytes_max = 8 * 1024;
    let start = || JobHandle::start(spec.clone(), env(bus.clone()));
    let job = start();
    let mut sum = 0;
    for i in 0..100_u64 {
        send(
            bus.as_ref(),
            "orders",
            0,
            vec![order("west", i as i64, 1_000)],
        )
        .await;
        sum += i as i64;
        in_records(&job, i + 1).await;
    }
    job.stop().await;
    let kept: usize = read(bus.as_ref(), "__millstream_j_changelog")
        .await
        .iter()
        .map(|r| r.value.as_ref().unwrap().len())
        .sum();
    assert!(kept < 32 * 1024, "{kept} bytes after 100 epochs");
    let tp = [TopicPartition::new("__millstream_j_changelog", 0)];
    assert!(bus.offsets(&tp, OffsetAt::Earliest).await.unwrap()[0] > Offset(0));

    let job = start();
    send(bus.as_ref(), "orders", 0, vec![order("west", 0, 60_000)]).await;
    in_records(&job, 101).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(100, sum)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
}

#[tokio::test]
async fn state_beyond_its_budget_fails_the_job_in_words() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 5, 1_000)]).await;
    let mut spec = spec("j", windows(&unbounded(1)));
    spec.options.state_bytes_max = 16;
    let job = JobHandle::start(spec, env(bus.clone()));
    eventually("the job fails", async || job.status() == JobStatus::Failed).await;
    assert!(job.info().error.unwrap().contains("16 are allowed"));
}

#[tokio::test]
async fn a_second_instance_takes_over_and_nothing_is_doubled() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 5, 1_000)]).await;
    let mut slow = spec("j", windows(&unbounded(1)));
    slow.options.backoff_min = Duration::from_secs(60);
    slow.options.backoff_max = Duration::from_secs(60);
    let old = JobHandle::start(slow, env(bus.clone()));
    in_records(&old, 1).await;
    let new = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    in_records(&new, 1).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 7, 8_000)]).await;
    in_records(&new, 2).await;
    eventually("the old one is fenced", async || {
        old.info().error.is_some_and(|e| e.starts_with("fenced"))
    })
    .await;
    assert_eq!(old.info().state, JobStatus::Restarting);
    eventually("its lag is from what it has committed", async || {
        old.info().lag_records == Some(1)
    })
    .await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(1, 5)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
}

#[tokio::test]
async fn a_job_that_waits_for_its_restart_shows_what_is_behind_it() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 2).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 5, 1_000)]).await;
    let mut slow = spec("j", windows(&unbounded(2)));
    slow.options.backoff_min = Duration::from_secs(60);
    slow.options.backoff_max = Duration::from_secs(60);
    let job = JobHandle::start(slow, env(bus.clone()));
    in_records(&job, 1).await;
    // Another instance fences it at its next commit, and goes.
    let other = JobHandle::start(spec("j", windows(&unbounded(2))), env(bus.clone()));
    in_records(&other, 1).await;
    other.stop().await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 6, 1_000)]).await;
    eventually("the job waits", async || {
        job.status() == JobStatus::Restarting
    })
    .await;
    let behind = (0..300).map(|n| order("west", n, 1_000)).collect();
    send(bus.as_ref(), "orders", 1, behind).await;
    eventually("the lag is shown", async || {
        job.info().lag_records == Some(301)
    })
    .await;
}

/// Orders of two partitions, each in order but for less than the delay.
fn orders_strategy() -> impl Strategy<Value = Vec<(usize, Order)>> {
    let step = (
        0..2_usize,
        0..700_i64,
        0..900_i64,
        0..REGIONS.len(),
        -50..50_i64,
    );
    proptest::collection::vec(step, 1..120).prop_map(|steps| {
        let mut clocks = [1_000_i64; 2];
        steps
            .into_iter()
            .map(|(partition, advance, disorder, region, amount)| {
                clocks[partition] += advance;
                let ts = clocks[partition] - disorder;
                (
                    partition,
                    Order {
                        region: REGIONS[region],
                        amount,
                        ts,
                    },
                )
            })
            .collect()
    })
}

async fn runs_exactly_once(orders: &[(usize, Order)], kills: &[i64], per_mille: u64, seed: u64) {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 2).await;
    for (i, (partition, order)) in orders.iter().enumerate() {
        let mut records = vec![order_record(order)];
        if i % 7 == 3 {
            records.push(text_record("not json"));
        }
        send(bus.as_ref(), "orders", *partition as i32, records).await;
    }
    let bad = (0..orders.len()).filter(|i| i % 7 == 3).count();
    let mut spec = spec("j", windows(&bounded(2)));
    spec.options.epoch = Duration::ZERO;
    spec.options.poll_bytes_max = 200;
    spec.options.changelog_bytes_max = 3_000;
    let rand: Arc<dyn Rand> = SeededRand::shared(seed);
    for calls in kills {
        let faults = Faults::new(Arc::clone(&rand), per_mille, *calls);
        let job = start_on(&bus, &faults, &spec);
        // Died, or was through before it could.
        tokio::select! {
            () = faults.died.notified() => {}
            () = finished(&job) => {}
        }
        job.kill();
    }
    let faults = Faults::new(rand, per_mille, -1);
    let job = start_on(&bus, &faults, &spec);
    finished(&job).await;

    let expected = expected_revenue(orders.iter().map(|(_, order)| order));
    assert_eq!(revenue(bus.as_ref()).await, expected);
    assert_eq!(read(bus.as_ref(), "j.dlq").await.len(), bad);
    assert_eq!(read(bus.as_ref(), "j.late").await.len(), 0);
    let info = job.info();
    assert_eq!(info.in_records, (orders.len() + bad) as u64);
    assert_eq!((info.dead_letters, info.late_records), (bad as u64, 0));
    assert_eq!(info.out_records, expected.len() as u64);
}

fn start_on(bus: &Arc<MemoryBus>, faults: &Arc<Faults>, spec: &JobSpec) -> JobHandle {
    let bus = Arc::new(FaultyBus {
        inner: bus.clone(),
        faults: Arc::clone(faults),
    });
    JobHandle::start(spec.clone(), env(bus))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Killed at any call, with any call failing or its answer lost: every
    /// window comes out once, with the sums of a plain loop over the input.
    #[test]
    fn any_kill_and_any_failure_leaves_exactly_once(
        orders in orders_strategy(),
        kills in proptest::collection::vec(1..150_i64, 0..6),
        per_mille in prop_oneof![Just(0_u64), 1..60_u64],
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(runs_exactly_once(&orders, &kills, per_mille, seed));
    }
}
