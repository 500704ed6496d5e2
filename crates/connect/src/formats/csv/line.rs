//! One CSV line to its fields.

use super::CsvOptions;
use std::borrow::Cow;

/// A field's text, and whether it stood in quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) quoted: bool,
}

/// Splits a line. A field is in quotes when it starts with one (white space
/// before it is skipped, as Jackson does); a doubled quote inside is one.
pub(super) fn split<'a>(line: &'a str, options: &CsvOptions) -> Result<Vec<Field<'a>>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = next(rest, options)?;
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// The first field, and what follows its delimiter.
fn next<'a>(text: &'a str, options: &CsvOptions) -> Result<(Field<'a>, Option<&'a str>), String> {
    if let Some(quote) = options.quote {
        let start = text.trim_start_matches(' ');
        if start.as_bytes().first() == Some(&quote) {
            return quoted(start, quote, options);
        }
    }
    let mut out = String::new();
    let mut from = 0;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if Some(byte) == options.escape {
            out.push_str(text.get(from..at).unwrap_or_default());
            from = at + 1;
            bytes.next();
        } else if byte == options.delimiter {
            let field = plain(out, text.get(from..at).unwrap_or_default());
            return Ok((field, text.get(at + 1..)));
        }
    }
    Ok((plain(out, text.get(from..).unwrap_or_default()), None))
}

fn plain(mut before: String, tail: &str) -> Field<'_> {
    let text = if before.is_empty() {
        Cow::Borrowed(tail)
    } else {
        before.push_str(tail);
        Cow::Owned(before)
    };
    Field {
        text,
        quoted: false,
    }
}

fn quoted<'a>(
    text: &'a str,
    quote: u8,
    options: &CsvOptions,
) -> Result<(Field<'a>, Option<&'a str>), String> {
    let mut out = String::new();
    let mut from = 1;
    let mut bytes = text.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        let escapes = Some(byte) == options.escape && byte != quote;
        let doubled = byte == quote && bytes.peek().is_some_and(|(_, b)| *b == quote);
        if escapes || doubled {
            out.push_str(text.get(from..at).unwrap_or_default());
            from = at + 1;
            bytes.next();
        } else if byte == quote {
            out.push_str(text.get(from..at).unwrap_or_default());
            let after = text
                .get(at + 1..)
                .unwrap_or_default()
                .trim_start_matches(' ');
            let field = Field {
                text: Cow::Owned(out),
                quoted: true,
            };
            return match after.as_bytes().first() {
                None => Ok((field, None)),
                Some(b) if *b == options.delimiter => Ok((field, after.get(1..))),
                Some(_) => Err("a closing quote is not followed by a delimiter".to_owned()),
            };
        }
    }
    Err("a quote is not closed".to_owned())
}
