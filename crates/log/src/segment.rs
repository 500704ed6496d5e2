//! One segment: a `.log` file of record batches and its indexes.
//!
//! Only the partition's writer appends; readers see what `size` has
//! published. Positions fit 31 bits, as the index files need.

use crate::buffers;
use crate::error::ReadError;
use crate::files::{Files, SegmentFile};
use crate::index::{IndexFile, OffsetEntry, TimeEntry};
use crate::names::{self, SegmentPath, Stage};
use crate::partition::AbortedTransaction;
use bytes::Bytes;
use millstream_core::ids::Offset;
use millstream_wire::batch::{
    BatchError, BatchHeader, BatchView, HEADER_BYTES, LOG_OVERHEAD_BYTES,
};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod read;
mod tail;

use read::Recent;

/// Bytes that are written again at a time.
const WRITE_AGAIN_BYTES: usize = 256 << 10;

/// Bytes read at once while walking headers: few at first and after a large
/// batch, more where headers follow each other closely.
const SCAN_BYTES_MIN: usize = 1024;
const SCAN_BYTES_MAX: usize = 16 * 1024;

/// The largest timestamp of a run of batches, and the last offset of the
/// batch that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxTimestamp {
    pub(crate) timestamp_ms: i64,
    pub(crate) last_offset: i64,
}

/// What only the writer needs, and readers by time.
#[derive(Debug, Default)]
struct Times {
    /// The first batch's; `None` while empty or not looked up yet.
    first_ms: Option<i64>,
    max: Option<MaxTimestamp>,
    bytes_since_index: u64,
}

pub(crate) struct Segment {
    base_offset: i64,
    log: Arc<SegmentFile>,
    size: AtomicU64,
    pub(crate) offsets: IndexFile<OffsetEntry>,
    pub(crate) timestamps: IndexFile<TimeEntry>,
    pub(crate) aborted: IndexFile<AbortedTransaction>,
    times: Mutex<Times>,
    recent: Mutex<Recent>,
}

/// A header and where its batch begins.
pub(crate) type Located = (u64, BatchHeader);

impl Segment {
    /// Creates the files, empty. Their names are durable after a sync of the
    /// folder. The cleaner writes [`Stage::Cleaned`] ones beside a segment.
    pub(crate) fn create(
        files: &Arc<Files>,
        folder: &Arc<Path>,
        base_offset: i64,
        stage: Stage,
    ) -> io::Result<Self> {
        let path = |extension| SegmentPath::new(folder, base_offset, extension, stage);
        // The log last: a creation that fails half way, for lack of space, must
        // leave no segment, or the one before goes on and reaches beyond where
        // this one begins. Indexes without a log are removed by an open.
        let offsets = IndexFile::create(files, path(names::OFFSET_INDEX))?;
        let timestamps = IndexFile::create(files, path(names::TIME_INDEX))?;
        let aborted = IndexFile::create(files, path(names::TXN_INDEX))?;
        let log = files.file(path(names::LOG));
        // Closed again at once: the first append opens it.
        if files.fs.open(&log.path(), true)?.size()? > 0 {
            log.set_size(0)?;
        }
        Ok(Self {
            base_offset,
            log,
            size: AtomicU64::new(0),
            offsets,
            timestamps,
            aborted,
            times: Mutex::default(),
            recent: Mutex::default(),
        })
    }

    /// A segment as it lies; its files are opened on first use. Those of
    /// [`Stage::Swap`] are cleaned and about to take a segment's place.
    pub(crate) fn open(
        files: &Arc<Files>,
        folder: &Arc<Path>,
        base_offset: i64,
        stage: Stage,
    ) -> io::Result<Self> {
        let path = |extension| SegmentPath::new(folder, base_offset, extension, stage);
        let log = files.file(path(names::LOG));
        Ok(Self {
            base_offset,
            size: AtomicU64::new(log.size()?),
            log,
            offsets: IndexFile::existing(files, path(names::OFFSET_INDEX)),
            timestamps: IndexFile::existing(files, path(names::TIME_INDEX)),
            aborted: IndexFile::existing(files, path(names::TXN_INDEX)),
            times: Mutex::default(),
            recent: Mutex::default(),
        })
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.log.path()
    }

