//! What compaction and re-compression make of a batch: fewer records, or
//! others' bytes of the same records, with everything else as it was.
//!
//! Offsets, producer fields, leader epoch and the batch's last offset stay: a
//! producer that retries and a reader that looks for an offset find what they
//! would have found before (KIP-98). Kafka's `MemoryRecords.filterTo` does the
//! same.

use super::builder::put_record;
use super::header::HEADER_BYTES;
use super::{
    Attributes, BatchError, BatchHeader, BatchView, LOG_OVERHEAD_BYTES, Record, TimestampType,
    patch,
};
use crate::compression::Compression;
use bytes::{BufMut, Bytes, BytesMut};

/// Base timestamp of a batch without records, as Kafka writes it.
const NO_TIMESTAMP: i64 = -1;

/// The batch with only these of its records, in their order; there must be
/// one. `delete_horizon_ms` gives the batch the time from which on its
/// tombstones and markers may go (KIP-534), in milliseconds since 1970;
/// without it a horizon that the batch has is kept.
pub fn retain_records(
    header: &BatchHeader,
    records: &[Record],
    delete_horizon_ms: Option<i64>,
) -> Result<Bytes, BatchError> {
    let first = records.first().ok_or(BatchError::Empty)?;
    let kept_horizon = header
        .attributes
        .has_delete_horizon()
        .then_some(header.base_timestamp);
    let horizon_ms = delete_horizon_ms.or(kept_horizon);
    // The horizon takes the place of the base timestamp, and the deltas count
    // from it.
    let base_timestamp = horizon_ms.unwrap_or(first.timestamp);
    let mut body = BytesMut::new();
    let mut max_timestamp = i64::MIN;
    for (index, record) in records.iter().enumerate() {
        let delta = i32::try_from(record.offset.wrapping_sub(header.base_offset))
            .ok()
            .filter(|delta| (0..=header.last_offset_delta).contains(delta))
            .ok_or(BatchError::OffsetDelta { index, delta: -1 })?;
        let timestamp_delta = record.timestamp.wrapping_sub(base_timestamp);
        put_record(&mut body, timestamp_delta, delta, record)?;
        max_timestamp = max_timestamp.max(record.timestamp);
    }
    let payload = match header.compression()? {
        Compression::None => body.freeze(),
        codec => codec.compress(&body)?.into(),
    };
    let changed = BatchHeader {
        attributes: header.attributes.with_delete_horizon(horizon_ms.is_some()),
        base_timestamp,
        max_timestamp: match header.timestamp_type() {
            TimestampType::CreateTime => max_timestamp,
            TimestampType::LogAppendTime => header.max_timestamp,
        },
        records_count: i32::try_from(records.len())
            .map_err(|_| BatchError::TooLarge(records.len()))?,
        ..header.clone()
    };
    assemble(changed, &payload)
}

/// The batch without any of its records: what is left of a producer's last
/// batch, so that its sequence is remembered, and of the last batch of a run,
/// so that the run's end is.
pub fn without_records(header: &BatchHeader) -> Result<Bytes, BatchError> {
    let changed = BatchHeader {
        attributes: header
            .attributes
            .with_compression(Compression::None)
            .with_delete_horizon(false),
        base_timestamp: NO_TIMESTAMP,
        records_count: 0,
        ..header.clone()
    };
    assemble(changed, &[])
}

/// The batch with its records compressed another way; `level` is the codec's
/// own, `None` its default. The records are walked: a batch that does not hold
/// what it says is refused.
pub fn recompress(
    batch: &BatchView,
    compression: Compression,
    level: Option<i32>,
) -> Result<Bytes, BatchError> {
    let body = batch.expand(usize::MAX)?;
    batch
        .records_in(body.clone())
        .try_for_each(|record| record.map(drop))?;
    let payload: Bytes = match compression {
        Compression::None => body,
        codec => codec.compress_at(&body, level)?.into(),
    };
    let header = batch.header();
    let changed = BatchHeader {
        attributes: header.attributes.with_compression(compression),
        ..header.clone()
    };
    assemble(changed, &payload)
}

/// Header and payload as one batch, with length and checksum set.
fn assemble(header: BatchHeader, payload: &[u8]) -> Result<Bytes, BatchError> {
    let size_bytes = HEADER_BYTES + payload.len();
    let batch_length = i32::try_from(size_bytes - LOG_OVERHEAD_BYTES)
        .map_err(|_| BatchError::TooLarge(size_bytes))?;
    let mut header = BatchHeader {
        batch_length,
        crc: 0,
        ..header
    };
    let mut bytes = BytesMut::with_capacity(size_bytes);
    bytes.put_bytes(0, HEADER_BYTES);
    bytes.put_slice(payload);
    let write = |header: &BatchHeader, bytes: &mut BytesMut| {
        if let Some(room) = bytes.first_chunk_mut::<HEADER_BYTES>() {
            header.write(room);
        }
    };
    write(&header, &mut bytes);
    header.crc = patch::checksum(&bytes)?;
    write(&header, &mut bytes);
    Ok(bytes.freeze())
}

