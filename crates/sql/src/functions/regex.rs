//! Regular expressions. Java's syntax but for back-references and
//! look-around, which are refused: matching time stays linear in the text.

use super::call::Call;
use super::guard;
use super::native::{Args, Native, Nulls};
use super::patterns::{self, Pattern};
use crate::error::SqlError;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::Expr;
use regex::Regex;

type Result<T> = std::result::Result<T, SqlError>;

/// The pattern of the last row, compiled; patterns rarely change from row to
/// row.
#[derive(Default)]
struct Compiled(Option<(String, Pattern)>);

impl Compiled {
    fn get(&mut self, pattern: &str, text: &str) -> DfResult<&Regex> {
        let known = self.0.take().filter(|(last, _)| last == pattern);
        let (_, compiled) = self.0.insert(match known {
            Some(known) => known,
            None => {
                let compiled = patterns::compiled(pattern).map_err(DataFusionError::Execution)?;
                (pattern.to_owned(), compiled)
            }
        });
        compiled.for_text(text).map_err(DataFusionError::Execution)
    }
}

/// A literal pattern is checked now, not at the first row.
fn check(call: &Call<'_>, at: usize) -> Result<()> {
    let Some(pattern) = call.arg(at)?.literal_text() else {
        return Ok(());
    };
    let Err(message) = patterns::compiled(pattern) else {
        return Ok(());
    };
    let place = call.places.get(at).copied().unwrap_or(call.position);
    Err(SqlError::at(place, message).detail("Back-references and look-around are not supported"))
}

pub(crate) fn regexp(call: &mut Call<'_>) -> Result<Expr> {
    check(call, 1)?;
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (s, pattern) = (args.text(0)?, args.text(1)?);
        let mut compiled = Compiled::default();
        args.bools(|row| {
            let pattern = pattern.value(row);
            // Flink: SqlFunctionUtils.regExp.
            if pattern.is_empty() {
                return Ok(Some(false));
            }
            Ok(Some(
                compiled.get(pattern, s.value(row))?.is_match(s.value(row)),
            ))
        })
    };
    let args = vec![call.text(0)?, call.text(1)?];
    Ok(Native::call(
        "REGEXP",
        body,
        DataType::Boolean,
        Nulls::Strict,
        call.params(),
        args,
    ))
}

pub(crate) fn regexp_extract(call: &mut Call<'_>) -> Result<Expr> {
    check(call, 1)?;
    let mut args = vec![call.text(0)?, call.text(1)?];
    if call.args.len() > 2 {
        args.push(call.int(2)?);
    }
    Ok(Native::call(
        "REGEXP_EXTRACT",
        extract,
        DataType::Utf8,
        Nulls::StrictAndMore,
        call.params(),
        args,
    ))
}

fn extract(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (s, pattern) = (args.text(0)?, args.text(1)?);
    let group = if args.len() > 2 {
        Some(args.int(2)?)
    } else {
        None
    };
    let mut compiled = Compiled::default();
    args.texts(|row| {
        let Ok(group) = usize::try_from(group.map_or(0, |g| g.value(row))) else {
            return Ok(None);
        };
        let regex = compiled.get(pattern.value(row), s.value(row))?;
        let found = regex.captures(s.value(row)).and_then(|c| c.get(group));
        Ok(found.map(|m| m.as_str()))
    })
}

pub(crate) fn regexp_replace(call: &mut Call<'_>) -> Result<Expr> {
    check(call, 1)?;
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (s, pattern, by) = (args.text(0)?, args.text(1)?, args.text(2)?);
        let mut compiled = Compiled::default();
        args.texts(|row| {
            let (text, by) = (s.value(row), by.value(row));
            let regex = compiled.get(pattern.value(row), text)?;
            replaced(args, regex, text, by).map(Some)
        })
    };
    let args = vec![call.text(0)?, call.text(1)?, call.text(2)?];
    Ok(Native::call(
        "REGEXP_REPLACE",
        body,
        DataType::Utf8,
        Nulls::Strict,
        call.params(),
        args,
    ))
}

/// Flink quotes the replacement: $1 is not a group. Some patterns look at the
/// whole rest of the text for each match, so the guard is looked at as often.
fn replaced(args: &Args<'_>, regex: &Regex, text: &str, by: &str) -> DfResult<String> {
    let mut out = String::new();
    let mut kept = 0;
    for found in regex.find_iter(text) {
        guard::check()?;
        out.push_str(text.get(kept..found.start()).unwrap_or_default());
        out.push_str(by);
        args.fits(out.len())?;
        kept = found.end();
    }
    let rest = text.get(kept..).unwrap_or_default();
    args.fits(out.len().saturating_add(rest.len()))?;
    out.push_str(rest);
    Ok(out)
}
