//! A catalog of a few tables with a few rows, and ways to plan and run.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use millstream_core::env::clock::ManualClock;
use millstream_sql::catalog::{Catalog, TableDef};
use millstream_sql::error::{SqlError, runtime_message};
use millstream_sql::functions::guard::Guard;
use millstream_sql::parser::parse;
use millstream_sql::plan::{JobPlan, PlanNode};
use millstream_sql::planner::{
    BoundedPlan, define, plan_bounded, plan_job, plan_materialized, session_context,
};
use millstream_sql::session::Session;
use millstream_sql::statement::{Statement, StatementKind};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// 2026-03-07 15:04:05.678 UTC.
pub const NOW_MS: i64 = 1_772_895_845_678;

/// Tables by name.
#[derive(Default)]
pub struct Tables(BTreeMap<String, Arc<TableDef>>);

impl Catalog for Tables {
    fn table(&self, name: &str) -> Option<Arc<TableDef>> {
        self.0.get(name).cloned()
    }

    fn table_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl Tables {
    /// Runs `CREATE` statements.
    pub fn create(&mut self, sql: &str) -> Result<(), SqlError> {
        for statement in parse(sql)? {
            let table = define(&statement, self, &session())?;
            self.0.insert(table.name.clone(), Arc::new(table));
        }
        Ok(())
    }
}

/// The demo's tables.
pub fn tables() -> Tables {
    let mut tables = Tables::default();
    tables
        .create(
            "CREATE TABLE orders (
                id BIGINT NOT NULL,
                region STRING,
                product STRING,
                quantity INT,
                amount DECIMAL(10, 2),
                price DOUBLE,
                state STRING,
                ts TIMESTAMP(3),
                WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
            ) WITH ('connector' = 'kafka', 'topic' = 'shop.orders', 'format' = 'json');
            CREATE TABLE payments (
                order_id BIGINT,
                method VARCHAR(10),
                paid_at TIMESTAMP_LTZ(3)
            ) WITH ('connector' = 'kafka', 'format' = 'json');
            CREATE TABLE revenue (
                window_start TIMESTAMP(3),
                window_end TIMESTAMP(3),
                region STRING,
                orders BIGINT,
                revenue DECIMAL(38, 2)
            ) WITH ('connector' = 'kafka', 'format' = 'json');
            CREATE TABLE copies (
                id BIGINT NOT NULL,
                region STRING
            ) WITH ('connector' = 'kafka', 'format' = 'csv')",
        )
        .unwrap();
    tables
}

pub fn session() -> Session {
    Session::new(ManualClock::at(NOW_MS))
}

pub fn session_in(zone: &str) -> Session {
    Session {
        time_zone: zone.parse().unwrap(),
        ..session()
    }
}

/// Plans the job of the text's only statement.
pub fn job(sql: &str) -> Result<JobPlan, SqlError> {
    job_of(&parse(sql)?.pop().unwrap())
}

fn job_of(statement: &Statement) -> Result<JobPlan, SqlError> {
    let plan = match &statement.kind {
        StatementKind::Insert(insert) => plan_job(insert, &tables(), &session())?,
        StatementKind::CreateMaterializedTable(create) => {
            plan_materialized(create, &tables(), &session())?
        }
        other => panic!("no job: {other:?}"),
    };
    check_types(&plan);
    Ok(plan)
}

