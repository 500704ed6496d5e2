//! Formats: bytes to columns and back. One file a format, one line in
//! [`decoder`] and [`encoder`].
//!
//! A decoder isolates failures: one bad value never costs another one its row.

mod cells;
mod column;
mod csv;
mod datetime;
mod json;
mod number;
mod options;
mod raw;
mod rows;
mod scalar;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Why a format could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No format of this name.
    #[error("format '{0}' is not available: use 'json' or 'csv', or 'raw' to read")]
    UnknownFormat(String),
    /// An option that the format does not have, or a value it cannot take.
    #[error("format '{format}': {reason}")]
    Option {
        /// Format name.
        format: String,
        /// What is wrong and what can be written instead.
        reason: String,
    },
    /// A column whose type the format cannot carry.
    #[error("format '{format}' cannot carry column '{column}' of type {data_type}")]
    Type {
        /// Format name.
        format: String,
        /// Column name.
        column: String,
        /// Its Arrow type.
        data_type: String,
    },
    /// A row that could not be encoded.
    #[error("format '{format}': {reason}")]
    Encode {
        /// Format name.
        format: String,
        /// Why.
        reason: String,
    },
}

/// A value that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeFailure {
    /// Index into the values given.
    pub index: usize,
    /// Why, for a person, without the value itself.
    pub reason: String,
}

/// What came of decoding some values.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, in the order of the values.
    pub batch: RecordBatch,
    /// For each row of `batch`, the index of the value it came from,
    /// ascending.
    pub rows: Vec<usize>,
    /// The values that gave no row, ascending. A null value (tombstone) is a
    /// failure here; sources that understand tombstones take them out before.
    /// Values that the format's options say to skip (`ignore-parse-errors`,
    /// `allow-comments`) are in neither list.
    pub failures: Vec<DecodeFailure>,
}

/// Decodes record values into rows of one schema.
pub trait Decoder: Send {
    /// One value, one row or one failure; never panics on any bytes.
    fn decode(&mut self, values: &[Option<Bytes>]) -> Result<Decoded, FormatError>;
}

/// Encodes rows of one schema into record values.
pub trait Encoder: Send {
    /// One value a row, in order.
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, FormatError>;
}

/// A decoder of format `name` into `schema`. Fails on an unknown format, an
/// unknown option or a type that the format cannot carry.
pub fn decoder(
    name: &str,
    options: &BTreeMap<String, String>,
    schema: SchemaRef,
) -> Result<Box<dyn Decoder>, FormatError> {
    match name {
        json::NAME => Ok(Box::new(json::JsonDecoder::new(options, schema)?)),
        csv::NAME => Ok(Box::new(csv::CsvDecoder::new(options, schema)?)),
        raw::NAME => Ok(Box::new(raw::RawDecoder::new(options, schema)?)),
        _ => Err(FormatError::UnknownFormat(name.to_owned())),
    }
}

/// An encoder of format `name` from `schema`; fails as [`decoder`] does.
pub fn encoder(
    name: &str,
    options: &BTreeMap<String, String>,
    schema: SchemaRef,
) -> Result<Box<dyn Encoder>, FormatError> {
    match name {
        json::NAME => Ok(Box::new(json::JsonEncoder::new(options, schema)?)),
        csv::NAME => Ok(Box::new(csv::CsvEncoder::new(options, schema)?)),
        raw::NAME => Err(FormatError::Option {
            format: name.to_owned(),
            reason: "it is for reading only: write 'json' or 'csv'".to_owned(),
        }),
        _ => Err(FormatError::UnknownFormat(name.to_owned())),
    }
}

#[cfg(test)]
mod not_yet;
#[cfg(test)]
mod tests;
