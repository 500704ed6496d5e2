//! A fixed rate of records through a topic, producer and consumer at once.

use crate::arguments::Arguments;
use crate::percentiles;
use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The intended send time is the first eight bytes of each value.
const STAMP_BYTES: usize = 8;
/// How long after the last send everything must have come back.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long a wait for the next record's time may oversleep; the last stretch
/// before it is short enough for the timer.
const PACE_MIN: Duration = Duration::from_micros(50);
/// Records that were due in the run's beginning are sent but not counted: in it
/// the client connects, asks for metadata and gets its producer id.
const UNCOUNTED: Duration = Duration::from_millis(500);

/// When a record was due, after the start of the run, and how long it took.
#[derive(Clone, Copy)]
struct Sample {
    due_ns: u64,
    took_ns: u64,
}

/// `--bootstrap ADDRESS --topic NAME --partitions N --rate RECORDS_PER_S
/// --records N --size BYTES --linger-ms MS [--codec NAME]`.
///
/// The topic must be there and is read from its end. Answers the produce
/// latency (intended send time to acknowledgement), the end-to-end latency
/// (intended send time to the consumer's hands) and the rate that was reached.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let shape = Shape::read(arguments)?;
    let started = Instant::now();
    let consumer = consumer(arguments, &shape)?;
    let reader = {
        let records = shape.records;
        thread::spawn(move || read(&consumer, records, started))
    };
    let acks = Arc::new(Acks::default());
    let producer: ThreadedProducer<Reports> = arguments
        .producer()?
        .set("linger.ms", arguments.text("linger-ms")?)
        .set("compression.type", arguments.text_or("codec", "none"))
        .create_with_context(Reports {
            acks: acks.clone(),
            started,
        })?;
    let began = send(&producer, &shape, started)?;
    producer.flush(DRAIN_MAX)?;
    let sent_in = began.elapsed();
    let end_to_end = reader
        .join()
        .map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    let failed = acks.failed.load(Ordering::Relaxed);
    if failed > 0 {
        bail!("{failed} records failed");
    }
    let produced = std::mem::take(&mut *lock(&acks.samples));
    let counted_from_ns = (began + UNCOUNTED).duration_since(started).as_nanos() as u64;
    let counted = |samples: Vec<Sample>| {
        let counted = samples.iter().filter(|s| s.due_ns >= counted_from_ns);
        percentiles::summary(counted.map(|s| s.took_ns).collect())
    };
    Ok(json!({
        "records": shape.records,
        "bytes": shape.records * shape.size as u64,
        "seconds": sent_in.as_secs_f64(),
        "records_per_s": shape.records as f64 / sent_in.as_secs_f64(),
        "produce": counted(produced),
        "end_to_end": counted(end_to_end),
    }))
}

struct Shape {
    topic: String,
    partitions: i32,
    rate: u64,
    records: u64,
    size: usize,
}

impl Shape {
    fn read(arguments: &Arguments) -> Result<Self> {
        let shape = Self {
            topic: arguments.text("topic")?.to_owned(),
            partitions: arguments.number("partitions")?,
            rate: arguments.number("rate")?,
            records: arguments.number("records")?,
            size: arguments.number("size")?,
        };
        if shape.size < STAMP_BYTES || shape.rate == 0 || shape.partitions < 1 {
            bail!("--size from {STAMP_BYTES}, --rate and --partitions from 1");
        }
        Ok(shape)
    }
}

/// Acknowledgements, as librdkafka's thread reports them.
#[derive(Default)]
struct Acks {
    samples: Mutex<Vec<Sample>>,
    failed: AtomicU64,
}

struct Reports {
    acks: Arc<Acks>,
    started: Instant,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, intended_ns: usize) {
        let now = self.started.elapsed().as_nanos() as u64;
        match result {
            Ok(_) => lock(&self.acks.samples).push(Sample {
                due_ns: intended_ns as u64,
                took_ns: now.saturating_sub(intended_ns as u64),
            }),
            Err(_) => {
                self.acks.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A poisoned lock means that a callback panicked, which ends the run anyway.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Sends all records, each as soon as its time has come; answers when the
/// first was due.
fn send(producer: &ThreadedProducer<Reports>, shape: &Shape, started: Instant) -> Result<Instant> {
    // Text that does not compress to nothing and costs nothing to make.
    let mut value: Vec<u8> = (0..shape.size).map(|i| (i * 131 % 251) as u8).collect();
    let gap_ns = 1_000_000_000 / shape.rate;
    let began = Instant::now() + Duration::from_millis(20);
    for index in 0..shape.records {
        let due = began + Duration::from_nanos(index * gap_ns);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.max(PACE_MIN));
        }
        let intended_ns = due.duration_since(started).as_nanos() as u64;
        value[..STAMP_BYTES].copy_from_slice(&intended_ns.to_le_bytes());
        let mut record = BaseRecord::with_opaque_to(&shape.topic, intended_ns as usize)
            .key("")
            .partition((index % shape.partitions as u64) as i32)
            .payload(&value);
        while let Err((error, refused)) = producer.send::<str, _>(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("produce");
            }
            thread::sleep(PACE_MIN);
            record = refused;
        }
    }
    Ok(began)
}

/// A consumer at the end of every partition, ready before the first send.
fn consumer(arguments: &Arguments, shape: &Shape) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = arguments
        .client()?
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut start = TopicPartitionList::new();
    for partition in 0..shape.partitions {
        let (_, end) =
            consumer.fetch_watermarks(&shape.topic, partition, Duration::from_secs(30))?;
        start.add_partition_offset(&shape.topic, partition, Offset::Offset(end))?;
    }
    consumer.assign(&start)?;
    Ok(consumer)
}

/// Reads that many records.
fn read(consumer: &BaseConsumer, records: u64, started: Instant) -> Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(records as usize);
    let mut last = Instant::now();
    while (samples.len() as u64) < records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let now = started.elapsed().as_nanos() as u64;
                let stamp = message
                    .payload()
                    .and_then(|value| value.first_chunk::<STAMP_BYTES>())
                    .context("a record without a time stamp")?;
                let due_ns = u64::from_le_bytes(*stamp);
                samples.push(Sample {
                    due_ns,
                    took_ns: now.saturating_sub(due_ns),
                });
                last = Instant::now();
            }
            Some(Err(error)) => return Err(error).context("consume"),
            None if last.elapsed() > DRAIN_MAX => {
                bail!("{} of {records} records came back", samples.len())
            }
            None => {}
        }
    }
    Ok(samples)
}
