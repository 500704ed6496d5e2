//! A table as the start of a job: records in, rows and watermarks out.
//!
//! The steps are those of [`SourceNode`]: decode, add metadata columns,
//! compute columns, follow the watermark. A record that gives no row is
//! reported with its reason; it never stops the job.

mod keys;
mod metadata;
pub mod startup;
pub mod watermark;

use crate::batch::Batch;
use crate::operators::evaluate::evaluate;
use crate::operators::project::Project;
use crate::operators::window_aggregate::milliseconds;
use crate::operators::{Context, Operator, OperatorError, RowFailure};
use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use keys::Keys;
use millstream_connect::formats::{self, Decoder, FormatError};
use millstream_core::ports::FetchedRecords;
use millstream_sql::catalog::ColumnKind;
use millstream_sql::plan::{SourceNode, WatermarkNode};
use std::sync::Arc;

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its expressions.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A metadata column that the log cannot give.
    #[error(
        "metadata column '{0}' cannot be read: use topic, partition, offset, timestamp or headers"
    )]
    Metadata(&'static str),
}

/// What a chunk of records came to.
#[derive(Debug)]
pub struct DecodedChunk {
    /// Rows of the table's full schema.
    pub batch: Batch,
    /// The largest watermark among the rows, in milliseconds.
    pub watermark_ms: Option<i64>,
}

/// Decodes a table's records.
pub struct Source {
    decoder: Box<dyn Decoder>,
    /// Where columns are in the record's key only.
    keys: Option<Keys>,
    base_schema: SchemaRef,
    /// Where each column of `base_schema` comes from.
    columns: Vec<BaseColumn>,
    compute: Project,
    watermark: Option<WatermarkNode>,
}

#[derive(Debug, Clone, Copy)]
enum BaseColumn {
    /// By index into the decoder's schema.
    Physical(usize),
    /// By index into the key's columns.
    Key(usize),
    Metadata(metadata::Key),
}

impl Source {
    /// Prepares to read a table.
    pub fn new(node: &SourceNode) -> Result<Self, SourceError> {
        let mut physical = Vec::new();
        let mut columns = Vec::new();
        for field in node.base_schema.fields() {
            let kind = node
                .table
                .schema
                .index_of(field.name())
                .ok()
                .and_then(|index| Some((index, node.table.columns.get(index)?)));
            let key = kind.and_then(|(index, _)| Keys::column(&node.table, index));
            columns.push(match (kind.map(|(_, kind)| kind), key) {
                (Some(ColumnKind::Physical), Some(index)) => BaseColumn::Key(index),
                (Some(ColumnKind::Metadata { key, .. }), _) => {
                    BaseColumn::Metadata(metadata::Key::new(*key).map_err(SourceError::Metadata)?)
                }
                (Some(ColumnKind::Physical), None) => {
                    physical.push(Arc::clone(field));
                    BaseColumn::Physical(physical.len() - 1)
                }
                (Some(ColumnKind::Computed { .. }) | None, _) => {
                    return Err(OperatorError::Unsupported(format!(
                        "column {} of table {} is read from nothing",
                        field.name(),
                        node.table.name
                    ))
                    .into());
                }
            });
        }
        let format = &node.table.connector.format;
        let schema = Arc::new(Schema::new(physical));
        Ok(Self {
            decoder: formats::decoder(&format.name, &format.options, schema)?,
            keys: Keys::new(&node.table)?,
            base_schema: node.base_schema.clone(),
            columns,
            compute: Project::of(node.columns.clone(), node.schema.clone()),
            watermark: node.watermark.clone(),
        })
    }

