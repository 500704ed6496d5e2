//! The files of segments: open while they are used, closed when nobody has
//! used them for a while or others need the room. So the number of open files
//! follows the partitions in use, not those that exist.
//!
//! Invariants:
//! - A file with changes that were not synced stays open: the kernel reports
//!   a failed write-back to the handles that were open then.
//! - A removed file is never opened again ([`SegmentFile::retire`]), because
//!   another one may have its name by now. Who has it open reads on.

use crate::names::SegmentPath;
use millstream_core::env::{Fs, FsFile};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Open files that are looked at for one to close, for each that is opened:
/// where all are in use, more are open than wanted for a while.
const LOOKS_MAX: usize = 64;

/// A file system and the bound on the files that are kept open in it.
pub(crate) struct Files {
    pub(crate) fs: Arc<dyn Fs>,
    open_max: usize,
    /// Files in `open`; the queue itself may hold some that are gone.
    count: AtomicUsize,
    /// Oldest first; one that was used since it was last looked at goes
    /// behind the others.
    open: Mutex<VecDeque<Weak<SegmentFile>>>,
}

impl Files {
    pub(crate) fn new(fs: Arc<dyn Fs>, open_max: usize) -> Arc<Self> {
        Arc::new(Self {
            fs,
            open_max: open_max.max(1),
            count: AtomicUsize::new(0),
            open: Mutex::default(),
        })
    }

    /// A file of this path; not opened yet.
    pub(crate) fn file(self: &Arc<Self>, path: SegmentPath) -> Arc<SegmentFile> {
        Arc::new(SegmentFile {
            files: Arc::clone(self),
            path,
            slot: Mutex::default(),
            used: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            synced: AtomicU64::new(0),
        })
    }

    /// Files that are kept open.
    pub(crate) fn open_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether more are open than wanted: those with unsynced changes are
    /// too many.
    pub(crate) fn is_over(&self) -> bool {
        self.open_count() > self.open_max
    }

