//! Records for people: newest, oldest, from an offset or a time, filtered on
//! the server; one record whole; and one record written.
//!
//! | module | what |
//! |---|---|
//! | [`filter`] | which records match a text |
//! | [`show`] | records as people see them |
//! | `merge` | partitions merged by time |
//! | `scan` | reads what a merge asks for |
//! | `cursor` | where an answer ended |
//! | [`one`] | one record, whole |
//! | [`views`] | memory and threads of all answers together |
//! | [`produce`] | one record, written |

mod cursor;
pub mod filter;
mod merge;
mod one;
pub mod produce;
mod scan;
pub mod show;
pub mod views;

pub use views::{ViewLimits, Views};

use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use cursor::Cursor;
use filter::{CONTAINS_BYTES_MAX, Filter};
use merge::Merge;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{Bus, BusError, OffsetAt};
use one::Part;
use scan::Scan;
use serde::{Deserialize, Serialize};
use show::{Message, Shown};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Messages in one answer.
pub const MESSAGES_MAX: usize = 1_000;
/// Messages in one answer that does not say how many.
const MESSAGES_DEFAULT: usize = 100;
/// Partitions that are merged in one answer.
pub const PARTITIONS_MAX: usize = 1_000;
/// What the messages of one answer may take, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// What is shown of one value, in bytes.
const SHOWN_BYTES_MAX: usize = 64 * 1024;
/// Records that are read first, over all partitions, by an answer that
/// filters.
const FILTERED_FIRST: usize = 1_000;

/// What one answer may cost.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Records looked at.
    records_max: usize,
    /// Bytes of their keys and values.
    bytes_max: usize,
    /// Time.
    time_max: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            records_max: 100_000,
            bytes_max: 256 << 20,
            time_max: Duration::from_secs(10),
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The last records.
    #[default]
    Newest,
    /// The first records.
    Oldest,
    /// From `offset` of each partition.
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
    /// Where the answer before ended.
    pub next: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Messages {
    /// Newest first for `newest`, else oldest first.
    pub messages: Vec<Message>,
    /// Records looked at.
    pub scanned: usize,
    /// It ended before as many were found as asked for, because it had cost
    /// too much.
    pub budget_spent: bool,
    /// Where to go on; `None` when there is nothing further.
    pub next: Option<String>,
    /// End of each partition.
    pub end: BTreeMap<i32, i64>,
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

/// The answer to a query, as JSON.
pub(crate) async fn answer(
    views: &Views,
    bus: &Arc<dyn Bus>,
    topic: String,
    query: MessagesQuery,
) -> Result<Body, Problem> {
    let bus = Arc::clone(bus);
    let made = views.make(move |gone| async move {
        let messages = read(&*bus, &topic, &query, Budget::default(), gone).await?;
        json(&messages)
    });
    let (json, share) = made.await?;
    views.body(json, share).await
}

/// One record, as JSON.
pub(crate) async fn record(
    views: &Views,
    bus: &Arc<dyn Bus>,
    topic: String,
    (partition, offset): (i32, i64),
) -> Result<Body, Problem> {
    let bus = Arc::clone(bus);
    let made = views
        .make(move |_| async move { json(&one::shown(&*bus, &topic, partition, offset).await?) });
    let (json, share) = made.await?;
    views.body(json, share).await
}

/// The bytes of one record's key or value as they are; 404 for another
/// `part`.
pub(crate) async fn record_bytes(
    views: &Views,
    bus: &Arc<dyn Bus>,
    topic: String,
    (partition, offset): (i32, i64),
    part: &str,
) -> Result<Body, Problem> {
    let part = match part {
        "key" => Part::Key,
        "value" => Part::Value,
        other => return Err(Problem::not_found(format!("a record has no {other}"))),
    };
    let bus = Arc::clone(bus);
    let made = views
        .make(move |_| async move { one::bytes(&*bus, &topic, partition, offset, part).await });
    let (bytes, share) = made.await?;
    views.body(bytes, share).await
}

fn json(answer: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|e| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer is no JSON")
            .detail(e.to_string())
    })
}

