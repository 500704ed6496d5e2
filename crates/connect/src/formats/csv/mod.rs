//! The `csv` format (Flink: Formats, CSV). One value is one line.
//!
//! Options: `field-delimiter`, `disable-quote-character`, `quote-character`,
//! `escape-character`, `allow-comments`, `ignore-parse-errors`,
//! `null-literal`, `write-bigdecimal-in-scientific-notation`. Not there:
//! `array-element-delimiter`; ARRAY, MAP, ROW and BYTES columns are refused,
//! use `json` for them.

mod decode;
mod encode;
mod line;

pub(super) use decode::CsvDecoder;
pub(super) use encode::CsvEncoder;

use super::FormatError;
use super::options::Options;
use arrow::datatypes::{DataType, Schema};
use std::collections::BTreeMap;

/// The format's name.
pub(super) const NAME: &str = "csv";

/// The format's options, read.
#[derive(Debug, Clone)]
struct CsvOptions {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    allow_comments: bool,
    ignore_parse_errors: bool,
    null_literal: Option<String>,
    decimal_scientific: bool,
}

impl CsvOptions {
    fn read(given: &BTreeMap<String, String>) -> Result<Self, FormatError> {
        let mut options = Options::new(NAME, given);
        let delimiter = options.character("field-delimiter")?.unwrap_or(b',');
        let no_quote = options.switch("disable-quote-character", false)?;
        let quote = options.character("quote-character")?;
        if no_quote && quote.is_some() {
            return Err(options.error(
                "'disable-quote-character' and 'quote-character' exclude each other".to_owned(),
            ));
        }
        let escape = options.character("escape-character")?;
        let read = Self {
            delimiter,
            quote: (!no_quote).then(|| quote.unwrap_or(b'"')),
            escape,
            allow_comments: options.switch("allow-comments", false)?,
            ignore_parse_errors: options.switch("ignore-parse-errors", false)?,
            null_literal: options.text("null-literal").map(str::to_owned),
            decimal_scientific: options.switch("write-bigdecimal-in-scientific-notation", true)?,
        };
        if read.quote == Some(delimiter) || escape == Some(delimiter) {
            return Err(options.error(
                "the field delimiter must differ from the quote and the escape character"
                    .to_owned(),
            ));
        }
        options.finish()?;
        Ok(read)
    }
}

fn check_types(schema: &Schema) -> Result<(), FormatError> {
    for field in schema.fields() {
        super::column::Column::new(NAME, field)?;
        if field.data_type().is_nested() || field.data_type() == &DataType::Binary {
            return Err(FormatError::Type {
                format: NAME.to_owned(),
                column: field.name().clone(),
                data_type: super::scalar::type_name(field.data_type()),
            });
        }
    }
    Ok(())
}
