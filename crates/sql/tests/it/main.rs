//! The dialect from outside: text in, tables, plans, results and refusals
//! out.

mod expressions;
mod harness;
mod jobs;
mod properties;
mod queries;
mod refusals;
mod tables;
