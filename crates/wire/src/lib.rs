//! The Kafka wire protocol: what travels in a socket and what lies in a
//! segment file, as types. No I/O, no state, no policy.
//!
//! | module | what |
//! |---|---|
//! | [`frame`] | a request's frame and header, a response's frame, both sides |
//! | [`messages`] | requests and responses, one file for each API; the one list of them |
//! | [`api`] | what ties a request to its key, its versions and its response |
//! | [`records`] | formats inside records: internal topics, consumer protocol |
//! | [`batch`] | record batches v2: header, view, record iterator, builder, control markers |
//! | [`compression`] | gzip, snappy, lz4, zstd; every decoder has a cap on its output |
//! | [`codec`] | the bounded reader, the writer and the [`message!`] macro that all messages are made of |
//! | [`ErrorCode`] | the protocol's error codes |
//!
//! How a request travels: [`frame::split_frame`] takes it off the socket's
//! buffer, [`frame::RequestFrame::parse`] reads its header,
//! [`frame::RequestFrame::decode`] its body, a handler makes the
//! [`api::Request::Response`], [`frame::encode_response`] makes the chunks to
//! write. A new API is one file in `messages/` and one line in its list.
//!
//! Invariants:
//! - No input panics, and no count or length from the input is believed
//!   before it was held against the bytes that remain.
//! - Record payloads are never copied on the hot path: a decoded message and
//!   an uncompressed record hold slices of the frame that they came in, and an
//!   encoded response shares the batches that it carries.
//!
//! Deliberately absent: the message formats v0 and v1 (refused with a typed
//! error), sockets, topic metadata, and any decision about what to answer or
//! which versions to serve.

// First, so that the macros in it are known to all that follow.
#[cfg(feature = "testing")]
#[macro_use]
pub mod testing;
#[macro_use]
pub mod codec;

pub mod api;
pub mod batch;
pub mod compression;
mod error_code;
pub mod frame;
#[cfg(feature = "testing")]
pub mod fuzzing;
pub mod messages;
#[cfg(feature = "testing")]
pub mod mutate;
pub mod records;

pub use api::{Request, Response};
pub use codec::Message;
pub use error_code::ErrorCode;
pub use messages::ApiKey;
