//! Records as people see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use millstream_core::ports::{FetchedRecords, Record, RecordHeader};
use serde::Serialize;

/// A record for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp, in milliseconds.
    pub timestamp_ms: i64,
    /// Key as text.
    pub key: Option<String>,
    /// How the key is to be read.
    pub key_encoding: Encoding,
    /// Value as text.
    pub value: Option<String>,
    /// How the value is to be read.
    pub value_encoding: Encoding,
    /// Size of the whole key, in bytes.
    pub key_bytes: usize,
    /// Size of the whole value, in bytes.
    pub value_bytes: usize,
    /// The key, the value or the headers are longer than what is shown.
    pub cut: bool,
    /// Headers in order, the first of many.
    pub headers: Vec<MessageHeader>,
    /// How many headers there are.
    pub headers_count: usize,
    /// This stands for records that cannot be read, from `offset` on; all of
    /// the above but the place is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Unreadable>,
}

/// Why records cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unreadable {
    /// The last of their offsets.
    pub last_offset: i64,
    /// What is wrong.
    pub reason: String,
}

/// A header for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageHeader {
    /// Name.
    pub key: String,
    /// Value: text, or base64.
    pub value: Option<String>,
    /// How the value is to be read.
    pub encoding: Encoding,
    /// Size of the whole value, in bytes.
    pub value_bytes: usize,
}

/// How bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// A JSON object or array.
    Json,
    /// UTF-8.
    Text,
    /// Base64.
    Binary,
    /// There is none.
    Null,
}

/// How much of a record is shown, in bytes of the answer's JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Of the value; of the key and of all headers together an eighth each.
    pub value_bytes_max: usize,
}

/// The part of [`Shown::value_bytes_max`] that the key and the headers get.
const SMALL_PART: usize = 8;
/// What a header costs beside its texts.
const HEADER_BYTES: usize = 96;
/// What a message costs beside its texts.
const MESSAGE_BYTES: usize = 256;

impl Message {
    /// About what it takes in memory and in an answer, in bytes.
    pub fn cost(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let headers = self.headers.iter();
        MESSAGE_BYTES
            + text(&self.key)
            + text(&self.value)
            + headers
                .map(|h| HEADER_BYTES + h.key.len() + text(&h.value))
                .sum::<usize>()
    }
}

/// A record as people see it.
pub fn message(partition: i32, record: &Record, shown: Shown) -> Message {
    let small = shown.value_bytes_max / SMALL_PART;
    let (key, key_encoding, key_cut) = show(record.key.as_ref(), small);
    let (value, value_encoding, value_cut) = show(record.value.as_ref(), shown.value_bytes_max);
    let (headers, headers_cut) = headers(&record.headers, small);
    Message {
        partition,
        offset: record.offset.0,
        timestamp_ms: record.timestamp_ms,
        key,
        key_encoding,
        value,
        value_encoding,
        key_bytes: record.key.as_ref().map_or(0, Bytes::len),
        value_bytes: record.value.as_ref().map_or(0, Bytes::len),
        cut: key_cut || value_cut || headers_cut,
        headers,
        headers_count: record.headers.len(),
        unreadable: None,
    }
}

/// What could not be read, as messages in the places of the records: with the
/// time of the record before, or after.
pub fn unreadable(fetched: &FetchedRecords) -> impl Iterator<Item = Message> + '_ {
    fetched.unreadable.iter().map(|range| {
        let before = |r: &&Record| r.offset < range.first_offset;
        let near = fetched.records.iter().take_while(before).last();
        let near = near.or_else(|| fetched.records.first());
        Message {
            partition: fetched.topic_partition.partition.0,
            offset: range.first_offset.0,
            timestamp_ms: near.map_or(0, |record| record.timestamp_ms),
            key: None,
            key_encoding: Encoding::Null,
            value: None,
            value_encoding: Encoding::Null,
            key_bytes: 0,
            value_bytes: 0,
            cut: false,
            headers: Vec::new(),
            headers_count: 0,
            unreadable: Some(Unreadable {
                last_offset: range.last_offset.0,
                reason: range.reason.clone(),
            }),
        }
    })
}

