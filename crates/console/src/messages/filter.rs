//! Which records match a text.

use bytes::Bytes;
use memchr::memmem::Finder;
use millstream_core::ports::Record;

/// Length of the text that records are searched for, in bytes.
pub const CONTAINS_BYTES_MAX: usize = 1_024;

/// Matches records against `contains`; an empty one matches all.
#[derive(Debug, Clone)]
pub struct Filter(Vec<Finder<'static>>);

impl Filter {
    /// An empty or absent text matches all. Text outside ASCII is found as
    /// it is and as JSON writers escape it (`\u4e2d`).
    pub fn new(contains: Option<&str>) -> Self {
        let Some(text) = contains.filter(|text| !text.is_empty()) else {
            return Self(Vec::new());
        };
        let mut spellings = vec![text.to_owned()];
        if !text.is_ascii() {
            spellings.push(escaped(text, |unit| format!("\\u{unit:04x}")));
            spellings.push(escaped(text, |unit| format!("\\u{unit:04X}")));
            spellings.dedup();
        }
        Self(
            spellings
                .iter()
                .map(|text| Finder::new(text.as_bytes()).into_owned())
                .collect(),
        )
    }

    /// Whether it matches all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the key or the value contains the text. Linear in their
    /// length, whatever the text.
    pub fn matches(&self, record: &Record) -> bool {
        let found = |bytes: &Option<Bytes>| {
            let bytes = bytes.as_deref().unwrap_or_default();
            self.0.iter().any(|text| text.find(bytes).is_some())
        };
        self.is_empty() || found(&record.key) || found(&record.value)
    }
}

/// The text with each UTF-16 unit outside ASCII escaped (RFC 8259, 7).
fn escaped(text: &str, unit: impl Fn(u16) -> String) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for one in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&unit(*one));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ids::Offset;

    fn matches(contains: &str, value: &str) -> bool {
        Filter::new(Some(contains)).matches(&Record {
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value: Some(value.to_owned().into()),
            headers: vec![],
        })
    }

    #[test]
    fn text_is_found_as_it_is_and_as_json_escapes_it() {
        assert!(matches("中文", "{\"a\":\"中文\"}"));
        assert!(matches("中文", r#"{"a":"\u4e2d\u6587"}"#));
        assert!(matches("中文", r#"{"a":"\u4E2D\u6587"}"#));
        assert!(matches("😀!", r#""\ud83d\ude00!""#));
        assert!(!matches("中文", "{\"a\":\"文中\"}"));
        assert!(matches("", "anything"));
    }

    /// A naive search of this text takes 10^10 steps.
    #[test]
    fn a_text_that_almost_matches_everywhere_costs_no_more_than_another() {
        let value = "a".repeat(16 << 20);
        let text = format!("{}b", "a".repeat(CONTAINS_BYTES_MAX - 1));
        assert!(!matches(&text, &value));
    }
}
