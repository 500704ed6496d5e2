//! The traits through which layers meet that must not see each other.

pub mod bus;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
pub mod memory_bus;

pub use bus::{
    Bus, BusError, BusReader, ENGINE_CLIENT_ID, FetchedRecords, Isolation, OffsetAt, ProduceRecord,
    Record, RecordHeader, TopicInfo, TopicSpec, TransactionWriter, UnreadableRange, Writer,
};
