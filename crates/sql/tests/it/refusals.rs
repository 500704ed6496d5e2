//! What is refused, where, and what is said.

use crate::harness::plan;

/// The error of a text as `line:column message`, with the hint after `->`.
fn refusal(sql: &str) -> String {
    match plan(sql) {
        Ok(()) => format!("accepted: {sql}"),
        Err(e) => {
            let hint = e.hint.map_or_else(String::new, |h| format!(" -> {h}"));
            format!("{}:{} {}{hint}", e.line, e.column, e.message)
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found = refusal(sql);
        if !found.starts_with(expected) {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_that_do_not_exist() {
    check(&[
        (
            "SELECT * FROM ordres",
            "1:15 there is no table 'ordres' -> did you mean 'orders'?",
        ),
        (
            "SELECT regoin FROM orders",
            "1:8 there is no column 'regoin' -> did you mean 'region'?",
        ),
        (
            "SELECT o.regoin FROM orders o",
            "1:10 table 'o' has no column 'regoin' -> did you mean 'region'?",
        ),
        (
            "SELECT x.region FROM orders",
            "1:8 there is no table or column 'x' here",
        ),
        (
            "SELECT UPPR(region) FROM orders",
            "1:8 there is no function UPPR -> did you mean 'UPPER'?",
        ),
        (
            "SELECT date_trunc('day', ts) FROM orders",
            "1:8 there is no function DATE_TRUNC -> use FLOOR(ts TO HOUR)",
        ),
        (
            "SELECT length(region) FROM orders",
            "1:8 there is no function LENGTH -> use CHAR_LENGTH",
        ),
        (
            "SELECT id\nFROM orders\nWHERE  amuont > 1",
            "3:8 there is no column 'amuont' -> did you mean 'amount'?",
        ),
        (
            "SELECT id FROM orders o JOIN orders o ON TRUE",
            "1:30 'o' is there twice",
        ),
        (
            "SELECT region FROM orders a JOIN orders b ON a.id = b.id",
            "1:8 column 'region' is in more than one table",
        ),
        ("SELECT id FROM db.orders", "1:16 names have one part"),
        (
            "INSERT INTO copys SELECT 1",
            "1:13 there is no table 'copys' -> did you mean 'copies'?",
        ),
    ]);
}

#[test]
fn syntax() {
    check(&[
        (
            "SELEKT 1",
            "1:1 there is no statement 'SELEKT' -> did you mean 'SELECT'?",
        ),
        ("SELECT 1 FROM orders WHERE", "1:"),
        ("SELECT 1; SELECT , FROM orders", "1:18 "),
        ("SELECT 'open", "1:8 Unterminated string literal"),
        (
            "SELECT \"id\" FROM orders",
            "1:8 double quotes are not used in Flink SQL",
        ),
        (
            "SELECT /*+ OPTIONS('a'='b') */ id FROM orders",
            "1:8 hints are not supported",
        ),
        (
            "SHOW TABLES nonsense",
            "1:13 expected the end of the statement, found nonsense",
        ),
        ("UPDATE orders SET id = 1", "1:1 UPDATE is not supported"),
        (
            "SELECT @timestamp FROM orders",
            "1:8 '@' is not part of a name without backticks -> write `@timestamp`",
        ),
        (
            "CREATE TABLE t (@timestamp STRING) WITH ('connector'='kafka','format'='json')",
            "1:17 '@' is not part of a name without backticks -> write `@timestamp`",
        ),
        (
            "CREATE TABLE t (foo.bar INT) WITH ('connector'='kafka','format'='json')",
            "1:17 'foo.bar' is no name of a column -> write a name with a dot in backticks: `foo.bar`",
        ),
        (
            "CREATE TABLE t (`foo.bar` INT, b AS foo.bar + 1) WITH ('connector'='kafka','format'='json')",
            "1:37 there is no table or column 'foo' here -> write its name in backticks: `foo.bar`",
        ),
        ("DROP VIEW v", "1:6 cannot drop VIEW"),
        ("CREATE VIEW v AS SELECT 1", "1:8 cannot create VIEW"),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO copies SELECT 1, 'a'; END",
            "1:1 statement sets are not supported",
        ),
        (
            "SET 'no.such.key' = '1'",
            "1:5 there is no setting 'no.such.key'",
        ),
        (
            "SET 'table.local-time-zone' = 'Mars/Base'",
            "1:5 'table.local-time-zone' cannot be 'Mars/Base'",
        ),
        ("EXPLAIN SHOW TABLES", "1:9 this statement has no plan"),
        (
            "STOP JOB 5",
            "1:10 expected the job's id in quotes, found 5",
        ),
        ("ALTER TABLE orders ADD x INT", "1:7 cannot alter TABLE"),
        (
            "ALTER MATERIALIZED TABLE orders",
            "1:32 expected SUSPEND or RESUME, found EOF",
        ),
        (
            "ALTER MATERIALIZED TABLE orders RESUME WITH ('a' = 'b')",
            "1:40 WITH (...) is not supported here",
        ),
        (
            "START JOB 5",
            "1:11 expected the job's id in quotes, found 5",
        ),
        ("DROP MATERIALIZED JOB 'a'", "1:6 cannot drop MATERIALIZED"),
        (
            "INSERT OVERWRITE copies SELECT 1, 'a'",
            "1:8 INSERT OVERWRITE is not supported",
        ),
    ]);
}

#[test]
fn create_table() {
    let with = "WITH ('connector'='kafka','format'='json')";
    for (columns, expected) in [
        ("a TEXT", "1:19 there is no type 'TEXT': write STRING"),
        (
            "a DECIMAL(40, 2)",
            "1:19 DECIMAL(p, s) needs p from 1 to 38",
        ),
        ("a INT, a INT", "1:24 column 'a' is declared twice"),
        (
            "a INT METADATA FROM 'ofset' VIRTUAL",
            "1:37 there is no metadata 'ofset' -> did you mean 'offset'?",
        ),
        (
            "a INT, p INT METADATA FROM 'partition'",
            "1:24 metadata 'partition' can only be read -> add VIRTUAL",
        ),
        (
            "a INT, t BIGINT METADATA FROM 'timestamp'",
            "1:24 column 't' is BIGINT, its metadata is TIMESTAMP_LTZ(3)",
        ),
        (
            "a INT, p AS PROCTIME()",
            "1:29 processing time is not supported",
        ),
        ("a INT, b AS a + 'x'", "1:29 INT + STRING is not supported"),
        ("a INT, b AS a, c AS b", "1:37 there is no column 'b'"),
        (
            "a STRING, WATERMARK FOR a AS a",
            "1:41 'a' is STRING, event time needs TIMESTAMP(3)",
        ),
        (
            "a TIMESTAMP(6), WATERMARK FOR a AS a",
            "1:47 'a' is TIMESTAMP(6), event time needs",
        ),
        (
            "a TIMESTAMP(3), WATERMARK FOR a AS 1",
            "1:52 a watermark is TIMESTAMP(3)",
        ),
        (
            "a INT, PRIMARY KEY (a)",
            "1:24 a PRIMARY KEY must be NOT ENFORCED",
        ),
        (
            "a INT, PRIMARY KEY (b) NOT ENFORCED",
            "1:37 there is no column 'b'",
        ),
        (
            "a INT DEFAULT 5",
            "1:23 DEFAULT is not supported in a column",
        ),
        ("a AS 1", "1:14 a table needs a physical column"),
    ] {
        check(&[(&format!("CREATE TABLE t ({columns}) {with}"), expected)]);
    }
    check(&[
        ("CREATE TABLE t (a INT)", "1:1 the connector is missing"),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='filesystem')",
            "1:30 there is no connector 'filesystem'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka')",
            "1:24 the format is missing",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='avro')",
            "1:50 there is no format 'avro'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','topik'='x')",
            "1:66 there is no option 'topik' -> did you mean 'topic'?",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','properties.'='x')",
            "1:66 there is no option 'properties.'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','properties.isolation.level'='read_uncommitted')",
            "1:66 'properties.isolation.level' cannot be 'read_uncommitted' -> leave it out",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','sink.delivery-guarantee'='maybe')",
            "1:66 'sink.delivery-guarantee' cannot be 'maybe' -> leave it out",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','topic'='a b')",
            "1:66 'a b' is no topic name",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','value.fields-include'='EXCEPT_KEY')",
            "1:66 'key.fields' is missing -> name the columns that are in the key",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','value.fields-include'='SOME')",
            "1:66 'value.fields-include' cannot be 'SOME' -> use 'ALL' or 'EXCEPT_KEY'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','key.format'='raw','key.fields'='a','value.fields-include'='EXCEPT_KEY')",
            "1:85 no column is left for the value",
        ),
        (
            "CREATE TABLE t (a INT, b INT) WITH ('connector'='kafka','format'='json','key.format'='raw','key.fields'='a','key.fields-prefix'='k_')",
            "1:109 'key.fields-prefix' needs 'value.fields-include' = 'EXCEPT_KEY'",
        ),
        (
            "CREATE TABLE t (a INT, b INT) WITH ('connector'='kafka','format'='json','key.format'='raw','key.fields'='a','key.fields-prefix'='k_','value.fields-include'='EXCEPT_KEY')",
            "1:92 'a' does not begin with 'key.fields-prefix', which is 'k_'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.mode'='begin')",
            "1:66 'scan.startup.mode' cannot be 'begin' -> use 'earliest-offset'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.mode'='group-offsets')",
            "1:66 'properties.group.id' is missing -> name the group",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','properties.group.id'='g','properties.auto.offset.reset'='first','scan.startup.mode'='group-offsets')",
            "1:92 'properties.auto.offset.reset' cannot be 'first' -> use 'earliest', 'latest' or 'none'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.mode'='specific-offsets')",
            "1:66 'scan.startup.specific-offsets' is missing",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.specific-offsets'='partition:0,offset:1')",
            "1:66 'scan.startup.specific-offsets' needs 'scan.startup.mode' = 'specific-offsets'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.specific-offsets'='partition:0,offset:1;partition:0,offset:2','scan.startup.mode'='specific-offsets')",
            "1:66 partition 0 is there twice",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.specific-offsets'='partition:-1,offset:1','scan.startup.mode'='specific-offsets')",
            "1:66 'partition:-1,offset:1' is no offset -> write 'partition:0,offset:42;partition:1,offset:300'",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json','scan.startup.specific-offsets'=' ; ','scan.startup.mode'='specific-offsets')",
            "1:66 'scan.startup.specific-offsets' is empty",
        ),
        (
            "CREATE TABLE t (a INT) PARTITIONED BY (a) WITH ('connector'='kafka','format'='json')",
            "1:24 PARTITIONED BY",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector'='kafka','format'='json') LIKE u",
            "1:67 CREATE TABLE ... LIKE is not supported",
        ),
        (
            "CREATE MATERIALIZED TABLE m (a) AS SELECT id FROM orders",
            "1:29 a materialized table takes its columns from its query",
        ),
        (
            "CREATE MATERIALIZED TABLE m FRESHNESS = INTERVAL '0' MINUTE AS SELECT id FROM orders",
            "1:50 '0' is no freshness -> write FRESHNESS = INTERVAL '1' MINUTE",
        ),
        (
            "CREATE MATERIALIZED TABLE m FRESHNESS = INTERVAL '1' YEAR AS SELECT id FROM orders",
            "1:54 expected SECOND, MINUTE, HOUR or DAY, found YEAR",
        ),
        (
            "CREATE MATERIALIZED TABLE m REFRESH_MODE = FULL AS SELECT id FROM orders",
            "1:44 REFRESH_MODE cannot be FULL -> leave it out",
        ),
        (
            "CREATE MATERIALIZED TABLE m PARTITIONED BY (id) AS SELECT id FROM orders",
            "1:29 PARTITIONED BY is not supported",
        ),
        (
            "CREATE OR ALTER MATERIALIZED TABLE IF NOT EXISTS m AS SELECT id FROM orders",
            "1:36 OR ALTER and IF NOT EXISTS exclude each other",
        ),
        (
            "CREATE OR ALTER TABLE m (a INT)",
            "1:17 expected MATERIALIZED, found TABLE",
        ),
        (
            "CREATE OR REPLACE TABLE m (a INT)",
            "1:8 cannot create OR -> write CREATE OR ALTER MATERIALIZED TABLE",
        ),
    ]);
}

