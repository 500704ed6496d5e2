//! Common types, as Calcite's `leastRestrictive` with Flink's type system.

use super::value::{Family, family};
use arrow::datatypes::{DataType, TimeUnit};

/// The type that both can be widened to without loss of meaning; `None` when
/// there is none.
pub(crate) fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    let (fa, fb) = (family(a), family(b));
    match (fa, fb) {
        (Family::Null, _) => Some(b.clone()),
        (_, Family::Null) => Some(a.clone()),
        (Family::Integer, Family::Integer) => Some(wider_integer(a, b)),
        (Family::Approximate, Family::Approximate) => Some(DataType::Float64),
        // Calcite: an exact DECIMAL with FLOAT or DOUBLE is DOUBLE, an
        // integer takes the other's type.
        (Family::Approximate, Family::Decimal) | (Family::Decimal, Family::Approximate) => {
            Some(DataType::Float64)
        }
        (Family::Approximate, Family::Integer) => Some(a.clone()),
        (Family::Integer, Family::Approximate) => Some(b.clone()),
        (Family::Decimal | Family::Integer, Family::Decimal | Family::Integer) => {
            let ((p1, s1), (p2, s2)) = (decimal_of(a)?, decimal_of(b)?);
            let scale = s1.max(s2);
            let whole = (p1 - s1).max(p2 - s2);
            Some(decimal(whole + scale, scale))
        }
        (Family::Timestamp, Family::Timestamp) | (Family::TimestampLtz, Family::TimestampLtz) => {
            finer(a, b)
        }
        (Family::Date, Family::Timestamp | Family::TimestampLtz) => Some(b.clone()),
        (Family::Timestamp | Family::TimestampLtz, Family::Date) => Some(a.clone()),
        (Family::Timestamp, Family::TimestampLtz) => Some(b.clone()),
        (Family::TimestampLtz, Family::Timestamp) => Some(a.clone()),
        _ => None,
    }
}

fn finer(a: &DataType, b: &DataType) -> Option<DataType> {
    let (DataType::Timestamp(ua, _), DataType::Timestamp(ub, _)) = (a, b) else {
        return None;
    };
    let rank = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    Some(if rank(ua) >= rank(ub) {
        a.clone()
    } else {
        b.clone()
    })
}

fn wider_integer(a: &DataType, b: &DataType) -> DataType {
    let rank = |t: &DataType| match t {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        _ => 3,
    };
    if rank(a) >= rank(b) {
        a.clone()
    } else {
        b.clone()
    }
}

/// (precision, scale) of an exact number's type.
pub(crate) fn decimal_of(data_type: &DataType) -> Option<(i32, i32)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(p, s) => Some((i32::from(*p), i32::from(*s))),
        _ => None,
    }
}

/// DECIMAL(p, s) cut to 38 digits; fraction digits go first, down to 6
/// (Flink: `LogicalTypeMerging.adjustPrecisionScale`).
pub(crate) fn decimal(precision: i32, scale: i32) -> DataType {
    if precision <= 38 {
        return DataType::Decimal128(precision.max(1) as u8, scale as i8);
    }
    let whole = precision - scale;
    let scale = (38 - whole).max(scale.min(6)).max(0);
    DataType::Decimal128(38, scale as i8)
}

/// Whether `INSERT INTO` may convert without a CAST (Flink:
/// `LogicalTypeCasts.supportsImplicitCast`).
pub(crate) fn implicit(from: &DataType, to: &DataType) -> bool {
    if from == to || from == &DataType::Null {
        return true;
    }
    let (ff, ft) = (family(from), family(to));
    match ft {
        Family::Integer => ff == Family::Integer && &wider_integer(from, to) == to,
        Family::Decimal => ff.is_numeric(),
        Family::Approximate => match to {
            DataType::Float32 => ff == Family::Integer || ff == Family::Decimal,
            _ => ff.is_numeric(),
        },
        Family::Date => ff == Family::Timestamp,
        Family::Time => ff == Family::Timestamp || ff == Family::Time,
        Family::Timestamp | Family::TimestampLtz => {
            matches!(ff, Family::Timestamp | Family::TimestampLtz)
        }
        Family::Nested => same_shape(from, to),
        _ => false,
    }
}

/// Nested types that differ only in names and nullability of parts.
fn same_shape(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::List(a), DataType::List(b)) => {
            a.data_type() == b.data_type() || same_shape(a.data_type(), b.data_type())
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| {
                    a.data_type() == b.data_type() || same_shape(a.data_type(), b.data_type())
                })
        }
        _ => false,
    }
}
