//! Transactions: the coordinator of transactional ids and
//! `__transaction_state` (KIP-98).
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | a transactional id as a pure state machine |
//! | [`records`] | Kafka's record format |
//! | [`shard`] | the ids of one partition |
//! | [`coordinator`], [`views`] | what others call; which writes are awaited, and why |
//! | [`finish`] | markers, the record of the end, timeouts, expiry |
//! | [`markers`] | what the coordinator needs from the rest of the broker |
//! | [`loader`] | reading a partition back after a start |
//! | [`rewrite`] | writing a partition's living records anew |
//!
//! Served is `transaction.version` 1: partitions are added by the client
//! before it writes to them, and the epoch is bumped by InitProducerId, by a
//! timeout and by fencing only. Deliberately absent: version 2 (KIP-890 part
//! two: EndTxn 5 bumps the epoch, Produce 12 adds partitions by itself), and
//! two-phase commit (KIP-939). They are not announced.

mod config;
mod coordinator;
mod error;
mod finish;
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
mod machine_tests;

pub use config::{TRANSACTIONAL_ID_BYTES_MAX, TxnConfig};
pub use coordinator::{ANSWER_WAIT_MAX, TxnCoordinator, TxnServices};
pub use error::{FencedAs, TxnError, code_of};
pub use machine::{
    AddDecision, EndDecision, InitDecision, NO_EPOCH, NO_PRODUCER, Producer, Transit, TxnImage,
    TxnMachine, TxnOutcome, TxnState,
};
pub use markers::{Marker, MarkerError, MarkerWriter, ProducerIdSource};
pub use views::{TxnList, TxnListing};
