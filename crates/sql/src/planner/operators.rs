//! Operators with Flink's types and NULLs.

use super::coerce::{common_type, decimal_of};
use super::expr::convert;
use super::value::{Bound, Family, family};
use crate::error::{Position, SqlError};
use crate::functions::cast::{self, OnError};
use crate::functions::{decimal, integer, string};
use crate::session::Session;
use crate::types::SqlType;
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator};
use sqlparser::ast::{BinaryOperator, UnaryOperator};

type Result<T> = std::result::Result<T, SqlError>;

/// `left op right`.
pub(crate) fn binary(
    left: Bound,
    op: &BinaryOperator,
    right: Bound,
    at: Position,
    zone: Tz,
) -> Result<Expr> {
    use BinaryOperator as B;
    match op {
        B::Plus => arithmetic(left, Operator::Plus, right, at),
        B::Minus => arithmetic(left, Operator::Minus, right, at),
        B::Multiply => arithmetic(left, Operator::Multiply, right, at),
        B::Divide => arithmetic(left, Operator::Divide, right, at),
        B::Modulo => arithmetic(left, Operator::Modulo, right, at),
        B::Eq => compare(left, Operator::Eq, right, at, zone),
        B::NotEq => compare(left, Operator::NotEq, right, at, zone),
        B::Lt => compare(left, Operator::Lt, right, at, zone),
        B::LtEq => compare(left, Operator::LtEq, right, at, zone),
        B::Gt => compare(left, Operator::Gt, right, at, zone),
        B::GtEq => compare(left, Operator::GtEq, right, at, zone),
        B::StringConcat => concat(left, right, at),
        other => Err(
            SqlError::at(at, format!("the operator {other} is not supported"))
                .hint("SHOW FUNCTIONS lists what can be called"),
        ),
    }
}

/// `NOT x`, `-x`, `+x`.
pub(crate) fn unary(op: UnaryOperator, value: Bound, at: Position) -> Result<Expr> {
    match op {
        UnaryOperator::Not => Ok(Expr::Not(Box::new(boolean(value, "NOT", at)?))),
        UnaryOperator::Plus | UnaryOperator::Minus => {
            let numeric = family(value.data_type()).is_numeric();
            let interval = family(value.data_type()) == Family::Interval;
            if !numeric && !interval {
                return Err(SqlError::at(
                    at,
                    format!("{op} needs a number, this is {}", value.type_name()),
                ));
            }
            Ok(if op == UnaryOperator::Plus {
                value.expr
            } else {
                Expr::Negative(Box::new(value.expr))
            })
        }
        other => Err(SqlError::at(
            at,
            format!("the operator {other} is not supported"),
        )),
    }
}

fn boolean(value: Bound, what: &str, at: Position) -> Result<Expr> {
    match family(value.data_type()) {
        Family::Boolean => Ok(value.expr),
        Family::Null => Ok(Expr::Literal(ScalarValue::Boolean(None), None)),
        _ => Err(SqlError::at(
            at,
            format!("{what} needs BOOLEAN, this is {}", value.type_name()),
        )),
    }
}

