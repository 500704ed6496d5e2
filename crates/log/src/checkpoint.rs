//! Kafka's text checkpoint files: a version line, a count line, then one
//! entry a line. Replaced whole, so a crash leaves the old or the new one.

use crate::error::OpenError;
use millstream_core::env::Fs;
use millstream_core::ids::{Offset, TopicPartition};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Offsets by partition in one file of the data folder:
/// `topic partition offset`.
pub(crate) struct OffsetCheckpoint {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    offsets: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// Forgotten, but still in the file.
    stale: Mutex<BTreeSet<TopicPartition>>,
    /// Whether the last write has failed: nobody knows what the file has.
    /// Writers take turns, so that an older content never replaces a newer.
    write_failed: Mutex<bool>,
}

impl OffsetCheckpoint {
    /// Reads the file; a missing one is empty.
    pub(crate) fn open(fs: Arc<dyn Fs>, path: PathBuf) -> Result<Self, OpenError> {
        let mut offsets = BTreeMap::new();
        for (line, fields) in read_entries(fs.as_ref(), &path)? {
            let entry = (|| {
                let [topic, partition, offset] = fields.as_slice() else {
                    return None;
                };
                Some((
                    TopicPartition::new(topic.as_str(), partition.parse().ok()?),
                    Offset(offset.parse().ok()?),
                ))
            })();
            let (topic_partition, offset) =
                entry.ok_or_else(|| malformed(&path, line, "expected: topic partition offset"))?;
            offsets.insert(topic_partition, offset);
        }
        Ok(Self {
            fs,
            path,
            offsets: Mutex::new(offsets),
            stale: Mutex::default(),
            write_failed: Mutex::new(false),
        })
    }

    pub(crate) fn get(&self, topic_partition: &TopicPartition) -> Option<Offset> {
        self.offsets.lock().get(topic_partition).copied()
    }

    /// As [`OffsetCheckpoint::get`], of what is in the file for certain.
    pub(crate) fn durable(&self, topic_partition: &TopicPartition) -> Option<Offset> {
        let write_failed = self.write_failed.lock();
        if *write_failed {
            return None;
        }
        self.get(topic_partition)
    }

    /// Sets entries and makes the file durable.
    pub(crate) fn store(
        &self,
        entries: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> io::Result<()> {
        let mut write_failed = self.write_failed.lock();
        // What is forgotten from here on may still be written.
        let forgotten = self.stale.lock().clone();
        let content = {
            let mut offsets = self.offsets.lock();
            offsets.extend(entries);
            render(
                offsets
                    .iter()
                    .map(|(tp, offset)| format!("{} {} {offset}", tp.topic, tp.partition)),
            )
        };
        // The entries stay when it fails: the file may have them already, and
        // a truncation has to know.
        let replaced = self.fs.replace(&self.path, content.as_bytes());
        *write_failed = replaced.is_err();
        replaced?;
        self.stale.lock().retain(|tp| !forgotten.contains(tp));
        Ok(())
    }

    /// Forgets a partition; the file follows when it is next written.
    pub(crate) fn forget(&self, topic_partition: &TopicPartition) {
        if self.offsets.lock().remove(topic_partition).is_some() {
            self.stale.lock().insert(topic_partition.clone());
        }
    }

    /// Makes sure that the file does not have these partitions.
    pub(crate) fn remove<'a>(
        &self,
        partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> io::Result<()> {
        let mut is_stale = false;
        for topic_partition in partitions {
            self.forget(topic_partition);
            is_stale |= self.stale.lock().contains(topic_partition);
        }
        if is_stale { self.store([]) } else { Ok(()) }
    }
}

/// Version 0, the count, the entries.
pub(crate) fn render(entries: impl Iterator<Item = String>) -> String {
    let entries: Vec<String> = entries.collect();
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        text.push_str(&entry);
        text.push('\n');
    }
    text
}

/// The entries of a checkpoint file with their line numbers, split at blanks;
/// none when the file is missing.
pub(crate) fn read_entries(
    fs: &dyn Fs,
    path: &Path,
) -> Result<Vec<(usize, Vec<String>)>, OpenError> {
    let bytes = fs.read_if_there(path).map_err(|source| OpenError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8(bytes).map_err(|_| malformed(path, 0, "not UTF-8"))?;
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()));
    match lines.next() {
        Some((_, "0")) => {}
        Some((line, _)) => return Err(malformed(path, line, "expected version 0")),
        None => return Err(malformed(path, 1, "the file is empty")),
    }
    let count: usize = lines
        .next()
        .and_then(|(_, line)| line.parse().ok())
        .ok_or_else(|| malformed(path, 2, "expected the number of entries"))?;
    let entries: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| (i, line.split_whitespace().map(str::to_owned).collect()))
        .collect();
    if entries.len() != count {
        return Err(malformed(path, 2, "the number of entries does not fit"));
    }
    Ok(entries)
}

pub(crate) fn malformed(path: &Path, line: usize, what: &str) -> OpenError {
    OpenError::Malformed {
        path: path.to_owned(),
        line,
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::env::CrashFs;

    #[test]
    fn an_entry_whose_write_failed_is_not_taken_for_durable() {
        let fs = CrashFs::new();
        let checkpoint = OffsetCheckpoint::open(fs.shared(), PathBuf::from("/points")).unwrap();
        let partition = TopicPartition::new("orders", 0);
        let store = |offset| checkpoint.store([(partition.clone(), Offset(offset))]);
        store(1).unwrap();
        assert_eq!(checkpoint.durable(&partition), Some(Offset(1)));
        fs.fail_writes(|_| true);
        store(2).unwrap_err();
        assert_eq!(checkpoint.durable(&partition), None);
        assert_eq!(checkpoint.get(&partition), Some(Offset(2)));
        fs.heal();
        checkpoint.store([]).unwrap();
        assert_eq!(checkpoint.durable(&partition), Some(Offset(2)));
    }
}
