//! Jobs: plans as the engine gets them.

use crate::harness::job;
use millstream_sql::plan::{PlanNode, WindowSpec};
use millstream_sql::types::field_type_name;

#[test]
fn a_filter_and_projection_is_planned() {
    let plan =
        job("INSERT INTO copies SELECT id, UPPER(region) FROM orders WHERE quantity > 2").unwrap();
    assert_eq!(
        plan.explain(),
        "Sink: copies (topic copies, format csv)
  Project: id = id@0, region = EXPR$1@1
    Project: id = id@0, EXPR$1 = UPPER(region@1)
      Filter: quantity@3 > 2
        Source: orders (topic shop.orders, format json), watermark on ts: ts@7 - IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 5000000000 }
"
    );
}

#[test]
fn a_window_aggregate_is_planned() {
    let plan = job(
        "INSERT INTO revenue SELECT window_start, window_end, region, COUNT(*), SUM(amount) \
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND)) \
         WHERE state = 'paid' GROUP BY window_start, window_end, region HAVING COUNT(*) > 1",
    )
    .unwrap();
    let mut node = Some(&plan.root);
    let mut aggregate = None;
    while let Some(current) = node {
        if let PlanNode::WindowAggregate(found) = current {
            aggregate = Some(found);
        }
        node = current.input();
    }
    let aggregate = aggregate.unwrap();
    assert_eq!(
        aggregate.window,
        WindowSpec::Tumble {
            size_ms: 5000,
            offset_ms: 0
        }
    );
    assert_eq!(
        aggregate.input.schema().field(aggregate.time_column).name(),
        "ts"
    );
    assert_eq!((aggregate.keys.len(), aggregate.aggregates.len()), (1, 2));
    let names: Vec<_> = aggregate
        .schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    assert_eq!(
        names,
        [
            "$key0",
            "window_start",
            "window_end",
            "window_time",
            "$agg0",
            "$agg1"
        ]
    );
    for a in &aggregate.aggregates {
        assert!(a.function.groups_accumulator_supported());
    }
    let columns: Vec<_> = plan
        .root
        .schema()
        .fields()
        .iter()
        .map(|f| field_type_name(f))
        .collect();
    let plain: Vec<_> = columns
        .iter()
        .map(|c| c.trim_end_matches(" NOT NULL"))
        .collect();
    assert_eq!(
        plain,
        [
            "TIMESTAMP(3)",
            "TIMESTAMP(3)",
            "STRING",
            "BIGINT",
            "DECIMAL(38, 2)"
        ]
    );
}

#[test]
fn a_window_over_a_subquery_of_a_window_finds_its_columns() {
    let plan = job(
        "INSERT INTO revenue SELECT ws, we, r, COUNT(*), CAST(NULL AS DECIMAL(38, 2)) FROM (
            SELECT window_start AS ws, window_end AS we, UPPER(region) AS r
            FROM TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
         ) AS t GROUP BY ws, we, r",
    )
    .unwrap();
    let text = plan.explain();
    // The time column was dropped: the window's start stands for it.
    assert!(
        text.contains("tumble(ws, size 60000 ms, offset 0 ms), keys [r@2]"),
        "{text}"
    );
}

#[test]
fn an_average_is_a_sum_over_a_count_that_are_shared() {
    let plan = job(
        "CREATE MATERIALIZED TABLE m AS SELECT window_end, AVG(quantity) AS a, SUM(quantity) AS s, COUNT(quantity) AS c \
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end",
    )
    .unwrap();
    let text = plan.explain();
    assert!(text.contains("[sum("), "{text}");
    assert_eq!(text.matches("sum(").count(), 1, "{text}");
    let types: Vec<_> = plan
        .root
        .schema()
        .fields()
        .iter()
        .map(|f| field_type_name(f))
        .collect();
    assert_eq!(types, ["TIMESTAMP(3)", "INT", "INT", "BIGINT NOT NULL"]);
}

#[test]
fn columns_of_an_insert_are_cast_and_missing_ones_are_null() {
    let plan =
        job("INSERT INTO revenue (revenue, orders) SELECT quantity, quantity FROM orders").unwrap();
    let types: Vec<_> = plan
        .root
        .schema()
        .fields()
        .iter()
        .map(|f| field_type_name(f))
        .collect();
    assert_eq!(types[3..], ["BIGINT", "DECIMAL(38, 2)"]);
    assert!(
        plan.explain().contains("region = NULL"),
        "{}",
        plan.explain()
    );
}

#[test]
fn the_columns_of_a_window_are_not_computed_for_its_aggregate() {
    let plan = job(
        "INSERT INTO revenue SELECT window_start, window_end, region, COUNT(*), SUM(amount) \
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND)) AS w \
         WHERE w.state = 'paid' GROUP BY window_start, window_end, region",
    )
    .unwrap();
    assert!(!plan.explain().contains("$WINDOW"), "{}", plan.explain());
    let plan = job(
        "INSERT INTO revenue SELECT window_start, window_end, MAX(region), COUNT(*), SUM(amount) \
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND)) \
         WHERE window_start > TIMESTAMP '2026-01-01 00:00:00' GROUP BY window_start, window_end",
    )
    .unwrap();
    assert!(
        plan.explain().contains("$WINDOW_START"),
        "{}",
        plan.explain()
    );
}