#[test]
fn jobs() {
    check(&[
        (
            "INSERT INTO copies SELECT id, region FROM orders ORDER BY id",
            "1:59 ORDER BY is not supported in a job",
        ),
        (
            "INSERT INTO copies SELECT id, region FROM orders LIMIT 5",
            "1:56 LIMIT is not supported in a job",
        ),
        (
            "INSERT INTO copies SELECT DISTINCT id, region FROM orders",
            "1:20 DISTINCT is not supported in a job",
        ),
        (
            "INSERT INTO copies SELECT o.id, region FROM orders o JOIN payments p ON o.id = p.order_id",
            "1:59 a join is not supported in a job",
        ),
        (
            "INSERT INTO copies SELECT id, region FROM orders UNION ALL SELECT id, region FROM orders",
            "1:20 UNION is not supported in a job",
        ),
        (
            "INSERT INTO copies VALUES (1, 'a')",
            "1:28 VALUES is not supported in a job",
        ),
        (
            "INSERT INTO copies SELECT id, region FROM orders WHERE id IN (SELECT order_id FROM payments)",
            "1:56 a subquery is not supported here",
        ),
        (
            "INSERT INTO copies SELECT COUNT(*), region FROM orders GROUP BY region",
            "1:65 an aggregate without a window is not supported in a job",
        ),
        (
            "INSERT INTO copies SELECT COUNT(*), 'x' FROM orders",
            "1:20 an aggregate without a window",
        ),
        (
            "INSERT INTO copies SELECT COUNT(*), region FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, region",
            "1:123 GROUP BY must name both window_start and window_end",
        ),
        (
            "INSERT INTO copies SELECT COUNT(*), 'x' FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(paid_at), INTERVAL '5' SECOND)) GROUP BY window_start, window_end",
            "1:86 table 'payments' has no watermark -> add WATERMARK FOR paid_at AS paid_at - INTERVAL '5' SECOND to CREATE TABLE payments",
        ),
        (
            "INSERT INTO copies SELECT region, id FROM orders",
            "1:27 column 'id' is BIGINT NOT NULL, the query gives STRING",
        ),
        (
            "INSERT INTO copies SELECT id FROM orders",
            "1:20 the query has 1 columns, 'copies' takes 2",
        ),
        (
            "INSERT INTO copies (region) SELECT region FROM orders",
            "1:13 column 'id' is NOT NULL and gets no value",
        ),
        (
            "INSERT INTO copies (id, rgion) SELECT id, region FROM orders",
            "1:25 table 'copies' has no column 'rgion' -> did you mean 'region'?",
        ),
    ]);
}

