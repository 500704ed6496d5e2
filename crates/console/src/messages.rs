//! Records for people: newest, oldest, from an offset or a time, filtered on
//! the server; and one record written.

use crate::problem::Problem;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{
    Bus, BusError, FetchedRecords, Isolation, OffsetAt, ProduceRecord, Record, RecordHeader,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Messages in one answer.
pub const MESSAGES_MAX: usize = 1_000;
/// Records looked at for one answer.
const SCANNED_MAX: usize = 100_000;
/// Bytes asked of the log at once.
const POLL_BYTES_MAX: usize = 4 << 20;
/// Time spent on one answer.
const READ_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one poll waits: what is asked for is there already.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// Bytes of a key or value that are shown; longer ones are cut and say so.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// Where to begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The last records.
    #[default]
    Newest,
    /// The first records.
    Oldest,
    /// From `offset` of `partition`.
    Offset,
    /// From `timestamp_ms`.
    Time,
}

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessagesQuery {
    /// Where to begin.
    pub from: From,
    /// One partition; all when absent.
    pub partition: Option<i32>,
    /// For `from=offset`.
    pub offset: Option<i64>,
    /// For `from=time`.
    pub timestamp_ms: Option<i64>,
    /// At most [`MESSAGES_MAX`].
    pub limit: Option<usize>,
    /// Text that the key or the value contains.
    pub contains: Option<String>,
}

/// A record for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp, in milliseconds.
    pub timestamp_ms: i64,
    /// Key as text.
    pub key: Option<String>,
    /// How the key is to be read.
    pub key_encoding: Encoding,
    /// Value as text.
    pub value: Option<String>,
    /// How the value is to be read.
    pub value_encoding: Encoding,
    /// Size of the key, in bytes.
    pub key_bytes: usize,
    /// Size of the value, in bytes.
    pub value_bytes: usize,
    /// The key or value was too long to show whole.
    pub cut: bool,
    /// Headers in order.
    pub headers: Vec<MessageHeader>,
}

/// A header for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageHeader {
    /// Name.
    pub key: String,
    /// Value: text, or base64.
    pub value: Option<String>,
}

/// How bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// A JSON object or array.
    Json,
    /// UTF-8.
    Text,
    /// Base64.
    Binary,
    /// There is none.
    Null,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Messages {
    /// Newest first for `newest`, else oldest first.
    pub messages: Vec<Message>,
    /// Records looked at.
    pub scanned: usize,
    /// The bound on records looked at was reached.
    pub budget_spent: bool,
    /// End of each partition.
    pub end: BTreeMap<i32, i64>,
}

/// Matches records against `contains`.
#[derive(Debug, Clone)]
pub struct Filter(Option<Vec<u8>>);

impl Filter {
    /// An empty or absent text matches all.
    pub fn new(contains: Option<&str>) -> Self {
        Self(
            contains
                .filter(|c| !c.is_empty())
                .map(|c| c.as_bytes().to_vec()),
        )
    }

    /// Whether the key or the value contains the text.
    pub fn matches(&self, record: &Record) -> bool {
        let Some(text) = &self.0 else { return true };
        let found = |bytes: &Option<Bytes>| {
            bytes
                .as_ref()
                .is_some_and(|b| b.windows(text.len()).any(|w| w == text.as_slice()))
        };
        found(&record.key) || found(&record.value)
    }
}

