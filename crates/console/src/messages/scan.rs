//! Reads what a [`Merge`] asks for, within the budget of one answer.

use super::filter::Filter;
use super::merge::{Chunk, Merge, Merged};
use super::show::{Message, Shown, message, unreadable};
use super::{Budget, bus_problem};
use crate::problem::Problem;
use axum::http::StatusCode;
use bytes::Bytes;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{Bus, BusReader, FetchedRecords, Isolation, Record};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Bytes asked of the log at once.
const POLL_BYTES_MAX: usize = 1 << 20;
/// How long one poll waits: what is asked for is there already.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// Bytes read of one chunk before a smaller one is tried.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Messages held beside those of the answer while chunks are read, in bytes.
const CHUNKS_HELD_BYTES_MAX: usize = 8 << 20;

/// What is read, and how.
pub(super) struct Scan<'a> {
    pub(super) bus: &'a dyn Bus,
    pub(super) topic: &'a str,
    pub(super) merge: Merge,
    pub(super) filter: Filter,
    pub(super) shown: Shown,
    /// Messages that are wanted.
    pub(super) wanted: usize,
    pub(super) budget: Budget,
    /// The client has gone.
    pub(super) gone: CancellationToken,
}

/// What was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// Records looked at.
    pub(super) records: usize,
    bytes: usize,
    started: Instant,
}

impl Spent {
    fn is_over(&self, budget: &Budget) -> bool {
        self.records >= budget.records_max || self.bytes >= budget.bytes_max || self.is_late(budget)
    }

    fn is_late(&self, budget: &Budget) -> bool {
        self.started.elapsed() >= budget.time_max
    }
}

impl Scan<'_> {
    /// Reads until the answer is decided, the budget is spent or the client
    /// has gone. The bool: the budget was spent.
    pub(super) async fn run(mut self) -> Result<(Merged, Spent, bool), Problem> {
        let mut spent = Spent {
            records: 0,
            bytes: 0,
            started: Instant::now(),
        };
        let mut reader: Option<Box<dyn BusReader>> = None;
        loop {
            let chunks = self.merge.chunks();
            if chunks.is_empty() {
                return Ok((self.merge.finish(), spent, false));
            }
            if spent.is_over(&self.budget) {
                return Ok((self.merge.finish(), spent, true));
            }
            let mut round = Round::new(chunks, self.merge.backwards, self.wanted);
            let mut open = match reader.take() {
                Some(open) => self.seek(open, &round).await?,
                None => self.open(&round).await?,
            };
            while !round.is_over() && !spent.is_late(&self.budget) {
                if self.gone.is_cancelled() {
                    return Err(gone());
                }
                let fetched = open
                    .poll(POLL_WAIT, POLL_BYTES_MAX)
                    .await
                    .map_err(bus_problem)?;
                for fetched in &fetched {
                    if self.read(&mut round, fetched, &mut spent) {
                        self.park(&mut *open, &fetched.topic_partition).await?;
                    }
                }
                if spent.bytes >= self.budget.bytes_max.saturating_mul(2) {
                    break;
                }
            }
            for chunk in round.chunks {
                self.merge.take(chunk);
            }
            reader = Some(open);
        }
    }

    async fn open(&self, round: &Round) -> Result<Box<dyn BusReader>, Problem> {
        let start: Vec<_> = round
            .chunks
            .iter()
            .map(|chunk| (self.partition(chunk.partition), Offset(chunk.from)))
            .collect();
        self.bus
            .reader(&start, Isolation::ReadCommitted)
            .await
            .map_err(bus_problem)
    }

    async fn seek(
        &self,
        mut reader: Box<dyn BusReader>,
        round: &Round,
    ) -> Result<Box<dyn BusReader>, Problem> {
        for chunk in &round.chunks {
            reader
                .seek(&self.partition(chunk.partition), Offset(chunk.from))
                .await
                .map_err(bus_problem)?;
        }
        Ok(reader)
    }

    /// Has the reader pass over a partition of which enough was read.
    async fn park(
        &self,
        reader: &mut dyn BusReader,
        partition: &TopicPartition,
    ) -> Result<(), Problem> {
        let end = self.merge.end(partition.partition.0);
        reader
            .seek(partition, Offset(end))
            .await
            .map_err(bus_problem)
    }

    fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic, partition)
    }

    /// Looks at records; whether enough of their partition has been read.
    fn read(&self, round: &mut Round, fetched: &FetchedRecords, spent: &mut Spent) -> bool {
        let partition = fetched.topic_partition.partition.0;
        let Some(at) = round.places.get(&partition).copied() else {
            return true;
        };
        let mut apart = unreadable(fetched).peekable();
        for record in &fetched.records {
            while let Some(range) = apart.next_if(|range| range.offset < record.offset.0) {
                round.push_apart(at, range);
            }
            if !round.wants(at, record.offset.0) {
                continue;
            }
            spent.records += 1;
            let bytes = size(record);
            spent.bytes = spent.bytes.saturating_add(bytes);
            let found = self
                .filter
                .matches(record)
                .then(|| message(partition, record, self.shown));
            round.push(at, (record.offset.0, record.timestamp_ms), bytes, found);
        }
        for range in apart {
            round.push_apart(at, range);
        }
        round.read_to(at, fetched.next_offset.0)
    }
}

fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    length(&record.key) + length(&record.value)
}

fn gone() -> Problem {
    // Nobody is there to read it.
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the client has gone")
}

/// Chunks that are read together.
struct Round {
    chunks: Vec<Chunk>,
    /// Where the chunk of a partition is.
    places: HashMap<i32, usize>,
    read_bytes: Vec<usize>,
    held_bytes: usize,
    backwards: bool,
    wanted: usize,
}

impl Round {
    fn new(chunks: Vec<Chunk>, backwards: bool, wanted: usize) -> Self {
        let places = chunks.iter().enumerate();
        Self {
            places: places.map(|(at, chunk)| (chunk.partition, at)).collect(),
            read_bytes: vec![0; chunks.len()],
            chunks,
            held_bytes: 0,
            backwards,
            wanted,
        }
    }

    fn is_over(&self) -> bool {
        self.chunks.iter().all(Chunk::is_over)
    }

    fn wants(&self, at: usize, offset: i64) -> bool {
        self.chunks.get(at).is_some_and(|chunk| chunk.wants(offset))
    }

    /// What stands for records that cannot be read is shown whatever is looked
    /// for: what is asked for may be among them.
    fn push_apart(&mut self, at: usize, range: Message) {
        if self.wants(at, range.offset) {
            self.push(at, (range.offset, range.timestamp_ms), 0, Some(range));
        }
    }

    fn push(
        &mut self,
        at: usize,
        (offset, timestamp_ms): (i64, i64),
        bytes: usize,
        found: Option<Message>,
    ) {
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        if let Some(read) = self.read_bytes.get_mut(at) {
            *read += bytes;
        }
        self.held_bytes += found.as_ref().map_or(0, Message::cost);
        chunk.push(offset, timestamp_ms, found);
        if chunk.held() > self.wanted {
            self.held_bytes -= self.held_bytes.min(chunk.shed(self.backwards));
        }
        while self.held_bytes > CHUNKS_HELD_BYTES_MAX {
            let fullest = self.chunks.iter_mut().max_by_key(|chunk| chunk.held());
            let shed = fullest.map_or(0, |chunk| chunk.shed(self.backwards));
            if shed == 0 {
                return;
            }
            self.held_bytes -= self.held_bytes.min(shed);
        }
    }

    /// All of a partition before `offset` has been read; whether its chunk
    /// is over.
    fn read_to(&mut self, at: usize, offset: i64) -> bool {
        let read = self.read_bytes.get(at).copied().unwrap_or(0);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return true;
        };
        chunk.read_to(offset);
        if read > CHUNK_BYTES_MAX && chunk.to - chunk.from > 1 && !chunk.is_over() {
            chunk.give_up();
        }
        chunk.is_over()
    }
}
