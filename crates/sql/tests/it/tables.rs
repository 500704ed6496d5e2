//! CREATE TABLE: types, columns, options.

use crate::harness::{Tables, session, tables};
use millstream_sql::catalog::{
    BoundedMode, Catalog, ColumnKind, MetadataKey, StartupMode, TableKind,
};
use millstream_sql::parser::parse;
use millstream_sql::planner::{define, source_node};
use millstream_sql::statement::StatementKind;
use millstream_sql::types::field_type_name;
use std::sync::Arc;
use std::time::Duration;

/// Flink: Data Types, printed as `asSummaryString` does.
#[test]
fn every_type_is_printed_as_flink_prints_it() {
    for (written, printed) in [
        ("BOOLEAN", "BOOLEAN"),
        ("TINYINT", "TINYINT"),
        ("SMALLINT", "SMALLINT"),
        ("INTEGER", "INT"),
        ("BIGINT NOT NULL", "BIGINT NOT NULL"),
        ("FLOAT", "FLOAT"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("DECIMAL", "DECIMAL(10, 0)"),
        ("NUMERIC(38, 18)", "DECIMAL(38, 18)"),
        ("CHAR", "CHAR(1)"),
        ("VARCHAR(10)", "VARCHAR(10)"),
        ("VARCHAR(2147483647)", "STRING"),
        ("STRING", "STRING"),
        ("BYTES", "BYTES"),
        ("VARBINARY(8)", "VARBINARY(8)"),
        ("DATE", "DATE"),
        ("TIME", "TIME(0)"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("TIMESTAMP(3)", "TIMESTAMP(3)"),
        ("TIMESTAMP(0) WITHOUT TIME ZONE", "TIMESTAMP(0)"),
        ("TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(3)"),
        ("TIMESTAMP(9) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(9)"),
        ("ARRAY<INT NOT NULL>", "ARRAY<INT NOT NULL>"),
        ("MAP<STRING, ARRAY<BIGINT>>", "MAP<STRING, ARRAY<BIGINT>>"),
        (
            "ROW<a INT, b ROW<c STRING>>",
            "ROW<`a` INT, `b` ROW<`c` STRING>>",
        ),
        (
            "ROW(a INT 'first', `b c` VARCHAR(3))",
            "ROW<`a` INT, `b c` VARCHAR(3)>",
        ),
        ("ARRAY<ARRAY<ROW<x INT>>>", "ARRAY<ARRAY<ROW<`x` INT>>>"),
    ] {
        let mut tables = Tables::default();
        tables
            .create(&format!(
                "CREATE TABLE t (x {written}) WITH ('connector'='kafka','format'='json')"
            ))
            .unwrap_or_else(|e| panic!("{written}: {e}"));
        let table = tables.table("t").unwrap();
        assert_eq!(field_type_name(table.schema.field(0)), printed, "{written}");
    }
}

#[test]
fn columns_options_and_watermark_are_resolved() {
    let sql = "CREATE TABLE IF NOT EXISTS clicks (
        `user id` BIGINT COMMENT 'who',
        url STRING,
        ms BIGINT,
        at TIMESTAMP(3) METADATA FROM 'timestamp',
        `partition` INT METADATA VIRTUAL,
        ts AS TO_TIMESTAMP_LTZ(ms, 3) COMMENT 'event time',
        host AS UPPER(SPLIT_INDEX(url, '/', 2)),
        WATERMARK FOR ts AS ts - INTERVAL '2' SECOND,
        PRIMARY KEY (`user id`) NOT ENFORCED
    ) COMMENT 'clicks' WITH (
        'connector' = 'kafka', 'topic' = 'web.clicks', 'value.format' = 'json',
        'value.json.ignore-parse-errors' = 'true',
        'key.format' = 'csv', 'key.fields' = 'user id', 'key.csv.field-delimiter' = ';',
        'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '42',
        'scan.bounded.mode' = 'latest-offset', 'scan.watermark.idle-timeout' = '30 s',
        'millstream.partitions' = '4'
    )";
    let statement = parse(sql).unwrap().remove(0);
    let table = define(&statement, &tables(), &session()).unwrap();
    assert_eq!(table.statement, sql);
    assert_eq!(table.kind, TableKind::Table);
    assert_eq!(
        table.columns[3],
        ColumnKind::Metadata {
            key: MetadataKey::Timestamp,
            is_virtual: false
        }
    );
    assert_eq!(
        table.columns[4],
        ColumnKind::Metadata {
            key: MetadataKey::Partition,
            is_virtual: true
        }
    );
    assert_eq!(
        table.columns[5],
        ColumnKind::Computed {
            expression: "TO_TIMESTAMP_LTZ(ms, 3)".into()
        }
    );
    assert_eq!(field_type_name(table.schema.field(5)), "TIMESTAMP_LTZ(3)");
    assert_eq!(table.primary_key, [0]);
    let watermark = table.watermark.as_ref().unwrap();
    assert_eq!(
        (watermark.column, watermark.expression.as_str()),
        (5, "ts - INTERVAL '2' SECOND")
    );
    let kafka = &table.connector;
    assert_eq!(kafka.topic, "web.clicks");
    assert_eq!(kafka.format.options["ignore-parse-errors"], "true");
    let key = kafka.key.as_ref().unwrap();
    assert_eq!(
        (key.format.name.as_str(), key.fields.as_slice()),
        ("csv", &[0][..])
    );
    assert_eq!(key.format.options["field-delimiter"], ";");
    assert_eq!(kafka.startup, StartupMode::TimestampMs(42));
    assert_eq!(kafka.bounded, BoundedMode::Latest);
    assert_eq!(kafka.idle_timeout, Some(Duration::from_secs(30)));
    assert_eq!(kafka.partitions, Some(4));

    let source = source_node(&Arc::new(table), &session()).unwrap();
    let base: Vec<_> = source
        .base_schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    assert_eq!(base, ["user id", "url", "ms", "at", "partition"]);
    assert_eq!(source.columns.len(), 7);
    for (column, field) in source.columns.iter().zip(source.schema.fields()) {
        assert_eq!(
            &column.data_type(&source.base_schema).unwrap(),
            field.data_type()
        );
    }
    let watermark = source.watermark.unwrap();
    assert_eq!(
        &watermark.expression.data_type(&source.schema).unwrap(),
        source.schema.field(5).data_type()
    );
}

#[test]
fn a_materialized_table_takes_schema_and_event_time_from_its_query() {
    let statement = parse(
        "CREATE MATERIALIZED TABLE per_region WITH ('topic' = 'agg.region') AS
         SELECT window_start, window_end, window_time, region, COUNT(*) AS orders, AVG(amount) AS mean
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND))
         GROUP BY window_start, window_end, window_time, region",
    )
    .unwrap()
    .remove(0);
    let table = define(&statement, &tables(), &session()).unwrap();
    let columns: Vec<_> = table
        .schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", f.name(), field_type_name(f)))
        .collect();
    assert_eq!(
        columns,
        [
            "window_start TIMESTAMP(3)",
            "window_end TIMESTAMP(3)",
            "window_time TIMESTAMP(3)",
            "region STRING",
            "orders BIGINT NOT NULL",
            "mean DECIMAL(38, 6)"
        ]
    );
    assert_eq!(table.watermark.as_ref().map(|w| w.column), Some(2));
    assert_eq!(
        (
            table.connector.topic.as_str(),
            table.connector.format.name.as_str()
        ),
        ("agg.region", "json")
    );
    source_node(&Arc::new(table), &session()).unwrap();
}

