//! Literals and their types.

use super::expr::Binder;
use super::query::Result;
use super::value::Bound;
use crate::error::{Position, SqlError};
use crate::functions;
use crate::parser::parse_type_name;
use crate::types::{SqlType, TYPE_METADATA};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::logical_expr::Expr;
use sqlparser::ast::{self, DateTimeField, Value};
use std::collections::HashMap;

impl Binder<'_> {
    pub(super) fn literal(&self, value: &Value, at: Position) -> Result<Bound> {
        match value {
            Value::Number(text, false) => number(text, at),
            Value::SingleQuotedString(text) => Ok(self.text_literal(text)),
            Value::Boolean(value) => Ok(literal(ScalarValue::Boolean(Some(*value)), None)),
            Value::Null => Ok(literal(ScalarValue::Null, None)),
            Value::HexStringLiteral(_) => {
                Err(SqlError::at(at, "hexadecimal literals are not supported"))
            }
            Value::Placeholder(_) => Err(SqlError::at(at, "parameters are not supported")
                .hint("write the value into the statement")),
            other => Err(
                SqlError::at(at, format!("the literal {other} is not supported"))
                    .hint("write 'text' in single quotes"),
            ),
        }
    }

    /// `DATE '2026-01-31'` and the like.
    pub(super) fn typed_literal(&self, typed: &ast::TypedString, at: Position) -> Result<Bound> {
        let Value::SingleQuotedString(text) = &typed.value.value else {
            return Err(SqlError::at(at, "expected 'text' after the type"));
        };
        let name = typed.data_type.to_string();
        let name = match name.as_str() {
            "DATE" => "DATE".to_owned(),
            "TIME" => "TIME(0)".to_owned(),
            "TIMESTAMP" => {
                let digits = text.split_once('.').map_or(0, |(_, f)| f.trim_end().len());
                format!("TIMESTAMP({})", digits.min(9))
            }
            other => {
                return Err(
                    SqlError::at(at, format!("{other} literals are not supported"))
                        .hint("use DATE, TIME or TIMESTAMP literals, or CAST('...' AS type)"),
                );
            }
        };
        let target = parse_type_name(&name)?;
        let parsed = match &target.data_type {
            DataType::Date32 => {
                functions::datetime::parse_date(text).map(|d| ScalarValue::Date32(Some(d)))
            }
            DataType::Time32(_) => functions::datetime::parse_time_ms(text)
                .map(|t| ScalarValue::Time32Millisecond(Some(t))),
            DataType::Timestamp(unit, _) => functions::datetime::parse_timestamp(text, *unit)
                .and_then(|v| ScalarValue::Int64(Some(v)).cast_to(&target.data_type).ok()),
            _ => None,
        };
        let Some(value) = parsed else {
            return Err(SqlError::at(at, format!("'{text}' is no {name}")).hint(
                "write DATE '2026-01-31', TIME '12:13:14', TIMESTAMP '2026-01-31 12:13:14.123'",
            ));
        };
        Ok(literal(value, Some(&target)))
    }

    pub(super) fn interval(&mut self, interval: &ast::Interval, at: Position) -> Result<Bound> {
        let refuse = || {
            SqlError::at(at, "this interval is not supported")
                .hint("write INTERVAL '5' SECOND, with SECOND, MINUTE, HOUR, DAY, MONTH or YEAR")
        };
        if interval.last_field.is_some() {
            return Err(refuse());
        }
        let ast::Expr::Value(value) = interval.value.as_ref() else {
            return Err(refuse());
        };
        let (Value::SingleQuotedString(text) | Value::Number(text, false)) = &value.value else {
            return Err(refuse());
        };
        let field = interval.leading_field.as_ref().ok_or_else(refuse)?;
        let value = parse_interval(text.trim(), field).ok_or_else(refuse)?;
        Ok(literal(
            ScalarValue::IntervalMonthDayNano(Some(value)),
            None,
        ))
    }
}

pub(crate) fn literal(value: ScalarValue, declared: Option<&SqlType>) -> Bound {
    let mut field = arrow::datatypes::Field::new("literal", value.data_type(), value.is_null());
    let mut metadata = None;
    if let Some(declared) = declared
        && declared.name != crate::types::type_name(&declared.data_type)
    {
        let map = HashMap::from([(TYPE_METADATA.to_owned(), declared.name.clone())]);
        metadata = Some(FieldMetadata::from(map.clone()));
        field = field.with_metadata(map);
    }
    Bound {
        expr: Expr::Literal(value, metadata),
        field: std::sync::Arc::new(field),
    }
}

/// INT, BIGINT or DECIMAL by size; DOUBLE with an exponent.
pub(super) fn number(text: &str, at: Position) -> Result<Bound> {
    if text.contains(['e', 'E']) {
        let value: f64 = text
            .parse()
            .map_err(|_| SqlError::at(at, format!("{text} is no number")))?;
        return Ok(literal(ScalarValue::Float64(Some(value)), None));
    }
    if !text.contains('.') {
        if let Ok(value) = text.parse::<i32>() {
            return Ok(literal(ScalarValue::Int32(Some(value)), None));
        }
        if let Ok(value) = text.parse::<i64>() {
            return Ok(literal(ScalarValue::Int64(Some(value)), None));
        }
    }
    let digits = text.trim_start_matches(['-', '0']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = fraction.len();
    let precision = (whole.len() + scale).max(1);
    if precision > 38 {
        return Err(SqlError::at(at, "a number has at most 38 digits"));
    }
    let (precision, scale) = (precision as u8, scale as i8);
    match functions::number::parse_decimal(text, precision, scale) {
        Ok(Some(value)) => Ok(literal(
            ScalarValue::Decimal128(Some(value), precision, scale),
            None,
        )),
        _ => Err(SqlError::at(at, format!("{text} is no number"))),
    }
}

pub(super) fn parse_interval(text: &str, field: &DateTimeField) -> Option<IntervalMonthDayNano> {
    let whole = || text.parse::<i32>().ok();
    let nanos = |a_unit: i64| -> Option<IntervalMonthDayNano> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let nanos = functions::number::parse_decimal(digits, 18, 9).ok()??;
        // `nanos` is the number times 10^9.
        let value = nanos.checked_mul(i128::from(a_unit))?;
        let value = i64::try_from(value).ok()?.checked_mul(sign)?;
        Some(IntervalMonthDayNano::new(0, 0, value))
    };
    match field {
        DateTimeField::Year | DateTimeField::Years => {
            Some(IntervalMonthDayNano::new(whole()?.checked_mul(12)?, 0, 0))
        }
        DateTimeField::Month | DateTimeField::Months => {
            Some(IntervalMonthDayNano::new(whole()?, 0, 0))
        }
        DateTimeField::Week(None) | DateTimeField::Weeks => nanos(7 * 86_400),
        DateTimeField::Day | DateTimeField::Days => nanos(86_400),
        DateTimeField::Hour | DateTimeField::Hours => nanos(3_600),
        DateTimeField::Minute | DateTimeField::Minutes => nanos(60),
        DateTimeField::Second | DateTimeField::Seconds => nanos(1),
        _ => None,
    }
}
