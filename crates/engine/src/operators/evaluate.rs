//! Expressions over batches, with the rows on which they fail set aside.

use super::{Context, ErrorPolicy, OperatorError};
use crate::batch::Batch;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

type Expressions<'a> = &'a [Arc<dyn PhysicalExpr>];

/// Evaluates all expressions. Rows on which one fails are reported in
/// `context` and left out of the batch that is given back.
pub(crate) fn evaluate(
    stage: &str,
    expressions: Expressions,
    batch: Batch,
    context: &mut Context,
) -> Result<(Batch, Vec<ArrayRef>), OperatorError> {
    let error = match columns(expressions, &batch.rows) {
        Ok(columns) => return Ok((batch, columns)),
        Err(error) => error,
    };
    if context.policy == ErrorPolicy::Fail {
        return Err(OperatorError::Row {
            operator: stage.to_owned(),
            reason: reason_of(&error),
        });
    }
    let mut bad = Vec::new();
    find_bad_rows(expressions, &batch.rows, 0, &mut bad);
    let mut keep = vec![true; batch.len()];
    for (row, reason) in bad {
        keep[row] = false;
        context.set_aside(stage, &batch, row, reason)?;
    }
    let batch = batch.filter(&BooleanArray::from(keep))?;
    let columns = columns(expressions, &batch.rows)?;
    Ok((batch, columns))
}

fn columns(expressions: Expressions, rows: &RecordBatch) -> Result<Vec<ArrayRef>, DataFusionError> {
    expressions
        .iter()
        .map(|e| e.evaluate(rows)?.into_array(rows.num_rows()))
        .collect()
}

/// Halves until the failing rows stand alone: a handful of bad rows in a
/// large batch costs a handful of evaluations for each halving.
fn find_bad_rows(
    expressions: Expressions,
    rows: &RecordBatch,
    first: usize,
    bad: &mut Vec<(usize, String)>,
) {
    let error = match columns(expressions, rows) {
        Ok(_) => return,
        Err(error) => error,
    };
    if rows.num_rows() <= 1 {
        bad.push((first, reason_of(&error)));
        return;
    }
    let half = rows.num_rows() / 2;
    find_bad_rows(expressions, &rows.slice(0, half), first, bad);
    let rest = rows.slice(half, rows.num_rows() - half);
    find_bad_rows(expressions, &rest, first + half, bad);
}

/// The error in the words of the expression, without DataFusion's back trace.
pub(crate) fn reason_of(error: &DataFusionError) -> String {
    error.strip_backtrace()
}
