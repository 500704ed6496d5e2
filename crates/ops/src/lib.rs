//! Operations: what the cluster does now, how well, and for whom to know.
//!
//! | module | what |
//! |---|---|
//! | [`inputs`] | plain readings, taken once a second |
//! | [`monitor`] | readings in, a [`monitor::Snapshot`] for all pages out; pure |
//! | [`groups`] | lag in records and in time |
//! | [`health`] | the ledger |
//! | [`stream`] | the graph of the overview |
//! | `link` | addresses of the console's pages, names encoded |
//! | [`prometheus`] | `/metrics` |
//! | [`process`] | CPU, memory, disk |
//! | [`collect`] | takes the readings of the broker |
//!
//! Invariants: nothing here is asked per page or per viewer; a page reads the
//! last snapshot. All memory is bounded by the number of topics, groups and
//! jobs and by the lengths of the histories.

pub mod collect;
pub mod groups;
pub mod health;
pub mod inputs;
mod link;
pub mod monitor;
pub mod process;
pub mod prometheus;
pub mod rates;
pub mod stream;
