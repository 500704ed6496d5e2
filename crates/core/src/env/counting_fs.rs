//! A file system that counts what is asked of another one, so that tests can
//! bound work instead of time.

use super::fs::{Fs, FsFile, Space};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts, and passes everything on. Clones share the counts.
#[derive(Clone)]
pub struct CountingFs {
    inner: Arc<dyn Fs>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    opens: AtomicU64,
    open_files: AtomicU64,
    open_files_max: AtomicU64,
    lists: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    file_syncs: AtomicU64,
    folder_syncs: AtomicU64,
    file_system_syncs: AtomicU64,
}

/// What was asked so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FsCounts {
    /// Files opened.
    pub opens: u64,
    /// Files that are open now.
    pub open_files: u64,
    /// Most files that were open at once.
    pub open_files_max: u64,
    /// Folders listed.
    pub lists: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Syncs of a file.
    pub file_syncs: u64,
    /// Syncs of a folder.
    pub folder_syncs: u64,
    /// Syncs of the whole file system.
    pub file_system_syncs: u64,
}

impl FsCounts {
    /// Syncs of any kind.
    pub fn syncs(&self) -> u64 {
        self.file_syncs + self.folder_syncs + self.file_system_syncs
    }

    /// What came since `before`; the open files are those of now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            opens: self.opens - before.opens,
            open_files: self.open_files,
            open_files_max: self.open_files_max,
            lists: self.lists - before.lists,
            bytes_read: self.bytes_read - before.bytes_read,
            bytes_written: self.bytes_written - before.bytes_written,
            file_syncs: self.file_syncs - before.file_syncs,
            folder_syncs: self.folder_syncs - before.folder_syncs,
            file_system_syncs: self.file_system_syncs - before.file_system_syncs,
        }
    }
}

impl CountingFs {
    /// Counts what is asked of `inner`.
    pub fn new(inner: Arc<dyn Fs>) -> Self {
        Self {
            inner,
            counters: Arc::default(),
        }
    }

    /// As the seam wants it.
    pub fn shared(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    /// The counts now.
    pub fn counts(&self) -> FsCounts {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let c = &self.counters;
        FsCounts {
            opens: get(&c.opens),
            open_files: get(&c.open_files),
            open_files_max: get(&c.open_files_max),
            lists: get(&c.lists),
            bytes_read: get(&c.bytes_read),
            bytes_written: get(&c.bytes_written),
            file_syncs: get(&c.file_syncs),
            folder_syncs: get(&c.folder_syncs),
            file_system_syncs: get(&c.file_system_syncs),
        }
    }
}

impl Fs for CountingFs {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FsFile>> {
        let file = self.inner.open(path, create)?;
        let open = self.counters.open_files.fetch_add(1, Relaxed) + 1;
        self.counters.open_files_max.fetch_max(open, Relaxed);
        self.counters.opens.fetch_add(1, Relaxed);
        Ok(Arc::new(CountingFile {
            inner: file,
            counters: Arc::clone(&self.counters),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.counters.lists.fetch_add(1, Relaxed);
        self.inner.list(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn file_size(&self, path: &Path) -> io::Result<u64> {
        self.inner.file_size(path)
    }

    fn modified_ms(&self, path: &Path) -> Option<i64> {
        self.inner.modified_ms(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.counters.folder_syncs.fetch_add(1, Relaxed);
        self.inner.sync_dir(path)
    }
}

struct CountingFile {
    inner: Arc<dyn FsFile>,
    counters: Arc<Counters>,
}

impl Drop for CountingFile {
    fn drop(&mut self) {
        self.counters.open_files.fetch_sub(1, Relaxed);
    }
}

impl FsFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let read = self.inner.read_at(buffer, position)?;
        self.counters.bytes_read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.counters
            .bytes_written
            .fetch_add(bytes.len() as u64, Relaxed);
        self.inner.write_all_at(bytes, position)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.inner.set_size(size)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.file_syncs.fetch_add(1, Relaxed);
        self.inner.sync_data()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.counters.file_system_syncs.fetch_add(1, Relaxed);
        self.inner.sync_file_system()
    }

    fn as_real(&self) -> Option<&File> {
        self.inner.as_real()
    }

    fn is_cached(&self, position: u64, size: usize) -> bool {
        self.inner.is_cached(position, size)
    }

    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, size: usize) -> io::Result<usize> {
        self.inner.send_to(socket, position, size)
    }
}
