//! Reads a format's options: each is taken once by name, and whatever nobody
//! took is refused, so that no option is accepted and ignored.

use super::FormatError;
use std::collections::BTreeMap;

/// The options of one format while they are being read.
pub(super) struct Options<'a> {
    format: &'static str,
    given: &'a BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(super) fn new(format: &'static str, given: &'a BTreeMap<String, String>) -> Self {
        Self {
            format,
            given,
            known: Vec::new(),
        }
    }

    /// The option's text, if given.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.given.get(name).map(String::as_str)
    }

    /// `true` or `false`, in any case as Flink reads them.
    pub(super) fn switch(
        &mut self,
        name: &'static str,
        default: bool,
    ) -> Result<bool, FormatError> {
        match self.text(name) {
            None => Ok(default),
            Some(v) if v.eq_ignore_ascii_case("true") => Ok(true),
            Some(v) if v.eq_ignore_ascii_case("false") => Ok(false),
            Some(v) => Err(self.error(format!("option '{name}' is '{v}': use 'true' or 'false'"))),
        }
    }

    /// One of some words; the first is the default.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
        default: T,
    ) -> Result<T, FormatError> {
        let Some(given) = self.text(name) else {
            return Ok(default);
        };
        match choices.iter().find(|(word, _)| *word == given) {
            Some((_, value)) => Ok(*value),
            None => {
                let words: Vec<_> = choices.iter().map(|(w, _)| format!("'{w}'")).collect();
                Err(self.error(format!(
                    "option '{name}' is '{given}': use {}",
                    words.join(" or ")
                )))
            }
        }
    }

    /// One ASCII character; `\t` and the like may be written escaped.
    pub(super) fn character(&mut self, name: &'static str) -> Result<Option<u8>, FormatError> {
        let Some(given) = self.text(name) else {
            return Ok(None);
        };
        match given.as_bytes() {
            [b] if b.is_ascii() => Ok(Some(*b)),
            b"\\t" => Ok(Some(b'\t')),
            b"\\\\" => Ok(Some(b'\\')),
            _ => Err(self.error(format!(
                "option '{name}' is '{given}': use one ASCII character"
            ))),
        }
    }

    /// Refuses every option that was given and not read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        for name in self.given.keys() {
            if !self.known.iter().any(|k| k == name) {
                return Err(self.error(format!(
                    "no option '{name}': the options are {}",
                    self.known.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// An error that names the format.
    pub(super) fn error(&self, reason: String) -> FormatError {
        FormatError::Option {
            format: self.format.to_owned(),
            reason,
        }
    }
}
