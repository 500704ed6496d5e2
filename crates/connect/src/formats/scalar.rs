//! Text to cells: the conversions that JSON strings, JSON numbers and CSV
//! fields share. Messages name the type, never the value: it may be secret.

use super::column::Cell;
use super::datetime::{self, TimestampStandard};
use super::number;
use arrow::datatypes::{DataType, TimeUnit};

/// The cell of a scalar type in `text`, or what was expected instead.
pub(super) fn parse<'a>(
    text: &str,
    data_type: &DataType,
    standard: TimestampStandard,
) -> Result<Cell<'a>, String> {
    let text = text.trim();
    match data_type {
        DataType::Boolean => boolean(text),
        DataType::Int8 => integer(text, data_type, i64::from(i8::MIN), i64::from(i8::MAX)),
        DataType::Int16 => integer(text, data_type, i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => integer(text, data_type, i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int64 => integer(text, data_type, i64::MIN, i64::MAX),
        DataType::Float32 => number::parse_java_double(text)
            .map(|v| Cell::Single(text.parse().unwrap_or(v as f32)))
            .ok_or_else(|| expected(data_type)),
        DataType::Float64 => number::parse_java_double(text)
            .map(Cell::Double)
            .ok_or_else(|| expected(data_type)),
        DataType::Decimal128(precision, scale) => {
            match number::parse_decimal(text, *precision, *scale) {
                Ok(Some(unscaled)) => Ok(Cell::Decimal(unscaled)),
                // Flink: DecimalData.fromBigDecimal gives NULL when the value
                // does not fit.
                Ok(None) => Ok(Cell::Null),
                Err(()) => Err(expected(data_type)),
            }
        }
        DataType::Date32 => datetime::parse_date(text)
            .map(|days| Cell::Int(i64::from(days)))
            .ok_or_else(|| format!("{} like 2026-01-31", expected(data_type))),
        DataType::Time32(_) => datetime::parse_time(text)
            .map(|(seconds, nanos)| Cell::Int(seconds * 1000 + nanos / 1_000_000))
            .ok_or_else(|| format!("{} like 12:13:14", expected(data_type))),
        DataType::Timestamp(unit, zone) => timestamp(text, *unit, zone.is_some(), standard)
            .ok_or_else(|| {
                let example = match standard {
                    TimestampStandard::Sql => "2026-01-31 12:13:14.123",
                    TimestampStandard::Iso8601 => "2026-01-31T12:13:14.123",
                };
                let zone = if zone.is_some() { "Z" } else { "" };
                format!("{} like {example}{zone}", expected(data_type))
            }),
        _ => Err(expected(data_type)),
    }
}

fn boolean<'a>(text: &str) -> Result<Cell<'a>, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(Cell::Bool(true))
    } else if text.eq_ignore_ascii_case("false") {
        Ok(Cell::Bool(false))
    } else {
        Err(expected(&DataType::Boolean))
    }
}

fn integer<'a>(text: &str, data_type: &DataType, min: i64, max: i64) -> Result<Cell<'a>, String> {
    let value: i64 = match text.parse() {
        Ok(value) => value,
        Err(e) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            return Err(match e.kind() {
                PosOverflow | NegOverflow => out_of_range(data_type),
                _ => expected(data_type),
            });
        }
    };
    if value < min || value > max {
        return Err(out_of_range(data_type));
    }
    Ok(Cell::Int(value))
}

fn timestamp<'a>(
    text: &str,
    unit: TimeUnit,
    with_zone: bool,
    standard: TimestampStandard,
) -> Option<Cell<'a>> {
    let (seconds, nanos) = datetime::parse_timestamp(text, standard, with_zone)?;
    let a_second = units_a_second(unit);
    let whole = seconds.checked_mul(a_second)?;
    whole
        .checked_add(nanos / (1_000_000_000 / a_second))
        .map(Cell::Int)
}

/// How many of a unit make a second.
pub(super) fn units_a_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// "expected INT".
pub(super) fn expected(data_type: &DataType) -> String {
    format!("expected {}", type_name(data_type))
}

/// "out of range for INT".
pub(super) fn out_of_range(data_type: &DataType) -> String {
    format!("number out of range for {}", type_name(data_type))
}

/// Flink's name of a type.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 => "STRING".to_owned(),
        DataType::Binary => "BYTES".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(_) => "TIME".to_owned(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_LTZ".to_owned(),
        DataType::List(_) => "ARRAY".to_owned(),
        DataType::Map(..) => "MAP".to_owned(),
        DataType::Struct(_) => "ROW".to_owned(),
        other => other.to_string(),
    }
}
