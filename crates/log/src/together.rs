//! Making many things durable at once: each by itself where they are few, one
//! `syncfs` for all where they are many.
//!
//! The `syncfs` here has a handle of its own: the kernel tells each handle of
//! a failed write-back once, and the flusher must not miss one because it was
//! told here.

use crate::files::SegmentFile;
use millstream_core::env::{Fs, FsFile};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// From this many on, one `syncfs` for all.
pub(crate) const TOGETHER_MIN: usize = 32;

/// What is to be made durable.
pub(crate) enum Unsynced {
    /// Content of a segment's file.
    Segment(Arc<SegmentFile>),
    /// Content of another file, by the handle that wrote it while that is
    /// open.
    File(Option<Arc<dyn FsFile>>, PathBuf),
    /// Names in a folder.
    Folder(PathBuf),
}

/// See the module's docs.
pub(crate) struct Together {
    fs: Arc<dyn Fs>,
    /// In the same file system as everything that is synced here.
    file_system: Arc<dyn FsFile>,
    unsupported: AtomicBool,
}

impl Together {
    pub(crate) fn new(fs: Arc<dyn Fs>, file_system: Arc<dyn FsFile>) -> Self {
        Self {
            fs,
            file_system,
            unsupported: AtomicBool::new(false),
        }
    }

    /// Whether this many are better synced at once.
    pub(crate) fn at_once(&self, count: usize) -> bool {
        count >= TOGETHER_MIN && !self.unsupported.load(Ordering::Relaxed)
    }

    /// Makes all of them durable. An error may concern any of them.
    pub(crate) fn sync(&self, things: &[Unsynced]) -> Result<(), (PathBuf, io::Error)> {
        if self.at_once(things.len()) {
            let path = || things.first().map(Unsynced::path).unwrap_or_default();
            if self.sync_at_once(things).map_err(|error| (path(), error))? {
                return Ok(());
            }
        }
        self.sync_each(things)
    }

    /// One `syncfs` for all. False when there is no such thing here.
    pub(crate) fn sync_at_once(&self, things: &[Unsynced]) -> io::Result<bool> {
        let changes: Vec<u64> = things.iter().map(Unsynced::changes).collect();
        match self.file_system.sync_file_system() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.unsupported.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            outcome => outcome?,
        }
        for (thing, changes) in things.iter().zip(changes) {
            if let Unsynced::Segment(file) = thing {
                file.note_synced(changes);
            }
        }
        Ok(true)
    }

    /// One sync for each, in order, up to the first error.
    pub(crate) fn sync_each(&self, things: &[Unsynced]) -> Result<(), (PathBuf, io::Error)> {
        things.iter().try_for_each(|thing| {
            let synced = match thing {
                Unsynced::Segment(file) => file.sync_data(),
                Unsynced::File(Some(file), _) => file.sync_data(),
                Unsynced::File(None, path) => {
                    self.fs.open(path, false).and_then(|file| file.sync_data())
                }
                Unsynced::Folder(path) => self.fs.sync_dir(path),
            };
            synced.map_err(|error| (thing.path(), error))
        })
    }
}

impl Unsynced {
    fn changes(&self) -> u64 {
        match self {
            Self::Segment(file) => file.changes(),
            Self::File(..) | Self::Folder(_) => 0,
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Segment(file) => file.path(),
            Self::File(_, path) | Self::Folder(path) => path.clone(),
        }
    }
}

/// A file that is written aside and takes its place once it is durable:
/// [`Fs::replace`] in steps, so that many can share their syncs.
pub(crate) struct Aside {
    path: PathBuf,
    aside: PathBuf,
    file: Option<Arc<dyn FsFile>>,
}

impl Aside {
    /// Writes it; [`Aside::unsynced`] is to be synced next.
    pub(crate) fn write(fs: &dyn Fs, path: PathBuf, content: &[u8]) -> io::Result<Self> {
        let aside = path.with_extension("tmp");
        let file = fs.open(&aside, true)?;
        if file.size()? > 0 {
            file.set_size(0)?;
        }
        file.write_all_at(content, 0)?;
        let file = Some(file);
        Ok(Self { path, aside, file })
    }

    /// Closes the file where one `syncfs` follows for so many that they must
    /// not all be open.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    pub(crate) fn unsynced(&self) -> Unsynced {
        Unsynced::File(self.file.clone(), self.aside.clone())
    }

    /// Puts it into its place; the folder is to be synced next.
    pub(crate) fn put(self, fs: &dyn Fs) -> io::Result<()> {
        fs.rename(&self.aside, &self.path)
    }
}
