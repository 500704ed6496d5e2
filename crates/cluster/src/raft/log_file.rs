//! The raft log on disk: a base frame, then one frame per append.
//!
//! Invariant: an append is synced before the next one is written, so at most
//! the last frame can be torn. A bad frame with a good one after it is
//! damage, not a crash, and is refused rather than cut off.

use super::frame::{self, Parsed};
use super::{Entry, LogId};
use millstream_core::env::{Fs, FsFile};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
enum Frame<E> {
    /// First in every file.
    Base {
        /// The last entry that is not in the file because it was purged.
        purged: Option<LogId>,
    },
    /// Consecutive entries.
    Entries(E),
}

pub(super) struct LogFile {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    file: Arc<dyn FsFile>,
    size: u64,
    /// Set by a failed write or sync: what the disk holds is then unknown,
    /// and a retry could be told of a success that is none.
    fenced: bool,
}

/// What a file held when it was opened.
pub(super) struct Recovered {
    pub(super) purged: Option<LogId>,
    pub(super) entries: Vec<Entry>,
}

impl LogFile {
    /// Opens the log, cuts off a torn tail, or starts an empty one. What it
    /// gives is durable.
    pub(super) fn open(fs: Arc<dyn Fs>, path: PathBuf) -> io::Result<(Self, Recovered)> {
        if !fs.exists(&path) {
            fs.replace(
                &path,
                &frame::encode(&Frame::<&[Entry]>::Base { purged: None })?,
            )?;
        }
        let bytes = fs.read_to_vec(&path)?;
        let (recovered, valid) = recover(&bytes, &path)?;
        if valid < bytes.len() {
            tracing::warn!(
                path = %path.display(),
                bytes = bytes.len() - valid,
                "cut off the torn tail of the metadata log"
            );
        }
        // Written anew, because what was read may be in memory only: its
        // writer was killed before the sync, or was told that the sync failed,
        // after which the kernel takes the pages for clean. The folder's sync
        // covers the names of the vote and of the snapshot too.
        let bytes = bytes.get(..valid).unwrap_or_default();
        fs.replace(&path, bytes)?;
        let file = fs.open(&path, false)?;
        Ok((
            Self {
                fs,
                path,
                file,
                size: valid as u64,
                fenced: false,
            },
            recovered,
        ))
    }

    /// Adds entries; they are durable when this returns.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let bytes = frame::encode(&Frame::Entries(entries))?;
        self.fencing(|log| {
            log.file.write_all_at(&bytes, log.size)?;
            log.file.sync_data()?;
            log.size += bytes.len() as u64;
            Ok(())
        })
    }

    /// Replaces the whole log, atomically.
    pub(super) fn rewrite(&mut self, purged: Option<LogId>, entries: &[Entry]) -> io::Result<()> {
        let mut bytes = frame::encode(&Frame::<&[Entry]>::Base { purged })?;
        if !entries.is_empty() {
            bytes.extend(frame::encode(&Frame::Entries(entries))?);
        }
        self.fencing(|log| {
            log.fs.replace(&log.path, &bytes)?;
            log.file = log.fs.open(&log.path, false)?;
            log.size = bytes.len() as u64;
            Ok(())
        })
    }

    fn fencing(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.fenced {
            return Err(io::Error::other(
                "the metadata log is fenced after a failed write: check the disk and restart",
            ));
        }
        let result = write(self);
        self.fenced = result.is_err();
        result
    }
}

fn recover(bytes: &[u8], path: &Path) -> io::Result<(Recovered, usize)> {
    let damaged = |position: usize| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the metadata log {} is damaged at byte {position}: restore it from a backup",
                path.display()
            ),
        )
    };
    let mut rest = bytes;
    let mut recovered: Option<Recovered> = None;
    loop {
        let position = bytes.len() - rest.len();
        let payload = match frame::parse(rest) {
            Parsed::Frame {
                payload,
                rest: after,
            } => {
                rest = after;
                payload
            }
            // Only a base frame makes a log: it is written whole by a rename.
            Parsed::End | Parsed::Torn => {
                return recovered
                    .map(|r| (r, position))
                    .ok_or_else(|| damaged(position));
            }
            Parsed::BadChecksum { rest: after } => {
                let torn = !matches!(frame::parse(after), Parsed::Frame { .. });
                return recovered
                    .filter(|_| torn)
                    .map(|r| (r, position))
                    .ok_or_else(|| damaged(position));
            }
        };
        match (serde_json::from_slice(payload)?, &mut recovered) {
            (Frame::Base { purged }, None) => {
                recovered = Some(Recovered {
                    purged,
                    entries: Vec::new(),
                });
            }
            (Frame::<Vec<Entry>>::Entries(entries), Some(recovered)) => {
                recovered.entries.extend(entries);
            }
            _ => return Err(damaged(position)),
        }
    }
}