    /// The file of the batches.
    pub(crate) fn log(&self) -> &Arc<SegmentFile> {
        &self.log
    }

    /// Bytes of batches.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Makes the batches durable.
    pub(crate) fn sync_log(&self) -> io::Result<()> {
        self.log.sync_data()
    }

    /// Writes the bytes from `position` on once more, so that the next sync
    /// covers them whatever became of an earlier one: after a failed sync the
    /// kernel takes pages for clean that are in memory only, and a process
    /// that starts anew reads them from there.
    pub(crate) fn write_again(&self, position: u64) -> io::Result<()> {
        let (mut at, end) = (position, self.size());
        let bytes = end.saturating_sub(at).min(WRITE_AGAIN_BYTES as u64) as usize;
        let mut buffer = vec![0; bytes];
        while at < end {
            let count = (end - at).min(bytes as u64) as usize;
            let chunk = &mut buffer[..count];
            self.log.read_exact_at(chunk, at)?;
            self.log.write_all_at(chunk, at)?;
            at += count as u64;
        }
        Ok(())
    }

    /// Sets the base offset of the batch at `position`, which the checksum does
    /// not cover.
    pub(crate) fn set_base_offset(&self, position: u64, offset: i64) -> io::Result<()> {
        self.log.write_all_at(&offset.to_be_bytes(), position)
    }

    /// Sets the leader epoch of the batch at `position`, which the checksum
    /// does not cover.
    pub(crate) fn set_leader_epoch(&self, position: u64, epoch: i32) -> io::Result<()> {
        // Right behind the base offset and the length.
        let position = position + LOG_OVERHEAD_BYTES as u64;
        self.log.write_all_at(&epoch.to_be_bytes(), position)
    }

    /// Cuts the file where it ends, for the reason of [`Segment::write_again`].
    pub(crate) fn cut_again(&self) -> io::Result<()> {
        self.log.set_size(self.size())
    }

    /// Writes what the indexes hold in memory. Gives the files to sync, after
    /// which [`Segment::indexes_synced`] is due.
    pub(crate) fn write_indexes(&self) -> io::Result<Vec<Arc<SegmentFile>>> {
        let mut files = Vec::new();
        if self.offsets.write_out()? {
            files.push(Arc::clone(self.offsets.file()));
        }
        if self.timestamps.write_out()? {
            files.push(Arc::clone(self.timestamps.file()));
        }
        if self.aborted.write_out()? {
            files.push(Arc::clone(self.aborted.file()));
        }
        Ok(files)
    }

    pub(crate) fn indexes_synced(&self) {
        self.offsets.synced();
        self.timestamps.synced();
        self.aborted.synced();
    }

    /// Closes the files, as far as nothing in them waits for a sync.
    pub(crate) fn close_files(&self) {
        self.files().iter().for_each(|file| file.close());
    }

