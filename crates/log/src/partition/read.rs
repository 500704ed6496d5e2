//! Reading.

use super::{
    AbortedTransaction, FetchRequest, FetchedBatches, FileRange, PartitionLog, Progress,
    TimestampedOffset, UpTo,
};
use crate::error::ReadError;
use crate::index::TimeEntry;
use crate::partition::recovery::find_batch;
use crate::segment::Segment;
use bytes::Bytes;
use millstream_core::ids::{LeaderEpoch, Offset};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Looks at the list of segments for one read.
const READ_ATTEMPTS_MAX: usize = 4;

impl PartitionLog {
    /// Reads whole batches from one segment. Empty when there is nothing
    /// between the offset and the bound; wait for progress then. Blocks when
    /// the bytes are not in the page cache.
    pub fn read(&self, request: FetchRequest) -> Result<FetchedBatches, ReadError> {
        let (found, progress) = self.fetch(&request, |bound| self.read_below(&request, bound))?;
        Ok(found.unwrap_or(FetchedBatches {
            batches: Bytes::new(),
            next_offset: request.offset,
            aborted: Vec::new(),
            high_watermark: progress.high_watermark,
            last_stable_offset: progress.last_stable_offset,
            log_start_offset: progress.log_start_offset,
        }))
    }

    /// Where a reader that met damage goes on: the first offset from there on that is
    /// in an intact batch, `offset` itself if only what lies before it is
    /// damaged. `None` when nothing that follows can be read.
    pub fn intact_from(&self, offset: Offset) -> Result<Option<Offset>, ReadError> {
        let segment = self.segment_of(offset);
        // What is damaged may tell any length: no step is taken over a batch
        // that is not whole.
        let mut position = segment.floor_position(offset.0)?;
        while let Some((at, header)) = find_batch(&segment, position, segment.base_offset())? {
            if header.last_offset() >= offset.0 {
                let found = offset.0.max(header.base_offset);
                segment.begins_at(found, at);
                return Ok(Some(Offset(found)));
            }
            position = at + header.size_bytes() as u64;
        }
        let next = self.segment_after(segment.base_offset());
        Ok(next.map(|next| Offset(next.base_offset())))
    }

    /// As [`read`](Self::read), without reading: where a reader that goes on
    /// finds its next batches in the page cache. `None` where reading is the
    /// way.
    pub fn locate(
        &self,
        request: FetchRequest,
    ) -> Result<Option<FetchedBatches<FileRange>>, ReadError> {
        let locate = |bound: Offset| {
            let segment = self.segment_of(request.offset);
            let found = segment.locate(request.offset.0, bound.0, request.bytes_max)?;
            Ok(found.map(|(range, next_offset)| (range, Offset(next_offset))))
        };
        Ok(self.fetch(&request, locate)?.0)
    }

    /// Bytes of the newest segment from the batch that begins with this offset
    /// on; all that one can ask for when an earlier segment has it. What lies
    /// between two entries of the index may be counted too, where the batch is
    /// not the one at which a read ended.
    pub fn bytes_from(&self, offset: Offset) -> usize {
        let segment = self.segment_of(offset);
        if self.segment_after(segment.base_offset()).is_some() {
            return usize::MAX;
        }
        segment.bytes_from(offset.0)
    }

    /// What `find` finds below the bound that it is given, if anything, and
    /// the progress that this bound is part of.
    fn fetch<B>(
        &self,
        request: &FetchRequest,
        find: impl Fn(Offset) -> Result<Option<(B, Offset)>, ReadError>,
    ) -> Result<(Option<FetchedBatches<B>>, Progress), ReadError> {
        let progress = self.progress();
        let outside = || ReadError::OffsetOutOfRange {
            offset: request.offset,
            log_start_offset: progress.log_start_offset,
            log_end_offset: progress.log_end_offset,
        };
        if request.offset < progress.log_start_offset || request.offset > progress.log_end_offset {
            return Err(outside());
        }
        let bound = match request.up_to {
            UpTo::HighWatermark => progress.high_watermark,
            UpTo::LastStable => progress.last_stable_offset,
            UpTo::LogEnd => progress.log_end_offset,
        };
        let found = self.unless_removed(|| self.decided(request, || find(bound)));
        // Retention may have taken the segment in the meantime.
        if request.offset < self.log_start_offset() {
            return Err(outside());
        }
        let found = found?.map(|(batches, next_offset, aborted)| FetchedBatches {
            batches,
            next_offset,
            aborted,
            high_watermark: progress.high_watermark,
            last_stable_offset: progress.last_stable_offset,
            log_start_offset: progress.log_start_offset,
        });
        Ok((found, progress))
    }

