//! One round over one log.

use super::CleanerConfig;
use super::filter::Filter;
use super::offset_map::OffsetMap;
use super::plan::{self, CleanPlan};
use super::swap;
use super::transactions::Transactions;
use crate::config::LogConfig;
use crate::error::{LogError, ReadError};
use crate::partition::PartitionLog;
use crate::segment::Segment;
use bytes::Bytes;
use millstream_core::env::Clock;
use millstream_core::ids::Offset;
use millstream_wire::batch::{BatchError, BatchHeader, BatchView};
use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes read or written at once (`log.cleaner.io.buffer.size` is 512 KiB in
/// Kafka, for both directions together).
const IO_BYTES: usize = 512 * 1024;

/// What a round did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cleaned {
    /// All below is clean now.
    pub(crate) end: Offset,
    /// Bytes of batches before, in the segments that were written anew.
    pub(crate) bytes_before: u64,
    /// And after.
    pub(crate) bytes_after: u64,
}

/// Why a round did not finish. What it has replaced until then stays replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanError {
    /// The server stops.
    #[error("stopped")]
    Stopped,
    /// Retention, a truncation or a deletion came in between.
    #[error("the segments changed while they were being cleaned")]
    Overtaken,
    /// One batch has more keys than the map holds.
    #[error(
        "the batch at offset {0} has more keys than log.cleaner.dedupe.buffer.size has room for: raise it"
    )]
    MapTooSmall(i64),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A batch is not what it says.
    #[error("{path}: the batch at offset {offset}: {source}")]
    Batch {
        /// Which file.
        path: PathBuf,
        /// The batch's first offset.
        offset: i64,
        /// What is wrong with it.
        source: BatchError,
    },
    /// The cleaned files could not be written. The log is as it was.
    #[error("cannot write the cleaned {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The log has stopped.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a round is bounded by.
pub(crate) struct Control<'a> {
    pub(crate) config: CleanerConfig,
    pub(crate) clock: &'a dyn Clock,
    /// Waits; true when the server stops.
    pub(crate) pause: &'a dyn Fn(Duration) -> bool,
    started: Duration,
    spent: Cell<u64>,
}

impl<'a> Control<'a> {
    pub(crate) fn new(
        config: CleanerConfig,
        clock: &'a dyn Clock,
        pause: &'a dyn Fn(Duration) -> bool,
    ) -> Self {
        Self {
            config,
            clock,
            pause,
            started: clock.monotonic(),
            spent: Cell::new(0),
        }
    }

    /// Notes bytes of I/O, and waits when there were too many of them.
    fn spend(&self, bytes: usize) -> Result<(), CleanError> {
        self.spent.set(self.spent.get() + bytes as u64);
        let due = self
            .config
            .io_bytes_per_second_max
            .map_or(0.0, |max| self.spent.get() as f64 / max.max(1) as f64);
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        let wait = Duration::try_from_secs_f64(due)
            .unwrap_or(Duration::MAX)
            .saturating_sub(elapsed);
        if (self.pause)(wait) {
            return Err(CleanError::Stopped);
        }
        Ok(())
    }
}

/// Cleans what the plan says, or as much of it as the map holds.
pub(crate) fn clean(
    log: &PartitionLog,
    plan: &CleanPlan,
    control: &Control<'_>,
) -> Result<Cleaned, CleanError> {
    let config = log.config();
    let now_ms = control.clock.now_ms();
    let truncations = log.truncations();
    let sealed = log.segments_below(plan.end);
    let (newest, map_end) = read_newest(log, plan, &sealed, control)?;
    let facts: Vec<_> = sealed
        .iter()
        .filter(|s| s.base_offset() < map_end)
        .map(|s| s.facts(&config))
        .collect::<Result<_, _>>()?;
    let mut transactions = Transactions::default();
    let mut cleaned = Cleaned {
        end: Offset(map_end),
        ..Cleaned::default()
    };
    for range in plan::group(&facts, plan.end, &config) {
        let end = sealed.get(range.end).map_or(plan.end, |s| s.base_offset());
        let group = sealed.get(range).unwrap_or_default();
        let filter = Filter {
            newest: &newest,
            map_end,
            now_ms,
            delete_retention_ms: config.delete_retention_ms,
            producers: &log.last_of_producers(),
            last_offset: last_offset(group)?,
        };
        let bytes_before: u64 = group.iter().map(|s| s.size()).sum();
        let written = write_group(
            log,
            group,
            end,
            &filter,
            &mut transactions,
            control,
            &config,
        );
        let (bytes_after, changed) = written.inspect_err(|_| discard(log, group))?;
        if changed {
            log.replace_segments(group, truncations)
                .inspect_err(|_| discard(log, group))?;
        } else {
            discard(log, group);
        }
        cleaned.bytes_before += bytes_before;
        cleaned.bytes_after += bytes_after;
    }
    Ok(cleaned)
}

