//! The window of a row: pure functions of its time.

use super::native::{Args, Native, Nulls, Params};
use crate::plan::WindowSpec;
use crate::types;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;

/// Name of the function behind `window_start`.
pub(crate) const WINDOW_START: &str = "$WINDOW_START";
/// Name of the function behind `window_end`.
pub(crate) const WINDOW_END: &str = "$WINDOW_END";
/// Name of the function behind `window_time`.
pub(crate) const WINDOW_TIME: &str = "$WINDOW_TIME";

/// The expressions of window_start, window_end and window_time.
pub(crate) fn columns(time: &Expr, time_type: &DataType, window: WindowSpec) -> [Expr; 3] {
    let WindowSpec::Tumble { size_ms, offset_ms } = window;
    let returns = match time_type {
        DataType::Timestamp(_, Some(_)) => types::timestamp_ltz(3),
        _ => types::timestamp(3),
    };
    let column = |name, body| {
        let params = Params {
            numbers: vec![size_ms, offset_ms],
            ..Params::default()
        };
        Native::call(
            name,
            body,
            returns.clone(),
            Nulls::Strict,
            params,
            vec![time.clone()],
        )
    };
    [
        column(WINDOW_START, start),
        column(WINDOW_END, end),
        column(WINDOW_TIME, window_time),
    ]
}

/// The window that one of these columns belongs to, and its time argument.
pub(crate) fn parts(expr: &Expr) -> Option<(&'static str, WindowSpec, &Expr)> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let native = call.func.inner().as_any().downcast_ref::<Native>()?;
    let name = native.function_name();
    if ![WINDOW_START, WINDOW_END, WINDOW_TIME].contains(&name) {
        return None;
    }
    match native.params().numbers.as_slice() {
        [size_ms, offset_ms] => Some((
            name,
            WindowSpec::Tumble {
                size_ms: *size_ms,
                offset_ms: *offset_ms,
            },
            call.args.first()?,
        )),
        _ => None,
    }
}

fn start(args: &Args<'_>) -> Result<ArrayRef> {
    from_start(args, |start, _| start)
}

fn end(args: &Args<'_>) -> Result<ArrayRef> {
    from_start(args, |start, size| start.saturating_add(size))
}

fn window_time(args: &Args<'_>) -> Result<ArrayRef> {
    from_start(args, |start, size| start.saturating_add(size - 1))
}

fn from_start(args: &Args<'_>, pick: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let (size, offset) = match args.params().numbers.as_slice() {
        [size, offset] => (*size, *offset),
        _ => return datafusion::common::internal_err!("a window without a size"),
    };
    let unit = match args.array(0)?.data_type() {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Millisecond,
    };
    let values = args.instant_values(0)?;
    args.instants(|row| {
        let value = values.value(row);
        let ms = match unit {
            TimeUnit::Second => value.saturating_mul(1000),
            TimeUnit::Millisecond => value,
            TimeUnit::Microsecond => value.div_euclid(1_000),
            TimeUnit::Nanosecond => value.div_euclid(1_000_000),
        };
        let start = ms.saturating_sub(ms.saturating_sub(offset).rem_euclid(size));
        Ok(Some(pick(start, size)))
    })
}
