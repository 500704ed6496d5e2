//! The Kafka wire protocol: what travels in a socket and what lies in a
//! segment file, as types. No I/O, no state, no policy.
//!
//! | module | what |
//! |---|---|
//! | [`batch`] | record batches v2: header, view, record iterator, builder, control markers |
//! | [`compression`] | gzip, snappy, lz4, zstd; every decoder has a cap on its output |
//! | [`codec`] | the bounded reader and writer that everything above is made of |
//!
//! Invariants:
//! - No input panics, and no count or length from the input is believed
//!   before it was held against the bytes that remain.
//! - Record payloads are never copied on the hot path: a decoded message and
//!   an uncompressed record hold slices of the frame that they came in.
//!
//! Deliberately absent: the message formats v0 and v1 (refused with a typed
//! error), sockets, topic metadata, and any decision about what to answer.

pub mod batch;
pub mod codec;
pub mod compression;