/// A problem for an error of the bus.
pub fn bus_problem(error: BusError) -> Problem {
    match error {
        BusError::UnknownTopic(topic) => Problem::not_found(format!("no topic {topic}")),
        BusError::TopicExists(topic) => Problem::new(
            StatusCode::CONFLICT,
            format!("topic {topic} exists already"),
        ),
        BusError::OffsetOutOfRange { .. } | BusError::Invalid(_) | BusError::TooLarge(_) => {
            Problem::bad_request(error.to_string())
        }
        BusError::Retriable(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).hint("try again")
        }
        BusError::Fenced(_) | BusError::AbortRequired(_) | BusError::Fatal(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

/// Reads messages.
pub async fn read(bus: &dyn Bus, topic: &str, query: &MessagesQuery) -> Result<Messages, Problem> {
    let partitions = partitions(bus, topic, query.partition).await?;
    let limit = query.limit.unwrap_or(100).clamp(1, MESSAGES_MAX);
    let filter = Filter::new(query.contains.as_deref());
    let first = bus
        .offsets(&partitions, OffsetAt::Earliest)
        .await
        .map_err(bus_problem)?;
    let ends = bus
        .offsets(&partitions, OffsetAt::LatestStable)
        .await
        .map_err(bus_problem)?;
    let mut scan = Scan::new(limit, filter);
    if query.from == From::Newest {
        scan.backwards(bus, &partitions, &first, &ends).await?;
    } else {
        let starts = starts(bus, &partitions, &first, query).await?;
        let ranges = ranges(&partitions, &starts, &ends);
        scan.forwards(bus, ranges, limit).await?;
    }
    let end = partitions
        .iter()
        .zip(&ends)
        .map(|(p, e)| (p.partition.0, e.0))
        .collect();
    Ok(scan.answer(query.from == From::Newest, end))
}

async fn partitions(
    bus: &dyn Bus,
    topic: &str,
    partition: Option<i32>,
) -> Result<Vec<TopicPartition>, Problem> {
    let info = bus.topic(topic).await.map_err(bus_problem)?;
    match partition {
        None => Ok(all_partitions(topic, info.partitions)),
        Some(p) if (0..info.partitions).contains(&p) => Ok(vec![TopicPartition::new(topic, p)]),
        Some(p) => Err(Problem::bad_request(format!(
            "topic {topic} has partitions 0 to {}, not {p}",
            info.partitions - 1
        ))),
    }
}

async fn starts(
    bus: &dyn Bus,
    partitions: &[TopicPartition],
    first: &[Offset],
    query: &MessagesQuery,
) -> Result<Vec<Offset>, Problem> {
    match query.from {
        From::Newest | From::Oldest => Ok(first.to_vec()),
        From::Offset => {
            let Some(offset) = query.offset else {
                return Err(Problem::bad_request("from=offset needs offset"));
            };
            Ok(first.iter().map(|f| (*f).max(Offset(offset))).collect())
        }
        From::Time => {
            let Some(at) = query.timestamp_ms else {
                return Err(Problem::bad_request("from=time needs timestamp_ms"));
            };
            bus.offsets(partitions, OffsetAt::TimestampMs(at))
                .await
                .map_err(bus_problem)
        }
    }
}

type Range = (TopicPartition, Offset, Offset);

fn ranges(partitions: &[TopicPartition], starts: &[Offset], ends: &[Offset]) -> Vec<Range> {
    partitions
        .iter()
        .zip(starts.iter().zip(ends))
        .filter(|(_, (start, end))| start < end)
        .map(|(p, (start, end))| (p.clone(), *start, *end))
        .collect()
}

/// One answer being made.
struct Scan {
    limit: usize,
    filter: Filter,
    found: Vec<(i32, Record)>,
    scanned: usize,
    started: Instant,
}

impl Scan {
    fn new(limit: usize, filter: Filter) -> Self {
        Self {
            limit,
            filter,
            found: Vec::new(),
            scanned: 0,
            started: Instant::now(),
        }
    }

    fn budget_spent(&self) -> bool {
        self.scanned >= SCANNED_MAX || self.started.elapsed() >= READ_TIME_MAX
    }

    /// Reads ranges in offset order until `enough` more are found.
    async fn forwards(
        &mut self,
        bus: &dyn Bus,
        mut ranges: Vec<Range>,
        enough: usize,
    ) -> Result<(), Problem> {
        if ranges.is_empty() {
            return Ok(());
        }
        let start: Vec<_> = ranges
            .iter()
            .map(|(p, start, _)| (p.clone(), *start))
            .collect();
        let mut reader = bus
            .reader(&start, Isolation::ReadCommitted)
            .await
            .map_err(bus_problem)?;
        let enough = self.found.len() + enough;
        while !ranges.is_empty() && self.found.len() < enough && !self.budget_spent() {
            for fetched in reader
                .poll(POLL_WAIT, POLL_BYTES_MAX)
                .await
                .map_err(bus_problem)?
            {
                self.take(&fetched, &mut ranges);
            }
        }
        Ok(())
    }

    fn take(&mut self, fetched: &FetchedRecords, ranges: &mut Vec<Range>) {
        let Some(at) = ranges
            .iter()
            .position(|(p, _, _)| *p == fetched.topic_partition)
        else {
            return;
        };
        let (_, _, end) = ranges[at];
        for record in fetched.records.iter().filter(|r| r.offset < end) {
            self.scanned += 1;
            if self.filter.matches(record) {
                self.found
                    .push((fetched.topic_partition.partition.0, record.clone()));
            }
        }
        if fetched.next_offset >= end {
            ranges.swap_remove(at);
        }
    }

    /// Reads chunks from the end towards the start, all partitions a chunk at
    /// a time, until enough is found.
    async fn backwards(
        &mut self,
        bus: &dyn Bus,
        partitions: &[TopicPartition],
        first: &[Offset],
        ends: &[Offset],
    ) -> Result<(), Problem> {
        let mut chunk = i64::try_from(self.limit).unwrap_or(i64::MAX).max(100);
        let mut ends = ends.to_vec();
        loop {
            let starts: Vec<Offset> = ends
                .iter()
                .zip(first)
                .map(|(e, f)| Offset(e.0 - chunk).max(*f))
                .collect();
            let ranges = ranges(partitions, &starts, &ends);
            let done = ranges.is_empty();
            self.forwards(bus, ranges, usize::MAX / 2).await?;
            if done || self.found.len() >= self.limit || self.budget_spent() {
                return Ok(());
            }
            ends = starts;
            chunk = chunk.saturating_mul(4);
        }
    }

    fn answer(mut self, newest_first: bool, end: BTreeMap<i32, i64>) -> Messages {
        self.found
            .sort_by_key(|(partition, r)| (r.timestamp_ms, *partition, r.offset));
        if newest_first {
            self.found.reverse();
        }
        self.found.truncate(self.limit);
        let budget_spent = self.budget_spent();
        Messages {
            messages: self
                .found
                .iter()
                .map(|(p, record)| message(*p, record))
                .collect(),
            scanned: self.scanned,
            budget_spent,
            end,
        }
    }
}

/// A record as people see it.
pub fn message(partition: i32, record: &Record) -> Message {
    let (key, key_encoding, key_cut) = show(record.key.as_ref());
    let (value, value_encoding, value_cut) = show(record.value.as_ref());
    Message {
        partition,
        offset: record.offset.0,
        timestamp_ms: record.timestamp_ms,
        key,
        key_encoding,
        value,
        value_encoding,
        key_bytes: record.key.as_ref().map_or(0, Bytes::len),
        value_bytes: record.value.as_ref().map_or(0, Bytes::len),
        cut: key_cut || value_cut,
        headers: record
            .headers
            .iter()
            .map(|h| MessageHeader {
                key: h.key.clone(),
                value: show(h.value.as_ref()).0,
            })
            .collect(),
    }
}

fn show(bytes: Option<&Bytes>) -> (Option<String>, Encoding, bool) {
    let Some(bytes) = bytes else {
        return (None, Encoding::Null, false);
    };
    let cut = bytes.len() > SHOWN_BYTES_MAX;
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let text = match std::str::from_utf8(shown) {
        Ok(text) => text,
        // The cut may have split a character.
        Err(e) if cut && e.error_len().is_none() => {
            std::str::from_utf8(&shown[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return (Some(BASE64.encode(shown)), Encoding::Binary, cut),
    };
    let structured = text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let encoding = if structured {
        Encoding::Json
    } else {
        Encoding::Text
    };
    (Some(text.to_owned()), encoding, cut)
}

/// A record to write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProduceBody {
    /// Chosen by the key, or 0, when absent.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<String>,
    /// Value; null is a tombstone.
    pub value: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<ProduceHeader>,
}

/// A header to write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProduceHeader {
    /// Name.
    pub key: String,
    /// Value.
    pub value: Option<String>,
}

/// Where a record was written.
#[derive(Debug, Serialize)]
pub struct Produced {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Writes one record.
pub async fn produce(bus: &dyn Bus, topic: &str, body: ProduceBody) -> Result<Produced, Problem> {
    let all = partitions(bus, topic, body.partition).await?;
    let partition = match (&body.partition, &body.key) {
        (None, Some(key)) => {
            let count = i32::try_from(all.len()).unwrap_or(1);
            millstream_core::partitioner::partition_for_key(key.as_bytes(), count).0
        }
        _ => all.first().map_or(0, |p| p.partition.0),
    };
    let record = ProduceRecord {
        timestamp_ms: None,
        key: body.key.map(Bytes::from),
        value: body.value.map(Bytes::from),
        headers: body
            .headers
            .into_iter()
            .map(|h| RecordHeader {
                key: h.key,
                value: h.value.map(Bytes::from),
            })
            .collect(),
    };
    let mut writer = bus.writer().await.map_err(bus_problem)?;
    let offset = writer
        .send(&TopicPartition::new(topic, partition), vec![record])
        .await
        .map_err(bus_problem)?;
    Ok(Produced {
        partition,
        offset: offset.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ports::TopicSpec;
    use millstream_core::ports::memory_bus::MemoryBus;

    async fn filled() -> std::sync::Arc<dyn Bus> {
        let bus: std::sync::Arc<dyn Bus> = std::sync::Arc::new(MemoryBus::default());
        let spec = TopicSpec {
            name: "t".into(),
            partitions: 2,
            configs: BTreeMap::new(),
        };
        bus.create_topic(spec).await.unwrap();
        let mut writer = bus.writer().await.unwrap();
        for i in 0..500 {
            let record = ProduceRecord {
                timestamp_ms: Some(i),
                value: Some(format!("{{\"n\":{i}}}").into()),
                ..Default::default()
            };
            let partition = TopicPartition::new("t", i32::try_from(i % 2).unwrap());
            writer.send(&partition, vec![record]).await.unwrap();
        }
        bus
    }

    async fn numbers(bus: &dyn Bus, query: MessagesQuery) -> Vec<i64> {
        let answer = read(bus, "t", &query).await.unwrap();
        answer.messages.iter().map(|m| m.timestamp_ms).collect()
    }

    #[tokio::test]
    async fn newest_are_the_last_of_all_partitions() {
        let bus = filled().await;
        let query = MessagesQuery {
            limit: Some(3),
            ..Default::default()
        };
        assert_eq!(numbers(&*bus, query).await, [499, 498, 497]);
    }

    #[tokio::test]
    async fn a_filter_looks_back_until_it_finds() {
        let bus = filled().await;
        let query = MessagesQuery {
            limit: Some(1),
            contains: Some("\"n\":7}".into()),
            ..Default::default()
        };
        assert_eq!(numbers(&*bus, query).await, [7]);
    }

    #[tokio::test]
    async fn from_a_time_and_from_an_offset() {
        let bus = filled().await;
        let query = MessagesQuery {
            from: From::Time,
            timestamp_ms: Some(490),
            limit: Some(4),
            ..Default::default()
        };
        assert_eq!(numbers(&*bus, query).await, [490, 491, 492, 493]);
        let query = MessagesQuery {
            from: From::Offset,
            partition: Some(1),
            offset: Some(10),
            limit: Some(2),
            ..Default::default()
        };
        assert_eq!(numbers(&*bus, query).await, [21, 23]);
    }

    #[tokio::test]
    async fn a_missing_topic_is_404_and_a_missing_partition_400() {
        let bus = filled().await;
        let status = |r: Result<Messages, Problem>| r.map(|_| ()).unwrap_err().status;
        assert_eq!(
            status(read(&*bus, "none", &MessagesQuery::default()).await),
            404
        );
        let query = MessagesQuery {
            partition: Some(2),
            ..Default::default()
        };
        assert_eq!(status(read(&*bus, "t", &query).await), 400);
    }

    #[test]
    fn bytes_are_shown_as_what_they_are() {
        let encoding = |bytes: &'static [u8]| show(Some(&Bytes::from_static(bytes))).1;
        assert_eq!(encoding(b"{\"a\":1}"), Encoding::Json);
        assert_eq!(encoding(b"{not json"), Encoding::Text);
        assert_eq!(encoding("订单".as_bytes()), Encoding::Text);
        assert_eq!(encoding(&[0xff, 0xfe]), Encoding::Binary);
        let long = Bytes::from("订".repeat(SHOWN_BYTES_MAX));
        let (text, encoding, cut) = show(Some(&long));
        assert!(cut && encoding == Encoding::Text && text.unwrap().len() <= SHOWN_BYTES_MAX);
    }
}
