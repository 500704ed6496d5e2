//! Transactions one after the other by several producers, on raw sockets: a
//! client library's own waits (librdkafka's first AddPartitionsToTxn takes
//! 100 ms, against every broker) would hide what the broker does.

use crate::arguments::Arguments;
use crate::percentiles;
use crate::socket::Socket;
use anyhow::{Context, Result, bail};
use millstream_wire::ErrorCode;
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use millstream_wire::messages::end_txn::EndTxnRequest;
use millstream_wire::messages::find_coordinator::FindCoordinatorRequest;
use millstream_wire::messages::init_producer_id::InitProducerIdRequest;
use millstream_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long all of a run's clients together may take to get ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// Pause before a request is sent again that met an earlier step of the same
/// transactional id; Java's client waits 20 ms, which would be its own time.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Transactions that are made but not counted, for each producer.
const UNCOUNTED: usize = 20;

/// `--bootstrap ADDRESS --topic NAME --partitions N --producers N
/// --seconds S --size BYTES`.
///
/// Each transaction is: the partitions are added, one Produce with a record to
/// each of them (`acks=all`), EndTxn. Answers transactions a second, how long
/// the commit took (EndTxn sent to its answer) and the whole transaction.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(commits(arguments))
}

async fn commits(arguments: &Arguments) -> Result<Value> {
    let producers: usize = arguments.number("producers")?;
    let seconds: f64 = arguments.number("seconds")?;
    let partitions: i32 = arguments.number("partitions")?;
    let size: usize = arguments.number("size")?;
    let mut ready = Vec::with_capacity(producers);
    for number in 0..producers {
        let mut producer = Producer::connect(arguments, number, partitions, size).await?;
        for _ in 0..UNCOUNTED {
            producer.transaction().await?;
        }
        ready.push(producer);
    }
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let tasks = ready
        .into_iter()
        .map(|producer| tokio::spawn(producer.run(until)));
    let (mut ends, mut wholes, mut busy) = (Vec::new(), Vec::new(), 0);
    for task in tasks.collect::<Vec<_>>() {
        let done = task.await??;
        ends.extend(done.commits);
        wholes.extend(done.wholes);
        busy += done.busy;
    }
    let took = began.elapsed().as_secs_f64();
    Ok(json!({
        "transactions": wholes.len(),
        "per_second": wholes.len() as f64 / took,
        "answered_busy": busy,
        "commit": percentiles::summary(ends),
        "transaction": percentiles::summary(wholes),
    }))
}

struct Producer {
    socket: Socket,
    transactional_id: String,
    topic: String,
    partitions: i32,
    value: Vec<u8>,
    id: i64,
    epoch: i16,
    sequence: i32,
    busy: u64,
}

#[derive(Default)]
struct Done {
    commits: Vec<u64>,
    wholes: Vec<u64>,
    busy: u64,
}

impl Producer {
    async fn connect(
        arguments: &Arguments,
        number: usize,
        partitions: i32,
        size: usize,
    ) -> Result<Self> {
        let mut socket = Socket::connect(arguments.text("bootstrap")?).await?;
        let transactional_id = format!("bench-{}-{number}", std::process::id());
        let deadline = Instant::now() + READY_MAX;
        // A broker creates its transaction topic at first use.
        let find = FindCoordinatorRequest {
            key: transactional_id.clone(),
            key_type: 1,
            ..FindCoordinatorRequest::default()
        };
        while socket.call(&find, 3).await?.error_code != 0 {
            pause_before(deadline, "FindCoordinator").await?;
        }
        let init = InitProducerIdRequest {
            transactional_id: Some(transactional_id.clone()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        loop {
            let answer = socket.call(&init, 2).await?;
            if answer.error_code == 0 {
                return Ok(Self {
                    socket,
                    transactional_id,
                    topic: arguments.text("topic")?.to_owned(),
                    partitions,
                    value: vec![0x5a; size],
                    id: answer.producer_id,
                    epoch: answer.producer_epoch,
                    sequence: 0,
                    busy: 0,
                });
            }
            pause_before(deadline, "InitProducerId").await?;
        }
    }

    async fn run(mut self, until: Instant) -> Result<Done> {
        let mut done = Done::default();
        self.busy = 0;
        while Instant::now() < until {
            let began = Instant::now();
            let commit = self.transaction().await?;
            done.commits.push(commit.as_nanos() as u64);
            done.wholes.push(began.elapsed().as_nanos() as u64);
        }
        done.busy = self.busy;
        Ok(done)
    }

    /// One transaction; answers how long its commit took.
    async fn transaction(&mut self) -> Result<Duration> {
        self.add_partitions().await?;
        self.produce().await?;
        let began = Instant::now();
        let end = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed: true,
        };
        let answer = self.socket.call(&end, 3).await?;
        if answer.error_code != 0 {
            bail!("EndTxn answered error {}", answer.error_code);
        }
        Ok(began.elapsed())
    }

    async fn add_partitions(&mut self) -> Result<()> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: self.topic.clone(),
                partitions: (0..self.partitions).collect(),
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        loop {
            let answer = self.socket.call(&request, 3).await?;
            let error = answer
                .results_by_topic_v3_and_below
                .iter()
                .flat_map(|topic| &topic.results_by_partition)
                .map(|partition| partition.partition_error_code)
                .find(|code| *code != 0);
            match error {
                None => return Ok(()),
                // Kafka answers EndTxn before the markers are written.
                Some(code) if ErrorCode::from(code) == ErrorCode::ConcurrentTransactions => {
                    self.busy += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Some(code) => bail!("AddPartitionsToTxn answered error {code}"),
            }
        }
    }

    async fn produce(&mut self) -> Result<()> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let partition_data = (0..self.partitions)
            .map(|index| -> Result<_> {
                let mut batch = BatchBuilder::new(BatchOptions {
                    producer_id: self.id,
                    producer_epoch: self.epoch,
                    base_sequence: self.sequence,
                    is_transactional: true,
                    ..BatchOptions::default()
                });
                batch.append(i64::try_from(now_ms)?, None, Some(&self.value), &[])?;
                Ok(PartitionProduceData {
                    index,
                    records: Some(batch.build()?),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let request = ProduceRequest {
            transactional_id: Some(self.transactional_id.clone()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: self.topic.clone(),
                partition_data,
                ..TopicProduceData::default()
            }],
        };
        let answer = self.socket.call(&request, 8).await?;
        let topic = answer
            .responses
            .first()
            .context("an answer without topic")?;
        let failed = topic.partition_responses.iter().find(|p| p.error_code != 0);
        if let Some(partition) = failed {
            bail!("Produce answered error {}", partition.error_code);
        }
        self.sequence = self.sequence.wrapping_add(1) & i32::MAX;
        Ok(())
    }
}

async fn pause_before(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("{what} did not succeed within {READY_MAX:?}");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}
