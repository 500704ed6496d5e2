//! The newest rows of a table, in memory.

use super::LiveOptions;
use crate::operators::Context;
use crate::operators::sink::newest_input;
use crate::query::QueryError;
use crate::source::{Source, SourceError};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{Bus, BusError, FetchedRecords, Isolation, OffsetAt};
use millstream_sql::plan::SourceNode;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
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
/// Small batches at the end of the window after which they become one: each
/// query pays for the number of batches.
const SMALL_BATCHES_MAX: usize = 64;
/// What is small, in rows.
const SMALL_ROWS: usize = 1_024;

/// A table that is being followed.
pub(super) struct Tail {
    name: String,
    window: Mutex<Window>,
    /// Counts changes; 0 until the table has been read to what was its end.
    version: watch::Sender<u64>,
    _stop: DropGuard,
}

/// The rows, oldest first.
pub(super) struct Window {
    schema: SchemaRef,
    batches: VecDeque<RecordBatch>,
    rows: usize,
    bytes: usize,
    newest_ms: Option<i64>,
}

/// What a query sees of a table.
pub(super) struct Snapshot {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    /// Timestamp of the newest record.
    pub(super) newest_ms: Option<i64>,
}

impl Tail {
    pub(super) fn start(
        node: SourceNode,
        options: LiveOptions,
        bus: Arc<dyn Bus>,
        runtime: &Handle,
    ) -> Result<Arc<Self>, QueryError> {
        let source = Source::new(&node)?;
        let cancel = CancellationToken::new();
        let tail = Arc::new(Self {
            name: node.table.name.clone(),
            window: Mutex::new(Window::new(node.schema.clone())),
            version: watch::Sender::new(0),
            _stop: cancel.clone().drop_guard(),
        });
        // The task does not keep the tail alive: its subscribers do.
        let weak = Arc::downgrade(&tail);
        let topic = node.table.connector.topic.clone();
        runtime.spawn(async move {
            let follower = Follower {
                topic,
                source,
                options,
                bus,
                tail: weak,
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = follower.run() => {}
            }
        });
        Ok(tail)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let window = self.window.lock();
        Snapshot {
            schema: window.schema.clone(),
            batches: window.batches.iter().cloned().collect(),
            newest_ms: window.newest_ms,
        }
    }
}

impl Window {
    fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            batches: VecDeque::new(),
            rows: 0,
            bytes: 0,
            newest_ms: None,
        }
    }

    fn push(&mut self, batch: RecordBatch, newest_ms: Option<i64>, options: &LiveOptions) {
        self.newest_ms = self.newest_ms.max(newest_ms);
        if batch.num_rows() == 0 {
            return;
        }
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push_back(batch);
        self.merge_small();
        while self.rows > options.rows_max || self.bytes > options.bytes_max {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            let excess = self.rows.saturating_sub(options.rows_max);
            self.rows -= oldest.num_rows();
            self.bytes = self.bytes.saturating_sub(oldest.get_array_memory_size());
            // By rows the cut is exact; by bytes whole batches go.
            if excess > 0 && excess < oldest.num_rows() && self.bytes <= options.bytes_max {
                let kept = oldest.slice(excess, oldest.num_rows() - excess);
                self.rows += kept.num_rows();
                self.bytes += kept.get_array_memory_size();
                self.batches.push_front(kept);
                break;
            }
        }
    }

    fn merge_small(&mut self) {
        let small = self
            .batches
            .iter()
            .rev()
            .take_while(|b| b.num_rows() < SMALL_ROWS)
            .count();
        if small < SMALL_BATCHES_MAX {
            return;
        }
        let tail: Vec<RecordBatch> = self.batches.split_off(self.batches.len() - small).into();
        let before: usize = tail.iter().map(RecordBatch::get_array_memory_size).sum();
        match concat_batches(&self.schema, &tail) {
            Ok(merged) => {
                self.bytes = self.bytes.saturating_sub(before) + merged.get_array_memory_size();
                self.batches.push_back(merged);
            }
            Err(error) => {
                tracing::warn!(%error, "small batches stay apart");
                self.batches.extend(tail);
            }
        }
    }

    fn clear(&mut self) {
        *self = Self::new(self.schema.clone());
    }
}

