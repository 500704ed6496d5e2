//! The floor: what no broker can go below on this machine.
//!
//! `floor-server` does only what a perfect broker must: it receives a batch
//! from a socket into a buffer, appends the buffer to the partition's file,
//! makes it durable where that is asked for, acknowledges it, and sends it
//! from the same buffer to whoever reads. One thread, blocking calls, no
//! protocol, no checks, nothing remembered. `floor-load` is its client, with
//! the batches that librdkafka makes of the same load.

use crate::arguments::Arguments;
use crate::percentiles;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Before each batch: its partition, and the bytes that follow.
const HEADER_BYTES: usize = 8;
const BATCH_BYTES_MAX: usize = 16 << 20;
const ACK: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
/// How long a wait for the next batch's time may oversleep.
const PACE_MIN: Duration = Duration::from_micros(50);
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// `--dir DIR --partitions N --sync true|false`: prints the port that it
/// listens on, then serves one producer and one consumer at a time, the
/// consumer connecting first, until it is killed.
pub fn serve(arguments: &Arguments) -> Result<Value> {
    let dir = Path::new(arguments.text("dir")?);
    let partitions: usize = arguments.number("partitions")?;
    let is_synced: bool = arguments.number("sync")?;
    let mut files = (0..partitions)
        .map(|number| File::create(dir.join(format!("floor-{number}.log"))))
        .collect::<std::io::Result<Vec<_>>>()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (consumer, _) = listener.accept()?;
        let (producer, _) = listener.accept()?;
        consumer.set_nodelay(true)?;
        producer.set_nodelay(true)?;
        pass_on(producer, consumer, &mut files, is_synced)?;
    }
}

/// Receives, appends, acknowledges and sends until the producer has gone.
fn pass_on(
    mut producer: TcpStream,
    mut consumer: TcpStream,
    files: &mut [File],
    is_synced: bool,
) -> Result<()> {
    let mut buffer = vec![0; BATCH_BYTES_MAX];
    loop {
        let mut header = [0; HEADER_BYTES];
        if producer.read(&mut header[..1])? == 0 {
            return Ok(());
        }
        producer.read_exact(&mut header[1..])?;
        let (partition, length) = parse(header);
        let file = files.get_mut(partition).context("no such partition")?;
        let batch = buffer.get_mut(..length).context("a batch too large")?;
        producer.read_exact(batch)?;
        file.write_all(batch)?;
        if is_synced {
            file.sync_data()?;
        }
        producer.write_all(&ACK)?;
        consumer.write_all(batch)?;
    }
}

fn parse(header: [u8; HEADER_BYTES]) -> (usize, usize) {
    let [a, b, c, d, e, f, g, h] = header;
    let partition = u32::from_be_bytes([a, b, c, d]);
    let length = u32::from_be_bytes([e, f, g, h]);
    (partition as usize, length as usize)
}

/// `--address HOST:PORT --partitions N --rate RECORDS_PER_S --records N
/// --size BYTES --batch-records N`.
///
/// Batches of that many records at that rate, evenly spaced. Answers the
/// bytes that went in and came out, and how long each batch took to its
/// acknowledgement from when it was due.
pub fn load(arguments: &Arguments) -> Result<Value> {
    let address = arguments.text("address")?;
    let partitions: u32 = arguments.number("partitions")?;
    let rate: u32 = arguments.number("rate")?;
    let records: u32 = arguments.number("records")?;
    let size: u32 = arguments.number("size")?;
    let batch_records: u32 = arguments.number("batch-records")?;
    if rate == 0 || batch_records == 0 || partitions == 0 {
        bail!("--rate, --batch-records and --partitions from 1");
    }
    let batches = records.div_ceil(batch_records);
    let batch_bytes = size * batch_records;
    let consumer = TcpStream::connect(address)?;
    let mut producer = TcpStream::connect(address)?;
    producer.set_nodelay(true)?;
    for stream in [&consumer, &producer] {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
    }
    let bytes = u64::from(batches) * u64::from(batch_bytes);
    let reader = thread::spawn(move || drain(consumer, bytes));
    let acks = producer.try_clone()?;
    let (due_sender, due) = mpsc::channel();
    let acked = thread::spawn(move || acknowledged(acks, due, batches));
    let mut frame = vec![0x5a; HEADER_BYTES + batch_bytes as usize];
    frame[4..HEADER_BYTES].copy_from_slice(&batch_bytes.to_be_bytes());
    let gap = Duration::from_secs(1) * batch_records / rate;
    let began = Instant::now() + Duration::from_millis(20);
    for index in 0..batches {
        let at = began + gap * index;
        while let Some(left) = at.checked_duration_since(Instant::now()) {
            thread::sleep(left.max(PACE_MIN));
        }
        frame[..4].copy_from_slice(&(index % partitions).to_be_bytes());
        due_sender.send(at)?;
        producer.write_all(&frame)?;
    }
    let samples = acked.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    reader.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({
        "bytes": bytes,
        "seconds": seconds,
        "produce": percentiles::summary(samples),
    }))
}

fn acknowledged(
    mut acks: TcpStream,
    due: mpsc::Receiver<Instant>,
    batches: u32,
) -> Result<Vec<u64>> {
    let mut samples = Vec::with_capacity(batches as usize);
    let mut waiting = VecDeque::new();
    for _ in 0..batches {
        let mut ack = ACK;
        acks.read_exact(&mut ack)?;
        waiting.extend(due.try_iter());
        let at = waiting
            .pop_front()
            .context("an acknowledgement of nothing")?;
        samples.push(at.elapsed().as_nanos() as u64);
    }
    Ok(samples)
}

fn drain(mut consumer: TcpStream, bytes: u64) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let read = consumer.read(&mut buffer)?;
        if read == 0 {
            bail!("{left} bytes did not come");
        }
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}
