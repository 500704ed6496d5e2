//! What definitions may be made, dropped and run again, and whose topics they
//! touch.

use super::{BY_REGION, ORDERS, World, eventually, orders_job, read_by, refused, run};
use crate::job::JobStatus;
use crate::service::{EngineError, EngineHandle};
use millstream_cluster::{Command, Job, JobState, SqlObject, SqlObjectKind};
use millstream_core::ids::TopicPartition;
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{Bus, BusError, OffsetAt, ProduceRecord, TopicSpec};
use serde_json::json;

const T: &str = "CREATE TABLE t (v STRING) WITH ('connector' = 'kafka', 'format' = 'json')";
const A: &str = "CREATE MATERIALIZED TABLE a AS SELECT v FROM t";

async fn error(engine: &EngineHandle, sql: &str) -> EngineError {
    let mut session = engine.session();
    match engine.execute(sql, &mut session).await {
        Ok(result) => panic!("{sql} gave {:?}", result.rows),
        Err(error) => error,
    }
}

pub(super) async fn topic(world: &World, name: &str) {
    let spec = TopicSpec {
        name: name.into(),
        partitions: 1,
        configs: Default::default(),
    };
    world.bus.create_topic(spec).await.unwrap();
}

pub(super) async fn record(world: &World, topic: &str, value: &str) {
    let record = ProduceRecord {
        value: Some(value.to_owned().into()),
        ..ProduceRecord::default()
    };
    let mut writer = world.bus.writer().await.unwrap();
    writer
        .send(&TopicPartition::new(topic, 0), vec![record])
        .await
        .unwrap();
}

async fn records(world: &World, topic: &str) -> i64 {
    let all = all_partitions(topic, 1);
    world.bus.offsets(&all, OffsetAt::Latest).await.unwrap()[0].0
}

async fn is_gone(world: &World, topic: &str) -> bool {
    matches!(world.bus.topic(topic).await, Err(BusError::UnknownTopic(_)))
}

/// As a version before wrote it: without what is remembered of the topic.
async fn put_old(world: &World, name: &str, definition: &str) {
    let object = SqlObject {
        name: name.into(),
        kind: SqlObjectKind::MaterializedTable,
        definition: definition.into(),
        json: r#"{"time_zone":"UTC"}"#.into(),
        created_at_ms: 1,
    };
    let job = Job {
        id: name.into(),
        name: name.into(),
        statement: definition.into(),
        desired: JobState::Running,
        created_at_ms: 1,
        options: Default::default(),
    };
    for command in [Command::CreateSqlObject(object), Command::CreateJob(job)] {
        world.metadata.propose(command).await.unwrap();
    }
}

#[tokio::test]
async fn a_table_that_any_job_uses_cannot_be_dropped() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, T).await;
    run(&engine, A).await;
    for stopped in [false, true] {
        if stopped {
            run(&engine, "STOP JOB 'a'").await;
        }
        let error = error(&engine, "DROP TABLE t").await;
        assert_eq!(error.title(), "materialized table 'a' reads table 't'");
        assert_eq!(
            error.hint().unwrap(),
            "write DROP MATERIALIZED TABLE a first"
        );
    }
    run(
        &engine,
        "CREATE TABLE copies (v STRING) WITH ('connector' = 'kafka', 'format' = 'json');
         SET 'pipeline.name' = 'copy'; INSERT INTO copies SELECT v FROM a; STOP JOB 'copy'",
    )
    .await;
    let engine = {
        engine.shutdown().await;
        world.engine().await
    };
    let says = refused(&engine, "DROP MATERIALIZED TABLE a").await;
    assert!(says.contains("job 'copy' reads table 'a'"), "{says}");
    let error = error(&engine, "DROP TABLE copies").await;
    assert_eq!(error.title(), "job 'copy' writes table 'copies'");
    assert!(error.hint().unwrap().contains("DROP JOB 'copy'"));
    let says = refused(&engine, "DROP JOB 'a'").await;
    assert!(says.contains("materialized table"), "{says}");
    assert!(refused(&engine, "DROP JOB 'nope'").await.contains("nope"));
    run(
        &engine,
        "DROP JOB IF EXISTS 'nope'; DROP JOB 'copy'; DROP TABLE copies;
         DROP MATERIALIZED TABLE a; DROP TABLE t",
    )
    .await;
    assert!(engine.jobs().is_empty() && engine.tables().is_empty());
    assert!(is_gone(&world, "__millstream_copy_changelog").await);
    assert!(
        !is_gone(&world, "copies").await && !is_gone(&world, "t").await,
        "tables made with CREATE TABLE leave their topics"
    );
    assert!(is_gone(&world, "a").await, "the table made it");
}

