//! Decoded cells and the growing Arrow columns that take them.
//!
//! A row is first turned into [`Cell`]s, all of them, and only then appended:
//! a value that fails half-way leaves no trace in the columns.

use super::FormatError;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, ListArray, MapArray,
    StringBuilder, StructArray, Time32MillisecondBuilder, TimestampMicrosecondBuilder,
    TimestampMillisecondBuilder, TimestampNanosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use std::borrow::Cow;
use std::sync::Arc;

/// How deep ROW, ARRAY and MAP may be nested in a column's type.
pub(super) const NESTING_MAX: usize = 16;

/// One decoded value.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    /// NULL.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// Every type that Arrow keeps as an integer of at most 64 bits.
    Int(i64),
    /// FLOAT.
    Single(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL, unscaled.
    Decimal(i128),
    /// STRING.
    Text(Cow<'a, str>),
    /// BYTES.
    Bytes(Vec<u8>),
    /// ARRAY.
    List(Vec<Cell<'a>>),
    /// MAP.
    Map(Vec<(Cell<'a>, Cell<'a>)>),
    /// ROW.
    Row(Vec<Cell<'a>>),
}

/// A column under construction.
pub(super) enum Column {
    Bool(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Single(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time32MillisecondBuilder),
    TimestampMs(TimestampMillisecondBuilder),
    TimestampUs(TimestampMicrosecondBuilder),
    TimestampNs(TimestampNanosecondBuilder),
    List(Box<ListColumn>),
    Map(Box<MapColumn>),
    Row(Box<RowColumn>),
}

/// ARRAY under construction.
pub(super) struct ListColumn {
    field: FieldRef,
    lengths: Vec<usize>,
    nulls: Vec<bool>,
    items: Column,
}

/// MAP under construction.
pub(super) struct MapColumn {
    entries_field: FieldRef,
    lengths: Vec<usize>,
    nulls: Vec<bool>,
    keys: Column,
    values: Column,
}

/// ROW under construction.
pub(super) struct RowColumn {
    fields: Fields,
    nulls: Vec<bool>,
    columns: Vec<Column>,
}

impl Column {
    /// An empty column of a field's type; refuses types that formats do not
    /// carry.
    pub(super) fn new(format: &str, field: &Field) -> Result<Self, FormatError> {
        Self::nested(format, field.name(), field.data_type(), 0)
    }

    fn nested(
        format: &str,
        name: &str,
        data_type: &DataType,
        depth: usize,
    ) -> Result<Self, FormatError> {
        let refuse = || FormatError::Type {
            format: format.to_owned(),
            column: name.to_owned(),
            data_type: data_type.to_string(),
        };
        if depth > NESTING_MAX {
            return Err(refuse());
        }
        let inner = |t: &DataType| Self::nested(format, name, t, depth + 1);
        Ok(match data_type {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int8 => Self::Int8(Int8Builder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Single(Float32Builder::new()),
            DataType::Float64 => Self::Double(Float64Builder::new()),
            DataType::Decimal128(..) => {
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type.clone()))
            }
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Time32(TimeUnit::Millisecond) => Self::Time(Time32MillisecondBuilder::new()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Self::TimestampMs(
                TimestampMillisecondBuilder::new().with_data_type(data_type.clone()),
            ),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::TimestampUs(
                TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()),
            ),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Self::TimestampNs(
                TimestampNanosecondBuilder::new().with_data_type(data_type.clone()),
            ),
            DataType::List(item) => Self::List(Box::new(ListColumn {
                field: item.clone(),
                lengths: Vec::new(),
                nulls: Vec::new(),
                items: inner(item.data_type())?,
            })),
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err(refuse());
                };
                let [key, value] = pair.as_ref() else {
                    return Err(refuse());
                };
                Self::Map(Box::new(MapColumn {
                    entries_field: entries.clone(),
                    lengths: Vec::new(),
                    nulls: Vec::new(),
                    keys: inner(key.data_type())?,
                    values: inner(value.data_type())?,
                }))
            }
            DataType::Struct(fields) => Self::Row(Box::new(RowColumn {
                fields: fields.clone(),
                nulls: Vec::new(),
                columns: fields
                    .iter()
                    .map(|f| inner(f.data_type()))
                    .collect::<Result<_, _>>()?,
            })),
            _ => return Err(refuse()),
        })
    }

    /// Appends a cell made for this column's type. A cell of another kind
    /// would be a decoder's mistake and becomes NULL.
    pub(super) fn append(&mut self, cell: Cell<'_>) {
        let int = |cell: &Cell<'_>| match cell {
            Cell::Int(v) => Some(*v),
            _ => None,
        };
        match self {
            Self::Bool(b) => b.append_option(match cell {
                Cell::Bool(v) => Some(v),
                _ => None,
            }),
            Self::Int8(b) => b.append_option(int(&cell).and_then(|v| i8::try_from(v).ok())),
            Self::Int16(b) => b.append_option(int(&cell).and_then(|v| i16::try_from(v).ok())),
            Self::Int32(b) => b.append_option(int(&cell).and_then(|v| i32::try_from(v).ok())),
            Self::Int64(b) => b.append_option(int(&cell)),
            Self::Date(b) => b.append_option(int(&cell).and_then(|v| i32::try_from(v).ok())),
            Self::Time(b) => b.append_option(int(&cell).and_then(|v| i32::try_from(v).ok())),
            Self::TimestampMs(b) => b.append_option(int(&cell)),
            Self::TimestampUs(b) => b.append_option(int(&cell)),
            Self::TimestampNs(b) => b.append_option(int(&cell)),
            Self::Single(b) => b.append_option(match cell {
                Cell::Single(v) => Some(v),
                _ => None,
            }),
            Self::Double(b) => b.append_option(match cell {
                Cell::Double(v) => Some(v),
                _ => None,
            }),
            Self::Decimal(b) => b.append_option(match cell {
                Cell::Decimal(v) => Some(v),
                _ => None,
            }),
            Self::Text(b) => b.append_option(match cell {
                Cell::Text(v) => Some(v),
                _ => None,
            }),
            Self::Bytes(b) => b.append_option(match cell {
                Cell::Bytes(v) => Some(v),
                _ => None,
            }),
            Self::List(c) => c.append(cell),
            Self::Map(c) => c.append(cell),
            Self::Row(c) => c.append(cell),
        }
    }

    /// The finished array; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        Ok(match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Int16(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Single(b) => Arc::new(b.finish()),
            Self::Double(b) => Arc::new(b.finish()),
            Self::Decimal(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Bytes(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::TimestampMs(b) => Arc::new(b.finish()),
            Self::TimestampUs(b) => Arc::new(b.finish()),
            Self::TimestampNs(b) => Arc::new(b.finish()),
            Self::List(c) => c.finish()?,
            Self::Map(c) => c.finish()?,
            Self::Row(c) => c.finish()?,
        })
    }
}

