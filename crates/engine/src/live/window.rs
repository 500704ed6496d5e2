//! The rows of a table that are kept, oldest first.

use super::Covers;
use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use std::collections::VecDeque;

/// Small batches at the end of the window after which they become one: each
/// query pays for the number of batches.
const SMALL_BATCHES_MAX: usize = 64;
/// What is small, in rows.
const SMALL_ROWS: usize = 1_024;
/// What a kept batch costs beside its columns, so that rows without any are
/// bounded too.
const BATCH_BYTES: usize = 256;

/// The bytes of a window are in at least so many batches, so that cutting one
/// leaves most of them.
const PIECES_MIN: usize = 8;

/// The rows, within bounds that each push names.
pub(super) struct Window {
    schema: SchemaRef,
    batches: VecDeque<Kept>,
    rows: usize,
    bytes: usize,
    /// Rows that are gone, or were never read.
    cut: u64,
    skipped: u64,
    newest_ms: Option<i64>,
}

struct Kept {
    rows: RecordBatch,
    oldest_ms: Option<i64>,
}

/// Rows of one chunk of records.
pub(super) struct Decoded {
    pub(super) rows: RecordBatch,
    /// Of the records.
    pub(super) oldest_ms: Option<i64>,
    pub(super) newest_ms: Option<i64>,
    /// Records that gave no row.
    pub(super) skipped: u64,
}

/// How much is kept.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

/// What a query sees of a table.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    /// Timestamp of the newest record.
    pub(super) newest_ms: Option<i64>,
    /// Records that gave no row.
    pub(super) skipped: u64,
    /// Set when these are not all rows; without the table's name.
    pub(super) covers: Option<Covers>,
}

impl Window {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            batches: VecDeque::new(),
            rows: 0,
            bytes: 0,
            cut: 0,
            skipped: 0,
            newest_ms: None,
        }
    }

    /// Starts over, behind so many records that will not be read.
    pub(super) fn clear(&mut self, unread: u64) {
        *self = Self::new(self.schema.clone());
        self.cut = unread;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn push(&mut self, decoded: Decoded, bounds: Bounds) {
        self.newest_ms = self.newest_ms.max(decoded.newest_ms);
        self.skipped += decoded.skipped;
        for rows in pieces(decoded.rows, bounds.bytes_max / PIECES_MIN) {
            let kept = Kept {
                rows,
                oldest_ms: decoded.oldest_ms,
            };
            self.rows += kept.rows.num_rows();
            self.bytes += kept.bytes();
            self.batches.push_back(kept);
            self.merge_small();
            self.cut(bounds);
        }
    }

    fn cut(&mut self, bounds: Bounds) {
        while self.rows > bounds.rows_max || self.bytes > bounds.bytes_max {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            let rows = oldest.rows.num_rows();
            let excess = self.rows.saturating_sub(bounds.rows_max);
            self.rows -= rows;
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            // By rows the cut is exact; by bytes whole batches go.
            if excess > 0 && excess < rows && self.bytes <= bounds.bytes_max {
                let kept = Kept {
                    rows: oldest.rows.slice(excess, rows - excess),
                    oldest_ms: oldest.oldest_ms,
                };
                self.rows += kept.rows.num_rows();
                self.bytes += kept.bytes();
                self.batches.push_front(kept);
                self.cut += excess as u64;
                break;
            }
            self.cut += rows as u64;
        }
    }

    fn merge_small(&mut self) {
        let small = self
            .batches
            .iter()
            .rev()
            .take_while(|kept| kept.rows.num_rows() < SMALL_ROWS)
            .count();
        if small < SMALL_BATCHES_MAX {
            return;
        }
        let tail: Vec<Kept> = self.batches.split_off(self.batches.len() - small).into();
        match concat_batches(&self.schema, tail.iter().map(|kept| &kept.rows)) {
            Ok(rows) => {
                let before: usize = tail.iter().map(Kept::bytes).sum();
                let oldest_ms = tail.iter().filter_map(|kept| kept.oldest_ms).min();
                let merged = Kept { rows, oldest_ms };
                self.bytes = self.bytes.saturating_sub(before) + merged.bytes();
                self.batches.push_back(merged);
            }
            Err(error) => {
                tracing::warn!(%error, "small batches stay apart");
                self.batches.extend(tail);
            }
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            schema: self.schema.clone(),
            batches: self.batches.iter().map(|kept| kept.rows.clone()).collect(),
            newest_ms: self.newest_ms,
            skipped: self.skipped,
            covers: (self.cut > 0).then(|| Covers {
                table: String::new(),
                rows: self.rows as u64,
                of: self.rows as u64 + self.cut,
                since_ms: self.batches.iter().filter_map(|kept| kept.oldest_ms).min(),
            }),
        }
    }
}