    /// Decodes one partition's records. Those that give no row are in
    /// `context.failures`, whatever its policy: bytes that cannot be decoded
    /// are the record's fault.
    pub fn decode(
        &mut self,
        chunk: &FetchedRecords,
        context: &mut Context,
    ) -> Result<DecodedChunk, SourceError> {
        let values: Vec<Option<Bytes>> = chunk.records.iter().map(|r| r.value.clone()).collect();
        let mut decoded = self.decoder.decode(&values)?;
        for failure in &decoded.failures {
            context.failures.push(RowFailure {
                origin: index_u32(failure.index),
                stage: DECODE_STAGE.to_owned(),
                reason: failure.reason.clone(),
            });
        }
        let keys = match &mut self.keys {
            Some(keys) => Some(keys.join(chunk, &mut decoded, context)?),
            None => None,
        };
        let base = self.base_rows(chunk, &decoded.batch, keys.as_ref(), &decoded.rows)?;
        let batch = Batch {
            rows: base,
            kinds: None,
            origins: Some(decoded.rows.iter().map(|i| index_u32(*i)).collect()),
        };
        let batch = self
            .compute
            .on_batch(batch, context)?
            .pop()
            .ok_or_else(|| OperatorError::Unsupported("a projection without rows".into()))?;
        Ok(self.follow_watermark(batch, context)?)
    }

    fn base_rows(
        &self,
        chunk: &FetchedRecords,
        decoded: &RecordBatch,
        keys: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<RecordBatch, OperatorError> {
        let columns = self
            .columns
            .iter()
            .zip(self.base_schema.fields())
            .map(|(column, field)| {
                let array = match column {
                    BaseColumn::Physical(index) => Arc::clone(decoded.column(*index)),
                    BaseColumn::Key(index) => match keys {
                        Some(keys) => Arc::clone(keys.column(*index)),
                        None => new_null_array(field.data_type(), rows.len()),
                    },
                    BaseColumn::Metadata(key) => key.column(chunk, rows),
                };
                if array.data_type() == field.data_type() {
                    Ok(array)
                } else {
                    cast(&array, field.data_type())
                }
            })
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(
            self.base_schema.clone(),
            columns,
            &options,
        )?)
    }

    fn follow_watermark(
        &self,
        batch: Batch,
        context: &mut Context,
    ) -> Result<DecodedChunk, OperatorError> {
        let Some(watermark) = &self.watermark else {
            return Ok(DecodedChunk {
                batch,
                watermark_ms: None,
            });
        };
        let batch = refuse_null_times(batch, watermark.column, context)?;
        // A time that is out of the range of times fails here, for its row.
        let expression = [Arc::clone(&watermark.expression)];
        let (batch, marks) = evaluate(WATERMARK_STAGE, &expression, &[], batch, context)?;
        let watermark_ms = match marks.first() {
            Some(marks) => milliseconds(marks)?.iter().flatten().max(),
            None => None,
        };
        Ok(DecodedChunk {
            batch,
            watermark_ms,
        })
    }
}

/// The dead letters' stage of rows whose event time cannot be followed.
const WATERMARK_STAGE: &str = "WATERMARK";

/// The dead letters' stage of values that cannot be decoded, as Kafka Connect
/// names it.
pub const DECODE_STAGE: &str = "VALUE_CONVERTER";
/// The same of keys.
const KEY_STAGE: &str = "KEY_CONVERTER";

/// A key's field by its own name: the column's without the prefix.
pub(crate) fn unprefixed(field: &Field, prefix: &str) -> Field {
    let name = field.name();
    let own = name.strip_prefix(prefix).unwrap_or(name).to_owned();
    field.clone().with_name(own)
}

/// Flink's WatermarkAssignerOperator fails on a NULL event time; here the
/// record is a dead letter.
fn refuse_null_times(
    batch: Batch,
    column: usize,
    context: &mut Context,
) -> Result<Batch, OperatorError> {
    let times = batch.rows.column(column);
    if times.null_count() == 0 {
        return Ok(batch);
    }
    let name = batch.rows.schema().field(column).name().clone();
    let reason = format!("the event time column '{name}' is NULL");
    let keep: BooleanArray = (0..times.len())
        .map(|row| Some(times.is_valid(row)))
        .collect();
    for row in (0..times.len()).filter(|row| times.is_null(*row)) {
        context.set_aside(WATERMARK_STAGE, &batch, row, reason.clone())?;
    }
    Ok(batch.filter(&keep)?)
}

/// A chunk is bounded far below 2^32 records.
fn index_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
