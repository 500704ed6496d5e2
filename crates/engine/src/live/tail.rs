//! Follows a table's topic and keeps its rows.

use super::window::{Bounds, Decoded, Snapshot, Window};
use crate::operators::Context;
use crate::operators::sink::newest_input;
use crate::query::QueryError;
use crate::query::pool::{Line, QueryPool};
use crate::source::{Source, SourceError};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{Bus, BusError, FetchedRecords, Isolation, OffsetAt};
use millstream_sql::plan::SourceNode;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One wait for records.
const WAIT: Duration = Duration::from_secs(1);
/// Bytes read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// Pause after a failure, or while the topic is not there.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Failures in a row after which viewers are told: until then they see what
/// they saw.
const FAILURES_SHOWN: u32 = 3;

/// Bytes that all tails share equally.
pub(super) struct Budget {
    bytes_max: usize,
    tails: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            tails: AtomicUsize::new(0),
        }
    }

    fn share(&self) -> usize {
        self.bytes_max / self.tails.load(Ordering::Relaxed).max(1)
    }
}

/// A place in the budget.
struct Share(Arc<Budget>);

impl Share {
    fn take(budget: Arc<Budget>) -> Self {
        budget.tails.fetch_add(1, Ordering::Relaxed);
        Self(budget)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.tails.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a tail is made of.
pub(super) struct TailParts {
    pub(super) node: SourceNode,
    /// The columns to keep, by index into the table's schema, ascending.
    pub(super) columns: Vec<usize>,
    /// Newest records that are read at most.
    pub(super) rows_max: usize,
    /// Time of decoding one chunk.
    pub(super) time_max: Duration,
    pub(super) budget: Arc<Budget>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) pool: Arc<QueryPool>,
}

/// A table that is being followed.
pub(super) struct Tail {
    name: String,
    /// The table's full schema.
    schema: SchemaRef,
    columns: Vec<usize>,
    share: Share,
    kept: Mutex<Result<Window, String>>,
    /// Counts changes; 0 until the table has been read to what was its end.
    version: watch::Sender<u64>,
    _stop: DropGuard,
}

impl Tail {
    pub(super) fn start(parts: TailParts, runtime: &Handle) -> Arc<Self> {
        let cancel = CancellationToken::new();
        let full = parts.node.schema.clone();
        let fields = parts.columns.iter().filter_map(|c| full.fields().get(*c));
        let kept = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let tail = Arc::new(Self {
            name: parts.node.table.name.clone(),
            schema: full,
            columns: parts.columns.clone(),
            share: Share::take(Arc::clone(&parts.budget)),
            kept: Mutex::new(Ok(Window::new(kept.clone()))),
            version: watch::Sender::new(0),
            _stop: cancel.clone().drop_guard(),
        });
        let follower = Follower {
            kept,
            parts,
            // The task does not keep the tail alive: its subscribers do.
            tail: Arc::downgrade(&tail),
        };
        runtime.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = follower.run() => {}
            }
        });
        tail
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub(super) fn keeps(&self, column: usize) -> bool {
        self.columns.binary_search(&column).is_ok()
    }

    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What is kept now, or why nothing is.
    pub(super) fn snapshot(&self) -> Result<Snapshot, String> {
        match &*self.kept.lock() {
            Ok(window) => Ok(window.snapshot()),
            Err(reason) => Err(reason.clone()),
        }
    }
}

