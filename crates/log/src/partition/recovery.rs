//! Opening a partition's log.
//!
//! After a clean stop nothing is scanned: the end of the log is found from the
//! last index entry, producer state from the snapshot at the end.
//!
//! After an unclean stop everything from the recovery point on is read and its
//! checksums verified; below it nothing is, because it was on disk, indexes
//! and names included, before the recovery point moved there. Indexes,
//! transaction index, leader epochs and producer state are rebuilt for what
//! was read, and all of it is synced before anyone sees it: bytes that
//! survived a SIGKILL may still be in the page cache only, and where
//! a sync had failed before it the kernel takes them for written: they are
//! written once more.
//!
//! # Torn tail or damage
//!
//! The scan stops at the first bytes that are not a whole, intact batch with
//! the next offset (or at a segment that does not begin where the one before
//! ends). Call that the tear. Three cases:
//!
//! 1. No intact batch lies beyond the tear: a torn tail. It is cut.
//! 2. Intact batches lie beyond, and the machine has not been restarted since
//!    the log was last open (its boot id is the same). The kernel lived, so it
//!    kept every write that had completed, and only the very last one can be
//!    partial; nothing could follow a torn write. So these bytes were damaged
//!    after they were written: [`OpenError::Damaged`], nothing is changed.
//! 3. Intact batches lie beyond, and the machine was restarted. The pages of
//!    writes that were not synced reach the disk in any order, so this is
//!    what power loss may leave of records that nobody was promised. The log
//!    is cut at the tear, and the bytes cut off are kept beside it
//!    (`*.log.cut-POSITION`) and reported, in case it was damage after all.
//!
//! A checksum covers neither the base offset nor the leader epoch of its batch.
//! Where one of them cannot be and the rest is whole, it is set right in place
//! (`base_offsets`, `leader_epochs`); a base offset that cannot be told is a
//! tear.
//!
//! A log that ends before its recovery point has lost bytes that were on disk:
//! [`OpenError::Missing`].

use super::{PartitionLog, Progress, Shared, Writer, validate};
use crate::cleaner::swap;
use crate::config::LogConfig;
use crate::epochs::LeaderEpochs;
use crate::error::{OpenError, ReadError};
use crate::files::Files;
use crate::names::{self, Stage};
use crate::producers::{self, ProducerAppend, ProducerState};
use crate::segment::Segment;
use leader_epochs::Bounds;
use millstream_core::env::Fs;
use millstream_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use millstream_wire::batch::BatchHeader;
use parking_lot::{Mutex, RwLock};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod base_offsets;
mod leader_epochs;
mod scan;

pub(crate) use scan::find_batch;

/// How the log was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Closed: the checkpoint covers all.
    Clean,
    /// The process died, the machine did not.
    Killed,
    /// The machine was restarted, or it is not known.
    PowerLoss,
}

/// What to open.
pub(crate) struct OpenPartition {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) folder: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) stop: Stop,
    /// The newest epoch in which anybody may have appended to it, if known.
    pub(crate) newest_epoch: Option<LeaderEpoch>,
}

