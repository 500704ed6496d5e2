//! The batches of one fetch, handed out record by record: one batch at a time
//! is checked against its checksum and expanded.
//!
//! What cannot be read is set apart by its offsets, and the batches behind it
//! are read all the same.

use super::expansion::{ExpansionBudget, FREE_BYTES_MAX, Parked, Room};
use bytes::Bytes;
use millstream_core::ids::{Offset, ProducerId, TopicPartition};
use millstream_core::ports::{FetchedRecords, Record, RecordHeader, UnreadableRange};
use millstream_log::{AbortedTransaction, FetchedBatches};
use millstream_wire::batch::{
    BatchError, BatchView, ControlKind, EndTxnMarker, Records, SplitBatches, split_batches,
};
use millstream_wire::compression::{Compression, CompressionError};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

/// Batches of one partition that were fetched and not yet handed out.
pub(super) struct Opened {
    pub(super) partition: TopicPartition,
    batches: SplitBatches,
    aborted: Aborted,
    current: Option<Current>,
    /// One past what was handed out.
    next_offset: Offset,
    /// Where the fetch ended.
    fetched_to: Offset,
    /// The end of what the reader may see.
    end_offset: Offset,
    /// Bytes that a batch of this topic may expand to.
    expanded_max: usize,
}

/// The batch that is being handed out.
struct Current {
    batch: BatchView,
    /// Its records from `next_offset` on. `None` inside: to be expanded,
    /// again if the room was needed elsewhere.
    records: Arc<Parked>,
    is_large: bool,
}

impl Current {
    fn unread(batch: BatchView) -> Self {
        Self {
            batch,
            records: Arc::new(Mutex::new(None)),
            is_large: false,
        }
    }
}

/// How far handing out came.
pub(super) enum Step {
    /// All of the fetch is handed out.
    Done,
    /// The chunk is full.
    Full,
    /// The next batch expands to more than is free for all.
    NeedsRoom,
    /// A batch was damaged on the disk: what it tells of its length, and so
    /// what comes behind it, is not to be believed.
    Damaged,
}

impl Opened {
    pub(super) fn new(
        partition: TopicPartition,
        from: Offset,
        batches: FetchedBatches,
        end_offset: Offset,
        expanded_max: usize,
    ) -> Self {
        Self {
            partition,
            fetched_to: batches.next_offset,
            aborted: Aborted::new(batches.aborted),
            batches: split_batches(batches.batches),
            current: None,
            next_offset: from,
            end_offset,
            expanded_max,
        }
    }

    /// The bytes for which room is to be taken after [`Step::NeedsRoom`].
    pub(super) fn room_bytes(&self) -> usize {
        self.expanded_max
    }

    /// After a poll.
    pub(super) fn park(&self, budget: &ExpansionBudget) {
        if let Some(current) = &self.current
            && current.is_large
        {
            budget.park(&current.records);
        }
    }

    /// Expands the large batch that comes next, into room for it. Blocks for
    /// as long as that takes. `None` when there is none such.
    pub(super) fn expansion(&self, room: Room) -> Option<impl FnOnce() -> Expanded + Send + use<>> {
        let batch = self.current.as_ref()?.batch.clone();
        let expanded_max = self.expanded_max;
        Some(move || {
            let expanded = batch.expand(expanded_max);
            Expanded {
                base_offset: batch.base_offset(),
                records: expanded.map(|bytes| batch.records_in(room.holding(bytes))),
            }
        })
    }

    /// Takes what [`expansion`](Self::expansion) gave.
    pub(super) fn expanded(&mut self, expanded: Expanded, chunk: &mut Chunk) {
        let Some(current) = &self.current else { return };
        if current.batch.base_offset() != expanded.base_offset {
            return;
        }
        match expanded.records {
            Ok(records) => *current.records.lock() = Some(records),
            Err(error) => self.set_apart(&error, chunk),
        }
    }

    /// Hands out records until the chunk is full.
    pub(super) fn hand_out(&mut self, chunk: &mut Chunk) -> Step {
        loop {
            if self.current.is_none() {
                match self.batches.next() {
                    None => {
                        self.next_offset = self.next_offset.max(self.fetched_to);
                        return Step::Done;
                    }
                    Some(Ok(batch)) => {
                        if let Err(error) = batch.verify_crc() {
                            self.current = Some(Current::unread(batch));
                            self.set_apart(&error, chunk);
                            return Step::Damaged;
                        }
                        self.open(batch, chunk);
                    }
                    Some(Err(_)) => return Step::Damaged,
                }
                continue;
            }
            if let Some(step) = self.hand_out_current(chunk) {
                return step;
            }
        }
    }

    /// Looks at the next batch; it becomes the current one if it has records
    /// to show.
    fn open(&mut self, batch: BatchView, chunk: &mut Chunk) {
        let hides = self.aborted.hides(&batch);
        if let Ok(hides) = hides
            && (hides || batch.header().is_control())
        {
            self.next_offset = self.next_offset.max(Offset(batch.header().next_offset()));
            return;
        }
        // Nothing is expanded of what is not compressed.
        let is_plain = batch.header().compression() == Ok(Compression::None);
        let free = if is_plain { usize::MAX } else { FREE_BYTES_MAX };
        let expanded = hides.and_then(|_| batch.expand(free.min(self.expanded_max)));
        let mut current = Current::unread(batch);
        let refused = match expanded {
            Ok(bytes) => {
                let records = current.batch.records_in(bytes);
                current.records = Arc::new(Mutex::new(Some(records)));
                None
            }
            Err(BatchError::Compression(CompressionError::TooLarge { .. })) if !is_plain => {
                current.is_large = true;
                None
            }
            Err(error) => Some(error),
        };
        self.current = Some(current);
        if let Some(error) = refused {
            self.set_apart(&error, chunk);
        }
    }

