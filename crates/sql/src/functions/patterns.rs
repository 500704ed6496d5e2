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
/// Compiled size of a pattern, in bytes: what a row of text may cost is the
/// product of this and of the text's length.
const COMPILED_BYTES_MAX: usize = 512 * 1024;
/// Patterns kept. Each takes about twice [`COMPILED_BYTES_MAX`] at most.
const KEPT_MAX: usize = 64;

/// A pattern, compiled, or why it cannot be.
pub(super) fn compiled(pattern: &str) -> Result<Regex, String> {
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

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| {
            let pattern = shortened(pattern);
            match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("'{pattern}' is too large a regular expression")
                }
                _ => format!("'{pattern}' is no regular expression that is supported"),
            }
        })
}

/// The patterns that were used last.
#[derive(Default)]
struct Kept {
    patterns: HashMap<String, (Result<Regex, String>, u64)>,
    uses: u64,
}

impl Kept {
    fn get(&mut self, pattern: &str) -> Option<Result<Regex, String>> {
        self.uses += 1;
        let (regex, used) = self.patterns.get_mut(pattern)?;
        *used = self.uses;
        Some(regex.clone())
    }

    fn keep(&mut self, pattern: &str, made: Result<Regex, String>) {
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
        assert!(compiled(r"\w+@(\w+\.)+\w{2,8}").is_ok());
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
