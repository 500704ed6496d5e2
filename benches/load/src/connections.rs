//! Many connections, each with one small request at a time: raw sockets, since
//! a client library has threads for each connection.

use crate::arguments::Arguments;
use crate::percentiles;
use crate::socket::Socket;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::frame::encode_request;
use millstream_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// librdkafka's and Java's Produce of some years ago: every broker serves it.
const PRODUCE_VERSION: i16 = 8;

/// `--bootstrap ADDRESS --topic NAME --partitions N --connections N
/// --rate REQUESTS_PER_S --requests N --size BYTES`.
///
/// Each request is a Produce of one record with `acks=all`, to one partition
/// after the other; the rate is that of all connections together, evenly
/// spaced. Answers how long they took from
/// when they were to be sent, and how long all connecting took.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(connections(arguments))
}

async fn connections(arguments: &Arguments) -> Result<Value> {
    let address = arguments.text("bootstrap")?.to_owned();
    let topic = arguments.text("topic")?.to_owned();
    let partitions: u32 = arguments.number("partitions")?;
    let count: u32 = arguments.number("connections")?;
    let rate: u32 = arguments.number("rate")?;
    let requests: u32 = arguments.number("requests")?;
    let size: usize = arguments.number("size")?;
    if count == 0 || rate == 0 || partitions == 0 {
        bail!("--connections, --rate and --partitions from 1");
    }
    let requests_of = (0..partitions)
        .map(|partition| request(&topic, partition as i32, size))
        .collect::<Result<Arc<[Bytes]>>>()?;
    let connecting = Instant::now();
    let mut sockets = Vec::with_capacity(count as usize);
    for _ in 0..count {
        sockets.push(Socket::connect(&address).await?);
    }
    let connected_in = connecting.elapsed();
    let began = Instant::now() + Duration::from_millis(200);
    let tasks = sockets.into_iter().enumerate().map(|(index, socket)| {
        let connection = Connection {
            socket,
            requests: Arc::clone(&requests_of),
        };
        let schedule = Schedule {
            began,
            first: index as u32,
            every: count,
            requests,
            gap: Duration::from_secs(1) / rate,
        };
        tokio::spawn(connection.run(schedule))
    });
    let mut samples = Vec::with_capacity(requests as usize);
    for task in tasks.collect::<Vec<_>>() {
        samples.extend(task.await??);
    }
    Ok(json!({
        "connected_ms": connected_in.as_secs_f64() * 1e3,
        "seconds": began.elapsed().as_secs_f64(),
        "requests": samples.len(),
        "produce": percentiles::summary(samples),
    }))
}

/// Which of all the requests are a connection's, and when they are due.
struct Schedule {
    began: Instant,
    first: u32,
    every: u32,
    requests: u32,
    gap: Duration,
}

struct Connection {
    socket: Socket,
    /// One for each partition.
    requests: Arc<[Bytes]>,
}

impl Connection {
    async fn run(mut self, schedule: Schedule) -> Result<Vec<u64>> {
        let mut samples = Vec::new();
        let mut number = schedule.first;
        while number < schedule.requests {
            let due = schedule.began + schedule.gap * number;
            tokio::time::sleep_until(due.into()).await;
            let request = &self.requests[number as usize % self.requests.len()];
            produce(&mut self.socket, request).await?;
            samples.push(due.elapsed().as_nanos() as u64);
            number += schedule.every;
        }
        Ok(samples)
    }
}

async fn produce(socket: &mut Socket, request: &Bytes) -> Result<()> {
    let answer = socket
        .call_encoded::<ProduceRequest>(request, PRODUCE_VERSION)
        .await?;
    let partition = answer
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first())
        .context("an answer without its partition")?;
    if partition.error_code != 0 {
        bail!("Produce answered error {}", partition.error_code);
    }
    Ok(())
}

fn request(topic: &str, partition: i32, size: usize) -> Result<Bytes> {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_millis();
    batch.append(i64::try_from(now_ms)?, None, Some(&vec![0x5a; size]), &[])?;
    let request = ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(batch.build()?),
            }],
            ..TopicProduceData::default()
        }],
    };
    Ok(encode_request(&request, PRODUCE_VERSION, 1, Some("load"))?.to_bytes()?)
}
