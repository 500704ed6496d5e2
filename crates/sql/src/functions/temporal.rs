//! Dates and times (Flink: System Functions, Temporal Functions). Parts of an
//! instant are those of its local time in the session's zone.

use super::call::Call;
use super::datetime;
use super::java_date::Pattern;
use super::native::{Args, Native, Nulls, Params};
use super::{cast, clock};
use crate::error::SqlError;
use crate::planner::value::Family;
use crate::types;
use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, Date32Type, Int32Type, TimeUnit};
use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, Timelike};
use datafusion::common::{Result as DfResult, exec_err};
use datafusion::logical_expr::Expr;
use std::sync::Arc;

type Result<T> = std::result::Result<T, SqlError>;

/// The pattern where none is given.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// The argument as local date, time or timestamp; text if that is allowed.
fn local(call: &Call<'_>, at: usize, with_text: bool) -> Result<Expr> {
    let arg = call.arg(at)?.clone();
    match call.family(at)? {
        Family::Date | Family::Time | Family::Timestamp => Ok(arg.expr),
        Family::TimestampLtz => {
            let from = arg.data_type().clone();
            cast::to_local(arg.expr, &from, call.session.time_zone)
                .ok_or_else(|| call.wrong(at, "a date or time"))
        }
        Family::Text if with_text => call.convert(arg, &types::timestamp(3)),
        Family::Null => super::call::null(&types::timestamp(3)),
        _ => Err(call.wrong(at, "DATE, TIMESTAMP or TIMESTAMP_LTZ")),
    }
}

/// The date and time of each row of an argument.
struct Times<'a> {
    array: &'a ArrayRef,
    values: arrow::array::Int64Array,
}

impl<'a> Times<'a> {
    fn new(args: &Args<'a>, at: usize) -> DfResult<Self> {
        let array = args.array(at)?;
        let values = match array.data_type() {
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>();
                days.unary(|d| i64::from(d) * 86_400_000)
            }
            DataType::Time32(_) => {
                let ms = arrow::compute::cast(array, &DataType::Int32)?;
                ms.as_primitive::<Int32Type>().unary(i64::from)
            }
            DataType::Timestamp(..) => args.instant_values(at)?,
            other => return exec_err!("{other} is no date or time"),
        };
        Ok(Self { array, values })
    }

    fn unit(&self) -> TimeUnit {
        match self.array.data_type() {
            DataType::Timestamp(unit, _) => *unit,
            _ => TimeUnit::Millisecond,
        }
    }

    fn get(&self, row: usize) -> Option<NaiveDateTime> {
        datetime::date_time(self.values.value(row), self.unit())
    }
}

