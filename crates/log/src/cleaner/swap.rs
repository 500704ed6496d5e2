//! How the cleaned files of a group take the place of its segments, so that a
//! crash at any moment leaves the one or the other.
//!
//! The steps, with Kafka's file names; the cleaned files are durable before:
//!
//! 1. The indexes become `*.swap`; the folder is synced.
//! 2. The log becomes `*.log.swap`; the folder is synced. From here on a start
//!    finishes what is begun, before it undoes it.
//! 3. The group's other segments become `*.deleted`, the indexes take their
//!    places; the folder is synced.
//! 4. The log takes its place; the folder is synced. Without that last one a
//!    later round over the same segment could meet the log of this one.
//!
//! Which segments a `*.log.swap` replaces is told by itself: those that begin
//! below its end, because the last batch of a group is always kept.

use crate::error::OpenError;
use crate::files::Files;
use crate::names::{self, Stage, cleaned, swap};
use crate::segment::Segment;
use millstream_core::env::Fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const INDEXES: [&str; 3] = [names::OFFSET_INDEX, names::TIME_INDEX, names::TXN_INDEX];

/// Steps 1 and 2.
pub(crate) fn commit(fs: &dyn Fs, folder: &Path, base: i64) -> io::Result<()> {
    for index in INDEXES {
        fs.rename(&cleaned(folder, base, index), &swap(folder, base, index))?;
    }
    fs.sync_dir(folder)?;
    fs.rename(
        &cleaned(folder, base, names::LOG),
        &swap(folder, base, names::LOG),
    )?;
    fs.sync_dir(folder)
}

/// Steps 3 and 4; `others` are the group's segments after the first.
pub(crate) fn finish(
    fs: &dyn Fs,
    folder: &Path,
    base: i64,
    others: &[Arc<Segment>],
) -> io::Result<()> {
    for segment in others {
        segment.mark_deleted()?;
    }
    take_places(fs, folder, base)
}

fn take_places(fs: &dyn Fs, folder: &Path, base: i64) -> io::Result<()> {
    for index in INDEXES {
        let path = swap(folder, base, index);
        // One that has its place already is of a finish that was interrupted.
        if fs.exists(&path) {
            fs.rename(&path, &names::file(folder, base, index))?;
        }
    }
    fs.sync_dir(folder)?;
    fs.rename(
        &swap(folder, base, names::LOG),
        &names::file(folder, base, names::LOG),
    )?;
    fs.sync_dir(folder)
}

/// Removes cleaned files that will not be used.
pub(crate) fn discard(fs: &dyn Fs, folder: &Path, base: i64) -> io::Result<()> {
    for extension in INDEXES.into_iter().chain([names::LOG]) {
        let path = cleaned(folder, base, extension);
        if fs.exists(&path) {
            fs.remove_file(&path)?;
        }
    }
    Ok(())
}

/// Finishes or undoes what a crash interrupted; `paths` is the folder's
/// content. True when names have changed.
pub(crate) fn recover(
    files: &Arc<Files>,
    folder: &Arc<Path>,
    paths: &[PathBuf],
) -> Result<bool, OpenError> {
    let fs = files.fs.as_ref();
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io {
            doing,
            path,
            source,
        }
    };
    let mut begun = Vec::new();
    let mut leftovers = Vec::new();
    for path in paths {
        let Some((base, extension)) = names::parse(path) else {
            continue;
        };
        match extension.rsplit_once('.') {
            Some((names::LOG, names::SWAP)) => begun.push(base),
            Some((_, names::SWAP | names::CLEANED)) => leftovers.push((base, path)),
            _ => {}
        }
    }
    let has_changed = !begun.is_empty() || !leftovers.is_empty();
    if !begun.is_empty() {
        // After a SIGKILL the names may be in the page cache only, and nothing
        // goes before what replaces it is committed.
        fs.sync_dir(folder).map_err(io("sync", folder))?;
    }
    for base in &begun {
        let end = end_of(files, folder, *base)?;
        tracing::warn!(folder = %folder.display(), base, end, "finishing the replacement of segments that was interrupted");
        for path in paths {
            if let Some((other, extension)) = names::parse(path)
                && *base < other
                && other < end
                && (extension == names::LOG || INDEXES.contains(&extension))
            {
                fs.remove_file(path).map_err(io("remove", path))?;
            }
        }
        take_places(fs, folder, *base).map_err(io("finish a replacement in", folder))?;
    }
    for (base, path) in leftovers {
        let is_used = path.to_string_lossy().ends_with(names::SWAP) && begun.contains(&base);
        if !is_used {
            fs.remove_file(path).map_err(io("remove", path))?;
        }
    }
    Ok(has_changed)
}

/// Where the group ends that a `*.log.swap` replaces.
fn end_of(files: &Arc<Files>, folder: &Arc<Path>, base: i64) -> Result<i64, OpenError> {
    let segment =
        Segment::open(files, folder, base, Stage::Swap).map_err(|source| OpenError::Io {
            doing: "open",
            path: swap(folder, base, names::LOG),
            source,
        })?;
    let mut end = base + 1;
    for located in segment.headers(0) {
        // It was durable before it had this name.
        let (_, header) = located.map_err(|error| OpenError::Malformed {
            path: segment.path(),
            line: 0,
            what: error.to_string(),
        })?;
        end = header.next_offset();
    }
    Ok(end)
}
