//! Reading: assigned partitions in turn, waiting on their logs.

use super::opened::{Chunk, Opened, Step};
use super::{bus_error, log_of};
use crate::state::BrokerState;
use async_trait::async_trait;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::limits::batch_uncompressed_bytes_max;
use millstream_core::ports::{BusError, BusReader, FetchedRecords, Isolation, UnreadableRange};
use millstream_log::{FetchRequest, FetchedBatches, PartitionLog, ReadError, UpTo};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A reader this many records behind the end reads what may no longer be in
/// the page cache, so it reads on a thread that may block.
const CATCH_UP_RECORDS: i64 = 100_000;
/// Why what lies behind a damaged batch cannot be read.
const DAMAGED: &str = "the batch before it is damaged, and no whole one begins here";

/// Reads assigned partitions.
pub(super) struct EmbeddedReader {
    state: Arc<BrokerState>,
    up_to: UpTo,
    assigned: Vec<Assigned>,
    /// Which partition is read first by the next poll.
    turn: usize,
    /// What was fetched and not yet handed out.
    opened: Option<Opened>,
    /// Read and not given out yet: kept here so that a dropped poll loses
    /// nothing.
    ready: Vec<FetchedRecords>,
    waker: Arc<Notify>,
}

struct Assigned {
    partition: TopicPartition,
    log: Arc<PartitionLog>,
    offset: Offset,
    /// Whether the next batch is to be searched for: the one before it is
    /// damaged.
    is_behind_damage: bool,
}

/// What a partition had.
enum Fetched {
    Nothing,
    Opened(Box<Opened>),
    Unreadable(UnreadableRange),
}

impl EmbeddedReader {
    pub(super) fn new(
        state: Arc<BrokerState>,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Self, BusError> {
        let up_to = match isolation {
            Isolation::ReadUncommitted => UpTo::HighWatermark,
            Isolation::ReadCommitted => UpTo::LastStable,
        };
        let mut reader = Self {
            state,
            up_to,
            assigned: Vec::new(),
            turn: 0,
            opened: None,
            ready: Vec::new(),
            waker: Arc::new(Notify::new()),
        };
        for (partition, offset) in start {
            reader.assign(partition, *offset)?;
        }
        Ok(reader)
    }

    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        let log = log_of(&self.state, partition)?;
        self.opened.take_if(|o| o.partition == *partition);
        self.ready.retain(|r| r.topic_partition != *partition);
        match self.assigned.iter_mut().find(|a| a.partition == *partition) {
            Some(assigned) => {
                assigned.log = log;
                assigned.offset = offset;
                assigned.is_behind_damage = false;
            }
            None => self.assigned.push(Assigned {
                partition: partition.clone(),
                log,
                offset,
                is_behind_damage: false,
            }),
        }
        Ok(())
    }

    /// Reads what is there now into `ready`, in turn from all partitions.
    async fn read(&mut self, deadline: Instant, bytes_max: usize) -> Result<(), BusError> {
        let mut left = bytes_max;
        let mut looked_at = 0;
        while left > 0 || self.ready.is_empty() {
            if self.opened.is_none() {
                if looked_at == self.assigned.len() {
                    return Ok(());
                }
                looked_at += 1;
                self.open_next(left).await?;
                continue;
            }
            let mut chunk = Chunk::new(left);
            let step = self.hand_out(deadline, &mut chunk).await;
            left = left.saturating_sub(chunk.bytes);
            self.give(chunk, matches!(step, Step::Damaged));
            match step {
                Step::Done | Step::Damaged => self.opened = None,
                Step::Full | Step::NeedsRoom => return Ok(()),
            }
        }
        Ok(())
    }

    /// Hands out what is opened, waiting for room only before there is
    /// anything to lose.
    async fn hand_out(&mut self, deadline: Instant, chunk: &mut Chunk) -> Step {
        loop {
            let Some(opened) = &mut self.opened else {
                return Step::Done;
            };
            match opened.hand_out(chunk) {
                Step::NeedsRoom => {}
                step => return step,
            }
            if !self.ready.is_empty() || !chunk.is_empty() {
                // What there is goes out first.
                return Step::NeedsRoom;
            }
            let taking = self.state.expansion_budget().take(opened.room_bytes());
            let room = tokio::time::timeout_at(deadline, taking).await;
            let Some(expand) = room.ok().flatten().and_then(|room| opened.expansion(room)) else {
                return Step::NeedsRoom;
            };
            // A poll that is dropped here has lost nothing.
            match tokio::task::spawn_blocking(expand).await {
                Ok(expanded) => opened.expanded(expanded, chunk),
                Err(_) => return Step::NeedsRoom,
            }
        }
    }

