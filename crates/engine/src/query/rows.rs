//! The rows of a result, as the JSON text that is answered: each batch is
//! written as it is made, and nothing is held twice.

use super::values::ValueFormat;
use super::{QueryError, QueryLimits};
use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use millstream_sql::functions::guard::check;
use serde::Serialize;
use serde_json::Value;

/// Rows turned into values at a time.
const STEP_ROWS: usize = 256;
/// A piece of text that is at least this long is closed.
const PIECE_BYTES: usize = 64 * 1024;

/// Rows of JSON values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultRows {
    /// `[1,"a"],[2,"b"]`, in pieces that end between rows; each but the first
    /// begins with the comma.
    pieces: Vec<String>,
    len: usize,
    bytes: usize,
}

/// What cut a result off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CutBy {
    /// [`QueryLimits::result_rows_max`].
    Rows,
    /// [`QueryLimits::result_bytes_max`].
    Bytes,
}

impl ResultRows {
    /// Rows of values.
    pub fn of(rows: &[Vec<Value>]) -> Self {
        let mut all = Self::default();
        for row in rows {
            // Values are always JSON.
            all.push(&serde_json::to_string(row).unwrap_or_else(|_| "[]".to_owned()));
        }
        all
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of text.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The text between the brackets of an array, in pieces.
    pub fn into_pieces(self) -> Vec<String> {
        self.pieces
    }

    /// The text between the brackets of an array, in pieces.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// The rows as values, read back from the text; for callers in the
    /// process that look into them.
    pub fn values(&self) -> Vec<Vec<Value>> {
        let text = format!("[{}]", self.pieces.concat());
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Adds a batch's rows; what cut them off, if something did.
    ///
    /// # Errors
    ///
    /// A value cannot be written, or a single row is over the bound of bytes.
    pub(super) fn extend(
        &mut self,
        batch: &RecordBatch,
        format: &ValueFormat,
        limits: &QueryLimits,
    ) -> Result<Option<CutBy>, QueryError> {
        for from in (0..batch.num_rows()).step_by(STEP_ROWS) {
            check().map_err(DataFusionError::from)?;
            let step = batch.slice(from, STEP_ROWS.min(batch.num_rows() - from));
            for values in format.rows(&step)? {
                if self.len >= limits.result_rows_max {
                    return Ok(Some(CutBy::Rows));
                }
                let row = serde_json::to_string(&values).map_err(json_error)?;
                if row.len() > limits.result_bytes_max {
                    return Err(QueryError::TooMuch(format!(
                        "one row of the result is {} bytes, at most {}",
                        row.len(),
                        limits.result_bytes_max
                    )));
                }
                if self.bytes + row.len() + 1 > limits.result_bytes_max {
                    return Ok(Some(CutBy::Bytes));
                }
                self.push(&row);
            }
        }
        Ok(None)
    }

    fn push(&mut self, row: &str) {
        if self.pieces.last().is_none_or(|p| p.len() >= PIECE_BYTES) {
            self.pieces.push(String::new());
        }
        let comma = self.len > 0;
        if let Some(piece) = self.pieces.last_mut() {
            if comma {
                piece.push(',');
            }
            piece.push_str(row);
        }
        self.len += 1;
        self.bytes += row.len() + usize::from(comma);
    }
}

fn json_error(error: serde_json::Error) -> QueryError {
    DataFusionError::External(Box::new(error)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;

    fn batch(texts: &[&str]) -> RecordBatch {
        let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        RecordBatch::try_from_iter([("s", column)]).unwrap()
    }

    fn format() -> ValueFormat {
        ValueFormat {
            time_zone: chrono_tz::UTC,
            types: vec!["STRING".to_owned()],
        }
    }

    fn limits(rows: usize, bytes: usize) -> QueryLimits {
        QueryLimits {
            result_rows_max: rows,
            result_bytes_max: bytes,
            ..QueryLimits::default()
        }
    }

    fn texts(rows: &ResultRows) -> Vec<String> {
        let first = |row: Vec<Value>| row[0].as_str().unwrap().to_owned();
        rows.values().into_iter().map(first).collect()
    }

    #[test]
    fn a_result_is_cut_by_rows_and_by_bytes_and_says_which() {
        let mut rows = ResultRows::default();
        let some = batch(&["a", "b", "c"]);
        let cut = rows.extend(&some, &format(), &limits(4, 1_000)).unwrap();
        assert_eq!((cut, rows.len()), (None, 3));
        let cut = rows.extend(&some, &format(), &limits(4, 1_000)).unwrap();
        assert_eq!((cut, rows.len()), (Some(CutBy::Rows), 4));
        assert_eq!(texts(&rows), ["a", "b", "c", "a"]);

        let mut rows = ResultRows::default();
        // ["a"],["b"] is eleven bytes.
        let cut = rows.extend(&some, &format(), &limits(9, 12)).unwrap();
        assert_eq!((cut, rows.bytes()), (Some(CutBy::Bytes), 11));
        assert_eq!(texts(&rows), ["a", "b"]);
    }

    #[test]
    fn a_row_that_can_never_be_answered_is_an_error() {
        let mut rows = ResultRows::default();
        let wide = batch(&["0123456789"]);
        let error = rows.extend(&wide, &format(), &limits(9, 10)).unwrap_err();
        assert!(
            error.to_string().contains("14 bytes, at most 10"),
            "{error}"
        );
    }

    #[test]
    fn long_results_are_in_pieces_that_join_to_one_array() {
        let text = "x".repeat(1_000);
        let texts: Vec<&str> = (0..1_000).map(|_| text.as_str()).collect();
        let mut rows = ResultRows::default();
        let cut = rows.extend(&batch(&texts), &format(), &QueryLimits::default());
        assert_eq!(cut.unwrap(), None);
        assert!(rows.pieces().len() > 10);
        assert_eq!(rows.bytes(), rows.pieces().concat().len());
        assert_eq!(rows.values().len(), 1_000);
    }
}
