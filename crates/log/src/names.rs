//! File and folder names, as Kafka has them.

use millstream_core::ids::TopicPartition;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const LOG: &str = "log";
pub(crate) const OFFSET_INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TXN_INDEX: &str = "txnindex";
pub(crate) const SNAPSHOT: &str = "snapshot";
/// Added to a file that the cleaner is writing.
pub(crate) const CLEANED: &str = "cleaned";
/// Added to a cleaned file that is about to take another's place.
pub(crate) const SWAP: &str = "swap";
/// Added to a file that is about to be removed.
pub(crate) const DELETED: &str = "deleted";
/// A file that was written aside and not renamed into place.
pub(crate) const TMP: &str = "tmp";
/// Marks a log that is being truncated.
pub(crate) const TRUNCATION: &str = "truncation.tmp";
/// The longest name that file systems take (`NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;
/// Ends the folder name of a partition that is about to be removed.
pub(crate) const DELETE_FOLDER: &str = "-delete";

pub(crate) const EPOCHS: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
pub(crate) const META_PROPERTIES: &str = "meta.properties";
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const CLEANED_TO: &str = "cleaner-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
pub(crate) const LOCK: &str = ".lock";

/// `FOLDER/00000000000000000042.log` and the like.
pub(crate) fn file(folder: &Path, offset: i64, extension: &str) -> PathBuf {
    folder.join(format!("{offset:020}.{extension}"))
}

/// Where a segment's file is on its way through the cleaner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    InPlace,
    Cleaned,
    Swap,
}

/// The path of a segment's file in parts, built when it is needed: 10,000
/// partitions have 40,000 of them, and those of a partition share the folder.
#[derive(Debug, Clone)]
pub(crate) struct SegmentPath {
    folder: Arc<Path>,
    base_offset: i64,
    extension: &'static str,
    stage: Stage,
}

impl SegmentPath {
    pub(crate) fn new(
        folder: &Arc<Path>,
        base_offset: i64,
        extension: &'static str,
        stage: Stage,
    ) -> Self {
        Self {
            folder: Arc::clone(folder),
            base_offset,
            extension,
            stage,
        }
    }

    /// The same for the same segment, at every start.
    pub(crate) fn hash(&self) -> u32 {
        let folder = crc32c::crc32c(self.folder.as_os_str().as_encoded_bytes());
        crc32c::crc32c_append(folder, &self.base_offset.to_be_bytes())
    }

    pub(crate) fn path(&self) -> PathBuf {
        let extension = self.extension;
        match self.stage {
            Stage::InPlace => file(&self.folder, self.base_offset, extension),
            Stage::Cleaned => cleaned(&self.folder, self.base_offset, extension),
            Stage::Swap => swap(&self.folder, self.base_offset, extension),
        }
    }
}

/// The name that the cleaner writes a file under.
pub(crate) fn cleaned(folder: &Path, offset: i64, extension: &str) -> PathBuf {
    file(folder, offset, &format!("{extension}.{CLEANED}"))
}

/// The name of a cleaned file that is about to take another's place.
pub(crate) fn swap(folder: &Path, offset: i64, extension: &str) -> PathBuf {
    file(folder, offset, &format!("{extension}.{SWAP}"))
}

/// The offset and extension of a segment's file name.
pub(crate) fn parse(path: &Path) -> Option<(i64, &str)> {
    let (stem, extension) = path.file_name()?.to_str()?.split_once('.')?;
    if stem.len() != 20 || !stem.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((stem.parse().ok()?, extension))
}

/// The partition whose folder this is: `orders-0`.
pub(crate) fn partition_of(folder: &Path) -> Option<TopicPartition> {
    let (topic, partition) = folder.file_name()?.to_str()?.rsplit_once('-')?;
    if !partition.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    millstream_core::ids::check_topic_name(topic).ok()?;
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}

/// The folder name of a partition that is about to be removed. The topic's part
/// is cut where the whole would be too long, as Kafka does: the id tells them
/// apart.
pub(crate) fn doomed_folder(partition: &TopicPartition, id: uuid::Uuid) -> String {
    let rest = format!("-{}.{}{DELETE_FOLDER}", partition.partition, id.simple());
    let room = NAME_BYTES_MAX.saturating_sub(rest.len());
    let topic: &str = &partition.topic;
    let cut = (0..=room.min(topic.len()))
        .rev()
        .find_map(|end| topic.get(..end));
    format!("{}{rest}", cut.unwrap_or_default())
}

/// `path` with `.deleted` added.
pub(crate) fn deleted(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(DELETED);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_round_trip() {
        let path = file(Path::new("/d/orders-0"), 42, LOG);
        assert_eq!(path.file_name().unwrap(), "00000000000000000042.log");
        assert_eq!(parse(&path), Some((42, "log")));
        assert_eq!(parse(&deleted(&path)), Some((42, "log.deleted")));
        assert_eq!(parse(Path::new("/d/orders-0/42.log")), None);
    }

    #[test]
    fn folder_names_give_the_partition() {
        assert_eq!(
            partition_of(Path::new("/d/a-b-12")),
            Some(TopicPartition::new("a-b", 12))
        );
        assert_eq!(partition_of(Path::new("/d/a-0.1f-delete")), None);
        assert_eq!(partition_of(Path::new("/d/lost+found")), None);
        assert_eq!(partition_of(Path::new("/d/a-")), None);
    }

    #[test]
    fn a_doomed_folders_name_is_never_too_long() {
        for length in [1, 200, 249] {
            let partition = TopicPartition::new("t".repeat(length), 99_999);
            let name = doomed_folder(&partition, uuid::Uuid::from_u128(1));
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
            assert!(name.starts_with("t") && name.ends_with(DELETE_FOLDER));
            assert_eq!(partition_of(&Path::new("/d").join(name)), None);
        }
    }
}
