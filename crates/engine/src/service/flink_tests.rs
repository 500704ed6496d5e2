//! Files written for Flink, run by the engine.

use super::tests::{BY_REGION, ORDERS, World, eventually, orders_job, read_by, refused, run};
use crate::job::JobStatus;
use bytes::Bytes;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{Bus, ProduceRecord, TopicSpec};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Commits a group's offset of `orders-0`, as a consumer would.
async fn commit(world: &World, group: &str, offset: i64) {
    let mut writer = world
        .bus
        .transaction_writer("committer", Duration::from_secs(60))
        .await
        .unwrap();
    writer.begin().await.unwrap();
    let offsets = [(TopicPartition::new("orders", 0), Offset(offset))];
    writer.send_offsets(group, &offsets).await.unwrap();
    writer.commit().await.unwrap();
}

/// `orders` again under another name, with these options.
fn orders_as(name: &str, options: &str) -> String {
    ORDERS
        .replace("CREATE TABLE orders", &format!("CREATE TABLE {name}"))
        .replace("'scan.startup.mode' = 'earliest-offset'", options)
}

#[tokio::test]
async fn the_same_materialized_table_again_is_no_change_and_another_is_refused() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    let again = BY_REGION.replace("CREATE", "CREATE OR ALTER");
    assert_eq!(run(&engine, &again).await, [[json!("OK")]]);
    let spaced = again.replace("SELECT", "SELECT -- all of it\n  ");
    assert_eq!(run(&engine, &spaced).await, [[json!("OK")]]);
    assert_eq!(engine.jobs().len(), 1);
    assert_eq!(engine.job("by_region").unwrap().restarts, 0);

    for (change, named) in [
        (again.replace("5", "10"), "other query"),
        (
            again.replace("by_region AS", "by_region WITH ('format' = 'csv') AS"),
            "other options",
        ),
        (
            format!("SET 'table.local-time-zone' = 'Asia/Shanghai'; {again}"),
            "other session settings",
        ),
    ] {
        let error = refused(&engine, &change).await;
        assert!(error.contains(named), "{error}");
        assert!(
            error.contains("DROP MATERIALIZED TABLE by_region"),
            "{error}"
        );
    }
    let error = refused(&engine, &again.replace("TABLE by_region", "TABLE orders")).await;
    assert!(
        error.contains("'orders' is no materialized table"),
        "{error}"
    );
    // What is not there is created.
    let new = again.replace("TABLE by_region", "TABLE regions");
    assert_eq!(run(&engine, &new).await, [[json!("regions")]]);
}

#[tokio::test]
async fn a_file_of_a_flink_user_runs_and_says_what_does_nothing() {
    let world = World::new().await;
    let engine = world.engine().await;
    let file = format!(
        "SET 'execution.runtime-mode' = 'streaming';
         SET 'parallelism.default' = '4';
         SET 'execution.checkpointing.interval' = '20 ms';
         SET 'table.exec.source.idle-timeout' = '1 s';
         {};
         {}",
        orders_as(
            "orders",
            "'properties.bootstrap.servers' = 'kafka:9092', 'properties.group.id' = 'shop', \
             'scan.startup.mode' = 'group-offsets', 'properties.auto.offset.reset' = 'earliest'"
        ),
        BY_REGION
    );
    let mut session = engine.session();
    let answer = engine.execute(&file, &mut session).await.unwrap();
    assert_eq!(answer.rows.values(), [[json!("by_region")]]);
    let told = answer.notices;
    assert_eq!(told.len(), 3, "{told:#?}");
    for (notice, part) in told.iter().zip([
        "'parallelism.default' does nothing here",
        "every 20 ms",
        "not at kafka:9092",
    ]) {
        assert!(notice.contains(part), "{part}: {told:#?}");
    }
    eventually("the job runs", async || {
        engine.job("by_region").unwrap().state == JobStatus::Running
    })
    .await;
    let job = engine.job("by_region").unwrap();
    assert_eq!(job.epoch_ms, 20);
    assert!(job.operators[0].detail.contains("idle after 1"), "{job:?}");
    // And does so after a restart of the engine.
    engine.shutdown().await;
    drop(engine);
    let engine = world.engine().await;
    eventually("the job runs again", async || {
        engine.job("by_region").unwrap().state == JobStatus::Running
    })
    .await;
    let job = engine.job("by_region").unwrap();
    assert_eq!(job.epoch_ms, 20);
    assert!(job.operators[0].detail.contains("idle after 1"), "{job:?}");
}

