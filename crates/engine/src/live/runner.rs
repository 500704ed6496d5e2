//! Runs one query again and again, for all who ask for it.

use super::table::LiveTable;
use super::tail::Tail;
use super::{Covers, LiveResult, LiveState};
use crate::query::pool::{Line, QueryPool};
use crate::query::values::ValueFormat;
use crate::query::{self, QueryError, QueryLimits};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use millstream_core::env::Clock;
use millstream_sql::planner::BoundedPlan;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One query that runs while someone holds it.
pub(super) struct Runner {
    states: watch::Receiver<LiveState>,
    cancel: CancellationToken,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What a runner is made of.
pub(super) struct RunnerParts {
    pub(super) plan: BoundedPlan,
    pub(super) time_zone: Tz,
    pub(super) tails: Vec<Arc<Tail>>,
    pub(super) limits: QueryLimits,
    /// Results at most.
    pub(super) push_per_s: u32,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pool: Arc<QueryPool>,
}

impl Runner {
    pub(super) fn start(parts: RunnerParts, runtime: &Handle) -> Result<Arc<Self>, QueryError> {
        let (sender, states) = watch::channel(LiveState::Loading);
        let cancel = CancellationToken::new();
        let columns = query::columns(&parts.plan);
        let format = ValueFormat {
            time_zone: parts.time_zone,
            types: columns.iter().map(|c| c.type_name.clone()).collect(),
        };
        let tables = parts.tails.iter().map(|tail| {
            let table = LiveTable::new(tail.schema().clone(), tail.columns().to_vec());
            Arc::new(table)
        });
        let work = Work {
            versions: parts.tails.iter().map(|tail| tail.versions()).collect(),
            pause: Duration::from_secs(1) / parts.push_per_s.max(1),
            sender,
            pool: parts.pool,
            time_max: parts.limits.time_max,
            query: Arc::new(LiveQuery {
                context: query::context(&parts.limits)?,
                tables: tables.collect(),
                prepared: OnceLock::new(),
                plan: parts.plan,
                tails: parts.tails,
                limits: parts.limits,
                clock: parts.clock,
                columns,
                format,
            }),
        };
        let cancelled = cancel.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = work.run() => {}
            }
        });
        Ok(Arc::new(Self { states, cancel }))
    }

    pub(super) fn states(&self) -> watch::Receiver<LiveState> {
        self.states.clone()
    }

    pub(super) fn stop(&self) {
        self.cancel.cancel();
    }
}

/// When the query runs.
struct Work {
    query: Arc<LiveQuery>,
    pool: Arc<QueryPool>,
    time_max: Duration,
    versions: Vec<watch::Receiver<u64>>,
    /// Least time between two results.
    pause: Duration,
    sender: watch::Sender<LiveState>,
}

impl Work {
    async fn run(mut self) {
        let mut seq = 0;
        loop {
            if self.versions.iter().all(|v| *v.borrow() > 0) {
                let began = Instant::now();
                self.versions.iter_mut().for_each(|v| v.mark_unchanged());
                let query = Arc::clone(&self.query);
                let work = move || async move { query.run(seq + 1).await };
                let result = self.pool.run(Line::Live, self.time_max, work).await;
                let state = match result {
                    Ok(Ok(result)) => LiveState::Result(Arc::new(result)),
                    Ok(Err(reason)) => LiveState::Error(reason),
                    Err(error) => LiveState::Error(error.to_string()),
                };
                if self.publish(state) {
                    seq += 1;
                }
                // The first change after a quiet time is shown at once.
                tokio::time::sleep_until(began + self.pause).await;
            }
            if !self.changed().await {
                return;
            }
        }
    }

    /// Waits for a change of any table; false when there are none to wait
    /// for.
    async fn changed(&mut self) -> bool {
        if self.versions.is_empty() {
            // A query without tables never changes.
            std::future::pending::<()>().await;
        }
        let waits = self.versions.iter_mut().map(|v| Box::pin(v.changed()));
        let (changed, _, _) = futures::future::select_all(waits).await;
        changed.is_ok()
    }

    /// Whether it was news.
    fn publish(&self, state: LiveState) -> bool {
        self.sender.send_if_modified(|current| {
            let same = match (&*current, &state) {
                (LiveState::Result(old), LiveState::Result(new)) => old.says_the_same(new),
                (old, new) => old == new,
            };
            if !same {
                *current = state;
            }
            !same
        })
    }
}

/// What runs.
struct LiveQuery {
    /// Made once, as is the plan: a query that runs ten times a second would
    /// pay for them.
    context: SessionContext,
    prepared: OnceLock<LogicalPlan>,
    plan: BoundedPlan,
    tails: Vec<Arc<Tail>>,
    /// One a tail.
    tables: Vec<Arc<LiveTable>>,
    columns: Vec<query::QueryColumn>,
    format: ValueFormat,
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
}

impl LiveQuery {
    /// Runs over what the tails hold now.
    async fn run(&self, seq: u64) -> Result<LiveResult, String> {
        let mut newest_ms = None;
        let mut covers = Vec::new();
        let mut skipped_records = 0;
        for (tail, table) in self.tails.iter().zip(&self.tables) {
            let snapshot = tail.snapshot()?;
            newest_ms = newest_ms.max(snapshot.newest_ms);
            skipped_records += snapshot.skipped;
            covers.extend(snapshot.covers.clone().map(|covers| Covers {
                table: tail.name().to_owned(),
                ..covers
            }));
            table.set(Some(snapshot));
        }
        let rows = self.rows().await;
        // Between runs only the tail holds on to its rows.
        self.tables.iter().for_each(|table| table.set(None));
        let rows = rows.map_err(|error| error.to_string())?;
        let now_ms = self.clock.now_ms();
        Ok(LiveResult {
            columns: self.columns.clone(),
            rows: rows.rows,
            truncated_by: rows.truncated_by,
            covers,
            skipped_records,
            age_ms: newest_ms.map(|ms| now_ms.saturating_sub(ms).max(0) as f64),
            seq,
        })
    }

    async fn rows(&self) -> Result<query::Rows, QueryError> {
        let prepared = match self.prepared.get() {
            Some(prepared) => prepared,
            None => {
                let tables = self.tails.iter().zip(&self.tables);
                let tables: HashMap<String, Arc<dyn TableProvider>> = tables
                    .map(|(tail, table)| {
                        (
                            tail.name().to_owned(),
                            Arc::clone(table) as Arc<dyn TableProvider>,
                        )
                    })
                    .collect();
                let prepared = query::prepare(&self.context, &self.plan, &tables)?;
                self.prepared.get_or_init(|| prepared)
            }
        };
        query::run(&self.context, prepared, &self.format, &self.limits).await
    }
}
