//! Functions that give one of their arguments, each evaluated once: an
//! operand that stood in the plan twice would, nested, stand there 2^depth
//! times.

use super::guard;
use super::native::{Args, Texts};
use arrow::array::{Array, ArrayRef, BooleanArray, Datum, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and_kleene, cast, is_not_null, nullif};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::Result;
use std::sync::Arc;

/// The first argument that is not NULL.
pub(super) fn first_value(args: &Args<'_>) -> Result<ArrayRef> {
    if args.returns() == &DataType::Utf8 {
        let texts = texts(args)?;
        return args.texts(|row| {
            let found = texts.iter().find(|text| !text.is_null(row));
            Ok(found.map(|text| text.value(row)))
        });
    }
    let mut result = new_null_array(args.returns(), args.rows());
    for at in (0..args.len()).rev() {
        guard::check()?;
        let next = args.array(at)?;
        result = zip(&is_not_null(next)?, next, &result)?;
    }
    Ok(result)
}

/// The largest argument, NULL if any is.
pub(super) fn largest(args: &Args<'_>) -> Result<ArrayRef> {
    if args.returns() == &DataType::Utf8 {
        return extreme_text(args, |texts| texts.max());
    }
    extreme(args, cmp::gt_eq)
}

/// The smallest argument, NULL if any is.
pub(super) fn smallest(args: &Args<'_>) -> Result<ArrayRef> {
    if args.returns() == &DataType::Utf8 {
        return extreme_text(args, |texts| texts.min());
    }
    extreme(args, cmp::lt_eq)
}

type Compare = fn(&dyn Datum, &dyn Datum) -> std::result::Result<BooleanArray, ArrowError>;

fn extreme(args: &Args<'_>, better: Compare) -> Result<ArrayRef> {
    let mut best = args.array(0)?.clone();
    let mut nulls = best.logical_nulls();
    for at in 1..args.len() {
        guard::check()?;
        let next = args.array(at)?;
        nulls = NullBuffer::union(nulls.as_ref(), next.logical_nulls().as_ref());
        best = zip(&better(&best, next)?, &best, next)?;
    }
    match nulls {
        Some(nulls) => {
            let missing = BooleanArray::new(!nulls.inner(), None);
            Ok(nullif(&best, &missing)?)
        }
        None => Ok(best),
    }
}

fn extreme_text(
    args: &Args<'_>,
    pick: for<'a> fn(&mut dyn Iterator<Item = &'a str>) -> Option<&'a str>,
) -> Result<ArrayRef> {
    let texts = texts(args)?;
    args.texts(|row| Ok(pick(&mut texts.iter().map(|text| text.value(row)))))
}

fn texts<'a>(args: &Args<'a>) -> Result<Vec<Texts<'a>>> {
    (0..args.len()).map(|at| args.text(at)).collect()
}

/// The first argument, NULL where it equals the second, whose type is the
/// same or one that numbers are widened to.
pub(super) fn unless_equal(args: &Args<'_>) -> Result<ArrayRef> {
    if args.returns() == &DataType::Utf8 {
        let (a, b) = (args.text(0)?, args.text(1)?);
        return args.texts(|row| {
            let equal = !b.is_null(row) && a.value(row) == b.value(row);
            Ok((!a.is_null(row) && !equal).then(|| a.value(row)))
        });
    }
    let (a, b) = (args.array(0)?, args.array(1)?);
    let equal = cmp::eq(&cast(a, b.data_type())?, b)?;
    Ok(nullif(a, &equal)?)
}

/// Whether the first argument is between the second and the third, all of one
/// type.
pub(super) fn between(args: &Args<'_>) -> Result<ArrayRef> {
    if args.array(0)?.data_type() == &DataType::Utf8 {
        return between_texts(args);
    }
    let (value, low, high) = (args.array(0)?, args.array(1)?, args.array(2)?);
    let (from, to) = (cmp::gt_eq(value, low)?, cmp::lt_eq(value, high)?);
    Ok(Arc::new(and_kleene(&from, &to)?))
}

fn between_texts(args: &Args<'_>) -> Result<ArrayRef> {
    let (value, low, high) = (args.text(0)?, args.text(1)?, args.text(2)?);
    args.bools(|row| {
        let compared = |bound: Texts<'_>, fits: fn(&str, &str) -> bool| {
            let known = !value.is_null(row) && !bound.is_null(row);
            known.then(|| fits(value.value(row), bound.value(row)))
        };
        let from = compared(low, |value, low| value >= low);
        let to = compared(high, |value, high| value <= high);
        Ok(match (from, to) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        })
    })
}
