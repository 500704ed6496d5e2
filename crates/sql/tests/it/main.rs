//! The dialect from outside: text in, tables, plans, results and refusals
//! out.

// The harness is a test too: what it unwraps is a failure of the test.
#![allow(clippy::unwrap_used)]

mod bounds;
mod expressions;
mod flink;
mod flink_files;
mod harness;
mod jobs;
mod properties;
mod queries;
mod refusals;
mod tables;
mod values;
