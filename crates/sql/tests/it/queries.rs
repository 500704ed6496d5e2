//! Bounded queries over a few rows.

use crate::harness::{run, run_in, run_with, select, session, session_in};

fn rows(sql: &str) -> Vec<String> {
    let answer = run(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    answer.rows.iter().map(|r| r.join("|")).collect()
}

#[test]
fn filters_projects_orders_and_limits() {
    assert_eq!(
        rows(
            "SELECT id, region, quantity * 2 AS twice FROM orders WHERE quantity > 1 ORDER BY id DESC LIMIT 2"
        ),
        ["4|NULL|6", "3|north|8"]
    );
}

/// Flink: NULLs are the lowest values.
#[test]
fn nulls_sort_low() {
    assert_eq!(
        rows("SELECT id FROM orders ORDER BY region, id"),
        ["4", "1", "3", "2", "5"]
    );
    assert_eq!(
        rows("SELECT id FROM orders ORDER BY region DESC, id"),
        ["2", "5", "1", "3", "4"]
    );
    assert_eq!(
        rows("SELECT id FROM orders ORDER BY region NULLS LAST, id"),
        ["1", "3", "2", "5", "4"]
    );
}

#[test]
fn orders_by_what_is_not_selected_and_by_ordinal() {
    assert_eq!(
        rows("SELECT product FROM orders ORDER BY price, id"),
        ["hat", "pen", "pen", "cup", "cup"]
    );
    assert_eq!(
        rows("SELECT product, id FROM orders ORDER BY 1, 2 LIMIT 1 OFFSET 1"),
        ["cup|3"]
    );
}

#[test]
fn aggregates_have_flinks_types_and_values() {
    let answer = run(
        "SELECT COUNT(*), COUNT(region), COUNT(DISTINCT region), SUM(quantity), AVG(quantity), \
         MIN(region), MAX(price), SUM(amount), AVG(amount), AVG(price), AVG(id) FROM orders",
    )
    .unwrap();
    assert_eq!(
        answer.types,
        [
            "BIGINT NOT NULL",
            "BIGINT NOT NULL",
            "BIGINT NOT NULL",
            "INT",
            "INT",
            "STRING",
            "DOUBLE",
            "DECIMAL(38, 2)",
            "DECIMAL(38, 6)",
            "DOUBLE",
            "BIGINT"
        ]
    );
    assert_eq!(
        answer.rows[0].join("|"),
        "5|4|2|10|2|north|4.995|24.00|6.000000|1.524|3"
    );
    assert_eq!(answer.names[0], "EXPR$0");
    assert_eq!(
        rows("SELECT COUNT(*), SUM(quantity), AVG(amount) FROM orders WHERE id > 99"),
        ["0|NULL|NULL"]
    );
}

#[test]
fn groups_filter_and_having() {
    assert_eq!(
        rows(
            "SELECT region, COUNT(*) AS n, SUM(quantity) FILTER (WHERE state = 'paid') AS paid \
             FROM orders GROUP BY region HAVING COUNT(*) > 1 ORDER BY region"
        ),
        ["north|2|5", "south|2|NULL"]
    );
    assert_eq!(
        rows("SELECT UPPER(region) || '!' AS r FROM orders GROUP BY UPPER(region) ORDER BY r"),
        ["NULL", "NORTH!", "SOUTH!"]
    );
}

#[test]
fn tumbles() {
    assert_eq!(
        rows(
            "SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), \
             INTERVAL '5' SECOND)) GROUP BY window_start, window_end ORDER BY window_start"
        ),
        [
            "2026-03-07T15:00:00|2026-03-07T15:00:05|3",
            "2026-03-07T15:00:05|2026-03-07T15:00:10|1",
            "2026-03-07T15:00:10|2026-03-07T15:00:15|1"
        ]
    );
    // Without TABLE(), with names, with an offset, with an alias.
    assert_eq!(
        rows(
            "SELECT w.window_start, w.window_time, w.id FROM TUMBLE(DATA => TABLE orders, TIMECOL => DESCRIPTOR(ts), \
             SIZE => INTERVAL '1' MINUTE, `OFFSET` => INTERVAL '30' SECOND) AS w WHERE w.id = 1"
        ),
        ["2026-03-07T14:59:30|2026-03-07T15:00:29.999|1"]
    );
}

#[test]
fn days_of_instants_are_those_of_the_session() {
    let answer = run_in(
        "SELECT window_start FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(paid_at), INTERVAL '1' DAY)) LIMIT 1",
        &session_in("Asia/Shanghai"),
    )
    .unwrap();
    assert_eq!(answer.rows[0][0], "2026-03-06T16:00:00Z");
}

#[test]
fn joins_subqueries_and_set_operations() {
    assert_eq!(
        rows(
            "SELECT o.id, p.method FROM orders AS o LEFT JOIN payments p ON o.id = p.order_id ORDER BY o.id"
        ),
        ["1|card", "2|cash", "3|NULL", "4|NULL", "5|NULL"]
    );
    assert_eq!(
        rows("SELECT o.id FROM orders o, payments p WHERE o.id = p.order_id ORDER BY id"),
        ["1", "2"]
    );
    assert_eq!(
        rows("SELECT id FROM orders WHERE id IN (SELECT order_id FROM payments) ORDER BY id"),
        ["1", "2"]
    );
    assert_eq!(
        rows("SELECT id FROM orders WHERE price = (SELECT MAX(price) FROM orders)"),
        ["2"]
    );
    assert_eq!(
        rows("WITH big AS (SELECT id FROM orders WHERE quantity > 2) SELECT COUNT(*) FROM big"),
        ["2"]
    );
    assert_eq!(
        rows(
            "SELECT id FROM orders WHERE id < 3 UNION ALL SELECT order_id FROM payments ORDER BY id"
        ),
        ["1", "1", "2", "2", "9"]
    );
    assert_eq!(
        rows("SELECT DISTINCT state FROM orders ORDER BY state"),
        ["failed", "paid"]
    );
    assert_eq!(
        rows("SELECT order_id FROM payments EXCEPT SELECT id FROM orders"),
        ["9"]
    );
    assert_eq!(
        rows("SELECT a + b AS c FROM (VALUES (1, 2), (3, 4)) AS t (a, b) ORDER BY c"),
        ["3", "7"]
    );
}

/// Flink 2.3.0's answers.
#[test]
fn set_operations_with_all_count_how_often_a_row_is_there() {
    const TWO: &str = "SELECT v FROM (VALUES (1), (1), (1), (2), (2), (3)) AS a (v)";
    const ONE: &str = "SELECT v FROM (VALUES (1), (2), (2), (2), (4)) AS b (v)";
    let with = |operation: &str| rows(&format!("{TWO} {operation} {ONE} ORDER BY v"));
    assert_eq!(with("EXCEPT ALL"), ["1", "1", "3"]);
    assert_eq!(with("INTERSECT ALL"), ["1", "2", "2"]);
    assert_eq!(with("EXCEPT"), ["3"]);
    assert_eq!(with("INTERSECT"), ["1", "2"]);
    assert_eq!(
        rows("(VALUES (1), (1), (1), (2)) EXCEPT ALL (VALUES (1)) ORDER BY 1"),
        ["1", "1", "2"]
    );
    // NULL is the same as NULL here, and columns may share a name.
    assert_eq!(
        rows(
            "SELECT v, v FROM (VALUES (CAST(NULL AS INT)), (NULL), (7)) AS a (v)
             EXCEPT ALL SELECT v, v FROM (VALUES (CAST(NULL AS INT)), (8)) AS b (v) ORDER BY v"
        ),
        ["NULL|NULL", "7|7"]
    );
    let names = run("SELECT id AS a, id AS b FROM orders INTERSECT ALL SELECT id, id FROM orders");
    assert_eq!(names.unwrap().names, ["a", "b"]);
}

#[test]
fn names_repeat_as_calcite_numbers_them() {
    let answer = run("SELECT id, id, 1 + 1, *, o.region AS region FROM orders o LIMIT 1").unwrap();
    assert_eq!(answer.names[..4], ["id", "id0", "EXPR$2", "id1"]);
    assert_eq!(answer.names.last().unwrap(), "region0");
}

#[test]
fn names_are_case_sensitive() {
    let error = run("SELECT ID FROM orders").unwrap_err();
    assert!(
        error.contains("there is no column 'ID'") && error.contains("did you mean 'id'"),
        "{error}"
    );
    assert!(run("select `id` from `orders`").is_ok());
}

#[test]
fn a_bounded_plan_says_what_it_reads() {
    let plan = select(
        "SELECT o.id FROM orders o JOIN payments p ON o.id = p.order_id WHERE o.id IN (SELECT id FROM orders)",
        &session(),
    )
    .unwrap();
    let tables: Vec<_> = plan.tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(tables, ["orders", "payments"]);
}

#[test]
fn a_query_beyond_its_memory_fails_and_says_so() {
    let sql = "SELECT a.price FROM orders a, orders b, orders c, orders d, orders e, orders f ORDER BY a.price + b.price";
    let error = run_with(sql, &session(), 64 * 1024).unwrap_err();
    assert!(error.contains("more memory than it may take"), "{error}");
    assert_eq!(
        run_with(sql, &session(), 64 * 1024 * 1024)
            .unwrap()
            .rows
            .len(),
        15_625
    );
}

#[test]
fn a_bounded_plan_is_explained() {
    let plan = select(
        "SELECT region, COUNT(*) FROM orders GROUP BY region",
        &session(),
    )
    .unwrap();
    let text = plan.explain();
    assert!(
        text.contains("Aggregate: groupBy") && text.contains("TableScan: orders"),
        "{text}"
    );
}
