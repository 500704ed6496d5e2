//! COUNT, SUM, AVG, MIN, MAX with Flink's result types (Flink:
//! `LogicalTypeMerging.findSumAggType`, `findAvgAggType`): SUM and AVG of an
//! INT are INT. AVG is a sum over a count, so that windows keep plain sums.

use super::call::native;
use super::held::held;
use super::native::{Args, Nulls};
use super::{FUNCTIONS, decimal, find};
use crate::error::{Position, SqlError};
use crate::planner::expr::convert;
use crate::planner::scope::internal;
use crate::planner::value::{Bound, Family, family};
use crate::session::Session;
use crate::types::SqlType;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr};
use std::sync::Arc;

/// The expression of an aggregate call, over the input's columns.
pub(crate) fn bind(
    name: &str,
    mut args: Vec<Bound>,
    distinct: bool,
    filter: Option<Expr>,
    session: &Session,
    schema: &DFSchema,
    at: Position,
) -> std::result::Result<Expr, SqlError> {
    let Some(function) = find(name) else {
        return Err(SqlError::at(at, format!("there is no aggregate {name}")));
    };
    let name = function.info.name;
    if args.len() > 1 || (args.is_empty() && name != "COUNT") {
        return Err(
            SqlError::at(at, format!("{name} does not take {} arguments", args.len()))
                .hint(format!("it is used as {}", function.info.usage)),
        );
    }
    if distinct && matches!(name, "SUM" | "AVG") {
        return Err(
            SqlError::at(at, format!("{name}(DISTINCT ...) is not supported"))
                .hint("COUNT(DISTINCT x) is"),
        );
    }
    let filter = filter.map(Box::new);
    let call = |udf: Arc<AggregateUDF>, arg: Expr, distinct: bool| {
        Expr::AggregateFunction(AggregateFunction::new_udf(
            udf,
            vec![arg],
            distinct,
            filter.clone(),
            Vec::new(),
            None,
        ))
    };
    let Some(arg) = args.pop() else {
        if distinct {
            return Err(
                SqlError::at(at, "COUNT(DISTINCT *) is not supported").hint("name a column")
            );
        }
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        return Ok(call(count_udaf(), one, false));
    };
    if arg.is_null() || family(arg.data_type()) == Family::Nested {
        return Err(SqlError::at(
            at,
            format!("{name} of {} is not supported", arg.type_name()),
        ));
    }
    match name {
        "COUNT" => Ok(call(count_udaf(), counted(arg), distinct)),
        // DISTINCT changes neither.
        "MIN" => Ok(call(min_udaf(), counted(arg), false)),
        "MAX" => Ok(call(max_udaf(), counted(arg), false)),
        _ if !family(arg.data_type()).is_numeric() => Err(SqlError::at(
            at,
            format!("{name} needs a number, this is {}", arg.type_name()),
        )
        .hint("CAST it")),
        _ => {
            let result = SqlType::of(arg.data_type().clone());
            let wide = wide(arg.data_type());
            let value = convert(arg, &wide, session, at)?;
            let sum = call(sum_udaf(), value.clone(), false);
            if name == "AVG" {
                let count = call(count_udaf(), value, false);
                return average(sum, count, &wide, &result, session, schema, at);
            }
            narrowed(sum, &wide, &result, session, schema, at)
        }
    }
}

fn counted(arg: Bound) -> Expr {
    held(arg.expr, arg.field.data_type())
}

/// What a sum is kept in.
fn wide(data_type: &DataType) -> DataType {
    match family(data_type) {
        Family::Integer => DataType::Int64,
        Family::Approximate => DataType::Float64,
        _ => match data_type {
            DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
            other => other.clone(),
        },
    }
}

fn narrowed(
    expr: Expr,
    wide: &DataType,
    result: &SqlType,
    session: &Session,
    schema: &DFSchema,
    at: Position,
) -> std::result::Result<Expr, SqlError> {
    if matches!(wide, DataType::Decimal128(..)) {
        return Ok(expr);
    }
    let value = Bound::new(expr, schema).map_err(internal(at))?;
    convert(value, &result.data_type, session, at)
}

fn average(
    sum: Expr,
    count: Expr,
    wide: &DataType,
    result: &SqlType,
    session: &Session,
    schema: &DFSchema,
    at: Position,
) -> std::result::Result<Expr, SqlError> {
    let args = vec![sum.clone(), count.clone()];
    let average = match wide {
        DataType::Decimal128(_, scale) => {
            return Ok(decimal::average(sum, count, i32::from(*scale)));
        }
        DataType::Int64 => native(
            "AVG_BIGINT",
            integers,
            DataType::Int64,
            Nulls::StrictAndMore,
            args,
        ),
        _ => native(
            "AVG_DOUBLE",
            doubles,
            DataType::Float64,
            Nulls::StrictAndMore,
            args,
        ),
    };
    narrowed(average, wide, result, session, schema, at)
}

/// Java's integer division.
fn integers(args: &Args<'_>) -> Result<ArrayRef> {
    let (sum, count) = (args.bigint(0)?, args.bigint(1)?);
    args.bigints(|row| Ok(sum.value(row).checked_div(count.value(row))))
}

fn doubles(args: &Args<'_>) -> Result<ArrayRef> {
    let (sum, count) = (args.double(0)?, args.bigint(1)?);
    args.doubles(|row| {
        let count = count.value(row);
        Ok((count != 0).then(|| sum.value(row) / count as f64))
    })
}

/// Names of all aggregates, for messages.
pub(crate) fn names() -> String {
    let aggregates = FUNCTIONS
        .iter()
        .filter(|f| matches!(f.kind, super::Kind::Aggregate));
    let names: Vec<_> = aggregates.map(|f| f.info.name).collect();
    names.join(", ")
}
