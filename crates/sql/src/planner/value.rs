//! A bound expression: DataFusion's, with the type and nullability it has.

use crate::types::type_name;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};
use std::collections::HashMap;
use std::sync::Arc;

/// An expression whose names are looked up and whose types are Flink's.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    /// The expression; its operands need no further coercion.
    pub(crate) expr: Expr,
    /// Type, nullability and, in the metadata, the declared type.
    pub(crate) field: FieldRef,
}

impl Bound {
    /// Takes an expression over a schema. Fails only on our own mistakes.
    pub(crate) fn new(expr: Expr, schema: &DFSchema) -> datafusion::error::Result<Self> {
        let (_, mut field) = expr.to_field(schema)?;
        // DataFusion's casts keep the metadata of what they cast.
        if matches!(expr, Expr::Cast(_) | Expr::TryCast(_)) && !field.metadata().is_empty() {
            field = Arc::new(field.as_ref().clone().with_metadata(HashMap::new()));
        }
        Ok(Self { expr, field })
    }

    pub(crate) fn data_type(&self) -> &DataType {
        self.field.data_type()
    }

    pub(crate) fn nullable(&self) -> bool {
        self.field.is_nullable()
    }

    /// The untyped NULL.
    pub(crate) fn is_null(&self) -> bool {
        self.data_type() == &DataType::Null
    }

    /// Flink's name of the type, without `NOT NULL`.
    pub(crate) fn type_name(&self) -> String {
        match self.field.metadata().get(crate::types::TYPE_METADATA) {
            Some(name) => name.clone(),
            None => type_name(self.data_type()),
        }
    }

    /// The text, if it is a string literal.
    pub(crate) fn literal_text(&self) -> Option<&str> {
        match &self.expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer literal, perhaps with a minus sign.
    pub(crate) fn literal_integer(&self) -> Option<i64> {
        match &self.expr {
            Expr::Literal(ScalarValue::Int32(Some(n)), _) => Some(i64::from(*n)),
            Expr::Literal(ScalarValue::Int64(Some(n)), _) => Some(*n),
            _ => None,
        }
    }

    /// The milliseconds, if it is a day-time interval literal.
    pub(crate) fn literal_interval_ms(&self) -> Option<i64> {
        match &self.expr {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months == 0 => {
                let days_ms = i64::from(v.days).checked_mul(86_400_000)?;
                (v.nanoseconds % 1_000_000 == 0)
                    .then(|| days_ms.checked_add(v.nanoseconds / 1_000_000))?
            }
            _ => None,
        }
    }
}

/// Which family a type belongs to; operators and functions ask by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Null,
    Boolean,
    Integer,
    Decimal,
    Approximate,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampLtz,
    Interval,
    Nested,
}

/// The family of a type.
pub(crate) fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Null => Family::Null,
        DataType::Boolean => Family::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Family::Integer,
        DataType::Decimal128(..) => Family::Decimal,
        DataType::Float32 | DataType::Float64 => Family::Approximate,
        DataType::Utf8 => Family::Text,
        DataType::Binary => Family::Bytes,
        DataType::Date32 => Family::Date,
        DataType::Time32(_) => Family::Time,
        DataType::Timestamp(_, None) => Family::Timestamp,
        DataType::Timestamp(_, Some(_)) => Family::TimestampLtz,
        DataType::Interval(_) => Family::Interval,
        _ => Family::Nested,
    }
}

impl Family {
    pub(crate) fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal | Self::Approximate)
    }

    pub(crate) fn is_temporal(self) -> bool {
        matches!(
            self,
            Self::Date | Self::Time | Self::Timestamp | Self::TimestampLtz
        )
    }
}
