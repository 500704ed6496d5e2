//! Primitive types of the protocol: a [`Reader`] that never reads past its
//! bytes and writers for the same types.

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, EncodeError};
pub use reader::Reader;
pub use writer::{
    put_unsigned_varint, put_varint, put_varlong, unsigned_varint_len, varint_len, varlong_len,
};
