//! Division of integers. Java wraps the smallest number by -1, where Arrow
//! fails, and a division by zero is told in our words.

use super::call::native;
use super::native::{Args, Body, Nulls};
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::try_binary;
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::{Expr, Operator};
use std::sync::Arc;

/// `left / right` or `left % right`, both of this integer type.
pub(crate) fn quotient(op: Operator, left: Expr, right: Expr, of: &DataType) -> Expr {
    let (name, body): (_, Body) = match op {
        Operator::Modulo => ("MODULO", rests),
        _ => ("DIVIDE", quotients),
    };
    native(name, body, of.clone(), Nulls::Strict, vec![left, right])
}

/// What is wrong with a divisor of 0, for all exact numbers.
pub(super) fn by_zero() -> DataFusionError {
    DataFusionError::Execution(
        "division by zero; x / NULLIF(y, 0) gives NULL where y is 0".to_owned(),
    )
}

fn quotients(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, Part::Quotient)
}

fn rests(args: &Args<'_>) -> Result<ArrayRef> {
    each(args, Part::Rest)
}

#[derive(Clone, Copy)]
enum Part {
    Quotient,
    Rest,
}

fn each(args: &Args<'_>, part: Part) -> Result<ArrayRef> {
    match args.returns() {
        DataType::Int8 => of::<Int8Type>(args, part, i8::wrapping_div, i8::wrapping_rem),
        DataType::Int16 => of::<Int16Type>(args, part, i16::wrapping_div, i16::wrapping_rem),
        DataType::Int32 => of::<Int32Type>(args, part, i32::wrapping_div, i32::wrapping_rem),
        DataType::Int64 => of::<Int64Type>(args, part, i64::wrapping_div, i64::wrapping_rem),
        other => exec_err!("{other} is no integer"),
    }
}

type Divide<T> = fn(
    <T as ArrowPrimitiveType>::Native,
    <T as ArrowPrimitiveType>::Native,
) -> <T as ArrowPrimitiveType>::Native;

fn of<T: ArrowPrimitiveType>(
    args: &Args<'_>,
    part: Part,
    quotient: Divide<T>,
    rest: Divide<T>,
) -> Result<ArrayRef> {
    let zero = T::Native::default();
    let divide = match part {
        Part::Quotient => quotient,
        Part::Rest => rest,
    };
    let (left, right) = (args.array(0)?, args.array(1)?);
    let result = try_binary::<_, _, _, T>(
        left.as_primitive::<T>(),
        right.as_primitive::<T>(),
        |a, b| {
            if b == zero {
                return Err(ArrowError::DivideByZero);
            }
            Ok(divide(a, b))
        },
    );
    match result {
        Ok(result) => Ok(Arc::new(result)),
        Err(ArrowError::DivideByZero) => Err(by_zero()),
        Err(error) => Err(error.into()),
    }
}
