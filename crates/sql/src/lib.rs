//! Flink's SQL dialect: parser, types, catalog, planner, functions.
//!
//! Text goes in, a [`plan::JobPlan`] or a bounded query plan comes out. This
//! crate runs nothing: the engine does.

pub mod catalog;
pub mod plan;
