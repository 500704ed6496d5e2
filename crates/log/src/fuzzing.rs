//! The fuzzers' target over the files of a data folder, here so that both the
//! coverage-guided fuzzer in `fuzz/` and an ordinary test run the same code
//! (feature `testing`).
//!
//! A target panics when something is wrong, and otherwise does nothing.

use crate::config::LogConfig;
use crate::manager::{LogManager, LogManagerOptions};
use crate::partition::{AppendOrigin, FetchRequest, PartitionLog, UpTo};
use bytes::Bytes;
use millstream_core::env::clock::ManualClock;
use millstream_core::env::{CrashFs, Fs, Keep};
use millstream_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use millstream_wire::batch::{BatchBuilder, BatchOptions, ControlKind, EndTxnMarker};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const DATA_DIR: &str = "/var/data";
const NOW_MS: i64 = 1_700_000_000_000;
/// Requests that reading one log may take: each gives at least one batch.
const READS_MAX: usize = 10_000;

/// A folder as it is left, and whether by a kill or by a clean stop.
struct Template {
    fs: CrashFs,
    files: Vec<PathBuf>,
}

/// One file of a data folder: two bytes choose which and how the server was
/// ended (clean, killed, power loss), the rest is its content. The folder
/// opens, or says why not; what is open reads and appends or says why not.
pub fn files(data: &[u8]) {
    let [which, ending, content @ ..] = data else {
        return;
    };
    let Some(template) = templates().get(usize::from(ending % 2)) else {
        return;
    };
    let fs = template.fs.crash(Keep::Everything);
    let Some(path) = template
        .files
        .get(usize::from(*which) % template.files.len())
    else {
        return;
    };
    put(&fs, path, content);
    let boot = if ending / 2 % 2 == 0 { "a" } else { "b" };
    let manager = match open(&fs, boot) {
        Ok(manager) => manager,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for (_, reason) in manager.offline() {
        assert!(!reason.to_string().is_empty());
    }
    for log in manager.all() {
        use_log(&log);
    }
    let _ = manager.shutdown();
}

/// Seeds for [`files`]: every file as it really is, for every ending.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (ending, template) in (0u8..).zip(templates()) {
        for (which, path) in (0u8..).zip(&template.files) {
            let content = template.fs.read_to_vec(path).unwrap_or_default();
            for boot in [0, 2] {
                seeds.push([&[which, ending | boot], content.as_slice()].concat());
            }
        }
    }
    seeds
}

fn templates() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| vec![template(false), template(true)])
}

/// # Panics
/// A folder that cannot be made would make the target worthless.
fn template(clean: bool) -> Template {
    let fs = CrashFs::new();
    let made = fill(&fs, clean);
    assert!(made.is_some(), "the template cannot be made");
    let mut files = Vec::new();
    for folder in ["", "orders-0"] {
        let folder = Path::new(DATA_DIR).join(folder);
        for path in fs.list(&folder).unwrap_or_default() {
            // A folder cannot be opened as a file.
            if fs.open(&path, false).is_ok() {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 8, "{files:?}");
    Template { fs, files }
}

fn fill(fs: &CrashFs, clean: bool) -> Option<()> {
    let manager = open(fs, "a").ok()?;
    let orders = TopicPartition::new("orders", 0);
    let log = manager
        .create(&orders, TopicId::from_u128(42), config())
        .ok()?;
    for i in 0..30 {
        append(&log, -1, i, 3)?;
        append(&log, 7, i, 2)?;
        if i == 12 {
            manager.checkpoint_logs(1);
        }
        if i % 10 == 9 {
            let marker = EndTxnMarker {
                kind: ControlKind::Abort,
                coordinator_epoch: 0,
            };
            let marker = marker.to_batch(7, 0, NOW_MS).ok()?;
            log.append_as_leader(marker, AppendOrigin::Coordinator, LeaderEpoch(0))
                .ok()?;
        }
    }
    log.flush().ok()?;
    log.delete_records_before(Offset(20)).ok()?;
    if clean {
        manager.shutdown().ok()?;
    }
    Some(())
}

/// Records of a transactional producer, or of nobody (-1).
fn append(log: &PartitionLog, producer: i64, turn: i32, count: i32) -> Option<()> {
    log.append_as_leader(
        batch(producer, turn, count)?,
        AppendOrigin::Client,
        LeaderEpoch(0),
    )
    .ok()
    .map(drop)
}

fn batch(producer: i64, turn: i32, count: i32) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(match producer {
        -1 => BatchOptions::default(),
        id => BatchOptions {
            producer_id: id,
            producer_epoch: 0,
            base_sequence: turn * count,
            is_transactional: true,
            ..BatchOptions::default()
        },
    });
    for i in 0..count {
        builder
            .append(NOW_MS + i64::from(turn + i), None, Some(&[7; 60]), &[])
            .ok()?;
    }
    builder.build().ok()
}

fn open(fs: &CrashFs, boot: &str) -> Result<Arc<LogManager>, crate::error::OpenError> {
    LogManager::open(LogManagerOptions {
        data_dir: PathBuf::from(DATA_DIR),
        cluster_id: "cluster".to_owned(),
        node_id: 1,
        default_config: config(),
        flush_threads: 0,
        open_files_max: 8,
        boot_id: Some(boot.to_owned()),
        newest_epochs: Arc::new(|_, _| None),
        fs: fs.shared(),
        clock: ManualClock::at(NOW_MS),
    })
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 4000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

fn put(fs: &CrashFs, path: &Path, content: &[u8]) {
    let file = fs.open(path, false).and_then(|file| {
        file.set_size(0)?;
        file.write_all_at(content, 0)
    });
    assert!(file.is_ok(), "{file:?}");
}

/// Reads all, looks things up and appends; errors are answers too.
fn use_log(log: &PartitionLog) {
    let mut offset = log.log_start_offset();
    for _ in 0..READS_MAX {
        let request = FetchRequest {
            offset,
            bytes_max: 1 << 16,
            min_one_batch: true,
            up_to: UpTo::HighWatermark,
        };
        match log.read(request) {
            Ok(fetched) if !fetched.batches.is_empty() => {
                assert!(fetched.next_offset > offset, "a read goes on");
                offset = fetched.next_offset;
            }
            _ => break,
        }
    }
    let _ = log.max_timestamp();
    let _ = log.aborted_transactions(log.log_start_offset(), log.log_end_offset());
    let before = log.log_end_offset();
    if let Some(batch) = batch(-1, 0, 1)
        && let Ok(info) = log.append_as_leader(batch, AppendOrigin::Client, LeaderEpoch(i32::MAX))
    {
        assert_eq!(info.first_offset, before);
    }
    let _ = log.flush();
    let _ = log.enforce_retention(NOW_MS);
}
