//! Live queries: a bounded SELECT, run again whenever its tables change.
//!
//! | module | what |
//! |---|---|
//! | `plan` | what a query needs of its tables |
//! | `tail` | a table's rows in memory, shared by its queries |
//! | `window` | those rows, within a bound |
//! | `table` | the rows as DataFusion reads them |
//! | `runner` | one for each distinct query text |
//!
//! A query sees all rows of its tables as long as they fit: the columns that
//! it needs, within a bound of bytes for all live queries together. Where
//! they do not, the newest win, and each result says what it covers. A runner
//! and a tail end when the last that needs them is gone.

mod plan;
mod runner;
mod table;
mod tail;
mod window;

pub(crate) use plan::{Planned, plan};

use crate::query::pool::QueryPool;
use crate::query::{CutBy, QueryColumn, QueryLimits, ResultRows};
use crate::service::EngineError;
use millstream_core::env::Clock;
use millstream_core::ports::Bus;
use millstream_sql::error::{Position, SqlError};
use parking_lot::Mutex;
use plan::Needed;
use runner::{Runner, RunnerParts};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use tail::{Budget, Tail, TailParts};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Settings of live queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOptions {
    /// Results sent at most, a second and query.
    pub push_per_s: u32,
    /// Newest records of a table that are read at most.
    pub rows_max: usize,
    /// Bytes of rows kept of all tables together, each with an equal share.
    pub bytes_max: usize,
    /// Bytes of a result's rows as JSON.
    pub result_bytes_max: usize,
    /// Distinct queries at a time.
    pub queries_max: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            push_per_s: 10,
            rows_max: 5_000_000,
            bytes_max: 256 * 1024 * 1024,
            result_bytes_max: 4 * 1024 * 1024,
            queries_max: 500,
        }
    }
}

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveResult {
    /// Names and types.
    pub columns: Vec<QueryColumn>,
    /// Values, row by row.
    pub rows: ResultRows,
    /// Set when there were more rows.
    pub truncated_by: Option<CutBy>,
    /// The tables of which it does not see all rows; empty when the answer is
    /// whole.
    pub covers: Vec<Covers>,
    /// Records of its tables that gave no row, because they cannot be
    /// decoded.
    pub skipped_records: u64,
    /// From the newest input record's timestamp to this result.
    pub age_ms: Option<f64>,
    /// Counts the results of this query.
    pub seq: u64,
}

/// A result whose tables have grown by more than this part of what was said
/// is news, though its rows are the same.
const COVERS_NEWS_DIVISOR: u64 = 100;

impl LiveResult {
    /// Whether someone who was shown this one learns nothing from `new`.
    fn says_the_same(&self, new: &Self) -> bool {
        let mut covers = self.covers.iter().zip(&new.covers);
        let grown =
            |(old, new): (&Covers, &Covers)| new.of.abs_diff(old.of) > old.of / COVERS_NEWS_DIVISOR;
        self.rows == new.rows
            && self.truncated_by == new.truncated_by
            && self.skipped_records == new.skipped_records
            && self.covers.len() == new.covers.len()
            && !covers.any(grown)
    }
}

/// What a live query sees of a table that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covers {
    /// The table.
    pub table: String,
    /// Its newest rows that are seen.
    pub rows: u64,
    /// Of how many; by offsets where rows were never read.
    pub of: u64,
    /// No record that is seen has an older timestamp than this, in
    /// milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
}

/// What a subscriber sees.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveState {
    /// The tables are being read for the first time.
    Loading,
    /// The newest result.
    Result(Arc<LiveResult>),
    /// The query failed; it is tried again when its tables change.
    Error(String),
}

/// A subscription; dropping it ends it.
pub struct LiveSubscription {
    states: watch::Receiver<LiveState>,
    topics: Vec<String>,
    _runner: Arc<Runner>,
}

impl LiveSubscription {
    /// The newest state that this subscriber has not seen; what came between
    /// is skipped. Cancel-safe. `None` when the engine shuts down.
    pub async fn next(&mut self) -> Option<LiveState> {
        loop {
            // A new subscription starts out marked as changed.
            self.states.changed().await.ok()?;
            let state = self.states.borrow_and_update().clone();
            if state != LiveState::Loading {
                return Some(state);
            }
        }
    }

    /// Topics that the query reads.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The newest state.
    pub fn current(&self) -> LiveState {
        self.states.borrow().clone()
    }
}

/// All live queries of an engine.
pub struct LiveQueries {
    options: LiveOptions,
    limits: QueryLimits,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    pool: Arc<QueryPool>,
    runtime: Handle,
    budget: Arc<Budget>,
    shared: Mutex<Shared>,
}

