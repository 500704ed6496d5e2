//! Columns as JSON values, as the HTTP API has them: BIGINT outside ±2^53,
//! DECIMAL and times are strings, BYTES is base64.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::error::DataFusionError;
use serde_json::{Map, Number, Value};

/// Largest integer that a JSON reader with doubles keeps exact.
const EXACT_MAX: u64 = 1 << 53;

/// How values are written.
#[derive(Debug, Clone)]
pub struct ValueFormat {
    /// Zone in which TIMESTAMP_LTZ is written.
    pub time_zone: Tz,
    /// Flink's type of each column, for the precision of times.
    pub types: Vec<String>,
}

impl ValueFormat {
    /// The rows of a batch.
    pub fn rows(&self, batch: &RecordBatch) -> Result<Vec<Vec<Value>>, DataFusionError> {
        let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
        for (index, column) in batch.columns().iter().enumerate() {
            let digits = self.types.get(index).and_then(|t| declared_digits(t));
            for (row, value) in rows.iter_mut().zip(self.column(column, digits)?) {
                row.push(value);
            }
        }
        Ok(rows)
    }

    fn column(&self, column: &ArrayRef, digits: Option<usize>) -> Result<Vec<Value>, ArrowError> {
        let rows = 0..column.len();
        macro_rules! numbers {
            ($t:ty) => {{
                let numbers = column.as_primitive::<$t>();
                rows.map(|i| valid(column, i, || exact(numbers.value(i).into())))
                    .collect()
            }};
        }
        Ok(match column.data_type() {
            DataType::Null => rows.map(|_| Value::Null).collect(),
            DataType::Boolean => {
                let flags = column.as_boolean();
                rows.map(|i| valid(column, i, || Value::Bool(flags.value(i))))
                    .collect()
            }
            DataType::Int8 => numbers!(Int8Type),
            DataType::Int16 => numbers!(Int16Type),
            DataType::Int32 => numbers!(Int32Type),
            DataType::Int64 => numbers!(Int64Type),
            DataType::UInt8 => numbers!(UInt8Type),
            DataType::UInt16 => numbers!(UInt16Type),
            DataType::UInt32 => numbers!(UInt32Type),
            DataType::UInt64 => numbers!(UInt64Type),
            DataType::Float32 => {
                // Through its shortest text, so that 0.1 stays 0.1.
                let floats = column.as_primitive::<Float32Type>();
                let wide = |f: f32| f.to_string().parse().unwrap_or(f64::from(f));
                rows.map(|i| valid(column, i, || float(wide(floats.value(i)))))
                    .collect()
            }
            DataType::Float64 => {
                let floats = column.as_primitive::<Float64Type>();
                rows.map(|i| valid(column, i, || float(floats.value(i))))
                    .collect()
            }
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                rows.map(|i| valid(column, i, || Value::from(texts.value(i))))
                    .collect()
            }
            DataType::LargeUtf8 => {
                let texts = column.as_string::<i64>();
                rows.map(|i| valid(column, i, || Value::from(texts.value(i))))
                    .collect()
            }
            DataType::Utf8View => {
                let texts = column.as_string_view();
                rows.map(|i| valid(column, i, || Value::from(texts.value(i))))
                    .collect()
            }
            DataType::Binary => {
                let bytes = column.as_binary::<i32>();
                rows.map(|i| valid(column, i, || BASE64.encode(bytes.value(i)).into()))
                    .collect()
            }
            DataType::Timestamp(unit, zone) => {
                let zoned = zone.is_some();
                let digits = digits.unwrap_or(default_digits(*unit));
                let text = |nanos: i128| self.time(nanos, zoned, digits);
                match unit {
                    TimeUnit::Second => times::<TimestampSecondType>(column, 1_000_000_000, text),
                    TimeUnit::Millisecond => {
                        times::<TimestampMillisecondType>(column, 1_000_000, text)
                    }
                    TimeUnit::Microsecond => times::<TimestampMicrosecondType>(column, 1_000, text),
                    TimeUnit::Nanosecond => times::<TimestampNanosecondType>(column, 1, text),
                }
            }
            DataType::List(_) => {
                let lists = column.as_list::<i32>();
                self.each(column, |i| {
                    Ok(Value::Array(self.column(&lists.value(i), None)?))
                })?
            }
            DataType::Struct(fields) => {
                let structs = column.as_struct();
                let columns = structs
                    .columns()
                    .iter()
                    .map(|c| self.column(c, None))
                    .collect::<Result<Vec<_>, _>>()?;
                self.each(column, |i| {
                    let pairs = fields.iter().zip(&columns);
                    let object: Map<String, Value> = pairs
                        .map(|(f, c)| (f.name().clone(), c[i].clone()))
                        .collect();
                    Ok(Value::Object(object))
                })?
            }
            DataType::Map(..) => {
                let maps = column.as_map();
                self.each(column, |i| {
                    let entries = maps.value(i);
                    let keys = self.column(entries.column(0), None)?;
                    let values = self.column(entries.column(1), None)?;
                    let key = |k: Value| k.as_str().map_or_else(|| k.to_string(), str::to_owned);
                    Ok(Value::Object(
                        keys.into_iter().map(key).zip(values).collect(),
                    ))
                })?
            }
            // DECIMAL, DATE, TIME, INTERVAL: as text.
            _ => {
                let options = FormatOptions::default();
                let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
                let text = |i| Value::from(formatter.value(i).to_string());
                rows.map(|i| valid(column, i, || text(i))).collect()
            }
        })
    }

    fn each(
        &self,
        column: &ArrayRef,
        value: impl Fn(usize) -> Result<Value, ArrowError>,
    ) -> Result<Vec<Value>, ArrowError> {
        (0..column.len())
            .map(|i| {
                if column.is_null(i) {
                    Ok(Value::Null)
                } else {
                    value(i)
                }
            })
            .collect()
    }

    fn time(&self, nanos: i128, zoned: bool, digits: usize) -> Value {
        const SECOND: i128 = 1_000_000_000;
        let seconds = i64::try_from(nanos.div_euclid(SECOND));
        let fraction = u32::try_from(nanos.rem_euclid(SECOND)).unwrap_or_default();
        let Some(time) = seconds
            .ok()
            .and_then(|s| DateTime::from_timestamp(s, fraction))
        else {
            return Value::Null;
        };
        let mut text = if zoned {
            time.with_timezone(&self.time_zone)
                .format("%Y-%m-%d %H:%M:%S")
                .to_string()
        } else {
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        };
        if digits > 0 {
            let fraction = format!("{fraction:09}");
            text.push('.');
            text.push_str(&fraction[..digits.min(9)]);
        }
        Value::from(text)
    }
}

