//! Regular expressions. Java's syntax but for back-references and
//! look-around, which are refused: matching time stays linear in the text.

use super::call::Call;
use super::native::{Args, Native, Nulls};
use crate::error::SqlError;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result as DfResult, exec_err};
use datafusion::logical_expr::Expr;
use regex::{Regex, RegexBuilder};
use std::sync::OnceLock;

type Result<T> = std::result::Result<T, SqlError>;

/// Compiled size of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .ok()
}

/// The pattern of the last row, compiled; patterns rarely change.
#[derive(Default)]
struct Compiled {
    pattern: String,
    regex: OnceLock<Option<Regex>>,
}

impl Compiled {
    fn get(&mut self, pattern: &str) -> DfResult<&Regex> {
        if self.pattern != pattern {
            pattern.clone_into(&mut self.pattern);
            self.regex = OnceLock::new();
        }
        match self.regex.get_or_init(|| compile(pattern)) {
            Some(regex) => Ok(regex),
            None => exec_err!("'{pattern}' is no regular expression that is supported"),
        }
    }
}

/// A literal pattern is checked now, not at the first row.
fn check(call: &Call<'_>, at: usize) -> Result<()> {
    let Some(pattern) = call.arg(at)?.literal_text() else {
        return Ok(());
    };
    if compile(pattern).is_some() {
        return Ok(());
    }
    let place = call.places.get(at).copied().unwrap_or(call.position);
    Err(SqlError::at(
        place,
        format!("'{pattern}' is no regular expression that is supported"),
    )
    .detail("Back-references and look-around are not supported"))
}

pub(crate) fn regexp(call: &mut Call<'_>) -> Result<Expr> {
    check(call, 1)?;
    let body = |args: &Args<'_>| -> DfResult<ArrayRef> {
        let (s, pattern) = (args.text(0)?, args.text(1)?);
        let mut compiled = Compiled::default();
        args.bools(|row| {
            Ok(Some(
                compiled.get(pattern.value(row))?.is_match(s.value(row)),
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
        let regex = compiled.get(pattern.value(row))?;
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
            let regex = compiled.get(pattern.value(row))?;
            let (text, by) = (s.value(row), by.value(row));
            super::string::check_size(text, regex.find_iter(text).count(), by)?;
            // Flink quotes the replacement: $1 is not a group.
            Ok(Some(
                regex.replace_all(text, regex::NoExpand(by)).into_owned(),
            ))
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
