//! JSON values to rows. A value is scanned once; each wanted field keeps its
//! exact text (`RawValue`), so decimals stay exact, and unknown fields cost a
//! scan only.

use super::{JsonOptions, NAME};
use crate::formats::column::{Cell, Column};
use crate::formats::rows::Rows;
use crate::formats::scalar;
use crate::formats::{Decoded, Decoder, FormatError};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use base64::Engine;
use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Decodes JSON objects.
pub(in crate::formats) struct JsonDecoder {
    options: JsonOptions,
    schema: SchemaRef,
    shape: Shape,
}

/// The fields of a ROW by name, and the shapes of what is nested in them.
struct Shape {
    fields: Fields,
    by_name: HashMap<String, usize>,
    nested: Vec<Nested>,
}

/// What a field's type needs beyond the type itself.
enum Nested {
    Scalar,
    List(Box<Nested>),
    Map(Box<Nested>),
    Row(Shape),
}

impl JsonDecoder {
    pub(in crate::formats) fn new(
        given: &BTreeMap<String, String>,
        schema: SchemaRef,
    ) -> Result<Self, FormatError> {
        let options = JsonOptions::read(given)?;
        for field in schema.fields() {
            // Refuses what cannot be carried, and bounds the nesting, before
            // the shapes below recurse over it.
            Column::new(NAME, field)?;
            string_keys(field.name(), field.data_type())?;
        }
        let shape = Shape::new(schema.fields());
        Ok(Self {
            options,
            schema,
            shape,
        })
    }

    fn row<'a>(&self, value: &'a [u8]) -> Result<Vec<Cell<'a>>, String> {
        let text = std::str::from_utf8(value)
            .map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err("expected a JSON object".to_owned());
        }
        self.object(&self.shape, text)
    }

    /// One cell a field of `shape`, from the text of an object.
    fn object<'a>(&self, shape: &Shape, text: &'a str) -> Result<Vec<Cell<'a>>, String> {
        let mut slots = vec![None; shape.fields.len()];
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer
            .deserialize_map(ObjectVisitor {
                shape,
                slots: &mut slots,
            })
            .and_then(|()| deserializer.end())
            .map_err(|e| format!("not JSON: {e}"))?;
        let mut cells = Vec::with_capacity(slots.len());
        for ((field, nested), slot) in shape.fields.iter().zip(&shape.nested).zip(slots) {
            let cell = match slot {
                Some(raw) => self.field(field.data_type(), nested, raw.get()),
                None if self.options.fail_on_missing_field => Err("is missing".to_owned()),
                None => Ok(Cell::Null),
            };
            cells.push(match cell {
                Ok(Cell::Null) if !field.is_nullable() => {
                    return Err(format!(
                        "field '{}': NULL or missing, but NOT NULL",
                        field.name()
                    ));
                }
                Ok(cell) => cell,
                Err(_) if self.options.ignore_parse_errors && field.is_nullable() => Cell::Null,
                Err(reason) => return Err(format!("field '{}': {reason}", field.name())),
            });
        }
        Ok(cells)
    }

    fn field<'a>(
        &self,
        data_type: &DataType,
        nested: &Nested,
        raw: &'a str,
    ) -> Result<Cell<'a>, String> {
        if raw == "null" {
            return Ok(Cell::Null);
        }
        match nested {
            Nested::Scalar => self.scalar(data_type, raw),
            Nested::Row(shape) if raw.starts_with('{') => self.object(shape, raw).map(Cell::Row),
            Nested::List(inner) if raw.starts_with('[') => self.list(data_type, inner, raw),
            Nested::Map(inner) if raw.starts_with('{') => self.map(data_type, inner, raw),
            _ => Err(mismatch(data_type, raw)),
        }
    }

    fn list<'a>(
        &self,
        data_type: &DataType,
        inner: &Nested,
        raw: &'a str,
    ) -> Result<Cell<'a>, String> {
        let DataType::List(item) = data_type else {
            return Err(mismatch(data_type, raw));
        };
        let raws: Vec<&'a RawValue> =
            serde_json::from_str(raw).map_err(|e| format!("not JSON: {e}"))?;
        let cells = raws
            .into_iter()
            .map(|raw| self.element(item.data_type(), item.is_nullable(), inner, raw.get()));
        cells.collect::<Result<_, _>>().map(Cell::List)
    }

    fn map<'a>(
        &self,
        data_type: &DataType,
        inner: &Nested,
        raw: &'a str,
    ) -> Result<Cell<'a>, String> {
        let DataType::Map(entries, _) = data_type else {
            return Err(mismatch(data_type, raw));
        };
        let DataType::Struct(pair) = entries.data_type() else {
            return Err(mismatch(data_type, raw));
        };
        let Some(value) = pair.get(1) else {
            return Err(mismatch(data_type, raw));
        };
        let raws: BTreeMap<String, &'a RawValue> =
            serde_json::from_str(raw).map_err(|e| format!("not JSON: {e}"))?;
        let mut cells = Vec::with_capacity(raws.len());
        for (key, raw) in raws {
            let cell = self.element(value.data_type(), value.is_nullable(), inner, raw.get())?;
            cells.push((Cell::Text(Cow::Owned(key)), cell));
        }
        Ok(Cell::Map(cells))
    }

    fn element<'a>(
        &self,
        data_type: &DataType,
        nullable: bool,
        nested: &Nested,
        raw: &'a str,
    ) -> Result<Cell<'a>, String> {
        match self.field(data_type, nested, raw)? {
            Cell::Null if !nullable => Err("NULL element, but NOT NULL".to_owned()),
            cell => Ok(cell),
        }
    }

    fn scalar<'a>(&self, data_type: &DataType, raw: &'a str) -> Result<Cell<'a>, String> {
        match (data_type, raw.as_bytes().first()) {
            (DataType::Utf8, Some(b'"')) => text(raw).map(Cell::Text),
            // Flink: a container in a STRING column is its JSON text, a
            // number or boolean its own text.
            (DataType::Utf8, Some(b'{' | b'[')) => Ok(Cell::Text(Cow::Owned(compact(raw)))),
            (DataType::Utf8, _) => Ok(Cell::Text(Cow::Borrowed(raw))),
            (_, Some(b'{' | b'[')) => Err(mismatch(data_type, raw)),
            (DataType::Binary, Some(b'"')) => base64::engine::general_purpose::STANDARD
                .decode(text(raw)?.as_bytes())
                .map(Cell::Bytes)
                .map_err(|_| "expected BYTES as base64".to_owned()),
            (DataType::Binary, _) => Err(mismatch(data_type, raw)),
            (_, Some(b'"')) => {
                scalar::parse(&text(raw)?, data_type, self.options.timestamp_standard)
            }
            (DataType::Boolean, Some(b't' | b'f')) => Ok(Cell::Bool(raw == "true")),
            (_, Some(b't' | b'f')) | (DataType::Boolean, _) => Err(mismatch(data_type, raw)),
            (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64, _)
                if raw.contains(['.', 'e', 'E']) =>
            {
                truncated(data_type, raw)
            }
            _ => scalar::parse(raw, data_type, self.options.timestamp_standard).map_err(|reason| {
                if reason.contains("range") {
                    reason
                } else {
                    mismatch(data_type, raw)
                }
            }),
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, values: &[Option<Bytes>]) -> Result<Decoded, FormatError> {
        let mut rows = Rows::new(NAME, &self.schema, self.options.ignore_parse_errors)?;
        for (index, value) in values.iter().enumerate() {
            let row = match value {
                Some(value) => self.row(value),
                None => Err("the value is null".to_owned()),
            };
            rows.add(index, row);
        }
        rows.finish()
    }
}

