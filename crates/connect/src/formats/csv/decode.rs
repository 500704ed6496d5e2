//! CSV lines to rows.

use super::line::{self, Field};
use super::{CsvOptions, NAME, check_types};
use crate::formats::column::Cell;
use crate::formats::datetime::TimestampStandard;
use crate::formats::rows::Rows;
use crate::formats::scalar;
use crate::formats::{Decoded, Decoder, FormatError};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Decodes CSV lines, columns by position.
pub(in crate::formats) struct CsvDecoder {
    options: CsvOptions,
    schema: SchemaRef,
}

impl CsvDecoder {
    pub(in crate::formats) fn new(
        given: &BTreeMap<String, String>,
        schema: SchemaRef,
    ) -> Result<Self, FormatError> {
        let options = CsvOptions::read(given)?;
        check_types(&schema)?;
        Ok(Self { options, schema })
    }

    fn row<'a>(&self, line: &'a str) -> Result<Vec<Cell<'a>>, String> {
        let fields = line::split(line, &self.options)?;
        let (expected, found) = (self.schema.fields().len(), fields.len());
        if found != expected && !self.options.ignore_parse_errors {
            return Err(format!("expected {expected} fields, found {found}"));
        }
        let mut cells = Vec::with_capacity(expected);
        let mut fields = fields.into_iter();
        for column in self.schema.fields() {
            let cell = match fields.next() {
                Some(field) => self.cell(column.data_type(), field),
                None => Ok(Cell::Null),
            };
            cells.push(match cell {
                Ok(Cell::Null) if !column.is_nullable() => {
                    return Err(format!("field '{}': NULL, but NOT NULL", column.name()));
                }
                Ok(cell) => cell,
                Err(_) if self.options.ignore_parse_errors && column.is_nullable() => Cell::Null,
                Err(reason) => return Err(format!("field '{}': {reason}", column.name())),
            });
        }
        Ok(cells)
    }

    fn cell<'a>(&self, data_type: &DataType, field: Field<'a>) -> Result<Cell<'a>, String> {
        if self.options.null_literal.as_deref() == Some(field.text.as_ref()) {
            return Ok(Cell::Null);
        }
        match data_type {
            DataType::Utf8 => Ok(Cell::Text(field.text)),
            _ => scalar::parse(&field.text, data_type, TimestampStandard::Sql),
        }
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, values: &[Option<Bytes>]) -> Result<Decoded, FormatError> {
        let mut rows = Rows::new(NAME, &self.schema, self.options.ignore_parse_errors)?;
        for (index, value) in values.iter().enumerate() {
            let Some(value) = value else {
                rows.add(index, Err("the value is null".to_owned()));
                continue;
            };
            let line = match std::str::from_utf8(value) {
                Ok(text) => text.trim_end_matches(['\n', '\r']),
                Err(e) => {
                    let reason = format!("not UTF-8 at byte {}", e.valid_up_to());
                    rows.add(index, Err(reason));
                    continue;
                }
            };
            if self.options.allow_comments && line.starts_with('#') {
                continue;
            }
            rows.add(index, self.row(line));
        }
        rows.finish()
    }
}
