//! Assigned partitions, without a group.
//!
//! librdkafka hands out records only; control markers and aborted records
//! show as gaps. Its *position* does move past markers, and the end-of-
//! partition event says when to look: that is how a reader learns that it is
//! at the end of a log whose last entry is a marker.
//!
//! Checksums are verified (`check.crcs`). librdkafka passes over a batch that
//! is damaged and says so, but not where: the next gap is reported as what
//! could not be read. A batch that it cannot decompress it does not pass over.
//!
//! While brokers come and go, librdkafka reports errors and reads on by
//! itself; the reader ends only when nothing has been heard of the cluster
//! for [`UNAVAILABLE_MAX`].

use super::admin::{Admin, partition_list};
use super::brokers::Observer;
use super::errors::{Reading, bus_error, reading};
use super::{Clients, UNAVAILABLE_MAX, blocking};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    BusError, BusReader, FetchedRecords, Isolation, OffsetAt, Record, RecordHeader, UnreadableRange,
};
use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Age at which a partition's end is asked for again.
const END_AGE_MAX: Duration = Duration::from_secs(1);

pub(super) struct KafkaReader {
    consumer: Arc<StreamConsumer<Observer>>,
    admin: Arc<Admin>,
    isolation: Isolation,
    partitions: BTreeMap<TopicPartition, Assigned>,
    /// About the bytes that are buffered in `partitions`.
    buffered_bytes: usize,
    ends_at: Instant,
    /// What librdkafka said of a damaged batch whose place is not known yet.
    damage: Option<String>,
    /// The partitions' ends, being asked for: a leader that is away must not
    /// hold up what the others have.
    ends: Option<Ends>,
    /// Since when the cluster has not been heard of, and why.
    unavailable: Option<(Instant, BusError)>,
}

/// The ends of these partitions.
type Ends = JoinHandle<Result<Vec<(TopicPartition, Offset)>, BusError>>;

struct Assigned {
    /// One past what has been buffered.
    next: Offset,
    end: Offset,
    /// Read and not given out yet: kept here so that a dropped poll loses
    /// nothing.
    records: Vec<Record>,
    unreadable: Vec<UnreadableRange>,
    /// `next` as of the last answer.
    reported: Offset,
}

impl KafkaReader {
    pub(super) async fn new(
        clients: &Clients,
        admin: Arc<Admin>,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Self, BusError> {
        let level = match isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        };
        let settings = [
            // Nothing is committed; librdkafka wants a name to assign.
            ("group.id", "millstream-reader"),
            ("isolation.level", level),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("check.crcs", "true"),
            ("fetch.wait.max.ms", "500"),
            ("fetch.error.backoff.ms", "50"),
        ];
        let consumer = clients.create(&settings, "reader")?;
        let partitions = start
            .iter()
            .map(|(tp, offset)| (tp.clone(), Assigned::at(*offset)));
        let mut reader = Self {
            consumer: Arc::new(consumer),
            admin,
            isolation,
            partitions: partitions.collect(),
            buffered_bytes: 0,
            ends_at: Instant::now(),
            damage: None,
            ends: None,
            unavailable: None,
        };
        reader.await_ends().await?;
        reader.check_range().await?;
        reader.assign().await?;
        Ok(reader)
    }

    async fn assign(&self) -> Result<(), BusError> {
        let list = partition_list(
            self.partitions
                .iter()
                .map(|(tp, a)| (tp, KafkaOffset::Offset(a.next.0))),
        )?;
        let consumer = Arc::clone(&self.consumer);
        blocking(move || consumer.assign(&list).map_err(|e| bus_error(e, "reader"))).await
    }

    /// Begins to ask where the partitions end.
    fn ask_ends(&self) -> Ends {
        let at = match self.isolation {
            Isolation::ReadUncommitted => OffsetAt::Latest,
            Isolation::ReadCommitted => OffsetAt::LatestStable,
        };
        let partitions: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        let admin = Arc::clone(&self.admin);
        tokio::task::spawn_blocking(move || {
            let ends = admin.offsets(&partitions, at)?;
            Ok(partitions.into_iter().zip(ends).collect())
        })
    }