impl Shape {
    fn new(fields: &Fields) -> Self {
        Self {
            by_name: fields
                .iter()
                .enumerate()
                .map(|(i, f)| (f.name().clone(), i))
                .collect(),
            nested: fields.iter().map(|f| Nested::new(f.data_type())).collect(),
            fields: fields.clone(),
        }
    }

    /// Records of one producer mostly keep one order: the field after the
    /// last one found is tried before the table of names.
    fn find(&self, name: &str, expected: usize) -> Option<usize> {
        match self.fields.get(expected) {
            Some(field) if field.name() == name => Some(expected),
            _ => self.by_name.get(name).copied(),
        }
    }
}

impl Nested {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Struct(fields) => Self::Row(Shape::new(fields)),
            DataType::List(item) => Self::List(Box::new(Self::new(item.data_type()))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => match pair.get(1) {
                    Some(value) => Self::Map(Box::new(Self::new(value.data_type()))),
                    None => Self::Scalar,
                },
                _ => Self::Scalar,
            },
            _ => Self::Scalar,
        }
    }
}

struct ObjectVisitor<'s, 'a> {
    shape: &'s Shape,
    slots: &'s mut [Option<&'a RawValue>],
}

impl<'a> Visitor<'a> for ObjectVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut expected = 0;
        while let Some(name) = map.next_key::<Name<'a>>()? {
            match self.shape.find(&name.0, expected) {
                Some(at) => {
                    let raw = map.next_value::<&'a RawValue>()?;
                    // As in Jackson, the last of two equal names wins.
                    if let Some(slot) = self.slots.get_mut(at) {
                        *slot = Some(raw);
                    }
                    expected = at + 1;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A field name, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The content of a JSON string.
fn text(raw: &str) -> Result<Cow<'_, str>, String> {
    match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        _ => serde_json::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| "a string with an escape that is no character".to_owned()),
    }
}

/// JSON text without the white space between tokens.
fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in raw.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

/// A number with a fraction in an integer column loses the fraction, as
/// Jackson's `getIntValue` does.
fn truncated<'a>(data_type: &DataType, raw: &str) -> Result<Cell<'a>, String> {
    let value: f64 = raw.parse().map_err(|_| mismatch(data_type, raw))?;
    let value = value.trunc();
    let (min, max) = match data_type {
        DataType::Int8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
        DataType::Int16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
        DataType::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        // The largest double below 2^63.
        _ => (i64::MIN as f64, 9_223_372_036_854_774_784.0),
    };
    if (min..=max).contains(&value) {
        Ok(Cell::Int(value as i64))
    } else {
        Err(scalar::out_of_range(data_type))
    }
}

fn mismatch(data_type: &DataType, raw: &str) -> String {
    let found = match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    };
    format!("{}, found {found}", scalar::expected(data_type))
}

/// Flink's JSON format carries maps with string keys only.
fn string_keys(column: &str, data_type: &DataType) -> Result<(), FormatError> {
    match data_type {
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Ok(());
            };
            if pair
                .first()
                .is_some_and(|k| k.data_type() != &DataType::Utf8)
            {
                return Err(FormatError::Type {
                    format: NAME.to_owned(),
                    column: column.to_owned(),
                    data_type: "MAP with keys other than STRING".to_owned(),
                });
            }
            pair.iter()
                .try_for_each(|f| string_keys(column, f.data_type()))
        }
        DataType::List(item) => string_keys(column, item.data_type()),
        DataType::Struct(fields) => fields
            .iter()
            .try_for_each(|f| string_keys(column, f.data_type())),
        _ => Ok(()),
    }
}