/// The newest offset of each key in the dirty part, and up to where that goes.
fn read_newest(
    log: &PartitionLog,
    plan: &CleanPlan,
    sealed: &[Arc<Segment>],
    control: &Control<'_>,
) -> Result<(OffsetMap, i64), CleanError> {
    let keys_expected = u64::try_from(plan.end - plan.first_dirty).unwrap_or(0);
    let mut newest = OffsetMap::new(control.config.dedupe_bytes_max, keys_expected);
    let mut transactions = Transactions::default();
    transactions.add_aborted(log.aborted_transactions(Offset(plan.first_dirty), Offset(plan.end))?);
    let mut map_end = plan.first_dirty;
    for (at, segment) in sealed.iter().enumerate() {
        let next_base = sealed.get(at + 1).map_or(plan.end, |s| s.base_offset());
        if next_base <= plan.first_dirty {
            continue;
        }
        let position = segment.floor_position(plan.first_dirty)?;
        let read = each_batch(segment, position, next_base, control, |batch| {
            let is_whole = note_newest(&mut newest, &mut transactions, plan.first_dirty, &batch)
                .map_err(|source| batch_error(segment, batch.header(), source))?;
            if !is_whole {
                return Ok(ControlFlow::Break(()));
            }
            map_end = map_end.max(batch.header().next_offset());
            Ok(ControlFlow::Continue(()))
        })?;
        if read.is_break() {
            if map_end == plan.first_dirty {
                return Err(CleanError::MapTooSmall(map_end));
            }
            return Ok((newest, map_end));
        }
        map_end = next_base;
    }
    Ok((newest, map_end))
}

