//! The small files of a data folder and of a partition's folder.

use crate::checkpoint::malformed;
use crate::error::OpenError;
use crate::names;
use crate::partition::recovery::Stop;
use crate::together::Aside;
use millstream_core::env::{Fs, FsFile};
use millstream_core::ids::TopicId;
use std::io;
use std::path::Path;
use std::sync::Arc;

const BOOT_ID: &str = ".boot-id";

pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        doing,
        path,
        source,
    }
}

/// Creates the data folder and makes its name durable, and those of the
/// folders above it that were created with it. Until a start has come to its
/// end once nobody knows whether those are: the one before may have been
/// killed in between.
pub(super) fn create_durably(fs: &dyn Fs, data_dir: &Path) -> Result<(), OpenError> {
    let created: Vec<&Path> = data_dir.ancestors().take_while(|a| !fs.exists(a)).collect();
    let settled = created.is_empty() && fs.exists(&data_dir.join(BOOT_ID));
    fs.create_dir_all(data_dir)
        .map_err(io("create", data_dir))?;
    if settled {
        return Ok(());
    }
    for (place, folder) in data_dir.ancestors().enumerate() {
        let Some(parent) = folder.parent() else { break };
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        match fs.sync_dir(parent) {
            // Another one's folder, which was there before.
            Err(error)
                if place >= created.len()
                    && error.kind() == std::io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(io("sync", parent))?,
        }
    }
    Ok(())
}

/// Keeps other processes out while it lives.
pub(super) struct FolderLock {
    file: Arc<dyn FsFile>,
}

impl FolderLock {
    pub(super) fn take(fs: &dyn Fs, data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join(names::LOCK);
        let file = fs.open(&path, true).map_err(io("open", &path))?;
        if let Some(real) = file.as_real()
            && real.try_lock().is_err()
        {
            return Err(OpenError::Locked(data_dir.to_owned()));
        }
        Ok(Self { file })
    }

    /// The same file once more, for a `syncfs` that is told of errors by
    /// itself.
    pub(super) fn reopen(fs: &dyn Fs, data_dir: &Path) -> Result<Arc<dyn FsFile>, OpenError> {
        let path = data_dir.join(names::LOCK);
        fs.open(&path, true).map_err(io("open", &path))
    }

    /// A file that stays open as long as the folder, for `syncfs`: opened
    /// before any write whose error it is to report.
    pub(super) fn file_system(&self) -> Option<Arc<dyn FsFile>> {
        Some(Arc::clone(&self.file))
    }
}

/// Checks that the folder is this node's, or makes it so.
pub(super) fn check_meta(
    fs: &dyn Fs,
    data_dir: &Path,
    cluster_id: &str,
    node_id: i32,
) -> Result<(), OpenError> {
    let path = data_dir.join(names::META_PROPERTIES);
    if !fs.exists(&path) {
        let content = format!("version=1\ncluster.id={cluster_id}\nnode.id={node_id}\n");
        return fs
            .replace(&path, content.as_bytes())
            .map_err(io("write", &path));
    }
    let content = fs.read_to_vec(&path).map_err(io("read", &path))?;
    let content = String::from_utf8_lossy(&content);
    let value = |key: &str| {
        let line = content
            .lines()
            .find_map(|line| line.trim().strip_prefix(key));
        line.and_then(|rest| rest.trim_start().strip_prefix('='))
            .map(str::trim)
    };
    let (Some(found_cluster), Some(found_node)) = (value("cluster.id"), value("node.id")) else {
        return Err(malformed(&path, 0, "expected cluster.id and node.id"));
    };
    if found_cluster != cluster_id || found_node != node_id.to_string() {
        return Err(OpenError::ForeignFolder {
            path,
            found: format!("node {found_node} of cluster {found_cluster}"),
            expected: format!("node {node_id} of cluster {cluster_id}"),
        });
    }
    Ok(())
}

/// How the folder was left. Takes the mark of a clean stop away, durably,
/// before anything is appended: a crash must not find it.
pub(super) fn take_stop_mark(
    fs: &dyn Fs,
    data_dir: &Path,
    boot_id: Option<&str>,
) -> Result<Stop, OpenError> {
    let boot_path = data_dir.join(BOOT_ID);
    let last_boot = match fs.exists(&boot_path) {
        true => Some(fs.read_to_vec(&boot_path).map_err(io("read", &boot_path))?),
        false => None,
    };
    let same_boot = boot_id.is_some_and(|id| last_boot.as_deref() == Some(id.as_bytes()));
    let mark = data_dir.join(names::CLEAN_SHUTDOWN);
    if fs.exists(&mark) {
        fs.remove_file(&mark).map_err(io("remove", &mark))?;
        fs.sync_dir(data_dir).map_err(io("sync", data_dir))?;
        return Ok(Stop::Clean);
    }
    Ok(if same_boot {
        Stop::Killed
    } else {
        Stop::PowerLoss
    })
}

