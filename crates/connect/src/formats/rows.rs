//! Collects decoded rows, and the failures beside them.

use super::column::{Cell, Column};
use super::{DecodeFailure, Decoded, FormatError};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

/// Rows on their way into a batch.
pub(super) struct Rows {
    format: &'static str,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: Vec<usize>,
    failures: Vec<DecodeFailure>,
    skip_failures: bool,
}

impl Rows {
    pub(super) fn new(
        format: &'static str,
        schema: &SchemaRef,
        skip_failures: bool,
    ) -> Result<Self, FormatError> {
        let columns = schema.fields().iter().map(|f| Column::new(format, f));
        Ok(Self {
            format,
            schema: schema.clone(),
            columns: columns.collect::<Result<_, _>>()?,
            rows: Vec::new(),
            failures: Vec::new(),
            skip_failures,
        })
    }

    /// Takes what came of one value.
    pub(super) fn add(&mut self, index: usize, row: Result<Vec<Cell<'_>>, String>) {
        match row {
            Ok(cells) => {
                for (column, cell) in self.columns.iter_mut().zip(cells) {
                    column.append(cell);
                }
                self.rows.push(index);
            }
            // `ignore-parse-errors`: the user asked for the row to be skipped.
            Err(_) if self.skip_failures => {}
            Err(reason) => self.failures.push(DecodeFailure { index, reason }),
        }
    }

    pub(super) fn finish(mut self) -> Result<Decoded, FormatError> {
        let arrays = self.columns.iter_mut().map(Column::finish);
        let batch = arrays
            .collect::<Result<Vec<_>, _>>()
            .and_then(|arrays| {
                // A table may have no physical column at all: the number of
                // rows still counts.
                let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
                RecordBatch::try_new_with_options(self.schema, arrays, &options)
            })
            .map_err(|e| FormatError::Encode {
                format: self.format.to_owned(),
                reason: e.to_string(),
            })?;
        Ok(Decoded {
            batch,
            rows: self.rows,
            failures: self.failures,
        })
    }
}
