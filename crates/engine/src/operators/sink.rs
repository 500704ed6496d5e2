//! The end of a job: rows become records of the sink's topic.

use super::{Context, ErrorPolicy, OperatorError};
use crate::batch::{Batch, RowKind};
use crate::source::unprefixed;
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use millstream_connect::formats::{self, Encoder, FormatError};
use millstream_core::ids::{PartitionId, TopicPartition};
use millstream_core::partitioner::partition_for_key;
use millstream_core::ports::{ProduceRecord, Record, RecordHeader};
use millstream_sql::catalog::{ColumnKind, FormatSpec, MetadataKey, TableDef};
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

/// Header with the timestamp of the newest record that made a batch of
/// results, on the last of them: how old what they show is. Their own time is
/// that of their writing.
const INPUT_TIME_HEADER: &str = "millstream.input.timestamp";

/// The header that says how new the input of results was.
pub(crate) fn input_time(timestamp_ms: i64) -> RecordHeader {
    RecordHeader {
        key: INPUT_TIME_HEADER.to_owned(),
        value: Some(Bytes::from(timestamp_ms.to_string())),
    }
}

/// The time of the newest input that records tell of: what their producer
/// stamped, or what a job says of the input of its results.
pub(crate) fn newest_input(records: &[Record]) -> Option<i64> {
    let told = |record: &Record| {
        let header = record.headers.iter().find(|h| h.key == INPUT_TIME_HEADER)?;
        std::str::from_utf8(header.value.as_deref()?)
            .ok()?
            .parse()
            .ok()
    };
    let told = records.iter().filter_map(told).max();
    told.or_else(|| records.iter().map(|r| r.timestamp_ms).max())
}

/// The dead letters' stage of rows that cannot be written.
const STAGE: &str = "SINK";

/// Encodes rows for a table's topic.
pub struct Sink {
    topic: String,
    partitions: i32,
    /// Bytes that the topic takes in a batch.
    batch_bytes_max: usize,
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
    /// Prepares to write to a table whose topic has `partitions` and takes
    /// batches of `batch_bytes_max`.
    pub fn new(
        table: &TableDef,
        partitions: i32,
        batch_bytes_max: usize,
    ) -> Result<Self, SinkError> {
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
                _ if table.connector.is_key_only(*column) => {}
                _ => value.push(output),
            }
        }
        let encoding = |format: &FormatSpec, outputs: Vec<usize>, prefix: &str| {
            let fields: Vec<_> = outputs
                .iter()
                .map(|o| unprefixed(table.schema.field(persisted[*o]), prefix))
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
                Some(encoding(&key.format, outputs, &key.prefix)?)
            }
            None => None,
        };
        Ok(Self {
            topic: connector.topic.clone(),
            partitions,
            batch_bytes_max,
            value: encoding(&connector.format, value, "")?,
            key,
            timestamp,
            sticky: 0,
        })
    }

    /// Encodes rows. A record's time is that of its writing, as in Flink, or
    /// that of the table's timestamp column: were it the input's, results over
    /// old input would be older than the topic keeps them.
    ///
    /// Rows that the format cannot carry, or whose record is larger than the
    /// topic takes, are set aside in `context`.
    pub fn encode(
        &mut self,
        batch: &Batch,
        context: &mut Context,
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
        let (batch, records) = match self.records(&batch.rows) {
            Ok(records) => (batch.clone(), records),
            Err(reason) => self.without_bad_rows(batch, reason, context)?,
        };
        let mut targets = Vec::with_capacity(records.len());
        for (row, record) in records.into_iter().enumerate() {
            let bytes = record.batch_bytes();
            if bytes > self.batch_bytes_max {
                let reason = format!(
                    "the row takes {bytes} bytes, topic {} takes at most {} (max.message.bytes)",
                    self.topic, self.batch_bytes_max
                );
                context.set_aside(STAGE, &batch, row, reason)?;
                continue;
            }
            let partition = match &record.key {
                Some(key) => partition_for_key(key, self.partitions),
                None => PartitionId(self.sticky % self.partitions.max(1)),
            };
            let target = TopicPartition {
                topic: self.topic.clone(),
                partition,
            };
            targets.push((target, record));
        }
        Ok(targets)
    }

    /// One record a row, or why not.
    fn records(&mut self, rows: &RecordBatch) -> Result<Vec<ProduceRecord>, String> {
        let values = self.value.encode(rows)?;
        let keys = self.key.as_mut().map(|key| key.encode(rows)).transpose()?;
        let times = self.times(rows).map_err(|e| e.to_string())?;
        let record = |(row, value)| ProduceRecord {
            timestamp_ms: times
                .as_ref()
                .and_then(|times| times.get(row).copied().flatten()),
            key: keys.as_ref().and_then(|keys| keys.get(row).cloned()),
            value: Some(value),
            headers: Vec::new(),
        };
        Ok(values.into_iter().enumerate().map(record).collect())
    }

    /// Sets aside the rows that cannot be written; the others, as records.
    fn without_bad_rows(
        &mut self,
        batch: &Batch,
        reason: String,
        context: &mut Context,
    ) -> Result<(Batch, Vec<ProduceRecord>), SinkError> {
        if context.policy == ErrorPolicy::Fail {
            return Err(OperatorError::Row {
                operator: STAGE.to_owned(),
                reason,
            }
            .into());
        }
        let mut keep = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            let alone = self.records(&batch.rows.slice(row, 1));
            keep.push(alone.is_ok());
            if let Err(reason) = alone {
                context.set_aside(STAGE, batch, row, reason)?;
            }
        }
        let batch = batch
            .filter(&BooleanArray::from(keep))
            .map_err(OperatorError::from)?;
        let records = self.records(&batch.rows);
        let records = records.map_err(|reason| OperatorError::Row {
            operator: STAGE.to_owned(),
            reason,
        })?;
        Ok((batch, records))
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
    fn encode(&mut self, rows: &RecordBatch) -> Result<Vec<Bytes>, String> {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|c| Arc::clone(rows.column(*c)))
            .collect();
        // A NULL in a NOT NULL column is an error, as with Flink's
        // `table.exec.sink.not-null-enforcer`.
        for (field, column) in self.schema.fields().iter().zip(&columns) {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(format!(
                    "column '{}' is NOT NULL, and the row has NULL there",
                    field.name()
                ));
            }
        }
        // The sink's own names.
        let rows =
            RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| e.to_string())?;
        self.encoder.encode(&rows).map_err(|e| e.to_string())
    }
}
