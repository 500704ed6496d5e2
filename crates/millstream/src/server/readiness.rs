//! Whether clients are served, for `/readyz` and the log.
//!
//! Looked at with each reading of the monitor. A change is logged once, with
//! the reason; in between the log is quiet.

use super::data_dir::DataDir;
use millstream_ops::inputs::{Inputs, PartitionState, ProcessInput, TopicInput};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Free bytes of the data folder's file system below which it counts as
/// full: the next segment index or snapshot does not fit.
const DISK_FREE_BYTES_MIN: u64 = 16 << 20;
/// Partitions that a reason names; it counts the others.
const NAMED_PARTITIONS_MAX: usize = 3;

/// The last word on whether clients are served.
#[derive(Debug)]
pub struct Readiness {
    data_dir: Arc<DataDir>,
    why_not: watch::Sender<Option<String>>,
    stopping: AtomicBool,
}

impl Readiness {
    /// Ready.
    pub fn new(data_dir: Arc<DataDir>) -> Self {
        Self {
            data_dir,
            why_not: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
        }
    }

    /// Why clients are not served; `None` when they are.
    pub fn why_not(&self) -> watch::Receiver<Option<String>> {
        self.why_not.subscribe()
    }

    /// From here on not ready, whatever the readings say.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
        self.why_not
            .send_replace(Some("the server is stopping".into()));
    }

    /// Judges a reading.
    pub fn observe(&self, inputs: &Inputs) {
        let reasons = reasons(self.data_dir.is_there(), inputs);
        let now = (!reasons.is_empty()).then(|| reasons.join("\n"));
        self.why_not.send_if_modified(|before| {
            if self.stopping.load(Ordering::Acquire) || *before == now {
                return false;
            }
            match &now {
                Some(_) => reasons
                    .iter()
                    .for_each(|reason| tracing::error!("not ready: {reason}")),
                None => tracing::info!("ready again"),
            }
            *before = now;
            true
        });
    }
}

fn reasons(folder_is_there: bool, inputs: &Inputs) -> Vec<String> {
    let folder = (!folder_is_there).then(|| {
        "the data folder is gone: what is acknowledged now may be lost. Stop the server and bring \
         the folder back"
            .to_owned()
    });
    folder
        .into_iter()
        .chain(stopped_logs(&inputs.topics))
        .chain(full_disk(&inputs.process))
        .collect()
}

/// A log that has stopped takes no more appends until the server is started
/// again.
fn stopped_logs(topics: &[TopicInput]) -> Option<String> {
    let mut stopped = topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions
            .filter(|p| p.state == PartitionState::ReadOnly)
            .map(move |p| format!("{}-{}", topic.name, p.partition))
    });
    let mut names: Vec<String> = stopped.by_ref().take(NAMED_PARTITIONS_MAX).collect();
    if names.is_empty() {
        return None;
    }
    let more = stopped.count();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    Some(format!(
        "cannot write to {} after an error of the disk: check the disk, then restart the server",
        names.join(", ")
    ))
}

fn full_disk(process: &ProcessInput) -> Option<String> {
    if process.disk_total_bytes == 0 {
        return None;
    }
    let free = process
        .disk_total_bytes
        .saturating_sub(process.disk_used_bytes);
    // No figure that moves: the reason is logged when it changes.
    (free < DISK_FREE_BYTES_MIN).then(|| {
        format!(
            "the disk of the data folder is full (less than {} MiB free): make room, or shorten \
             the retention of topics",
            DISK_FREE_BYTES_MIN >> 20
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_ops::inputs::PartitionInput;

    fn ready(dir: &std::path::Path) -> (Readiness, watch::Receiver<Option<String>>) {
        let readiness = Readiness::new(Arc::new(DataDir::open(dir).unwrap()));
        let why_not = readiness.why_not();
        (readiness, why_not)
    }

    fn says(why_not: &watch::Receiver<Option<String>>) -> String {
        why_not.borrow().clone().unwrap_or_else(|| "ready".into())
    }

    fn disk(free: u64) -> Inputs {
        Inputs {
            process: ProcessInput {
                disk_total_bytes: 1 << 30,
                disk_used_bytes: (1 << 30) - free,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    #[test]
    fn a_full_disk_is_told_until_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let (readiness, why_not) = ready(dir.path());
        readiness.observe(&disk(1 << 20));
        assert!(says(&why_not).contains("is full"), "{}", says(&why_not));
        readiness.observe(&disk(DISK_FREE_BYTES_MIN));
        assert_eq!(says(&why_not), "ready");
    }

    #[test]
    fn logs_that_have_stopped_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (readiness, why_not) = ready(dir.path());
        let partition = |partition| PartitionInput {
            partition,
            state: PartitionState::ReadOnly,
            ..Default::default()
        };
        readiness.observe(&Inputs {
            topics: vec![TopicInput {
                name: "orders".into(),
                partitions: (0..5).map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        });
        let said = says(&why_not);
        assert!(
            said.contains("orders-0, orders-1, orders-2, 2 more"),
            "{said}"
        );
    }

    #[test]
    fn a_data_folder_that_is_gone_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let (readiness, why_not) = ready(&folder);
        readiness.observe(&Inputs::default());
        assert_eq!(says(&why_not), "ready");
        std::fs::remove_dir_all(&folder).unwrap();
        readiness.observe(&Inputs::default());
        assert!(says(&why_not).contains("the data folder is gone"));
    }

    #[test]
    fn a_reading_does_not_take_back_that_the_server_is_stopping() {
        let dir = tempfile::tempdir().unwrap();
        let (readiness, why_not) = ready(dir.path());
        readiness.stopping();
        readiness.observe(&Inputs::default());
        assert_eq!(says(&why_not), "the server is stopping");
    }
}