/// Keeps a tail's window up to date until the tail is gone.
struct Follower {
    /// The schema of what is kept.
    kept: SchemaRef,
    parts: TailParts,
    tail: Weak<Tail>,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl From<SourceError> for FollowError {
    fn from(error: SourceError) -> Self {
        Self::Query(error.into())
    }
}

impl Follower {
    async fn run(self) {
        let mut failures = 0;
        loop {
            match self.follow().await {
                Ok(()) => return,
                Err(FollowError::Bus(BusError::UnknownTopic(_))) => self.is_missing(),
                Err(error) => {
                    let topic = &self.parts.node.table.connector.topic;
                    tracing::warn!(topic, %error, "live table is read again");
                    // The log comes back; rows that cannot be made do not.
                    failures = match error {
                        FollowError::Query(_) => failures + 1,
                        FollowError::Bus(_) => 0,
                    };
                    if failures >= FAILURES_SHOWN {
                        self.failed(&error);
                    }
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Changes the window and wakes the queries. Nothing when the tail is
    /// gone.
    fn changed(&self, behind: usize, change: impl FnOnce(&mut Window, Bounds)) {
        let Some(tail) = self.tail.upgrade() else {
            return;
        };
        let bounds = Bounds {
            rows_max: self.parts.rows_max,
            bytes_max: tail.share.0.share(),
        };
        {
            let mut kept = tail.kept.lock();
            if kept.is_err() {
                *kept = Ok(Window::new(self.kept.clone()));
            }
            if let Ok(window) = &mut *kept {
                change(window, bounds);
            }
        }
        // While the table is being read up to its end nobody is shown half of it.
        if behind == 0 {
            tail.version.send_modify(|version| *version += 1);
        }
    }

    /// Its queries say why there is nothing to see.
    fn failed(&self, error: &FollowError) {
        if let Some(tail) = self.tail.upgrade() {
            *tail.kept.lock() = Err(format!("table '{}': {error}", tail.name));
            tail.version.send_modify(|version| *version += 1);
        }
    }

    /// The topic is not there: created when it is first used, empty until
    /// then.
    fn is_missing(&self) {
        let known = self.tail.upgrade().is_some_and(|tail| {
            let empty = tail.kept.lock().as_ref().is_ok_and(Window::is_empty);
            empty && *tail.version.borrow() > 0
        });
        if !known {
            self.changed(0, |window, _| window.clear(0));
        }
    }

    async fn follow(&self) -> Result<(), FollowError> {
        let parts = &self.parts;
        let topic = &parts.node.table.connector.topic;
        let Start {
            from,
            mut behind,
            unread,
        } = start(parts.bus.as_ref(), topic, parts.rows_max).await?;
        let mut source = Source::new(&parts.node)?;
        let mut reader = parts.bus.reader(&from, Isolation::ReadCommitted).await?;
        self.changed(behind.len(), |window, _| window.clear(unread));
        while self.tail.strong_count() > 0 {
            let chunks = reader.poll(WAIT, READ_BYTES).await?;
            if chunks.is_empty() {
                continue;
            }
            behind.retain(|tp, end| {
                let of = |chunk: &&FetchedRecords| chunk.topic_partition == *tp;
                let read = chunks.iter().filter(of).map(|c| c.next_offset).max();
                read.is_none_or(|next| next < *end)
            });
            let columns = parts.columns.clone();
            let work = move || async move {
                let decoded = chunks
                    .iter()
                    .map(|chunk| decode(&mut source, chunk, &columns))
                    .collect::<Result<Vec<_>, _>>();
                (source, decoded)
            };
            let (back, decoded) = parts.pool.run(Line::Live, parts.time_max, work).await?;
            source = back;
            let decoded = decoded?;
            self.changed(behind.len(), |window, bounds| {
                for rows in decoded {
                    window.push(rows, bounds);
                }
            });
        }
        Ok(())
    }
}

/// The rows of one chunk, with the columns that are kept. All columns are
/// decoded, so that a record counts here as it does for a query that reads
/// the whole table.
fn decode(
    source: &mut Source,
    chunk: &FetchedRecords,
    columns: &[usize],
) -> Result<Decoded, SourceError> {
    // What cannot be decoded is counted; its bytes are the business of the
    // jobs that read the table.
    let mut context = Context::default();
    let rows = source.decode(chunk, &mut context)?.batch.rows;
    let times = || chunk.records.iter().map(|r| r.timestamp_ms);
    Ok(Decoded {
        rows: rows
            .project(columns)
            .map_err(|e| SourceError::Operator(e.into()))?,
        oldest_ms: times().min(),
        newest_ms: newest_input(&chunk.records),
        skipped: context.failures.len() as u64,
    })
}

/// Where a table's topic is read from.
struct Start {
    from: Vec<(TopicPartition, Offset)>,
    /// Where the partitions that are not empty end now.
    behind: HashMap<TopicPartition, Offset>,
    /// Offsets before `from`.
    unread: u64,
}

/// From the first record, or as far back from the end as may be read.
async fn start(bus: &dyn Bus, topic: &str, rows_max: usize) -> Result<Start, BusError> {
    let info = bus.topic(topic).await?;
    let partitions = all_partitions(topic, info.partitions);
    let earliest = bus.offsets(&partitions, OffsetAt::Earliest).await?;
    let ends = bus.offsets(&partitions, OffsetAt::LatestStable).await?;
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let stored: i64 = earliest.iter().zip(&ends).map(|(e, end)| end.0 - e.0).sum();
    // A partition that is shorter than its share leaves the rest unused.
    let share = match stored {
        stored if stored <= rows_max => i64::MAX,
        _ => rows_max / i64::from(info.partitions.max(1)),
    };
    let mut start = Start {
        from: Vec::with_capacity(partitions.len()),
        behind: HashMap::new(),
        unread: 0,
    };
    for (tp, (earliest, end)) in partitions.into_iter().zip(earliest.into_iter().zip(ends)) {
        let from = earliest.max(Offset(end.0.saturating_sub(share)));
        start.unread += u64::try_from(from.0 - earliest.0).unwrap_or_default();
        if from < end {
            start.behind.insert(tp.clone(), end);
        }
        start.from.push((tp, from));
    }
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_share_the_budget_equally() {
        let budget = Arc::new(Budget::new(900));
        let first = Share::take(Arc::clone(&budget));
        assert_eq!(budget.share(), 900);
        let others = [
            Share::take(Arc::clone(&budget)),
            Share::take(Arc::clone(&budget)),
        ];
        assert_eq!(budget.share(), 300);
        drop(first);
        drop(others);
        assert_eq!(budget.share(), 900);
    }
}
