//! A job's changelog topic: state changes and positions, epoch by epoch.
//!
//! One partition, written only inside the epoch's transaction, read at
//! read_committed: whatever is in it, is of a committed epoch. Records of an
//! epoch, in order:
//!
//! | key `kind` | value |
//! |---|---|
//! | `reset` | empty; what follows is the whole state, not a change |
//! | `state` | a part of an Arrow IPC stream with rows of one operator's state |
//! | `control` | a [`Control`] as JSON: where the job is |
//!
//! Nothing before the newest `reset` is needed; it is removed with
//! DeleteRecords after the epoch has committed.
//!
//! Every record names its job in the header [`JOB_HEADER`]. On the embedded
//! log nobody else can write here; on another cluster anybody may, and what
//! is not the job's is skipped and reported. Records of versions that wrote
//! no header are known by their keys, up to the first with one.

use crate::operators::chain::StatePart;
use crate::operators::{Chain, OperatorError, WATERMARK_NONE};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use millstream_core::ids::{Offset, TopicId, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, Isolation, OffsetAt, ProduceRecord, Record, RecordHeader,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of state in one record: below `max.message.bytes` with room for key
/// and framing.
const PART_BYTES_MAX: usize = 512 * 1024;
/// Bytes read at a time while restoring.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// One wait for more of the changelog.
const READ_WAIT: Duration = Duration::from_secs(1);
/// Waits without progress before the restore gives up and is tried again.
const READ_WAITS_MAX: u32 = 30;

/// Header with the id of the job that wrote a record.
const JOB_HEADER: &str = "millstream.job";

/// Why a changelog cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The state does not fit the job.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// Arrow IPC.
    #[error("changelog: {0}")]
    Arrow(#[from] ArrowError),
    /// A record that this version does not understand.
    #[error("changelog record at offset {offset}: {reason}")]
    Record {
        /// Where.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The end was not reached in time.
    #[error("the changelog could not be read to its end: {read} of {end}")]
    Incomplete {
        /// Read so far.
        read: Offset,
        /// The end.
        end: Offset,
    },
}

/// Where a job is after an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The epoch, from 0: the first only fixes where the job begins.
    pub epoch: u64,
    /// The source's watermark in milliseconds.
    pub watermark_ms: i64,
    /// One entry a partition of the source.
    pub partitions: Vec<PartitionPosition>,
    /// Totals since the job was created.
    pub counters: Counters,
    /// Bounded input has been read to its end and all of it has come out.
    pub finished: bool,
}

/// Where a job is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The topic's id; absent where the cluster tells none, and in records of
    /// versions that did not remember it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// The next offset to read.
    pub offset: i64,
    /// Where bounded input ends, exclusive.
    pub end: Option<i64>,
    /// The partition's watermark in milliseconds.
    pub watermark_ms: i64,
}

