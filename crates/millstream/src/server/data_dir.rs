//! The data folder: whose it is, who uses it, who may read it.
//!
//! Invariants: a folder with somebody else's files is never used; what is in
//! a folder is changed or removed only by who holds its lock; `demo --clean`
//! removes only folders that `demo` made.

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Marks a data folder as ours, and is locked while a server uses it.
const LOCK_FILE: &str = ".millstream";
/// Marks a folder that `millstream demo` made, and that it may remove.
const DEMO_FILE: &str = ".millstream-demo";
/// What is in it, for whoever finds it.
const DEMO_NOTE: &str = "`millstream demo` made this folder; `demo --clean` removes it.\n";
/// Only the server's user reads records.
const FOLDER_MODE: u32 = 0o700;
/// What is taken from the mode of every file that this process makes.
const UMASK: Mode = Mode::from_raw_mode(0o077);

/// Keeps others out of every file that this process makes from here on. Call
/// it before the first.
pub fn keep_files_private() {
    rustix::process::umask(UMASK);
}

/// A data folder with its lock, held until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    new: bool,
}

impl DataDir {
    /// Creates the folder, or takes one that is ours or empty, and locks it.
    pub fn open(dir: &Path) -> Result<Self> {
        let new = if dir.exists() {
            check_is_ours(dir)?;
            !dir.join(LOCK_FILE).exists()
        } else {
            DirBuilder::new()
                .recursive(true)
                .mode(FOLDER_MODE)
                .create(dir)
                .with_context(|| format!("cannot create the data folder {}", dir.display()))?;
            true
        };
        let path =
            std::path::absolute(dir).with_context(|| format!("cannot use {}", dir.display()))?;
        let lock = lock(&path)?;
        Ok(Self { path, lock, new })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder's permissions from everybody else. What is in it
    /// needs no change then: nobody gets as far. Returns what to warn of.
    pub fn keep_private(&self) -> Option<String> {
        let others = |mode: u32| mode & 0o077 != 0;
        let before = std::fs::metadata(&self.path).ok()?.mode();
        if !others(before) {
            return None;
        }
        match std::fs::set_permissions(&self.path, Permissions::from_mode(FOLDER_MODE)) {
            Ok(()) => None,
            Err(error) => Some(format!(
                "other users may read the data folder {} (mode {:o}), and this cannot be changed \
                 ({error}): as its owner, run chmod 700 on it",
                self.path.display(),
                before & 0o7777,
            )),
        }
    }

    /// Marks a folder that was made just now as the demo's; one that was
    /// there before is somebody's.
    pub fn mark_as_demo(&self) -> Result<()> {
        if !self.new {
            return Ok(());
        }
        let path = self.path.join(DEMO_FILE);
        std::fs::write(&path, DEMO_NOTE).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether `demo --clean` would remove it.
    pub fn is_demo(&self) -> bool {
        self.path.join(DEMO_FILE).exists()
    }

    /// Whether the path still leads to the folder that was opened: it may
    /// have been removed, or its disk unmounted.
    pub fn is_there(&self) -> bool {
        let id = |m: std::fs::Metadata| (m.dev(), m.ino());
        let there = std::fs::metadata(self.path.join(LOCK_FILE)).map(id);
        let locked = self.lock.metadata().map(id);
        matches!((there, locked), (Ok(there), Ok(locked)) if there == locked)
    }
}

/// Refuses a folder that holds somebody else's files.
fn check_is_ours(dir: &Path) -> Result<()> {
    let mut entries = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read the data folder {}", dir.display()))?
        .peekable();
    if entries.peek().is_some() && !dir.join(LOCK_FILE).exists() {
        bail!(
            "{} has files in it that are not Millstream's: name an empty or a new folder",
            dir.display()
        );
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another server uses {}: stop it, or name another --data-dir",
            dir.display()
        );
    }
    Ok(file)
}

/// Removes a folder that `demo` made and no server uses. Whether there was
/// one.
///
/// A folder without the mark is refused: a server that `start` ran, another
/// program, or a demo of a version that made no mark. They cannot be told
/// apart, and only one of them may go.
pub fn remove_demo(dir: &Path) -> Result<bool> {
    if !dir.exists() {
        return Ok(false);
    }
    if !dir.join(DEMO_FILE).exists() {
        bail!(
            "{} is not removed: `millstream demo` did not make it, or an older version did. If \
             nothing in it is needed, and no server uses it, remove it yourself: rm -r {}",
            dir.display(),
            dir.display()
        );
    }
    let _lock = lock(dir).map_err(|_| {
        anyhow::anyhow!(
            "{} is not removed: a server uses it. Stop that server first (Ctrl-C where it runs)",
            dir.display()
        )
    })?;
    remove_locked(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    Ok(true)
}

/// The mark and the lock go last, so that a removal that was interrupted can
/// be run again, and nobody starts in a folder that is half gone.
fn remove_locked(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if [LOCK_FILE, DEMO_FILE]
            .iter()
            .any(|n| entry.file_name() == *n)
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_file(dir.join(DEMO_FILE))?;
    std::fs::remove_file(dir.join(LOCK_FILE))?;
    std::fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(dir: &Path) -> DataDir {
        let made = DataDir::open(dir).unwrap();
        made.mark_as_demo().unwrap();
        std::fs::create_dir(dir.join("orders-0")).unwrap();
        std::fs::write(dir.join("orders-0/00.log"), "records").unwrap();
        made
    }

    #[test]
    fn what_demo_made_is_removed_once_nobody_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("demo");
        let running = demo(&dir);
        let refused = remove_demo(&dir).unwrap_err().to_string();
        assert!(refused.contains("a server uses it"), "{refused}");
        assert!(dir.join("orders-0/00.log").exists());
        drop(running);
        assert!(remove_demo(&dir).unwrap());
        assert!(!dir.exists());
        assert!(!remove_demo(&dir).unwrap(), "there is nothing left");
    }

    #[test]
    fn a_folder_that_start_made_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        // The demo on it does not make it the demo's.
        let again = DataDir::open(dir.path()).unwrap();
        again.mark_as_demo().unwrap();
        assert!(!again.is_demo());
        drop(again);
        let refused = remove_demo(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("rm -r"), "{refused}");
        assert!(dir.path().join(LOCK_FILE).exists());
    }

    #[test]
    fn somebody_elses_folder_is_neither_used_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "years").unwrap();
        assert!(DataDir::open(dir.path()).is_err());
        assert!(remove_demo(dir.path()).is_err());
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn a_removal_that_was_interrupted_is_run_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("demo");
        drop(demo(&dir));
        std::fs::remove_dir_all(dir.join("orders-0")).unwrap();
        assert!(remove_demo(&dir).unwrap());
    }

    #[test]
    fn a_second_server_on_a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _first = DataDir::open(dir.path()).unwrap();
        let refused = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("another server uses"), "{refused}");
    }

    #[test]
    fn a_folder_that_is_gone_or_another_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        let open = DataDir::open(&dir).unwrap();
        assert!(open.is_there());
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(!open.is_there());
        let _other = DataDir::open(&dir).unwrap();
        assert!(!open.is_there());
    }

    #[test]
    fn others_may_not_look_into_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |dir: &Path| std::fs::metadata(dir).unwrap().mode() & 0o777;
        let new = dir.path().join("new");
        drop(DataDir::open(&new).unwrap());
        assert_eq!(mode(&new), 0o700);
        std::fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        let open = DataDir::open(&new).unwrap();
        assert_eq!(open.keep_private(), None);
        assert_eq!(mode(&new), 0o700);
    }
}