#[tokio::test]
async fn an_answer_has_no_more_notices_than_the_bound() {
    let world = World::new().await;
    let engine = world.engine().await;
    let text: String = (0..super::NOTICES_MAX + 20)
        .map(|n| format!("SET 'state.key.{n}' = '1'; SET 'state.key.{n}' = '1';"))
        .collect();
    let mut session = engine.session();
    let answer = engine.execute(&text, &mut session).await.unwrap();
    assert_eq!(answer.notices.len(), super::NOTICES_MAX);
}

#[tokio::test]
async fn a_select_and_a_job_begin_where_the_table_says() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    for amount in [1, 2, 4, 8] {
        world.order("west", amount, "10:00:01").await;
    }
    commit(&world, "shop", 2).await;
    run(
        &engine,
        &orders_as(
            "of_group",
            "'scan.startup.mode' = 'group-offsets', 'properties.group.id' = 'shop'",
        ),
    )
    .await;
    run(
        &engine,
        &orders_as(
            "of_nobody",
            "'scan.startup.mode' = 'group-offsets', 'properties.group.id' = 'nobody'",
        ),
    )
    .await;
    run(
        &engine,
        &orders_as(
            "of_offset",
            "'scan.startup.mode' = 'specific-offsets', \
             'scan.startup.specific-offsets' = 'partition:0,offset:3'",
        ),
    )
    .await;
    let sum = async |table: &str| run(&engine, &format!("SELECT SUM(amount) FROM {table}")).await;
    assert_eq!(sum("of_group").await, [[json!(12)]]);
    assert_eq!(sum("of_offset").await, [[json!(8)]]);
    let error = refused(&engine, "SELECT * FROM of_nobody").await;
    assert!(error.contains("group 'nobody'"), "{error}");

    for (table, records) in [("of_group", 2), ("of_offset", 1)] {
        let copy = format!("CREATE MATERIALIZED TABLE copy_{table} AS SELECT amount FROM {table}");
        run(&engine, &copy).await;
        read_by(&engine, &format!("copy_{table}"), records).await;
    }
    assert_eq!(sum("copy_of_group").await, [[json!(12)]]);
    assert_eq!(sum("copy_of_offset").await, [[json!(8)]]);
    run(
        &engine,
        "CREATE MATERIALIZED TABLE copy_of_nobody AS SELECT amount FROM of_nobody",
    )
    .await;
    eventually("the job fails in words", async || {
        let job = engine.job("copy_of_nobody").unwrap();
        job.state == JobStatus::Failed && job.error.is_some_and(|e| e.contains("group 'nobody'"))
    })
    .await;
}

async fn topic(world: &World, name: &str) {
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        configs: BTreeMap::new(),
    };
    world.bus.create_topic(spec).await.unwrap();
}

async fn produce(world: &World, topic: &str, records: &[(Option<&str>, &str)]) {
    let records = records.iter().map(|(key, value)| ProduceRecord {
        key: key.map(|key| Bytes::from(key.to_owned())),
        value: Some(Bytes::from((*value).to_owned())),
        ..ProduceRecord::default()
    });
    let mut writer = world.bus.writer().await.unwrap();
    writer
        .send(&TopicPartition::new(topic, 0), records.collect())
        .await
        .unwrap();
}

