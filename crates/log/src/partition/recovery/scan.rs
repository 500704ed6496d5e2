//! Finding the end of a log; the rule is in the parent module's docs.

use super::base_offsets::{self, Behind, Misplaced};
use super::leader_epochs::{self, Bounds};
use super::{Stop, read_error};
use crate::error::{OpenError, ReadError};
use crate::segment::Segment;
use millstream_core::env::Fs;
use millstream_core::ids::Offset;
use millstream_wire::batch::{BatchHeader, HEADER_BYTES};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a damaged stretch that are searched at once.
const SEARCH_BYTES: usize = 1 << 20;

pub(super) struct Scanned {
    pub(super) end: Offset,
    /// From here on the batches were read.
    pub(super) recovery_point: Offset,
    /// Bytes that were read.
    pub(super) bytes: u64,
    /// Segments with rebuilt indexes that are not durable.
    pub(super) unindexed: Vec<Arc<Segment>>,
}

/// How the log was left.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) stop: Stop,
    /// What is known of the leader epochs beyond the recovery point.
    pub(super) epochs: Bounds,
    /// Nobody asks for what is below.
    pub(super) log_start: Offset,
    /// Files tell that a deletion or truncation was cut off. What it has done
    /// is seen, but power loss could still undo it.
    pub(super) within_a_change: bool,
}

/// What a scan found.
struct Verified {
    /// Where it stopped before the end.
    tear: Option<Tear>,
    /// Bytes that hold.
    bytes: u64,
    /// Those of them with a base offset that cannot be.
    misplaced: Vec<Misplaced>,
    /// Whether none of them has a leader epoch that cannot be.
    epochs_fit: bool,
}

/// Where a scan stopped.
struct Tear {
    segment: usize,
    position: u64,
    offset: Offset,
}

/// Finds the end; after an unclean stop verifies what lies beyond the
/// recovery point and cuts a torn tail.
pub(super) fn find_end(
    fs: &Arc<dyn Fs>,
    folder: &Path,
    segments: &mut Vec<Arc<Segment>>,
    recovery_point: Offset,
    left: Left,
    interval_bytes: u32,
) -> Result<Scanned, OpenError> {
    let Left {
        stop,
        epochs,
        log_start,
        within_a_change,
    } = left;
    if stop == Stop::Clean
        && let Some(end) = clean_end(segments, recovery_point, interval_bytes)
    {
        return Ok(Scanned {
            end,
            recovery_point: end,
            bytes: 0,
            unindexed: Vec::new(),
        });
    }
    let first = segments
        .partition_point(|s| s.base_offset() <= recovery_point.0)
        .saturating_sub(1);
    let start = position_of(segments, first, recovery_point)
        .map_err(|e| read_error(folder, e))?
        .ok_or_else(|| missing(segments, first, recovery_point))?;
    let untouched =
        first + 1 == segments.len() && segments.last().is_some_and(|s| s.size() == start);
    if untouched && !within_a_change {
        return untouched_end(segments, recovery_point, interval_bytes)
            .map_err(|e| read_error(folder, e));
    }
    let Verified {
        tear,
        bytes,
        misplaced,
        epochs_fit,
    } = verify(segments, first, start, recovery_point, log_start, epochs)
        .map_err(|e| read_error(folder, e))?;
    let mut names_changed = false;
    if let Some(tear) = &tear {
        names_changed = cut(fs, folder, segments, tear, stop)?;
    }
    let scanned = segments.get(first..).unwrap_or_default().to_vec();
    let io = |source| OpenError::Io {
        doing: "recover",
        path: folder.to_owned(),
        source,
    };
    base_offsets::mend(segments, &misplaced).map_err(|e| read_error(folder, e))?;
    if !epochs_fit {
        leader_epochs::mend(&scanned, start, epochs).map_err(|e| read_error(folder, e))?;
    }
    for (place, segment) in scanned.iter().enumerate() {
        if stop == Stop::Killed {
            // The process may have died of a failed sync.
            let from = if place == 0 { start } else { 0 };
            segment.write_again(from).map_err(io)?;
        }
        reindex(segment, recovery_point, interval_bytes).map_err(|e| read_error(folder, e))?;
        if within_a_change {
            // As above: a cut whose sync failed.
            segment.cut_again().map_err(io)?;
        }
        if bytes > 0 || tear.is_some() || within_a_change {
            segment.sync_log().map_err(io)?;
        }
    }
    if names_changed || bytes > 0 || within_a_change {
        fs.sync_dir(folder).map_err(io)?;
    }
    let end = end_of(segments, first, recovery_point).map_err(|e| read_error(folder, e))?;
    tracing::info!(folder = %folder.display(), from = %recovery_point, %end, bytes, "recovered");
    Ok(Scanned {
        end,
        recovery_point,
        bytes,
        unindexed: scanned,
    })
}

