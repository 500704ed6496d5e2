//! What it costs to look at a batch, one thread, one batch again and again:
//!
//! ```text
//! cargo run --release -p millstream-wire --example framing
//! ```
//!
//! For each codec and size of value: the checksum alone (all that Produce
//! looked at before), the framing walk that a produced batch gets today, and
//! the records made one by one (what a reader does), in nanoseconds a record
//! and gigabytes of records a second.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark"
)]

use millstream_wire::batch::{BatchBuilder, BatchOptions, BatchView};
use millstream_wire::compression::Compression;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each figure is measured.
const MEASURED: Duration = Duration::from_millis(400);

fn main() {
    println!(
        "value bytes  codec   stored KiB   checksum ns/rec GB/s   framing ns/rec GB/s   records ns/rec GB/s"
    );
    for (count, value_bytes) in [(10_000usize, 30usize), (1_000, 1_000), (10, 100_000)] {
        for codec in Compression::ALL {
            let batch = batch(codec, count, value_bytes);
            let uncompressed = batch_bytes(&batch);
            let figures = [
                timed(|| batch.verify_crc().unwrap()),
                timed(|| {
                    let mut newest = i64::MIN;
                    let visit = |record: millstream_wire::batch::FramedRecord| {
                        newest = newest.max(record.timestamp);
                    };
                    batch.check_framing(usize::MAX, visit).unwrap();
                    black_box(newest);
                }),
                timed(|| {
                    for record in batch.records().unwrap() {
                        black_box(record.unwrap());
                    }
                }),
            ];
            print!(
                "{value_bytes:>11}  {:<6} {:>11}",
                codec.name(),
                batch.size_bytes() / 1024
            );
            for took in figures {
                let ns = took.as_secs_f64() * 1e9;
                print!(
                    "   {:>15.1} {:>5.1}",
                    ns / count as f64,
                    uncompressed as f64 / ns
                );
            }
            println!();
        }
    }
}

/// Text that compresses about as logs do.
fn batch(codec: Compression, count: usize, value_bytes: usize) -> BatchView {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: codec,
        ..Default::default()
    });
    let mut state = 1u64;
    let mut value = String::new();
    for i in 0..count {
        value.clear();
        while value.len() < value_bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            value += &format!("{{\"level\":\"INFO\",\"took_ms\":{},", state >> 52);
        }
        value.truncate(value_bytes);
        let key = format!("key-{i}");
        let at_ms = 1_700_000_000_000 + i as i64;
        builder
            .append(at_ms, Some(key.as_bytes()), Some(value.as_bytes()), &[])
            .unwrap();
    }
    BatchView::parse(&builder.build().unwrap()).unwrap()
}

fn batch_bytes(batch: &BatchView) -> usize {
    let records = batch.records().unwrap();
    let length = |bytes: Option<bytes::Bytes>| bytes.map_or(0, |b| b.len());
    records
        .map(|record| record.unwrap())
        .map(|record| length(record.key) + length(record.value))
        .sum()
}

/// The best of many runs.
fn timed(mut work: impl FnMut()) -> Duration {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < MEASURED {
        let at = Instant::now();
        work();
        best = best.min(at.elapsed());
    }
    best
}