    /// Asks where the partitions end, and waits for it.
    async fn await_ends(&mut self) -> Result<(), BusError> {
        let ends = self.ask_ends();
        self.take_ends(joined(ends).await?);
        Ok(())
    }

    /// Ends only say how far behind the reader is; asking costs a request a
    /// partition, so not for each poll, and nobody waits for it.
    async fn refresh_ends(&mut self) -> Result<(), BusError> {
        if let Some(ends) = self.ends.take_if(|ends| ends.is_finished()) {
            match joined(ends).await {
                Ok(ends) => self.take_ends(ends),
                Err(error @ BusError::Retriable(_)) => self.on_passing(error)?,
                Err(error) => return Err(error),
            }
        }
        if self.ends.is_none() && self.ends_at.elapsed() >= END_AGE_MAX {
            self.ends = Some(self.ask_ends());
        }
        Ok(())
    }

    fn take_ends(&mut self, ends: Vec<(TopicPartition, Offset)>) {
        for (partition, end) in ends {
            if let Some(assigned) = self.partitions.get_mut(&partition) {
                assigned.end = assigned.end.max(end);
            }
        }
        self.ends_at = Instant::now();
        self.unavailable = None;
    }

    /// An error that librdkafka mends by itself, unless it goes on for long.
    fn on_passing(&mut self, error: BusError) -> Result<(), BusError> {
        let (since, why) = self
            .unavailable
            .get_or_insert_with(|| (Instant::now(), error));
        if since.elapsed() < UNAVAILABLE_MAX {
            return Ok(());
        }
        Err(why.clone())
    }

    /// librdkafka does not say which partition was out of range, and at the
    /// very start only after a fetch: looked up instead.
    async fn check_range(&self) -> Result<(), BusError> {
        let partitions: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        let admin = Arc::clone(&self.admin);
        let (starts, ends) = blocking(move || {
            let starts = admin.offsets(&partitions, OffsetAt::Earliest)?;
            Ok((starts, admin.offsets(&partitions, OffsetAt::Latest)?))
        })
        .await?;
        for ((tp, assigned), (start, end)) in self.partitions.iter().zip(starts.iter().zip(ends)) {
            if assigned.next < *start || assigned.next > end {
                return Err(BusError::OffsetOutOfRange {
                    topic_partition: tp.clone(),
                    offset: assigned.next,
                });
            }
        }
        Ok(())
    }

    /// Waits for the first record or end-of-partition, then takes what is
    /// there without waiting.
    async fn fill(&mut self, deadline: Instant, bytes_max: usize) -> Result<(), BusError> {
        while self.buffered_bytes < bytes_max {
            let consumer = Arc::clone(&self.consumer);
            let received = if self.has_news() {
                match consumer.recv().now_or_never() {
                    Some(received) => received,
                    None => return Ok(()),
                }
            } else {
                match timeout_at(deadline, consumer.recv()).await {
                    Ok(received) => received,
                    Err(_) => return Ok(()),
                }
            };
            match received {
                Ok(message) => {
                    self.unavailable = None;
                    self.buffer(&message);
                }
                Err(error) if is_damage(&error) => self.damage = Some(error.to_string()),
                Err(error) => self.on_error(error).await?,
            }
        }
        Ok(())
    }

    fn buffer(&mut self, message: &impl Message) {
        let tp = TopicPartition::new(message.topic(), message.partition());
        let Some(assigned) = self.partitions.get_mut(&tp) else {
            return;
        };
        let record = record(message);
        // What a seek left behind in librdkafka's queue.
        if record.offset < assigned.next {
            return;
        }
        self.buffered_bytes += record.key.as_ref().map_or(0, |k| k.len());
        self.buffered_bytes += record.value.as_ref().map_or(0, |v| v.len()) + 1;
        assigned.passed_over(record.offset, &mut self.damage);
        assigned.next = record.offset.plus(1);
        assigned.end = assigned.end.max(assigned.next);
        assigned.records.push(record);
    }