/// Nothing was appended since the recovery point: there is nothing to verify,
/// to cut or to sync. The indexes are cut back all the same, because those of
/// a lost append may have reached the disk.
fn untouched_end(
    segments: &[Arc<Segment>],
    recovery_point: Offset,
    interval_bytes: u32,
) -> Result<Scanned, ReadError> {
    if let Some(active) = segments.last() {
        reindex(active, recovery_point, interval_bytes)?;
    }
    Ok(Scanned {
        end: recovery_point,
        recovery_point,
        bytes: 0,
        unindexed: Vec::new(),
    })
}

/// The end after a clean stop; `None` when the files do not bear it out.
fn clean_end(
    segments: &[Arc<Segment>],
    recovery_point: Offset,
    interval_bytes: u32,
) -> Option<Offset> {
    let active = segments.last()?;
    let whole = active.offsets.is_whole().ok()? && active.timestamps.is_whole().ok()?;
    if !whole {
        return None;
    }
    let end = match active.resume_from_index(interval_bytes) {
        Ok(next) => Offset(next.unwrap_or(active.base_offset())),
        Err(error) => {
            tracing::warn!(%error, "the clean-shutdown mark does not hold, recovering");
            return None;
        }
    };
    (end == recovery_point).then_some(end)
}

fn missing(segments: &[Arc<Segment>], at: usize, expected: Offset) -> OpenError {
    let segment = segments.get(at);
    OpenError::Missing {
        path: segment.map_or_else(PathBuf::new, |s| s.path()),
        found: segment.map_or(Offset(0), |s| last_before_tear(s)),
        expected,
    }
}

/// The end of the intact headers of a segment.
fn last_before_tear(segment: &Segment) -> Offset {
    Offset(
        ascending(segment, 0)
            .last()
            .map_or(segment.base_offset(), |(_, h)| h.next_offset()),
    )
}

/// The headers from a position on, up to the first that does not parse or
/// goes back: what is left of a torn one can look like a header.
fn ascending(segment: &Segment, position: u64) -> impl Iterator<Item = (u64, BatchHeader)> {
    let mut next_offset = segment.base_offset();
    segment
        .headers(position)
        .map_while(Result::ok)
        .take_while(move |(_, header)| {
            let ascends = header.base_offset >= next_offset;
            next_offset = header.next_offset();
            ascends
        })
}

/// The position of the batch that begins at `offset`, or of the end when that
/// is where it would; `None` when the segment does not reach it. Trusts the
/// index below the recovery point only as far as the log bears it out.
fn position_of(
    segments: &[Arc<Segment>],
    at: usize,
    offset: Offset,
) -> Result<Option<u64>, ReadError> {
    let Some(segment) = segments.get(at) else {
        return Ok(None);
    };
    let io = |e| segment.io(e);
    if offset.0 <= segment.base_offset() {
        return Ok(Some(0));
    }
    let relative = offset.0 - segment.base_offset();
    segment
        .offsets
        .truncate(|e| i64::from(e.relative_offset) < relative)
        .map_err(io)?;
    let floor = segment.floor_position(offset.0)?;
    if let Some(position) = walk_to(segment, floor, offset) {
        return Ok(Some(position));
    }
    if floor > 0 {
        tracing::warn!(segment = %segment.path().display(), "the index does not fit, rebuilding it");
        segment.offsets.truncate(|_| false).map_err(io)?;
        segment.timestamps.truncate(|_| false).map_err(io)?;
    }
    Ok(walk_to(segment, 0, offset))
}

/// Walks headers from `position` to the batch that begins at `offset`.
fn walk_to(segment: &Segment, position: u64, offset: Offset) -> Option<u64> {
    let mut reached = position;
    let mut next_offset = segment.base_offset();
    for (position, header) in ascending(segment, position) {
        if header.base_offset >= offset.0 {
            return Some(position);
        }
        reached = position + header.size_bytes() as u64;
        next_offset = header.next_offset();
    }
    (next_offset == offset.0).then_some(reached)
}