#[test]
fn queries() {
    check(&[
        ("SELECT id FROM orders FOR SYSTEM_TIME AS OF ts", "1:"),
        ("SELECT id FROM orders QUALIFY TRUE", "1:"),
        (
            "SELECT SUM(quantity) OVER (ORDER BY ts) FROM orders",
            "1:8 OVER is not supported",
        ),
        (
            "SELECT region, COUNT(*) FROM orders",
            "1:8 column 'region' is neither grouped by nor aggregated",
        ),
        (
            "SELECT COUNT(SUM(quantity)) FROM orders",
            "1:14 SUM is an aggregate: aggregates cannot be nested",
        ),
        (
            "SELECT id FROM orders WHERE COUNT(*) > 1",
            "1:29 COUNT is an aggregate: WHERE comes before groups",
        ),
        (
            "SELECT region FROM orders GROUP BY 1",
            "1:36 GROUP BY a literal groups nothing",
        ),
        ("SELECT region FROM orders GROUP BY CUBE (region)", "1:"),
        (
            "SELECT region + 1 FROM orders",
            "1:8 STRING + INT is not supported -> text is joined with ||",
        ),
        (
            "SELECT region || 1 FROM orders",
            "1:8 || joins STRINGs, this is INT",
        ),
        (
            "SELECT id FROM orders WHERE region = 1",
            "1:29 STRING and INT cannot be compared",
        ),
        (
            "SELECT id FROM orders WHERE region",
            "1:29 WHERE needs a BOOLEAN, this is STRING",
        ),
        (
            "SELECT ts - ts FROM orders",
            "1:8 TIMESTAMP(3) - TIMESTAMP(3) is not supported -> use TIMESTAMPDIFF",
        ),
        (
            "SELECT CAST(id AS TIMESTAMP(3)) FROM orders",
            "1:13 BIGINT cannot be cast to TIMESTAMP(3) -> use TO_TIMESTAMP_LTZ",
        ),
        (
            "SELECT CAST(id AS INT8) FROM orders",
            "1:19 there is no type 'INT8': write BIGINT",
        ),
        (
            "SELECT id::INT FROM orders",
            "1:8 this way to cast is not supported",
        ),
        ("SELECT NULL", "1:8 the type of this NULL is unknown"),
        (
            "SELECT UPPER(id) FROM orders",
            "1:14 argument 1 of UPPER must be STRING, this is BIGINT",
        ),
        (
            "SELECT UPPER(region, 1) FROM orders",
            "1:8 UPPER does not take 2 arguments",
        ),
        (
            "SELECT REGEXP(region, '(?=x)') FROM orders",
            "1:23 '(?=x)' is no regular expression",
        ),
        (
            "SELECT DATE_FORMAT(ts, 'YYYY') FROM orders",
            "1:24 the letter 'Y' is not supported in a pattern",
        ),
        (
            "SELECT * FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '5' SECOND))",
            "1:21 HOP is not supported",
        ),
        (
            "SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(region), INTERVAL '5' SECOND))",
            "1:53 'region' is STRING, windows need TIMESTAMP",
        ),
        (
            "SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '0' SECOND))",
            "1:",
        ),
        (
            "SELECT * FROM TABLE(TUMBLE(orders, DESCRIPTOR(ts), INTERVAL '5' SECOND))",
            "1:28 the first argument must be a table -> write TABLE t",
        ),
        (
            "SELECT TUMBLE_START(ts, INTERVAL '5' SECOND) FROM orders",
            "1:8 there is no function TUMBLE_START -> use TABLE(TUMBLE(...))",
        ),
        (
            "SELECT id FROM orders WHERE id = (SELECT order_id FROM payments)",
            "1:",
        ),
        (
            "SELECT SUM(DISTINCT quantity) FROM orders",
            "1:8 SUM(DISTINCT ...) is not supported",
        ),
        ("SELECT id FROM orders TABLESAMPLE (10)", "1:"),
        ("SELECT TOP 5 id FROM orders", "1:"),
        ("SELECT * EXCEPT (id) FROM orders", "1:"),
        (
            "SELECT id FROM orders ORDER BY 7",
            "1:32 there is no column 7 to order by",
        ),
        (
            "SELECT id, region FROM orders UNION ALL SELECT order_id FROM payments",
            "1:1 one side has 2 columns, the other 1",
        ),
        ("SELECT INTERVAL '1 2' DAY TO HOUR", "1:"),
        (
            "SELECT ts AT TIME ZONE 'UTC' FROM orders",
            "1:8 AT TIME ZONE is not supported",
        ),
        ("SELECT id FROM orders FOR UPDATE", "1:"),
        ("SELECT id FROM orders FETCH FIRST 5 ROWS WITH TIES", "1:"),
        ("SELECT ARRAY[1, 2]", "1:14 a constructor of ARRAY"),
        (
            "SELECT COUNT(*) FILTER (WHERE id) FROM orders",
            "1:31 FILTER needs a BOOLEAN",
        ),
    ]);
}
