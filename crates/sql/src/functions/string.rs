//! Strings (Flink: System Functions, String Functions). Characters are
//! Unicode code points.

use super::call::{Call, native};
use super::native::{Args, Nulls};
use crate::error::SqlError;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::Expr;
use std::collections::HashSet;

type Result<T> = std::result::Result<T, SqlError>;

fn text_call(name: &'static str, body: super::native::Body, args: Vec<Expr>) -> Result<Expr> {
    Ok(native(name, body, DataType::Utf8, Nulls::Strict, args))
}

pub(crate) fn upper(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "UPPER",
        |args| {
            let s = args.text(0)?;
            args.texts(|row| Ok(Some(s.value(row).to_uppercase())))
        },
        vec![call.text(0)?],
    )
}

pub(crate) fn lower(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "LOWER",
        |args| {
            let s = args.text(0)?;
            args.texts(|row| Ok(Some(s.value(row).to_lowercase())))
        },
        vec![call.text(0)?],
    )
}

pub(crate) fn initcap(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "INITCAP",
        |args| {
            let s = args.text(0)?;
            args.texts(|row| {
                let mut out = String::new();
                let mut inside = false;
                for c in s.value(row).chars() {
                    if inside {
                        out.extend(c.to_lowercase());
                    } else {
                        out.extend(c.to_uppercase());
                    }
                    inside = c.is_alphanumeric();
                }
                Ok(Some(out))
            })
        },
        vec![call.text(0)?],
    )
}

pub(crate) fn reverse(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "REVERSE",
        |args| {
            let s = args.text(0)?;
            args.texts(|row| Ok(Some(s.value(row).chars().rev().collect::<String>())))
        },
        vec![call.text(0)?],
    )
}

/// The text and the set of characters to trim, a space by default.
fn trim_args(call: &Call<'_>) -> Result<Vec<Expr>> {
    let set = if call.args.len() > 1 {
        call.text(1)?
    } else {
        Expr::Literal(ScalarValue::Utf8(Some(" ".to_owned())), None)
    };
    Ok(vec![call.text(0)?, set])
}

/// The characters to trim. A long set is looked up rather than searched, or
/// two long texts would cost the product of their lengths.
enum CharSet<'a> {
    Short(&'a str),
    Long(HashSet<char>),
}

impl<'a> CharSet<'a> {
    const SEARCHED_BYTES_MAX: usize = 32;

    fn new(set: &'a str) -> Self {
        if set.len() <= Self::SEARCHED_BYTES_MAX {
            Self::Short(set)
        } else {
            Self::Long(set.chars().collect())
        }
    }

    fn contains(&self, c: char) -> bool {
        match self {
            Self::Short(set) => set.contains(c),
            Self::Long(set) => set.contains(&c),
        }
    }
}

pub(crate) fn trim(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "TRIM",
        |args| {
            let (s, set) = (args.text(0)?, args.text(1)?);
            args.texts(|row| {
                let set = CharSet::new(set.value(row));
                Ok(Some(s.value(row).trim_matches(|c| set.contains(c))))
            })
        },
        trim_args(call)?,
    )
}

pub(crate) fn ltrim(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "LTRIM",
        |args| {
            let (s, set) = (args.text(0)?, args.text(1)?);
            args.texts(|row| {
                let set = CharSet::new(set.value(row));
                Ok(Some(s.value(row).trim_start_matches(|c| set.contains(c))))
            })
        },
        trim_args(call)?,
    )
}

pub(crate) fn rtrim(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "RTRIM",
        |args| {
            let (s, set) = (args.text(0)?, args.text(1)?);
            args.texts(|row| {
                let set = CharSet::new(set.value(row));
                Ok(Some(s.value(row).trim_end_matches(|c| set.contains(c))))
            })
        },
        trim_args(call)?,
    )
}

