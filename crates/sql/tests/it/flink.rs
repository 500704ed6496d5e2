//! Types and values that Apache Flink 2.1.0 itself gave (batch mode, UTC) for
//! `SELECT <expression> FROM (VALUES (1), (2), (4)) AS t1 (c1)`, recorded in
//! `flink-2.1.0.tsv`: expression, type, value.

use crate::harness::run;

const RECORDED: &str = include_str!("flink-2.1.0.tsv");

#[test]
fn expressions_have_the_types_and_values_that_flink_gave() {
    let mut wrong = Vec::new();
    for line in RECORDED.lines() {
        let mut parts = line.split('\t');
        let (Some(expression), Some(type_name), Some(value)) =
            (parts.next(), parts.next(), parts.next())
        else {
            panic!("{line}");
        };
        let sql = format!("SELECT {expression} AS x FROM (VALUES (1), (2), (4)) AS t1 (c1)");
        let found = match run(&sql) {
            Ok(answer) => {
                let found = answer.types[0].trim_end_matches(" NOT NULL");
                (comparable_type(found), comparable_value(&answer.rows[0][0]))
            }
            Err(error) => ("error".to_owned(), error),
        };
        let expected = (comparable_type(type_name), comparable_value(value));
        if found != expected {
            wrong.push(format!("{expression}: Flink {expected:?}, here {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(RECORDED.lines().count() > 300);
}

/// Lengths of texts and precisions of timestamps are not carried through
/// operators here.
fn comparable_type(name: &str) -> String {
    match name.split_once('(') {
        Some(("CHAR" | "VARCHAR", _)) => "STRING".to_owned(),
        Some((name @ ("TIMESTAMP" | "TIMESTAMP_LTZ"), _)) => name.to_owned(),
        _ => name.to_owned(),
    }
}

/// Java's `LocalDateTime.toString` leaves seconds of zero out.
fn comparable_value(value: &str) -> String {
    match value {
        "Infinity" => "inf".to_owned(),
        _ if value.len() == 19 && value.contains('T') => {
            value.strip_suffix(":00").unwrap_or(value).to_owned()
        }
        _ => value.to_owned(),
    }
}
