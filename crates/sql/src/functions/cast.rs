//! CAST and TRY_CAST (Flink: Data Types, CAST). A value that cannot be cast
//! fails the query with CAST and is NULL with TRY_CAST; a DECIMAL that does
//! not fit is NULL with both, as in Flink.

use super::datetime::{self, units_a_second};
use super::native::{Args, Native, Nulls, Params};
use super::{number, shortened};
use crate::planner::value::{Bound, Family, family};
use crate::types::{self, SqlType, type_name};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, Time32MillisecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit,
};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Cast, Expr, TryCast};
use std::sync::Arc;

/// What happens to a value that cannot be cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The query fails.
    Fail,
    /// NULL.
    Null,
}

/// The expression of a cast, or `None` where Flink has none.
pub(crate) fn cast(value: Bound, to: &SqlType, on_error: OnError, zone: Tz) -> Option<Expr> {
    let same_name = value.type_name() == to.name;
    let from = value.data_type().clone();
    let target = &to.data_type;
    if from == DataType::Null {
        return ScalarValue::try_from(target)
            .ok()
            .map(|null| Expr::Literal(null, None));
    }
    if &from == target && (same_name || family(&from) != Family::Text && !is_cut(to)) {
        return Some(value.expr);
    }
    let params = |text: &str| Params {
        zone,
        text: text.to_owned(),
        numbers: vec![i64::from(on_error == OnError::Fail)],
        clock: None,
    };
    let native = |name, body, returns: &DataType, expr, params| {
        let nulls = if on_error == OnError::Fail {
            Nulls::Strict
        } else {
            Nulls::StrictAndMore
        };
        Native::call(name, body, returns.clone(), nulls, params, vec![expr])
    };
    let arrow = |expr, to: &DataType| Expr::Cast(Cast::new(Box::new(expr), to.clone()));
    let expr = value.expr.clone();
    let cast = match (family(&from), family(target)) {
        (Family::Text, Family::Text) => expr,
        (Family::Nested, _)
        | (_, Family::Nested)
        | (Family::Interval, _)
        | (_, Family::Interval) => {
            return None;
        }
        (_, Family::Text) => native(
            "CAST_TO_STRING",
            to_text,
            target,
            expr,
            params(&value.type_name()),
        ),
        (Family::Text, Family::Bytes) | (Family::Bytes, Family::Bytes) => arrow(expr, target),
        (Family::Text, _) => native(
            "CAST_FROM_STRING",
            from_text,
            target,
            expr,
            params(&to.name),
        ),
        (Family::Integer | Family::Approximate, Family::Integer) => {
            native("CAST_NUMBER", narrow, target, expr, params(""))
        }
        (Family::Integer | Family::Decimal | Family::Approximate, Family::Decimal) => {
            Expr::TryCast(TryCast::new(Box::new(expr), target.clone()))
        }
        (
            Family::Integer | Family::Decimal | Family::Approximate,
            Family::Integer | Family::Approximate,
        ) => arrow(expr, target),
        (Family::Boolean, Family::Integer | Family::Approximate) => arrow(expr, target),
        (Family::Boolean, Family::Decimal) => Expr::TryCast(TryCast::new(
            Box::new(arrow(expr, &DataType::Int32)),
            target.clone(),
        )),
        (Family::Integer, Family::Boolean) => arrow(expr, target),
        (Family::Date, Family::Timestamp)
        | (Family::Timestamp, Family::Date | Family::Time | Family::Timestamp)
        | (Family::TimestampLtz, Family::TimestampLtz) => arrow(expr, target),
        (Family::Date, Family::TimestampLtz) => {
            let local = arrow(expr, &types::timestamp(3));
            let instant = native(
                "TO_INSTANT",
                to_instant,
                &types::timestamp_ltz(3),
                local,
                params(""),
            );
            arrow(instant, target)
        }
        (Family::Timestamp, Family::TimestampLtz) => {
            let DataType::Timestamp(unit, _) = &from else {
                return None;
            };
            let ltz = DataType::Timestamp(*unit, Some(Arc::from(types::LTZ_ZONE)));
            arrow(
                native("TO_INSTANT", to_instant, &ltz, expr, params("")),
                target,
            )
        }
        (Family::TimestampLtz, Family::Date | Family::Time | Family::Timestamp) => {
            arrow(to_local(expr, &from, zone)?, target)
        }
        _ => return None,
    };
    Some(cut(cast, to, zone))
}