/// Keeps a tail's window up to date until the tail is gone.
struct Follower {
    topic: String,
    source: Source,
    options: LiveOptions,
    bus: Arc<dyn Bus>,
    tail: std::sync::Weak<Tail>,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Follower {
    async fn run(mut self) {
        loop {
            match self.follow().await {
                Ok(()) => return,
                Err(FollowError::Bus(BusError::UnknownTopic(_))) => self.is_missing(),
                Err(error) => {
                    tracing::warn!(topic = self.topic, %error, "live table is read again");
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Changes the window and wakes the queries. Nothing when the tail is
    /// gone.
    fn changed(&self, behind: usize, change: impl FnOnce(&mut Window)) {
        let Some(tail) = self.tail.upgrade() else {
            return;
        };
        change(&mut tail.window.lock());
        // While the table is being read up to its end nobody is shown half of it.
        if behind == 0 {
            tail.version.send_modify(|version| *version += 1);
        }
    }

    /// The topic is not there: created when it is first used, empty until
    /// then.
    fn is_missing(&self) {
        let known = self.tail.upgrade().is_some_and(|tail| {
            let empty = tail.window.lock().rows == 0;
            empty && *tail.version.borrow() > 0
        });
        if !known {
            self.changed(0, Window::clear);
        }
    }

    async fn follow(&mut self) -> Result<(), FollowError> {
        let start = start(self.bus.as_ref(), &self.topic, self.options.rows_max).await?;
        let mut behind: HashMap<TopicPartition, Offset> = start
            .iter()
            .filter(|(_, from, end)| from < end)
            .map(|(tp, _, end)| (tp.clone(), *end))
            .collect();
        let from: Vec<_> = start.into_iter().map(|(tp, from, _)| (tp, from)).collect();
        let mut reader = self.bus.reader(&from, Isolation::ReadCommitted).await?;
        self.changed(behind.len(), Window::clear);
        while self.tail.strong_count() > 0 {
            let chunks = reader.poll(WAIT, READ_BYTES).await?;
            if chunks.is_empty() {
                continue;
            }
            let mut decoded = Vec::new();
            for chunk in &chunks {
                if behind
                    .get(&chunk.topic_partition)
                    .is_some_and(|end| chunk.next_offset >= *end)
                {
                    behind.remove(&chunk.topic_partition);
                }
                decoded.push((self.decode(chunk)?, newest(chunk)));
            }
            let options = &self.options;
            self.changed(behind.len(), |window| {
                for (rows, newest_ms) in decoded {
                    window.push(rows, newest_ms, options);
                }
            });
        }
        Ok(())
    }

    fn decode(&mut self, chunk: &FetchedRecords) -> Result<RecordBatch, SourceError> {
        // Records that cannot be decoded are the business of the jobs that
        // read the table.
        let mut ignored = Context::default();
        Ok(self.source.decode(chunk, &mut ignored)?.batch.rows)
    }
}

/// Where to read from, and what is the end now: far enough back for a full
/// window, and no further.
async fn start(
    bus: &dyn Bus,
    topic: &str,
    rows_max: usize,
) -> Result<Vec<(TopicPartition, Offset, Offset)>, BusError> {
    let info = bus.topic(topic).await?;
    let partitions = all_partitions(topic, info.partitions);
    let earliest = bus.offsets(&partitions, OffsetAt::Earliest).await?;
    let ends = bus.offsets(&partitions, OffsetAt::LatestStable).await?;
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let share = rows_max / i64::from(info.partitions.max(1));
    Ok(partitions
        .into_iter()
        .zip(earliest.into_iter().zip(ends))
        .map(|(tp, (earliest, end))| {
            let from = earliest.max(Offset(end.0.saturating_sub(share)));
            (tp, from, end)
        })
        .collect())
}

fn newest(chunk: &FetchedRecords) -> Option<i64> {
    newest_input(&chunk.records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    fn kept(window: &Window) -> Vec<i64> {
        let columns = window.batches.iter().map(|b| b.column(0));
        columns
            .flat_map(|c| {
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(c)
                    .values()
                    .to_vec()
            })
            .collect()
    }

    #[test]
    fn a_window_keeps_the_newest_rows_within_its_bound() {
        let options = LiveOptions {
            rows_max: 10,
            ..LiveOptions::default()
        };
        let mut window = Window::new(batch(0, 0).schema());
        for i in 0..7 {
            window.push(batch(i * 4, 4), Some(i), &options);
        }
        assert_eq!(kept(&window), (18..28).collect::<Vec<_>>());
        assert_eq!((window.rows, window.newest_ms), (10, Some(6)));
        window.push(batch(28, 100), Some(3), &options);
        assert_eq!(kept(&window), (118..128).collect::<Vec<_>>());
        assert_eq!(window.newest_ms, Some(6), "never older");
    }

    #[test]
    fn many_small_batches_become_one() {
        let options = LiveOptions::default();
        let mut window = Window::new(batch(0, 0).schema());
        for i in 0..1_000 {
            window.push(batch(i, 1), None, &options);
        }
        assert_eq!(kept(&window), (0..1_000).collect::<Vec<_>>());
        assert!(
            window.batches.len() <= SMALL_BATCHES_MAX,
            "{}",
            window.batches.len()
        );
        let bytes: usize = window
            .batches
            .iter()
            .map(RecordBatch::get_array_memory_size)
            .sum();
        assert_eq!(window.bytes, bytes);
    }
}
