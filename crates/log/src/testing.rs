//! What the tests of this crate share: a data folder on a disk that forgets,
//! batches, and a way to crash and come back.

use crate::config::LogConfig;
use crate::error::OpenError;
use crate::manager::{LogManager, LogManagerOptions};
use crate::partition::{AppendInfo, AppendOrigin, FetchRequest, PartitionLog, UpTo};
use bytes::Bytes;
use millstream_core::env::clock::ManualClock;
use millstream_core::env::{Clock, CrashFs, Fs, Keep};
use millstream_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use millstream_wire::batch::{
    BatchBuilder, BatchOptions, BatchView, ControlKind, EndTxnMarker, split_batches,
};
use millstream_wire::compression::Compression;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// A data folder with one partition, `orders-0`, on a disk that forgets.
pub(crate) struct Disk {
    pub(crate) fs: CrashFs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: LogConfig,
    /// What the metadata knows.
    pub(crate) newest_epoch: Option<LeaderEpoch>,
    boot: u64,
}

impl Disk {
    pub(crate) fn new(config: LogConfig) -> Self {
        Self {
            fs: CrashFs::new(),
            clock: ManualClock::at(NOW_MS),
            config,
            newest_epoch: None,
            boot: 0,
        }
    }

    pub(crate) fn manager(&self) -> Arc<LogManager> {
        self.try_manager().unwrap()
    }

    pub(crate) fn try_manager(&self) -> Result<Arc<LogManager>, OpenError> {
        LogManager::open(LogManagerOptions {
            data_dir: PathBuf::from("/var/data"),
            cluster_id: "cluster".to_owned(),
            node_id: 1,
            default_config: self.config.clone(),
            flush_threads: 0,
            open_files_max: 8,
            boot_id: Some(format!("boot-{}", self.boot)),
            newest_epochs: {
                let newest = self.newest_epoch;
                Arc::new(move |_, _| newest)
            },
            fs: self.fs.shared(),
            clock: self.clock.clone(),
        })
    }

    /// Opens the folder and the partition, creating it when it is not there.
    pub(crate) fn open(&self) -> (Arc<LogManager>, Arc<PartitionLog>) {
        let manager = self.manager();
        let log = manager
            .create(&orders(), topic_id(), self.config.clone())
            .unwrap();
        (manager, log)
    }

    /// Opens the folder and the partition, which must be there.
    pub(crate) fn reopen(&self) -> (Arc<LogManager>, Arc<PartitionLog>) {
        let manager = self.manager();
        assert!(manager.offline().is_empty(), "{:?}", manager.offline());
        let log = manager.get(&orders()).expect("the partition is gone");
        (manager, log)
    }

    /// The same content on a disk of its own.
    pub(crate) fn copy(&self) -> Self {
        Self {
            fs: self.fs.crash(Keep::Everything),
            clock: ManualClock::at(self.clock.now_ms()),
            config: self.config.clone(),
            newest_epoch: self.newest_epoch,
            boot: self.boot,
        }
    }

    /// The machine loses power and starts again.
    pub(crate) fn lose_power(&mut self, keep: Keep) {
        self.fs = self.fs.crash(keep);
        self.boot += 1;
    }

    /// The process is killed; the page cache lives on.
    pub(crate) fn kill(&mut self) {
        self.fs = self.fs.crash(Keep::Everything);
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new("/var/data/orders-0").join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let paths = self.fs.list(Path::new("/var/data/orders-0")).unwrap();
        paths
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }
}

pub(crate) fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

pub(crate) fn topic_id() -> TopicId {
    TopicId::from_u128(42)
}

/// Segments small enough to roll within a test.
pub(crate) fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

/// A producer as a batch shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
    pub(crate) transactional: bool,
}

pub(crate) const NOBODY: Producer = Producer {
    id: -1,
    epoch: -1,
    sequence: -1,
    transactional: false,
};

pub(crate) fn idempotent(id: i64, sequence: i32) -> Producer {
    Producer {
        id,
        epoch: 0,
        sequence,
        transactional: false,
    }
}

pub(crate) fn transactional(id: i64, sequence: i32) -> Producer {
    Producer {
        id,
        epoch: 0,
        sequence,
        transactional: true,
    }
}

