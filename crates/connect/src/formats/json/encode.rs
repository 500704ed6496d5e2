//! Rows to JSON objects, as Flink writes them.

use super::{JsonOptions, MapNullKey, NAME};
use crate::formats::cells::Cells;
use crate::formats::number;
use crate::formats::{Encoder, FormatError};
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use base64::Engine;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Encodes JSON objects.
pub(in crate::formats) struct JsonEncoder {
    options: JsonOptions,
    /// `"name":` of every column, escaped once.
    labels: Vec<String>,
}

impl JsonEncoder {
    pub(in crate::formats) fn new(
        given: &BTreeMap<String, String>,
        schema: SchemaRef,
    ) -> Result<Self, FormatError> {
        let options = JsonOptions::read(given)?;
        for field in schema.fields() {
            crate::formats::column::Column::new(NAME, field)?;
        }
        let labels = schema.fields().iter().map(|f| label(f.name()));
        Ok(Self {
            options,
            labels: labels.collect(),
        })
    }

    fn row(
        &self,
        out: &mut String,
        labels: &[String],
        columns: &[Cells<'_>],
        row: usize,
    ) -> Result<(), String> {
        out.push('{');
        let mut first = true;
        for (label, column) in labels.iter().zip(columns) {
            let null = column.is_null(row);
            if null && self.options.ignore_null_fields {
                continue;
            }
            if !first {
                out.push(',');
            }
            first = false;
            out.push_str(label);
            self.value(out, column, row)?;
        }
        out.push('}');
        Ok(())
    }

    fn value(&self, out: &mut String, column: &Cells<'_>, row: usize) -> Result<(), String> {
        if column.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        match column {
            Cells::Bool(a) => out.push_str(if a.value(row) { "true" } else { "false" }),
            Cells::Single(a) => float(out, number::java_single(a.value(row))),
            Cells::Double(a) => float(out, number::java_double(a.value(row))),
            Cells::Decimal(a) => {
                let text = if self.options.decimal_plain {
                    number::decimal_plain(a.value(row), a.scale())
                } else {
                    number::decimal_stripped(a.value(row), a.scale())
                };
                out.push_str(&text);
            }
            Cells::Text(a) => quoted(out, a.value(row)),
            Cells::Bytes(a) => {
                out.push('"');
                base64::engine::general_purpose::STANDARD.encode_string(a.value(row), out);
                out.push('"');
            }
            Cells::Date(_) | Cells::Time(_) | Cells::Timestamp { .. } => {
                out.push('"');
                column.write_temporal(out, row, self.options.timestamp_standard);
                out.push('"');
            }
            Cells::List { offsets, items, .. } => {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                out.push('[');
                for at in from..to {
                    if at > from {
                        out.push(',');
                    }
                    self.value(out, items, at)?;
                }
                out.push(']');
            }
            Cells::Map {
                offsets,
                keys,
                values,
                ..
            } => {
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                self.map(out, keys, values, range)?;
            }
            Cells::Row { names, columns, .. } => {
                let labels: Vec<_> = names.iter().map(|n| label(n)).collect();
                self.row(out, &labels, columns, row)?;
            }
            _ => column.write_integer(out, row),
        }
        Ok(())
    }

    fn map(
        &self,
        out: &mut String,
        keys: &Cells<'_>,
        values: &Cells<'_>,
        range: std::ops::Range<usize>,
    ) -> Result<(), String> {
        out.push('{');
        let mut first = true;
        for at in range {
            let key = match keys {
                Cells::Text(a) if !a.is_null(at) => a.value(at),
                Cells::Text(_) => match &self.options.map_null_key {
                    MapNullKey::Drop => continue,
                    MapNullKey::Literal(literal) => literal,
                    MapNullKey::Fail => {
                        return Err("a map key is NULL: set 'json.map-null-key.mode' to \
                                    'DROP' or 'LITERAL'"
                            .to_owned());
                    }
                },
                _ => return Err("map keys must be STRING".to_owned()),
            };
            if !first {
                out.push(',');
            }
            first = false;
            quoted(out, key);
            out.push(':');
            self.value(out, values, at)?;
        }
        out.push('}');
        Ok(())
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, FormatError> {
        let columns = batch.columns().iter().zip(batch.schema_ref().fields());
        let columns = columns
            .map(|(array, field)| Cells::new(NAME, field.name(), array))
            .collect::<Result<Vec<_>, _>>()?;
        let mut values = Vec::with_capacity(batch.num_rows());
        let mut out = String::new();
        for row in 0..batch.num_rows() {
            out.clear();
            self.row(&mut out, &self.labels, &columns, row)
                .map_err(|reason| FormatError::Encode {
                    format: NAME.to_owned(),
                    reason,
                })?;
            values.push(Bytes::copy_from_slice(out.as_bytes()));
        }
        Ok(values)
    }
}

fn label(name: &str) -> String {
    let mut out = String::new();
    quoted(&mut out, name);
    out.push(':');
    out
}

/// Jackson quotes what JSON has no number for.
fn float(out: &mut String, text: String) {
    if text.ends_with(['N', 'y']) {
        out.push('"');
        out.push_str(&text);
        out.push('"');
    } else {
        out.push_str(&text);
    }
}

/// A JSON string.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        // Both ends are at ASCII bytes, so the slice is on characters.
        out.push_str(text.get(from..at).unwrap_or_default());
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04X}"));
        } else {
            out.push_str(escape);
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}