#[tokio::test]
async fn no_table_comes_to_read_itself() {
    let world = World::new().await;
    let engine = world.engine().await;
    // Left by a version that let `t` go from under a stopped job.
    put_old(&world, "a", A).await;
    let says = refused(&engine, "CREATE MATERIALIZED TABLE t AS SELECT v FROM a").await;
    assert!(
        says.contains("table 't' would read itself: t reads a reads t"),
        "{says}"
    );
    run(&engine, T).await;
    run(&engine, "START JOB 'a'").await;
    // By way of topics: b's result is what t is made from.
    let says = refused(
        &engine,
        "CREATE MATERIALIZED TABLE b WITH ('topic' = 't') AS SELECT v FROM a",
    )
    .await;
    assert!(
        says.contains("into topic 't' would come back to it in topic 'a', through a"),
        "{says}"
    );
    assert!(engine.job("b").is_none());
}

#[tokio::test]
async fn a_circle_of_the_version_before_opens_and_can_be_dropped() {
    let world = World::new().await;
    put_old(&world, "a", A).await;
    put_old(
        &world,
        "t",
        "CREATE MATERIALIZED TABLE t AS SELECT v FROM a",
    )
    .await;
    put_old(
        &world,
        "late",
        "CREATE MATERIALIZED TABLE late AS SELECT nope FROM",
    )
    .await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    run(&engine, BY_REGION).await;
    for (job, reason) in [
        (
            "a",
            "table 't' cannot be read back: it reads itself: t reads a reads t",
        ),
        (
            "t",
            "table 'a' cannot be read back: it reads itself: a reads t reads a",
        ),
        ("late", "expected"),
    ] {
        let info = engine.job(job).unwrap();
        assert_eq!(info.state, JobStatus::Failed, "{job}");
        let error = info.error.unwrap();
        assert!(error.contains(reason), "{job}: {error}");
    }
    eventually("others run", async || {
        engine.job("by_region").unwrap().state == JobStatus::Running
    })
    .await;
    let says = refused(&engine, "SELECT * FROM a").await;
    assert!(says.contains("'a'"), "{says}");
    run(
        &engine,
        "DROP MATERIALIZED TABLE t; DROP MATERIALIZED TABLE late",
    )
    .await;
    run(&engine, T).await;
    run(&engine, "START JOB 'a'").await;
    eventually("it runs again", async || {
        engine.job("a").unwrap().state == JobStatus::Running
    })
    .await;
}