/// Opens the log in a folder that exists.
pub(crate) fn open(
    shared: Arc<Shared>,
    partition: OpenPartition,
) -> Result<Arc<PartitionLog>, OpenError> {
    let config = partition.config.bounded();
    let folder: Arc<Path> = partition.folder.into();
    let fs = &shared.fs;
    let list = || {
        fs.list(&folder).map_err(|source| OpenError::Io {
            doing: "list",
            path: folder.to_path_buf(),
            source,
        })
    };
    let mut paths = list()?;
    if swap::recover(&shared.files, &folder, &paths)? {
        paths = list()?;
    }
    let leftovers: Vec<&PathBuf> = paths.iter().filter(|path| is_leftover(path)).collect();
    let checkpointed_start = shared.log_starts.get(&partition.topic_partition);
    let recovery_point = shared.recovery_points.get(&partition.topic_partition);
    let mut segments = open_segments(
        &shared.files,
        &folder,
        &paths,
        checkpointed_start.unwrap_or_default(),
        recovery_point.unwrap_or_default(),
    )?;
    if segments.is_empty() {
        let start = checkpointed_start.unwrap_or_default();
        let created =
            Segment::create(&shared.files, &folder, start.0, Stage::InPlace).map_err(|source| {
                OpenError::Io {
                    doing: "create a segment in",
                    path: folder.to_path_buf(),
                    source,
                }
            })?;
        segments.push(Arc::new(created));
    }
    let first = segments.first().map_or(0, |s| s.base_offset());
    let log_start = checkpointed_start.unwrap_or_default().max(Offset(first));
    if log_start > checkpointed_start.unwrap_or_default() {
        // Deletion moves the start first and removes files then.
        tracing::error!(
            folder = %folder.display(),
            from = %checkpointed_start.unwrap_or_default(), to = first - 1,
            "segments that nobody deleted are not there: these records are lost, and the log begins \
             behind them. To get them back, stop the server and restore the files from a copy"
        );
    }
    let mut epochs = match paths.iter().any(|path| path.ends_with(names::EPOCHS)) {
        true => LeaderEpochs::load(fs.as_ref(), &folder)?,
        false => LeaderEpochs::default(),
    };
    if let Some(newest) = partition.newest_epoch
        && epochs.truncate_above(newest)
    {
        // A batch below the recovery point keeps its own.
        tracing::warn!(
            folder = %folder.display(), %newest,
            "the log tells of leader epochs that the metadata does not know: a flipped bit, or \
             metadata that is older than the log; going on without them"
        );
    }
    let known_to = recovery_point.unwrap_or_default().max(Offset(first));
    // Later ones are found again in the batches; the file may still have
    // those of batches that were truncated.
    epochs.truncate_from_end(known_to);

    let scanned = scan::find_end(
        fs,
        &folder,
        &mut segments,
        known_to,
        scan::Left {
            stop: partition.stop,
            epochs: Bounds::new(epochs.latest(), partition.newest_epoch),
            log_start,
            within_a_change: !leftovers.is_empty(),
        },
        config.index_interval_bytes,
    )?;
    // One that a deletion just now used the name of is gone already.
    for path in leftovers.into_iter().filter(|path| fs.exists(path)) {
        fs.remove_file(path).map_err(|source| OpenError::Io {
            doing: "remove",
            path: path.clone(),
            source,
        })?;
    }
    let end = scanned.end.max(log_start);
    if end != scanned.end && !is_empty(&segments) {
        return Err(OpenError::Missing {
            path: folder.to_path_buf(),
            found: scanned.end,
            expected: log_start,
        });
    }
    epochs.truncate_from_end(scanned.recovery_point.min(end));
    let Replayed {
        mut producers,
        snapshots,
    } = replay(
        fs.as_ref(),
        super::flush::snapshots_of(paths),
        &segments,
        scanned.recovery_point,
        end,
        &mut epochs,
    )
    .map_err(|e| read_error(&folder, e))?;
    producers.on_high_watermark(end);

    let unstable = producers.first_unstable().unwrap_or(end);
    let progress = Progress {
        log_start_offset: log_start,
        last_stable_offset: unstable.min(end).max(log_start),
        high_watermark: end,
        log_end_offset: end,
        failure: None,
    };
    let writer = Writer {
        producers,
        epochs,
        log_end_offset: end,
        durable_offset: end,
        sync_first: None,
        unsynced_since_ms: None,
        recovery_point: scanned.recovery_point.min(end),
        bytes_since_checkpoint: 0,
        touched_at: Duration::ZERO,
        is_listed: false,
        sealed_unsynced: Vec::new(),
        sealed_unindexed: scanned.unindexed,
        snapshots,
        // Whoever created the newest segment may have died before it synced
        // the name; the first flush does it.
        names_changed: 1,
        names_synced: 0,
        truncations: 0,
        failure: None,
        ended: false,
    };
    // A log that nobody uses holds no file.
    segments.iter().for_each(|s| s.close_files());
    let log = Arc::new_cyclic(|me| PartitionLog {
        me: me.clone(),
        shared,
        topic_partition: partition.topic_partition,
        topic_id: partition.topic_id,
        folder,
        config: RwLock::new(Arc::new(config)),
        segments: RwLock::new(segments),
        writer: Mutex::new(writer),
        changing: Mutex::new(()),
        flushing: Mutex::new(()),
        flush_state: crate::durability::FlushState::default(),
        progress: RwLock::new(progress),
        moved: tokio::sync::Notify::new(),
        wakers: super::wait::Wakers::default(),
        replacements: 0.into(),
    });
    if scanned.bytes > 0 {
        log.touch(&mut log.writer.lock(), scanned.bytes);
    }
    Ok(log)
}

