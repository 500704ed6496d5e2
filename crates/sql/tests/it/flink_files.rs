//! What Flink users' files say that is about Flink: taken, told, or refused
//! because it would change results.

use crate::harness::{session, tables};
use millstream_sql::catalog::{OffsetReset, StartupMode};
use millstream_sql::error::Position;
use millstream_sql::parser::{parse, same_tokens};
use millstream_sql::planner::{define, notices, source_node};
use millstream_sql::statement::StatementKind;
use std::sync::Arc;
use std::time::Duration;

/// The table of `CREATE TABLE t (a INT) WITH (kafka, json, ...)`.
fn table(options: &str) -> millstream_sql::catalog::TableDef {
    let statement = parse(&create(options)).unwrap().remove(0);
    define(&statement, &tables(), &session()).unwrap()
}

fn told(options: &str) -> Vec<String> {
    notices(&parse(&create(options)).unwrap()[0])
}

fn create(options: &str) -> String {
    format!(
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'orders', \
         'format' = 'json'{options})"
    )
}

#[test]
fn a_groups_offsets_and_single_offsets_are_where_reading_begins() {
    let mode = |options: &str| table(options).connector.startup;
    let group = ", 'scan.startup.mode' = 'group-offsets', 'properties.group.id' = 'g'";
    assert_eq!(
        mode(group),
        StartupMode::GroupOffsets {
            group: "g".into(),
            reset: OffsetReset::None
        }
    );
    assert_eq!(
        mode(&format!(
            "{group}, 'properties.auto.offset.reset' = 'latest'"
        )),
        StartupMode::GroupOffsets {
            group: "g".into(),
            reset: OffsetReset::Latest
        }
    );
    let specific = ", 'scan.startup.mode' = 'specific-offsets', \
                    'scan.startup.specific-offsets' = 'partition:0,offset:42;partition:1,offset:300'";
    assert_eq!(
        mode(specific),
        StartupMode::SpecificOffsets {
            offsets: [(0, 42), (1, 300)].into(),
            group: None
        }
    );
    assert!(told(specific).is_empty());
    assert!(told(group).is_empty());
}

#[test]
fn more_offsets_than_partitions_may_have_are_refused() {
    let offsets: Vec<_> = (0..10_001)
        .map(|p| format!("partition:{p},offset:0"))
        .collect();
    let options = format!(
        ", 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = '{}'",
        offsets.join(";")
    );
    let statement = parse(&create(&options)).unwrap().remove(0);
    let error = define(&statement, &tables(), &session()).unwrap_err();
    assert!(error.message.contains("at most 10000"), "{error}");
}

#[test]
fn options_of_flinks_client_are_taken_and_told() {
    let options = ", 'properties.bootstrap.servers' = 'kafka:9092', \
                   'properties.group.id' = 'shop', 'properties.fetch.min.bytes' = '1', \
                   'properties.max.poll.records' = '10', 'sink.parallelism' = '2', \
                   'sink.delivery-guarantee' = 'at-least-once', \
                   'properties.isolation.level' = 'read_committed', \
                   'sink.transactional-id-prefix' = 'p'";
    table(options);
    let told = told(options);
    for (at, part) in [
        "not at kafka:9092",
        "'properties.group.id' does nothing here",
        "'sink.delivery-guarantee' = 'at-least-once' does nothing",
        "'sink.parallelism' does nothing",
        "'sink.transactional-id-prefix' does nothing",
        "'properties.fetch.min.bytes' and 'properties.max.poll.records' do nothing here",
    ]
    .iter()
    .enumerate()
    {
        assert!(told[at].contains(part), "{part}: {told:#?}");
    }
    assert_eq!(told.len(), 6, "{told:#?}");
}

/// What `SET` answers: `ok`, a notice, or the refusal's hint after `!`.
fn set(key: &str, value: &str) -> String {
    match session().set(key, Some(value), Position::START) {
        Ok(None) => "ok".to_owned(),
        Ok(Some(notice)) => notice,
        Err(error) => format!("! {}", error.hint.unwrap_or_default()),
    }
}

#[test]
fn settings_that_only_tune_flink_do_nothing_and_say_so() {
    for key in [
        "parallelism.default",
        "execution.checkpointing.mode",
        "execution.checkpointing.timeout",
        "execution.attached",
        "pipeline.max-parallelism",
        "pipeline.object-reuse",
        "state.backend.type",
        "state.checkpoints.dir",
        "restart-strategy.type",
        "sql-client.execution.result-mode",
        "table.exec.mini-batch.enabled",
        "table.exec.state.ttl",
        "table.exec.resource.default-parallelism",
        "table.optimizer.agg-phase-strategy",
        "taskmanager.numberOfTaskSlots",
    ] {
        let told = set(key, "1");
        assert!(
            told.starts_with(&format!("'{key}' does nothing here: ")),
            "{told}"
        );
        assert_eq!(
            session().set(key, None, Position::START),
            Ok(None),
            "RESET '{key}'"
        );
    }
}