/// Verifies batches from a position on, over all later segments; nothing is
/// changed.
fn verify(
    segments: &[Arc<Segment>],
    first: usize,
    start: u64,
    from: Offset,
    log_start: Offset,
    mut epochs: Bounds,
) -> Result<Verified, ReadError> {
    let mut expected = from;
    let mut position = start;
    let mut verified = Verified {
        tear: None,
        bytes: 0,
        misplaced: Vec::new(),
        epochs_fit: true,
    };
    for (at, segment) in segments.iter().enumerate().skip(first) {
        let tear = |position, offset| {
            Some(Tear {
                segment: at,
                position,
                offset,
            })
        };
        if at > first && segment.base_offset() != expected.0 {
            verified.tear = tear(0, expected);
            return Ok(verified);
        }
        while position < segment.size() {
            let Some(header) = intact_batch(segment, position, i64::MIN)? else {
                verified.tear = tear(position, expected);
                return Ok(verified);
            };
            let base = match header.base_offset {
                base if base == expected.0 => base,
                _ => {
                    let behind = behind(segments, at, position, &header)?;
                    let right = base_offsets::right(&header, expected.0, behind, log_start.0);
                    let Some(base) = right else {
                        verified.tear = tear(position, expected);
                        return Ok(verified);
                    };
                    base
                }
            };
            if base != header.base_offset {
                verified.misplaced.push(Misplaced {
                    segment: at,
                    position,
                    found: header.base_offset,
                    right: base,
                });
            }
            verified.epochs_fit &= epochs.advance(header.partition_leader_epoch);
            verified.bytes += header.size_bytes() as u64;
            position += header.size_bytes() as u64;
            expected = Offset(base_offsets::moved(&header, base).next_offset());
        }
        position = 0;
    }
    Ok(verified)
}

/// What is behind the batch at `position` of a segment.
fn behind(
    segments: &[Arc<Segment>],
    at: usize,
    position: u64,
    header: &BatchHeader,
) -> Result<Behind, ReadError> {
    let next_segment = segments.get(at + 1);
    let end = position + header.size_bytes() as u64;
    if let Some(segment) = segments.get(at)
        && end < segment.size()
    {
        let next = intact_batch(segment, end, i64::MIN)?;
        return Ok(next.map_or(
            Behind::Torn {
                in_last_segment: next_segment.is_none(),
            },
            |next| Behind::Begins(next.base_offset),
        ));
    }
    Ok(next_segment.map_or(Behind::End, |next| Behind::Begins(next.base_offset())))
}

/// The header of the batch at `position`, if it is whole, its checksum holds
/// and it does not begin before `expected`.
fn intact_batch(
    segment: &Segment,
    position: u64,
    expected: i64,
) -> Result<Option<BatchHeader>, ReadError> {
    let available = segment.size() - position;
    if available < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let header = segment.bytes_at(position, HEADER_BYTES)?;
    let Ok(header) = BatchHeader::parse(&header) else {
        return Ok(None);
    };
    if header.size_bytes() as u64 > available || header.base_offset < expected {
        return Ok(None);
    }
    let Ok(batch) = segment.batch_at(position, header.size_bytes()) else {
        return Ok(None);
    };
    Ok(batch.verify_crc().is_ok().then_some(header))
}

/// Cuts at the tear, or refuses to. True when names in the folder changed.
fn cut(
    fs: &Arc<dyn Fs>,
    folder: &Path,
    segments: &mut Vec<Arc<Segment>>,
    tear: &Tear,
    stop: Stop,
) -> Result<bool, OpenError> {
    let Some(torn) = segments.get(tear.segment).cloned() else {
        return Ok(false);
    };
    let valid_bytes_after = valid_bytes_after(segments, tear).map_err(|e| read_error(folder, e))?;
    if valid_bytes_after > 0 && stop != Stop::PowerLoss {
        return Err(OpenError::Damaged {
            path: torn.path(),
            position: tear.position,
            offset: tear.offset,
            valid_bytes_after,
        });
    }
    let io = |source| OpenError::Io {
        doing: "cut",
        path: torn.path(),
        source,
    };
    if valid_bytes_after > 0 {
        tracing::error!(
            segment = %torn.path().display(), position = tear.position, offset = %tear.offset,
            valid_bytes_after, "cutting unsynced records that power loss has torn; a copy is kept beside the log"
        );
        keep_cut(fs, folder, segments, tear).map_err(io)?;
    } else {
        tracing::warn!(
            segment = %torn.path().display(), position = tear.position, offset = %tear.offset,
            bytes = torn.size().saturating_sub(tear.position), "cutting a torn tail"
        );
    }
    // A segment that does not begin where the one before ends is not part of
    // the log at all.
    let misplaced = tear.segment > 0 && torn.base_offset() != tear.offset.0 && tear.position == 0;
    let keep = if misplaced {
        tear.segment
    } else {
        tear.segment + 1
    };
    if !misplaced {
        torn.truncate(tear.position, tear.offset.0).map_err(io)?;
    }
    let doomed = segments.split_off(keep.min(segments.len()));
    for segment in &doomed {
        segment.mark_deleted().map_err(io)?;
    }
    for segment in &doomed {
        segment.unlink().map_err(io)?;
    }
    Ok(!doomed.is_empty())
}

