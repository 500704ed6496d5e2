//! Appending.

use super::validate::{self, Validated};
use super::{AppendInfo, AppendOrigin, PartitionLog, Writer};
use crate::buffers;
use crate::config::{Durability, LogConfig, TimestampType};
use crate::error::AppendError;
use crate::names::Stage;
use crate::producers::{self, Checked, ProducerAppend};
use crate::segment::Segment;
use bytes::Bytes;
use millstream_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use millstream_wire::batch::{BatchHeader, set_base_offset, set_leader_epoch, set_log_append_time};
use std::sync::Arc;

/// Expanded bytes of a batch that are looked at without a thread of its own:
/// about a millisecond's work.
const QUICK_BYTES_MAX: usize = 1024 * 1024;

/// Batches that may be appended to the log that checked them.
pub struct CheckedBatches {
    batches: Vec<Validated>,
    origin: AppendOrigin,
    config: Arc<LogConfig>,
    now_ms: i64,
}

impl PartitionLog {
    /// Appends whole record batches, checked, with offsets and `leader_epoch`
    /// set, in one write. Readable and to be acknowledged (`acks=all`) when
    /// [`PartitionLog::wait_high_watermark`] of [`AppendInfo::end_offset`]
    /// returns. All or nothing; blocks for one write into the page cache.
    pub fn append_as_leader(
        &self,
        batches: Bytes,
        origin: AppendOrigin,
        leader_epoch: LeaderEpoch,
    ) -> Result<AppendInfo, AppendError> {
        self.append_checked(self.check(batches, origin)?, leader_epoch)
    }

    /// Checks the batches of an append, which for compressed ones takes as
    /// long as to expand them: 50 ms and more for one that expands to all that
    /// it may. See [`check_quickly`](Self::check_quickly).
    pub fn check(
        &self,
        batches: Bytes,
        origin: AppendOrigin,
    ) -> Result<CheckedBatches, AppendError> {
        self.check_below(batches, origin, usize::MAX)
    }

