//! A disk that meets with trouble.

use millstream_core::env::{Change, ChangeKind, CrashFs};
use std::io::ErrorKind;
use std::ops::Range;

/// What comes between two changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing works any more.
    PowerLoss,
    /// One change or several fail, by an I/O error or for lack of space.
    Errors,
}

#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) fs: CrashFs,
    /// The first change that fails.
    errors_from: Option<usize>,
}

impl Disk {
    pub(crate) fn well(fs: &CrashFs) -> Self {
        Self {
            fs: fs.clone(),
            errors_from: None,
        }
    }

    /// One whose trouble begins after so many changes.
    pub(crate) fn new(
        fs: &CrashFs,
        kind: Kind,
        changes: usize,
        below: &impl Fn(u64) -> u64,
    ) -> Self {
        let mut disk = Self::well(fs);
        match kind {
            Kind::PowerLoss => fs.power_off_after_changes(changes),
            Kind::Errors => {
                let from = fs.changes_count() + changes;
                let to = from + [1, 1, 3, 30][below(4) as usize];
                let full = below(2) == 0;
                fs.fail_changes(move |change| fails(change, from..to, full));
                disk.errors_from = Some(from);
            }
        }
        disk
    }

    /// Whether no answer need come any more.
    pub(crate) fn is_off(&self) -> bool {
        self.fs.is_off()
    }

    /// Whether an answer may be an error.
    pub(crate) fn is_troubled(&self) -> bool {
        let failed = |from| self.fs.changes_count() > from;
        self.is_off() || self.errors_from.is_some_and(failed)
    }
}

/// A full disk refuses what needs space; an I/O error hits anything.
fn fails(change: &Change, when: Range<usize>, full: bool) -> Option<ErrorKind> {
    if !when.contains(&change.earlier) {
        return None;
    }
    match (full, change.kind) {
        (true, ChangeKind::Write | ChangeKind::Name) => Some(ErrorKind::StorageFull),
        (true, ChangeKind::Resize | ChangeKind::Sync) => None,
        (false, _) => Some(ErrorKind::Other),
    }
}
