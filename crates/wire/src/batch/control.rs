//! Control batches: the markers that end a transaction in a partition
//! (KIP-98).

use super::{BatchBuilder, BatchError, BatchOptions, Record};
use crate::codec::{DecodeError, Reader};
use bytes::Bytes;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlKind {
    /// Its records are not to be read.
    Abort,
    /// Its records are to be read.
    Commit,
}

/// The one record of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// How the transaction ended.
    pub kind: ControlKind,
    /// Epoch of the transaction coordinator that wrote it: fences an older
    /// coordinator's markers.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The control batch that ends the transaction of a producer, to be
    /// placed by the log.
    pub fn to_batch(
        self,
        producer_id: i64,
        producer_epoch: i16,
        timestamp_ms: i64,
    ) -> Result<Bytes, BatchError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id,
            producer_epoch,
            is_transactional: true,
            is_control: true,
            ..BatchOptions::default()
        });
        let kind: i16 = match self.kind {
            ControlKind::Abort => 0,
            ControlKind::Commit => 1,
        };
        // Both start with version 0.
        let mut key = [0; 4];
        key[2..].copy_from_slice(&kind.to_be_bytes());
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        builder.append(timestamp_ms, Some(&key), Some(&value), &[])?;
        builder.build()
    }

    /// Parses the record of a control batch. Fields that later versions add
    /// at the end are skipped, as Kafka's own parser does.
    pub fn parse(record: &Record) -> Result<Self, BatchError> {
        let malformed = |source| BatchError::Record { index: 0, source };
        let null = || malformed(DecodeError::UnexpectedNull);
        let mut key = Reader::new(record.key.clone().ok_or_else(null)?);
        check_version(key.i16().map_err(malformed)?)?;
        let kind = match key.i16().map_err(malformed)? {
            0 => ControlKind::Abort,
            1 => ControlKind::Commit,
            other => return Err(BatchError::NotEndTxn(other)),
        };
        let mut value = Reader::new(record.value.clone().ok_or_else(null)?);
        check_version(value.i16().map_err(malformed)?)?;
        let coordinator_epoch = value.i32().map_err(malformed)?;
        Ok(Self {
            kind,
            coordinator_epoch,
        })
    }
}

fn check_version(version: i16) -> Result<(), BatchError> {
    if version < 0 {
        return Err(BatchError::Record {
            index: 0,
            source: DecodeError::UnsupportedVersion {
                message: "control record",
                version,
            },
        });
    }
    Ok(())
}
