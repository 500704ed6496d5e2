//! No text makes the parser or the planner panic.

use crate::harness::plan;
use millstream_sql::parser::parse;
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
