//! The `json` format (Flink: Formats, JSON).
//!
//! Options: `fail-on-missing-field`, `ignore-parse-errors`,
//! `timestamp-format.standard`, `map-null-key.mode`, `map-null-key.literal`,
//! `encode.decimal-as-plain-number`, `encode.ignore-null-fields`.
//!
//! Differences from Flink, on purpose: a word that is neither `true` nor
//! `false` is no BOOLEAN (Flink reads it as false), and NULL for a NOT NULL
//! column is a failure (Flink lets it through).

mod decode;
mod encode;

pub(super) use decode::JsonDecoder;
pub(super) use encode::JsonEncoder;

use super::FormatError;
use super::datetime::TimestampStandard;
use super::options::Options;
use std::collections::BTreeMap;

/// The format's name.
pub(super) const NAME: &str = "json";

/// The format's options, read.
#[derive(Debug, Clone)]
struct JsonOptions {
    fail_on_missing_field: bool,
    ignore_parse_errors: bool,
    timestamp_standard: TimestampStandard,
    map_null_key: MapNullKey,
    decimal_plain: bool,
    ignore_null_fields: bool,
}

/// `map-null-key.mode`: what a NULL key of a map is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MapNullKey {
    Fail,
    Drop,
    Literal(String),
}

impl JsonOptions {
    fn read(given: &BTreeMap<String, String>) -> Result<Self, FormatError> {
        let mut options = Options::new(NAME, given);
        let fail_on_missing_field = options.switch("fail-on-missing-field", false)?;
        let ignore_parse_errors = options.switch("ignore-parse-errors", false)?;
        if fail_on_missing_field && ignore_parse_errors {
            return Err(options.error(
                "'fail-on-missing-field' and 'ignore-parse-errors' cannot both be 'true': keep one"
                    .to_owned(),
            ));
        }
        let standards = [
            ("SQL", TimestampStandard::Sql),
            ("ISO-8601", TimestampStandard::Iso8601),
        ];
        let timestamp_standard = options.choice(
            "timestamp-format.standard",
            &standards,
            TimestampStandard::Sql,
        )?;
        let literal = options.text("map-null-key.literal").unwrap_or("null");
        let mode = options.choice(
            "map-null-key.mode",
            &[("FAIL", 0), ("DROP", 1), ("LITERAL", 2)],
            0,
        )?;
        let map_null_key = match mode {
            1 => MapNullKey::Drop,
            2 => MapNullKey::Literal(literal.to_owned()),
            _ => MapNullKey::Fail,
        };
        let decimal_plain = options.switch("encode.decimal-as-plain-number", false)?;
        let ignore_null_fields = options.switch("encode.ignore-null-fields", false)?;
        options.finish()?;
        Ok(Self {
            fail_on_missing_field,
            ignore_parse_errors,
            timestamp_standard,
            map_null_key,
            decimal_plain,
            ignore_null_fields,
        })
    }
}