    /// As [`check`](Self::check), where it takes a thread no longer than
    /// other requests do. `None` for batches that expand to more: for a thread
    /// that may be kept.
    pub fn check_quickly(
        &self,
        batches: Bytes,
        origin: AppendOrigin,
    ) -> Result<Option<CheckedBatches>, AppendError> {
        match self.check_below(batches, origin, QUICK_BYTES_MAX) {
            Ok(checked) => Ok(Some(checked)),
            Err(AppendError::Expands { bytes_max, .. }) if bytes_max == QUICK_BYTES_MAX => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn check_below(
        &self,
        batches: Bytes,
        origin: AppendOrigin,
        expanded_max: usize,
    ) -> Result<CheckedBatches, AppendError> {
        let config = self.config();
        let now_ms = self.shared.clock.now_ms();
        let batches = validate::validate(batches, origin, &config, now_ms, expanded_max)?;
        Ok(CheckedBatches {
            batches,
            origin,
            config,
            now_ms,
        })
    }

    /// Appends what was checked. Blocks for one write into the page cache.
    pub fn append_checked(
        &self,
        checked: CheckedBatches,
        leader_epoch: LeaderEpoch,
    ) -> Result<AppendInfo, AppendError> {
        let CheckedBatches {
            batches,
            origin,
            config,
            now_ms,
        } = checked;
        let mut writer = self.writer.lock();
        self.check_leader(&writer, leader_epoch)?;
        let mut seen = ProducerAppend::default();
        let original =
            check_producers(&writer, &mut seen, &batches, origin, config.timestamp_type)?;
        if let Some(original) = original {
            return Ok(AppendInfo {
                log_start_offset: self.log_start_offset(),
                ..original
            });
        }
        let append = Append {
            config: &config,
            leader_epoch,
            now_ms,
        };
        let info = self.write(&mut writer, &batches, &append)?;
        let needs_sync = writer.needs_sync(&config, now_ms);
        let high_watermark = if needs_sync || writer.failure.is_some() {
            self.high_watermark()
        } else {
            writer.log_end_offset
        };
        self.publish(&mut writer, high_watermark);
        drop(writer);
        if needs_sync {
            self.request_flush();
        }
        Ok(info)
    }

    fn check_leader(&self, writer: &Writer, epoch: LeaderEpoch) -> Result<(), AppendError> {
        if let Some(failure) = &writer.failure {
            return Err(failure.clone().into());
        }
        match writer.epochs.latest() {
            Some(current) if epoch < current => {
                Err(AppendError::StaleLeaderEpoch { epoch, current })
            }
            _ => Ok(()),
        }
    }

    fn write(
        &self,
        writer: &mut Writer,
        batches: &[Validated],
        append: &Append<'_>,
    ) -> Result<AppendInfo, AppendError> {
        let first_offset = writer.log_end_offset;
        let (stamped, headers) = stamp(batches, append, first_offset)?;
        let segment = self.roll_if_needed(writer, &headers, stamped.len(), append.config)?;
        let written = segment.append(&stamped);
        written.map_err(|e| self.write_failed(writer, &segment, e))?;
        let info = self.written(writer, &segment, batches, headers, append)?;
        let end = writer.log_end_offset.0;
        segment.keep_tail(stamped, batches.len(), first_offset.0, end);
        Ok(info)
    }

    /// Brings everything in memory up to what was written.
    fn written(
        &self,
        writer: &mut Writer,
        segment: &Segment,
        batches: &[Validated],
        headers: Vec<BatchHeader>,
        append: &Append<'_>,
    ) -> Result<AppendInfo, AppendError> {
        let first_offset = writer.log_end_offset;
        let end = headers
            .last()
            .map_or(first_offset, |h| Offset(h.next_offset()));
        let mut changes = ProducerAppend::default();
        for (header, validated) in headers.iter().zip(batches) {
            match validated.marker {
                Some(marker) => changes.add_marker(&writer.producers, header, marker),
                None if header.has_producer_id() => changes.add(&writer.producers, header),
                None => {}
            }
        }
        let bytes: usize = headers.iter().map(BatchHeader::size_bytes).sum();
        writer.epochs.assign(append.leader_epoch, first_offset);
        let aborted = writer.producers.apply(changes);
        let indexed = aborted
            .into_iter()
            .try_for_each(|transaction| segment.aborted.push(transaction))
            .and_then(|()| segment.publish(headers, append.config.index_interval_bytes));
        writer.log_end_offset = end;
        self.touch(writer, bytes as u64);
        if let Err(source) = indexed {
            // Only the opening of an index can fail here. The batch is in the
            // file and the indexes behind it; a restart rebuilds them. So the
            // answer is not that it was refused: who waits for it to be
            // committed is told that the log has stopped.
            let what = format!(
                "cannot open the indexes of {}: {source}",
                segment.path().display()
            );
            self.fail_locked(writer, what);
        }
        self.shared.metrics.appended(bytes);
        Ok(AppendInfo {
            first_offset,
            last_offset: Offset(end.0 - 1),
            log_append_time_ms: append.log_append_time_ms(),
            log_start_offset: self.log_start_offset(),
            duplicate: false,
        })
    }

    fn roll_if_needed(
        &self,
        writer: &mut Writer,
        headers: &[BatchHeader],
        bytes: usize,
        config: &LogConfig,
    ) -> Result<Arc<Segment>, AppendError> {
        let active = self.active();
        if !should_roll(&active, headers, bytes, config)? {
            return Ok(active);
        }
        self.roll(writer)
    }

    /// Closes the active segment and begins one at the log end. No sync here:
    /// the flusher syncs closed segments and the folder before it moves the
    /// high watermark over anything in the new one.
    pub(super) fn roll(&self, writer: &mut Writer) -> Result<Arc<Segment>, AppendError> {
        let active = self.active();
        let base_offset = writer.log_end_offset;
        let io = |source| AppendError::Io {
            path: active.path(),
            source,
        };
        active.seal().map_err(io)?;
        let next = Segment::create(
            &self.shared.files,
            &self.folder,
            base_offset.0,
            Stage::InPlace,
        )
        .map_err(io)?;
        let next = Arc::new(next);
        self.segments.write().push(Arc::clone(&next));
        writer.sealed_unsynced.push(Arc::clone(&active));
        writer.sealed_unindexed.push(active);
        writer
            .snapshots
            .push((base_offset, producers::encode(&writer.producers)));
        writer.names_changed += 1;
        // In page-cache mode nothing else would sync a closed segment.
        self.request_flush();
        Ok(next)
    }

    fn write_failed(
        &self,
        writer: &mut Writer,
        segment: &Segment,
        error: Result<std::io::Error, std::io::Error>,
    ) -> AppendError {
        match error {
            Ok(source) => {
                if self
                    .shared
                    .metrics
                    .unwritten_is_news(self.shared.clock.now_ms())
                {
                    tracing::error!(
                        segment = %segment.path().display(), error = %source,
                        "an append could not be written and was refused; if the disk is full, \
                         make room: it is tried again with the next append"
                    );
                }
                AppendError::Io {
                    path: segment.path(),
                    source,
                }
            }
            Err(source) => {
                let what = format!(
                    "cannot undo a failed write to {}: {source}",
                    segment.path().display()
                );
                self.fail_locked(writer, what).into()
            }
        }
    }
}

impl PartitionLog {
    /// Notes that a batch of a producer was refused for now by whoever would
    /// have appended it: until it comes, later ones of its epoch that this log
    /// could not tell from a first one are refused as out of order.
    pub fn hold_up(&self, producer_id: ProducerId, epoch: ProducerEpoch, sequence: i32) {
        let mut writer = self.writer.lock();
        writer.producers.hold_up(producer_id.0, epoch.0, sequence);
    }
}

impl Writer {
    /// Whether what was just appended has to wait for a sync before it counts
    /// as committed.
    fn needs_sync(&mut self, config: &LogConfig, now_ms: i64) -> bool {
        if config.durability == Durability::Fsync {
            return true;
        }
        self.unsynced_since_ms.get_or_insert(now_ms);
        let unsynced = self.log_end_offset.0 - self.durable_offset.0;
        if u64::try_from(unsynced).is_ok_and(|count| count >= config.flush_messages) {
            self.sync_first = Some(self.log_end_offset);
        }
        self.sync_first.is_some()
    }
}

/// What all batches of one append have in common.
struct Append<'a> {
    config: &'a LogConfig,
    leader_epoch: LeaderEpoch,
    now_ms: i64,
}

impl Append<'_> {
    fn log_append_time_ms(&self) -> Option<i64> {
        (self.config.timestamp_type == TimestampType::LogAppendTime).then_some(self.now_ms)
    }
}