#[test]
fn statements_are_split_with_places_in_the_whole_text() {
    let text = "-- first\nSHOW TABLES;;\n  SELECT 1; /* last */ STOP JOB 'a;b' ;";
    let statements = parse(text).unwrap();
    let texts: Vec<_> = statements.iter().map(|s| s.text.as_str()).collect();
    assert_eq!(texts, ["SHOW TABLES", "SELECT 1", "STOP JOB 'a;b'"]);
    assert_eq!(
        (statements[1].position.line, statements[1].position.column),
        (3, 3)
    );
    assert!(parse("  -- nothing\n ; ").unwrap().is_empty());
}

#[test]
fn jobs_are_started_dropped_suspended_and_resumed() {
    let text = "START JOB 'a'; DROP JOB 'b'; DROP JOB IF EXISTS 'c';
        ALTER MATERIALIZED TABLE d SUSPEND; alter materialized table `e` resume";
    let read: Vec<String> = parse(text)
        .unwrap()
        .into_iter()
        .map(|statement| match statement.kind {
            StatementKind::StartJob(id) => format!("start {}", id.value),
            StatementKind::DropJob(drop) => format!("drop {} {}", drop.id.value, drop.if_exists),
            StatementKind::SuspendMaterializedTable(name) => format!("suspend {}", name.value),
            StatementKind::ResumeMaterializedTable(name) => format!("resume {}", name.value),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        read,
        [
            "start a",
            "drop b false",
            "drop c true",
            "suspend d",
            "resume e"
        ]
    );
}

#[test]
fn a_query_names_every_table_that_it_reads() {
    for (query, tables) in [
        ("SELECT orders FROM a", vec!["a"]),
        (
            "SELECT COUNT(*) AS b FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '5' SECOND)) \
             GROUP BY window_start, window_end",
            vec!["a"],
        ),
        (
            "SELECT * FROM a JOIN (SELECT x FROM b WHERE x IN (SELECT y FROM c)) AS d ON d.x = a.x",
            vec!["a", "b", "c"],
        ),
        (
            "WITH w AS (SELECT 1 AS x FROM a) SELECT x FROM w UNION ALL SELECT x FROM b",
            vec!["a", "b", "w"],
        ),
        ("SELECT 1", vec![]),
    ] {
        let statements = parse(query).unwrap();
        let StatementKind::Query(parsed) = &statements[0].kind else {
            panic!("{query}")
        };
        let found = parsed.tables().unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), tables, "{query}");
    }
}

#[test]
fn a_materialized_filter_keeps_the_event_time_of_its_source() {
    let mut tables = tables();
    tables
        .create(
            "CREATE MATERIALIZED TABLE paid AS SELECT id, ts, amount FROM orders WHERE state = 'paid';
             CREATE MATERIALIZED TABLE renamed AS SELECT id, ts AS at FROM orders;
             CREATE MATERIALIZED TABLE windows AS SELECT id, window_time FROM
               TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND));
             CREATE MATERIALIZED TABLE chained AS SELECT window_end, COUNT(*) AS n FROM
               TABLE(TUMBLE(TABLE paid, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end",
        )
        .unwrap();
    let watermark = |name: &str| tables.table(name).unwrap().watermark.clone();
    assert_eq!(
        watermark("paid").unwrap().expression,
        "ts - INTERVAL '5' SECOND"
    );
    assert_eq!(watermark("renamed"), None);
    // Rows of a window that is not aggregated are as disordered as before.
    assert_eq!(watermark("windows"), None);
    assert_eq!(watermark("chained"), None);
}