/// A batch of records with these values.
pub(crate) fn batch_of(producer: Producer, timestamp_ms: i64, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: producer.sequence,
        is_transactional: producer.transactional,
        ..BatchOptions::default()
    });
    for value in values {
        builder
            .append(timestamp_ms, None, Some(value), &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// Key and value; no value is a tombstone.
pub(crate) type Keyed<'a> = (&'a [u8], Option<&'a [u8]>);

/// A batch of records with keys.
pub(crate) fn keyed(producer: Producer, records: &[Keyed<'_>]) -> Bytes {
    keyed_at(producer, NOW_MS, records)
}

/// A batch of records with keys, at a time.
pub(crate) fn keyed_at(producer: Producer, timestamp_ms: i64, records: &[Keyed<'_>]) -> Bytes {
    build_keyed(producer, Compression::None, timestamp_ms, records)
}

/// A compressed batch of records with keys.
pub(crate) fn keyed_with(
    producer: Producer,
    compression: Compression,
    records: &[Keyed<'_>],
) -> Bytes {
    build_keyed(producer, compression, NOW_MS, records)
}

fn build_keyed(
    producer: Producer,
    compression: Compression,
    timestamp_ms: i64,
    records: &[Keyed<'_>],
) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: producer.sequence,
        is_transactional: producer.transactional,
        ..BatchOptions::default()
    });
    for (key, value) in records {
        builder
            .append(timestamp_ms, Some(key), *value, &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// Offset, key and value of every record up to a bound.
pub(crate) fn read_keyed(log: &PartitionLog, up_to: UpTo) -> Vec<(i64, Vec<u8>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for batch in read_batches(log, up_to) {
        batch.verify_crc().unwrap();
        if !batch.header().is_control() {
            for record in batch.records().unwrap() {
                let record = record.unwrap();
                let key = record.key.unwrap().to_vec();
                found.push((record.offset, key, record.value.map(|v| v.to_vec())));
            }
        }
    }
    found
}

/// A batch of `count` records of 100 bytes.
pub(crate) fn batch(count: usize) -> Bytes {
    batch_of(NOBODY, NOW_MS, &vec![&[b'v'; 100][..]; count])
}

pub(crate) fn append(log: &PartitionLog, batch: Bytes) -> AppendInfo {
    log.append_as_leader(batch, AppendOrigin::Client, LeaderEpoch(0))
        .unwrap()
}

/// Appends one record and makes it durable.
pub(crate) fn append_durably(log: &PartitionLog, value: &[u8]) -> AppendInfo {
    let info = append(log, batch_of(NOBODY, NOW_MS, &[value]));
    log.flush().unwrap();
    assert!(log.high_watermark() >= info.end_offset());
    info
}

pub(crate) fn end_transaction(log: &PartitionLog, id: i64, kind: ControlKind) -> AppendInfo {
    let marker = EndTxnMarker {
        kind,
        coordinator_epoch: 0,
    }
    .to_batch(id, 0, NOW_MS)
    .unwrap();
    log.append_as_leader(marker, AppendOrigin::Coordinator, LeaderEpoch(0))
        .unwrap()
}

pub(crate) fn fetch(offset: i64, up_to: UpTo) -> FetchRequest {
    FetchRequest {
        offset: Offset(offset),
        bytes_max: 1 << 20,
        min_one_batch: true,
        up_to,
    }
}

/// All batches up to a bound, read one request at a time.
pub(crate) fn read_batches(log: &PartitionLog, up_to: UpTo) -> Vec<BatchView> {
    let mut offset = log.log_start_offset().0;
    let mut batches = Vec::new();
    loop {
        let fetched = log.read(fetch(offset, up_to)).unwrap();
        if fetched.batches.is_empty() {
            return batches;
        }
        batches.extend(split_batches(fetched.batches).map(Result::unwrap));
        offset = fetched.next_offset.0;
    }
}

/// Offset and value of every record up to a bound.
pub(crate) fn read_values(log: &PartitionLog, up_to: UpTo) -> Vec<(i64, Vec<u8>)> {
    let mut values = Vec::new();
    for batch in read_batches(log, up_to) {
        batch.verify_crc().unwrap();
        if !batch.header().is_control() {
            for record in batch.records().unwrap() {
                let record = record.unwrap();
                values.push((record.offset, record.value.unwrap().to_vec()));
            }
        }
    }
    values
}