/// A batch in pieces of about `bytes_max`, each with memory of its own: what is
/// cut by bytes goes piece by piece.
fn pieces(batch: RecordBatch, bytes_max: usize) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    let bytes = batch.get_array_memory_size();
    if rows == 0 || bytes <= bytes_max {
        return if rows == 0 { Vec::new() } else { vec![batch] };
    }
    let step = rows.div_ceil(bytes.div_ceil(bytes_max.max(1))).max(1);
    let piece = |from: usize| {
        let to = (from + step).min(rows);
        let range = (from..to).filter_map(|row| u64::try_from(row).ok());
        let copied = take_record_batch(&batch, &UInt64Array::from_iter_values(range));
        // It then shares the memory, and goes with all of it.
        copied.unwrap_or_else(|_| batch.slice(from, to - from))
    };
    (0..rows).step_by(step).map(piece).collect()
}

impl Kept {
    fn bytes(&self) -> usize {
        self.rows.get_array_memory_size() + BATCH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    fn decoded(from: i64, rows: i64, newest_ms: i64) -> Decoded {
        Decoded {
            rows: batch(from, rows),
            oldest_ms: Some(from),
            newest_ms: Some(newest_ms),
            skipped: 0,
        }
    }

    fn bounds(rows_max: usize, bytes_max: usize) -> Bounds {
        Bounds {
            rows_max,
            bytes_max,
        }
    }

    fn kept(window: &Window) -> Vec<i64> {
        let columns = window.batches.iter().map(|b| b.rows.column(0));
        columns
            .flat_map(|c| c.as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn a_window_keeps_the_newest_rows_within_its_bound_and_says_so() {
        let mut window = Window::new(batch(0, 0).schema());
        let ten = bounds(10, usize::MAX);
        window.push(decoded(0, 4, 0), ten);
        assert_eq!(window.snapshot().covers, None, "whole");
        for i in 1..7 {
            window.push(decoded(i * 4, 4, i), ten);
        }
        assert_eq!(kept(&window), (18..28).collect::<Vec<_>>());
        assert_eq!((window.rows, window.newest_ms), (10, Some(6)));
        let covers = window.snapshot().covers.unwrap();
        assert_eq!(
            (covers.rows, covers.of, covers.since_ms),
            (10, 28, Some(16))
        );
        window.push(decoded(28, 100, 3), ten);
        assert_eq!(kept(&window), (118..128).collect::<Vec<_>>());
        assert_eq!(window.newest_ms, Some(6), "never older");
        assert_eq!(window.snapshot().covers.unwrap().of, 128);
    }

    #[test]
    fn a_window_is_bounded_by_bytes_and_counts_what_was_never_read() {
        let mut window = Window::new(batch(0, 0).schema());
        window.clear(1_000);
        let covers = window.snapshot().covers.unwrap();
        assert_eq!((covers.rows, covers.of, covers.since_ms), (0, 1_000, None));
        let room = bounds(usize::MAX, 10_000);
        for i in 0..10 {
            window.push(decoded(i * 500, 500, i), room);
        }
        assert!(window.bytes <= 10_000, "{}", window.bytes);
        let covers = window.snapshot().covers.unwrap();
        assert!((500..1_200).contains(&covers.rows), "{covers:?}");
        assert_eq!((covers.rows, covers.of), (window.rows as u64, 6_000));
    }

    #[test]
    fn of_a_batch_that_is_larger_than_the_bound_the_newest_rows_stay() {
        let mut window = Window::new(batch(0, 0).schema());
        window.push(decoded(0, 100_000, 1), bounds(usize::MAX, 80_000));
        let rows = kept(&window);
        assert!(rows.len() > 5_000 && rows.len() < 10_000, "{}", rows.len());
        assert_eq!(rows.last(), Some(&99_999));
        assert!(window.bytes <= 80_000, "{}", window.bytes);
        let covers = window.snapshot().covers.unwrap();
        assert_eq!((covers.rows, covers.of), (rows.len() as u64, 100_000));
    }

    #[test]
    fn many_small_batches_become_one() {
        let mut window = Window::new(batch(0, 0).schema());
        for i in 0..1_000 {
            window.push(decoded(i, 1, i), bounds(10_000, 1 << 20));
        }
        assert_eq!(kept(&window), (0..1_000).collect::<Vec<_>>());
        assert!(
            window.batches.len() <= SMALL_BATCHES_MAX,
            "{}",
            window.batches.len()
        );
        let bytes: usize = window.batches.iter().map(Kept::bytes).sum();
        assert_eq!(window.bytes, bytes);
        assert_eq!(window.snapshot().covers, None);
    }
}