    /// `None` when the current batch has been handed out.
    fn hand_out_current(&mut self, chunk: &mut Chunk) -> Option<Step> {
        let current = self.current.as_ref()?;
        let Some(mut records) = current.records.lock().take() else {
            return Some(Step::NeedsRoom);
        };
        loop {
            if chunk.is_full() {
                *current.records.lock() = Some(records);
                return Some(Step::Full);
            }
            match records.next() {
                Some(Ok(record)) if record.offset >= self.next_offset.0 => {
                    self.next_offset = Offset(record.offset.saturating_add(1));
                    chunk.push(record);
                }
                // Handed out before, or before what was asked for.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.set_apart(&error, chunk);
                    return None;
                }
                None => {
                    let next = Offset(current.batch.header().next_offset());
                    self.next_offset = self.next_offset.max(next);
                    self.current = None;
                    return None;
                }
            }
        }
    }

    /// The rest of the current batch cannot be read.
    fn set_apart(&mut self, error: &BatchError, chunk: &mut Chunk) {
        let Some(current) = self.current.take() else {
            return;
        };
        let last = Offset(current.batch.last_offset());
        if last >= self.next_offset {
            let first = self.next_offset.max(Offset(current.batch.base_offset()));
            chunk.unreadable(first, last, reason(error));
            self.next_offset = last.plus(1);
        }
    }

    /// The chunk as the reader's caller gets it.
    pub(super) fn close(&self, chunk: Chunk) -> FetchedRecords {
        FetchedRecords {
            topic_partition: self.partition.clone(),
            records: chunk.records,
            unreadable: chunk.unreadable,
            next_offset: self.next_offset,
            end_offset: self.end_offset,
        }
    }

    /// One past what was handed out.
    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset
    }
}

fn reason(error: &BatchError) -> String {
    match error {
        BatchError::Compression(CompressionError::TooLarge { bytes_max }) => format!(
            "the records of the batch expand to more than {bytes_max} bytes: to read them raise the topic's max.message.bytes, of which a batch may expand to 64 times"
        ),
        BatchError::Crc { .. } => {
            format!("{error}: it was damaged after it was stored")
        }
        other => other.to_string(),
    }
}

/// What came of expanding a large batch.
pub(super) struct Expanded {
    base_offset: i64,
    records: Result<Records, BatchError>,
}

/// Records on their way to the reader's caller.
pub(super) struct Chunk {
    records: Vec<Record>,
    unreadable: Vec<UnreadableRange>,
    bytes_left: usize,
    pub(super) bytes: usize,
}

impl Chunk {
    /// Takes about so many bytes, at least one record.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            records: Vec::new(),
            unreadable: Vec::new(),
            bytes_left: bytes_max.max(1),
            bytes: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes_left == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.unreadable.is_empty()
    }

    pub(super) fn records_count(&self) -> usize {
        self.records.len()
    }

    fn push(&mut self, record: millstream_wire::batch::Record) {
        let record = own_record(record);
        self.take(bytes_of(&record));
        self.records.push(record);
    }

    pub(super) fn unreadable(&mut self, first: Offset, last: Offset, reason: String) {
        self.take(size_of::<UnreadableRange>() + reason.len());
        self.unreadable.push(UnreadableRange {
            first_offset: first,
            last_offset: last,
            reason,
        });
    }

    fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }
}

/// Bytes of a record in memory.
fn bytes_of(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record
        .headers
        .iter()
        .map(|h| size_of::<RecordHeader>() + h.key.len() + length(&h.value))
        .sum();
    size_of::<Record>() + length(&record.key) + length(&record.value) + headers
}

fn own_record(record: millstream_wire::batch::Record) -> Record {
    let headers = record
        .headers
        .into_iter()
        .map(|header| RecordHeader {
            key: header.key_text().into_owned(),
            value: header.value,
        })
        .collect();
    Record {
        offset: Offset(record.offset),
        timestamp_ms: record.timestamp,
        key: record.key,
        value: record.value,
        headers,
    }
}

/// Which producers are inside an aborted transaction at the batch that is
/// being read; the rule that every Kafka consumer applies.
struct Aborted {
    /// By first offset; those that have not begun yet.
    ahead: std::iter::Peekable<std::vec::IntoIter<AbortedTransaction>>,
    inside: HashSet<ProducerId>,
}

impl Aborted {
    fn new(transactions: Vec<AbortedTransaction>) -> Self {
        Self {
            ahead: transactions.into_iter().peekable(),
            inside: HashSet::new(),
        }
    }

    fn hides(&mut self, batch: &BatchView) -> Result<bool, BatchError> {
        while let Some(transaction) = self
            .ahead
            .next_if(|t| t.first_offset.0 <= batch.last_offset())
        {
            self.inside.insert(transaction.producer_id);
        }
        let header = batch.header();
        let producer = ProducerId(header.producer_id);
        if header.is_control() {
            for record in batch.records()? {
                if EndTxnMarker::parse(&record?)?.kind == ControlKind::Abort {
                    self.inside.remove(&producer);
                }
            }
            return Ok(false);
        }
        Ok(header.is_transactional() && self.inside.contains(&producer))
    }
}
