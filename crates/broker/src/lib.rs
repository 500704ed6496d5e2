//! The Kafka broker: connections, dispatch, APIs, groups, transactions.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | options, handle, errors: starts and stops a broker |
//! | [`connection`] | sockets, framing, the request pipeline |
//! | [`api`] | one file per Kafka API, and the one list of them |
//! | [`group`] | consumer groups and their offsets |
//! | [`txn`] | transactions |
//! | [`journal`] | how the two keep their state |
//! | [`state`] | what handlers work on |
//! | [`stats`] | counters |

pub mod api;
pub mod connection;
pub mod group;
pub mod journal;
pub mod state;
pub mod stats;
mod task;
pub mod txn;