impl Attributes {
    /// The same flags, with this codec.
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Self {
        Self((self.0 & !Self::COMPRESSION) | i16::from(compression.code()))
    }

    /// The same flags, with the delete horizon's as told.
    #[must_use]
    pub fn with_delete_horizon(self, on: bool) -> Self {
        self.with(Self::DELETE_HORIZON, on)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, BatchOptions};
    use super::*;

    fn batch(compression: Compression) -> BatchView {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: 40,
            partition_leader_epoch: 3,
            compression,
            producer_id: 7,
            producer_epoch: 2,
            base_sequence: 11,
            is_transactional: true,
            ..BatchOptions::default()
        });
        for i in 0..5_i64 {
            let key = format!("key-{i}");
            let value = (i != 3).then_some(&b"value"[..]);
            builder
                .append(1000 + i, Some(key.as_bytes()), value, &[("h", Some(b"1"))])
                .unwrap();
        }
        BatchView::parse(&builder.build().unwrap()).unwrap()
    }

    fn records(batch: &BatchView) -> Vec<Record> {
        batch.records().unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_kept_keeps_its_offset_time_and_producer() {
        for codec in Compression::ALL {
            let before = batch(codec);
            let kept: Vec<Record> = records(&before)
                .into_iter()
                .filter(|r| r.offset % 2 == 1)
                .collect();
            let after = retain_records(before.header(), &kept, None).unwrap();
            let after = BatchView::parse(&after).unwrap();
            after.verify_crc().unwrap();
            assert_eq!(records(&after), kept, "{}", codec.name());
            let (old, new) = (before.header(), after.header());
            assert_eq!((new.base_offset, new.last_offset()), (40, 44));
            assert_eq!(
                (new.base_sequence, new.last_sequence(), new.producer_epoch),
                (old.base_sequence, old.last_sequence(), old.producer_epoch)
            );
            assert_eq!(new.partition_leader_epoch, 3);
            assert_eq!(new.attributes, old.attributes);
            assert_eq!((new.base_timestamp, new.max_timestamp), (1001, 1003));
            assert_eq!(new.records_count, 2);
        }
    }

    #[test]
    fn a_delete_horizon_takes_the_place_of_the_base_timestamp_and_stays() {
        let before = batch(Compression::Lz4);
        let all = records(&before);
        let marked = retain_records(before.header(), &all, Some(9_999)).unwrap();
        let marked = BatchView::parse(&marked).unwrap();
        assert!(marked.header().attributes.has_delete_horizon());
        assert_eq!(marked.header().base_timestamp, 9_999);
        assert_eq!(records(&marked), all);
        let fewer = retain_records(marked.header(), &all[3..4], None).unwrap();
        let fewer = BatchView::parse(&fewer).unwrap();
        assert_eq!(fewer.header().base_timestamp, 9_999);
        assert_eq!(records(&fewer), all[3..4]);
    }

    #[test]
    fn an_emptied_batch_keeps_its_offsets_and_sequence() {
        let before = batch(Compression::Zstd);
        let after = BatchView::parse(&without_records(before.header()).unwrap()).unwrap();
        after.verify_crc().unwrap();
        assert_eq!(records(&after), []);
        assert_eq!(after.size_bytes(), HEADER_BYTES);
        assert_eq!(after.last_offset(), before.last_offset());
        assert_eq!(
            after.header().last_sequence(),
            before.header().last_sequence()
        );
        assert!(after.header().is_transactional());
        assert_eq!(after.header().max_timestamp, before.header().max_timestamp);
        assert_eq!(after.header().compression(), Ok(Compression::None));
    }

    #[test]
    fn recompressed_records_are_the_same_records() {
        for from in Compression::ALL {
            for to in Compression::ALL {
                let before = batch(from);
                let after = BatchView::parse(&recompress(&before, to, None).unwrap()).unwrap();
                after.verify_crc().unwrap();
                assert_eq!(after.header().compression(), Ok(to));
                assert_eq!(records(&after), records(&before));
                assert_eq!(after.header().base_sequence, before.header().base_sequence);
            }
        }
    }
}
