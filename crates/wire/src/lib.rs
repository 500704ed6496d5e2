//! The Kafka wire protocol: frames, messages, record batches, compression, error codes