/// Reads messages.
async fn read(
    bus: &dyn Bus,
    topic: &str,
    query: &MessagesQuery,
    budget: Budget,
    gone: CancellationToken,
) -> Result<Messages, Problem> {
    let wanted = wanted(query)?;
    let filter = Filter::new(query.contains.as_deref());
    let partitions = partitions(bus, topic, query.partition).await?;
    if partitions.len() > PARTITIONS_MAX {
        return Err(Problem::bad_request(format!(
            "topic {topic} has {} partitions, at most {PARTITIONS_MAX} are merged",
            partitions.len()
        ))
        .hint("name one with partition="));
    }
    let bounds = Bounds::of(bus, partitions).await?;
    let backwards = query.from == From::Newest;
    let starts = match &query.next {
        Some(token) => bounds.starts_at(&Cursor::decode(token)?, backwards)?,
        None => bounds.starts(bus, query).await?,
    };
    let chunk = match filter.is_empty() {
        true => wanted / bounds.partitions.len().max(1) + 1,
        false => FILTERED_FIRST.min(budget.records_max) / bounds.partitions.len().max(1),
    };
    let chunk = i64::try_from(chunk).unwrap_or(i64::MAX);
    // However many there are, they fit into one answer.
    let shown = ANSWER_BYTES_MAX / wanted.max(bounds.partitions.len());
    let scan = Scan {
        bus,
        topic,
        merge: Merge::new(backwards, wanted, chunk, bounds.lanes(&starts)),
        filter,
        shown: Shown {
            value_bytes_max: shown.min(SHOWN_BYTES_MAX),
        },
        wanted,
        budget,
        gone,
    };
    let (merged, spent, budget_spent) = scan.run().await?;
    Ok(Messages {
        messages: merged.messages,
        scanned: spent.records,
        budget_spent,
        next: merged.next.map(|positions| {
            let cursor = Cursor {
                backwards,
                positions,
            };
            cursor.encode()
        }),
        end: bounds.end(),
    })
}

fn wanted(query: &MessagesQuery) -> Result<usize, Problem> {
    if query.contains.as_ref().map_or(0, String::len) > CONTAINS_BYTES_MAX {
        return Err(Problem::bad_request(format!(
            "contains is longer than {CONTAINS_BYTES_MAX} bytes"
        )));
    }
    match query.limit.unwrap_or(MESSAGES_DEFAULT) {
        limit @ 1..=MESSAGES_MAX => Ok(limit),
        limit => Err(Problem::bad_request(format!(
            "limit is {limit}: use 1 to {MESSAGES_MAX}, and next to go on"
        ))),
    }
}

/// What there is of each partition.
struct Bounds {
    partitions: Vec<TopicPartition>,
    first: Vec<Offset>,
    ends: Vec<Offset>,
}

impl Bounds {
    async fn of(bus: &dyn Bus, partitions: Vec<TopicPartition>) -> Result<Self, Problem> {
        let first = bus.offsets(&partitions, OffsetAt::Earliest);
        let first = first.await.map_err(bus_problem)?;
        let ends = bus.offsets(&partitions, OffsetAt::LatestStable);
        let ends = ends.await.map_err(bus_problem)?;
        Ok(Self {
            partitions,
            first,
            ends,
        })
    }

    /// Where each partition begins; `None` for one that is left out.
    async fn starts(
        &self,
        bus: &dyn Bus,
        query: &MessagesQuery,
    ) -> Result<Vec<Option<i64>>, Problem> {
        let offsets = match query.from {
            From::Newest => self.ends.clone(),
            From::Oldest => self.first.clone(),
            From::Offset => {
                let Some(offset) = query.offset else {
                    return Err(Problem::bad_request("from=offset needs offset"));
                };
                vec![Offset(offset); self.partitions.len()]
            }
            From::Time => {
                let Some(at) = query.timestamp_ms else {
                    return Err(Problem::bad_request("from=time needs timestamp_ms"));
                };
                bus.offsets(&self.partitions, OffsetAt::TimestampMs(at))
                    .await
                    .map_err(bus_problem)?
            }
        };
        Ok(offsets.iter().map(|offset| Some(offset.0)).collect())
    }

