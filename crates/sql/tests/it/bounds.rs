//! What a text may come to when it is planned and evaluated: bounded, however
//! short the text. Nodes and bytes are counted, never time; without the bounds
//! most of these inputs do not come back.

use crate::harness::{plan, run, run_planned, select, session, tables};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use millstream_core::env::clock::ManualClock;
use millstream_sql::functions::guard::Guard;
use millstream_sql::parser::parse;
use millstream_sql::planner::plan_bounded;
use millstream_sql::statement::StatementKind;
use std::time::Duration;

/// Nodes of a query's plan, operators and expressions.
fn nodes(sql: &str) -> usize {
    let plan = select(sql, &session()).unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let mut count = 0;
    plan.plan
        .apply_with_subqueries(|node| {
            count += 1;
            node.apply_expressions(|expr| {
                expr.apply(|_| {
                    count += 1;
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })
        .unwrap();
    count
}

fn refused(sql: &str) -> String {
    match plan(sql) {
        Ok(()) => panic!("accepted: {sql}"),
        Err(error) => error.message,
    }
}

/// `around` with itself in place of `{}`, `depth` times, and `core` innermost.
fn nested(around: &str, core: &str, depth: usize) -> String {
    (0..depth).fold(core.to_owned(), |inner, _| around.replace("{}", &inner))
}

#[test]
fn operands_stand_in_a_plan_once() {
    for (around, core) in [
        ("GREATEST(UPPER({}), region)", "region"),
        ("LEAST({}, region, 'z')", "region"),
        ("COALESCE(UPPER({}), 'x')", "region"),
        ("COALESCE({}, region, 'x')", "region"),
        ("NULLIF(UPPER({}), 'x')", "region"),
        ("NULLIF({} + 1, 3000000000)", "quantity"),
        ("IFNULL({}, 'x')", "region"),
        ("CASE UPPER({}) WHEN 'x' THEN 'y' ELSE region END", "region"),
        (
            "CASE WHEN UPPER({}) BETWEEN 'a' AND 'b' THEN 'y' ELSE 'n' END",
            "region",
        ),
        ("IF(id > 1, UPPER({}), 'y')", "region"),
        ("UPPER(IF({} = 'x', 'x', 'y'))", "region"),
    ] {
        let size = |depth| {
            nodes(&format!(
                "SELECT {} AS x FROM orders",
                nested(around, core, depth)
            ))
        };
        let (one, two, ten) = (size(1), size(2), size(10));
        // A screen around a CASE is a node more.
        let each = two - one + 2;
        assert!(
            ten <= two + 8 * each,
            "{around}: {one}, {two}, then {ten} nodes"
        );
        run(&format!(
            "SELECT {} AS x FROM orders",
            nested(around, core, 10)
        ))
        .unwrap();
    }
}

#[test]
fn long_lists_of_arguments_are_planned_once_each() {
    let numbers: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let numbers = numbers.join(", ");
    for function in ["GREATEST", "LEAST", "COALESCE"] {
        let sql = format!("SELECT {function}({numbers}) AS x");
        assert!(nodes(&sql) < 5_000, "{function}");
        let expected = if function == "GREATEST" { "499" } else { "0" };
        assert_eq!(run(&sql).unwrap().rows, [[expected]], "{function}");
    }
    let columns = "id, ".repeat(500);
    let sql = format!("SELECT COALESCE({columns} 7) AS x FROM orders LIMIT 1");
    assert!(nodes(&sql) < 5_000);
    assert_eq!(run(&sql).unwrap().rows, [["1"]]);
}

#[test]
fn with_queries_count_for_each_reference() {
    let doubled: Vec<String> = (1..40)
        .map(|n| {
            let before = n - 1;
            format!("c{n} AS (SELECT a.x FROM c{before} a, c{before} b)")
        })
        .collect();
    let doubled = format!("WITH c0 AS (SELECT 1 AS x), {}", doubled.join(", "));
    assert_eq!(
        refused(&format!("{doubled} SELECT x FROM c39")),
        "the query reads too many tables"
    );
    // A chain without doubling is bounded in depth only.
    let chain = |length: usize| {
        let links: Vec<String> = (1..length)
            .map(|n| format!("c{n} AS (SELECT x + 1 AS x FROM c{})", n - 1))
            .collect();
        let links = links.join(", ");
        let last = length - 1;
        format!("WITH c0 AS (SELECT 1 AS x), {links} SELECT x FROM c{last}")
    };
    assert_eq!(run(&chain(30)).unwrap().rows, [["30"]]);
    assert_eq!(refused(&chain(80)), "the query is nested too deeply");
}

#[test]
fn comma_joins_count_as_joins_do() {
    let tables: Vec<String> = (0..200).map(|n| format!("orders t{n}")).collect();
    assert_eq!(
        refused(&format!("SELECT 1 AS x FROM {}", tables.join(", "))),
        "the query reads too many tables"
    );
}

#[test]
fn an_ended_guard_ends_planning() {
    let statement = parse("SELECT id FROM orders").unwrap().remove(0);
    let StatementKind::Query(query) = statement.kind else {
        panic!("no query");
    };
    let (tables, session) = (tables(), session());
    let plan = || plan_bounded(&query, &tables, &session);
    plan().unwrap();
    let guard = Guard::new(1 << 20);
    guard.cancel();
    let error = guard.scope(plan).unwrap_err();
    assert!(error.message.contains("was not planned"), "{error}");
    // The query's own deadline is planning's too.
    let clock = ManualClock::at(0);
    let guard = Guard::with_deadline(1 << 20, clock.clone(), Duration::from_secs(1));
    guard.scope(plan).unwrap();
    clock.advance_ms(1_000);
    let error = guard.scope(plan).unwrap_err();
    assert!(error.message.contains("took longer than 1s"), "{error}");
}

#[test]
fn a_text_has_so_many_statements() {
    assert_eq!(parse(&"SELECT 1;".repeat(1_000)).unwrap().len(), 1_000);
    let error = parse(&"SELECT 1;".repeat(100_000)).unwrap_err();
    assert_eq!(error.message, "the text has too many statements");
    assert_eq!((error.line, error.column), (1, 9_001));
}

#[test]
fn statements_are_cut_from_long_lines_of_any_characters() {
    let first = format!("SELECT '{}' AS x", "é".repeat(600));
    let text = format!("{first}; SELECT 2 AS y\n; SELECT '中'");
    let texts: Vec<_> = parse(&text).unwrap().into_iter().map(|s| s.text).collect();
    assert_eq!(texts, [first.as_str(), "SELECT 2 AS y", "SELECT '中'"]);
}

/// Each makes about a megabyte and more of the five orders.
#[test]
fn what_functions_make_is_bounded_in_bytes() {
    let long = "x".repeat(300_000);
    for (function, expression) in [
        ("REPEAT", "REPEAT(region, 100000)".to_owned()),
        ("LPAD", "LPAD(region, 300000, 'é')".to_owned()),
        ("RPAD", "RPAD(region, 300000, 'ab')".to_owned()),
        ("CONCAT", format!("CONCAT(region, '{long}')")),
        ("||", format!("region || '{long}'")),
        ("CONCAT_WS", format!("CONCAT_WS('{long}', region, product)")),
        ("REPLACE", format!("REPLACE(region, 'o', '{long}')")),
        (
            "REGEXP_REPLACE",
            format!("REGEXP_REPLACE(region, 'o', '{long}')"),
        ),
        ("GREATEST", format!("GREATEST(region, '{long}')")),
        ("UPPER", format!("UPPER('{long}')")),
        ("CAST_LENGTH", "CAST(region AS CHAR(300000))".to_owned()),
        ("a literal", format!("'{long}'")),
        (
            "a literal",
            format!("CASE WHEN id > 0 THEN '{long}' ELSE region END"),
        ),
        ("a literal", format!("IF(id > 0, '{long}', region)")),
        ("a literal", format!("MAX('{long}')")),
        ("LPAD", "MAX(LPAD(region, 300000, 'x'))".to_owned()),
        (
            "LPAD",
            "MAX(CHAR_LENGTH(LPAD(region, 300000, 'x')))".to_owned(),
        ),
    ] {
        let sql = format!("SELECT {expression} AS x FROM orders");
        let error = Guard::new(1_000_000).scope(|| run(&sql)).unwrap_err();
        let expected = format!("the result of {function} would be over 1000000 bytes");
        assert!(error.contains(&expected), "{function}: {error}");
        run(&sql).unwrap_or_else(|e| panic!("{function}: {e}"));
    }
}

#[test]
fn results_that_are_there_at_a_time_are_counted_together() {
    let columns: Vec<String> = (0..8)
        .map(|n| format!("LPAD(region, 60000, '{n}') AS c{n}"))
        .collect();
    let sql = format!("SELECT {} FROM orders", columns.join(", "));
    let error = Guard::new(1_000_000).scope(|| run(&sql)).unwrap_err();
    assert!(
        error.contains("the result of LPAD would be over"),
        "{error}"
    );
    let guard = Guard::new(4_000_000);
    guard.scope(|| run(&sql)).unwrap();
    assert_eq!(guard.held_bytes(), 0);
}

#[test]
fn one_text_is_bounded_in_bytes() {
    for (function, expression) in [
        ("REPEAT", "REPEAT(region, 4000000)"),
        ("LPAD", "LPAD(region, 17000000, 'x')"),
        ("LPAD", "LPAD(region, 9000000, 'é')"),
        (
            "CONCAT",
            "CONCAT(REPEAT(product, 3000000), REPEAT(product, 3000000))",
        ),
        ("CAST_LENGTH", "CAST(region AS CHAR(2000000000))"),
    ] {
        let sql = format!("SELECT {expression} AS x FROM orders WHERE id = 1");
        let error = run(&sql).unwrap_err();
        let expected = format!("the result of {function} would be a text of more than");
        assert!(error.contains(&expected), "{function}: {error}");
    }
}

#[test]
fn rows_are_not_evaluated_for_nobody() {
    let guard = Guard::new(1 << 20);
    let plan = select("SELECT UPPER(region) AS x FROM orders", &session()).unwrap();
    run_planned(&plan, 1 << 20, &guard).unwrap();
    guard.cancel();
    let error = run_planned(&plan, 1 << 20, &guard).unwrap_err();
    assert!(error.contains("was cancelled"), "{error}");
}

#[test]
fn patterns_and_paths_are_bounded() {
    let long = "a".repeat(17_000);
    for (sql, message) in [
        (
            format!("SELECT REGEXP(region, '{long}') FROM orders"),
            "is too long for a regular expression",
        ),
        (
            "SELECT REGEXP(region, '(a{1000}){1000}') FROM orders".to_owned(),
            "is too large a regular expression",
        ),
        (
            format!(
                "SELECT JSON_VALUE(region, '${}') FROM orders",
                ".a".repeat(101)
            ),
            "is no path that is supported",
        ),
    ] {
        let error = plan(&sql).unwrap_err();
        assert!(error.message.contains(message), "{error}");
    }
    // A pattern from a column is bounded when its row comes.
    let error = run(&format!(
        "SELECT REGEXP(region, CONCAT(product, '{long}')) FROM orders"
    ))
    .unwrap_err();
    assert!(
        error.contains("too long for a regular expression"),
        "{error}"
    );
}