fn is_empty(segments: &[Arc<Segment>]) -> bool {
    segments.iter().all(|s| s.size() == 0)
}

/// What a deletion, a replacement or a truncation leaves that was cut off:
/// what the files show now may be in the page cache only.
fn is_leftover(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    matches!(extension, Some(names::DELETED | names::TMP))
}

/// Opens all segments in order, and removes those that a deletion had begun
/// to remove.
fn open_segments(
    files: &Arc<Files>,
    folder: &Arc<Path>,
    paths: &[PathBuf],
    log_start: Offset,
    recovery_point: Offset,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io {
            doing,
            path,
            source,
        }
    };
    let fs = &files.fs;
    let mut bases: Vec<i64> = Vec::new();
    for path in paths {
        if let Some((base, names::LOG)) = names::parse(path) {
            bases.push(base);
        }
    }
    bases.sort_unstable();
    for path in paths {
        if let Some((base, extension)) = names::parse(path)
            && matches!(
                extension,
                names::OFFSET_INDEX | names::TIME_INDEX | names::TXN_INDEX
            )
            && bases.binary_search(&base).is_err()
        {
            fs.remove_file(path).map_err(io("remove", path))?;
        }
    }
    // Retention may have been interrupted after it had moved the log start.
    // What it left is needed only while the state of producers is not known
    // from where the rest begins; then it had not removed anything yet either.
    let kept = bases
        .partition_point(|base| *base <= log_start.0)
        .saturating_sub(1);
    let kept = bases.get(kept).copied().unwrap_or(0);
    let snapshot = names::file(folder, kept, names::SNAPSHOT);
    let state_is_known = recovery_point.0 >= kept || paths.contains(&snapshot);
    let mut doomed = Vec::new();
    let mut segments = Vec::with_capacity(bases.len());
    for (i, base) in bases.iter().enumerate() {
        let segment =
            Segment::open(files, folder, *base, Stage::InPlace).map_err(io("open", folder))?;
        if *base < kept && state_is_known {
            doomed.push(segment);
            continue;
        }
        // Those of the last one, and of one that reaches beyond the recovery
        // point, are made when the end of the log is found: until then its
        // batches cannot be relied on.
        let is_settled = bases
            .get(i + 1)
            .is_some_and(|next| *next <= recovery_point.0);
        let has_indexes = is_settled
            && segment
                .offsets
                .is_whole()
                .map_err(io("open", &segment.path()))?
            && segment
                .timestamps
                .is_whole()
                .map_err(io("open", &segment.path()))?;
        if is_settled && !has_indexes {
            tracing::warn!(segment = %segment.path().display(), "rebuilding missing indexes");
            segment
                .rebuild_indexes(4096)
                .map_err(|e| read_error(folder, e))?;
            // No checkpoint writes those of a segment below the recovery
            // point, and an index that was cut for being torn is whole, and
            // empty, for the next start.
            if let Err(error) = segment.sync_indexes() {
                tracing::warn!(segment = %segment.path().display(), %error, "cannot write the rebuilt indexes");
            }
        }
        segments.push(Arc::new(segment));
    }
    remove_below_start(fs.as_ref(), folder, &doomed).map_err(io("delete a segment in", folder))?;
    Ok(segments)
}

/// As a deletion does. The sync also covers the name of the segment that
/// stays: without it power loss would bring the others back in its place.
fn remove_below_start(fs: &dyn Fs, folder: &Path, doomed: &[Segment]) -> io::Result<()> {
    if doomed.is_empty() {
        return Ok(());
    }
    doomed.iter().try_for_each(Segment::mark_deleted)?;
    fs.sync_dir(folder)?;
    doomed.iter().try_for_each(Segment::unlink)
}

/// What a replay gives.
pub(super) struct Replayed {
    pub(super) producers: ProducerState,
    /// Producer state at the base of each segment that it has crossed into,
    /// as snapshot files.
    pub(super) snapshots: Vec<(Offset, Vec<u8>)>,
}

