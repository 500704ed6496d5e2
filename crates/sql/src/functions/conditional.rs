//! COALESCE and its kin (Flink: System Functions, Conditional Functions).

use super::call::{Call, native, null};
use super::choice;
use super::held::held;
use super::native::{Body, Nulls};
use crate::error::SqlError;
use crate::planner::value::{Family, family};
use crate::planner::{operators, steps};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Case, Expr, TryCast};
use sqlparser::ast::BinaryOperator;

type Result<T> = std::result::Result<T, SqlError>;

pub(crate) fn coalesce(call: &mut Call<'_>) -> Result<Expr> {
    let mut args = call.unified()?;
    let Some(last) = args.pop() else {
        return Err(call.error("COALESCE needs an argument"));
    };
    if args.iter().all(is_cheap) {
        // DataFusion's own runs only after its simplifier has made it this
        // CASE, which a job's expressions do not pass through.
        let whens = args
            .into_iter()
            .map(|arg| (Box::new(arg.clone().is_not_null()), Box::new(arg)));
        let data_type = call.bound(last.clone())?.data_type().clone();
        let otherwise = Box::new(branch(last, &data_type));
        let case = Expr::Case(Case::new(None, whens.collect(), Some(otherwise)));
        return Ok(held(case, &data_type));
    }
    let returns = call.bound(last.clone())?.data_type().clone();
    args.push(last);
    let body = choice::first_value;
    Ok(native("COALESCE", body, returns, Nulls::All, args))
}

/// CASEs one inside the other, from where on they are screened.
const CASE_DEPTH_MAX: usize = 3;

/// A result of a CASE.
pub(crate) fn branch(expr: Expr, data_type: &DataType) -> Expr {
    screened(held(expr, data_type), data_type)
}

/// A part of a CASE. DataFusion walks a CASE several times to know its type
/// and nullability, so those nested in it would be walked so many times to the
/// power of their depth. A TRY_CAST to the type that it has ends these walks
/// (it may be NULL, they say), and is gone when the plan runs.
pub(crate) fn screened(expr: Expr, data_type: &DataType) -> Expr {
    if case_depth(&expr) < CASE_DEPTH_MAX {
        return expr;
    }
    Expr::TryCast(TryCast::new(Box::new(expr), data_type.clone()))
}

fn case_depth(expr: &Expr) -> usize {
    if matches!(expr, Expr::TryCast(_)) {
        return 0;
    }
    let mut below = 0;
    // The closure never fails.
    let _ = expr.apply_children(|child| {
        below = below.max(case_depth(child));
        Ok(TreeNodeRecursion::Continue)
    });
    below + usize::from(matches!(expr, Expr::Case(_)))
}

/// Whether an expression may stand in a plan several times.
pub(crate) fn is_cheap(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Cast(cast) => is_cheap(&cast.expr),
        Expr::TryCast(cast) => is_cheap(&cast.expr),
        _ => false,
    }
}

pub(crate) fn nullif(call: &mut Call<'_>) -> Result<Expr> {
    let (a, b) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let (result, returns) = (a.expr.clone(), a.data_type().clone());
    let empty = null(&returns)?;
    let zone = call.session.time_zone;
    let at = call.position;
    let numbers = family(&returns).is_numeric() && family(b.data_type()).is_numeric();
    if !is_cheap(&a.expr) && (numbers || &returns == b.data_type()) {
        let (_, b) = operators::comparable(a, b, at, zone)?;
        let body = choice::unless_equal;
        return Ok(native("NULLIF", body, returns, Nulls::Own, vec![result, b]));
    }
    steps::nodes(steps::nodes_of(&result), at)?;
    let equal = operators::binary(a, &BinaryOperator::Eq, b, at, zone)?;
    Ok(held(case(equal, empty, result), &returns))
}

pub(crate) fn if_(call: &mut Call<'_>) -> Result<Expr> {
    let condition = call.arg(0)?.clone();
    let condition = match condition.data_type() {
        DataType::Boolean => condition.expr,
        DataType::Null => Expr::Literal(ScalarValue::Boolean(None), None),
        _ => return Err(call.wrong(0, "BOOLEAN")),
    };
    call.args.remove(0);
    let condition = screened(condition, &DataType::Boolean);
    let mut results = call.unified()?.into_iter();
    match (results.next(), results.next()) {
        (Some(then), Some(otherwise)) => {
            let data_type = call.bound(then.clone())?.data_type().clone();
            let [then, otherwise] = [then, otherwise].map(|e| branch(e, &data_type));
            Ok(held(case(condition, then, otherwise), &data_type))
        }
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
    extreme(call, "GREATEST", choice::largest)
}

pub(crate) fn least(call: &mut Call<'_>) -> Result<Expr> {
    extreme(call, "LEAST", choice::smallest)
}

/// NULL if any argument is NULL, unlike DataFusion's.
fn extreme(call: &mut Call<'_>, name: &'static str, body: Body) -> Result<Expr> {
    let args = call.unified()?;
    let Some(first) = args.first() else {
        return Err(call.error(format!("{name} needs an argument")));
    };
    let first = call.bound(first.clone())?;
    if matches!(family(first.data_type()), Family::Nested | Family::Interval) {
        return Err(call.error(format!("{name} of {} is not supported", first.type_name())));
    }
    let returns = first.data_type().clone();
    Ok(native(name, body, returns, Nulls::Strict, args))
}

/// `value BETWEEN low AND high`, of one type.
pub(crate) fn between(args: Vec<Expr>) -> Expr {
    let body = choice::between;
    native("BETWEEN", body, DataType::Boolean, Nulls::Some, args)
}