/// Flink: `BinaryStringDataUtil.substringSQL`. A start below 0 counts from
/// the end, a length below 0 gives NULL.
pub(crate) fn substring(call: &mut Call<'_>) -> Result<Expr> {
    let length = if call.args.len() > 2 {
        call.int(2)?
    } else {
        Expr::Literal(ScalarValue::Int32(Some(i32::MAX)), None)
    };
    let args = vec![call.text(0)?, call.int(1)?, length];
    Ok(native(
        "SUBSTRING",
        substring_of,
        DataType::Utf8,
        Nulls::StrictAndMore,
        args,
    ))
}

fn substring_of(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (s, start, length) = (args.text(0)?, args.int(1)?, args.int(2)?);
    args.texts(|row| {
        let Ok(length) = usize::try_from(length.value(row)) else {
            return Ok(None);
        };
        let (s, start) = (s.value(row), start.value(row));
        let skip = match start {
            1.. => start as usize - 1,
            0 => 0,
            _ => match s.chars().count().checked_sub(start.unsigned_abs() as usize) {
                Some(skip) => skip,
                None => return Ok(Some("")),
            },
        };
        Ok(Some(characters(s, skip, length)))
    })
}

/// `length` characters after `skip`.
fn characters(s: &str, skip: usize, length: usize) -> &str {
    let rest = match s.char_indices().nth(skip) {
        Some((at, _)) => s.get(at..).unwrap_or_default(),
        None => return "",
    };
    match rest.char_indices().nth(length) {
        Some((at, _)) => rest.get(..at).unwrap_or_default(),
        None => rest,
    }
}

pub(crate) fn left(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "LEFT",
        |args| {
            let (s, n) = (args.text(0)?, args.int(1)?);
            args.texts(|row| {
                let n = usize::try_from(n.value(row)).unwrap_or(0);
                Ok(Some(characters(s.value(row), 0, n)))
            })
        },
        vec![call.text(0)?, call.int(1)?],
    )
}

pub(crate) fn right(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "RIGHT",
        |args| {
            let (s, n) = (args.text(0)?, args.int(1)?);
            args.texts(|row| {
                let n = usize::try_from(n.value(row)).unwrap_or(0);
                let s = s.value(row);
                Ok(Some(characters(
                    s,
                    s.chars().count().saturating_sub(n),
                    usize::MAX,
                )))
            })
        },
        vec![call.text(0)?, call.int(1)?],
    )
}

pub(crate) fn position(call: &mut Call<'_>) -> Result<Expr> {
    let args = vec![call.text(0)?, call.text(1)?];
    Ok(native(
        "POSITION",
        position_of,
        DataType::Int32,
        Nulls::Strict,
        args,
    ))
}

pub(crate) fn instr(call: &mut Call<'_>) -> Result<Expr> {
    let args = vec![call.text(1)?, call.text(0)?];
    Ok(native(
        "POSITION",
        position_of,
        DataType::Int32,
        Nulls::Strict,
        args,
    ))
}

pub(crate) fn locate(call: &mut Call<'_>) -> Result<Expr> {
    let mut args = vec![call.text(0)?, call.text(1)?];
    if call.args.len() > 2 {
        args.push(call.int(2)?);
    }
    Ok(native(
        "LOCATE",
        position_of,
        DataType::Int32,
        Nulls::Strict,
        args,
    ))
}

fn position_of(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (part, s) = (args.text(0)?, args.text(1)?);
    let start = if args.len() > 2 {
        Some(args.int(2)?)
    } else {
        None
    };
    args.ints(|row| {
        let from = start.map_or(1, |start| start.value(row));
        // As Java's indexOf, which begins at 0 where it is told to before.
        let skip = usize::try_from(from).unwrap_or(0).saturating_sub(1);
        let text = s.value(row);
        let rest = characters(text, skip, usize::MAX);
        let found = rest
            .find(part.value(row))
            .map(|at| skip + rest.get(..at).unwrap_or_default().chars().count() + 1);
        Ok(Some(
            found.and_then(|at| i32::try_from(at).ok()).unwrap_or(0),
        ))
    })
}

