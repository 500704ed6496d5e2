//! What flows between operators.

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use std::sync::Arc;

/// What a row does to the table that the stream describes (Flink: RowKind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// `+I`: a new row.
    Insert,
    /// `-U`: the old content of a row that changes.
    UpdateBefore,
    /// `+U`: the new content of a row that changes.
    UpdateAfter,
    /// `-D`: a row that goes.
    Delete,
}

/// Rows with what they do and where they came from.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The rows.
    pub rows: RecordBatch,
    /// One kind a row; `None` means that all are [`RowKind::Insert`], which
    /// costs nothing.
    pub kinds: Option<Arc<[RowKind]>>,
    /// For each row the index of the source record that it was made from, in
    /// the chunk being processed; `None` past an aggregation.
    pub origins: Option<Arc<[u32]>>,
}

impl Batch {
    /// Rows that are all inserts, without origins.
    pub fn inserts(rows: RecordBatch) -> Self {
        Self {
            rows,
            kinds: None,
            origins: None,
        }
    }

    /// The same rows' kinds and origins with other columns.
    #[must_use]
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        debug_assert_eq!(rows.num_rows(), self.rows.num_rows());
        Self {
            rows,
            kinds: self.kinds.clone(),
            origins: self.origins.clone(),
        }
    }

    /// The rows for which `keep` is true (not false, not NULL).
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let rows = filter_record_batch(&self.rows, keep)?;
        let kept = |i: &usize| keep.is_valid(*i) && keep.value(*i);
        Ok(Self {
            rows,
            kinds: self.kinds.as_ref().map(|kinds| select(kinds, keep, kept)),
            origins: self
                .origins
                .as_ref()
                .map(|origins| select(origins, keep, kept)),
        })
    }

    /// `length` rows from `offset` on.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        fn part<T: Copy>(values: &[T], offset: usize, length: usize) -> Arc<[T]> {
            values.iter().skip(offset).take(length).copied().collect()
        }
        Self {
            rows: self.rows.slice(offset, length),
            kinds: self.kinds.as_ref().map(|k| part(k, offset, length)),
            origins: self.origins.as_ref().map(|o| part(o, offset, length)),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn select<T: Copy>(values: &[T], keep: &BooleanArray, kept: impl Fn(&usize) -> bool) -> Arc<[T]> {
    (0..keep.len().min(values.len()))
        .filter(kept)
        .map(|i| values[i])
        .collect()
}
