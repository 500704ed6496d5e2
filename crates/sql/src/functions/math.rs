//! Numbers (Flink: System Functions, Arithmetic Functions).

use super::call::{Call, native};
use super::native::{Args, Body, Native, Nulls, Params};
use super::{number, temporal};
use crate::error::SqlError;
use crate::planner::coerce;
use crate::planner::operators;
use crate::planner::value::Family;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::Expr;
use sqlparser::ast::BinaryOperator;
use std::sync::Arc;

type Result<T> = std::result::Result<T, SqlError>;

fn of_double(call: &Call<'_>, name: &'static str, body: Body) -> Result<Expr> {
    let args = (0..call.args.len()).map(|at| call.double(at));
    let args = args.collect::<Result<Vec<_>>>()?;
    Ok(native(name, body, DataType::Float64, Nulls::Strict, args))
}

macro_rules! double_function {
    ($name:ident, $sql:literal, $compute:expr) => {
        pub(crate) fn $name(call: &mut Call<'_>) -> Result<Expr> {
            of_double(call, $sql, |args| {
                let x = args.double(0)?;
                let compute: fn(f64) -> f64 = $compute;
                args.doubles(|row| Ok(Some(compute(x.value(row)))))
            })
        }
    };
}

double_function!(sqrt, "SQRT", f64::sqrt);
double_function!(exp, "EXP", f64::exp);
double_function!(ln, "LN", f64::ln);
double_function!(log10, "LOG10", f64::log10);
double_function!(log2, "LOG2", f64::log2);

pub(crate) fn power(call: &mut Call<'_>) -> Result<Expr> {
    of_double(call, "POWER", |args| {
        let (x, y) = (args.double(0)?, args.double(1)?);
        args.doubles(|row| Ok(Some(x.value(row).powf(y.value(row)))))
    })
}

pub(crate) fn pi(_call: &mut Call<'_>) -> Result<Expr> {
    Ok(Expr::Literal(
        ScalarValue::Float64(Some(std::f64::consts::PI)),
        None,
    ))
}

/// The argument must be a number; NULL becomes INT.
fn numeric(call: &mut Call<'_>) -> Result<DataType> {
    match call.family(0)? {
        Family::Null => {
            let null = Expr::Literal(ScalarValue::Int32(None), None);
            let value = call.bound(null)?;
            if let Some(first) = call.args.first_mut() {
                *first = value;
            }
            Ok(DataType::Int32)
        }
        family if family.is_numeric() => Ok(call.arg(0)?.data_type().clone()),
        _ => Err(call.wrong(0, "a number")),
    }
}

pub(crate) fn abs(call: &mut Call<'_>) -> Result<Expr> {
    let data_type = numeric(call)?;
    let body =
        |args: &Args<'_>| each_number(args, i64::wrapping_abs, f64::abs, |v, _| v.wrapping_abs());
    Ok(native(
        "ABS",
        body,
        data_type,
        Nulls::Strict,
        vec![call.arg(0)?.expr.clone()],
    ))
}

pub(crate) fn sign(call: &mut Call<'_>) -> Result<Expr> {
    let data_type = numeric(call)?;
    let body = |args: &Args<'_>| {
        let of_double = |v: f64| {
            if v == 0.0 || v.is_nan() {
                v
            } else {
                v.signum()
            }
        };
        each_number(args, i64::signum, of_double, |v, scale| {
            v.signum() * ten_to(scale)
        })
    };
    Ok(native(
        "SIGN",
        body,
        data_type,
        Nulls::Strict,
        vec![call.arg(0)?.expr.clone()],
    ))
}

pub(crate) fn ceil(call: &mut Call<'_>) -> Result<Expr> {
    if call.args.len() > 1 || !numeric_first(call)? {
        return temporal::round_to_unit(call, true);
    }
    rounded(call, "CEIL", |args| {
        each_number(
            args,
            |v| v,
            f64::ceil,
            |v, scale| {
                let one = ten_to(scale);
                v.div_euclid(one) + i128::from(v.rem_euclid(one) != 0)
            },
        )
    })
}

pub(crate) fn floor(call: &mut Call<'_>) -> Result<Expr> {
    if call.args.len() > 1 || !numeric_first(call)? {
        return temporal::round_to_unit(call, false);
    }
    rounded(call, "FLOOR", |args| {
        each_number(
            args,
            |v| v,
            f64::floor,
            |v, scale| v.div_euclid(ten_to(scale)),
        )
    })
}

fn numeric_first(call: &Call<'_>) -> Result<bool> {
    let family = call.family(0)?;
    Ok(family.is_numeric() || family == Family::Null)
}

/// DECIMAL(p, s) becomes DECIMAL(p, 0).
fn rounded(call: &mut Call<'_>, name: &'static str, body: Body) -> Result<Expr> {
    let data_type = match numeric(call)? {
        DataType::Decimal128(precision, _) => DataType::Decimal128(precision, 0),
        other => other,
    };
    Ok(native(
        name,
        body,
        data_type,
        Nulls::Strict,
        vec![call.arg(0)?.expr.clone()],
    ))
}

pub(crate) fn round(call: &mut Call<'_>) -> Result<Expr> {
    to_digits(call, "ROUND", |args| {
        let array = args.array(0)?.clone();
        shifted(args, &array, digits(args), true)
    })
}

pub(crate) fn truncate(call: &mut Call<'_>) -> Result<Expr> {
    to_digits(call, "TRUNCATE", |args| {
        let array = args.array(0)?.clone();
        shifted(args, &array, digits(args), false)
    })
}

fn digits(args: &Args<'_>) -> i64 {
    args.params().numbers.first().copied().unwrap_or(0)
}

