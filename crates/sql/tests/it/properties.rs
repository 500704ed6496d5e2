//! No text makes the parser or the planner panic.

use crate::harness::plan;
use millstream_sql::parser::parse;
use millstream_sql::statement::StatementKind;
use proptest::prelude::*;

/// Words that make up statements, to get past the first token.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "HAVING",
    "LIMIT",
    "orders",
    "payments",
    "copies",
    "id",
    "region",
    "ts",
    "amount",
    "window_start",
    "window_end",
    "COUNT",
    "SUM",
    "AVG",
    "(",
    ")",
    "*",
    ",",
    "+",
    "-",
    "/",
    "||",
    "=",
    "<",
    ">",
    ".",
    ";",
    "'x'",
    "1",
    "2.5",
    "1e3",
    "NULL",
    "AND",
    "OR",
    "NOT",
    "IS",
    "IN",
    "BETWEEN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "AS",
    "INT",
    "DECIMAL",
    "TABLE",
    "TUMBLE",
    "DESCRIPTOR",
    "INTERVAL",
    "'5'",
    "SECOND",
    "INSERT",
    "INTO",
    "CREATE",
    "MATERIALIZED",
    "WITH",
    "JOIN",
    "ON",
    "UNION",
    "ALL",
    "DISTINCT",
    "EXISTS",
    "VALUES",
    "ROW",
    "MAP",
    "ARRAY",
    "[",
    "]",
    "WATERMARK",
    "FOR",
    "PRIMARY",
    "KEY",
    "METADATA",
    "EXTRACT",
    "FLOOR",
    "TO",
    "HOUR",
    "`",
    "\"",
    "/*+",
    "*/",
    "--",
    "\n",
    "DATE",
    "TIMESTAMP",
    "'2026-01-31'",
    "UPPER",
    "SUBSTRING",
    "OVER",
    "FILTER",
    "TRY_CAST",
    "EXPLAIN",
    "SHOW",
    "SET",
];

/// Statements to disturb.
const WHOLE: &[&str] = &[
    "SELECT id , region , quantity * 2 AS twice FROM orders WHERE quantity > 1 AND amount < 2.5 ORDER BY id DESC LIMIT 2",
    "SELECT region , COUNT ( * ) AS n , SUM ( quantity ) FILTER ( WHERE state = 'paid' ) FROM orders GROUP BY region HAVING COUNT ( * ) > 1",
    "SELECT window_start , AVG ( amount ) FROM TABLE ( TUMBLE ( TABLE orders , DESCRIPTOR ( ts ) , INTERVAL '5' SECOND ) ) GROUP BY window_start , window_end",
    "SELECT o . id , p . method FROM orders AS o LEFT JOIN payments p ON o . id = p . order_id WHERE o . id IN ( SELECT order_id FROM payments )",
    "SELECT CASE WHEN price > 1 THEN UPPER ( region ) ELSE CAST ( id AS STRING ) END , EXTRACT ( YEAR FROM ts ) , price BETWEEN 1 AND 2 FROM orders",
    "SELECT ROUND ( price , 1 ) , amount / quantity , amount * amount , MOD ( id , 3 ) , ts - INTERVAL '1' DAY , DATE_FORMAT ( ts , 'yyyy' ) FROM orders",
    "SELECT SUBSTRING ( region FROM 2 FOR 3 ) , TRIM ( BOTH 'n' FROM region ) , region LIKE 'n%' , region || product , REGEXP_EXTRACT ( region , 'o(.)' , 1 ) FROM orders",
    "SELECT TRY_CAST ( region AS INT ) , CAST ( price AS INT ) , CAST ( quantity AS TINYINT ) , FLOOR ( ts TO HOUR ) , TIMESTAMPDIFF ( DAY , ts , CURRENT_TIMESTAMP ) FROM orders",
    "SELECT LPAD ( region , quantity , 'x' ) , REPEAT ( region , quantity ) , TO_TIMESTAMP_LTZ ( id , 0 ) , TIMESTAMPADD ( MONTH , quantity , ts ) , COALESCE ( region , 'x' ) FROM orders",
    "SELECT method , COUNT ( * ) , MAX ( method ) , CAST ( method AS VARCHAR(3) ) AS m FROM payments WHERE method > 'a' GROUP BY method ORDER BY m",
    "SELECT DISTINCT CAST ( paid_at AS TIMESTAMP(0) ) AS t , CAST ( method AS CHAR(3) ) AS m FROM payments ORDER BY t",
    "SELECT window_start , window_end , window_time , UPPER ( region ) AS r , COUNT ( * ) , SUM ( amount ) , AVG ( price ) , MIN ( ts ) , COUNT ( DISTINCT id ) FROM TUMBLE ( TABLE orders , DESCRIPTOR ( ts ) , INTERVAL '1' HOUR , INTERVAL '5' MINUTE ) WHERE price > 1 GROUP BY window_start , window_end , window_time , UPPER ( region ) HAVING COUNT ( * ) > 1",
    "SELECT DISTINCT id FROM orders UNION ALL SELECT order_id FROM payments EXCEPT SELECT 1 ORDER BY id",
];