#[tokio::test]
async fn a_long_chain_of_tables_is_read_back_from_its_end() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, T).await;
    engine.shutdown().await;
    // Each reads the one after it in the alphabet.
    let name = |i: usize| match i {
        60 => "t".to_owned(),
        i => format!("a{i:02}"),
    };
    for i in 0..60 {
        let (table, from) = (name(i), name(i + 1));
        let sql = format!("CREATE MATERIALIZED TABLE {table} AS SELECT v FROM {from}");
        put_old(&world, &table, &sql).await;
    }
    let engine = world.engine().await;
    assert_eq!(engine.tables().len(), 61);
    for job in engine.jobs() {
        assert_ne!(job.state, JobStatus::Failed, "{:?}", job.error);
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn a_topic_that_was_there_is_never_deleted_with_a_table() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, T).await;
    for name in ["orders", "empty", "a"] {
        topic(&world, name).await;
    }
    record(&world, "orders", "{}").await;
    let over = |topic: &str| {
        format!("CREATE MATERIALIZED TABLE b WITH ('topic' = '{topic}') AS SELECT v FROM t")
    };
    let error = error(&engine, &over("orders")).await;
    assert_eq!(
        error.title(),
        "topic 'orders' is there already and has records"
    );
    assert!(error.hint().unwrap().contains("INSERT INTO"));
    assert!(engine.job("b").is_none() && engine.tables().len() == 1);

    run(&engine, &over("empty")).await;
    let dropped = run(&engine, "DROP MATERIALIZED TABLE b").await;
    assert!(
        dropped[0][0]
            .as_str()
            .unwrap()
            .contains("topic 'empty' stays")
    );
    assert!(!is_gone(&world, "empty").await);

    // One of a version that did not remember: it may be anybody's.
    put_old(&world, "a", A).await;
    record(&world, "a", "{}").await;
    let dropped = run(&engine, "DROP MATERIALIZED TABLE a").await;
    assert!(dropped[0][0].as_str().unwrap().contains("topic 'a' stays"));
    assert_eq!(records(&world, "a").await, 1);

    // Its own, but not one that took its place.
    run(&engine, &over("own")).await;
    assert_eq!(
        run(&engine, "DROP MATERIALIZED TABLE b").await,
        [[json!("OK")]]
    );
    assert!(is_gone(&world, "own").await);
    run(&engine, &over("own")).await;
    run(&engine, "STOP JOB 'b'").await;
    world.bus.delete_topic("own").await.unwrap();
    topic(&world, "own").await;
    run(&engine, "DROP MATERIALIZED TABLE b").await;
    assert!(!is_gone(&world, "own").await);
}

#[tokio::test]
async fn topics_of_the_system_and_of_other_jobs_are_not_written() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, T).await;
    run(&engine, A).await;
    for (topic, says) in [
        ("__consumer_offsets", "internal"),
        ("__millstream_a_changelog", "internal"),
        ("a.dlq", "dead letters of job 'a'"),
        ("a.late", "late rows of job 'a'"),
        ("b.dlq", "dead letters of this very job"),
        ("a", "written by materialized table 'a'"),
    ] {
        let with = format!("WITH ('topic' = '{topic}')");
        let sql = format!("CREATE MATERIALIZED TABLE b {with} AS SELECT v FROM t");
        let error = refused(&engine, &sql).await;
        assert!(error.contains(says), "{sql}: {error}");
        let sql = format!(
            "CREATE TABLE c (v STRING) WITH ('connector' = 'kafka', 'format' = 'json', \
             'topic' = '{topic}')"
        );
        run(&engine, &sql).await;
        let sql = "SET 'pipeline.name' = 'b'; INSERT INTO c SELECT v FROM t";
        let error = refused(&engine, sql).await;
        assert!(error.contains(says), "{topic}: {error}");
        run(&engine, "DROP TABLE c").await;
    }
    // Nor may a new job's own topics be what another one writes.
    run(
        &engine,
        "CREATE MATERIALIZED TABLE d WITH ('topic' = 'e.late') AS SELECT v FROM t",
    )
    .await;
    let error = refused(&engine, "CREATE MATERIALIZED TABLE e AS SELECT v FROM t").await;
    assert!(error.contains("job 'd' writes"), "{error}");
    let tables: Vec<String> = engine.tables().into_iter().map(|t| t.name).collect();
    assert_eq!(tables, ["a", "d", "t"]);
}

