//! Flink's types, their Arrow twins and their names.
//!
//! Arrow does not tell `VARCHAR(10)` from `STRING` nor `TIMESTAMP(0)` from
//! `TIMESTAMP(3)`: the declared name travels in the field's metadata.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// Field metadata key of the type as declared, where Arrow says less.
pub const TYPE_METADATA: &str = "millstream.type";

/// The zone name of every TIMESTAMP_LTZ: values are instants, the session's
/// zone matters only where they become text or parts.
pub const LTZ_ZONE: &str = "UTC";

/// A declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlType {
    /// How values are kept.
    pub data_type: DataType,
    /// The name as Flink prints it, without `NOT NULL`.
    pub name: String,
    /// `NOT NULL` absent.
    pub nullable: bool,
}

impl SqlType {
    /// A type with the name that its Arrow type has by itself.
    pub fn of(data_type: DataType) -> Self {
        Self {
            name: type_name(&data_type),
            data_type,
            nullable: true,
        }
    }

    /// A field of this type.
    pub fn field(&self, name: &str) -> Field {
        let field = Field::new(name, self.data_type.clone(), self.nullable);
        if self.name == type_name(&self.data_type) {
            return field;
        }
        let metadata = HashMap::from([(TYPE_METADATA.to_owned(), self.name.clone())]);
        field.with_metadata(metadata)
    }
}

/// TIMESTAMP(p): milliseconds, microseconds or nanoseconds.
pub fn timestamp(precision: u8) -> DataType {
    DataType::Timestamp(timestamp_unit(precision), None)
}

/// TIMESTAMP_LTZ(p).
pub fn timestamp_ltz(precision: u8) -> DataType {
    DataType::Timestamp(timestamp_unit(precision), Some(Arc::from(LTZ_ZONE)))
}

fn timestamp_unit(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// TIME.
pub fn time() -> DataType {
    DataType::Time32(TimeUnit::Millisecond)
}

/// MAP<key, value>.
pub fn map(key: SqlType, value: SqlType) -> DataType {
    let key = Field::new("key", key.data_type, false);
    let value = Field::new("value", value.data_type, value.nullable);
    let entries = DataType::Struct(Fields::from(vec![key, value]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// A field's type as Flink prints it, with `NOT NULL` where it is so.
pub fn field_type_name(field: &Field) -> String {
    let name = match field.metadata().get(TYPE_METADATA) {
        Some(name) => name.clone(),
        None => type_name(field.data_type()),
    };
    if field.is_nullable() {
        name
    } else {
        format!("{name} NOT NULL")
    }
}

/// An Arrow type as Flink prints it.
pub fn type_name(data_type: &DataType) -> String {
    let precision = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Null => "NULL".to_owned(),
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
        DataType::Time32(_) => "TIME(0)".to_owned(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", precision(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(unit)),
        DataType::Interval(_) => "INTERVAL".to_owned(),
        DataType::List(item) => format!("ARRAY<{}>", field_type_name(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let names: Vec<_> = pair.iter().map(|f| field_type_name(f)).collect();
                // A map's key is never NULL in Arrow; Flink prints it plain.
                let names: Vec<_> = names
                    .iter()
                    .enumerate()
                    .map(|(i, n)| {
                        if i == 0 {
                            n.trim_end_matches(" NOT NULL")
                        } else {
                            n
                        }
                    })
                    .collect();
                format!("MAP<{}>", names.join(", "))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|f| format!("`{}` {}", f.name(), field_type_name(f)))
                .collect();
            format!("ROW<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}
