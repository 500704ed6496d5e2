//! The index files beside a segment: sorted arrays of fixed-size entries.
//!
//! Index files are never synced on the append path: new entries wait in
//! memory and reach the file in blocks, are synced at the partition's
//! checkpoint, and what a crash takes is rebuilt from the batches. So an index
//! is always allowed to be missing or short, and whoever uses one checks what
//! it finds in the log.

mod entry;

pub(crate) use entry::{IndexEntry, OffsetEntry, TimeEntry};

use crate::files::{Files, SegmentFile};
use crate::names::SegmentPath;
use parking_lot::Mutex;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// New entries that wait in memory before they are written in one block.
const PENDING_ENTRIES_MAX: usize = 512;
/// Newest entries kept in memory for readers at the tail.
const RECENT_ENTRIES_MAX: usize = 2 * PENDING_ENTRIES_MAX;

/// One index file.
pub(crate) struct IndexFile<E> {
    file: Arc<SegmentFile>,
    inner: Mutex<Inner<E>>,
}

struct Inner<E> {
    file: Arc<SegmentFile>,
    /// Whether the counts below are known.
    loaded: bool,
    /// Whether it may have changes of an earlier process.
    unsynced: bool,
    /// Entries in the file.
    written: usize,
    /// The newest entries; the last `total - written` are not in the file.
    recent: Vec<E>,
    /// All entries, in file and memory.
    total: usize,
}

impl<E: IndexEntry> IndexFile<E> {
    /// An index that exists already, or is empty when it does not.
    pub(crate) fn existing(files: &Arc<Files>, path: SegmentPath) -> Self {
        let file = files.file(path);
        let inner = Inner {
            file: Arc::clone(&file),
            loaded: false,
            // Whoever wrote it may have died before a sync.
            unsynced: true,
            written: 0,
            recent: Vec::new(),
            total: 0,
        };
        Self {
            file,
            inner: Mutex::new(inner),
        }
    }

