//! Leader epochs (KIP-101): which epoch began at which offset. The file
//! `leader-epoch-checkpoint` holds `epoch start_offset` a line.
//!
//! The file is written at a partition's checkpoint only. What a crash takes
//! from it lies beyond the recovery point, and recovery finds it again in the
//! batches.

use crate::checkpoint;
use crate::error::OpenError;
use crate::names;
use millstream_core::env::Fs;
use millstream_core::ids::{LeaderEpoch, Offset};
use std::path::Path;

/// Epochs in ascending order of both epoch and start offset.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    entries: Vec<(LeaderEpoch, Offset)>,
    dirty: bool,
}

impl LeaderEpochs {
    pub(crate) fn load(fs: &dyn Fs, folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(names::EPOCHS);
        let mut epochs = Self::default();
        for (line, fields) in checkpoint::read_entries(fs, &path)? {
            let entry = (|| {
                let [epoch, start] = fields.as_slice() else {
                    return None;
                };
                Some((
                    LeaderEpoch(epoch.parse().ok()?),
                    Offset(start.parse().ok()?),
                ))
            })();
            let (epoch, start) = entry
                .ok_or_else(|| checkpoint::malformed(&path, line, "expected: epoch offset"))?;
            epochs.assign(epoch, start);
        }
        epochs.dirty = false;
        Ok(epochs)
    }

    /// The file's new content, when it differs from what was last taken.
    pub(crate) fn take_dirty(&mut self) -> Option<String> {
        std::mem::take(&mut self.dirty).then(|| self.render())
    }

    pub(crate) fn render(&self) -> String {
        checkpoint::render(
            self.entries
                .iter()
                .map(|(epoch, start)| format!("{epoch} {start}")),
        )
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Notes that `epoch` wrote at `start`; older and known epochs change
    /// nothing.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch.0 < 0 || self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        // An epoch that wrote nothing has no records to be found under it.
        while self.entries.last().is_some_and(|(_, last)| *last >= start) {
            self.entries.pop();
        }
        self.entries.push((epoch, start));
        self.dirty = true;
    }

    /// Forgets epochs that began at or after `end`.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) {
        let before = self.entries.len();
        self.entries.retain(|(_, start)| *start < end);
        self.dirty |= before != self.entries.len();
    }

    /// Forgets epochs newer than `newest`; whether there were any.
    pub(crate) fn truncate_above(&mut self, newest: LeaderEpoch) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(epoch, _)| *epoch <= newest);
        let any = before != self.entries.len();
        self.dirty |= any;
        any
    }

    /// Forgets epochs that ended at or before `start`; the one that covers it
    /// begins there now.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) {
        let covering = self.entries.partition_point(|(_, first)| *first <= start);
        if let Some(covering) = covering.checked_sub(1)
            && (covering > 0
                || self
                    .entries
                    .first()
                    .is_some_and(|(_, first)| *first < start))
        {
            self.entries.drain(..covering);
            if let Some(first) = self.entries.first_mut() {
                first.1 = start;
            }
            self.dirty = true;
        }
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        after
            .checked_sub(1)
            .and_then(|i| self.entries.get(i))
            .map(|(epoch, _)| *epoch)
    }

    /// The largest epoch not above `epoch`, and where it ended
    /// (OffsetForLeaderEpoch, KIP-279); `None` when `epoch` is before all.
    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some((latest, log_end));
        }
        let after = self.entries.partition_point(|(e, _)| *e <= epoch);
        let end = self.entries.get(after)?.1;
        match after.checked_sub(1).and_then(|i| self.entries.get(i)) {
            Some((found, _)) => Some((*found, end)),
            // Kafka answers an epoch older than all with the requested epoch
            // and the first known start.
            None => Some((epoch, end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in entries {
            epochs.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let e = epochs(&[(0, 0), (2, 10), (5, 30)]);
        let end = |epoch| e.end_offset_for(LeaderEpoch(epoch), Offset(42));
        assert_eq!(end(0), Some((LeaderEpoch(0), Offset(10))));
        assert_eq!(end(1), Some((LeaderEpoch(0), Offset(10))));
        assert_eq!(end(2), Some((LeaderEpoch(2), Offset(30))));
        assert_eq!(end(5), Some((LeaderEpoch(5), Offset(42))));
        assert_eq!(end(6), None);
        assert_eq!(e.epoch_at(Offset(29)), Some(LeaderEpoch(2)));
        assert_eq!(e.epoch_at(Offset(30)), Some(LeaderEpoch(5)));
    }

    #[test]
    fn an_epoch_that_wrote_nothing_is_replaced() {
        assert_eq!(epochs(&[(1, 0), (2, 7), (3, 7)]), epochs(&[(1, 0), (3, 7)]));
    }

    #[test]
    fn truncation_keeps_the_epoch_that_covers_the_cut() {
        let mut e = epochs(&[(0, 0), (2, 10), (5, 30)]);
        e.truncate_from_start(Offset(12));
        assert_eq!(e.epoch_at(Offset(12)), Some(LeaderEpoch(2)));
        assert_eq!(e.epoch_at(Offset(11)), None);
        e.truncate_from_end(Offset(30));
        assert_eq!(e.latest(), Some(LeaderEpoch(2)));
    }

    #[test]
    fn the_file_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        let fs = millstream_core::env::RealFs::shared();
        let mut e = epochs(&[(0, 0), (7, 123)]);
        let content = e.take_dirty().unwrap();
        assert_eq!(content, "0\n2\n0 0\n7 123\n");
        let path = dir.path().join(names::EPOCHS);
        fs.replace(&path, content.as_bytes()).unwrap();
        assert_eq!(LeaderEpochs::load(fs.as_ref(), dir.path()).unwrap(), e);
    }
}
