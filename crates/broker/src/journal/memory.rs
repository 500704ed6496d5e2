//! A journal in memory, whose disk a test can hold up, fail or cut off.

use super::{Appended, InternalTopic, Journal, JournalChunk, JournalError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use millstream_wire::batch::{BatchHeader, HEADER_BYTES, set_base_offset};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// What the disk does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Durable at once.
    Fast,
    /// Not durable until the test goes back to [`Disk::Fast`].
    Held,
    /// Every sync fails.
    Broken,
    /// Every append is refused.
    Full,
}

type Partition = Vec<(i64, Bytes)>;

/// The journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    topics: Mutex<HashMap<InternalTopic, Vec<Partition>>>,
    disk: watch::Sender<Disk>,
    refused: AtomicUsize,
    /// Reads that are still to fail.
    unreadable: AtomicUsize,
}

impl MemoryJournal {
    /// A journal without topics.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self {
            topics: Mutex::default(),
            disk: watch::Sender::new(Disk::Fast),
            refused: AtomicUsize::new(0),
            unreadable: AtomicUsize::new(0),
        })
    }

    /// Changes what the disk does from now on.
    pub fn set_disk(&self, disk: Disk) {
        self.disk.send_replace(disk);
    }

    /// Appends that a full disk refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Has the next reads fail.
    pub fn fail_reads(&self, count: usize) {
        self.unreadable.store(count, Ordering::Relaxed);
    }

    /// Number of batches in a topic.
    pub fn batches(&self, topic: InternalTopic) -> usize {
        self.topics
            .lock()
            .get(&topic)
            .map_or(0, |p| p.iter().map(Vec::len).sum())
    }

    /// What a restart finds when the last `lost` batches of each partition
    /// of the topic were never synced.
    pub fn after_crash(&self, topic: InternalTopic, lost: usize) -> Arc<Self> {
        let mut topics = self.topics.lock().clone();
        for partition in topics.entry(topic).or_default() {
            partition.truncate(partition.len().saturating_sub(lost));
        }
        Arc::new(Self {
            topics: Mutex::new(topics),
            disk: watch::Sender::new(Disk::Fast),
            refused: AtomicUsize::new(0),
            unreadable: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn partitions(&self, topic: InternalTopic) -> Option<i32> {
        self.topics.lock().get(&topic).map(|p| p.len() as i32)
    }

    async fn ensure(&self, topic: InternalTopic, partitions: i32) -> Result<i32, JournalError> {
        let mut topics = self.topics.lock();
        let logs = topics
            .entry(topic)
            .or_insert_with(|| vec![Vec::new(); partitions as usize]);
        Ok(logs.len() as i32)
    }

    fn append(
        &self,
        topic: InternalTopic,
        partition: i32,
        batch: Bytes,
    ) -> Result<Appended, JournalError> {
        if *self.disk.borrow() == Disk::Full {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(JournalError::Failed("the disk is full".into()));
        }
        let mut topics = self.topics.lock();
        let log = topics
            .get_mut(&topic)
            .and_then(|logs| logs.get_mut(partition as usize))
            .ok_or(JournalError::NotLeader)?;
        let base_offset = log.last().map_or(0, |(next, _)| *next);
        let header = BatchHeader::parse(&batch).expect("our own batch");
        let mut placed = batch.to_vec();
        set_base_offset(&mut placed, base_offset).expect("our own batch");
        log.push((
            base_offset + i64::from(header.last_offset_delta) + 1,
            placed.into(),
        ));
        let mut disk = self.disk.subscribe();
        let durable = async move {
            let state = disk
                .wait_for(|disk| *disk != Disk::Held)
                .await
                .map(|disk| *disk);
            match state {
                Ok(Disk::Fast) => Ok(()),
                _ => Err(JournalError::Failed("the disk is broken".into())),
            }
        };
        Ok(Appended {
            base_offset,
            durable: durable.boxed(),
        })
    }

    fn start_offset(&self, topic: InternalTopic, partition: i32) -> Result<i64, JournalError> {
        let topics = self.topics.lock();
        let log = topics
            .get(&topic)
            .and_then(|logs| logs.get(partition as usize));
        let first = log.ok_or(JournalError::NotLeader)?.first();
        let base_offset = |batch: &Bytes| BatchHeader::parse(batch).map(|h| h.base_offset);
        Ok(first.map_or(0, |(_, batch)| base_offset(batch).expect("our own batch")))
    }

    async fn trim(
        &self,
        topic: InternalTopic,
        partition: i32,
        before: i64,
    ) -> Result<(), JournalError> {
        let mut topics = self.topics.lock();
        let log = topics
            .get_mut(&topic)
            .and_then(|logs| logs.get_mut(partition as usize));
        log.ok_or(JournalError::NotLeader)?
            .retain(|(next, _)| *next > before);
        Ok(())
    }

    async fn read(
        &self,
        topic: InternalTopic,
        partition: i32,
        offset: i64,
    ) -> Result<JournalChunk, JournalError> {
        let one_less = |left: usize| left.checked_sub(1);
        let (stored, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.unreadable.fetch_update(stored, seen, one_less).is_ok() {
            return Err(JournalError::Failed("a sector cannot be read".into()));
        }
        let topics = self.topics.lock();
        let log = topics
            .get(&topic)
            .and_then(|logs| logs.get(partition as usize))
            .ok_or(JournalError::NotLeader)?;
        // Two batches at a time, so that reading on is exercised.
        let batches: Vec<_> = log
            .iter()
            .filter(|(next, _)| *next > offset)
            .take(2)
            .collect();
        let next_offset = batches.last().map_or(offset, |(next, _)| *next);
        let bytes: Vec<u8> = batches
            .iter()
            .flat_map(|(_, batch)| batch.to_vec())
            .collect();
        debug_assert!(bytes.is_empty() || bytes.len() > HEADER_BYTES);
        Ok(JournalChunk {
            batches: bytes.into(),
            next_offset,
        })
    }
}