/// Operands of every type, to be put in place of others.
const OPERANDS: &[&str] = &[
    "id",
    "region",
    "quantity",
    "amount",
    "price",
    "ts",
    "NULL",
    "TRUE",
    "0",
    "-1",
    "9223372036854775807",
    "2147483647",
    "1e308",
    "0.000001",
    "99999999999999999999999999999999999999",
    "''",
    "'x'",
    "'2026-01-31'",
    "paid_at",
    "DATE '2026-01-31'",
    "TIMESTAMP '9999-12-31 23:59:59'",
    "INTERVAL '99' DAY",
    "CAST(NULL AS STRING)",
    "COUNT(*)",
    "TO_TIMESTAMP_LTZ(9223372036854775807, 3)",
    "CAST(1e300 AS DECIMAL(38, 10))",
    "(SELECT MAX(id) FROM orders)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_words_are_planned_or_refused(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40)) {
        let text = words.join(" ");
        if let Err(error) = plan(&text) {
            prop_assert!(error.line >= 1 && error.column >= 1, "{error}");
        }
        let _ = plan(&format!("SELECT {text} FROM orders"));
        let _ = plan(&format!("INSERT INTO copies SELECT {text}"));
    }

    /// What is planned also runs: to rows, or to an error that is ours or the
    /// data's, never to a panic and never to DataFusion's "internal error".
    #[test]
    fn a_disturbed_statement_is_refused_or_runs(
        statement in proptest::sample::select(WHOLE),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>()), 1..4),
    ) {
        let mut words: Vec<&str> = statement.split(' ').collect();
        for (at, operand, with) in changes {
            let with = if operand { OPERANDS[with.index(OPERANDS.len())] } else { WORDS[with.index(WORDS.len())] };
            let at = at.index(words.len());
            words[at] = with;
        }
        let text = words.join(" ");
        let _ = plan(&format!("CREATE MATERIALIZED TABLE m AS {text}"));
        if let Ok(statements) = parse(&text)
            && matches!(statements.as_slice(), [one] if matches!(one.kind, StatementKind::Query(_)))
            && let Err(error) = crate::harness::run(&text)
        {
            prop_assert!(!error.to_lowercase().contains("internal error"), "{text}\n{error}");
        }
    }

    #[test]
    fn every_cut_of_a_statement_is_parsed_or_refused(at in 0usize..400) {
        let text = "CREATE TABLE t (a INT NOT NULL, b ROW<x ARRAY<INT>>, c AS a + 1, m STRING METADATA FROM 'topic' VIRTUAL, \
            WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'kafka'); \
            INSERT INTO t SELECT CASE WHEN a > 1 THEN UPPER(b.x) ELSE CAST(1 AS DECIMAL(3, 2)) END FROM \
            TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))";
        let _ = parse(text.get(..at.min(text.len())).unwrap());
    }
}

#[test]
fn deep_expressions_are_planned_or_refused_on_a_small_stack() {
    for n in [100, 150, 1_000, 100_000] {
        let _ = plan(&format!("SELECT {} FROM orders", vec!["id"; n].join(" + ")));
        let _ = plan(&format!(
            "SELECT {} FROM orders",
            vec!["id > 1"; n].join(" OR ")
        ));
        let _ = plan(&format!(
            "SELECT {}1{} FROM orders",
            "(".repeat(n),
            ")".repeat(n)
        ));
        let _ = plan(&format!("SELECT {}id FROM orders", "- ".repeat(n)));
        let _ = plan(&format!("SELECT {}TRUE FROM orders", "NOT ".repeat(n)));
        let _ = plan(&format!("SELECT id{} FROM orders", " IS NULL".repeat(n)));
        let _ = plan(&format!("SELECT id{} FROM orders", "::INT".repeat(n)));
        let _ = plan(&format!(
            "SELECT {}id{} FROM orders",
            "UPPER(".repeat(n),
            ")".repeat(n)
        ));
        let _ = plan(&format!(
            "SELECT {}1{}",
            "CASE WHEN TRUE THEN ".repeat(n),
            " END".repeat(n)
        ));
        let _ = plan(&format!(
            "SELECT * FROM {}orders{}",
            "(SELECT * FROM ".repeat(n),
            ")".repeat(n)
        ));
        let _ = plan(&vec!["SELECT id FROM orders"; n].join(" UNION ALL "));
        let _ = plan(&format!(
            "CREATE TABLE t (a {}INT{})",
            "ARRAY<".repeat(n),
            ">".repeat(n)
        ));
        let _ = plan(&format!(
            "SELECT * FROM orders WHERE id IN ({})",
            vec!["1"; n].join(", ")
        ));
        let _ = plan(&format!("SELECT a{} FROM orders", ".b".repeat(n)));
        let _ = plan(&format!(
            "SELECT {} FROM orders",
            vec!["region"; n].join(" || ")
        ));
        let _ = plan(&format!("{}SHOW TABLES", "EXPLAIN ".repeat(n)));
    }
    assert!(
        plan(&format!(
            "SELECT {} FROM orders",
            vec!["id"; 60].join(" + ")
        ))
        .is_ok()
    );
}

#[test]
fn the_deepest_expression_that_is_planned_also_runs_on_a_small_stack() {
    for (operand, operator) in [
        ("id", " + "),
        ("id > 1", " OR "),
        ("region", " || "),
        ("amount", " * "),
    ] {
        let planned = |n: &usize| {
            let sql = format!("SELECT {} FROM orders", vec![operand; *n].join(operator));
            crate::harness::select(&sql, &crate::harness::session()).is_ok()
        };
        let n = (2..600).rev().find(planned).unwrap();
        let sql = format!("SELECT {} FROM orders", vec![operand; n].join(operator));
        assert!(crate::harness::run(&sql).is_ok(), "{n} times {operand}");
    }
}