fn part(call: &mut Call<'_>, unit: &str) -> Result<Expr> {
    let at = call.args.len() - 1;
    if part_of(unit).is_none() {
        return Err(call
            .error(format!("EXTRACT({unit} FROM ...) is not supported"))
            .hint("use YEAR, QUARTER, MONTH, WEEK, DAY, DOY, DOW, HOUR, MINUTE or SECOND"));
    }
    let is_day_part = matches!(unit, "HOUR" | "MINUTE" | "SECOND");
    if call.family(at)? == Family::Time && !is_day_part {
        return Err(call.wrong(at, "a DATE or TIMESTAMP"));
    }
    let params = call.params_with(unit);
    let args = vec![local(call, at, false)?];
    Ok(Native::call(
        "EXTRACT",
        extract_part,
        DataType::Int64,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

fn part_of(unit: &str) -> Option<fn(NaiveDateTime) -> i64> {
    Some(match unit {
        "YEAR" => |t| i64::from(t.year()),
        "QUARTER" => |t| i64::from(t.month0() / 3 + 1),
        "MONTH" => |t| i64::from(t.month()),
        "WEEK" => |t| i64::from(t.iso_week().week()),
        "DAY" => |t| i64::from(t.day()),
        "DOY" => |t| i64::from(t.ordinal()),
        // Flink: 1 is Sunday.
        "DOW" => |t| i64::from(t.weekday().number_from_sunday()),
        "HOUR" => |t| i64::from(t.hour()),
        "MINUTE" => |t| i64::from(t.minute()),
        "SECOND" => |t| i64::from(t.second()),
        _ => return None,
    })
}

fn extract_part(args: &Args<'_>) -> DfResult<ArrayRef> {
    let times = Times::new(args, 0)?;
    let Some(pick) = part_of(&args.params().text) else {
        return exec_err!("there is no part {}", args.params().text);
    };
    args.bigints(|row| Ok(times.get(row).map(pick)))
}

pub(crate) fn extract(call: &mut Call<'_>) -> Result<Expr> {
    let unit = call.literal_text(0, "a unit")?.to_ascii_uppercase();
    part(call, &unit)
}

macro_rules! part_function {
    ($($name:ident => $unit:literal),+ $(,)?) => {
        $(pub(crate) fn $name(call: &mut Call<'_>) -> Result<Expr> {
            part(call, $unit)
        })+
    };
}

part_function! {
    year => "YEAR",
    quarter => "QUARTER",
    month => "MONTH",
    week => "WEEK",
    day_of_year => "DOY",
    day_of_month => "DAY",
    day_of_week => "DOW",
    hour => "HOUR",
    minute => "MINUTE",
    second => "SECOND",
}

/// `FLOOR(ts TO unit)` and `CEIL(ts TO unit)`.
pub(crate) fn round_to_unit(call: &mut Call<'_>, up: bool) -> Result<Expr> {
    let usage = format!("it is used as {0}(x) or {0}(ts TO HOUR)", call.name);
    if call.args.len() < 2 {
        return Err(call.wrong(0, "a number").hint(usage));
    }
    let unit = call.literal_text(1, "a unit")?.to_ascii_uppercase();
    let family = call.family(0)?;
    if !matches!(
        family,
        Family::Date | Family::Timestamp | Family::TimestampLtz
    ) {
        return Err(call.wrong(0, "DATE, TIMESTAMP or TIMESTAMP_LTZ"));
    }
    let known = matches!(
        unit.as_str(),
        "YEAR" | "QUARTER" | "MONTH" | "DAY" | "HOUR" | "MINUTE" | "SECOND"
    );
    if !known {
        return Err(call
            .error(format!("{} TO {unit} is not supported", call.name))
            .hint("use YEAR, QUARTER, MONTH, DAY, HOUR, MINUTE or SECOND"));
    }
    let value = call.arg(0)?.clone();
    let returns = value.data_type().clone();
    let params = Params {
        numbers: vec![i64::from(up)],
        ..call.params_with(unit)
    };
    Ok(Native::call(
        "ROUND_TIME",
        round_time,
        returns,
        Nulls::StrictAndMore,
        params,
        vec![value.expr],
    ))
}

fn round_time(args: &Args<'_>) -> DfResult<ArrayRef> {
    let times = Times::new(args, 0)?;
    let up = args.params().numbers.first() == Some(&1);
    let (unit, zone) = (times.unit(), args.params().zone);
    let with_zone = matches!(args.returns(), DataType::Timestamp(_, Some(_)));
    let round = |value: i64| -> Option<i64> {
        let local = if with_zone {
            datetime::local_of_instant(value, unit, zone)?
        } else {
            value
        };
        let time = datetime::date_time(local, unit)?;
        let mut rounded = floor_to(time, &args.params().text)?;
        if up && rounded != time {
            rounded = next(rounded, &args.params().text)?;
        }
        let rounded = datetime::count(rounded, unit)?;
        if with_zone {
            datetime::instant_of_local(rounded, unit, zone)
        } else {
            Some(rounded)
        }
    };
    if args.returns() == &DataType::Date32 {
        let days = args.build(|row| {
            let ms = round(times.values.value(row));
            Ok(ms.and_then(|ms| i32::try_from(ms.div_euclid(86_400_000)).ok()))
        })?;
        return Ok(Arc::new(Date32Array::from(days)));
    }
    args.instants(|row| Ok(round(times.values.value(row))))
}

fn floor_to(time: NaiveDateTime, unit: &str) -> Option<NaiveDateTime> {
    let date = time.date();
    match unit {
        "YEAR" => NaiveDate::from_ymd_opt(date.year(), 1, 1)?.and_hms_opt(0, 0, 0),
        "QUARTER" => {
            NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1)?.and_hms_opt(0, 0, 0)
        }
        "MONTH" => date.with_day(1)?.and_hms_opt(0, 0, 0),
        "DAY" => date.and_hms_opt(0, 0, 0),
        "HOUR" => date.and_hms_opt(time.hour(), 0, 0),
        "MINUTE" => date.and_hms_opt(time.hour(), time.minute(), 0),
        _ => date.and_hms_opt(time.hour(), time.minute(), time.second()),
    }
}

fn next(time: NaiveDateTime, unit: &str) -> Option<NaiveDateTime> {
    match unit {
        "YEAR" => time.checked_add_months(Months::new(12)),
        "QUARTER" => time.checked_add_months(Months::new(3)),
        "MONTH" => time.checked_add_months(Months::new(1)),
        _ => time.checked_add_signed(chrono::Duration::milliseconds(unit_ms(unit)?)),
    }
}

fn unit_ms(unit: &str) -> Option<i64> {
    Some(match unit {
        "WEEK" => 7 * 86_400_000,
        "DAY" => 86_400_000,
        "HOUR" => 3_600_000,
        "MINUTE" => 60_000,
        "SECOND" => 1_000,
        _ => return None,
    })
}

/// The literal pattern at this place, checked; the default if there is none.
fn pattern(call: &Call<'_>, at: usize) -> Result<String> {
    if call.args.len() <= at {
        return Ok(DEFAULT_PATTERN.to_owned());
    }
    let text = call.literal_text(at, "a pattern like 'yyyy-MM-dd'")?;
    Pattern::parse(&text).map_err(|reason| {
        let place = call.places.get(at).copied().unwrap_or(call.position);
        SqlError::at(place, reason)
            .hint("use letters of y M d D E a H h m s S, and 'text' in quotes")
    })?;
    Ok(text)
}

fn planned(args: &Args<'_>) -> DfResult<Pattern> {
    match Pattern::parse(&args.params().text) {
        Ok(pattern) => Ok(pattern),
        Err(reason) => exec_err!("{reason}"),
    }
}

pub(crate) fn date_format(call: &mut Call<'_>) -> Result<Expr> {
    let params = call.params_with(pattern(call, 1)?);
    let body = |args: &Args<'_>| {
        let (times, pattern) = (Times::new(args, 0)?, planned(args)?);
        args.texts(|row| Ok(times.get(row).map(|t| pattern.format(t))))
    };
    let args = vec![local(call, 0, true)?];
    Ok(Native::call(
        "DATE_FORMAT",
        body,
        DataType::Utf8,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

/// Reads text by the given pattern, or by Flink's own rules without one.
fn reader(args: &Args<'_>) -> DfResult<Option<Pattern>> {
    if args.params().text.is_empty() {
        return Ok(None);
    }
    planned(args).map(Some)
}

fn reading(call: &Call<'_>) -> Result<Params> {
    if call.args.len() > 1 {
        return Ok(call.params_with(pattern(call, 1)?));
    }
    Ok(call.params())
}

pub(crate) fn to_date(call: &mut Call<'_>) -> Result<Expr> {
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (text, pattern) = (args.text(0)?, reader(args)?);
        let days = args.build(|row| {
            let text = text.value(row).trim();
            Ok(match &pattern {
                None => datetime::parse_date(text),
                Some(pattern) => pattern.read(text).map(|t| datetime::days(t.date())),
            })
        })?;
        Ok(Arc::new(Date32Array::from(days)))
    };
    let args = vec![call.text(0)?];
    Ok(Native::call(
        "TO_DATE",
        body,
        DataType::Date32,
        Nulls::StrictAndMore,
        reading(call)?,
        args,
    ))
}

pub(crate) fn to_timestamp(call: &mut Call<'_>) -> Result<Expr> {
    if call.family(0)?.is_numeric() {
        return Err(call
            .wrong(0, "STRING")
            .hint("use TO_TIMESTAMP_LTZ(number, 0) for seconds, (number, 3) for milliseconds"));
    }
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (text, pattern) = (args.text(0)?, reader(args)?);
        args.instants(|row| {
            let text = text.value(row).trim();
            Ok(match &pattern {
                None => datetime::parse_timestamp(text, TimeUnit::Millisecond),
                Some(pattern) => pattern
                    .read(text)
                    .and_then(|t| datetime::count(t, TimeUnit::Millisecond)),
            })
        })
    };
    let returns = types::timestamp(3);
    let args = vec![call.text(0)?];
    Ok(Native::call(
        "TO_TIMESTAMP",
        body,
        returns,
        Nulls::StrictAndMore,
        reading(call)?,
        args,
    ))
}

pub(crate) fn to_timestamp_ltz(call: &mut Call<'_>) -> Result<Expr> {
    let digits = if call.args.len() > 1 {
        let digits = call
            .arg(1)?
            .literal_integer()
            .filter(|d| matches!(d, 0 | 3));
        digits.ok_or_else(|| call.wrong(1, "0 (seconds) or 3 (milliseconds)"))?
    } else {
        3
    };
    let params = Params {
        numbers: vec![if digits == 0 { 1000 } else { 1 }],
        ..Params::default()
    };
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let value = args.bigint(0)?;
        let scale = args.params().numbers.first().copied().unwrap_or(1);
        args.instants(|row| Ok(value.value(row).checked_mul(scale)))
    };
    let args = vec![call.bigint(0)?];
    Ok(Native::call(
        "TO_TIMESTAMP_LTZ",
        body,
        types::timestamp_ltz(3),
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

pub(crate) fn unix_timestamp(call: &mut Call<'_>) -> Result<Expr> {
    if call.args.is_empty() {
        return Ok(clock::unix_now(call));
    }
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (text, pattern) = (args.text(0)?, reader(args)?);
        let (unit, zone) = (TimeUnit::Second, args.params().zone);
        args.bigints(|row| {
            let text = text.value(row).trim();
            let local = match &pattern {
                None => datetime::parse_timestamp(text, unit),
                Some(pattern) => pattern.read(text).and_then(|t| datetime::count(t, unit)),
            };
            // Flink: DateTimeUtils.unixTimestamp gives Long.MIN_VALUE for
            // what is no time.
            let instant = local.and_then(|l| datetime::instant_of_local(l, unit, zone));
            Ok(Some(instant.unwrap_or(i64::MIN)))
        })
    };
    let args = vec![call.text(0)?];
    Ok(Native::call(
        "UNIX_TIMESTAMP",
        body,
        DataType::Int64,
        Nulls::Strict,
        reading(call)?,
        args,
    ))
}

pub(crate) fn from_unixtime(call: &mut Call<'_>) -> Result<Expr> {
    let params = call.params_with(pattern(call, 1)?);
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (seconds, pattern) = (args.bigint(0)?, planned(args)?);
        args.texts(|row| {
            let local = datetime::local_of_instant(
                seconds.value(row),
                TimeUnit::Second,
                args.params().zone,
            );
            let time = local.and_then(|l| datetime::date_time(l, TimeUnit::Second));
            Ok(time.map(|t| pattern.format(t)))
        })
    };
    let args = vec![call.bigint(0)?];
    Ok(Native::call(
        "FROM_UNIXTIME",
        body,
        DataType::Utf8,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

fn unit_of(call: &Call<'_>) -> Result<String> {
    let unit = call.literal_text(0, "a unit")?;
    let unit = unit.trim_start_matches("SQL_TSI_").to_owned();
    if matches!(unit.as_str(), "YEAR" | "QUARTER" | "MONTH") || unit_ms(&unit).is_some() {
        return Ok(unit);
    }
    Err(call
        .error(format!("{} has no unit {unit}", call.name))
        .hint("use SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR"))
}

pub(crate) fn timestamp_diff(call: &mut Call<'_>) -> Result<Expr> {
    let params = call.params_with(unit_of(call)?);
    let args = vec![local(call, 1, true)?, local(call, 2, true)?];
    Ok(Native::call(
        "TIMESTAMPDIFF",
        difference,
        DataType::Int32,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

fn difference(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (from, to) = (Times::new(args, 0)?, Times::new(args, 1)?);
    let unit = args.params().text.as_str();
    args.ints(|row| {
        let (Some(from), Some(to)) = (from.get(row), to.get(row)) else {
            return Ok(None);
        };
        let count = match unit_ms(unit) {
            Some(unit_ms) => to.signed_duration_since(from).num_milliseconds() / unit_ms,
            None => {
                let months = whole_months(from, to);
                match unit {
                    "YEAR" => months / 12,
                    "QUARTER" => months / 3,
                    _ => months,
                }
            }
        };
        Ok(i32::try_from(count).ok())
    })
}

/// Calcite's `DateTimeUtils.subtractMonths`: the most months that can be added
/// to `from` without passing `to`, where adding stops at a month's last day.
fn whole_months(from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    let (days, reached) = if to.date() < from.date() {
        let months = months_up_to(to.date(), from.date());
        (-months, from.date().checked_sub_months(size(months)))
    } else {
        let months = months_up_to(from.date(), to.date());
        (months, from.date().checked_add_months(size(months)))
    };
    let short = reached == Some(to.date()) && to.time() < from.time();
    days - i64::from(short)
}

/// `from` is not after `to`.
fn months_up_to(from: NaiveDate, to: NaiveDate) -> i64 {
    let of = |d: NaiveDate| i64::from(d.year()) * 12 + i64::from(d.month0());
    let months = of(to) - of(from);
    match from.checked_add_months(size(months)) {
        Some(reached) if reached > to => months - 1,
        _ => months,
    }
}

fn size(months: i64) -> Months {
    Months::new(u32::try_from(months).unwrap_or(0))
}

pub(crate) fn timestamp_add(call: &mut Call<'_>) -> Result<Expr> {
    let unit = unit_of(call)?;
    let value = call.arg(2)?.clone();
    let returns = match call.family(2)? {
        Family::Timestamp | Family::TimestampLtz => value.data_type().clone(),
        Family::Date if !matches!(unit.as_str(), "HOUR" | "MINUTE" | "SECOND") => DataType::Date32,
        Family::Date => types::timestamp(3),
        _ => return Err(call.wrong(2, "DATE, TIMESTAMP or TIMESTAMP_LTZ")),
    };
    let params = call.params_with(unit);
    let args = vec![call.bigint(1)?, value.expr];
    Ok(Native::call(
        "TIMESTAMPADD",
        later,
        returns,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

fn later(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (count, times) = (args.bigint(0)?, Times::new(args, 1)?);
    let unit = args.params().text.as_str();
    let result_unit = match args.returns() {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Millisecond,
    };
    let add = |row: usize| -> Option<i64> {
        let time = times.get(row)?;
        let count = count.value(row);
        let moved = match unit_ms(unit) {
            Some(unit_ms) => {
                let span = chrono::Duration::try_milliseconds(count.checked_mul(unit_ms)?)?;
                time.checked_add_signed(span)?
            }
            None => {
                let a_unit = match unit {
                    "YEAR" => 12,
                    "QUARTER" => 3,
                    _ => 1,
                };
                let months = count.checked_mul(a_unit)?;
                let size = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
                if months >= 0 {
                    time.checked_add_months(size)?
                } else {
                    time.checked_sub_months(size)?
                }
            }
        };
        datetime::count(moved, result_unit)
    };
    if args.returns() == &DataType::Date32 {
        let days = args.build(|row| {
            Ok(add(row).and_then(|ms| i32::try_from(ms.div_euclid(86_400_000)).ok()))
        })?;
        return Ok(Arc::new(Date32Array::from(days)));
    }
    args.instants(|row| Ok(add(row)))
}
