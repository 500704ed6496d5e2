//! Transactions: the coordinator of transactional ids and
//! `__transaction_state` (KIP-98).
//!
//! | module | what |
//! |---|---|
//! | [`image`] | what is known of a transactional id |
//! | [`machine`], [`ending`] | a transactional id as a pure state machine |
//! | [`records`] | Kafka's record format |
//! | [`shard`] | the ids of one partition |
//! | [`coordinator`], [`views`] | what others call; which writes are awaited, and why |
//! | [`finish`] | markers, the record of the end, timeouts, expiry |
//! | [`markers`] | what the coordinator needs from the rest of the broker |
//! | [`loader`] | reading a partition back after a start |
//! | [`rewrite`] | writing a partition's living records anew |
//!
//! Served are `transaction.version` 1 (partitions are added by the client
//! before it writes to them, and the epoch is bumped by InitProducerId, by a
//! timeout and by fencing only) and 2 (KIP-890: Produce 12 and TxnOffsetCommit
//! 5 add partitions, EndTxn 5 bumps the epoch), side by side: the versions of
//! the requests tell which. Deliberately absent is two-phase commit
//! (KIP-939); it is not announced.

mod config;
mod coordinator;
mod ending;
mod error;
mod finish;
mod image;
mod loader;
mod machine;
mod markers;
mod records;
mod rewrite;
mod shard;
mod views;

#[cfg(test)]
mod coordinator_tests;
#[cfg(test)]
mod machine_model_tests;
#[cfg(test)]
mod machine_tests;

pub use config::{TRANSACTIONAL_ID_BYTES_MAX, TxnConfig};
pub use coordinator::{ANSWER_WAIT_MAX, TxnCoordinator, TxnServices};
pub use error::{Dialect, FencedAs, OutsideAs, TxnError, code_of};
pub(crate) use finish::COORDINATOR_EPOCH;
pub use image::{ClientVersion, NO_EPOCH, NO_PRODUCER, Producer, TxnImage, TxnOutcome, TxnState};
pub use machine::{AddDecision, EndDecision, InitDecision, Transit, TxnMachine};
pub use markers::{Marker, MarkerError, MarkerWriter, ProducerIdSource};
pub use shard::Writing;
pub use views::{TxnList, TxnListing};
