//! The Kafka broker: connections, dispatch, APIs, groups, transactions.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | options, handle, errors: starts and stops a broker |
//! | [`bus`] | the engine's port, in process |
//! | [`connection`] | sockets, framing, the request pipeline |
//! | [`api`] | one file per Kafka API, and the one list of them |
//! | [`group`] | consumer groups and their offsets |
//! | [`txn`] | transactions |
//! | [`journal`] | how the two keep their state |
//! | [`state`] | what handlers work on |
//! | [`topics`] | creating topics, and their logs on this node |
//! | `coordination` | what the coordinators need of the broker |
//! | `fetch` | sessions, and reads that wait |
//! | `seldom` | warnings that would fill the log, told seldom |
//! | `error` | the one place where errors become Kafka's codes |
//! | [`stats`] | counters |

pub mod api;
pub mod bus;
pub mod connection;
mod coordination;
pub mod error;
mod fetch;
pub mod group;
pub mod journal;
mod seldom;
pub mod service;
pub mod state;
pub mod stats;
mod task;
pub mod topics;
pub mod txn;

pub use bus::EmbeddedBus;
pub use service::{Advertised, Broker, BrokerDeps, BrokerError, BrokerHandle, BrokerOptions};
pub use state::{BrokerState, RequestContext};
pub use stats::BrokerStats;
