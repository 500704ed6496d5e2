//! Fetching: sessions, and the read that may have to wait.
//!
//! `api/fetch.rs` speaks the protocol; here is what it decides with.

pub(crate) mod budget;
pub(crate) mod read;
pub(crate) mod sessions;
