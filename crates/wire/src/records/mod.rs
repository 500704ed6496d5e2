//! Formats inside records: those of the internal topics, which are Kafka's
//! own so that Kafka's tools read them, and those that consumers exchange.
//!
//! All begin with two bytes of version: see
//! [`encode_versioned`](crate::codec::encode_versioned) and
//! [`decode_versioned`](crate::codec::decode_versioned).

pub mod consumer_groups;
pub mod consumer_offsets;
pub mod consumer_protocol;
pub mod transaction_state;
