//! Live queries: a bounded SELECT, run again whenever its tables change.
//!
//! | module | what |
//! |---|---|
//! | `tail` | the newest rows of a table, in memory, one for all queries |
//! | `runner` | one for each distinct query text |
//!
//! A query sees the newest rows of its tables within a bound of rows and of
//! bytes. A runner and a tail end when the last that needs them is gone.

mod runner;
mod tail;

use crate::query::{QueryColumn, QueryLimits};
use crate::service::EngineError;
use millstream_core::env::Clock;
use millstream_core::ports::Bus;
use millstream_sql::catalog::Catalog;
use millstream_sql::error::{Position, SqlError};
use millstream_sql::planner::{plan_bounded, source_node};
use millstream_sql::session::Session;
use millstream_sql::statement::StatementKind;
use parking_lot::Mutex;
use runner::Runner;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tail::Tail;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Settings of live queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOptions {
    /// Results sent at most, a second and query.
    pub push_per_s: u32,
    /// Rows kept of a table; the newest win.
    pub rows_max: usize,
    /// Bytes kept of a table.
    pub bytes_max: usize,
    /// Distinct queries at a time.
    pub queries_max: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            push_per_s: 10,
            rows_max: 200_000,
            bytes_max: 64 * 1024 * 1024,
            queries_max: 500,
        }
    }
}

/// A result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveResult {
    /// Names and types.
    pub columns: Vec<QueryColumn>,
    /// Values, row by row.
    pub rows: Vec<Vec<Value>>,
    /// From the newest input record's timestamp to this result.
    pub age_ms: Option<f64>,
    /// Counts the results of this query.
    pub seq: u64,
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
    runtime: Handle,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By the query's text and its tables' definitions.
    runners: HashMap<Vec<String>, Weak<Runner>>,
    /// By the table's definition.
    tails: HashMap<String, Weak<Tail>>,
    stopped: bool,
}

impl LiveQueries {
    pub(crate) fn new(
        options: LiveOptions,
        limits: QueryLimits,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Self {
        Self {
            options,
            limits,
            bus,
            clock,
            runtime,
            shared: Mutex::default(),
        }
    }

    pub(crate) fn subscribe(
        &self,
        sql: &str,
        catalog: &dyn Catalog,
        session: &Session,
    ) -> Result<LiveSubscription, EngineError> {
        let query = only_query(sql)?;
        let plan = plan_bounded(&query, catalog, session)?;
        let mut key = vec![sql.trim().to_owned(), session.time_zone.name().to_owned()];
        key.extend(plan.tables.iter().map(|table| table.statement.clone()));
        let topics = plan
            .tables
            .iter()
            .map(|t| t.connector.topic.clone())
            .collect();
        let mut shared = self.shared.lock();
        if shared.stopped {
            return Err(EngineError::Sql(SqlError::at(
                Position::START,
                "the engine is stopping",
            )));
        }
        let runner = match shared.runners.get(&key).and_then(Weak::upgrade) {
            Some(runner) => runner,
            None => {
                shared.runners.retain(|_, runner| runner.strong_count() > 0);
                if shared.runners.len() >= self.options.queries_max {
                    let error = SqlError::at(Position::START, "too many live queries");
                    return Err(error.hint("close some dashboards").into());
                }
                let mut tails = Vec::new();
                for table in &plan.tables {
                    let node = source_node(table, session)?;
                    tails.push(self.tail(&mut shared, &table.statement, node)?);
                }
                let clock = Arc::clone(&self.clock);
                let limits = self.limits.clone();
                let push_per_s = self.options.push_per_s;
                let zone = session.time_zone;
                let runner =
                    Runner::start(plan, tails, limits, push_per_s, zone, clock, &self.runtime)?;
                shared.runners.insert(key, Arc::downgrade(&runner));
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

    fn tail(
        &self,
        shared: &mut Shared,
        definition: &str,
        node: millstream_sql::plan::SourceNode,
    ) -> Result<Arc<Tail>, EngineError> {
        if let Some(tail) = shared.tails.get(definition).and_then(Weak::upgrade) {
            return Ok(tail);
        }
        shared.tails.retain(|_, tail| tail.strong_count() > 0);
        let tail = Tail::start(
            node,
            self.options.clone(),
            Arc::clone(&self.bus),
            &self.runtime,
        )?;
        shared
            .tails
            .insert(definition.to_owned(), Arc::downgrade(&tail));
        Ok(tail)
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

fn only_query(sql: &str) -> Result<millstream_sql::statement::Query, EngineError> {
    let mut statements = millstream_sql::parser::parse(sql)?;
    let Some(statement) = statements.pop() else {
        return Err(EngineError::Empty);
    };
    match statement.kind {
        StatementKind::Query(query) if statements.is_empty() => Ok(query),
        _ => {
            let error = SqlError::at(statement.position, "a live query is one SELECT");
            Err(error
                .hint("run other statements with POST /api/v1/sql")
                .into())
        }
    }
}
