//! The current time (Flink: System Functions, Temporal Functions). Read for
//! each batch of rows; never folded into the plan.

use super::call::Call;
use super::datetime::local_of_instant;
use super::native::{Args, Native, Nulls, Params};
use crate::error::SqlError;
use crate::types;
use arrow::array::{ArrayRef, Date32Array};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use std::sync::Arc;

fn params(call: &Call<'_>) -> Params {
    Params {
        clock: Some(call.session.clock.clone()),
        ..call.params()
    }
}

fn now_ms(args: &Args<'_>) -> i64 {
    args.params()
        .clock
        .as_ref()
        .map_or(0, |clock| clock.now_ms())
}

fn local_ms(args: &Args<'_>) -> i64 {
    let now = now_ms(args);
    local_of_instant(now, TimeUnit::Millisecond, args.params().zone).unwrap_or(now)
}

pub(crate) fn current_timestamp(call: &mut Call<'_>) -> std::result::Result<Expr, SqlError> {
    let body = |args: &Args<'_>| -> Result<ArrayRef> {
        let now = now_ms(args);
        args.instants(|_| Ok(Some(now)))
    };
    let returns = types::timestamp_ltz(3);
    Ok(Native::call(
        "CURRENT_TIMESTAMP",
        body,
        returns,
        Nulls::Never,
        params(call),
        Vec::new(),
    ))
}

pub(crate) fn local_timestamp(call: &mut Call<'_>) -> std::result::Result<Expr, SqlError> {
    let body = |args: &Args<'_>| -> Result<ArrayRef> {
        let now = local_ms(args);
        args.instants(|_| Ok(Some(now)))
    };
    let returns = types::timestamp(3);
    Ok(Native::call(
        "LOCALTIMESTAMP",
        body,
        returns,
        Nulls::Never,
        params(call),
        Vec::new(),
    ))
}

pub(crate) fn current_date(call: &mut Call<'_>) -> std::result::Result<Expr, SqlError> {
    let body = |args: &Args<'_>| -> Result<ArrayRef> {
        let days = local_ms(args).div_euclid(86_400_000);
        let days = i32::try_from(days).unwrap_or(0);
        Ok(Arc::new(Date32Array::from(vec![days; args.rows()])))
    };
    Ok(Native::call(
        "CURRENT_DATE",
        body,
        DataType::Date32,
        Nulls::Never,
        params(call),
        Vec::new(),
    ))
}

/// `UNIX_TIMESTAMP()`: epoch seconds.
pub(crate) fn unix_now(call: &Call<'_>) -> Expr {
    let body = |args: &Args<'_>| -> Result<ArrayRef> {
        let seconds = now_ms(args).div_euclid(1000);
        args.bigints(|_| Ok(Some(seconds)))
    };
    Native::call(
        "UNIX_TIMESTAMP",
        body,
        DataType::Int64,
        Nulls::Never,
        params(call),
        Vec::new(),
    )
}
