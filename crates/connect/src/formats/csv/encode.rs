//! Rows to CSV lines.

use super::{CsvOptions, NAME, check_types};
use crate::formats::cells::Cells;
use crate::formats::datetime::TimestampStandard;
use crate::formats::number;
use crate::formats::{Encoder, FormatError};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Encodes CSV lines, without a line end.
pub(in crate::formats) struct CsvEncoder {
    options: CsvOptions,
}

impl CsvEncoder {
    pub(in crate::formats) fn new(
        given: &BTreeMap<String, String>,
        schema: SchemaRef,
    ) -> Result<Self, FormatError> {
        let options = CsvOptions::read(given)?;
        check_types(&schema)?;
        Ok(Self { options })
    }

    fn field(&self, out: &mut String, column: &Cells<'_>, row: usize) {
        if column.is_null(row) {
            out.push_str(self.options.null_literal.as_deref().unwrap_or_default());
            return;
        }
        match column {
            Cells::Bool(a) => out.push_str(if a.value(row) { "true" } else { "false" }),
            Cells::Single(a) => out.push_str(&number::java_single(a.value(row))),
            Cells::Double(a) => out.push_str(&number::java_double(a.value(row))),
            Cells::Decimal(a) => {
                let text = if self.options.decimal_scientific {
                    number::decimal_stripped(a.value(row), a.scale())
                } else {
                    number::decimal_plain(a.value(row), a.scale())
                };
                out.push_str(&text);
            }
            Cells::Text(a) => self.text(out, a.value(row)),
            Cells::Date(_) | Cells::Time(_) | Cells::Timestamp { .. } => {
                let mut text = String::new();
                column.write_temporal(&mut text, row, TimestampStandard::Sql);
                self.text(out, &text);
            }
            _ => column.write_integer(out, row),
        }
    }

    /// Quotes a text that holds a character up to the delimiter or quote
    /// (white space among them) or is long: Jackson's loose rule, so that
    /// files equal Flink's byte for byte.
    fn text(&self, out: &mut String, text: &str) {
        const CHECKED_CHARS_MAX: usize = 24;
        let Some(quote) = self.options.quote else {
            out.push_str(text);
            return;
        };
        let safe_from = self.options.delimiter.max(quote).max(b'\r') + 1;
        let plain = text.len() <= CHECKED_CHARS_MAX
            && text
                .bytes()
                .all(|b| b >= safe_from && Some(b) != self.options.escape);
        if plain {
            out.push_str(text);
            return;
        }
        out.push(char::from(quote));
        for c in text.chars() {
            let is = |b: u8| c == char::from(b);
            match self.options.escape {
                Some(escape) if is(quote) || is(escape) => out.push(char::from(escape)),
                None if is(quote) => out.push(c),
                _ => {}
            }
            out.push(c);
        }
        out.push(char::from(quote));
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, FormatError> {
        let columns = batch.columns().iter().zip(batch.schema_ref().fields());
        let columns = columns
            .map(|(array, field)| Cells::new(NAME, field.name(), array))
            .collect::<Result<Vec<_>, _>>()?;
        let mut out = String::new();
        let lines = (0..batch.num_rows()).map(|row| {
            out.clear();
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(char::from(self.options.delimiter));
                }
                self.field(&mut out, column, row);
            }
            Bytes::copy_from_slice(out.as_bytes())
        });
        Ok(lines.collect())
    }
}