#[tokio::test]
async fn a_created_table_can_be_read_at_once() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, ORDERS).await;
    run(
        &engine,
        "CREATE TABLE copies (region STRING) WITH ('connector' = 'kafka', 'format' = 'json')",
    )
    .await;
    let sql = format!("{BY_REGION}; SELECT COUNT(*) FROM by_region");
    assert_eq!(run(&engine, &sql).await, [[json!(0)]]);
    let sql = "INSERT INTO copies SELECT region FROM orders; SELECT COUNT(*) FROM copies";
    assert_eq!(run(&engine, sql).await, [[json!(0)]]);
}

#[tokio::test]
async fn a_query_over_a_topic_that_is_not_there_says_so() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, T).await;
    let missing = error(&engine, "SELECT * FROM t").await;
    assert_eq!(
        missing.title(),
        "table 't' cannot be read: its topic 't' does not exist"
    );
    assert!(missing.hint().unwrap().contains("topic create t"));
    assert!(missing.is_callers());
    topic(&world, "t").await;
    assert!(run(&engine, "SELECT * FROM t").await.is_empty());
    run(&engine, A).await;
    run(&engine, "STOP JOB 'a'").await;
    world.bus.delete_topic("a").await.unwrap();
    let missing = error(&engine, "SELECT * FROM a").await;
    assert!(
        missing
            .hint()
            .unwrap()
            .contains("DROP MATERIALIZED TABLE a")
    );
}

#[tokio::test]
async fn a_stopped_job_is_started_again_by_statements() {
    let world = World::new().await;
    let engine = orders_job(&world).await;
    world.order("west", 5, "10:00:01").await;
    read_by(&engine, "by_region", 1).await;
    for (stop, start) in [
        ("STOP JOB 'by_region'", "START JOB 'by_region'"),
        (
            "ALTER MATERIALIZED TABLE by_region SUSPEND",
            "ALTER MATERIALIZED TABLE by_region RESUME",
        ),
    ] {
        run(&engine, stop).await;
        assert_eq!(engine.job("by_region").unwrap().state, JobStatus::Stopped);
        let again = error(&engine, BY_REGION).await;
        assert!(again.title().contains("its job is stopped"), "{again}");
        let hint = again.hint().unwrap();
        assert!(
            hint.contains("ALTER MATERIALIZED TABLE by_region RESUME"),
            "{hint}"
        );
        run(&engine, start).await;
        eventually("it runs again", async || {
            engine.job("by_region").unwrap().state == JobStatus::Running
        })
        .await;
    }
    let again = error(&engine, BY_REGION).await;
    assert_eq!(
        again.title(),
        "there is a materialized table 'by_region' already"
    );
    let hint = again.hint().unwrap();
    assert!(!hint.contains("IF NOT EXISTS"), "{hint}");
    world.order("west", 7, "10:00:02").await;
    world.order("west", 9, "10:00:07").await;
    read_by(&engine, "by_region", 3).await;
    let rows = run(&engine, "SELECT orders, revenue FROM by_region").await;
    assert_eq!(rows, [[json!(2), json!(12)]], "it went on where it was");
    let says = refused(&engine, "ALTER MATERIALIZED TABLE orders RESUME").await;
    assert!(says.contains("no materialized table 'orders'"), "{says}");
    assert!(refused(&engine, "START JOB 'nope'").await.contains("nope"));
}

#[tokio::test]
async fn a_table_and_a_job_do_not_share_a_name() {
    let world = World::new().await;
    let engine = world.engine().await;
    run(&engine, T).await;
    run(
        &engine,
        "CREATE TABLE copies (v STRING) WITH ('connector' = 'kafka', 'format' = 'json');
         SET 'pipeline.name' = 'a'; INSERT INTO copies SELECT v FROM t",
    )
    .await;
    let says = refused(&engine, A).await;
    assert!(says.contains("there is a job 'a' already"), "{says}");
    assert!(is_gone(&world, "a").await, "nothing was made");
}