pub(crate) fn replace(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "REPLACE",
        |args| {
            let (s, part, by) = (args.text(0)?, args.text(1)?, args.text(2)?);
            args.texts(|row| {
                let (s, part, by) = (s.value(row), part.value(row), by.value(row));
                args.fits(replaced_bytes(s, s.matches(part).count(), by))?;
                Ok(Some(s.replace(part, by)))
            })
        },
        vec![call.text(0)?, call.text(1)?, call.text(2)?],
    )
}

/// At most how long a text gets when this many parts of it are replaced.
pub(super) fn replaced_bytes(text: &str, matches: usize, by: &str) -> usize {
    text.len().saturating_add(matches.saturating_mul(by.len()))
}

fn texts(call: &Call<'_>) -> Result<Vec<Expr>> {
    (0..call.args.len()).map(|at| call.text(at)).collect()
}

pub(crate) fn concat(call: &mut Call<'_>) -> Result<Expr> {
    text_call("CONCAT", concat_of, texts(call)?)
}

fn concat_of(args: &Args<'_>) -> DfResult<ArrayRef> {
    let parts = (0..args.len())
        .map(|at| args.text(at))
        .collect::<DfResult<Vec<_>>>()?;
    args.texts(|row| {
        args.fits(parts.iter().map(|p| p.value(row).len()).sum())?;
        Ok(Some(parts.iter().map(|p| p.value(row)).collect::<String>()))
    })
}

/// `left || right`.
pub(crate) fn joined(left: Expr, right: Expr) -> Expr {
    native(
        "||",
        concat_of,
        DataType::Utf8,
        Nulls::Strict,
        vec![left, right],
    )
}

pub(crate) fn concat_ws(call: &mut Call<'_>) -> Result<Expr> {
    let args = texts(call)?;
    Ok(native(
        "CONCAT_WS",
        concat_with,
        DataType::Utf8,
        Nulls::Own,
        args,
    ))
}

fn concat_with(args: &Args<'_>) -> DfResult<ArrayRef> {
    let separator = args.text(0)?;
    let parts = (1..args.len())
        .map(|at| args.text(at))
        .collect::<DfResult<Vec<_>>>()?;
    args.texts(|row| {
        if separator.is_null(row) {
            return Ok(None);
        }
        let present: Vec<_> = parts
            .iter()
            .filter(|p| !p.is_null(row))
            .map(|p| p.value(row))
            .collect();
        let separator = separator.value(row);
        let separators = separator.len().saturating_mul(present.len());
        let bytes: usize = present.iter().map(|part| part.len()).sum();
        args.fits(bytes.saturating_add(separators))?;
        Ok(Some(present.join(separator)))
    })
}

pub(crate) fn char_length(call: &mut Call<'_>) -> Result<Expr> {
    let body = |args: &Args<'_>| {
        let s = args.text(0)?;
        args.ints(|row| Ok(i32::try_from(s.value(row).chars().count()).ok()))
    };
    Ok(native(
        "CHAR_LENGTH",
        body,
        DataType::Int32,
        Nulls::Strict,
        vec![call.text(0)?],
    ))
}

pub(crate) fn ascii(call: &mut Call<'_>) -> Result<Expr> {
    let body = |args: &Args<'_>| {
        let s = args.text(0)?;
        args.ints(|row| {
            Ok(Some(
                s.value(row)
                    .bytes()
                    .next()
                    .map_or(0, |b| i32::from(b as i8)),
            ))
        })
    };
    Ok(native(
        "ASCII",
        body,
        DataType::Int32,
        Nulls::Strict,
        vec![call.text(0)?],
    ))
}

pub(crate) fn lpad(call: &mut Call<'_>) -> Result<Expr> {
    let args = vec![call.text(0)?, call.int(1)?, call.text(2)?];
    Ok(native(
        "LPAD",
        |args| pad(args, true),
        DataType::Utf8,
        Nulls::StrictAndMore,
        args,
    ))
}

