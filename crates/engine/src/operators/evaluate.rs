//! Expressions over batches, with the rows on which they fail set aside.

use super::{Context, ErrorPolicy, OperatorError};
use crate::batch::Batch;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use millstream_sql::error::runtime_message;
use millstream_sql::functions::guard::{Guard, GuardError, HELD_BYTES_MAX};
use std::sync::Arc;

type Expressions<'a> = &'a [Arc<dyn PhysicalExpr>];

/// Evaluates all expressions, whose columns have these names, if any. Rows on
/// which one fails are reported in `context` and left out of the batch that is
/// given back.
///
/// Functions may hold [`HELD_BYTES_MAX`] meanwhile. Rows that need more only
/// together give [`OperatorError::TooLarge`], and nothing is reported then:
/// they are to be evaluated in parts.
pub(crate) fn evaluate(
    stage: &str,
    expressions: Expressions,
    names: &[&str],
    batch: Batch,
    context: &mut Context,
) -> Result<(Batch, Vec<ArrayRef>), OperatorError> {
    Guard::nested(HELD_BYTES_MAX)
        .scope(|| evaluate_within(stage, expressions, names, batch, context))
}

fn evaluate_within(
    stage: &str,
    expressions: Expressions,
    names: &[&str],
    batch: Batch,
    context: &mut Context,
) -> Result<(Batch, Vec<ArrayRef>), OperatorError> {
    let error = match columns(expressions, &batch.rows) {
        Ok(columns) => return Ok((batch, columns)),
        Err(error) => error,
    };
    stop_for(&error, names, batch.len())?;
    if context.policy == ErrorPolicy::Fail {
        return Err(OperatorError::Row {
            operator: stage.to_owned(),
            reason: reason_of(&error, names),
        });
    }
    let mut bad = Vec::new();
    find_bad_rows(expressions, names, &batch.rows, 0, &mut bad)?;
    let mut keep = vec![true; batch.len()];
    for (row, _) in &bad {
        if let Some(keep) = keep.get_mut(*row) {
            *keep = false;
        }
    }
    let kept = batch.filter(&BooleanArray::from(keep))?;
    let columns = match columns(expressions, &kept.rows) {
        Ok(columns) => columns,
        Err(error) => {
            stop_for(&error, names, kept.len())?;
            return Err(error.1.into());
        }
    };
    for (row, reason) in bad {
        context.set_aside(stage, &batch, row, reason)?;
    }
    Ok((kept, columns))
}

/// Errors that are not those of a row among `rows`.
fn stop_for(error: &ColumnError, names: &[&str], rows: usize) -> Result<(), OperatorError> {
    match GuardError::of(&error.1) {
        Some(ended @ (GuardError::Cancelled | GuardError::TooLong(_))) => {
            Err(OperatorError::Ended(ended.clone()))
        }
        Some(GuardError::TooLarge { .. }) if rows > 1 => {
            Err(OperatorError::TooLarge(reason_of(error, names)))
        }
        _ => Ok(()),
    }
}

/// Which expression failed, and how.
type ColumnError = (usize, DataFusionError);

fn columns(expressions: Expressions, rows: &RecordBatch) -> Result<Vec<ArrayRef>, ColumnError> {
    expressions
        .iter()
        .enumerate()
        .map(|(index, expression)| {
            let value = expression.evaluate(rows);
            value
                .and_then(|value| value.into_array(rows.num_rows()))
                .map_err(|error| (index, error))
        })
        .collect()
}

/// Halves until the failing rows stand alone: a handful of bad rows in a
/// large batch costs a handful of evaluations for each halving.
fn find_bad_rows(
    expressions: Expressions,
    names: &[&str],
    rows: &RecordBatch,
    first: usize,
    bad: &mut Vec<(usize, String)>,
) -> Result<(), OperatorError> {
    let error = match columns(expressions, rows) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    stop_for(&error, names, 1)?;
    if rows.num_rows() <= 1 {
        bad.push((first, reason_of(&error, names)));
        return Ok(());
    }
    let half = rows.num_rows() / 2;
    find_bad_rows(expressions, names, &rows.slice(0, half), first, bad)?;
    let rest = rows.slice(half, rows.num_rows() - half);
    find_bad_rows(expressions, names, &rest, first + half, bad)
}

/// The error in the words of the expression, and which column it is of.
fn reason_of((column, error): &ColumnError, names: &[&str]) -> String {
    let message = runtime_message(error);
    match names.get(*column) {
        Some(name) if !message.contains(&format!("'{name}'")) => {
            format!("column '{name}': {message}")
        }
        _ => message,
    }
}