/// The first headers, as many as there is room for; the first one always.
fn headers(all: &[RecordHeader], bytes_max: usize) -> (Vec<MessageHeader>, bool) {
    let mut shown = Vec::new();
    let mut left = bytes_max;
    let mut cut = false;
    for header in all {
        if left < HEADER_BYTES && !shown.is_empty() {
            return (shown, true);
        }
        left = left.saturating_sub(HEADER_BYTES);
        let (key, _, key_cut) = show_text(&header.key, left);
        left -= left.min(key.len());
        let (value, encoding, value_cut) = show(header.value.as_ref(), left);
        left -= left.min(value.as_ref().map_or(0, String::len));
        cut |= key_cut || value_cut;
        shown.push(MessageHeader {
            key,
            value,
            encoding,
            value_bytes: header.value.as_ref().map_or(0, Bytes::len),
        });
    }
    (shown, cut)
}

/// The bytes as text of at most this length in JSON; whether they were cut.
fn show(bytes: Option<&Bytes>, json_bytes_max: usize) -> (Option<String>, Encoding, bool) {
    let Some(bytes) = bytes else {
        return (None, Encoding::Null, false);
    };
    // No character takes less in JSON than in UTF-8.
    let cut = bytes.len() > json_bytes_max;
    let head = bytes.get(..json_bytes_max).unwrap_or(bytes);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut may have split a character.
        Err(e) if cut && e.error_len().is_none() => head
            .get(..e.valid_up_to())
            .and_then(|whole| std::str::from_utf8(whole).ok())
            .unwrap_or_default(),
        Err(_) => {
            let fits = json_bytes_max / 4 * 3;
            let shown = bytes.get(..fits).unwrap_or(bytes);
            let cut = shown.len() < bytes.len();
            return (Some(BASE64.encode(shown)), Encoding::Binary, cut);
        }
    };
    let (shown, encoding, text_cut) = show_text(text, json_bytes_max);
    (Some(shown), encoding, cut || text_cut)
}

fn show_text(text: &str, json_bytes_max: usize) -> (String, Encoding, bool) {
    let mut left = json_bytes_max;
    let fits = text.char_indices().find_map(|(at, character)| {
        let Some(rest) = left.checked_sub(json_bytes(character)) else {
            return Some(at);
        };
        left = rest;
        None
    });
    if let Some(shown) = fits.and_then(|at| text.get(..at)) {
        return (shown.to_owned(), Encoding::Text, true);
    }
    let structured = text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let encoding = if structured {
        Encoding::Json
    } else {
        Encoding::Text
    };
    (text.to_owned(), encoding, false)
}

/// What a character takes in a JSON string, in bytes.
fn json_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ids::Offset;

    #[test]
    fn bytes_are_shown_as_what_they_are() {
        let encoding = |bytes: &'static [u8]| show(Some(&Bytes::from_static(bytes)), 100).1;
        assert_eq!(encoding(b"{\"a\":1}"), Encoding::Json);
        assert_eq!(encoding(b"{not json"), Encoding::Text);
        assert_eq!(encoding("订单".as_bytes()), Encoding::Text);
        assert_eq!(encoding(&[0xff, 0xfe]), Encoding::Binary);
    }

    #[test]
    fn what_is_shown_is_bounded_as_the_answer_carries_it() {
        for value in [
            "订".repeat(1_000),
            "\u{1}".repeat(1_000),
            "\"".repeat(1_000),
        ] {
            let (text, encoding, cut) = show(Some(&Bytes::from(value)), 100);
            assert_eq!((encoding, cut), (Encoding::Text, true));
            let json = serde_json::to_string(&text).unwrap();
            assert!(json.len() <= 102 && json.len() > 90, "{json}");
        }
        let (text, encoding, cut) = show(Some(&Bytes::from(vec![0xff; 1_000])), 100);
        assert_eq!((encoding, cut), (Encoding::Binary, true));
        assert_eq!(text.unwrap().len(), 100);
    }

    #[test]
    fn a_record_with_many_headers_shows_the_first_and_says_how_many() {
        let header = |i: usize| RecordHeader {
            key: format!("h{i}"),
            value: Some(Bytes::from_static(b"\xff")),
        };
        let record = Record {
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value: None,
            headers: (0..1_000).map(header).collect(),
        };
        let shown = message(
            0,
            &record,
            Shown {
                value_bytes_max: 8_192,
            },
        );
        assert!(shown.cut && shown.headers.len() < 20 && shown.headers_count == 1_000);
        assert_eq!(shown.headers[0].encoding, Encoding::Binary);
        assert_eq!(shown.headers[0].value_bytes, 1);
    }
}
