//! Columns taken from the record itself.

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapBuilder, MapFieldNames, StringArray,
    StringBuilder, TimestampMillisecondArray,
};
use millstream_core::ports::FetchedRecords;
use millstream_sql::catalog::MetadataKey;
use std::sync::Arc;

/// A part of a record that the bus gives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Headers,
}

impl Key {
    /// The name of the key is the error when the bus does not carry it.
    pub(super) fn new(key: MetadataKey) -> Result<Self, &'static str> {
        Ok(match key {
            MetadataKey::Topic => Self::Topic,
            MetadataKey::Partition => Self::Partition,
            MetadataKey::Offset => Self::Offset,
            MetadataKey::Timestamp => Self::Timestamp,
            MetadataKey::Headers => Self::Headers,
            MetadataKey::TimestampType => return Err("timestamp-type"),
            MetadataKey::LeaderEpoch => return Err("leader-epoch"),
        })
    }

    /// The part of each of `rows`, indices into the chunk's records.
    pub(super) fn column(self, chunk: &FetchedRecords, rows: &[usize]) -> ArrayRef {
        let records = rows.iter().filter_map(|row| chunk.records.get(*row));
        match self {
            Self::Topic => {
                let topic = chunk.topic_partition.topic.as_str();
                Arc::new(StringArray::from(vec![topic; rows.len()]))
            }
            Self::Partition => {
                let partition = chunk.topic_partition.partition.0;
                Arc::new(Int32Array::from(vec![partition; rows.len()]))
            }
            Self::Offset => Arc::new(records.map(|r| Some(r.offset.0)).collect::<Int64Array>()),
            Self::Timestamp => {
                let times: TimestampMillisecondArray =
                    records.map(|r| Some(r.timestamp_ms)).collect();
                Arc::new(times.with_timezone("UTC"))
            }
            Self::Headers => {
                // The field names of Arrow's own map type.
                let names = MapFieldNames {
                    entry: "entries".into(),
                    key: "key".into(),
                    value: "value".into(),
                };
                let mut map =
                    MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
                for record in records {
                    for header in &record.headers {
                        map.keys().append_value(&header.key);
                        map.values().append_option(header.value.as_deref());
                    }
                    // Keys and values have the same length by construction.
                    let _ = map.append(true);
                }
                Arc::new(map.finish())
            }
        }
    }
}
