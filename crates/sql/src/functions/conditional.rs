//! COALESCE and its kin (Flink: System Functions, Conditional Functions).

use super::call::{Call, null};
use crate::error::SqlError;
use crate::planner::operators;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Case, Expr};
use sqlparser::ast::BinaryOperator;

type Result<T> = std::result::Result<T, SqlError>;

pub(crate) fn coalesce(call: &mut Call<'_>) -> Result<Expr> {
    // DataFusion's own runs only after its simplifier has made it a CASE,
    // which a job's expressions do not pass through.
    let mut args = call.unified()?;
    let Some(last) = args.pop() else {
        return Err(call.error("COALESCE needs an argument"));
    };
    Ok(args.into_iter().rev().fold(last, |otherwise, arg| {
        case(arg.clone().is_not_null(), arg, otherwise)
    }))
}

pub(crate) fn nullif(call: &mut Call<'_>) -> Result<Expr> {
    let (a, b) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let result = a.expr.clone();
    let empty = null(a.data_type())?;
    let zone = call.session.time_zone;
    let equal = operators::binary(a, &BinaryOperator::Eq, b, call.position, zone)?;
    Ok(case(equal, empty, result))
}

pub(crate) fn if_(call: &mut Call<'_>) -> Result<Expr> {
    let condition = call.arg(0)?.clone();
    let condition = match condition.data_type() {
        DataType::Boolean => condition.expr,
        DataType::Null => Expr::Literal(ScalarValue::Boolean(None), None),
        _ => return Err(call.wrong(0, "BOOLEAN")),
    };
    call.args.remove(0);
    let mut results = call.unified()?.into_iter();
    match (results.next(), results.next()) {
        (Some(then), Some(otherwise)) => Ok(case(condition, then, otherwise)),
        _ => Err(call.error("IF needs three arguments")),
    }
}

fn case(when: Expr, then: Expr, otherwise: Expr) -> Expr {
    Expr::Case(Case::new(
        None,
        vec![(Box::new(when), Box::new(then))],
        Some(Box::new(otherwise)),
    ))
}

pub(crate) fn greatest(call: &mut Call<'_>) -> Result<Expr> {
    extreme(call, BinaryOperator::GtEq)
}

pub(crate) fn least(call: &mut Call<'_>) -> Result<Expr> {
    extreme(call, BinaryOperator::LtEq)
}

/// NULL if any argument is NULL, unlike DataFusion's.
fn extreme(call: &mut Call<'_>, better: BinaryOperator) -> Result<Expr> {
    let mut args = call.unified()?.into_iter();
    let Some(mut best) = args.next() else {
        return Err(call.error(format!("{} needs an argument", call.name)));
    };
    let zone = call.session.time_zone;
    for next in args {
        let (a, b) = (call.bound(best.clone())?, call.bound(next.clone())?);
        let missing = null(a.data_type())?;
        let wins = operators::binary(a, &better, b, call.position, zone)?;
        let either = Case::new(
            None,
            vec![
                (Box::new(wins.clone().is_null()), Box::new(missing)),
                (Box::new(wins), Box::new(best)),
            ],
            Some(Box::new(next)),
        );
        best = Expr::Case(either);
    }
    Ok(best)
}
