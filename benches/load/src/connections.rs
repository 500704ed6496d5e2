//! Many connections, each with one small request at a time: raw sockets, since
//! a client library has threads for each connection.

use crate::arguments::Arguments;
use crate::percentiles;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::frame::{decode_response, encode_request};
use millstream_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// librdkafka's and Java's Produce of some years ago: every broker serves it.
const PRODUCE_VERSION: i16 = 8;
const ANSWER_BYTES_MAX: usize = 1 << 20;
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// `--bootstrap ADDRESS --topic NAME --partitions N --connections N
/// --rate REQUESTS_PER_S --requests N --size BYTES`.
///
/// Each request is a Produce of one record with `acks=all`; the rate is that
/// of all connections together, evenly spaced. Answers how long they took from
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
    let connecting = Instant::now();
    let mut streams = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let connected_in = connecting.elapsed();
    let began = Instant::now() + Duration::from_millis(200);
    let tasks = streams.into_iter().enumerate().map(|(index, stream)| {
        let connection = Connection {
            stream,
            request: request(&topic, index as i32 % partitions as i32, size),
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
    stream: TcpStream,
    request: Result<Bytes>,
}

impl Connection {
    async fn run(mut self, schedule: Schedule) -> Result<Vec<u64>> {
        let request = self.request?;
        let mut samples = Vec::new();
        let mut number = schedule.first;
        while number < schedule.requests {
            let due = schedule.began + schedule.gap * number;
            tokio::time::sleep_until(due.into()).await;
            self.stream.write_all(&request).await?;
            tokio::time::timeout(ANSWER_MAX, answer(&mut self.stream))
                .await
                .context("no answer to a Produce")??;
            samples.push(due.elapsed().as_nanos() as u64);
            number += schedule.every;
        }
        Ok(samples)
    }
}

async fn answer(stream: &mut TcpStream) -> Result<()> {
    let length = usize::try_from(stream.read_i32().await?)?;
    if length > ANSWER_BYTES_MAX {
        bail!("an answer of {length} bytes");
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    let (_, answer) = decode_response::<ProduceRequest>(bytes.into(), PRODUCE_VERSION)?;
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
    Ok(encode_request(&request, PRODUCE_VERSION, 1, Some("load"))?.to_bytes())
}