/// An instant as the local time of the session's zone.
pub(crate) fn to_local(expr: Expr, from: &DataType, zone: Tz) -> Option<Expr> {
    let DataType::Timestamp(unit, Some(_)) = from else {
        return None;
    };
    let params = Params {
        zone,
        ..Params::default()
    };
    let local = DataType::Timestamp(*unit, None);
    Some(Native::call(
        "TO_LOCAL",
        local_time,
        local,
        Nulls::Strict,
        params,
        vec![expr],
    ))
}

fn is_cut(to: &SqlType) -> bool {
    let (name, length) = length_of(&to.name);
    match name {
        "VARCHAR" | "CHAR" => true,
        "TIMESTAMP" | "TIMESTAMP_LTZ" => !matches!(length, Some(3 | 6 | 9)),
        _ => false,
    }
}

/// `VARCHAR(3)` cuts, `CHAR(3)` pads too, `TIMESTAMP(0)` drops the fraction.
fn cut(expr: Expr, to: &SqlType, zone: Tz) -> Expr {
    let (name, Some(length)) = length_of(&to.name) else {
        return expr;
    };
    let mut params = Params {
        zone,
        text: String::new(),
        numbers: vec![length],
        clock: None,
    };
    match name {
        "VARCHAR" | "CHAR" => {
            params.text = name.to_owned();
            Native::call(
                "CAST_LENGTH",
                fit,
                DataType::Utf8,
                Nulls::Strict,
                params,
                vec![expr],
            )
        }
        "TIMESTAMP" | "TIMESTAMP_LTZ" if is_cut(to) => Native::call(
            "CAST_PRECISION",
            drop_digits,
            to.data_type.clone(),
            Nulls::Strict,
            params,
            vec![expr],
        ),
        _ => expr,
    }
}

/// `VARCHAR(3)` to `("VARCHAR", Some(3))`.
fn length_of(name: &str) -> (&str, Option<i64>) {
    match name.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end_matches(')').parse().ok()),
        None => (name, None),
    }
}

fn fit(args: &Args<'_>) -> Result<ArrayRef> {
    let length = args.params().numbers.first().copied().unwrap_or(1);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let pad = args.params().text == "CHAR";
    let text = args.text(0)?;
    args.texts(|row| {
        let mut out: String = text.value(row).chars().take(length).collect();
        if pad {
            let missing = length.saturating_sub(out.chars().count());
            args.fits(out.len().saturating_add(missing))?;
            out.extend(std::iter::repeat_n(' ', missing));
        }
        Ok(Some(out))
    })
}

fn drop_digits(args: &Args<'_>) -> Result<ArrayRef> {
    let digits = args.params().numbers.first().copied().unwrap_or(0);
    let DataType::Timestamp(unit, _) = args.returns() else {
        return exec_err!("CAST to {} has no precision", args.returns());
    };
    let digits = u32::try_from(digits).unwrap_or(0).min(9);
    let step = (units_a_second(*unit) / 10_i64.pow(digits)).max(1);
    let values = args.instant_values(0)?;
    args.instants(|row| {
        let value = values.value(row);
        Ok(Some(value - value.rem_euclid(step)))
    })
}

fn to_instant(args: &Args<'_>) -> Result<ArrayRef> {
    let (zone, unit) = (args.params().zone, timestamp_unit(args.returns())?);
    let values = args.instant_values(0)?;
    args.instants(|row| Ok(datetime::instant_of_local(values.value(row), unit, zone)))
}

fn local_time(args: &Args<'_>) -> Result<ArrayRef> {
    let (zone, unit) = (args.params().zone, timestamp_unit(args.returns())?);
    let values = args.instant_values(0)?;
    args.instants(|row| Ok(datetime::local_of_instant(values.value(row), unit, zone)))
}

fn timestamp_unit(data_type: &DataType) -> Result<TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, _) => Ok(*unit),
        other => exec_err!("{other} is no timestamp"),
    }
}

/// Java's narrowing: integers wrap, floating point saturates and NaN is 0.
fn narrow(args: &Args<'_>) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let wide: Int64Array = if array.data_type().is_integer() {
        let array = arrow::compute::cast(array, &DataType::Int64)?;
        array.as_primitive::<Int64Type>().clone()
    } else {
        let array = arrow::compute::cast(array, &DataType::Float64)?;
        let doubles = array.as_primitive::<Float64Type>();
        // From DOUBLE to TINYINT and SMALLINT Java goes through int.
        match args.returns() {
            DataType::Int64 => doubles.unary(|v| v as i64),
            _ => doubles.unary(|v| i64::from(v as i32)),
        }
    };
    Ok(match args.returns() {
        DataType::Int8 => Arc::new(wide.unary::<_, arrow::datatypes::Int8Type>(|v| v as i8)),
        DataType::Int16 => Arc::new(wide.unary::<_, arrow::datatypes::Int16Type>(|v| v as i16)),
        DataType::Int32 => Arc::new(wide.unary::<_, arrow::datatypes::Int32Type>(|v| v as i32)),
        _ => Arc::new(wide),
    })
}