    /// Writes whole batches at the end. On an error the file is cut back;
    /// `Err(Ok(..))` is the write's error, `Err(Err(..))` that of the cut,
    /// after which the file's state is not known.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<(), Result<io::Error, io::Error>> {
        let position = self.size();
        // Where it cannot even be opened there is nothing to undo, and the
        // cut would fail in the same way.
        self.log.open_for_writing().map_err(Ok)?;
        if let Err(error) = self.log.write_all_at(bytes, position) {
            return Err(match self.log.set_size(position) {
                Ok(()) => Ok(error),
                Err(cut) => Err(cut),
            });
        }
        Ok(())
    }

    /// Publishes written batches to readers and indexes them; `headers` are
    /// theirs, in order.
    pub(crate) fn publish(
        &self,
        headers: impl IntoIterator<Item = BatchHeader>,
        index_interval_bytes: u32,
    ) -> io::Result<()> {
        let mut position = self.size();
        let mut times = self.times.lock();
        for header in headers {
            self.index_batch(&mut times, position, &header, index_interval_bytes)?;
            position += header.size_bytes() as u64;
        }
        self.size.store(position, Ordering::Release);
        Ok(())
    }

    fn index_batch(
        &self,
        times: &mut Times,
        position: u64,
        header: &BatchHeader,
        interval_bytes: u32,
    ) -> io::Result<()> {
        let last_offset = header.last_offset();
        times.first_ms.get_or_insert(header.max_timestamp);
        // A batch that was emptied has no record at its timestamp.
        if header.records_count > 0
            && times
                .max
                .is_none_or(|max| header.max_timestamp > max.timestamp_ms)
        {
            times.max = Some(MaxTimestamp {
                timestamp_ms: header.max_timestamp,
                last_offset,
            });
        }
        if times.bytes_since_index > u64::from(interval_bytes) {
            self.offsets.push(OffsetEntry {
                relative_offset: self.relative(last_offset),
                position: i32::try_from(position).unwrap_or(i32::MAX),
            })?;
            self.push_time(times)?;
            times.bytes_since_index = 0;
        }
        times.bytes_since_index += header.size_bytes() as u64;
        Ok(())
    }

    /// Adds the largest timestamp so far to the time index, when it is larger
    /// than the last one there.
    fn push_time(&self, times: &Times) -> io::Result<()> {
        let Some(max) = times.max.filter(|max| max.timestamp_ms >= 0) else {
            return Ok(());
        };
        let last = self.timestamps.last()?;
        if last.is_none_or(|last| max.timestamp_ms > last.timestamp_ms) {
            self.timestamps.push(TimeEntry {
                timestamp_ms: max.timestamp_ms,
                relative_offset: self.relative(max.last_offset),
            })?;
        }
        Ok(())
    }

    /// Ends the indexes of a segment that will not grow any more.
    pub(crate) fn seal(&self) -> io::Result<()> {
        self.drop_tail();
        self.push_time(&self.times.lock())?;
        self.offsets.shrink()?;
        self.timestamps.shrink()?;
        self.aborted.shrink()
    }

    /// Brings the time index of the active segment up to its end, so that the
    /// next open finds the largest timestamp without a scan.
    pub(crate) fn finish_times(&self) -> io::Result<()> {
        self.push_time(&self.times.lock())
    }

    fn relative(&self, offset: i64) -> i32 {
        i32::try_from(offset - self.base_offset).unwrap_or(i32::MAX)
    }

    /// Whether `offset` can be expressed in this segment's indexes.
    pub(crate) fn can_index(&self, offset: i64) -> bool {
        i32::try_from(offset - self.base_offset).is_ok()
    }

    /// The largest timestamp, from memory or the time index.
    pub(crate) fn max_timestamp(&self) -> Result<Option<MaxTimestamp>, ReadError> {
        let mut times = self.times.lock();
        if times.max.is_none() && self.size() > 0 {
            times.max = self.last_time()?;
        }
        Ok(times.max)
    }

    /// What the last entry of the time index says.
    fn last_time(&self) -> Result<Option<MaxTimestamp>, ReadError> {
        let last = self.timestamps.last().map_err(|e| self.io(e))?;
        Ok(last.map(|entry| MaxTimestamp {
            timestamp_ms: entry.timestamp_ms,
            last_offset: self.base_offset + i64::from(entry.relative_offset),
        }))
    }

    /// The first batch's timestamp; `None` while empty.
    pub(crate) fn first_timestamp_ms(&self) -> Result<Option<i64>, ReadError> {
        if let Some(first) = self.times.lock().first_ms {
            return Ok(Some(first));
        }
        let first = self
            .headers(0)
            .next()
            .transpose()?
            .map(|(_, header)| header.max_timestamp);
        self.times.lock().first_ms = first;
        Ok(first)
    }

    /// The headers from `position` to the published end.
    pub(crate) fn headers(&self, position: u64) -> Headers<'_> {
        Headers {
            segment: self,
            position,
            end: self.size(),
            chunk: Vec::new(),
            chunk_start: position,
            chunk_bytes: SCAN_BYTES_MIN,
        }
    }

    /// One whole batch.
    pub(crate) fn batch_at(&self, position: u64, size: usize) -> Result<BatchView, ReadError> {
        let bytes = self.bytes_at(position, size)?;
        BatchView::parse(&bytes).map_err(|e| self.corrupt(position, &e))
    }

    pub(crate) fn bytes_at(&self, position: u64, size: usize) -> Result<Bytes, ReadError> {
        buffers::filled(size, |bytes| self.log.read_exact_at(bytes, position))
            .map_err(|e| self.io(e))
    }

    /// Where to begin looking for `offset`.
    pub(crate) fn floor_position(&self, offset: i64) -> Result<u64, ReadError> {
        let relative = offset - self.base_offset;
        let floor = self
            .offsets
            .floor(|entry| i64::from(entry.relative_offset) <= relative)
            .map_err(|e| self.io(e))?;
        Ok(floor
            .and_then(|entry| u64::try_from(entry.position).ok())
            .unwrap_or(0))
    }

    /// The first batch that ends at or after `offset`.
    pub(crate) fn find(&self, offset: i64) -> Result<Option<Located>, ReadError> {
        for located in self.headers(self.checked_floor(offset)?) {
            let (position, header) = located?;
            if header.last_offset() >= offset {
                return Ok(Some((position, header)));
            }
        }
        Ok(None)
    }

    /// The floor position, once it was seen that a batch begins there; an
    /// index that points elsewhere is rebuilt.
    fn checked_floor(&self, offset: i64) -> Result<u64, ReadError> {
        let position = self.floor_position(offset)?;
        if position == 0 {
            return Ok(0);
        }
        let fits = match self.headers(position).next() {
            Some(Ok((_, header))) => (self.base_offset..=offset).contains(&header.base_offset),
            Some(Err(_)) | None => false,
        };
        if fits {
            return Ok(position);
        }
        tracing::warn!(path = %self.offsets.path().display(), "index does not fit its log, rebuilding it");
        self.rebuild_indexes(4096)?;
        self.floor_position(offset)
    }

    /// Cuts the file to `position`, which `end_offset` belongs to, and the
    /// indexes with it. Not durable before a sync.
    pub(crate) fn truncate(&self, position: u64, end_offset: i64) -> io::Result<()> {
        self.log.set_size(position)?;
        self.size.store(position, Ordering::Release);
        self.recent.lock().forget();
        let end = end_offset - self.base_offset;
        self.offsets
            .truncate(|e| i64::from(e.relative_offset) < end)?;
        self.timestamps
            .truncate(|e| i64::from(e.relative_offset) < end)?;
        self.aborted
            .truncate(|e| e.last_offset < Offset(end_offset))?;
        *self.times.lock() = Times::default();
        Ok(())
    }

    /// Writes offset and time index anew from the batches' headers.
    pub(crate) fn rebuild_indexes(&self, index_interval_bytes: u32) -> Result<(), ReadError> {
        let io = |e| self.io(e);
        self.offsets.truncate(|_| false).map_err(io)?;
        self.timestamps.truncate(|_| false).map_err(io)?;
        self.resume_times(0, index_interval_bytes)?;
        self.push_time(&self.times.lock()).map_err(io)
    }

    /// Brings indexes and timestamps up to the end of the file, from a
    /// position below which the indexes are complete. Returns the offset
    /// after the last batch from there on.
    pub(crate) fn resume_times(
        &self,
        position: u64,
        index_interval_bytes: u32,
    ) -> Result<Option<i64>, ReadError> {
        let mut times = Times::default();
        if position > 0 {
            times.max = self.last_time()?;
        }
        let mut next_offset = None;
        for located in self.headers(position) {
            let (position, header) = located?;
            next_offset = Some(header.next_offset());
            self.index_batch(&mut times, position, &header, index_interval_bytes)
                .map_err(|e| self.io(e))?;
        }
        if position > 0 {
            times.first_ms = None;
        }
        *self.times.lock() = times;
        Ok(next_offset)
    }

    /// [`Segment::resume_times`] from the last index entry on.
    pub(crate) fn resume_from_index(&self, interval_bytes: u32) -> Result<Option<i64>, ReadError> {
        let last = self.offsets.last().map_err(|e| self.io(e))?;
        let position = last
            .and_then(|e| u64::try_from(e.position).ok())
            .unwrap_or(0);
        self.resume_times(position, interval_bytes)
    }

    /// Removes the files: first their names are changed, so that a crash
    /// never leaves half a segment that looks whole; the folder's sync and
    /// [`Segment::unlink`] follow.
    pub(crate) fn mark_deleted(&self) -> io::Result<()> {
        // The log goes first: an index without a log is ignored on open.
        self.drop_tail();
        for file in self.files() {
            file.retire();
            let path = file.path();
            if file.fs().exists(&path) {
                file.fs().rename(&path, &names::deleted(&path))?;
            }
        }
        Ok(())
    }

    /// The files are about to lose their names: they are not opened again.
    pub(crate) fn retire(&self) {
        self.drop_tail();
        self.files().iter().for_each(|file| file.retire());
    }

    /// Removes files marked before. Open handles stay readable.
    pub(crate) fn unlink(&self) -> io::Result<()> {
        for file in self.files() {
            let path = names::deleted(&file.path());
            if file.fs().exists(&path) {
                file.fs().remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Keeps the files open for who reads them: their names are about to be
    /// another segment's.
    pub(crate) fn pin(&self) -> io::Result<()> {
        self.offsets.pin()?;
        self.timestamps.pin()?;
        self.aborted.pin()?;
        self.log.pin()
    }

    /// Makes the indexes of a segment that nobody else has durable.
    pub(crate) fn sync_indexes(&self) -> io::Result<()> {
        for file in self.write_indexes()? {
            file.sync_data()?;
        }
        self.indexes_synced();
        Ok(())
    }

    fn files(&self) -> [&Arc<SegmentFile>; 4] {
        [
            &self.log,
            self.offsets.file(),
            self.timestamps.file(),
            self.aborted.file(),
        ]
    }

    pub(crate) fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io {
            path: self.path(),
            source,
        }
    }

    pub(crate) fn corrupt(&self, position: u64, what: &BatchError) -> ReadError {
        ReadError::Corrupt {
            path: self.path(),
            position,
            what: what.to_string(),
        }
    }
}

/// Walks headers; see [`Segment::headers`]. A batch that the end of the file
/// cuts short is an error.
pub(crate) struct Headers<'a> {
    segment: &'a Segment,
    position: u64,
    end: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
    /// Size of the next chunk.
    chunk_bytes: usize,
}