fn both(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn arithmetic(left: Bound, op: Operator, right: Bound, at: Position) -> Result<Expr> {
    let (fl, fr) = (family(left.data_type()), family(right.data_type()));
    let refuse = || {
        SqlError::at(
            at,
            format!(
                "{} {op} {} is not supported",
                left.type_name(),
                right.type_name()
            ),
        )
    };
    match (fl, fr) {
        (Family::Date | Family::Timestamp | Family::TimestampLtz, Family::Interval)
            if matches!(op, Operator::Plus | Operator::Minus) =>
        {
            Ok(both(left.expr, op, right.expr))
        }
        (Family::Interval, Family::Date | Family::Timestamp | Family::TimestampLtz)
            if op == Operator::Plus =>
        {
            Ok(both(right.expr, op, left.expr))
        }
        (a, b) if a.is_temporal() && b.is_temporal() => {
            Err(refuse().hint("use TIMESTAMPDIFF(SECOND, from, to)"))
        }
        (Family::Text, _) | (_, Family::Text) if op == Operator::Plus => {
            Err(refuse().hint("text is joined with ||, and CAST makes a number of it"))
        }
        (Family::Text, _) | (_, Family::Text) => Err(refuse().hint("CAST the text to a number")),
        (a, b)
            if (a.is_numeric() || a == Family::Null) && (b.is_numeric() || b == Family::Null) =>
        {
            numbers(left, op, right, at)
        }
        _ => Err(refuse()),
    }
}

fn numbers(left: Bound, op: Operator, right: Bound, at: Position) -> Result<Expr> {
    let Some(common) = common_type(left.data_type(), right.data_type()) else {
        return Err(SqlError::at(at, "these numbers have no common type"));
    };
    if common == DataType::Null {
        return Err(SqlError::at(at, "NULL op NULL has no type").hint("write CAST(NULL AS type)"));
    }
    if family(&common) == Family::Decimal {
        let with_null = left.is_null() || right.is_null();
        let (l, r) = if with_null {
            (common.clone(), common)
        } else {
            (left.data_type().clone(), right.data_type().clone())
        };
        let (Some(l), Some(r)) = (decimal_of(&l), decimal_of(&r)) else {
            return Err(SqlError::at(at, "these numbers have no common type"));
        };
        return Ok(decimal::arithmetic(op, (left.expr, l), (right.expr, r)));
    }
    let session = Session::default();
    let left = convert(left, &common, &session, at)?;
    let right = convert(right, &common, &session, at)?;
    if family(&common) == Family::Integer && matches!(op, Operator::Divide | Operator::Modulo) {
        return Ok(integer::quotient(op, left, right, &common));
    }
    Ok(both(left, op, right))
}

/// Brings two values to one type to compare them.
pub(crate) fn comparable(
    left: Bound,
    right: Bound,
    at: Position,
    zone: Tz,
) -> Result<(Expr, Expr)> {
    let (fl, fr) = (family(left.data_type()), family(right.data_type()));
    let session = Session {
        time_zone: zone,
        ..Session::default()
    };
    let common = match (fl, fr) {
        // Flink compares a time with its text; everything else needs a CAST.
        (a, Family::Text) if a.is_temporal() => Some(left.data_type().clone()),
        (Family::Text, b) if b.is_temporal() => Some(right.data_type().clone()),
        (Family::Time, _) | (_, Family::Time) if fl != fr => None,
        _ => common_type(left.data_type(), right.data_type()),
    };
    let Some(common) = common.filter(|c| !matches!(family(c), Family::Nested | Family::Interval))
    else {
        return Err(SqlError::at(
            at,
            format!(
                "{} and {} cannot be compared",
                left.type_name(),
                right.type_name()
            ),
        )
        .hint("CAST one of them to the other's type"));
    };
    if common == DataType::Null {
        let null = Expr::Literal(ScalarValue::Boolean(None), None);
        return Ok((null.clone(), null));
    }
    Ok((
        convert(left, &common, &session, at)?,
        convert(right, &common, &session, at)?,
    ))
}

fn compare(left: Bound, op: Operator, right: Bound, at: Position, zone: Tz) -> Result<Expr> {
    let (left, right) = comparable(left, right, at, zone)?;
    Ok(both(left, op, right))
}

/// `IS [NOT] DISTINCT FROM`.
pub(crate) fn distinct_from(
    left: Bound,
    right: Bound,
    distinct: bool,
    at: Position,
    zone: Tz,
) -> Result<Expr> {
    let op = if distinct {
        Operator::IsDistinctFrom
    } else {
        Operator::IsNotDistinctFrom
    };
    compare(left, op, right, at, zone)
}

/// `||`: NULL with anything is NULL.
fn concat(left: Bound, right: Bound, at: Position) -> Result<Expr> {
    for side in [&left, &right] {
        if !matches!(family(side.data_type()), Family::Text | Family::Null) {
            return Err(SqlError::at(
                at,
                format!("|| joins STRINGs, this is {}", side.type_name()),
            )
            .hint("write CAST(value AS STRING)"));
        }
    }
    let text = SqlType::of(DataType::Utf8);
    let as_text = |value: Bound| {
        cast::cast(value, &text, OnError::Fail, Tz::UTC)
            .ok_or_else(|| SqlError::at(at, "|| joins STRINGs"))
    };
    Ok(string::joined(as_text(left)?, as_text(right)?))
}

/// `LIKE` with a literal pattern. DataFusion escapes with a backslash always;
/// in Flink it is a character like others, and only ESCAPE names one.
pub(crate) fn like(
    value: Bound,
    pattern: &Bound,
    escape: Option<char>,
    negated: bool,
    at: Position,
) -> Result<Expr> {
    if !matches!(family(value.data_type()), Family::Text | Family::Null) {
        return Err(SqlError::at(
            at,
            format!("LIKE needs a STRING, this is {}", value.type_name()),
        )
        .hint("write CAST(value AS STRING)"));
    }
    let Some(given) = pattern.literal_text() else {
        return Err(SqlError::at(at, "the pattern of LIKE must be a literal")
            .hint("use REGEXP(text, pattern) or POSITION(part IN text) > 0"));
    };
    let mut escaped = String::new();
    let mut chars = given.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(next @ ('%' | '_')) => escaped.extend(['\\', next]),
                Some(next) if Some(next) == escape => {
                    if next == '\\' {
                        escaped.push('\\');
                    }
                    escaped.push(next);
                }
                _ => {
                    return Err(SqlError::at(
                        at,
                        "the escape character must stand before %, _ or itself",
                    ));
                }
            }
        } else {
            if c == '\\' {
                escaped.push('\\');
            }
            escaped.push(c);
        }
    }
    let pattern = Expr::Literal(ScalarValue::Utf8(Some(escaped)), None);
    let value = if value.is_null() {
        Expr::Literal(ScalarValue::Utf8(None), None)
    } else {
        value.expr
    };
    Ok(Expr::Like(Like::new(
        negated,
        Box::new(value),
        Box::new(pattern),
        None,
        false,
    )))
}
