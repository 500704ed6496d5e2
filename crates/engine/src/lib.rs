//! The streaming engine: Flink SQL jobs with exactly-once epochs on any bus.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | the engine: statements in, results and running jobs out |
//! | [`job`] | one task a job: read, compute, commit epoch by epoch |
//! | [`operators`] | projection, filter, window aggregation, sink; one file each |
//! | [`source`] | records to rows, event time |
//! | [`changelog`] | state and positions on the job's changelog topic |
//! | [`batch`] | what flows between operators |
//! | [`query`] | bounded queries, and the threads that all queries run on |
//! | [`live`] | bounded queries that run again when their tables change |
//!
//! Invariants:
//!
//! - One transaction an epoch holds outputs, dead letters, late rows, state
//!   changes and positions; its commit decides.
//! - Recovery fences, then reads the changelog to its stable end, then reads
//!   on where the last control record says.
//! - Operators do no I/O and read no clock.
//! - What people ask never runs on the threads of the jobs ([`query::pool`]).
//!
//! Deliberately absent: the broker. The engine knows topics through
//! [`millstream_core::ports::Bus`] alone, so the same job runs in the
//! broker's process and against any Kafka cluster. State that does not fit in
//! memory, retractions and jobs with more than one task come later.

pub mod batch;
pub mod changelog;
mod dead_letters;
pub mod job;
pub mod live;
pub mod operators;
pub mod query;
pub mod service;
pub mod source;

pub use job::{JobInfo, JobOptions, JobStatus};
pub use live::{Covers, LiveOptions, LiveResult, LiveState, LiveSubscription};
pub use query::pool::PoolOptions;
pub use query::{CutBy, QueryColumn, QueryError, QueryLimits, QueryResult, ResultRows};
pub use service::{Engine, EngineError, EngineHandle, EngineOptions, TableColumn, TableInfo};
