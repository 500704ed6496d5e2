//! Columns that are in the record's key and not in its value
//! (`value.fields-include` = `EXCEPT_KEY`).

use super::{KEY_STAGE, SourceError, index_u32, unprefixed};
use crate::operators::{Context, OperatorError, RowFailure};
use arrow::array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Schema;
use bytes::Bytes;
use millstream_connect::formats::{self, Decoded, Decoder};
use millstream_core::ports::FetchedRecords;
use millstream_sql::catalog::TableDef;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Decodes a table's keys.
pub(super) struct Keys {
    decoder: Box<dyn Decoder>,
}

impl Keys {
    /// `None` for a table whose values have all columns.
    pub(super) fn new(table: &TableDef) -> Result<Option<Self>, SourceError> {
        let Some(key) = table.connector.key.as_ref().filter(|key| !key.in_value) else {
            return Ok(None);
        };
        let fields = key
            .fields
            .iter()
            .filter_map(|index| table.schema.fields().get(*index))
            .map(|field| unprefixed(field, &key.prefix));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let decoder = formats::decoder(&key.format.name, &key.format.options, schema)?;
        Ok(Some(Self { decoder }))
    }

    /// Which of the key's columns a table's column is.
    pub(super) fn column(table: &TableDef, index: usize) -> Option<usize> {
        let key = table.connector.key.as_ref().filter(|key| !key.in_value)?;
        key.fields.iter().position(|field| *field == index)
    }

    /// The key's columns for the rows of the values. A record without a key
    /// that can be decoded gives no row: `values` loses it, and the reason is
    /// among the failures, once for each record.
    pub(super) fn join(
        &mut self,
        chunk: &FetchedRecords,
        values: &mut Decoded,
        context: &mut Context,
    ) -> Result<RecordBatch, SourceError> {
        let keys: Vec<Option<Bytes>> = chunk.records.iter().map(|r| r.key.clone()).collect();
        let keys = self.decoder.decode(&keys)?;
        let with_rows: BTreeSet<usize> = values.rows.iter().copied().collect();
        for failure in keys.failures {
            if with_rows.contains(&failure.index) {
                context.failures.push(RowFailure {
                    origin: index_u32(failure.index),
                    stage: KEY_STAGE.to_owned(),
                    reason: format!("the record's key: {}", failure.reason),
                });
            }
        }
        if keys.rows == values.rows {
            return Ok(keys.batch);
        }
        // Both lists are ascending; a value may be more than one row.
        let pairs: Vec<(usize, usize)> = values
            .rows
            .iter()
            .enumerate()
            .filter_map(|(row, record)| Some((row, keys.rows.binary_search(record).ok()?)))
            .collect();
        let of_values: UInt64Array = pairs.iter().map(|(row, _)| Some(*row as u64)).collect();
        let of_keys: UInt64Array = pairs.iter().map(|(_, key)| Some(*key as u64)).collect();
        values.rows = pairs
            .iter()
            .filter_map(|(row, _)| values.rows.get(*row).copied())
            .collect();
        values.batch = rows_of(&values.batch, &of_values)?;
        Ok(rows_of(&keys.batch, &of_keys)?)
    }
}

fn rows_of(batch: &RecordBatch, rows: &UInt64Array) -> Result<RecordBatch, OperatorError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| take(column, rows, None))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(
        batch.schema(),
        columns,
        &options,
    )?)
}
