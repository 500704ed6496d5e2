//! The partition log: segments in Kafka's own on-disk format, group-committed
//! sync, recovery, retention, and the producer state that idempotence and
//! transactions need.
//!
//! ```text
//! DATA/
//!   meta.properties                      cluster.id, node.id
//!   recovery-point-offset-checkpoint     per partition: below it, no scan after a crash
//!   log-start-offset-checkpoint          per partition: first readable offset
//!   cleaner-offset-checkpoint            per partition: below it, all was compacted
//!   .kafka_cleanshutdown                 there after a clean stop only
//!   orders-0/
//!     00000000000000000000.log           record batches v2, as the client sent them
//!     00000000000000000000.index         sparse offset -> position
//!     00000000000000000000.timeindex     sparse timestamp -> offset
//!     00000000000000000000.txnindex      aborted transactions
//!     00000000000000000042.snapshot      producer state at offset 42
//!     leader-epoch-checkpoint            epoch -> first offset
//!     partition.metadata                 topic id
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`manager`] | [`LogManager`]: a data folder; opens, creates, deletes and looks after its logs |
//! | [`partition`] | [`PartitionLog`]: append, read, offsets, waiting, truncation, recovery |
//! | [`config`] | [`LogConfig`], [`Durability`] |
//! | [`durability`] | the shared flusher: who syncs what when (the seam for a journal) |
//! | `gather` | [`gather_syncs`]: syncs that are asked for in one go begin at once |
//! | [`error`] | one error enum per operation |
//! | [`cleaner`] | compaction |
//! | `segment`, `index`, `files` | one segment's files, the last append in memory; which of them are open |
//! | `buffers` | memory for large reads, used again |
//! | `together` | many things made durable at once |
//! | `producers` | producer state, its snapshot files, the last stable offset |
//! | `epochs`, `checkpoint` | the text files |
//!
//! How to use it: [`LogManager::open`], then [`LogManager::get`] or
//! [`LogManager::create`] a [`PartitionLog`] and give each its
//! [`LogConfig`] with [`PartitionLog::update_config`], then
//! [`LogManager::start`] (retention does not run before), and at the end
//! [`LogManager::shutdown`].
//! Calls that touch files block (an append is one `write` into the page
//! cache): make them on threads that may block. Waiting is async:
//! [`PartitionLog::wait_high_watermark`] for `acks=all`, and
//! [`PartitionLog::wake_on_progress`] for a long poll over many partitions.
//!
//! Invariants:
//! - `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
//! - With [`Durability::Fsync`] the high watermark moves only after
//!   `fdatasync` of every byte below it and of the names of their files.
//! - A failed sync stops the log ([`LogFailure`]) and is never retried.
//! - Recovery cuts a torn tail and nothing else, see [`partition::recovery`].
//! - All files are reached through [`millstream_core::env::Fs`], all time
//!   through [`millstream_core::env::Clock`].
//!
//! Deliberately absent: replication (a follower's append), checks that need the records of a batch (keyless records on compacted
//! topics: the broker's), and any Kafka error code.

pub mod cleaner;
pub mod config;
pub mod durability;
pub mod error;
pub mod manager;
pub mod partition;

#[cfg(feature = "testing")]
pub mod fuzzing;

mod buffers;
mod checkpoint;
mod epochs;
mod files;
mod gather;
mod index;
mod names;
mod producers;
mod segment;
mod together;

pub use cleaner::CleanerConfig;
pub use config::{CleanupPolicy, Durability, LogConfig, StoredCompression, TimestampType};
pub use error::{AppendError, LogError, LogFailure, OpenError, ReadError};
pub use gather::gather_syncs;
pub use manager::{
    LogCounts, LogManager, LogManagerOptions, LogMetrics, NewPartition, NewestEpochs,
};
pub use partition::{
    AbortedTransaction, AppendInfo, AppendOrigin, CheckedBatches, FetchRequest, FetchedBatches,
    FileRange, PartitionLog, ProducerSummary, Progress, ReadySet, TimestampedOffset, UpTo,
};

#[cfg(test)]
mod testing;

#[cfg(test)]
mod crash_points;

#[cfg(test)]
mod crash_tests;

#[cfg(test)]
mod model_tests;

#[cfg(test)]
mod scale_tests;

#[cfg(test)]
mod time_index_tests;
