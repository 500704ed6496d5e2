//! Files written for Flink, run by the engine.

use super::tests::{BY_REGION, ORDERS, World, eventually, orders_job, read_by, refused, run};
use crate::job::JobStatus;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::Bus;
use serde_json::json;
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
