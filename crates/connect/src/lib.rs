//! Connectors: formats, sources, sinks and the bus on an external Kafka.

pub mod formats;
pub mod kafka;
