//! Answers with records over HTTP: what they take of the server's memory and
//! threads, and what is left of them when their clients go.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use async_trait::async_trait;
use millstream_console::http::limits::HttpLimits;
use millstream_console::messages::{ViewLimits, Views};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::memory_bus::MemoryBus;
use millstream_core::ports::{
    Bus, BusError, BusReader, FetchedRecords, Isolation, OffsetAt, ProduceRecord, TopicInfo,
    TopicSpec, TransactionWriter, Writer,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use support::{PATIENCE, Stage, all, assert_status, get};
use tokio::sync::Semaphore;

const MB: usize = 1_000_000;
const MESSAGES: &str = "/api/v1/topics/t/messages";

/// A bus whose readers hold their thread until they are let go.
struct Stuck {
    inner: Arc<MemoryBus>,
    polls: Arc<Semaphore>,
    lets_go: Arc<std::sync::atomic::AtomicBool>,
}

impl Stuck {
    fn new() -> Self {
        Self {
            inner: MemoryBus::shared(),
            polls: Arc::new(Semaphore::new(0)),
            lets_go: Arc::default(),
        }
    }
}

struct StuckReader {
    inner: Box<dyn BusReader>,
    polls: Arc<Semaphore>,
    lets_go: Arc<std::sync::atomic::AtomicBool>,
}

#[async_trait]
impl BusReader for StuckReader {
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError> {
        self.polls.add_permits(1);
        // Not a pause of the task: what decompression and search are.
        while !self.lets_go.load(std::sync::atomic::Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inner.poll(wait_max, bytes_max).await
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        self.inner.seek(partition, offset).await
    }
}

#[async_trait]
impl Bus for Stuck {
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        self.inner.topics().await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        self.inner.topic(name).await
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicInfo, BusError> {
        self.inner.create_topic(spec).await
    }

    async fn delete_topic(&self, name: &str) -> Result<(), BusError> {
        self.inner.delete_topic(name).await
    }

    async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), BusError> {
        self.inner.delete_records(before).await
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError> {
        self.inner.offsets(partitions, at).await
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError> {
        self.inner.committed(group, partitions).await
    }

    async fn reader(
        &self,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn BusReader>, BusError> {
        Ok(Box::new(StuckReader {
            inner: self.inner.reader(start, isolation).await?,
            polls: Arc::clone(&self.polls),
            lets_go: Arc::clone(&self.lets_go),
        }))
    }

    async fn writer(&self) -> Result<Box<dyn Writer>, BusError> {
        self.inner.writer().await
    }

    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError> {
        self.inner
            .transaction_writer(transactional_id, timeout)
            .await
    }
}

/// Writes `count` values of `bytes` bytes, by turns into both partitions.
async fn fill(stage: &Stage, count: usize, bytes: usize) {
    let mut writer = stage.bus.writer().await.unwrap();
    for i in 0..count {
        let record = ProduceRecord {
            timestamp_ms: Some(i as i64),
            key: Some(format!("k{i}").into()),
            value: Some("v".repeat(bytes).into()),
            headers: vec![],
        };
        let partition = TopicPartition::new("t", (i % 2) as i32);
        writer.send(&partition, vec![record]).await.unwrap();
    }
}

/// The JSON of an answer, which comes in chunks.
fn json(answer: &str) -> Value {
    assert_status(answer, 200);
    let (_, mut body) = answer.split_once("\r\n\r\n").unwrap();
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    serde_json::from_str(&text).unwrap()
}

fn one_view(limits: ViewLimits) -> Views {
    Views::new(ViewLimits {
        bytes_max: limits.view_bytes,
        ..limits
    })
}

#[tokio::test]
async fn an_answer_of_large_records_is_bounded_and_each_can_be_had_whole() {
    let stage = Stage::set(HttpLimits::default()).await;
    fill(&stage, 100, MB).await;
    for path in [
        format!("{MESSAGES}?limit=100"),
        format!("{MESSAGES}?limit=1000"),
        format!("{MESSAGES}?from=oldest&limit=10"),
        format!("{MESSAGES}?limit=500&contains=vvvvvvvv"),
    ] {
        let answer = stage.get(&path).await;
        assert!(answer.len() < 11 << 20, "{path}: {} bytes", answer.len());
        let answer = json(&answer);
        let messages = answer["messages"].as_array().unwrap();
        assert!(!messages.is_empty(), "{path}");
        for message in messages {
            assert_eq!(message["cut"], true);
            assert_eq!(message["value_bytes"], MB);
        }
    }
    let whole = json(&stage.get(&format!("{MESSAGES}/1/49")).await);
    assert_eq!(
        (&whole["cut"], &whole["key"]),
        (&false.into(), &"k99".into())
    );
    assert_eq!(whole["value"].as_str().unwrap().len(), MB);
    let bytes = stage.get(&format!("{MESSAGES}/1/49/value")).await;
    assert!(bytes.contains("application/octet-stream") && bytes.contains("attachment"));
    let (_, body) = bytes.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.matches('v').count(), MB);
    for path in ["/0/50", "/1/-1", "/9/0", "/1/49/header"] {
        let answer = stage.get(&format!("{MESSAGES}{path}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"),
            "{path}: {answer}"
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn next_leads_from_answer_to_answer() {
    let stage = Stage::set(HttpLimits::default()).await;
    fill(&stage, 25, 10).await;
    let (mut path, mut keys) = (format!("{MESSAGES}?limit=10"), Vec::new());
    loop {
        let answer = json(&stage.get(&path).await);
        let messages = answer["messages"].as_array().unwrap().clone();
        keys.extend(
            messages
                .iter()
                .map(|m| m["key"].as_str().unwrap().to_owned()),
        );
        match answer["next"].as_str() {
            Some(next) => path = format!("{MESSAGES}?limit=10&next={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).rev().map(|i| format!("k{i}")).collect();
    assert_eq!(keys, expected);
    stage.end().await;
}

/// With one thread for everything else: a search that held it would stop all.
#[tokio::test]
async fn a_search_holds_no_thread_that_others_need() {
    let bus = Arc::new(Stuck::new());
    let stage = Stage::with(HttpLimits::default(), Views::default(), bus.clone()).await;
    fill(&stage, 10, 10).await;
    let mut search = stage.sends(get(&format!("{MESSAGES}?contains=v"))).await;
    let _polled = bus.polls.acquire().await.unwrap();
    assert_status(&stage.get("/healthz").await, 200);
    bus.lets_go
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let found = json(&all(&mut search).await);
    assert_eq!(found["messages"].as_array().unwrap().len(), 10);
    stage.end().await;
}

#[tokio::test]
async fn answers_share_one_budget_and_one_whose_client_has_gone_gives_its_share_back() {
    let bus = Arc::new(Stuck::new());
    let views = one_view(ViewLimits {
        waiting_max: 0,
        ..ViewLimits::default()
    });
    let stage = Stage::with(HttpLimits::default(), views, bus.clone()).await;
    fill(&stage, 10, 10).await;
    let search = stage.sends(get(&format!("{MESSAGES}?contains=v"))).await;
    let _polled = bus.polls.acquire().await.unwrap();
    assert_status(&stage.get(MESSAGES).await, 503);
    drop(search);
    bus.lets_go
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let served = async {
        while !stage.get(MESSAGES).await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    stage.end().await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_gives_its_share_back() {
    let views = one_view(ViewLimits {
        send_max: Duration::from_millis(100),
        wait_max: PATIENCE,
        ..ViewLimits::default()
    });
    let stage = Stage::with(HttpLimits::default(), views, MemoryBus::shared()).await;
    fill(&stage, 100, MB / 10).await;
    let request = get(&format!("{MESSAGES}?limit=100"));
    let _takes_nothing = stage.takes_little(request.as_bytes()).await;
    for _ in 0..3 {
        let answer = json(&stage.get(&format!("{MESSAGES}?limit=5")).await);
        assert_eq!(answer["messages"].as_array().unwrap().len(), 5);
    }
    stage.end().await;
}
