//! Arrow columns seen as typed cells, for the encoders: the type is looked at
//! once a batch, not once a value.

use super::FormatError;
use super::datetime::{self, TimestampStandard};
use super::scalar::units_a_second;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray,
    Time32MillisecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use std::fmt::Write;

/// A column by its type.
pub(super) enum Cells<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Single(&'a Float32Array),
    Double(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time32MillisecondArray),
    Timestamp {
        values: &'a [i64],
        nulls: Option<&'a NullBuffer>,
        units_a_second: i64,
        with_zone: bool,
    },
    List {
        nulls: Option<&'a NullBuffer>,
        offsets: &'a [i32],
        items: Box<Cells<'a>>,
    },
    Map {
        nulls: Option<&'a NullBuffer>,
        offsets: &'a [i32],
        keys: Box<Cells<'a>>,
        values: Box<Cells<'a>>,
    },
    Row {
        nulls: Option<&'a NullBuffer>,
        names: Vec<&'a str>,
        columns: Vec<Cells<'a>>,
    },
}

impl<'a> Cells<'a> {
    pub(super) fn new(format: &str, name: &str, array: &'a ArrayRef) -> Result<Self, FormatError> {
        let refuse = || FormatError::Type {
            format: format.to_owned(),
            column: name.to_owned(),
            data_type: array.data_type().to_string(),
        };
        let nulls = array.nulls();
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive::<Int8Type>()),
            DataType::Int16 => Self::Int16(array.as_primitive::<Int16Type>()),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float32 => Self::Single(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(..) => Self::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Utf8 => Self::Text(array.as_string::<i32>()),
            DataType::Binary => Self::Bytes(array.as_binary::<i32>()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>()),
            DataType::Time32(TimeUnit::Millisecond) => {
                Self::Time(array.as_primitive::<Time32MillisecondType>())
            }
            DataType::Timestamp(unit, zone) => Self::Timestamp {
                values: match unit {
                    TimeUnit::Millisecond => {
                        array.as_primitive::<TimestampMillisecondType>().values()
                    }
                    TimeUnit::Microsecond => {
                        array.as_primitive::<TimestampMicrosecondType>().values()
                    }
                    TimeUnit::Nanosecond => {
                        array.as_primitive::<TimestampNanosecondType>().values()
                    }
                    TimeUnit::Second => return Err(refuse()),
                },
                nulls,
                units_a_second: units_a_second(*unit),
                with_zone: zone.is_some(),
            },
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List {
                    nulls,
                    offsets: list.value_offsets(),
                    items: Box::new(Self::new(format, name, list.values())?),
                }
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Self::Map {
                    nulls,
                    offsets: map.value_offsets(),
                    keys: Box::new(Self::new(format, name, map.keys())?),
                    values: Box::new(Self::new(format, name, map.values())?),
                }
            }
            DataType::Struct(fields) => Self::Row {
                nulls,
                names: fields.iter().map(|f| f.name().as_str()).collect(),
                columns: array
                    .as_struct()
                    .columns()
                    .iter()
                    .map(|c| Self::new(format, name, c))
                    .collect::<Result<_, _>>()?,
            },
            _ => return Err(refuse()),
        })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(a) => a.is_null(row),
            Self::Int8(a) => a.is_null(row),
            Self::Int16(a) => a.is_null(row),
            Self::Int32(a) => a.is_null(row),
            Self::Int64(a) => a.is_null(row),
            Self::Single(a) => a.is_null(row),
            Self::Double(a) => a.is_null(row),
            Self::Decimal(a) => a.is_null(row),
            Self::Text(a) => a.is_null(row),
            Self::Bytes(a) => a.is_null(row),
            Self::Date(a) => a.is_null(row),
            Self::Time(a) => a.is_null(row),
            Self::Timestamp { nulls, .. }
            | Self::List { nulls, .. }
            | Self::Map { nulls, .. }
            | Self::Row { nulls, .. } => nulls.is_some_and(|n| n.is_null(row)),
        }
    }

    /// TINYINT to BIGINT; nothing for other types.
    pub(super) fn write_integer(&self, out: &mut String, row: usize) {
        let value = match self {
            Self::Int8(a) => i64::from(a.value(row)),
            Self::Int16(a) => i64::from(a.value(row)),
            Self::Int32(a) => i64::from(a.value(row)),
            Self::Int64(a) => a.value(row),
            _ => return,
        };
        // A `String` takes everything that is written to it.
        let _ = write!(out, "{value}");
    }

    /// DATE, TIME and TIMESTAMP; nothing for other types.
    pub(super) fn write_temporal(&self, out: &mut String, row: usize, standard: TimestampStandard) {
        match self {
            Self::Date(a) => datetime::write_date(out, a.value(row)),
            Self::Time(a) => {
                let ms = i64::from(a.value(row));
                datetime::write_time(out, ms / 1000, ms % 1000 * 1_000_000);
            }
            Self::Timestamp {
                values,
                units_a_second,
                with_zone,
                ..
            } => {
                let value = values.get(row).copied().unwrap_or_default();
                datetime::write_timestamp(out, value, *units_a_second, standard, *with_zone);
            }
            _ => {}
        }
    }
}
