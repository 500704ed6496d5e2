//! The streaming engine: operators, time, state, epochs, jobs.

pub mod batch;
pub mod changelog;
mod dead_letters;
pub mod job;
pub mod operators;
pub mod source;