impl ListColumn {
    fn append(&mut self, cell: Cell<'_>) {
        let (items, valid) = match cell {
            Cell::List(items) => (items, true),
            _ => (Vec::new(), false),
        };
        self.lengths.push(items.len());
        self.nulls.push(valid);
        for item in items {
            self.items.append(item);
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        let items = self.items.finish()?;
        let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
        let nulls = NullBuffer::from(std::mem::take(&mut self.nulls));
        let array = ListArray::try_new(self.field.clone(), offsets, items, Some(nulls))?;
        Ok(Arc::new(array))
    }
}

impl MapColumn {
    fn append(&mut self, cell: Cell<'_>) {
        let (entries, valid) = match cell {
            Cell::Map(entries) => (entries, true),
            _ => (Vec::new(), false),
        };
        self.lengths.push(entries.len());
        self.nulls.push(valid);
        for (key, value) in entries {
            self.keys.append(key);
            self.values.append(value);
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        let DataType::Struct(pair) = self.entries_field.data_type() else {
            return Err(arrow::error::ArrowError::SchemaError(
                "a map's entries are a struct".to_owned(),
            ));
        };
        let columns = vec![self.keys.finish()?, self.values.finish()?];
        let entries = StructArray::try_new(pair.clone(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
        let nulls = NullBuffer::from(std::mem::take(&mut self.nulls));
        let field = self.entries_field.clone();
        let array = MapArray::try_new(field, offsets, entries, Some(nulls), false)?;
        Ok(Arc::new(array))
    }
}

impl RowColumn {
    fn append(&mut self, cell: Cell<'_>) {
        let valid = if let Cell::Row(cells) = cell {
            for (column, cell) in self.columns.iter_mut().zip(cells) {
                column.append(cell);
            }
            true
        } else {
            for column in &mut self.columns {
                column.append(Cell::Null);
            }
            false
        };
        self.nulls.push(valid);
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow::error::ArrowError> {
        let columns = self
            .columns
            .iter_mut()
            .map(Column::finish)
            .collect::<Result<Vec<_>, _>>()?;
        let nulls = NullBuffer::from(std::mem::take(&mut self.nulls));
        let fields = self.fields.clone();
        Ok(Arc::new(StructArray::try_new(
            fields,
            columns,
            Some(nulls),
        )?))
    }
}