    /// Puts what was handed out where it is not lost.
    fn give(&mut self, chunk: Chunk, is_damaged: bool) {
        let Some(opened) = &self.opened else { return };
        let next_offset = opened.next_offset();
        let Some(assigned) = self
            .assigned
            .iter_mut()
            .find(|a| a.partition == opened.partition)
        else {
            return;
        };
        assigned.is_behind_damage |= is_damaged;
        if next_offset <= assigned.offset && chunk.is_empty() {
            return;
        }
        assigned.offset = next_offset;
        if let Some(hosted) = self.state.hosted(&opened.partition.topic) {
            let records = chunk.records_count() as u64;
            hosted.stats.fetched(records, 0);
        }
        let records = opened.close(chunk);
        tell(&records);
        self.ready.push(records);
    }

    /// Fetches from the partition whose turn it is.
    async fn open_next(&mut self, left: usize) -> Result<(), BusError> {
        let count = self.assigned.len();
        let place = self.turn % count.max(1);
        self.turn = place + 1;
        let Some(assigned) = self.assigned.get(place) else {
            return Ok(());
        };
        let is_searched = assigned.is_behind_damage;
        let opened = match self.fetch(assigned, left, self.ready.is_empty()).await {
            Ok(Fetched::Opened(opened)) => opened,
            Ok(Fetched::Nothing) => return Ok(()),
            Ok(Fetched::Unreadable(range)) => {
                self.skip(place, range);
                return Ok(());
            }
            // What is ready is given out first; the next poll says it again.
            Err(_) if !self.ready.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        if is_searched && let Some(assigned) = self.assigned.get_mut(place) {
            assigned.is_behind_damage = false;
        }
        self.opened = Some(*opened);
        Ok(())
    }

    /// Sets apart what the log could not fetch.
    fn skip(&mut self, place: usize, range: UnreadableRange) {
        let Some(assigned) = self.assigned.get_mut(place) else {
            return;
        };
        assigned.offset = range.last_offset.plus(1);
        assigned.is_behind_damage = false;
        let end_offset = match self.up_to {
            UpTo::LastStable => assigned.log.last_stable_offset(),
            _ => assigned.log.high_watermark(),
        };
        let records = FetchedRecords {
            topic_partition: assigned.partition.clone(),
            records: Vec::new(),
            next_offset: assigned.offset,
            unreadable: vec![range],
            end_offset,
        };
        tell(&records);
        self.ready.push(records);
    }

    async fn fetch(
        &self,
        assigned: &Assigned,
        left: usize,
        first: bool,
    ) -> Result<Fetched, BusError> {
        let progress = assigned.log.progress();
        let end_offset = self.end(assigned);
        let inside = assigned.offset >= progress.log_start_offset
            && assigned.offset <= progress.log_end_offset;
        if inside && assigned.offset >= end_offset {
            return match progress.failure {
                Some(_) => Err(self.gone(assigned)),
                None => Ok(Fetched::Nothing),
            };
        }
        let request = FetchRequest {
            offset: assigned.offset,
            bytes_max: left,
            min_one_batch: first,
            up_to: self.up_to,
        };
        if assigned.is_behind_damage
            && let Some(range) = self.behind(assigned, end_offset, DAMAGED).await?
        {
            return Ok(Fetched::Unreadable(range));
        }
        let read = match read_log(&assigned.log, request, end_offset).await {
            Err(ReadError::Corrupt {
                path,
                position,
                what,
            }) => {
                let path = path.display();
                let reason = format!("{path} is damaged at position {position}: {what}");
                match self.behind(assigned, end_offset, &reason).await? {
                    Some(range) => return Ok(Fetched::Unreadable(range)),
                    // The place is known now.
                    None => read_log(&assigned.log, request, end_offset).await,
                }
            }
            read => read,
        };
        let batches = read.map_err(|error| read_error(error, assigned))?;
        if batches.next_offset == assigned.offset {
            return Ok(Fetched::Nothing);
        }
        let end_offset = match self.up_to {
            UpTo::LastStable => batches.last_stable_offset,
            _ => batches.high_watermark,
        };
        if let Some(hosted) = self.state.hosted(&assigned.partition.topic) {
            hosted.stats.fetched(0, batches.batches.len() as u64);
        }
        let message_bytes_max = assigned.log.config().message_bytes_max as usize;
        Ok(Fetched::Opened(Box::new(Opened::new(
            assigned.partition.clone(),
            assigned.offset,
            batches,
            end_offset,
            batch_uncompressed_bytes_max(message_bytes_max),
        ))))
    }

    /// What a damaged place makes unreadable: all up to the next batch that is
    /// whole. `None` where that is the one asked for.
    async fn behind(
        &self,
        assigned: &Assigned,
        end_offset: Offset,
        reason: &str,
    ) -> Result<Option<UnreadableRange>, BusError> {
        let (log, offset) = (Arc::clone(&assigned.log), assigned.offset);
        let searched = tokio::task::spawn_blocking(move || log.intact_from(offset)).await;
        let intact = match searched {
            Ok(found) => found.map_err(|error| read_error(error, assigned))?,
            Err(stopped) => return Err(BusError::Fatal(stopped.to_string())),
        };
        let next = intact.unwrap_or(end_offset).min(end_offset);
        if next <= offset {
            return Ok(None);
        }
        Ok(Some(UnreadableRange {
            first_offset: offset,
            last_offset: Offset(next.0 - 1),
            reason: reason.to_owned(),
        }))
    }

    fn end(&self, assigned: &Assigned) -> Offset {
        match self.up_to {
            UpTo::LastStable => assigned.log.last_stable_offset(),
            _ => assigned.log.high_watermark(),
        }
    }

    /// Why a log that has stopped gives nothing more.
    fn gone(&self, assigned: &Assigned) -> BusError {
        match log_of(&self.state, &assigned.partition) {
            Ok(log) if Arc::ptr_eq(&log, &assigned.log) => {
                BusError::Fatal(format!("{}: its log has stopped", assigned.partition))
            }
            // Deleted, and perhaps created again: not the one we read.
            Ok(_) => BusError::UnknownTopic(assigned.partition.topic.clone()),
            Err(error) => error,
        }
    }
}

#[async_trait]
impl BusReader for EmbeddedReader {
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError> {
        let deadline = Instant::now() + wait_max;
        loop {
            // Registered before the look: what happens in between wakes us.
            for assigned in &self.assigned {
                assigned.log.wake_on_progress(&self.waker);
            }
            self.read(deadline, bytes_max).await?;
            if !self.ready.is_empty() {
                if let Some(opened) = &self.opened {
                    opened.park(self.state.expansion_budget());
                }
                return Ok(std::mem::take(&mut self.ready));
            }
            if deadline <= Instant::now() {
                return Ok(Vec::new());
            }
            let woken = tokio::time::timeout_at(deadline, self.waker.notified()).await;
            if woken.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        self.assign(partition, offset)
    }
}

/// What cannot be read is for a person too.
fn tell(fetched: &FetchedRecords) {
    for range in &fetched.unreadable {
        tracing::error!(
            partition = %fetched.topic_partition, from = %range.first_offset,
            to = %range.last_offset, reason = range.reason,
            "records cannot be read: they are left out; restore the segment from a copy, or delete them (DeleteRecords)"
        );
    }
}

async fn read_log(
    log: &Arc<PartitionLog>,
    request: FetchRequest,
    end_offset: Offset,
) -> Result<FetchedBatches, ReadError> {
    if end_offset.0.saturating_sub(request.offset.0) <= CATCH_UP_RECORDS {
        return log.read(request);
    }
    let behind = Arc::clone(log);
    match tokio::task::spawn_blocking(move || behind.read(request)).await {
        Ok(read) => read,
        // The runtime is ending; a read on this thread is still right.
        Err(_) => log.read(request),
    }
}

fn read_error(error: ReadError, assigned: &Assigned) -> BusError {
    match error {
        ReadError::OffsetOutOfRange { offset, .. } => BusError::OffsetOutOfRange {
            topic_partition: assigned.partition.clone(),
            offset,
        },
        other => bus_error(other.into(), &assigned.partition.topic),
    }
}