/// Checks all batches in order. The answer is the original of the first
/// duplicate, if there is one: a client never mixes new and old batches.
fn check_producers(
    writer: &Writer,
    seen: &mut ProducerAppend,
    batches: &[Validated],
    origin: AppendOrigin,
    timestamp_type: TimestampType,
) -> Result<Option<AppendInfo>, AppendError> {
    for validated in batches {
        let header = validated.batch.header();
        if !header.has_producer_id() {
            continue;
        }
        if let Some(marker) = validated.marker {
            seen.check_marker(&writer.producers, header, marker, origin)?;
            seen.add_marker(&writer.producers, header, marker);
            continue;
        }
        match seen.check(&writer.producers, header, origin)? {
            Checked::New => seen.add(&writer.producers, header),
            Checked::Duplicate {
                first_offset,
                last_offset,
                timestamp_ms,
            } => {
                return Ok(Some(AppendInfo {
                    first_offset: Offset(first_offset),
                    last_offset: Offset(last_offset),
                    log_append_time_ms: (timestamp_type == TimestampType::LogAppendTime)
                        .then_some(timestamp_ms),
                    log_start_offset: Offset(0),
                    duplicate: true,
                }));
            }
        }
    }
    Ok(None)
}

/// The batches with offsets, epoch and, where the topic wants it, the log's
/// time, and their headers as they will be stored. A copy: the caller's bytes
/// are shared, and one copy is cheaper than two writes.
fn stamp(
    batches: &[Validated],
    append: &Append<'_>,
    first_offset: Offset,
) -> Result<(Bytes, Vec<BatchHeader>), AppendError> {
    let corrupt = |e: millstream_wire::batch::BatchError| AppendError::Corrupt(e.to_string());
    let size = batches.iter().map(|b| b.batch.bytes().len()).sum();
    let mut headers = Vec::with_capacity(batches.len());
    let stamped = buffers::filled(size, |mut rest| {
        let mut next_offset = first_offset.0;
        for Validated { batch, .. } in batches {
            let (stamped, behind) = rest.split_at_mut(batch.bytes().len());
            stamped.copy_from_slice(batch.bytes());
            set_base_offset(stamped, next_offset).map_err(corrupt)?;
            set_leader_epoch(stamped, append.leader_epoch.0).map_err(corrupt)?;
            if let Some(time_ms) = append.log_append_time_ms() {
                set_log_append_time(stamped, time_ms).map_err(corrupt)?;
            }
            let header = BatchHeader::parse(stamped).map_err(corrupt)?;
            next_offset = header.next_offset();
            headers.push(header);
            rest = behind;
        }
        Ok::<_, AppendError>(())
    })?;
    Ok((stamped, headers))
}

fn should_roll(
    active: &Segment,
    headers: &[BatchHeader],
    bytes: usize,
    config: &LogConfig,
) -> Result<bool, AppendError> {
    let size = active.size();
    if size == 0 {
        return Ok(false);
    }
    let io = |source| AppendError::Io {
        path: active.path(),
        source,
    };
    let entries_max = config.segment_index_bytes as usize / 8;
    let last_offset = headers.last().map_or(0, BatchHeader::last_offset);
    if size + bytes as u64 > u64::from(config.segment_bytes)
        || !active.can_index(last_offset)
        || active.offsets.len().map_err(io)? >= entries_max.max(1)
    {
        return Ok(true);
    }
    // By the records' own time, as Kafka does, so that a replayed log has the
    // same segments.
    let first_ms = active
        .first_timestamp_ms()
        .map_err(|e| io(std::io::Error::other(e)))?;
    let newest_ms = headers.iter().map(|h| h.max_timestamp).max().unwrap_or(-1);
    Ok(first_ms.filter(|first| *first >= 0).is_some_and(|first| {
        newest_ms.saturating_sub(first) > config.segment_ms_of(active.log().parts())
    }))
}
