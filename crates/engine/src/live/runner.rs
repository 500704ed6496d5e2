//! Runs one query again and again, for all who ask for it.

use super::tail::Tail;
use super::{LiveResult, LiveState};
use crate::query::values::ValueFormat;
use crate::query::{self, QueryError, QueryLimits};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use millstream_core::env::Clock;
use millstream_sql::planner::BoundedPlan;
use std::collections::HashMap;
use std::sync::Arc;
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

impl Runner {
    pub(super) fn start(
        plan: BoundedPlan,
        tails: Vec<Arc<Tail>>,
        limits: QueryLimits,
        push_per_s: u32,
        time_zone: Tz,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<Arc<Self>, QueryError> {
        let (sender, states) = watch::channel(LiveState::Loading);
        let cancel = CancellationToken::new();
        let columns = query::columns(&plan);
        let format = ValueFormat {
            time_zone,
            types: columns.iter().map(|c| c.type_name.clone()).collect(),
        };
        let work = Work {
            context: query::context(&limits)?,
            versions: tails.iter().map(|tail| tail.versions()).collect(),
            pause: Duration::from_secs(1) / push_per_s.max(1),
            sender,
            columns,
            format,
            plan,
            tails,
            limits,
            clock,
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

struct Work {
    /// Made once: a query that runs ten times a second would pay for it.
    context: SessionContext,
    plan: BoundedPlan,
    tails: Vec<Arc<Tail>>,
    versions: Vec<watch::Receiver<u64>>,
    columns: Vec<query::QueryColumn>,
    format: ValueFormat,
    limits: QueryLimits,
    /// Least time between two results.
    pause: Duration,
    sender: watch::Sender<LiveState>,
    clock: Arc<dyn Clock>,
}

impl Work {
    async fn run(mut self) {
        let mut seq = 0;
        loop {
            if self.versions.iter().all(|v| *v.borrow() > 0) {
                let began = Instant::now();
                self.versions.iter_mut().for_each(|v| v.mark_unchanged());
                let state = match self.query(seq + 1).await {
                    Ok(result) => LiveState::Result(Arc::new(result)),
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

    async fn query(&self, seq: u64) -> Result<LiveResult, QueryError> {
        let mut tables: HashMap<String, Arc<dyn TableProvider>> = HashMap::new();
        let mut newest_ms = None;
        for tail in &self.tails {
            let snapshot = tail.snapshot();
            newest_ms = newest_ms.max(snapshot.newest_ms);
            let table = MemTable::try_new(snapshot.schema, vec![snapshot.batches])?;
            tables.insert(tail.name().to_owned(), Arc::new(table));
        }
        let rows = query::run(
            &self.context,
            &self.plan,
            &tables,
            &self.format,
            &self.limits,
        )
        .await?;
        let now_ms = self.clock.now_ms();
        Ok(LiveResult {
            columns: self.columns.clone(),
            rows: rows.rows,
            age_ms: newest_ms.map(|ms| now_ms.saturating_sub(ms).max(0) as f64),
            seq,
        })
    }

    /// Whether it was news.
    fn publish(&self, state: LiveState) -> bool {
        self.sender.send_if_modified(|current| {
            let same = match (&*current, &state) {
                (LiveState::Result(old), LiveState::Result(new)) => old.rows == new.rows,
                (old, new) => old == new,
            };
            if !same {
                *current = state;
            }
            !same
        })
    }
}