fn valid(column: &ArrayRef, row: usize, value: impl FnOnce() -> Value) -> Value {
    if column.is_null(row) {
        Value::Null
    } else {
        value()
    }
}

fn times<T: ArrowPrimitiveType<Native = i64>>(
    column: &ArrayRef,
    nanos: i128,
    text: impl Fn(i128) -> Value,
) -> Vec<Value> {
    let times = column.as_primitive::<T>();
    (0..column.len())
        .map(|i| valid(column, i, || text(i128::from(times.value(i)) * nanos)))
        .collect()
}

fn exact(number: i128) -> Value {
    if number.unsigned_abs() > u128::from(EXACT_MAX) {
        return Value::from(number.to_string());
    }
    i64::try_from(number).map_or_else(|_| Value::from(number.to_string()), Value::from)
}

/// JSON has no NaN and no infinity: they are strings, as Flink prints them.
fn float(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::from("NaN"),
        None if number > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

/// The `3` of `TIMESTAMP(3)` and `TIMESTAMP_LTZ(3)`.
fn declared_digits(type_name: &str) -> Option<usize> {
    let rest = type_name.strip_prefix("TIMESTAMP")?;
    let rest = rest.strip_prefix("_LTZ").unwrap_or(rest);
    let digits = rest.strip_prefix('(')?;
    digits[..digits.find(')')?].parse().ok()
}

fn default_digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, Decimal128Array, Float64Array, Int64Array, TimestampMillisecondArray,
    };
    use std::sync::Arc;

    fn format(types: &[&str]) -> ValueFormat {
        ValueFormat {
            time_zone: chrono_tz::Asia::Shanghai,
            types: types.iter().map(|t| (*t).to_owned()).collect(),
        }
    }

    fn values(column: ArrayRef, type_name: &str) -> Vec<Value> {
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let rows = format(&[type_name]).rows(&batch).unwrap();
        rows.into_iter().map(|mut row| row.remove(0)).collect()
    }

    #[test]
    fn integers_beyond_two_to_the_53_are_strings() {
        let numbers = Int64Array::from(vec![Some(7), None, Some(1 << 53), Some((1 << 53) + 1)]);
        assert_eq!(
            values(Arc::new(numbers), "BIGINT"),
            [
                Value::from(7),
                Value::Null,
                Value::from(9_007_199_254_740_992_i64),
                Value::from("9007199254740993"),
            ]
        );
    }

    #[test]
    fn times_have_their_declared_digits_and_zone() {
        let times = || TimestampMillisecondArray::from(vec![1_795_380_065_000]);
        assert_eq!(
            values(Arc::new(times()), "TIMESTAMP(3)"),
            ["2026-11-22 20:41:05.000"]
        );
        assert_eq!(
            values(Arc::new(times()), "TIMESTAMP(0)"),
            ["2026-11-22 20:41:05"]
        );
        let zoned = times().with_timezone("UTC");
        assert_eq!(
            values(Arc::new(zoned), "TIMESTAMP_LTZ(3)"),
            ["2026-11-23 04:41:05.000"]
        );
        let before = TimestampMillisecondArray::from(vec![-1]);
        assert_eq!(
            values(Arc::new(before), "TIMESTAMP(3)"),
            ["1969-12-31 23:59:59.999"]
        );
    }

    #[test]
    fn decimals_bytes_and_odd_floats_are_text() {
        let decimal = Decimal128Array::from(vec![12_345])
            .with_precision_and_scale(9, 2)
            .unwrap();
        assert_eq!(values(Arc::new(decimal), "DECIMAL(9, 2)"), ["123.45"]);
        assert_eq!(
            values(Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"])), "BYTES"),
            ["AP8="]
        );
        let floats = Float64Array::from(vec![0.5, f64::NAN, f64::NEG_INFINITY]);
        let expected = [
            Value::from(0.5),
            Value::from("NaN"),
            Value::from("-Infinity"),
        ];
        assert_eq!(values(Arc::new(floats), "DOUBLE"), expected);
    }
}