    /// Batches, and which of their transactions were aborted, of one and the
    /// same state of the segments: the cleaner drops aborted records first and
    /// the entries that tell of them later.
    fn decided<B>(
        &self,
        request: &FetchRequest,
        find: impl Fn() -> Result<Option<(B, Offset)>, ReadError>,
    ) -> Result<Option<(B, Offset, Vec<AbortedTransaction>)>, ReadError> {
        loop {
            let replacements = self.replacements.load(Ordering::Acquire);
            let Some((batches, next_offset)) = find()? else {
                return Ok(None);
            };
            if request.up_to != UpTo::LastStable {
                return Ok(Some((batches, next_offset, Vec::new())));
            }
            let aborted = self.aborted_transactions(request.offset, next_offset)?;
            if replacements == self.replacements.load(Ordering::Acquire) {
                return Ok(Some((batches, next_offset, aborted)));
            }
        }
    }

    fn read_below(
        &self,
        request: &FetchRequest,
        bound: Offset,
    ) -> Result<Option<(Bytes, Offset)>, ReadError> {
        if request.offset >= bound {
            return Ok(None);
        }
        let mut segment = self.segment_of(request.offset);
        loop {
            let read = segment.read(
                request.offset.0,
                bound.0,
                request.bytes_max,
                request.min_one_batch,
            )?;
            if let Some((batches, next_offset)) = read {
                return Ok(Some((batches, Offset(next_offset))));
            }
            // The offset is after the last batch of this segment, or the
            // batch is larger than asked for; only the former is looked on.
            match self.segment_after(segment.base_offset()) {
                Some(next) if next.base_offset() < bound.0 && ends_before(&segment, request)? => {
                    segment = next;
                }
                _ => return Ok(None),
            }
        }
    }

    /// Reads again when a segment was removed under the reader: files are
    /// open only while they are used, and what took its place is in the list
    /// by then.
    fn unless_removed<T>(
        &self,
        mut read: impl FnMut() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match read() {
                Err(ReadError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempts < READ_ATTEMPTS_MAX => {
                }
                outcome => return outcome,
            }
        }
    }