/// Notes the keys of one batch; false when the map is full.
fn note_newest(
    newest: &mut OffsetMap,
    transactions: &mut Transactions,
    first_dirty: i64,
    batch: &BatchView,
) -> Result<bool, BatchError> {
    let header = batch.header();
    if header.is_control() {
        let record = batch.records()?.next().transpose()?;
        let marker = record
            .as_ref()
            .map(millstream_wire::batch::EndTxnMarker::parse)
            .transpose()?;
        transactions.on_marker(header, marker);
        return Ok(true);
    }
    if transactions.on_batch(header) || header.last_offset() < first_dirty {
        return Ok(true);
    }
    for record in batch.records()? {
        let record = record?;
        if let Some(key) = record.key.filter(|_| record.offset >= first_dirty)
            && !newest.put(&key, record.offset)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes what is left of a group beside it, durably. Returns its bytes, and
/// whether it differs from what is there.
fn write_group(
    log: &PartitionLog,
    group: &[Arc<Segment>],
    end: i64,
    filter: &Filter<'_>,
    transactions: &mut Transactions,
    control: &Control<'_>,
    config: &LogConfig,
) -> Result<(u64, bool), CleanError> {
    let Some(first) = group.first() else {
        return Ok((0, false));
    };
    let mut output = Output::create(log, first.base_offset(), config.index_interval_bytes)?;
    let mut changed = group.len() > 1;
    for (at, segment) in group.iter().enumerate() {
        let next_base = group.get(at + 1).map_or(end, |s| s.base_offset());
        let from = Offset(segment.base_offset());
        // From the whole log and not only this group: a marker may lie further.
        transactions.add_aborted(log.aborted_transactions(from, Offset(next_base))?);
        let read = each_batch(segment, 0, next_base, control, |batch| {
            let filtered = filter
                .apply(transactions, &batch)
                .map_err(|source| batch_error(segment, batch.header(), source))?;
            changed |= filtered.bytes.as_ref() != Some(batch.bytes());
            if let Some(aborted) = filtered.indexed {
                output.index_aborted(aborted)?;
            }
            if let Some(bytes) = filtered.bytes {
                output.push(&bytes, control)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        debug_assert!(read.is_continue());
    }
    Ok((output.finish(control)?, changed))
}

/// The cleaned files of one group.
struct Output {
    segment: Segment,
    interval_bytes: u32,
    buffer: Vec<u8>,
    headers: Vec<BatchHeader>,
}

impl Output {
    fn create(log: &PartitionLog, base: i64, interval_bytes: u32) -> Result<Self, CleanError> {
        let segment = log
            .create_cleaned(base)
            .map_err(|source| CleanError::Write {
                path: log.folder().to_owned(),
                source,
            })?;
        Ok(Self {
            segment,
            interval_bytes,
            buffer: Vec::new(),
            headers: Vec::new(),
        })
    }

    fn push(&mut self, batch: &Bytes, control: &Control<'_>) -> Result<(), CleanError> {
        let header = BatchHeader::parse(batch).map_err(|e| self.error(io::Error::other(e)))?;
        self.headers.push(header);
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= IO_BYTES {
            self.write(control)?;
        }
        Ok(())
    }

    fn index_aborted(
        &self,
        aborted: crate::partition::AbortedTransaction,
    ) -> Result<(), CleanError> {
        self.segment
            .aborted
            .push(aborted)
            .map_err(|e| self.error(e))
    }

    fn write(&mut self, control: &Control<'_>) -> Result<(), CleanError> {
        let bytes = self.buffer.len();
        // A batch that gets its horizon grows a little, and positions have 31
        // bits.
        if self.segment.size() + bytes as u64 > u64::from(crate::config::SEGMENT_BYTES_MAX) {
            return Err(self.error(io::ErrorKind::FileTooLarge.into()));
        }
        self.segment
            .append(&self.buffer)
            .map_err(|e| self.error(e.unwrap_or_else(|cut| cut)))?;
        self.segment
            .publish(self.headers.drain(..), self.interval_bytes)
            .map_err(|e| self.error(e))?;
        self.buffer.clear();
        control.spend(bytes)
    }

    fn finish(mut self, control: &Control<'_>) -> Result<u64, CleanError> {
        self.write(control)?;
        let durable = self
            .segment
            .seal()
            .and_then(|()| self.segment.sync_log())
            .and_then(|()| self.segment.sync_indexes());
        durable.map_err(|e| self.error(e))?;
        Ok(self.segment.size())
    }

    fn error(&self, source: io::Error) -> CleanError {
        CleanError::Write {
            path: self.segment.path(),
            source,
        }
    }
}

/// Shows the whole batches of a segment from a position on, checked against
/// their checksums and for ascending offsets below `bound`, until `visit`
/// breaks. What is damaged must not be written anew as if it were not.
fn each_batch(
    segment: &Segment,
    mut position: u64,
    bound: i64,
    control: &Control<'_>,
    mut visit: impl FnMut(BatchView) -> Result<ControlFlow<()>, CleanError>,
) -> Result<ControlFlow<()>, CleanError> {
    let end = segment.size();
    let mut next_offset = segment.base_offset();
    let mut wanted = IO_BYTES;
    while position < end {
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let mut bytes = segment.bytes_at(position, wanted.min(left))?;
        control.spend(bytes.len())?;
        wanted = IO_BYTES;
        while !bytes.is_empty() {
            let batch = match BatchView::parse(&bytes) {
                Ok(batch) => batch,
                Err(BatchError::Truncated { needed, .. })
                    if (position + needed as u64) <= end && needed > bytes.len() =>
                {
                    wanted = needed.max(IO_BYTES);
                    break;
                }
                Err(source) => return Err(segment.corrupt(position, &source).into()),
            };
            batch
                .verify_crc()
                .map_err(|source| segment.corrupt(position, &source))?;
            let header = batch.header();
            if header.base_offset < next_offset || header.next_offset() > bound {
                let out_of_place = BatchError::Header {
                    field: "base offset",
                    value: header.base_offset,
                };
                return Err(segment.corrupt(position, &out_of_place).into());
            }
            next_offset = header.next_offset();
            let size = batch.size_bytes();
            if visit(batch)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            position += size as u64;
            drop(bytes.split_to(size));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Last offset of the last batch of a group; -1 when it has none.
fn last_offset(group: &[Arc<Segment>]) -> Result<i64, ReadError> {
    for segment in group.iter().rev() {
        let position = segment.floor_position(i64::MAX)?;
        if let Some(last) = segment.headers(position).last() {
            return Ok(last?.1.last_offset());
        }
    }
    Ok(-1)
}

fn batch_error(segment: &Segment, header: &BatchHeader, source: BatchError) -> CleanError {
    CleanError::Batch {
        path: segment.path(),
        offset: header.base_offset,
        source,
    }
}

/// What is left behind is removed at the next start too.
fn discard(log: &PartitionLog, group: &[Arc<Segment>]) {
    let Some(first) = group.first() else { return };
    if let Err(error) = swap::discard(log.files().fs.as_ref(), log.folder(), first.base_offset()) {
        tracing::warn!(folder = %log.folder().display(), %error, "cannot remove cleaned files");
    }
}
