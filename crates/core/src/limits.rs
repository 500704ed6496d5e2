//! Bounds that more than one crate shares. A bound that only one crate needs
//! lives beside the code that enforces it.

/// Longest topic name, in characters (Kafka's `Topic.MAX_NAME_LENGTH`).
pub const TOPIC_NAME_CHARS_MAX: usize = 249;
/// Largest request frame accepted from a socket, in bytes
/// (`socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Elements in one decoded array (Kafka 4.4's cap).
pub const ARRAY_ELEMENTS_MAX: usize = 1_000_000;
/// Tagged fields in one structure (Kafka 4.4's cap).
pub const TAGGED_FIELDS_MAX: usize = 10_000;
/// Uncompressed bytes that one record batch may expand to, whatever its topic
/// takes, in bytes.
pub const BATCH_UNCOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Uncompressed bytes that one record batch may expand to in any topic, in
/// bytes: 64 times the default `max.message.bytes`.
pub const BATCH_UNCOMPRESSED_BYTES_MIN: usize = 64 * 1024 * 1024;
/// How many times `max.message.bytes` a batch of a topic may expand to. Text
/// that says the same again and again reaches 20 to 50.
pub const BATCH_EXPANSION_MAX: usize = 64;
/// Default `max.message.bytes`: largest record batch as stored, in bytes.
pub const MESSAGE_BYTES_MAX_DEFAULT: usize = 1_048_588;
/// Partitions that one node serves.
pub const PARTITIONS_MAX: usize = 100_000;
/// Length of one SQL text, in bytes.
pub const SQL_BYTES_MAX: usize = 1024 * 1024;

/// Uncompressed bytes that a batch may expand to in a topic that takes batches
/// of `message_bytes_max` (`max.message.bytes`).
#[must_use]
pub fn batch_uncompressed_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max
        .saturating_mul(BATCH_EXPANSION_MAX)
        .clamp(BATCH_UNCOMPRESSED_BYTES_MIN, BATCH_UNCOMPRESSED_BYTES_MAX)
}