    fn opened(&self, file: &Arc<SegmentFile>) {
        let mut open = self.open.lock();
        for _ in 0..LOOKS_MAX.min(open.len()) {
            if self.count.load(Ordering::Relaxed) < self.open_max {
                break;
            }
            let Some(oldest) = open.pop_front() else {
                break;
            };
            if let Some(kept) = oldest.upgrade().filter(|file| !file.close_if_idle()) {
                open.push_back(Arc::downgrade(&kept));
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        open.push_back(Arc::downgrade(file));
    }

    /// Closes what was not used since the last call.
    pub(crate) fn close_idle(&self) {
        let mut open = self.open.lock();
        open.retain(|file| file.upgrade().is_some_and(|file| !file.close_if_idle()));
        open.shrink_to_fit();
    }
}

/// One file of a segment.
pub(crate) struct SegmentFile {
    files: Arc<Files>,
    path: SegmentPath,
    slot: Mutex<Slot>,
    used: AtomicBool,
    /// Counts changes of the content.
    changes: AtomicU64,
    /// The count up to which they are durable.
    synced: AtomicU64,
}

#[derive(Default)]
struct Slot {
    file: Option<Arc<dyn FsFile>>,
    retired: bool,
    /// It stays open to the end, for who still reads it.
    pinned: bool,
}

impl SegmentFile {
    pub(crate) fn path(&self) -> PathBuf {
        self.path.path()
    }

    /// Its path in parts.
    pub(crate) fn parts(&self) -> &SegmentPath {
        &self.path
    }

    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.files.fs
    }

    /// The file, opened when it is not; created when `create` is set and it
    /// is not there.
    fn get(self: &Arc<Self>, create: bool) -> io::Result<Arc<dyn FsFile>> {
        self.used.store(true, Ordering::Relaxed);
        let file = {
            let mut slot = self.slot.lock();
            if let Some(file) = &slot.file {
                return Ok(Arc::clone(file));
            }
            if slot.retired {
                return Err(io::ErrorKind::NotFound.into());
            }
            let file = self.files.fs.open(&self.path(), create)?;
            slot.file = Some(Arc::clone(&file));
            file
        };
        // Not under the slot's lock: this closes others.
        self.files.opened(self);
        Ok(file)
    }

    /// Closes the file when it was not used since the last look and nothing
    /// in it waits for a sync. True when it is closed.
    fn close_if_idle(&self) -> bool {
        if self.used.swap(false, Ordering::Relaxed) || self.has_unsynced() {
            return self.slot.lock().file.is_none();
        }
        self.close();
        true
    }

    /// Closes the file if nothing in it waits for a sync; the next use opens
    /// it again.
    pub(crate) fn close(&self) {
        let mut slot = self.slot.lock();
        if !slot.pinned && !self.has_unsynced() && slot.file.take().is_some() {
            self.files.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The file is about to be renamed or removed: it is not opened again.
    pub(crate) fn retire(&self) {
        self.slot.lock().retired = true;
    }

    /// As [`SegmentFile::retire`], for a file whose name goes to another one:
    /// it stays open, so that who reads it now is not cut off.
    pub(crate) fn pin(self: &Arc<Self>) -> io::Result<()> {
        let file = self.get(false)?;
        let mut slot = self.slot.lock();
        slot.retired = true;
        slot.pinned = true;
        if slot.file.is_none() {
            // Closed for others in between.
            slot.file = Some(file);
            self.files.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        let slot = self.slot.lock();
        match &slot.file {
            Some(file) => file.size(),
            None if slot.retired => Err(io::ErrorKind::NotFound.into()),
            None => self.files.fs.file_size(&self.path()),
        }
    }

    /// The file, opened when it is not; who holds it reads on whatever becomes
    /// of its name.
    pub(crate) fn handle(self: &Arc<Self>) -> io::Result<Arc<dyn FsFile>> {
        self.get(false)
    }

    /// Opens the file, created when it is not there, for a change that
    /// follows.
    pub(crate) fn open_for_writing(self: &Arc<Self>) -> io::Result<()> {
        self.get(true).map(drop)
    }

    pub(crate) fn read_exact_at(
        self: &Arc<Self>,
        buffer: &mut [u8],
        position: u64,
    ) -> io::Result<()> {
        self.get(false)?.read_exact_at(buffer, position)
    }

    pub(crate) fn write_all_at(self: &Arc<Self>, bytes: &[u8], position: u64) -> io::Result<()> {
        self.change(|file| file.write_all_at(bytes, position))
    }

    pub(crate) fn set_size(self: &Arc<Self>, size: u64) -> io::Result<()> {
        self.change(|file| file.set_size(size))
    }

    /// Counted before, so that the file stays open, and after, so that a sync
    /// that began in between does not count for it.
    fn change(
        self: &Arc<Self>,
        change: impl FnOnce(&dyn FsFile) -> io::Result<()>,
    ) -> io::Result<()> {
        self.changes.fetch_add(1, Ordering::AcqRel);
        let changed = self.get(true).and_then(|file| change(file.as_ref()));
        self.changes.fetch_add(1, Ordering::AcqRel);
        changed
    }

    /// Makes the content durable.
    pub(crate) fn sync_data(self: &Arc<Self>) -> io::Result<()> {
        let changes = self.changes();
        self.get(true)?.sync_data()?;
        self.note_synced(changes);
        Ok(())
    }

    /// Counts changes, for [`SegmentFile::note_synced`].
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Everything up to this count was made durable by other means.
    pub(crate) fn note_synced(&self, changes: u64) {
        self.synced.fetch_max(changes, Ordering::AcqRel);
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        self.synced.load(Ordering::Acquire) < self.changes()
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if self.slot.get_mut().file.is_some() {
            self.files.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{self, Stage};
    use millstream_core::env::{CountingFs, RealFs};

    fn files(
        open_max: usize,
        count: usize,
    ) -> (tempfile::TempDir, CountingFs, Vec<Arc<SegmentFile>>) {
        let dir = tempfile::tempdir().unwrap();
        let fs = CountingFs::new(RealFs::shared());
        let files = Files::new(fs.shared(), open_max);
        let folder = Arc::from(dir.path());
        let path = |i| SegmentPath::new(&folder, i, names::LOG, Stage::InPlace);
        let all = (0..count as i64).map(|i| files.file(path(i)));
        let all = all.collect();
        (dir, fs, all)
    }

    fn read(file: &Arc<SegmentFile>) -> [u8; 1] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0).unwrap();
        byte
    }

    #[test]
    fn files_beyond_the_bound_are_closed_and_opened_again() {
        let (_dir, fs, files) = files(10, 100);
        for round in 0..3_u8 {
            for file in &files {
                file.write_all_at(&[round], 0).unwrap();
                file.sync_data().unwrap();
            }
            for file in &files {
                assert_eq!(read(file), [round]);
            }
        }
        // One that is being opened, one that is being closed.
        assert!(fs.counts().open_files_max <= 12, "{:?}", fs.counts());
    }

    #[test]
    fn a_file_with_unsynced_changes_stays_open() {
        let (_dir, fs, files) = files(2, 20);
        for file in &files {
            file.write_all_at(b"x", 0).unwrap();
        }
        assert_eq!(fs.counts().open_files, 20);
        assert_eq!(fs.counts().opens, 20);
        for file in &files {
            file.sync_data().unwrap();
        }
        assert_eq!(
            fs.counts().opens,
            20,
            "the handle that wrote is the one that syncs"
        );
        files[0].files.close_idle();
        files[0].files.close_idle();
        assert_eq!(fs.counts().open_files, 0);
    }

    #[test]
    fn a_sync_does_not_count_for_a_change_that_it_met_half_done() {
        let (_dir, _fs, files) = files(2, 1);
        let file = &files[0];
        let in_between = file.change(|handle| {
            let seen = file.changes();
            handle.write_all_at(b"x", 0)?;
            file.note_synced(seen);
            Ok(())
        });
        in_between.unwrap();
        assert!(file.has_unsynced());
    }

    #[test]
    fn a_file_that_is_gone_is_not_mistaken_for_the_next_of_its_name() {
        let (_dir, _fs, files) = files(2, 1);
        let old = &files[0];
        old.write_all_at(b"a", 0).unwrap();
        old.sync_data().unwrap();
        let held = old.get(false).unwrap();
        old.retire();
        std::fs::remove_file(old.path()).unwrap();
        std::fs::write(old.path(), b"b").unwrap();
        old.close();
        let mut byte = [0];
        let error = old.read_exact_at(&mut byte, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(old.size().is_err());
        held.read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"a");
    }
}