    /// Creates the file, empty.
    pub(crate) fn create(files: &Arc<Files>, path: SegmentPath) -> io::Result<Self> {
        // Closed again at once: nothing is in it for a while.
        let file = files.fs.open(&path.path(), true)?;
        let index = Self::existing(files, path);
        if file.size()? > 0 {
            index.file.set_size(0)?;
        }
        {
            let mut inner = index.inner.lock();
            inner.loaded = true;
            inner.unsynced = false;
        }
        Ok(index)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    /// Whether the file is there and holds whole entries.
    pub(crate) fn is_whole(&self) -> io::Result<bool> {
        match self.inner.lock().load() {
            Ok(size) => Ok(size % E::BYTES as u64 == 0),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&self, entry: E) -> io::Result<()> {
        let mut inner = self.loaded()?;
        inner.recent.push(entry);
        inner.total += 1;
        // A full disk must not fail an append whose batch is written: the
        // entries stay in memory and the next checkpoint reports it.
        if inner.total - inner.written >= PENDING_ENTRIES_MAX
            && let Err(error) = inner.write_pending()
        {
            tracing::warn!(path = %self.path().display(), %error, "cannot write index entries");
        }
        Ok(())
    }

    /// Keeps the file open from here on, whatever becomes of its name.
    pub(crate) fn pin(&self) -> io::Result<()> {
        let mut inner = self.loaded()?;
        inner.write_pending()?;
        self.file.pin()
    }

    /// Bytes of all entries.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok((self.len()? * E::BYTES) as u64)
    }

    pub(crate) fn len(&self) -> io::Result<usize> {
        Ok(self.loaded()?.total)
    }

    pub(crate) fn last(&self) -> io::Result<Option<E>> {
        let mut inner = self.loaded()?;
        match inner.total.checked_sub(1) {
            Some(last) => inner.get(last).map(Some),
            None => Ok(None),
        }
    }

    /// The last entry for which `holds`, which is true up to some entry and
    /// false from there on.
    pub(crate) fn floor(&self, holds: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        Ok(self.loaded()?.partition_point(&holds)?.1)
    }

    /// Shows the entries after those for which `before`, in order, until
    /// `visit` returns false.
    pub(crate) fn visit(
        &self,
        before: impl Fn(&E) -> bool,
        mut visit: impl FnMut(E) -> bool,
    ) -> io::Result<()> {
        let mut inner = self.loaded()?;
        for i in inner.partition_point(&before)?.0..inner.total {
            if !visit(inner.get(i)?) {
                break;
            }
        }
        Ok(())
    }

    /// Keeps the entries for which `holds`, which is true up to some entry
    /// and false from there on.
    pub(crate) fn truncate(&self, holds: impl Fn(&E) -> bool) -> io::Result<()> {
        let mut inner = self.loaded()?;
        let keep = inner.partition_point(&holds)?.0;
        if keep == inner.total {
            return Ok(());
        }
        let recent_start = inner.total - inner.recent.len();
        inner.recent.truncate(keep.saturating_sub(recent_start));
        inner.total = keep;
        if keep < inner.written {
            inner.written = keep;
            inner.file.set_size((keep * E::BYTES) as u64)?;
        }
        Ok(())
    }

    /// Writes what waits in memory. True when the file is to be synced.
    pub(crate) fn write_out(&self) -> io::Result<bool> {
        let mut inner = self.loaded()?;
        inner.write_pending()?;
        Ok(inner.unsynced || self.file.has_unsynced())
    }

    /// Notes that the file was synced since [`IndexFile::write_out`].
    pub(crate) fn synced(&self) {
        self.inner.lock().unsynced = false;
    }

    /// Drops what is kept for readers at the tail; for an index that will not
    /// grow any more.
    pub(crate) fn shrink(&self) -> io::Result<()> {
        let mut inner = self.loaded()?;
        inner.write_pending()?;
        inner.recent = Vec::new();
        Ok(())
    }

    fn loaded(&self) -> io::Result<parking_lot::MutexGuard<'_, Inner<E>>> {
        let mut inner = self.inner.lock();
        if !inner.loaded {
            match inner.load() {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => inner.loaded = true,
                Err(e) => return Err(e),
            }
        }
        Ok(inner)
    }
}

impl<E: IndexEntry> Inner<E> {
    /// Takes the number of entries from the file's size, which it returns.
    fn load(&mut self) -> io::Result<u64> {
        let size = self.file.size()?;
        if !self.loaded {
            // A torn last entry is ignored, then overwritten.
            let whole = usize::try_from(size).map_err(io::Error::other)? / E::BYTES;
            self.written = whole;
            self.total = whole;
            self.loaded = true;
        }
        Ok(size)
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let pending = self.total - self.written;
        if pending > 0 {
            let first = self.recent.len() - pending;
            let mut bytes = Vec::with_capacity(pending * E::BYTES);
            for entry in self.recent.get(first..).unwrap_or_default() {
                entry.encode(&mut bytes);
            }
            let position = (self.written * E::BYTES) as u64;
            self.file.write_all_at(&bytes, position)?;
            self.written = self.total;
        }
        if self.recent.len() > RECENT_ENTRIES_MAX {
            let surplus = self.recent.len() - RECENT_ENTRIES_MAX / 2;
            self.recent.drain(..surplus);
        }
        Ok(())
    }

    fn get(&mut self, i: usize) -> io::Result<E> {
        let recent_start = self.total - self.recent.len();
        if let Some(entry) = i
            .checked_sub(recent_start)
            .and_then(|at| self.recent.get(at))
        {
            return Ok(*entry);
        }
        let mut bytes = [0; entry::ENTRY_BYTES_MAX];
        let bytes = bytes.get_mut(..E::BYTES).unwrap_or_default();
        self.file.read_exact_at(bytes, (i * E::BYTES) as u64)?;
        Ok(E::decode(bytes))
    }