#[test]
fn settings_that_change_results_are_taken_only_as_this_engine_works() {
    for (key, same, other) in [
        ("execution.runtime-mode", "STREAMING", "batch"),
        ("table.dml-sync", "false", "true"),
        ("table.sql-dialect", "default", "hive"),
        ("table.exec.legacy-cast-behaviour", "DISABLED", "ENABLED"),
        ("table.exec.source.cdc-events-duplicate", "false", "true"),
        ("table.exec.sink.not-null-enforcer", "ERROR", "DROP"),
        ("table.exec.sink.type-length-enforcer", "IGNORE", "TRIM_PAD"),
        ("table.exec.emit.early-fire.enabled", "false", "true"),
        ("table.exec.emit.allow-lateness", "0 s", "1 min"),
    ] {
        assert_eq!(set(key, same), "ok", "{key}");
        assert!(
            set(key, other).starts_with("! "),
            "{key}: {}",
            set(key, other)
        );
    }
    assert!(set("execution.savepoint.path", "/tmp/s").contains("changelog"));
    assert!(set("no.such.key", "1").starts_with('!'));
}

#[test]
fn checkpoints_are_epochs() {
    let mut session = session();
    let mut interval = |text: &str| {
        let key = "execution.checkpointing.interval";
        let told = session.set(key, Some(text), Position::START);
        (told.unwrap(), session.epoch_interval)
    };
    let (told, epoch) = interval("3 s");
    assert_eq!(epoch, Some(Duration::from_secs(3)));
    assert!(told.unwrap().contains("every 3000 ms"));
    assert_eq!(interval("1 ms").1, Some(Duration::from_millis(10)));
    assert_eq!(interval("1 h").1, Some(Duration::from_secs(600)));
    // Flink's way to have none.
    assert_eq!(interval("0"), (None, None));
}

#[test]
fn the_sessions_idle_timeout_is_that_of_tables_without_one() {
    let mut session = session();
    let key = "table.exec.source.idle-timeout";
    session.set(key, Some("2 s"), Position::START).unwrap();
    let timeout = |options: &str| {
        let node = source_node(&Arc::new(table(options)), &session).unwrap();
        node.table.connector.idle_timeout
    };
    assert_eq!(timeout(""), Some(Duration::from_secs(2)));
    let own = ", 'scan.watermark.idle-timeout' = '1 s'";
    assert_eq!(timeout(own), Some(Duration::from_secs(1)));
    let mut session = session.clone();
    session.set(key, Some("0"), Position::START).unwrap();
    assert_eq!(session.idle_timeout, None);
}

#[test]
fn materialized_tables_are_created_or_altered_as_flink_writes_it() {
    for (text, or_alter, told) in [
        ("CREATE OR ALTER MATERIALIZED TABLE m", true, 0),
        ("create or alter materialized table m", true, 0),
        (
            "CREATE MATERIALIZED TABLE m COMMENT 'c' WITH ('format' = 'json')
             FRESHNESS = INTERVAL '30' SECOND REFRESH_MODE = CONTINUOUS",
            false,
            1,
        ),
        ("CREATE MATERIALIZED TABLE IF NOT EXISTS m", false, 0),
    ] {
        let statement = parse(&format!("{text} AS SELECT id FROM orders"))
            .unwrap()
            .remove(0);
        let StatementKind::CreateMaterializedTable(create) = &statement.kind else {
            panic!("{statement:?}");
        };
        assert_eq!(create.or_alter, or_alter, "{text}");
        assert_eq!(notices(&statement).len(), told, "{text}");
        define(&statement, &tables(), &session()).unwrap();
    }
}

#[test]
fn only_spaces_and_comments_may_differ_in_the_same_text() {
    assert!(same_tokens(
        "SELECT a,\n b -- all\nFROM t",
        "SELECT a, /* x */ b FROM t"
    ));
    assert!(!same_tokens("SELECT a FROM t", "SELECT b FROM t"));
    assert!(!same_tokens("SELECT 'a b'", "SELECT 'a  b'"));
}

#[test]
fn every_scenario_is_taken() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let mut files = 0;
    for scenario in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(scenario.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "sql") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut tables = crate::harness::Tables::default();
                tables
                    .create(&text)
                    .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                files += 1;
            }
        }
    }
    assert!(files > 0);
}
