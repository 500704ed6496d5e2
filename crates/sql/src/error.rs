//! Refusals: where, what, why, and what to write instead.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use sqlparser::tokenizer::{Location, Span};
use std::fmt;

/// A place in the whole text given to [`crate::parser::parse`], both counted
/// from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl Position {
    /// The first character of the text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self {
            line: location.line.max(1),
            column: location.column.max(1),
        }
    }
}

impl From<Span> for Position {
    fn from(span: Span) -> Self {
        span.start.into()
    }
}

/// Why a statement was refused. Every refusal has a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SqlError {
    /// The primary line.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (line {}, column {})",
            self.message, self.line, self.column
        )?;
        if let Some(detail) = &self.detail {
            write!(f, ". {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, ". Hint: {hint}")?;
        }
        Ok(())
    }
}

impl SqlError {
    /// A refusal at a place.
    pub fn at(position: impl Into<Position>, message: impl Into<String>) -> Self {
        let Position { line, column } = position.into();
        Self {
            message: message.into(),
            detail: None,
            hint: None,
            line,
            column,
        }
    }

    /// Says more.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was probably meant, if anything is near.
    #[must_use]
    pub fn meant<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(name, known) {
            Some(near) => self.hint(format!("did you mean '{near}'?")),
            None => self,
        }
    }
}

/// What a failed evaluation says to people: the words of the function or
/// operator that failed, without DataFusion's own before and after them.
pub fn runtime_message(error: &DataFusionError) -> String {
    let root = error.find_root();
    let message = match root {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division by zero".to_owned(),
            ArrowError::ArithmeticOverflow(message) => format!("out of range: {message}"),
            ArrowError::CastError(message)
            | ArrowError::ComputeError(message)
            | ArrowError::InvalidArgumentError(message) => message.clone(),
            other => other.to_string(),
        },
        DataFusionError::ResourcesExhausted(message) => {
            format!("the query needs more memory than it may take: {message}")
        }
        other => other.message().into_owned(),
    };
    match message.split_once(DataFusionError::BACK_TRACE_SEP) {
        Some((message, _)) => message.to_owned(),
        None => message,
    }
}

/// The known name nearest to a misspelt one, if it is near enough.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let limit = lower.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|k| (distance(&lower, &k.to_lowercase(), limit), k))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, k)| k)
}

/// Edit distance with swaps of neighbours; `limit + 1` when lengths alone are
/// too far apart.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != cb))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["orders", "payments"];
        assert_eq!(nearest("ordres", known), Some("orders"));
        assert_eq!(nearest("Orders", known), Some("orders"));
        assert_eq!(nearest("x", known), None);
    }
}
