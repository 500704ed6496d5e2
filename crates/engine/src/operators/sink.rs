//! The end of a job: rows become records of the sink's topic.

use super::OperatorError;
use crate::batch::{Batch, RowKind};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use millstream_connect::formats::{self, Encoder, FormatError};
use millstream_core::ids::{PartitionId, TopicPartition};
use millstream_core::partitioner::partition_for_key;
use millstream_core::ports::ProduceRecord;
use millstream_sql::catalog::{ColumnKind, MetadataKey, TableDef};
use std::sync::Arc;

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The sink's format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The rows.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

/// Encodes rows for a table's topic.
pub struct Sink {
    topic: String,
    partitions: i32,
    value: Encoding,
    key: Option<Encoding>,
    /// The column that is written as the record's timestamp.
    timestamp: Option<usize>,
    /// Where keyless rows of this epoch go.
    sticky: i32,
}

struct Encoding {
    encoder: Box<dyn Encoder>,
    schema: SchemaRef,
    /// Indices into the plan's output.
    columns: Vec<usize>,
}

impl Sink {
    /// Prepares to write to a table whose topic has `partitions`.
    pub fn new(table: &TableDef, partitions: i32) -> Result<Self, SinkError> {
        // The plan's columns are the table's persisted ones, in order.
        let persisted: Vec<usize> = (0..table.columns.len())
            .filter(|i| match table.columns.get(*i) {
                Some(ColumnKind::Physical) => true,
                Some(ColumnKind::Metadata { is_virtual, .. }) => !is_virtual,
                Some(ColumnKind::Computed { .. }) | None => false,
            })
            .collect();
        let mut value = Vec::new();
        let mut timestamp = None;
        for (output, column) in persisted.iter().enumerate() {
            match &table.columns[*column] {
                ColumnKind::Metadata {
                    key: MetadataKey::Timestamp,
                    ..
                } => timestamp = Some(output),
                ColumnKind::Metadata { .. } => {
                    return Err(OperatorError::Unsupported(format!(
                        "metadata column '{}' cannot be written: declare it VIRTUAL",
                        table.schema.field(*column).name()
                    ))
                    .into());
                }
                _ => value.push(output),
            }
        }
        let encoding = |format: &millstream_sql::catalog::FormatSpec, outputs: Vec<usize>| {
            let fields: Vec<_> = outputs
                .iter()
                .map(|o| table.schema.field(persisted[*o]).clone())
                .collect();
            let schema = Arc::new(Schema::new(fields));
            let encoder = formats::encoder(&format.name, &format.options, Arc::clone(&schema))?;
            Ok::<_, FormatError>(Encoding {
                encoder,
                schema,
                columns: outputs,
            })
        };
        let connector = &table.connector;
        let key = match &connector.key {
            Some(key) => {
                let outputs = key
                    .fields
                    .iter()
                    .filter_map(|field| persisted.iter().position(|p| p == field))
                    .collect();
                Some(encoding(&key.format, outputs)?)
            }
            None => None,
        };
        Ok(Self {
            topic: connector.topic.clone(),
            partitions,
            value: encoding(&connector.format, value)?,
            key,
            timestamp,
            sticky: 0,
        })
    }

    /// Encodes rows. `timestamp_ms` is the time of the newest record that
    /// made them (Kafka Streams: the maximum of the inputs'), unless the
    /// table has a timestamp column.
    pub fn encode(
        &mut self,
        batch: &Batch,
        timestamp_ms: Option<i64>,
    ) -> Result<Vec<(TopicPartition, ProduceRecord)>, SinkError> {
        if batch
            .kinds
            .as_ref()
            .is_some_and(|k| k.iter().any(|k| *k != RowKind::Insert))
        {
            return Err(OperatorError::Unsupported(
                "the 'kafka' connector takes insert-only rows".into(),
            )
            .into());
        }
        let values = self.value.encode(&batch.rows)?;
        let keys = self
            .key
            .as_mut()
            .map(|key| key.encode(&batch.rows))
            .transpose()?;
        let times = self.times(&batch.rows)?;
        let mut records = Vec::with_capacity(values.len());
        for (row, value) in values.into_iter().enumerate() {
            let key = keys.as_ref().and_then(|keys| keys.get(row).cloned());
            let time = times
                .as_ref()
                .and_then(|times| times.get(row).copied().flatten());
            let partition = match &key {
                Some(key) => partition_for_key(key, self.partitions),
                None => PartitionId(self.sticky % self.partitions.max(1)),
            };
            let target = TopicPartition {
                topic: self.topic.clone(),
                partition,
            };
            let record = ProduceRecord {
                timestamp_ms: time.or(timestamp_ms),
                key,
                value: Some(value),
                headers: Vec::new(),
            };
            records.push((target, record));
        }
        Ok(records)
    }

    /// Keyless rows of the next epoch go to the next partition: whole batches
    /// a partition, as Kafka's sticky partitioner does (KIP-480).
    pub fn next_epoch(&mut self) {
        self.sticky = self.sticky.wrapping_add(1) & i32::MAX;
    }

    fn times(&self, rows: &RecordBatch) -> Result<Option<Vec<Option<i64>>>, OperatorError> {
        let Some(column) = self.timestamp else {
            return Ok(None);
        };
        let millis = cast(
            rows.column(column),
            &DataType::Timestamp(TimeUnit::Millisecond, None),
        )?;
        let millis = cast(&millis, &DataType::Int64)?;
        let millis = millis.as_primitive::<Int64Type>();
        Ok(Some(
            (0..millis.len())
                .map(|i| millis.is_valid(i).then(|| millis.value(i)))
                .collect(),
        ))
    }
}

impl Encoding {
    fn encode(&mut self, rows: &RecordBatch) -> Result<Vec<Bytes>, SinkError> {
        let columns = self
            .columns
            .iter()
            .map(|c| Arc::clone(rows.column(*c)))
            .collect();
        // The sink's own names; a NULL in a NOT NULL column is an error, as
        // with Flink's `table.exec.sink.not-null-enforcer`.
        let rows =
            RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(OperatorError::from)?;
        Ok(self.encoder.encode(&rows)?)
    }
}
