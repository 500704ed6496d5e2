//! Plans made by hand: orders per region in windows of five seconds.

use crate::job::{JobOptions, JobSpec};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema, SchemaRef, TimeUnit};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{binary, cast, col, lit};
use datafusion::scalar::ScalarValue;
use millstream_sql::catalog::{
    BoundedMode, ColumnKind, FormatSpec, KafkaTable, StartupMode, TableDef, TableKind, WatermarkDef,
};
use millstream_sql::plan::{
    FilterNode, JobPlan, PlanNode, ProjectNode, SourceNode, WatermarkNode, WindowAggregateExpr,
    WindowAggregateNode, WindowSpec,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const SIZE_MS: i64 = 5_000;
pub(super) const DELAY_MS: i64 = 1_000;

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn table(name: &str, schema: SchemaRef, bounded: BoundedMode) -> TableDef {
    TableDef {
        name: name.to_owned(),
        statement: String::new(),
        kind: TableKind::Table,
        columns: vec![ColumnKind::Physical; schema.fields().len()],
        schema,
        primary_key: Vec::new(),
        watermark: None,
        connector: KafkaTable {
            topic: name.to_owned(),
            format: FormatSpec {
                name: "json".into(),
                options: BTreeMap::new(),
            },
            key: None,
            startup: StartupMode::Earliest,
            bounded,
            idle_timeout: None,
            partitions: Some(2),
        },
    }
}

pub(super) struct Shape {
    pub(super) bounded: BoundedMode,
    pub(super) partitions: i32,
    pub(super) idle_timeout: Option<Duration>,
}

fn source(shape: &Shape) -> PlanNode {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("region", DataType::Utf8, true),
        Field::new("amount", DataType::Int64, true),
        Field::new("ts", time(), true),
    ]));
    let mut orders = table("orders", schema.clone(), shape.bounded);
    orders.watermark = Some(WatermarkDef {
        column: 2,
        expression: "ts - INTERVAL '1' SECOND".into(),
    });
    orders.connector.partitions = Some(shape.partitions);
    orders.connector.idle_timeout = shape.idle_timeout;
    let delay = IntervalMonthDayNano::new(0, 0, DELAY_MS * 1_000_000);
    let watermark = binary(
        col("ts", &schema).unwrap(),
        Operator::Minus,
        lit(ScalarValue::IntervalMonthDayNano(Some(delay))),
        &schema,
    )
    .unwrap();
    let columns = ["region", "amount", "ts"]
        .map(|c| col(c, &schema).unwrap())
        .to_vec();
    PlanNode::Source(Box::new(SourceNode {
        table: Arc::new(orders),
        base_schema: schema.clone(),
        columns,
        schema,
        watermark: Some(WatermarkNode {
            column: 2,
            expression: watermark,
        }),
    }))
}

/// `SELECT region, COUNT(*), SUM(amount), window_start ... GROUP BY ...`.
pub(super) fn windows(shape: &Shape) -> JobPlan {
    let source = source(shape);
    let input = source.schema();
    let aggregate = |name: &str, function, argument: Arc<dyn PhysicalExpr>| WindowAggregateExpr {
        function: Arc::new(
            AggregateExprBuilder::new(function, vec![argument])
                .schema(input.clone())
                .alias(name)
                .build()
                .unwrap(),
        ),
        filter: None,
    };
    let window = WindowAggregateNode {
        time_column: 2,
        window: WindowSpec::Tumble {
            size_ms: SIZE_MS,
            offset_ms: 0,
        },
        keys: vec![col("region", &input).unwrap()],
        aggregates: vec![
            aggregate("orders", count_udaf(), lit(1_i64)),
            aggregate("revenue", sum_udaf(), col("amount", &input).unwrap()),
        ],
        schema: Arc::new(Schema::new(vec![
            Field::new("region", DataType::Utf8, true),
            Field::new("window_start", time(), false),
            Field::new("window_end", time(), false),
            Field::new("window_time", time(), false),
            Field::new("orders", DataType::Int64, true),
            Field::new("revenue", DataType::Int64, true),
        ])),
        input: source,
    };
    let from = window.schema.clone();
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("window_start", time(), true),
        Field::new("region", DataType::Utf8, true),
        Field::new("orders", DataType::Int64, true),
        Field::new("revenue", DataType::Int64, true),
    ]));
    let project = ProjectNode {
        input: PlanNode::WindowAggregate(Box::new(window)),
        expressions: ["window_start", "region", "orders", "revenue"]
            .map(|c| col(c, &from).unwrap())
            .to_vec(),
        schema: schema.clone(),
    };
    JobPlan {
        statement: "INSERT INTO revenue ...".into(),
        root: PlanNode::Project(Box::new(project)),
        sink: Arc::new(table("revenue", schema, BoundedMode::Unbounded)),
    }
}

/// `SELECT region, CAST(region AS BIGINT) FROM orders WHERE amount > 10`:
/// fails on regions that are no numbers.
pub(super) fn casts(shape: &Shape) -> JobPlan {
    let source = source(shape);
    let input = source.schema();
    let predicate = binary(
        col("amount", &input).unwrap(),
        Operator::Gt,
        lit(10_i64),
        &input,
    )
    .unwrap();
    let filter = PlanNode::Filter(Box::new(FilterNode {
        input: source,
        predicate,
    }));
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("region", DataType::Utf8, true),
        Field::new("number", DataType::Int64, true),
    ]));
    let region = col("region", &input).unwrap();
    let project = ProjectNode {
        expressions: vec![
            Arc::clone(&region),
            cast(region, &input, DataType::Int64).unwrap(),
        ],
        input: filter,
        schema: schema.clone(),
    };
    JobPlan {
        statement: "INSERT INTO numbers ...".into(),
        root: PlanNode::Project(Box::new(project)),
        sink: Arc::new(table("numbers", schema, BoundedMode::Unbounded)),
    }
}

pub(super) fn spec(id: &str, plan: JobPlan) -> JobSpec {
    JobSpec {
        id: id.to_owned(),
        statement: plan.statement.clone(),
        plan,
        options: JobOptions {
            epoch: Duration::from_millis(2),
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(5),
            ..JobOptions::default()
        },
    }
}
