//! How messages are described, read and written.
//!
//! A message is declared once with the [`message!`] macro: its fields, the
//! versions that have them, which may be null, which are tagged. From that
//! come the struct, its `Default`, [`Message::encode`] and
//! [`Message::decode`] for every version.
//!
//! - [`Reader`] reads primitive types and never past its bytes.
//! - [`Writer`] writes them; large byte fields can be kept as shared chunks
//!   instead of copied, and a [`Payload`] need not be in memory at all.
//! - [`Field`] and [`Value`] say how each type travels.
//!
//! Invariants: a count is held against the bytes that remain, the cap on
//! elements and the cap on memory of one message before anything is
//! reserved; a field that is set but that the version cannot carry is an
//! error, not a silent loss, unless the protocol calls it ignorable.
//!
//! [`message!`]: crate::message

mod error;
mod field;
mod macros;
mod message;
mod payload;
mod reader;
mod tags;
mod value;
mod writer;

pub use error::{DecodeError, EncodeError};
pub use field::{At, Field, FieldSpec};
pub use message::{Message, decode_versioned, encode_versioned};
pub use payload::{Elsewhere, Payload};
pub use reader::Reader;
pub use tags::{TagReader, TagWriter};
pub use value::{Nullable, Value};
pub use writer::{
    Segment, Writer, put_unsigned_varint, put_varint, put_varlong, unsigned_varint_len, varint_len,
    varlong_len,
};
