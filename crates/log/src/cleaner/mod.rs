//! The log cleaner: `cleanup.policy=compact` (KIP-71 for both policies).
//!
//! Of each key only the newest record counts. A round reads the dirty part of
//! a log (sealed segments that no round has seen) into a map of bounded memory
//! from key to newest offset, then writes all segments up to the end of that
//! part anew without the records that the map has a newer one of.
//!
//! | file | what |
//! |---|---|
//! | `offset_map.rs` | key to newest offset, in bounded memory |
//! | `transactions.rs` | which batches are of aborted transactions, which markers nobody needs |
//! | `plan.rs` | what of a log may be cleaned, whether it is worth it, in which groups |
//! | `filter.rs` | what is left of one batch |
//! | `round.rs` | one round over one log |
//! | `swap.rs` | how cleaned files take the place of others, and what a crash leaves |
//!
//! When and which log: `manager/cleaning.rs`. The first four are pure.
//!
//! Invariants, all of them Kafka's:
//! - Never the active segment, never at or beyond the last stable offset.
//! - Offsets, producer fields and leader epochs of what is kept stay; a batch
//!   is written anew only when records in it die or it gets its horizon.
//! - A tombstone, and a marker whose transaction has no records left, stays
//!   for `delete.retention.ms` after the round that first saw it so; the time
//!   is kept in the batch (KIP-534).
//! - The last batch of a producer stays, emptied if need be: it holds the
//!   sequence. So does the last batch of each group of segments: it holds
//!   where the group ends.
//! - Records of aborted transactions go at once; their abort marker and its
//!   entry in the transaction index stay as long as any of their batches do.
//! - `cleaner-offset-checkpoint` moves only after the segments below it are
//!   replaced durably. Were it ahead, a tombstone could go before the records
//!   that it hides.

mod filter;
mod offset_map;
mod plan;
mod round;
pub(crate) mod swap;
mod transactions;

pub(crate) use filter::LastOfProducer;
pub(crate) use plan::{CleanPlan, LogFacts, SegmentFacts};
pub(crate) use round::{CleanError, Cleaned, Control, clean};

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

/// How the cleaner of a data folder works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanerConfig {
    /// `log.cleaner.dedupe.buffer.size`: bytes that the map from key to offset
    /// may take; 24 a key. Taken only while a round runs, and no more than the
    /// round's records need.
    pub dedupe_bytes_max: usize,
    /// `log.cleaner.io.max.bytes.per.second`: bytes read and written by the
    /// cleaner in a second; `None` is as fast as the disk.
    pub io_bytes_per_second_max: Option<u64>,
    /// `log.cleaner.backoff.ms`: how long the cleaner rests when no log needs
    /// it.
    pub backoff_ms: u64,
}

impl Default for CleanerConfig {
    /// Kafka's.
    fn default() -> Self {
        Self {
            dedupe_bytes_max: 128 << 20,
            io_bytes_per_second_max: None,
            backoff_ms: 15_000,
        }
    }
}