    fn starts_at(&self, cursor: &Cursor, backwards: bool) -> Result<Vec<Option<i64>>, Problem> {
        let known = |(partition, _): &(i32, i64)| {
            self.partitions
                .binary_search_by_key(partition, |p| p.partition.0)
                .is_ok()
        };
        if cursor.backwards != backwards || !cursor.positions.iter().all(known) {
            return Err(
                Problem::bad_request("next was made for another from or partition")
                    .hint("pass the same parameters as before, or leave next out to begin anew"),
            );
        }
        let position = |p: &TopicPartition| {
            let at = cursor
                .positions
                .binary_search_by_key(&p.partition.0, |(partition, _)| *partition);
            at.ok()
                .and_then(|at| cursor.positions.get(at))
                .map(|(_, o)| *o)
        };
        Ok(self.partitions.iter().map(position).collect())
    }

    fn lanes(&self, starts: &[Option<i64>]) -> Vec<(i32, i64, i64, i64)> {
        self.partitions
            .iter()
            .zip(self.first.iter().zip(&self.ends))
            .zip(starts)
            .filter_map(|((p, (first, end)), start)| {
                start.map(|start| (p.partition.0, first.0, end.0, start))
            })
            .collect()
    }

    fn end(&self) -> BTreeMap<i32, i64> {
        let ends = self.partitions.iter().zip(&self.ends);
        ends.map(|(p, end)| (p.partition.0, end.0)).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ports::memory_bus::MemoryBus;
    use millstream_core::ports::{ProduceRecord, TopicSpec};

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

    async fn messages(bus: &dyn Bus, query: &MessagesQuery) -> Result<Messages, Problem> {
        let gone = CancellationToken::new();
        read(bus, "t", query, Budget::default(), gone).await
    }

    fn times(answer: &Messages) -> Vec<i64> {
        answer.messages.iter().map(|m| m.timestamp_ms).collect()
    }

    async fn numbers(bus: &dyn Bus, query: MessagesQuery) -> Vec<i64> {
        times(&messages(bus, &query).await.unwrap())
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
    async fn what_cannot_be_read_is_told_in_its_place() {
        let bus = MemoryBus::default();
        let spec = TopicSpec {
            name: "t".into(),
            partitions: 1,
            configs: BTreeMap::new(),
        };
        bus.create_topic(spec).await.unwrap();
        let mut writer = bus.writer().await.unwrap();
        let partition = TopicPartition::new("t", 0);
        let records = (0..6).map(|i| ProduceRecord {
            timestamp_ms: Some(i * 10),
            ..Default::default()
        });
        writer.send(&partition, records.collect()).await.unwrap();
        bus.damage(&partition, Offset(2), Offset(3), "a flipped bit");
        for (from, wanted) in [
            (From::Newest, [5, 4, 2, 1, 0]),
            (From::Oldest, [0, 1, 2, 4, 5]),
        ] {
            let query = MessagesQuery {
                from,
                ..Default::default()
            };
            let answer = messages(&bus, &query).await.unwrap();
            let offsets: Vec<_> = answer.messages.iter().map(|m| m.offset).collect();
            assert_eq!(offsets, wanted);
            let told = answer.messages[2].unreadable.as_ref();
            assert_eq!(
                told.map(|u| (u.last_offset, u.reason.as_str())),
                Some((3, "a flipped bit"))
            );
        }
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
        let status = async |topic: &str, query: MessagesQuery| {
            let gone = CancellationToken::new();
            let answer = read(&*bus, topic, &query, Budget::default(), gone).await;
            answer.map(|_| ()).unwrap_err().status
        };
        assert_eq!(status("none", MessagesQuery::default()).await, 404);
        let asked = [
            MessagesQuery {
                partition: Some(2),
                ..Default::default()
            },
            MessagesQuery {
                limit: Some(MESSAGES_MAX + 1),
                ..Default::default()
            },
            MessagesQuery {
                contains: Some("x".repeat(CONTAINS_BYTES_MAX + 1)),
                ..Default::default()
            },
            MessagesQuery {
                next: Some("nowhere".into()),
                ..Default::default()
            },
        ];
        for query in asked {
            assert_eq!(status("t", query).await, 400);
        }
    }

    #[tokio::test]
    async fn oldest_and_a_time_are_of_all_partitions() {
        let bus = filled().await;
        let query = MessagesQuery {
            from: From::Oldest,
            limit: Some(5),
            ..Default::default()
        };
        assert_eq!(numbers(&*bus, query).await, [0, 1, 2, 3, 4]);
    }

    /// Page by page with the budget of each; the times found.
    async fn all_pages(
        bus: &dyn Bus,
        mut query: MessagesQuery,
        budget: Budget,
    ) -> (Vec<i64>, bool) {
        let (mut found, mut spent) = (Vec::new(), false);
        for _ in 0..1_000 {
            let gone = CancellationToken::new();
            let answer = read(bus, "t", &query, budget.clone(), gone).await.unwrap();
            found.extend(times(&answer));
            spent |= answer.budget_spent;
            query.next = answer.next;
            if query.next.is_none() {
                return (found, spent);
            }
        }
        panic!("it does not come to an end");
    }

    #[tokio::test]
    async fn pages_go_on_where_the_one_before_ended() {
        let bus = filled().await;
        for from in [From::Newest, From::Oldest] {
            let query = MessagesQuery {
                from,
                limit: Some(70),
                ..Default::default()
            };
            let (mut found, spent) = all_pages(&*bus, query, Budget::default()).await;
            assert!(!spent);
            if from == From::Newest {
                found.reverse();
            }
            assert_eq!(found, (0..500).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn a_search_that_gave_up_says_so_and_goes_on_to_the_end() {
        let bus = filled().await;
        let query = MessagesQuery {
            contains: Some("7}".into()),
            ..Default::default()
        };
        let small = Budget {
            records_max: 20,
            ..Budget::default()
        };
        let (mut found, spent) = all_pages(&*bus, query, small).await;
        assert!(spent);
        found.reverse();
        assert_eq!(found, (0..50).map(|i| i * 10 + 7).collect::<Vec<_>>());
    }

    /// The budget of an answer is spent in bytes and in time as well, and
    /// what was found by then is answered.
    #[tokio::test]
    async fn each_budget_ends_an_answer_and_none_of_them_loses_a_record() {
        let bus = filled().await;
        let bytes = Budget {
            bytes_max: 200,
            records_max: 20,
            ..Budget::default()
        };
        let query = MessagesQuery {
            from: From::Oldest,
            contains: Some("{".into()),
            ..Default::default()
        };
        let (mut found, spent) = all_pages(&*bus, query.clone(), bytes).await;
        found.sort_unstable();
        assert!(spent);
        assert_eq!(found, (0..500).collect::<Vec<_>>());
        let no_time = Budget {
            time_max: Duration::ZERO,
            ..Budget::default()
        };
        let gone = CancellationToken::new();
        let answer = read(&*bus, "t", &query, no_time, gone).await.unwrap();
        assert!(answer.budget_spent && answer.next.is_some());
    }

    #[tokio::test]
    async fn more_partitions_than_are_merged_are_asked_for_one_by_one() {
        let bus = MemoryBus::default();
        let spec = TopicSpec {
            name: "t".into(),
            partitions: i32::try_from(PARTITIONS_MAX).unwrap() + 1,
            configs: BTreeMap::new(),
        };
        bus.create_topic(spec).await.unwrap();
        let all = MessagesQuery::default();
        assert_eq!(messages(&bus, &all).await.unwrap_err().status, 400);
        let one = MessagesQuery {
            partition: Some(7),
            ..Default::default()
        };
        assert!(messages(&bus, &one).await.unwrap().messages.is_empty());
    }

    #[tokio::test]
    async fn a_position_of_another_direction_or_partition_is_refused() {
        let bus = filled().await;
        let first = MessagesQuery {
            limit: Some(1),
            ..Default::default()
        };
        let next = messages(&*bus, &first).await.unwrap().next;
        for other in [
            MessagesQuery {
                from: From::Oldest,
                next: next.clone(),
                ..Default::default()
            },
            MessagesQuery {
                partition: Some(1),
                next: next.clone(),
                ..Default::default()
            },
        ] {
            assert_eq!(messages(&*bus, &other).await.unwrap_err().status, 400);
        }
    }

    #[tokio::test]
    async fn a_scan_ends_when_its_client_has_gone() {
        let bus = filled().await;
        let gone = CancellationToken::new();
        gone.cancel();
        let query = MessagesQuery::default();
        let answer = read(&*bus, "t", &query, Budget::default(), gone).await;
        assert_eq!(answer.unwrap_err().title, "the client has gone");
    }
}
