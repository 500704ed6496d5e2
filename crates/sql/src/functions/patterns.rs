//! Compiled regular expressions, kept for the batches and queries that come
//! after: compiling one costs as much as matching it against thousands of
//! rows.

use super::shortened;
use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 16 * 1024;
/// Compiled size of a pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 512 * 1024;
/// Compiled size up to which a pattern counts as small.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// Longest text for a small pattern, in bytes. Matching one text costs up to
/// the product of both sizes, and cannot be ended before it is done.
const TEXT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Longest text for any other pattern.
const TEXT_BYTES_MAX_LARGE: usize = 64 * 1024;
/// Patterns kept. Each takes about twice [`COMPILED_BYTES_MAX`] at most.
const KEPT_MAX: usize = 64;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    text_bytes_max: usize,
}

impl Pattern {
    /// To match this text with, if it is not too long for that.
    pub(super) fn for_text(&self, text: &str) -> Result<&Regex, String> {
        if text.len() > self.text_bytes_max {
            return Err(format!(
                "a text of {} bytes is too long for the regular expression '{}': at most {}",
                text.len(),
                shortened(self.regex.as_str()),
                self.text_bytes_max
            ));
        }
        Ok(&self.regex)
    }
}

/// A pattern, compiled, or why it cannot be.
pub(super) fn compiled(pattern: &str) -> Result<Pattern, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "'{}' is too long for a regular expression: at most {PATTERN_BYTES_MAX} bytes",
            shortened(pattern)
        ));
    }
    if let Some(kept) = KEPT.lock().get(pattern) {
        return kept;
    }
    // Not under the lock: a large pattern takes milliseconds.
    let made = compile(pattern);
    KEPT.lock().keep(pattern, made.clone());
    made
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

fn compile(pattern: &str) -> Result<Pattern, String> {
    let java = with_java_classes(pattern);
    let build = |size_limit| {
        RegexBuilder::new(&java)
            .size_limit(size_limit)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
    };
    let (built, text_bytes_max) = match build(SMALL_BYTES_MAX) {
        Err(regex::Error::CompiledTooBig(_)) => (build(COMPILED_BYTES_MAX), TEXT_BYTES_MAX_LARGE),
        small => (small, TEXT_BYTES_MAX),
    };
    match built {
        Ok(regex) => Ok(Pattern {
            regex,
            text_bytes_max,
        }),
        Err(regex::Error::CompiledTooBig(_)) => Err(format!(
            "'{}' is too large a regular expression",
            shortened(pattern)
        )),
        Err(_) => Err(format!(
            "'{}' is no regular expression that is supported",
            shortened(pattern)
        )),
    }
}

/// `\w`, `\d` and `\s` are ASCII in Java.
fn with_java_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut inside = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('w') if inside => out.push_str("0-9A-Za-z_"),
            Some('d') if inside => out.push_str("0-9"),
            Some('s') if inside => out.push_str(r"\x20\t\n\x0B\f\r"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('s') => out.push_str(r"[\x20\t\n\x0B\f\r]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('S') => out.push_str(r"[^\x20\t\n\x0B\f\r]"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// The patterns that were used last.
#[derive(Default)]
struct Kept {
    patterns: HashMap<String, (Result<Pattern, String>, u64)>,
    uses: u64,
}

impl Kept {
    fn get(&mut self, pattern: &str) -> Option<Result<Pattern, String>> {
        self.uses += 1;
        let (regex, used) = self.patterns.get_mut(pattern)?;
        *used = self.uses;
        Some(regex.clone())
    }

    fn keep(&mut self, pattern: &str, made: Result<Pattern, String>) {
        if self.patterns.len() >= KEPT_MAX {
            let oldest = self.patterns.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(pattern, _)| pattern.clone()) {
                self.patterns.remove(&oldest);
            }
        }
        self.patterns.insert(pattern.to_owned(), (made, self.uses));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded_in_length_and_size() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert!(compiled(&long).unwrap_err().contains("too long"));
        let large = "(a{1000}){1000}";
        assert!(compiled(large).unwrap_err().contains("too large"));
        let small = compiled(r"\w+@(\w+\.)+\w{2,8}").unwrap();
        assert!(small.for_text(&"x".repeat(TEXT_BYTES_MAX)).is_ok());
        assert!(small.for_text(&"x".repeat(TEXT_BYTES_MAX + 1)).is_err());
        let large = compiled("(a{100}){90}").unwrap();
        assert!(large.for_text(&"x".repeat(TEXT_BYTES_MAX_LARGE)).is_ok());
        let error = large.for_text(&"x".repeat(TEXT_BYTES_MAX_LARGE + 1));
        assert!(error.unwrap_err().contains("too long for the regular"));
    }

    #[test]
    fn the_patterns_used_last_are_kept() {
        let mut kept = Kept::default();
        for n in 0..KEPT_MAX {
            kept.keep(&n.to_string(), Err(String::new()));
            assert!(kept.get("0").is_some());
        }
        kept.keep("one more", Err(String::new()));
        assert_eq!(kept.patterns.len(), KEPT_MAX);
        assert!(kept.get("0").is_some() && kept.get("one more").is_some());
        assert!(kept.get("1").is_none());
    }
}