/// Copies what will be cut off, durably.
fn keep_cut(
    fs: &Arc<dyn Fs>,
    folder: &Path,
    segments: &[Arc<Segment>],
    tear: &Tear,
) -> io::Result<()> {
    for (i, segment) in segments.iter().enumerate().skip(tear.segment) {
        let from = if i == tear.segment { tear.position } else { 0 };
        let mut name = segment.path().as_os_str().to_owned();
        name.push(format!(".cut-{from}"));
        let copy = fs.open(&PathBuf::from(name), true)?;
        let mut position = from;
        while position < segment.size() {
            let size = SEARCH_BYTES
                .min(usize::try_from(segment.size() - position).unwrap_or(SEARCH_BYTES));
            let bytes = segment.bytes_at(position, size).map_err(io::Error::other)?;
            copy.write_all_at(&bytes, position - from)?;
            position += size as u64;
        }
        copy.sync_data()?;
    }
    fs.sync_dir(folder)
}

/// Bytes of intact batches from the tear on, in its segment and in later ones.
/// One at the tear itself is no torn write, but one with an offset that cannot
/// be.
fn valid_bytes_after(segments: &[Arc<Segment>], tear: &Tear) -> Result<u64, ReadError> {
    let mut valid = 0;
    for (i, segment) in segments.iter().enumerate().skip(tear.segment) {
        let mut position = 0;
        if i == tear.segment {
            position = tear.position;
            if let Some(header) = intact_batch(segment, position, i64::MIN)? {
                valid += header.size_bytes() as u64;
                position += header.size_bytes() as u64;
            }
        }
        while let Some((at, header)) = find_batch(segment, position, tear.offset.0)? {
            valid += header.size_bytes() as u64;
            position = at + header.size_bytes() as u64;
        }
    }
    Ok(valid)
}

/// The next intact batch at any byte from `position` on, that begins at
/// `expected` or later.
pub(crate) fn find_batch(
    segment: &Segment,
    mut position: u64,
    expected: i64,
) -> Result<Option<(u64, BatchHeader)>, ReadError> {
    // Mostly one follows the other, and then nothing is to be searched.
    if position + HEADER_BYTES as u64 <= segment.size()
        && let Some(header) = intact_batch(segment, position, expected)?
    {
        return Ok(Some((position, header)));
    }
    while position + HEADER_BYTES as u64 <= segment.size() {
        let size =
            SEARCH_BYTES.min(usize::try_from(segment.size() - position).unwrap_or(SEARCH_BYTES));
        let bytes = segment.bytes_at(position, size)?;
        let candidates = bytes.windows(HEADER_BYTES).enumerate();
        for (at, window) in candidates {
            // The magic byte first: it rules out most positions.
            if window.get(16) != Some(&2) || BatchHeader::parse(window).is_err() {
                continue;
            }
            if let Some(header) = intact_batch(segment, position + at as u64, expected)? {
                return Ok(Some((position + at as u64, header)));
            }
        }
        position += (size - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}

/// Cuts the indexes back to the recovery point and extends them to the end.
fn reindex(
    segment: &Segment,
    recovery_point: Offset,
    interval_bytes: u32,
) -> Result<(), ReadError> {
    let relative = recovery_point.0 - segment.base_offset();
    let io = |e| segment.io(e);
    segment
        .offsets
        .truncate(|e| i64::from(e.relative_offset) < relative)
        .map_err(io)?;
    segment
        .timestamps
        .truncate(|e| i64::from(e.relative_offset) < relative)
        .map_err(io)?;
    segment
        .aborted
        .truncate(|e| e.last_offset < recovery_point)
        .map_err(io)?;
    segment.resume_from_index(interval_bytes).map(drop)
}

fn end_of(segments: &[Arc<Segment>], first: usize, from: Offset) -> Result<Offset, ReadError> {
    for segment in segments.iter().skip(first).rev() {
        let position = segment.floor_position(i64::MAX)?;
        let mut last = None;
        for located in segment.headers(position) {
            last = Some(located?.1.next_offset());
        }
        if let Some(end) = last {
            return Ok(Offset(end));
        }
        if segment.base_offset() > from.0 {
            return Ok(Offset(segment.base_offset()));
        }
    }
    Ok(from)
}