impl Headers<'_> {
    fn header(&mut self) -> Result<BatchHeader, ReadError> {
        let available = self.end - self.position;
        let cut = |needed: usize| BatchError::Truncated {
            needed,
            available: usize::try_from(available).unwrap_or(usize::MAX),
        };
        if available < HEADER_BYTES as u64 {
            return Err(self.segment.corrupt(self.position, &cut(HEADER_BYTES)));
        }
        let chunk_end = self.chunk_start + self.chunk.len() as u64;
        if self.position < self.chunk_start || self.position + HEADER_BYTES as u64 > chunk_end {
            if self.position > chunk_end + SCAN_BYTES_MAX as u64 {
                self.chunk_bytes = SCAN_BYTES_MIN;
            }
            let size = self
                .chunk_bytes
                .min(usize::try_from(available).unwrap_or(SCAN_BYTES_MIN));
            self.chunk_bytes = (2 * self.chunk_bytes).min(SCAN_BYTES_MAX);
            self.chunk.resize(size, 0);
            self.chunk_start = self.position;
            self.segment
                .log
                .read_exact_at(&mut self.chunk, self.position)
                .map_err(|e| self.segment.io(e))?;
        }
        let at = usize::try_from(self.position - self.chunk_start).unwrap_or(usize::MAX);
        let header = BatchHeader::parse(self.chunk.get(at..).unwrap_or_default())
            .map_err(|e| self.segment.corrupt(self.position, &e))?;
        if header.size_bytes() as u64 > available {
            return Err(self
                .segment
                .corrupt(self.position, &cut(header.size_bytes())));
        }
        Ok(header)
    }
}

impl Iterator for Headers<'_> {
    type Item = Result<Located, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end {
            return None;
        }
        let position = self.position;
        let header = self.header();
        match &header {
            Ok(header) => self.position += header.size_bytes() as u64,
            Err(_) => self.position = self.end,
        }
        Some(header.map(|header| (position, header)))
    }
}