fn to_digits(call: &mut Call<'_>, name: &'static str, body: Body) -> Result<Expr> {
    let data_type = numeric(call)?;
    let digits = if call.args.len() > 1 {
        let digits = call
            .arg(1)?
            .literal_integer()
            .filter(|d| (-38..=38).contains(d));
        digits.ok_or_else(|| call.wrong(1, "a literal from -38 to 38"))?
    } else {
        0
    };
    let returns = match data_type {
        // Flink: LogicalTypeMerging.findRoundDecimalType.
        DataType::Decimal128(p, s) if digits < i64::from(s) => {
            let kept = digits.max(0) as i32;
            coerce::decimal(1 + i32::from(p) - i32::from(s) + kept, kept)
        }
        other => other,
    };
    let params = Params {
        numbers: vec![digits],
        ..Params::default()
    };
    let args = vec![call.arg(0)?.expr.clone()];
    Ok(Native::call(
        name,
        body,
        returns,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

/// Rounds (half away from zero) or cuts to digits after the point.
fn shifted(args: &Args<'_>, array: &ArrayRef, digits: i64, round: bool) -> DfResult<ArrayRef> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let values = args.decimal(0)?;
            let scale = i64::from(*scale);
            let to = match args.returns() {
                DataType::Decimal128(_, s) => i64::from(*s),
                _ => 0,
            };
            args.decimals(|row| {
                let cut = cut_digits(values.value(row), scale - digits, round);
                // `cut` keeps the old scale; the result's may be smaller.
                Ok(Some(cut / ten_to(i32::try_from(scale - to).unwrap_or(0))))
            })
        }
        DataType::Float32 | DataType::Float64 => {
            let wide = arrow::compute::cast(array, &DataType::Float64)?;
            let wide = wide.as_primitive::<Float64Type>();
            let rounded = wide.unary::<_, Float64Type>(|v| double_to_digits(v, digits, round));
            Ok(arrow::compute::cast(&rounded, args.returns())?)
        }
        _ => {
            let wide = arrow::compute::cast(array, &DataType::Int64)?;
            let wide = wide.as_primitive::<Int64Type>();
            let rounded = wide.unary::<_, Int64Type>(|v| {
                i64::try_from(cut_digits(i128::from(v), -digits, round)).unwrap_or(v)
            });
            Ok(arrow::compute::cast(&rounded, args.returns())?)
        }
    }
}

/// Without the last `cut` digits, at the same scale.
fn cut_digits(value: i128, cut: i64, round: bool) -> i128 {
    if cut <= 0 {
        return value;
    }
    let Some(unit) = u32::try_from(cut).ok().and_then(|c| 10_i128.checked_pow(c)) else {
        return 0;
    };
    let rest = value % unit;
    let cut = value - rest;
    if round && rest.abs() >= unit - rest.abs() {
        cut.saturating_add(unit * value.signum())
    } else {
        cut
    }
}

/// Through the shortest decimal text, as `BigDecimal.valueOf(double)`.
fn double_to_digits(value: f64, digits: i64, round: bool) -> f64 {
    const SCALE: i8 = 18;
    // Beyond these the doubles have no digits to round, or DECIMAL none left.
    if !value.is_finite() || value.abs() >= 1e18 || digits >= i64::from(SCALE) {
        return value;
    }
    match number::parse_decimal(&number::java_double(value), 38, SCALE) {
        Ok(Some(unscaled)) => {
            let cut = cut_digits(unscaled, i64::from(SCALE) - digits, round);
            number::decimal_plain(cut, SCALE).parse().unwrap_or(value)
        }
        _ => value,
    }
}

pub(crate) fn modulo(call: &mut Call<'_>) -> Result<Expr> {
    let (a, b) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let returns = b.data_type().clone();
    let integers = call.family(0)? == Family::Integer && call.family(1)? == Family::Integer;
    let zone = call.session.time_zone;
    let rest = operators::binary(a, &BinaryOperator::Modulo, b, call.position, zone)?;
    if !integers {
        return Ok(rest);
    }
    // Calcite: MOD has the type of its second argument.
    let rest = call.bound(rest)?;
    call.convert(rest, &returns)
}

fn ten_to(n: i32) -> i128 {
    10_i128.pow(u32::try_from(n).unwrap_or(0).min(38))
}

/// Maps a number of any type to the result's type.
fn each_number(
    args: &Args<'_>,
    integer: fn(i64) -> i64,
    double: fn(f64) -> f64,
    decimal: fn(i128, i32) -> i128,
) -> DfResult<ArrayRef> {
    let array = args.array(0)?;
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let scale = i32::from(*scale);
            let values = args.decimal(0)?;
            args.decimals(|row| Ok(Some(decimal(values.value(row), scale))))
        }
        DataType::Float32 | DataType::Float64 => {
            let wide = arrow::compute::cast(array, &DataType::Float64)?;
            let mapped = wide
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(double);
            Ok(arrow::compute::cast(&mapped, args.returns())?)
        }
        _ => {
            let wide = arrow::compute::cast(array, &DataType::Int64)?;
            let mapped = wide
                .as_primitive::<Int64Type>()
                .unary::<_, Int64Type>(integer);
            // The absolute value of the smallest number is itself, as in Java.
            Ok(match args.returns() {
                DataType::Int8 => Arc::new(mapped.unary::<_, Int8Type>(|v| v as i8)),
                DataType::Int16 => Arc::new(mapped.unary::<_, Int16Type>(|v| v as i16)),
                DataType::Int32 => Arc::new(mapped.unary::<_, Int32Type>(|v| v as i32)),
                other => arrow::compute::cast(&mapped, other)?,
            })
        }
    }
}