/// Producer state at `end`: the newest usable snapshot not above
/// `recovery_point`, and the batches after it. Batches from `recovery_point`
/// on also give their leader epochs and their entries in the transaction
/// index.
pub(super) fn replay(
    fs: &dyn Fs,
    snapshots: Vec<(i64, PathBuf)>,
    segments: &[Arc<Segment>],
    recovery_point: Offset,
    end: Offset,
    epochs: &mut LeaderEpochs,
) -> Result<Replayed, ReadError> {
    let (mut producers, from) = load_snapshot(fs, snapshots, recovery_point.min(end))?;
    let mut snapshots = Vec::new();
    let first = segments
        .partition_point(|s| s.base_offset() <= from.0)
        .saturating_sub(1);
    for segment in segments.get(first..).unwrap_or_default() {
        if segment.base_offset() > end.0 {
            break;
        }
        // One that begins at the end too: it may be all that a deletion
        // leaves.
        if segment.base_offset() > from.0 {
            snapshots.push((Offset(segment.base_offset()), producers::encode(&producers)));
        }
        if segment.base_offset() == end.0 {
            break;
        }
        let position = segment
            .find(from.0)?
            .map_or(segment.size(), |(position, _)| position);
        for located in segment.headers(position) {
            let (position, header) = located?;
            if header.base_offset >= end.0 {
                break;
            }
            replay_batch(&mut producers, segment, position, &header, recovery_point)?;
            if header.base_offset >= recovery_point.0 {
                epochs.assign(
                    LeaderEpoch(header.partition_leader_epoch),
                    Offset(header.base_offset),
                );
            }
        }
    }
    Ok(Replayed {
        producers,
        snapshots,
    })
}

fn replay_batch(
    state: &mut ProducerState,
    segment: &Segment,
    position: u64,
    header: &BatchHeader,
    recovery_point: Offset,
) -> Result<(), ReadError> {
    if !header.has_producer_id() {
        return Ok(());
    }
    let mut changes = ProducerAppend::default();
    if header.is_control() {
        if header.records_count == 0 {
            // The cleaner has emptied it: nothing of what it ended is left.
            return Ok(());
        }
        let batch = segment.batch_at(position, header.size_bytes())?;
        let marker = validate::marker_of(&batch).map_err(|e| ReadError::Corrupt {
            path: segment.path(),
            position,
            what: e.to_string(),
        })?;
        if let Some(marker) = marker {
            changes.add_marker(state, header, marker);
        }
    } else {
        changes.add(state, header);
    }
    for transaction in state.apply(changes) {
        if header.base_offset >= recovery_point.0 {
            segment
                .aborted
                .push(transaction)
                .map_err(|e| segment.io(e))?;
        }
    }
    Ok(())
}

/// The newest usable snapshot; newer ones are removed.
fn load_snapshot(
    fs: &dyn Fs,
    snapshots: Vec<(i64, PathBuf)>,
    recovery_point: Offset,
) -> Result<(ProducerState, Offset), ReadError> {
    for (offset, path) in snapshots.into_iter().rev() {
        let io = |source| ReadError::Io {
            path: path.clone(),
            source,
        };
        if offset > recovery_point.0 {
            // Of a checkpoint that was not finished, or of a log that was
            // truncated since: later it would look like one of this log.
            fs.remove_file(&path).map_err(io)?;
            continue;
        }
        match producers::decode(&fs.read_to_vec(&path).map_err(io)?) {
            Ok(state) => return Ok((state, Offset(offset))),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "ignoring a producer snapshot");
            }
        }
    }
    Ok((ProducerState::default(), Offset(0)))
}

/// A read that failed while opening.
fn read_error(folder: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Io { path, source } => OpenError::Io {
            doing: "read",
            path,
            source,
        },
        ReadError::Corrupt {
            path,
            position,
            what,
        } => OpenError::Malformed {
            path,
            line: 0,
            what: format!("at position {position}: {what}"),
        },
        ReadError::OffsetOutOfRange { .. } => OpenError::Malformed {
            path: folder.to_owned(),
            line: 0,
            what: error.to_string(),
        },
    }
}