    /// How many entries hold, and the last of them. Looks at the entries in
    /// memory first: readers are at the tail most of the time.
    fn partition_point(&mut self, holds: &impl Fn(&E) -> bool) -> io::Result<(usize, Option<E>)> {
        let recent_start = self.total - self.recent.len();
        let in_recent = self.recent.partition_point(holds);
        if let Some(last) = in_recent.checked_sub(1).and_then(|i| self.recent.get(i)) {
            return Ok((recent_start + in_recent, Some(*last)));
        }
        let (mut low, mut high, mut found) = (0, recent_start, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.get(middle)?;
            if holds(&entry) {
                low = middle + 1;
                found = Some(entry);
            } else {
                high = middle;
            }
        }
        Ok((low, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{self, Stage};
    use millstream_core::env::RealFs;

    fn files() -> Arc<Files> {
        Files::new(RealFs::shared(), 16)
    }

    fn path(dir: &tempfile::TempDir) -> SegmentPath {
        let folder = Arc::from(dir.path());
        SegmentPath::new(&folder, 0, names::OFFSET_INDEX, Stage::InPlace)
    }

    fn index(entries: i32) -> (tempfile::TempDir, IndexFile<OffsetEntry>) {
        let dir = tempfile::tempdir().unwrap();
        let index = IndexFile::create(&files(), path(&dir)).unwrap();
        for i in 0..entries {
            index
                .push(OffsetEntry {
                    relative_offset: i * 10,
                    position: i * 4096,
                })
                .unwrap();
        }
        (dir, index)
    }

    #[test]
    fn floor_is_the_same_in_memory_and_in_the_file() {
        let (dir, index) = index(3000);
        index.write_out().unwrap();
        let reopened = IndexFile::<OffsetEntry>::existing(&files(), path(&dir));
        for offset in [0, 9, 10, 15_555, 29_989, 29_990, 40_000] {
            let floor =
                |i: &IndexFile<OffsetEntry>| i.floor(|e| e.relative_offset <= offset).unwrap();
            assert_eq!(
                floor(&index).unwrap().relative_offset,
                (offset / 10 * 10).min(29_990)
            );
            assert_eq!(floor(&index), floor(&reopened));
        }
        assert_eq!(index.floor(|e| e.relative_offset < 0).unwrap(), None);
        assert_eq!(reopened.len().unwrap(), 3000);
    }

    #[test]
    fn truncation_reaches_file_and_memory() {
        let (dir, index) = index(1000);
        index.truncate(|e| e.relative_offset < 600 * 10).unwrap();
        assert_eq!(index.len().unwrap(), 600);
        index.truncate(|e| e.relative_offset < 100 * 10).unwrap();
        index
            .push(OffsetEntry {
                relative_offset: 7777,
                position: 1,
            })
            .unwrap();
        index.write_out().unwrap();
        let path = path(&dir);
        assert_eq!(std::fs::metadata(path.path()).unwrap().len(), 101 * 8);
        let reopened = IndexFile::<OffsetEntry>::existing(&files(), path);
        assert_eq!(reopened.last().unwrap().unwrap().relative_offset, 7777);
    }

    #[test]
    fn a_torn_last_entry_is_overwritten() {
        let (dir, index) = index(2);
        index.write_out().unwrap();
        let path = path(&dir);
        std::fs::OpenOptions::new()
            .write(true)
            .open(path.path())
            .unwrap()
            .set_len(13)
            .unwrap();
        let reopened = IndexFile::<OffsetEntry>::existing(&files(), path.clone());
        assert!(!reopened.is_whole().unwrap());
        reopened
            .push(OffsetEntry {
                relative_offset: 99,
                position: 2,
            })
            .unwrap();
        reopened.write_out().unwrap();
        assert_eq!(std::fs::metadata(path.path()).unwrap().len(), 16);
        assert_eq!(reopened.last().unwrap().unwrap().relative_offset, 99);
    }
}