/// Plans every statement of a text, whatever it is.
pub fn plan(sql: &str) -> Result<(), SqlError> {
    for statement in parse(sql)? {
        match &statement.kind {
            StatementKind::Insert(_) | StatementKind::CreateMaterializedTable(_) => {
                job_of(&statement)?;
            }
            StatementKind::CreateTable(_) => {
                define(&statement, &tables(), &session())?;
            }
            StatementKind::Query(_) => {
                select_of(&statement, &session())?;
            }
            StatementKind::Set(Some((key, value))) => {
                session().set(&key.value, Some(value), key.position)?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub fn select(sql: &str, session: &Session) -> Result<BoundedPlan, SqlError> {
    select_of(&parse(sql)?.pop().unwrap(), session)
}

fn select_of(statement: &Statement, session: &Session) -> Result<BoundedPlan, SqlError> {
    match &statement.kind {
        StatementKind::Query(query) => plan_bounded(query, &tables(), session),
        other => panic!("no query: {other:?}"),
    }
}

/// A result: column names, Flink's types, rows as text.
#[derive(Debug)]
pub struct Answer {
    pub names: Vec<String>,
    pub types: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Runs a SELECT over the rows of [`data`].
pub fn run(sql: &str) -> Result<Answer, String> {
    run_in(sql, &session())
}

pub fn run_in(sql: &str, session: &Session) -> Result<Answer, String> {
    run_with(sql, session, 64 * 1024 * 1024)
}

pub fn run_with(sql: &str, session: &Session, memory_bytes_max: usize) -> Result<Answer, String> {
    let plan = select(sql, session).map_err(|e| e.to_string())?;
    let guard = Guard::nested(usize::MAX);
    run_planned(&plan, memory_bytes_max, &guard)
}

/// Runs a planned SELECT under a guard.
pub fn run_planned(
    plan: &BoundedPlan,
    memory_bytes_max: usize,
    guard: &Guard,
) -> Result<Answer, String> {
    let bound = plan.bind(&data()).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let work = async {
        let context = session_context(memory_bytes_max)?;
        context.execute_logical_plan(bound).await?.collect().await
    };
    let batches = guard
        .scope(|| runtime.block_on(work))
        .map_err(|e| runtime_message(&e))?;
    for batch in &batches {
        let planned = plan.plan.schema().fields();
        for (field, planned) in batch.schema().fields().iter().zip(planned) {
            assert_eq!(field.data_type(), planned.data_type(), "{field}");
        }
    }
    Ok(Answer {
        names: plan.columns.iter().map(|c| c.name.clone()).collect(),
        types: plan.columns.iter().map(|c| c.type_name.clone()).collect(),
        rows: batches.iter().flat_map(rows).collect(),
    })
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect())
        .collect()
}

/// What the tables hold.
fn data() -> HashMap<String, Arc<dyn TableProvider>> {
    let tables = tables();
    let second = |s: i64| Some(1_772_895_600_000 + s * 1000);
    let orders: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3, 4, 5])),
        Arc::new(arrow::array::StringArray::from(vec![
            Some("north"),
            Some("south"),
            Some("north"),
            None,
            Some("south"),
        ])),
        Arc::new(arrow::array::StringArray::from(vec![
            "pen", "cup", "cup", "pen", "hat",
        ])),
        Arc::new(arrow::array::Int32Array::from(vec![
            Some(1),
            Some(2),
            Some(4),
            Some(3),
            None,
        ])),
        Arc::new(
            arrow::array::Decimal128Array::from(vec![
                Some(150),
                Some(999),
                Some(1250),
                Some(1),
                None,
            ])
            .with_precision_and_scale(10, 2)
            .unwrap(),
        ),
        Arc::new(arrow::array::Float64Array::from(vec![
            1.5, 4.995, 3.125, 0.0, -2.0,
        ])),
        Arc::new(arrow::array::StringArray::from(vec![
            "paid", "failed", "paid", "paid", "failed",
        ])),
        Arc::new(arrow::array::TimestampMillisecondArray::from(vec![
            second(0),
            second(1),
            second(4),
            second(5),
            second(12),
        ])),
    ];
    let payments: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::Int64Array::from(vec![1, 2, 9])),
        Arc::new(arrow::array::StringArray::from(vec![
            "card", "cash", "card",
        ])),
        Arc::new(
            arrow::array::TimestampMillisecondArray::from(vec![second(0), second(2), second(9)])
                .with_timezone("UTC"),
        ),
    ];
    let provider = |name: &str, columns: Vec<ArrayRef>| {
        let schema = tables.table(name).unwrap().schema.clone();
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let table = MemTable::try_new(schema, vec![vec![batch]]).unwrap();
        (name.to_owned(), Arc::new(table) as Arc<dyn TableProvider>)
    };
    HashMap::from([provider("orders", orders), provider("payments", payments)])
}

/// Every expression of a job has the type and nullability that its node's
/// schema says: the engine builds batches with that schema.
pub fn check_types(plan: &JobPlan) {
    let mut node = Some(&plan.root);
    while let Some(current) = node {
        match current {
            PlanNode::Project(project) => {
                let input = project.input.schema();
                assert_eq!(project.expressions.len(), project.schema.fields().len());
                for (expression, field) in project.expressions.iter().zip(project.schema.fields()) {
                    let data_type = expression.data_type(&input).unwrap();
                    assert_eq!(&data_type, field.data_type(), "{expression}");
                    let nullable = expression.nullable(&input).unwrap();
                    assert!(!nullable || field.is_nullable(), "{expression} of {field}");
                }
            }
            PlanNode::Filter(filter) => {
                let data_type = filter.predicate.data_type(&filter.input.schema()).unwrap();
                assert_eq!(data_type, arrow::datatypes::DataType::Boolean);
            }
            PlanNode::WindowAggregate(aggregate) => {
                let input = aggregate.input.schema();
                for (key, field) in aggregate.keys.iter().zip(aggregate.schema.fields()) {
                    assert_eq!(&key.data_type(&input).unwrap(), field.data_type());
                }
                let first = aggregate.keys.len() + 3;
                for (i, a) in aggregate.aggregates.iter().enumerate() {
                    let field = aggregate.schema.field(first + i);
                    assert_eq!(a.function.field().data_type(), field.data_type());
                }
            }
            PlanNode::Source(source) => {
                for (column, field) in source.columns.iter().zip(source.schema.fields()) {
                    let data_type = column.data_type(&source.base_schema).unwrap();
                    assert_eq!(&data_type, field.data_type());
                }
            }
        }
        node = current.input();
    }
}