    fn look_at_positions(&mut self) -> Result<(), BusError> {
        let positions = self
            .consumer
            .position()
            .map_err(|e| bus_error(e, "reader"))?;
        for element in positions.elements() {
            let tp = TopicPartition::new(element.topic(), element.partition());
            let KafkaOffset::Offset(position) = element.offset() else {
                continue;
            };
            if let Some(assigned) = self.partitions.get_mut(&tp) {
                assigned.passed_over(Offset(position), &mut self.damage);
                assigned.next = assigned.next.max(Offset(position));
                assigned.end = assigned.end.max(assigned.next);
            }
        }
        Ok(())
    }

    async fn on_error(&mut self, error: KafkaError) -> Result<(), BusError> {
        match reading(&error) {
            Reading::EndOfPartition => {
                self.unavailable = None;
                self.look_at_positions()
            }
            Reading::OutOfRange => {
                match self.check_range().await {
                    Ok(()) | Err(BusError::Retriable(_)) => {}
                    Err(known) => return Err(known),
                }
                // A leader that did not have all of the log yet.
                self.assign().await?;
                self.on_passing(BusError::Retriable(error.to_string()))
            }
            Reading::TopicUnknown => {
                self.check_topics().await?;
                self.on_passing(BusError::Retriable(error.to_string()))
            }
            Reading::Passing => self.on_passing(bus_error(error, "reader")),
            Reading::Lasting => Err(bus_error(error, "reader")),
        }
    }

    /// That the topics are there: a broker that has just started may not know
    /// all of them yet.
    async fn check_topics(&self) -> Result<(), BusError> {
        let mut topics: Vec<String> = self.partitions.keys().map(|p| p.topic.clone()).collect();
        topics.dedup();
        let admin = Arc::clone(&self.admin);
        let known = blocking(move || {
            topics
                .iter()
                .try_for_each(|t| admin.known_topic(t).map(|_| ()))
        });
        match known.await {
            Err(BusError::Retriable(_)) => Ok(()),
            known => known,
        }
    }

    fn has_news(&self) -> bool {
        self.partitions.values().any(|a| a.next != a.reported)
    }

    fn take(&mut self) -> Vec<FetchedRecords> {
        self.buffered_bytes = 0;
        self.partitions
            .iter_mut()
            .filter(|(_, a)| a.next != a.reported)
            .map(|(tp, a)| {
                a.reported = a.next;
                FetchedRecords {
                    topic_partition: tp.clone(),
                    records: std::mem::take(&mut a.records),
                    unreadable: std::mem::take(&mut a.unreadable),
                    next_offset: a.next,
                    end_offset: a.end,
                }
            })
            .collect()
    }
}

async fn joined<T>(task: JoinHandle<Result<T, BusError>>) -> Result<T, BusError> {
    task.await
        .unwrap_or_else(|error| Err(BusError::Fatal(error.to_string())))
}

impl Assigned {
    fn at(offset: Offset) -> Self {
        Self {
            next: offset,
            end: offset,
            records: Vec::new(),
            unreadable: Vec::new(),
            reported: offset,
        }
    }

    /// Where records were passed over after damage was told of.
    fn passed_over(&mut self, to: Offset, damage: &mut Option<String>) {
        if to > self.next
            && let Some(reason) = damage.take()
        {
            self.unreadable.push(UnreadableRange {
                first_offset: self.next,
                last_offset: Offset(to.0 - 1),
                reason,
            });
        }
    }
}

#[async_trait]
impl BusReader for KafkaReader {
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError> {
        let deadline = Instant::now() + wait_max;
        self.refresh_ends().await?;
        self.fill(deadline, bytes_max).await?;
        Ok(self.take())
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        self.damage = None;
        self.partitions
            .insert(partition.clone(), Assigned::at(offset));
        // What is being asked may be about the partition as it was.
        self.ends = None;
        self.await_ends().await?;
        // A new assignment drops what librdkafka had queued; what is buffered
        // here of the other partitions stays.
        self.assign().await
    }
}

/// A checksum that does not hold.
fn is_damage(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::BadMessage)
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|h| RecordHeader {
                key: h.key.to_owned(),
                value: h.value.map(Bytes::copy_from_slice),
            })
            .collect()
    });
    Record {
        offset: Offset(message.offset()),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
    }
}
