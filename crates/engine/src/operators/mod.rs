//! Operators: one file each. Rows and watermarks are pushed through them, an
//! epoch's barrier takes their state changes out.
//!
//! Invariants: an operator does no I/O and reads no clock; what it does
//! depends only on what was pushed into it, in order. After `restore` of all
//! deltas of committed epochs it is what it was at the last barrier.

pub mod chain;
pub mod filter;
pub mod project;
pub mod sink;
pub mod window_aggregate;

pub(crate) mod evaluate;
mod late;
mod window_state;

pub use chain::Chain;
pub use late::LateRows;

use crate::batch::Batch;
use crate::dead_letters::row_text;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use millstream_sql::functions::guard::GuardError;

/// Event time before the first watermark.
pub const WATERMARK_NONE: i64 = i64::MIN;
/// Event time at the end of bounded input (Flink: `Watermark.MAX_WATERMARK`).
pub const WATERMARK_END: i64 = i64::MAX;

/// Why an operator cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// An expression failed on a row, and the job's policy is to stop.
    #[error("{operator}: {reason}")]
    Row {
        /// Which operator.
        operator: String,
        /// The expression's own words.
        reason: String,
    },
    /// What functions make of these rows together is more than may be held at
    /// a time; nothing has been done with them.
    #[error("{0}")]
    TooLarge(String),
    /// The evaluation was to end before it was done.
    #[error(transparent)]
    Ended(GuardError),
    /// An expression or accumulator failed as such.
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
    /// Arrow.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The stored state is not that of this plan.
    #[error("the stored state does not fit the statement: {0}")]
    State(String),
    /// The plan asks for what this operator cannot do.
    #[error("{0}")]
    Unsupported(String),
}

/// What to do with a row on which an expression fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorPolicy {
    /// The source record goes to the dead-letter topic, the job goes on.
    #[default]
    DeadLetter,
    /// The job fails.
    Fail,
}

/// A source record on which an expression failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// Index of the record in the chunk.
    pub origin: u32,
    /// Which operator.
    pub stage: String,
    /// Why.
    pub reason: String,
}

/// A row on which an expression failed and which no one record made: one
/// that an aggregation gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// The row, as JSON.
    pub row: String,
    /// Which operator.
    pub stage: String,
    /// Why.
    pub reason: String,
}

/// What operators leave behind besides rows.
#[derive(Debug, Default)]
pub struct Context {
    /// What to do with failing rows.
    pub policy: ErrorPolicy,
    /// Records to be put into the dead-letter topic.
    pub failures: Vec<RowFailure>,
    /// Rows to be put there that have no record.
    pub failed_rows: Vec<FailedRow>,
    /// Rows whose window had fired.
    pub late: Vec<LateRows>,
}

impl Context {
    /// Sets a row of `batch` aside with its reason, as the policy says.
    pub(crate) fn set_aside(
        &mut self,
        stage: &str,
        batch: &Batch,
        row: usize,
        reason: String,
    ) -> Result<(), OperatorError> {
        if self.policy == ErrorPolicy::Fail {
            return Err(OperatorError::Row {
                operator: stage.to_owned(),
                reason,
            });
        }
        let stage = stage.to_owned();
        match batch.origins.as_ref().and_then(|origins| origins.get(row)) {
            Some(origin) => self.failures.push(RowFailure {
                origin: *origin,
                stage,
                reason,
            }),
            None => self.failed_rows.push(FailedRow {
                row: row_text(&batch.rows, row),
                stage,
                reason,
            }),
        }
        Ok(())
    }
}

/// What an operator is, for the job's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorInfo {
    /// `project`, `filter`, `window`, ...
    pub kind: &'static str,
    /// One line.
    pub label: String,
    /// A second one.
    pub detail: String,
}

/// A step of a job.
pub trait Operator: Send {
    /// What it is.
    fn info(&self) -> OperatorInfo;

    /// Takes rows, gives rows.
    fn on_batch(
        &mut self,
        batch: Batch,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError>;

    /// Event time has reached `watermark_ms`; never goes back. Rows that this
    /// sets free come out before the watermark goes on.
    fn on_watermark(
        &mut self,
        watermark_ms: i64,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        let _ = (watermark_ms, context);
        Ok(Vec::new())
    }

    /// Whether it keeps anything from one epoch to the next.
    fn has_state(&self) -> bool {
        false
    }

    /// The barrier: what has changed in the state since the last one.
    fn take_delta(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        Ok(Vec::new())
    }

    /// The whole state as one delta over nothing. Called after
    /// [`Operator::take_delta`].
    fn snapshot(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        Ok(Vec::new())
    }

    /// Forgets all state.
    fn reset(&mut self) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Merges a delta, or a snapshot after a reset.
    fn restore(&mut self, delta: RecordBatch) -> Result<(), OperatorError> {
        Err(OperatorError::State(format!(
            "{} rows for an operator that keeps none",
            delta.num_rows()
        )))
    }

    /// All deltas are in; this was the watermark at the last barrier.
    fn restored(&mut self, watermark_ms: i64) -> Result<(), OperatorError> {
        let _ = watermark_ms;
        Ok(())
    }

    /// Memory that the state takes.
    fn state_bytes(&self) -> usize {
        0
    }
}
