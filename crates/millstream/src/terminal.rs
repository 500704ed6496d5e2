//! Text that others wrote, on a terminal and in spreadsheets.
//!
//! A record may carry escape sequences that move the cursor, change the
//! window's title or answer for the user; a cell may begin like a formula.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with control characters written out (`\x1b`), so that a terminal
/// shows them instead of doing what they say. Tabs and line ends stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_control(c) && !matches!(c, '\t' | '\n'))
}

/// The same for one line of a table.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escape(text, is_control)
}

fn escape(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\t' if hidden('\t') => out.push_str("\\t"),
            '\n' if hidden('\n') => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if hidden(c) && (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if hidden(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// C0, DEL and C1, and the characters that turn the order of others around
/// (U+202A to U+202E, U+2066 to U+2069).
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON on one line, with what JSON leaves as it is and a terminal obeys
/// escaped as JSON does: still the same document.
pub fn json_line(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if !text.contains(is_control) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_control(c) {
            let _ = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

/// A cell of CSV (RFC 4180). One that a spreadsheet would run as a formula
/// gets a quote mark before it, as OWASP's page on CSV injection says; a
/// plain number is none. The console's download does the same.
pub fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
        && !is_plain_number(text);
    if formula {
        return format!("\"'{}\"", text.replace('"', "\"\""));
    }
    csv_cell_raw(text)
}

/// A cell of CSV as it is.
pub fn csv_cell_raw(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn is_plain_number(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    text.chars().all(letters) && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_to_do() {
        let hostile = "a\x1b]0;title\x07\u{9b}2J\u{202e}\r\tb\n订单";
        assert_eq!(
            printable(hostile),
            "a\\x1b]0;title\\x07\\x9b2J\\u{202e}\\r\tb\n订单"
        );
        assert_eq!(printable_line("a\tb\n"), "a\\tb\\n");
        assert!(matches!(printable("plain 订单"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = serde_json::json!({ "v": "\x1b[2J\u{9b}2J\u{7f}订单" });
        let line = json_line(&value);
        assert!(!line.contains(is_control), "{line}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            value
        );
    }

    #[test]
    fn cells_are_no_formulas() {
        assert_eq!(
            csv_cell("=HYPERLINK(\"http://evil.example\")"),
            "\"'=HYPERLINK(\"\"http://evil.example\"\")\""
        );
        for cell in [
            "=1+1",
            "+cmd|' /C calc'!A0",
            "-2+3",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "＝1",
        ] {
            assert!(csv_cell(cell).starts_with("\"'"), "{cell}");
        }
        for cell in ["-5", "+1.5", "-1e-7", "a=b", "华东", ""] {
            assert_eq!(csv_cell(cell), cell);
        }
        assert_eq!(csv_cell("1,5"), "\"1,5\"");
        assert_eq!(csv_cell_raw("=1"), "=1");
    }
}