#[tokio::test]
async fn columns_are_read_from_the_key_and_what_has_none_is_set_apart() {
    let world = World::new().await;
    let engine = world.engine().await;
    topic(&world, "stock").await;
    topic(&world, "names").await;
    let json_key = "CREATE TABLE stock (k_shop STRING, amount INT, k_item BIGINT) WITH (
        'connector' = 'kafka', 'topic' = 'stock', 'key.format' = 'json',
        'key.fields' = 'k_item;k_shop', 'key.fields-prefix' = 'k_', 'value.format' = 'json',
        'value.fields-include' = 'EXCEPT_KEY')";
    run(&engine, json_key).await;
    produce(
        &world,
        "stock",
        &[
            (Some(r#"{"shop": "west", "item": 1}"#), r#"{"amount": 10}"#),
            (None, r#"{"amount": 20}"#),
            (Some("no key"), r#"{"amount": 30}"#),
            (Some("no key"), "no value"),
            (
                Some(r#"{"shop": "east"}"#),
                r#"{"amount": 40, "shop": "x"}"#,
            ),
        ],
    )
    .await;
    let rows = run(&engine, "SELECT k_shop, amount, k_item FROM stock").await;
    assert_eq!(
        rows,
        [
            [json!("west"), json!(10), json!(1)],
            [json!("east"), json!(40), json!(null)]
        ]
    );
    let copy = "CREATE MATERIALIZED TABLE copy AS SELECT k_shop, amount FROM stock";
    run(&engine, copy).await;
    read_by(&engine, "copy", 5).await;
    let job = engine.job("copy").unwrap();
    assert_eq!((job.out_records, job.dead_letters), (2, 3));

    // Text as the key, as most producers write it.
    run(
        &engine,
        "CREATE TABLE names (id STRING, name STRING) WITH (
           'connector' = 'kafka', 'topic' = 'names', 'format' = 'json', 'key.format' = 'raw',
           'key.fields' = 'id', 'value.fields-include' = 'EXCEPT_KEY')",
    )
    .await;
    produce(
        &world,
        "names",
        &[(Some("a"), r#"{"name": "x"}"#), (None, r#"{"name": "y"}"#)],
    )
    .await;
    let rows = run(&engine, "SELECT id, name FROM names").await;
    assert_eq!(rows, [[json!("a"), json!("x")], [json!(null), json!("y")]]);
    let error = refused(
        &engine,
        "INSERT INTO names SELECT k_shop, k_shop FROM stock",
    )
    .await;
    assert!(error.contains("for reading only"), "{error}");
}

#[tokio::test]
async fn what_is_written_with_a_key_apart_is_read_back() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    run(
        &engine,
        "CREATE TABLE keyed (key_region STRING, amount BIGINT) WITH (
           'connector' = 'kafka', 'topic' = 'keyed', 'format' = 'json', 'key.format' = 'json',
           'key.fields' = 'key_region', 'key.fields-prefix' = 'key_',
           'value.fields-include' = 'EXCEPT_KEY')",
    )
    .await;
    run(
        &engine,
        "SET 'pipeline.name' = 'keyed'; INSERT INTO keyed SELECT region, amount FROM orders",
    )
    .await;
    world.order("west", 5, "10:00:01").await;
    read_by(&engine, "keyed", 1).await;
    let rows = run(&engine, "SELECT * FROM keyed").await;
    assert_eq!(rows, [[json!("west"), json!(5)]]);
    let plain = "CREATE TABLE plain (region STRING, key_region STRING, amount BIGINT) WITH (
        'connector' = 'kafka', 'topic' = 'keyed', 'format' = 'json')";
    run(&engine, plain).await;
    let rows = run(&engine, "SELECT * FROM plain").await;
    assert_eq!(
        rows,
        [[json!(null), json!(null), json!(5)]],
        "the value does not have it"
    );
}
