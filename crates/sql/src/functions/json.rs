//! JSON_VALUE (Flink: System Functions, JSON Functions): NULL ON EMPTY, NULL
//! ON ERROR, RETURNING STRING.

use super::call::Call;
use super::native::{Args, Native, Nulls, Params};
use crate::error::SqlError;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::Expr;
use serde_json::Value;

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
    args.texts(|row| {
        // serde_json bounds the nesting by itself.
        let Ok(document) = serde_json::from_str::<Value>(text.value(row)) else {
            return Ok(None);
        };
        let mut found = Some(&document);
        for step in &steps {
            found = found.and_then(|value| match step {
                Step::Field(name) => value.get(name),
                Step::Index(index) => value.get(index),
            });
        }
        Ok(match found {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Bool(value)) => Some(value.to_string()),
            _ => None,
        })
    })
}