/// Totals since the job was created; exact, as they commit with the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records read.
    pub in_records: u64,
    /// Records written to the sink.
    pub out_records: u64,
    /// Rows that came after their window had fired.
    pub late_records: u64,
    /// Records in the dead-letter topic.
    pub dead_letters: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Key {
    kind: Kind,
    epoch: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    operator: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    part: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    parts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Reset,
    State,
    Control,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The records of one epoch of a job.
pub fn records(
    job: &str,
    state: &[StatePart],
    whole: bool,
    control: &Control,
) -> Result<Vec<ProduceRecord>, ChangelogError> {
    let key = |kind| Key {
        kind,
        epoch: control.epoch,
        operator: 0,
        part: 0,
        parts: 0,
    };
    let mut records = Vec::new();
    if whole {
        records.push(record(job, &key(Kind::Reset), Bytes::new())?);
    }
    for (operator, batch) in state {
        let bytes = encode(batch)?;
        let parts = bytes.len().div_ceil(PART_BYTES_MAX);
        for part in 0..parts {
            let end = bytes.len().min((part + 1) * PART_BYTES_MAX);
            let key = Key {
                operator: *operator,
                part,
                parts,
                ..key(Kind::State)
            };
            records.push(record(job, &key, bytes.slice(part * PART_BYTES_MAX..end))?);
        }
    }
    let json = serde_json::to_vec(control).map_err(external)?;
    records.push(record(job, &key(Kind::Control), Bytes::from(json))?);
    Ok(records)
}

fn record(job: &str, key: &Key, value: Bytes) -> Result<ProduceRecord, ChangelogError> {
    let key = serde_json::to_vec(key).map_err(external)?;
    Ok(ProduceRecord {
        timestamp_ms: None,
        key: Some(Bytes::from(key)),
        value: Some(value),
        headers: vec![RecordHeader {
            key: JOB_HEADER.to_owned(),
            value: Some(Bytes::from(job.to_owned())),
        }],
    })
}

fn external(error: serde_json::Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

fn encode(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    Ok(Bytes::from(writer.into_inner()?))
}

/// Bytes of records as they will be in the topic, about.
pub fn bytes_of(records: &[ProduceRecord]) -> u64 {
    let of = |field: &Option<Bytes>| field.as_ref().map_or(0, |b| b.len() as u64);
    records.iter().map(|r| of(&r.key) + of(&r.value)).sum()
}

/// What a changelog held.
#[derive(Debug)]
pub struct Restored {
    /// The last epoch's control record; `None` for a job that never ran.
    pub control: Option<Control>,
    /// Bytes read.
    pub bytes: u64,
    /// Records that somebody else wrote; none of them was used.
    pub foreign: u64,
}

/// Reads the changelog of `job` to its stable end into `chain`. Only after
/// `transaction_writer` has fenced every older instance: then nothing can be
/// added, and no transaction is open.
pub async fn restore(
    bus: &dyn Bus,
    job: &str,
    partition: &TopicPartition,
    chain: &mut Chain,
) -> Result<Restored, ChangelogError> {
    let at = std::slice::from_ref(partition);
    let start = first(bus.offsets(at, OffsetAt::Earliest).await?);
    let end = first(bus.offsets(at, OffsetAt::LatestStable).await?);
    let mut replay = Replay {
        job,
        chain,
        control: None,
        assembled: Vec::new(),
        bytes: 0,
        is_named: false,
        foreign: 0,
    };
    replay.chain.reset()?;
    let mut next = start;
    let mut reader = bus
        .reader(&[(partition.clone(), start)], Isolation::ReadCommitted)
        .await?;
    let mut waits = 0;
    while next < end {
        let chunks = reader.poll(READ_WAIT, READ_BYTES).await?;
        waits = if chunks.is_empty() { waits + 1 } else { 0 };
        if waits > READ_WAITS_MAX {
            return Err(ChangelogError::Incomplete { read: next, end });
        }
        for chunk in chunks {
            // Without them it would be the state of another job.
            if let Some(range) = chunk.unreadable.first() {
                return Err(ChangelogError::Record {
                    offset: range.first_offset,
                    reason: range.reason.clone(),
                });
            }
            for record in &chunk.records {
                replay.apply(record)?;
            }
            next = chunk.next_offset;
        }
    }
    let Replay {
        chain,
        control,
        bytes,
        foreign,
        ..
    } = replay;
    if foreign > 0 {
        let topic = &partition.topic;
        tracing::warn!(
            job,
            topic,
            foreign,
            "records that the job did not write were skipped: nobody else may write to this topic"
        );
    }
    chain.restored(control.as_ref().map_or(WATERMARK_NONE, |c| c.watermark_ms))?;
    Ok(Restored {
        control,
        bytes,
        foreign,
    })
}

fn first(offsets: Vec<Offset>) -> Offset {
    offsets.into_iter().next().unwrap_or_default()
}

struct Replay<'a> {
    job: &'a str,
    chain: &'a mut Chain,
    control: Option<Control>,
    /// Parts of a state stream that is not whole yet.
    assembled: Vec<u8>,
    bytes: u64,
    /// A record with the job's header has been seen: there are no older ones
    /// after it.
    is_named: bool,
    foreign: u64,
}

impl Replay<'_> {
    /// Whether the job wrote a record, and what it is.
    fn key_of(&mut self, record: &Record) -> Result<Option<Key>, ChangelogError> {
        let key = serde_json::from_slice(record.key.as_deref().unwrap_or_default());
        let named = record.headers.iter().find(|h| h.key == JOB_HEADER);
        match named {
            Some(header) if header.value.as_deref() == Some(self.job.as_bytes()) => {
                self.is_named = true;
                key.map(Some).map_err(|e| ChangelogError::Record {
                    offset: record.offset,
                    reason: e.to_string(),
                })
            }
            None if !self.is_named => Ok(key.ok()),
            _ => Ok(None),
        }
    }

    fn apply(&mut self, record: &Record) -> Result<(), ChangelogError> {
        let Some(key) = self.key_of(record)? else {
            self.foreign += 1;
            return Ok(());
        };
        let broken = |reason: String| ChangelogError::Record {
            offset: record.offset,
            reason,
        };
        let value = record.value.as_deref().unwrap_or_default();
        self.bytes += value.len() as u64 + record.key.as_ref().map_or(0, |k| k.len() as u64);
        match key.kind {
            Kind::Reset => {
                self.assembled.clear();
                self.chain.reset()?;
            }
            Kind::State => {
                if key.part == 0 {
                    self.assembled.clear();
                }
                self.assembled.extend_from_slice(value);
                if key.part + 1 == key.parts {
                    let stream = std::mem::take(&mut self.assembled);
                    for batch in StreamReader::try_new(stream.as_slice(), None)? {
                        self.chain.restore((key.operator, batch?))?;
                    }
                }
            }
            Kind::Control => {
                let control = serde_json::from_slice(value).map_err(|e| broken(e.to_string()))?;
                self.control = Some(control);
            }
        }
        Ok(())
    }
}