pub(crate) fn rpad(call: &mut Call<'_>) -> Result<Expr> {
    let args = vec![call.text(0)?, call.int(1)?, call.text(2)?];
    Ok(native(
        "RPAD",
        |args| pad(args, false),
        DataType::Utf8,
        Nulls::StrictAndMore,
        args,
    ))
}

fn pad(args: &Args<'_>, left: bool) -> DfResult<ArrayRef> {
    let (s, length, fill) = (args.text(0)?, args.int(1)?, args.text(2)?);
    args.texts(|row| {
        let Ok(length) = usize::try_from(length.value(row)) else {
            return Ok(None);
        };
        let (s, fill) = (s.value(row), fill.value(row));
        if fill.is_empty() {
            return Ok(None);
        }
        let missing = length.saturating_sub(s.chars().count());
        let kept = characters(s, 0, length);
        let padding = padding(args, fill, missing, kept.len())?;
        Ok(Some(if left {
            padding + kept
        } else {
            kept.to_owned() + &padding
        }))
    })
}

/// `missing` characters of a repeated text, to stand beside `kept` bytes.
fn padding(args: &Args<'_>, fill: &str, missing: usize, kept: usize) -> DfResult<String> {
    let characters_in_fill = fill.chars().count().max(1);
    let (whole, part) = (missing / characters_in_fill, missing % characters_in_fill);
    let part = characters(fill, 0, part);
    let bytes = whole.saturating_mul(fill.len()).saturating_add(part.len());
    args.fits(bytes.saturating_add(kept))?;
    Ok(fill.repeat(whole) + part)
}

pub(crate) fn repeat(call: &mut Call<'_>) -> Result<Expr> {
    text_call(
        "REPEAT",
        |args| {
            let (s, n) = (args.text(0)?, args.int(1)?);
            args.texts(|row| {
                let n = usize::try_from(n.value(row)).unwrap_or(0);
                args.fits(s.value(row).len().saturating_mul(n))?;
                Ok(Some(s.value(row).repeat(n)))
            })
        },
        vec![call.text(0)?, call.int(1)?],
    )
}

pub(crate) fn split_index(call: &mut Call<'_>) -> Result<Expr> {
    let body = |args: &Args<'_>| {
        let (s, separator, index) = (args.text(0)?, args.text(1)?, args.int(2)?);
        args.texts(|row| {
            let (s, separator) = (s.value(row), separator.value(row));
            let Ok(index) = usize::try_from(index.value(row)) else {
                return Ok(None);
            };
            if s.is_empty() || separator.is_empty() {
                return Ok(None);
            }
            Ok(s.split(separator).nth(index))
        })
    };
    let args = vec![call.text(0)?, call.text(1)?, call.int(2)?];
    Ok(native(
        "SPLIT_INDEX",
        body,
        DataType::Utf8,
        Nulls::StrictAndMore,
        args,
    ))
}

pub(crate) fn startswith(call: &mut Call<'_>) -> Result<Expr> {
    let body = |args: &Args<'_>| {
        let (s, part) = (args.text(0)?, args.text(1)?);
        args.bools(|row| Ok(Some(s.value(row).starts_with(part.value(row)))))
    };
    let args = vec![call.text(0)?, call.text(1)?];
    Ok(native(
        "STARTSWITH",
        body,
        DataType::Boolean,
        Nulls::Strict,
        args,
    ))
}

pub(crate) fn endswith(call: &mut Call<'_>) -> Result<Expr> {
    let body = |args: &Args<'_>| {
        let (s, part) = (args.text(0)?, args.text(1)?);
        args.bools(|row| Ok(Some(s.value(row).ends_with(part.value(row)))))
    };
    let args = vec![call.text(0)?, call.text(1)?];
    Ok(native(
        "ENDSWITH",
        body,
        DataType::Boolean,
        Nulls::Strict,
        args,
    ))
}
