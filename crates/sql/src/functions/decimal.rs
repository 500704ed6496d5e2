//! DECIMAL arithmetic with Flink's precision and scale (Flink:
//! `LogicalTypeMerging.findDivisionDecimalType` and its kin). Exact, rounded
//! half up; a result that does not fit is NULL.

use super::call::native;
use super::integer;
use super::native::{Args, Native, Nulls, Params};
use crate::planner::coerce;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, i256};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Cast, Expr, Operator};

/// (precision, scale).
type Shape = (i32, i32);

/// The call for `left op right`, both exact numbers.
pub(crate) fn arithmetic(op: Operator, left: (Expr, Shape), right: (Expr, Shape)) -> Expr {
    let ((l, (p1, s1)), (r, (p2, s2))) = (left, right);
    let result = match op {
        Operator::Multiply => coerce::decimal(p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            coerce::decimal(p1 - s1 + s2 + scale, scale)
        }
        Operator::Modulo => {
            let scale = s1.max(s2);
            coerce::decimal((p1 - s1).min(p2 - s2) + scale, scale)
        }
        _ => {
            let scale = s1.max(s2);
            coerce::decimal((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
    };
    let (name, body): (_, super::native::Body) = match op {
        Operator::Multiply => ("DECIMAL_MULTIPLY", multiply),
        Operator::Divide => ("DECIMAL_DIVIDE", divide),
        Operator::Modulo => ("DECIMAL_MOD", modulo),
        Operator::Minus => ("DECIMAL_MINUS", subtract),
        _ => ("DECIMAL_PLUS", add),
    };
    let args = vec![exact(l, p1, s1), exact(r, p2, s2)];
    Native::call(
        name,
        body,
        result,
        Nulls::StrictAndMore,
        Params::default(),
        args,
    )
}

fn exact(expr: Expr, precision: i32, scale: i32) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), coerce::decimal(precision, scale)))
}

/// An unscaled number of 256 bits and its scale.
type Wide = (i256, i32);

fn each(args: &Args<'_>, compute: fn(Wide, Wide, i32) -> Result<Option<i256>>) -> Result<ArrayRef> {
    let (left, right) = (args.decimal(0)?, args.decimal(1)?);
    let DataType::Decimal128(precision, scale) = args.returns() else {
        return exec_err!("{} is no DECIMAL", args.returns());
    };
    let (precision, scale) = (*precision, i32::from(*scale));
    let (s1, s2) = (i32::from(left.scale()), i32::from(right.scale()));
    let limit = 10_i128.pow(u32::from(precision));
    args.decimals(|row| {
        let a = (i256::from_i128(left.value(row)), s1);
        let b = (i256::from_i128(right.value(row)), s2);
        let value = compute(a, b, scale)?.and_then(i256::to_i128);
        Ok(value.filter(|v| *v > -limit && *v < limit))
    })
}

fn add(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, |(a, s1), (b, s2), scale| {
        let common = s1.max(s2);
        let sum = scaled(a, s1, common).wrapping_add(scaled(b, s2, common));
        Ok(Some(scaled(sum, common, scale)))
    })
}

fn subtract(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, |(a, s1), (b, s2), scale| {
        let common = s1.max(s2);
        let difference = scaled(a, s1, common).wrapping_sub(scaled(b, s2, common));
        Ok(Some(scaled(difference, common, scale)))
    })
}

fn multiply(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, |(a, s1), (b, s2), scale| {
        Ok(Some(scaled(a.wrapping_mul(b), s1 + s2, scale)))
    })
}

fn divide(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, |(a, s1), (b, s2), scale| {
        if b == i256::ZERO {
            return Err(integer::by_zero());
        }
        // One digit more than wanted decides the rounding; what is cut off
        // below it cannot turn a 4 into a 5.
        let shift = scale + 1 + s2 - s1;
        let quotient = if shift >= 0 {
            a.checked_mul(power(shift)).map(|a| a.wrapping_div(b))
        } else {
            Some(a.wrapping_div(b).wrapping_div(power(-shift)))
        };
        Ok(quotient.map(|q| scaled(q, scale + 1, scale)))
    })
}

fn modulo(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, |(a, s1), (b, s2), scale| {
        if b == i256::ZERO {
            return Err(integer::by_zero());
        }
        let common = s1.max(s2);
        let rest = scaled(a, s1, common).wrapping_rem(scaled(b, s2, common));
        Ok(Some(scaled(rest, common, scale)))
    })
}

/// 10^n; n is at most 77 and in practice below.
fn power(n: i32) -> i256 {
    let n = u32::try_from(n).unwrap_or(0).min(76);
    i256::from_i128(10).wrapping_pow(n)
}

/// From one scale to another, rounded half up (away from zero).
fn scaled(value: i256, from: i32, to: i32) -> i256 {
    if to >= from {
        return value.wrapping_mul(power(to - from));
    }
    let divisor = power(from - to);
    let half = divisor.wrapping_div(i256::from_i128(2));
    let rounded = if value < i256::ZERO {
        value.wrapping_sub(half)
    } else {
        value.wrapping_add(half)
    };
    rounded.wrapping_div(divisor)
}

/// `sum / count` of a DECIMAL average.
pub(crate) fn average(sum: Expr, count: Expr, scale: i32) -> Expr {
    let result = DataType::Decimal128(38, scale.max(6) as i8);
    let count = exact(count, 19, 0);
    native(
        "DECIMAL_AVG",
        average_of,
        result,
        Nulls::StrictAndMore,
        vec![sum, count],
    )
}

fn average_of(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, |(a, s1), (b, _), scale| {
        if b == i256::ZERO {
            return Ok(None);
        }
        let Some(shifted) = a.checked_mul(power(scale + 1 - s1)) else {
            return Ok(None);
        };
        Ok(Some(scaled(shifted.wrapping_div(b), scale + 1, scale)))
    })
}