    /// The aborted transactions with records in `from..to`, sorted by first
    /// offset.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        self.unless_removed(|| self.aborted_between(from, to))
    }

    fn aborted_between(
        &self,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut found = Vec::new();
        let mut next = Some(self.segment_of(from));
        while let Some(segment) = next {
            let mut complete = false;
            segment
                .aborted
                .visit(
                    |t| t.last_offset < from,
                    |t| {
                        if t.first_offset < to {
                            found.push(t);
                        }
                        // From a marker on after which nothing below `to` was
                        // undecided, no later one can concern these records.
                        complete = t.last_stable_offset >= to;
                        !complete
                    },
                )
                .map_err(|e| segment.io(e))?;
            if complete {
                break;
            }
            next = self.segment_after(segment.base_offset());
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The first record at or after a time, below the bound (ListOffsets).
    pub fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
        up_to: UpTo,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        self.unless_removed(|| self.first_at_or_after(timestamp_ms, up_to))
    }

    fn first_at_or_after(
        &self,
        timestamp_ms: i64,
        up_to: UpTo,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let progress = self.progress();
        let bound = match up_to {
            UpTo::HighWatermark => progress.high_watermark,
            UpTo::LastStable => progress.last_stable_offset,
            UpTo::LogEnd => progress.log_end_offset,
        };
        for segment in self.segments_snapshot() {
            if segment.base_offset() >= bound.0 {
                break;
            }
            if segment
                .max_timestamp()?
                .is_none_or(|max| max.timestamp_ms < timestamp_ms)
            {
                continue;
            }
            let from = progress.log_start_offset.0.max(segment.base_offset());
            let found = first_since(&segment, timestamp_ms, from)?;
            if let Some(found) = found {
                return Ok(Some(found).filter(|found| found.offset < bound));
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp, the first one of several
    /// (ListOffsets -3, KIP-734).
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        self.unless_removed(|| self.newest_timestamp())
    }

    fn newest_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        let progress = self.progress();
        let bound = progress.high_watermark.0;
        let mut best: Option<(i64, Arc<Segment>)> = None;
        for segment in self.segments_snapshot() {
            if segment.base_offset() >= bound {
                break;
            }
            if let Some(timestamp_ms) = max_timestamp_below(&segment, bound)?
                && best
                    .as_ref()
                    .is_none_or(|(largest, _)| timestamp_ms > *largest)
            {
                best = Some((timestamp_ms, segment));
            }
        }
        let Some((timestamp_ms, segment)) = best else {
            return Ok(None);
        };
        let from = progress.log_start_offset.0.max(segment.base_offset());
        first_since(&segment, timestamp_ms, from)
    }

    fn segments_snapshot(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }
}

/// Whether all of the segment lies before the offset asked for.
fn ends_before(segment: &Segment, request: &FetchRequest) -> Result<bool, ReadError> {
    Ok(segment.find(request.offset.0)?.is_none())
}

/// The largest timestamp below `bound`; the segment's own when all of it, or
/// the batch that holds it, lies there.
fn max_timestamp_below(segment: &Segment, bound: i64) -> Result<Option<i64>, ReadError> {
    let Some(max) = segment.max_timestamp()? else {
        return Ok(None);
    };
    if max.last_offset < bound {
        return Ok(Some(max.timestamp_ms).filter(|ms| *ms >= 0));
    }
    // The last entry below it tells of all up to there.
    let offset_of = |entry: &TimeEntry| segment.base_offset() + i64::from(entry.relative_offset);
    let known = segment
        .timestamps
        .floor(|entry| offset_of(entry) < bound)
        .map_err(|e| segment.io(e))?;
    let from = match &known {
        Some(entry) => segment.floor_position(offset_of(entry))?,
        None => 0,
    };
    let mut largest = known.map(|entry| entry.timestamp_ms);
    for located in segment.headers(from) {
        let (_, header) = located?;
        if header.base_offset >= bound {
            break;
        }
        // A batch that was emptied has no record at its timestamp.
        if header.records_count > 0 {
            largest = largest.max(Some(header.max_timestamp));
        }
    }
    Ok(largest.filter(|ms| *ms >= 0))
}

/// The first record in the segment at or after `timestamp_ms` and `from`.
fn first_since(
    segment: &Segment,
    timestamp_ms: i64,
    from: i64,
) -> Result<Option<TimestampedOffset>, ReadError> {
    // No timestamp up to this entry is large enough.
    let before = segment
        .timestamps
        .floor(|entry| entry.timestamp_ms < timestamp_ms)
        .map_err(|e| segment.io(e))?;
    let skip_to = before.map_or(0, |e| segment.base_offset() + i64::from(e.relative_offset));
    let position = segment.floor_position(skip_to)?;
    for located in segment.headers(position) {
        let (position, header) = located?;
        if header.max_timestamp < timestamp_ms || header.last_offset() < from {
            continue;
        }
        let batch = segment.batch_at(position, header.size_bytes())?;
        let damaged = |e: millstream_wire::batch::BatchError| ReadError::Corrupt {
            path: segment.path(),
            position,
            what: e.to_string(),
        };
        let mut found = None;
        let walked = batch.walk_framing(usize::MAX, |record| {
            let offset = header.base_offset + i64::from(record.offset_delta);
            if record.timestamp < timestamp_ms || offset < from {
                return ControlFlow::Continue(());
            }
            found = Some(TimestampedOffset {
                offset: Offset(offset),
                timestamp_ms: record.timestamp,
                leader_epoch: LeaderEpoch(header.partition_leader_epoch),
            });
            ControlFlow::Break(())
        });
        walked.map_err(damaged)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
