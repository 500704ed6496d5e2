//! JSON_VALUE (Flink: System Functions, JSON Functions): NULL ON EMPTY, NULL
//! ON ERROR, RETURNING STRING.

use super::call::Call;
use super::native::{Args, Native, Nulls, Params};
use super::{guard, number};
use crate::error::SqlError;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::Expr;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Steps of one path; each is a scan of what the one before it found.
const STEPS_MAX: usize = 100;

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

pub(crate) fn json_value(call: &mut Call<'_>) -> Result<Expr, SqlError> {
    let path = call.literal_text(1, "a path like '$.a.b[0]'")?;
    if steps(&path).is_none() {
        return Err(call
            .error(format!("'{path}' is no path that is supported"))
            .hint("write '$.field', '$.a.b' or '$.list[0]'"));
    }
    let params = Params {
        text: path,
        ..Params::default()
    };
    let args = vec![call.text(0)?];
    Ok(Native::call(
        "JSON_VALUE",
        value,
        DataType::Utf8,
        Nulls::StrictAndMore,
        params,
        args,
    ))
}

/// `$.a['b'][0]`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let path = path.trim();
    let path = path.strip_prefix("lax ").unwrap_or(path);
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == STEPS_MAX {
            return None;
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            if name.is_empty() || name.contains(['*', '?', '(', ')', '\'', '"', ' ']) {
                return None;
            }
            steps.push(Step::Field(name.to_owned()));
            rest = tail;
        } else {
            let (inner, tail) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inner.strip_prefix('\'').and_then(|i| i.strip_suffix('\''));
            steps.push(match quoted {
                Some(name) => Step::Field(name.to_owned()),
                None => Step::Index(inner.parse().ok()?),
            });
            rest = tail;
        }
    }
    Some(steps)
}

fn value(args: &Args<'_>) -> DfResult<ArrayRef> {
    let text = args.text(0)?;
    let steps = steps(&args.params().text).unwrap_or_default();
    args.texts(|row| scalar(text.value(row), &steps))
}

/// The scalar at a path. A document is scanned once a step and never built;
/// the scan does not recurse.
fn scalar(document: &str, steps: &[Step]) -> DfResult<Option<String>> {
    let mut found: Option<&RawValue> = serde_json::from_str(document).ok();
    for step in steps {
        guard::check()?;
        found = found.and_then(|found| below(found, step));
    }
    Ok(found.and_then(|found| text_of(found.get())))
}

fn below<'a>(value: &'a RawValue, step: &Step) -> Option<&'a RawValue> {
    match step {
        Step::Field(name) => serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(value.get())
            .ok()?
            .remove(name.as_str()),
        Step::Index(index) => serde_json::from_str::<Vec<&RawValue>>(value.get())
            .ok()?
            .get(*index)
            .copied(),
    }
}

fn text_of(raw: &str) -> Option<String> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b't' | b'f' => Some(raw.to_owned()),
        b'{' | b'[' | b'n' => None,
        // As Jackson: a number with a fraction is a double, others are exact.
        _ if raw.contains(['.', 'e', 'E']) => raw.parse().ok().map(number::java_double),
        _ => Some(raw.to_owned()),
    }
}
