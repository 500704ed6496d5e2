//! Flink's SQL dialect: parser, types, catalog, planner, functions.
//!
//! Text goes in, a [`plan::JobPlan`] or a bounded query plan comes out. This
//! crate runs nothing: the engine does.
//!
//! | module | what |
//! |---|---|
//! | [`parser`] | text to [`statement::Statement`]s |
//! | [`statement`] | statements as parsed |
//! | [`types`] | Flink's types, their Arrow twins, their names |
//! | [`catalog`] | tables, and how the planner asks for them |
//! | [`planner`] | statements to plans |
//! | [`plan`] | what the engine gets |
//! | [`functions`] | the functions that SQL may call |
//! | [`session`] | what `SET` changes |
//! | [`error`] | refusals, with place and hint |
//!
//! Everything that is not supported is refused with line, column and what to
//! write instead; nothing in a statement is ignored.

pub mod catalog;
pub mod error;
pub mod functions;
pub mod parser;
pub mod plan;
pub mod planner;
pub mod session;
mod stack;
pub mod statement;
pub mod types;