/// Notes this boot of the machine, once every partition is open and not
/// before: a process that is killed while it recovers from a power loss has not
/// mended all of it, and the next one must not take what is left for damage.
pub(super) fn note_boot(
    fs: &dyn Fs,
    data_dir: &Path,
    boot_id: Option<&str>,
) -> Result<(), OpenError> {
    let path = data_dir.join(BOOT_ID);
    let Some(id) = boot_id else { return Ok(()) };
    let known = fs.exists(&path)
        && fs
            .read_to_vec(&path)
            .is_ok_and(|last| last == id.as_bytes());
    if known {
        return Ok(());
    }
    fs.replace(&path, id.as_bytes()).map_err(io("write", &path))
}

pub(super) fn put_clean_mark(fs: &dyn Fs, data_dir: &Path) -> io::Result<()> {
    fs.replace(
        &data_dir.join(names::CLEAN_SHUTDOWN),
        br#"{"version":0,"brokerEpoch":-1}"#,
    )
}

/// Changes whenever the machine starts; Linux only. Not a user's data, so it
/// does not come through the seam.
pub(super) fn machine_boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Writes `partition.metadata` aside.
pub(super) fn write_topic_id(fs: &dyn Fs, folder: &Path, id: TopicId) -> Result<Aside, OpenError> {
    let path = folder.join(names::PARTITION_METADATA);
    let content = format!("version: 0\ntopic_id: {}\n", encode_id(id));
    Aside::write(fs, path.clone(), content.as_bytes()).map_err(io("write", &path))
}

/// The topic id in a partition's folder; `None` for a folder that was never
/// finished: no id and no batches.
pub(super) fn read_topic_id(fs: &dyn Fs, folder: &Path) -> Result<Option<TopicId>, OpenError> {
    let path = folder.join(names::PARTITION_METADATA);
    let content = fs.read_if_there(&path).map_err(io("read", &path))?;
    let Some(content) = content else {
        let paths = fs.list(folder).map_err(io("list", folder))?;
        let mut logs = paths
            .iter()
            .filter(|p| matches!(names::parse(p), Some((_, names::LOG))));
        // A creation syncs the two names together, and power loss may keep the
        // log's only. Records come after that, so an empty log is no more than
        // a creation that nobody was told of.
        if logs.any(|log| !fs.file_size(log).is_ok_and(|size| size == 0)) {
            return Err(malformed(&path, 0, "the file is missing beside a log"));
        }
        return Ok(None);
    };
    let content = String::from_utf8_lossy(&content);
    let id = content
        .lines()
        .find_map(|line| line.strip_prefix("topic_id:"));
    match id.and_then(|id| decode_id(id.trim())) {
        Some(id) => Ok(Some(id)),
        None => Err(malformed(&path, 2, "expected topic_id: and 22 characters")),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 section 5, without padding, as Kafka writes ids.
fn encode_id(id: TopicId) -> String {
    let bits = u128::from_be_bytes(*id.as_bytes());
    (0..22)
        .map(|i| {
            let sextet = if i == 21 {
                (bits << 4) & 63
            } else {
                (bits >> (122 - 6 * i)) & 63
            };
            char::from(ALPHABET[sextet as usize])
        })
        .collect()
}

fn decode_id(text: &str) -> Option<TopicId> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (i, byte) in text.bytes().enumerate() {
        let sextet = ALPHABET.iter().position(|c| *c == byte)? as u128;
        bits = if i == 21 {
            (bits << 2) | (sextet >> 4)
        } else {
            (bits << 6) | sextet
        };
    }
    Some(TopicId::from_bytes(bits.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_are_written_as_kafka_writes_them() {
        // From Kafka's Uuid: METADATA_TOPIC_ID is (0, 1), and a random one by
        // RFC 4648's alphabet.
        assert_eq!(encode_id(TopicId::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId::from_u128(0xfbff_1234_5678_9abc_def0_1122_3344_5566);
        assert_eq!(encode_id(id), "-_8SNFZ4mrze8BEiM0RVZg");
        assert_eq!(decode_id(&encode_id(id)), Some(id));
        assert_eq!(decode_id("AAAAAAAAAAAAAAAAAAAAA!"), None);
    }
}