/// Tails of one table at a time. The first has the columns of the query that
/// came first, the next those of both, the last all: what differs between
/// queries costs two more readings of the table, not one each.
const TAILS_OF_TABLE_MAX: usize = 3;

#[derive(Default)]
struct Shared {
    /// By the query's text and its tables' definitions.
    runners: HashMap<Vec<String>, Weak<Runner>>,
    /// By the table's definition.
    tails: HashMap<String, Vec<Weak<Tail>>>,
    stopped: bool,
}

impl LiveQueries {
    pub(crate) fn new(
        options: LiveOptions,
        limits: QueryLimits,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        pool: Arc<QueryPool>,
        runtime: Handle,
    ) -> Self {
        let budget = Arc::new(Budget::new(options.bytes_max));
        let limits = QueryLimits {
            result_bytes_max: options.result_bytes_max,
            ..limits
        };
        Self {
            options,
            limits,
            bus,
            clock,
            pool,
            runtime,
            budget,
            shared: Mutex::default(),
        }
    }

    pub(crate) fn subscribe(&self, planned: Planned) -> Result<LiveSubscription, EngineError> {
        let topics = planned.topics();
        let mut shared = self.shared.lock();
        if shared.stopped {
            return Err(EngineError::Sql(SqlError::at(
                Position::START,
                "the engine is stopping",
            )));
        }
        let runner = match shared.runners.get(&planned.key).and_then(Weak::upgrade) {
            Some(runner) => runner,
            None => {
                shared.runners.retain(|_, runner| runner.strong_count() > 0);
                if shared.runners.len() >= self.options.queries_max {
                    let error = SqlError::at(Position::START, "too many live queries");
                    return Err(error.hint("close some dashboards").into());
                }
                let needed = planned.needed.iter();
                let tails = needed
                    .map(|needed| self.tail(&mut shared, needed))
                    .collect();
                let parts = RunnerParts {
                    plan: planned.plan,
                    time_zone: planned.time_zone,
                    tails,
                    limits: self.limits.clone(),
                    push_per_s: self.options.push_per_s,
                    clock: Arc::clone(&self.clock),
                    pool: Arc::clone(&self.pool),
                };
                let runner = Runner::start(parts, &self.runtime)?;
                shared.runners.insert(planned.key, Arc::downgrade(&runner));
                runner
            }
        };
        let mut states = runner.states();
        states.mark_changed();
        Ok(LiveSubscription {
            states,
            topics,
            _runner: runner,
        })
    }

    /// One that has the columns, or a new one.
    fn tail(&self, shared: &mut Shared, needed: &Needed) -> Arc<Tail> {
        let definition = &needed.node.table.statement;
        shared.tails.retain(|_, tails| {
            tails.retain(|tail| tail.strong_count() > 0);
            !tails.is_empty()
        });
        let others = shared.tails.entry(definition.clone()).or_default();
        let alive: Vec<Arc<Tail>> = others.iter().filter_map(Weak::upgrade).collect();
        let has_all = |tail: &&Arc<Tail>| needed.columns.iter().all(|c| tail.keeps(*c));
        if let Some(tail) = alive.iter().find(has_all) {
            return Arc::clone(tail);
        }
        let columns: BTreeSet<usize> = if alive.len() + 1 >= TAILS_OF_TABLE_MAX {
            (0..needed.node.schema.fields().len()).collect()
        } else {
            let theirs = alive.iter().flat_map(|tail| tail.columns());
            needed.columns.iter().chain(theirs).copied().collect()
        };
        let parts = TailParts {
            node: needed.node.clone(),
            columns: columns.into_iter().collect(),
            rows_max: self.options.rows_max,
            time_max: self.limits.time_max,
            budget: Arc::clone(&self.budget),
            bus: Arc::clone(&self.bus),
            pool: Arc::clone(&self.pool),
        };
        let tail = Tail::start(parts, &self.runtime);
        others.push(Arc::downgrade(&tail));
        tail
    }

    /// Tables, and sets of their columns, that are kept now.
    #[cfg(test)]
    pub(crate) fn tails(&self) -> usize {
        let shared = self.shared.lock();
        let all = shared.tails.values().flatten();
        all.filter(|tail| tail.strong_count() > 0).count()
    }

    pub(crate) fn shutdown(&self) {
        let mut shared = self.shared.lock();
        shared.stopped = true;
        for runner in shared
            .runners
            .drain()
            .filter_map(|(_, runner)| runner.upgrade())
        {
            runner.stop();
        }
    }
}