fn from_text(args: &Args<'_>) -> Result<ArrayRef> {
    let fail = args.params().numbers.first() == Some(&1);
    let text = args.text(0)?;
    let zone = args.params().zone;
    // One parse a row; a miss is an error or NULL.
    macro_rules! each {
        ($parse:expr) => {
            args.build(|row| {
                let value = text.value(row).trim();
                match $parse(value) {
                    None if fail => exec_err!(
                        "cannot cast '{}' to {}: use TRY_CAST to get NULL instead",
                        shortened(value),
                        args.params().text
                    ),
                    parsed => Ok(parsed),
                }
            })?
        };
    }
    Ok(match args.returns() {
        DataType::Boolean => Arc::new(BooleanArray::from(each!(boolean))),
        DataType::Int8 => Arc::new(Int8Array::from(each!(integer::<i8>))),
        DataType::Int16 => Arc::new(Int16Array::from(each!(integer::<i16>))),
        DataType::Int32 => Arc::new(Int32Array::from(each!(integer::<i32>))),
        DataType::Int64 => Arc::new(Int64Array::from(each!(integer::<i64>))),
        DataType::Float32 => {
            let parsed = each!(|t| number::parse_double(t).map(|v| v as f32));
            Arc::new(Float32Array::from(parsed))
        }
        DataType::Float64 => Arc::new(Float64Array::from(each!(number::parse_double))),
        DataType::Decimal128(precision, scale) => {
            // Not a number fails; a number that does not fit is NULL.
            let parsed = each!(|t| number::parse_decimal(t, *precision, *scale).ok());
            let parsed: Vec<Option<i128>> = parsed.into_iter().map(Option::flatten).collect();
            let array = arrow::array::Decimal128Array::from(parsed);
            Arc::new(array.with_data_type(args.returns().clone()))
        }
        DataType::Date32 => Arc::new(Date32Array::from(each!(datetime::parse_date))),
        DataType::Time32(_) => {
            Arc::new(Time32MillisecondArray::from(each!(datetime::parse_time_ms)))
        }
        DataType::Timestamp(unit, with_zone) => {
            let local = with_zone.is_some();
            let parsed = each!(|t| {
                let value = datetime::parse_timestamp(t, *unit)?;
                if local {
                    datetime::instant_of_local(value, *unit, zone)
                } else {
                    Some(value)
                }
            });
            arrow::compute::cast(&Int64Array::from(parsed), args.returns())?
        }
        other => return exec_err!("CAST from STRING to {}", type_name(other)),
    })
}

fn boolean(text: &str) -> Option<bool> {
    // Flink: BinaryStringDataUtil.TRUE_STRINGS and FALSE_STRINGS.
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Flink cuts a fraction off: CAST('1.9' AS INT) is 1, and of '.5' is 0.
fn integer<T: std::str::FromStr>(text: &str) -> Option<T> {
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => match whole {
            "" | "-" | "+" => "0".parse().ok(),
            _ => whole.parse().ok(),
        },
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn to_text(args: &Args<'_>) -> Result<ArrayRef> {
    let array = args.array(0)?;
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            args.texts(|row| Ok(Some(if values.value(row) { "TRUE" } else { "FALSE" })))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            args.texts(|row| Ok(Some(number::java_single(values.value(row)))))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            args.texts(|row| Ok(Some(number::java_double(values.value(row)))))
        }
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>();
            args.texts(|row| Ok(Some(number::decimal_plain(values.value(row), *scale))))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            args.texts(|row| Ok(datetime::date_text(values.value(row))))
        }
        DataType::Time32(_) => {
            let values = arrow::compute::cast(array, &DataType::Int32)?;
            let values = values.as_primitive::<arrow::datatypes::Int32Type>();
            args.texts(|row| Ok(Some(datetime::time_text(values.value(row)))))
        }
        DataType::Timestamp(unit, zone) => {
            let (_, digits) = length_of(&args.params().text);
            let digits = usize::try_from(digits.unwrap_or(3)).unwrap_or(3);
            let values = args.instant_values(0)?;
            args.texts(|row| {
                let mut value = Some(values.value(row));
                if zone.is_some() {
                    value =
                        datetime::local_of_instant(values.value(row), *unit, args.params().zone);
                }
                Ok(value.and_then(|v| datetime::timestamp_text(v, *unit, digits)))
            })
        }
        _ => {
            let cast = arrow::compute::cast(array, &DataType::Utf8)?;
            Ok(cast)
        }
    }
}
