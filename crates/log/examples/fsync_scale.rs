//! How durable appends scale with the number of active partitions, and what
//! other ways to make them durable would cost on the same disk.
//!
//! ```text
//! cargo run --release -p millstream-log --example fsync_scale -- [DIR] [SECONDS]
//! ```
//!
//! First table: this crate, end to end. Every partition has one append of one
//! 1 KiB batch outstanding, so the number of partitions is the number of
//! appends in flight; one row has 100 in flight on one partition. Latency is
//! from the append to the high watermark.
//!
//! Second table: transactions' markers. Rounds of one append to each of N
//! partitions until all are durable, their syncs asked for one by one or
//! together.
//!
//! Third table: the disk itself. Rounds of one 1 KiB append to each of N
//! files, then one of: `fdatasync` of each file by T threads, one `syncfs`,
//! or one append and `fdatasync` of a journal beside files that are not
//! synced.

use millstream_core::ids::{LeaderEpoch, TopicId, TopicPartition};
use millstream_log::{
    AppendOrigin, Durability, LogConfig, LogManager, LogManagerOptions, PartitionLog,
};
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const RECORD_BYTES: usize = 1024 - 80;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds: f64 = args.next().map_or(Ok(3.0), |text| text.parse())?;
    let time = Duration::from_secs_f64(seconds);
    let dir = dir.join(format!("fsync-scale-{}", std::process::id()));
    println!(
        "folder {}, {seconds} s a row, 1 KiB batches\n",
        dir.display()
    );
    let done = through_the_log(&dir, time)
        .and_then(|()| in_rounds(&dir, time))
        .and_then(|()| on_the_disk(&dir, time));
    std::fs::remove_dir_all(&dir)?;
    done
}

fn through_the_log(dir: &Path, time: Duration) -> Outcome<()> {
    println!(
        "| durability | flush threads | partitions | in flight | appends/s | p50 ms | p99 ms | appends a sync |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (durability, threads) in [
        (Durability::Fsync, 4),
        (Durability::Fsync, 16),
        (Durability::Fsync, 64),
        (Durability::PageCache, 16),
    ] {
        for (partitions, in_flight) in [(1, 1), (1, 100), (100, 1), (1000, 1)] {
            let run = Run {
                durability,
                threads,
                partitions,
                in_flight,
            };
            run.measure(&dir.join("log"), time)?;
        }
    }
    Ok(())
}

fn in_rounds(dir: &Path, time: Duration) -> Outcome<()> {
    println!("\n| syncs asked for | partitions | rounds/s | p50 ms a round | p99 ms a round |");
    println!("|---|---|---|---|---|");
    for partitions in [1, 4, 16] {
        for is_together in [false, true] {
            let run = Run {
                durability: Durability::Fsync,
                threads: 16,
                partitions,
                in_flight: 1,
            };
            run.measure_rounds(&dir.join("rounds"), time, is_together)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Run {
    durability: Durability,
    threads: usize,
    partitions: i32,
    in_flight: usize,
}

impl Run {
    fn open(self, dir: &Path) -> Outcome<(Arc<LogManager>, Vec<Arc<PartitionLog>>)> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        let options = LogManagerOptions {
            flush_threads: self.threads,
            ..LogManagerOptions::new(dir, "bench", 1)
        };
        let manager = LogManager::open(options)?;
        let config = LogConfig {
            durability: self.durability,
            ..LogConfig::default()
        };
        let logs = (0..self.partitions)
            .map(|p| {
                let partition = TopicPartition::new("bench", p);
                manager.create(&partition, TopicId::from_u128(1), config.clone())
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok((manager, logs))
    }

    fn measure_rounds(self, dir: &Path, time: Duration, is_together: bool) -> Outcome<()> {
        let (manager, logs) = self.open(dir)?;
        // One thread, as the broker has on two cores.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()?;
        let batch = batch()?;
        let started = Instant::now();
        let mut rounds = Vec::new();
        while started.elapsed() < time {
            let began = Instant::now();
            let (logs, batch) = (logs.clone(), batch.clone());
            let round = append_to_each(logs, batch);
            let task = if is_together {
                runtime.spawn(millstream_log::gather_syncs(round))
            } else {
                runtime.spawn(round)
            };
            runtime.block_on(task)??;
            rounds.push(began.elapsed());
        }
        let per_second = rounds.len() as f64 / started.elapsed().as_secs_f64();
        let (p50, p99) = percentiles_ms(&mut rounds);
        let way = if is_together {
            "together"
        } else {
            "one by one"
        };
        println!(
            "| {way} | {} | {per_second:.1} | {p50:.2} | {p99:.2} |",
            self.partitions
        );
        manager.shutdown()?;
        Ok(())
    }

    fn measure(self, dir: &Path, time: Duration) -> Outcome<()> {
        let (manager, logs) = self.open(dir)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()?;
        let syncs_before = manager.metrics().syncs;
        let started = Instant::now();
        let mut latencies = runtime.block_on(self.load(&logs, started + time))?;
        let took = started.elapsed().as_secs_f64();
        let syncs = manager.metrics().syncs - syncs_before;
        let (p50, p99) = percentiles_ms(&mut latencies);
        println!(
            "| {:?} | {} | {} | {} | {:.0} | {p50:.2} | {p99:.2} | {:.1} |",
            self.durability,
            self.threads,
            self.partitions,
            self.in_flight * logs.len(),
            latencies.len() as f64 / took,
            latencies.len() as f64 / syncs.max(1) as f64,
        );
        manager.shutdown()?;
        Ok(())
    }

    async fn load(self, logs: &[Arc<PartitionLog>], until: Instant) -> Outcome<Vec<Duration>> {
        let mut tasks = Vec::new();
        for log in logs {
            for _ in 0..self.in_flight {
                tasks.push(tokio::spawn(append_until(Arc::clone(log), until)));
            }
        }
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(latencies)
    }
}

async fn append_to_each(logs: Vec<Arc<PartitionLog>>, batch: bytes::Bytes) -> Outcome<()> {
    let appended = logs
        .iter()
        .map(|log| log.append_as_leader(batch.clone(), AppendOrigin::Client, LeaderEpoch(0)))
        .collect::<Result<Vec<_>, _>>()?;
    for (log, info) in logs.iter().zip(appended) {
        log.wait_high_watermark(info.end_offset()).await?;
    }
    Ok(())
}

async fn append_until(log: Arc<PartitionLog>, until: Instant) -> Outcome<Vec<Duration>> {
    let batch = batch()?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let info = log.append_as_leader(batch.clone(), AppendOrigin::Client, LeaderEpoch(0))?;
        log.wait_high_watermark(info.end_offset()).await?;
        latencies.push(started.elapsed());
        // Page-cache appends never wait; let the other tasks go on.
        tokio::task::yield_now().await;
    }
    Ok(latencies)
}

fn batch() -> Outcome<bytes::Bytes> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(
        i64::try_from(now_ms)?,
        None,
        Some(&[b'x'; RECORD_BYTES]),
        &[],
    )?;
    Ok(builder.build()?)
}

fn percentiles_ms(samples: &mut [Duration]) -> (f64, f64) {
    samples.sort_unstable();
    let at = |share: f64| {
        let i = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
        samples.get(i).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    (at(0.5), at(0.99))
}

fn on_the_disk(dir: &Path, time: Duration) -> Outcome<()> {
    println!("\n| way | files | rounds/s | appends/s | p50 ms a round | p99 ms a round |");
    println!("|---|---|---|---|---|---|");
    for files in [1, 100, 1000] {
        for way in [
            Way::Each(1),
            Way::Each(4),
            Way::Each(16),
            Way::Each(64),
            Way::SyncFs,
            Way::Journal,
        ] {
            if files == 1 && matches!(way, Way::Each(threads) if threads > 1) {
                continue;
            }
            raw(&dir.join("raw"), files, way, time)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Way {
    /// `fdatasync` of each file, by this many threads.
    Each(usize),
    /// One `syncfs`.
    SyncFs,
    /// One append to a journal and its `fdatasync`.
    Journal,
}

fn raw(dir: &Path, count: usize, way: Way, time: Duration) -> Outcome<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    let open = |name: String| {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join(name))
    };
    let files = (0..count)
        .map(|i| open(i.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    let journal = open("journal".to_owned())?;
    let block = [b'x'; 1024];
    let started = Instant::now();
    let mut rounds = Vec::new();
    while started.elapsed() < time {
        let position = rounds.len() as u64 * 1024;
        let round = Instant::now();
        for file in &files {
            file.write_all_at(&block, position)?;
        }
        match way {
            Way::Each(threads) => sync_each(&files, threads)?,
            Way::SyncFs => rustix::fs::syncfs(&journal)?,
            Way::Journal => {
                journal.write_all_at(&vec![b'x'; 1024 * count], position * count as u64)?;
                journal.sync_data()?;
            }
        }
        rounds.push(round.elapsed());
    }
    let took = started.elapsed().as_secs_f64();
    let per_second = rounds.len() as f64 / took;
    let (p50, p99) = percentiles_ms(&mut rounds);
    println!(
        "| {way:?} | {count} | {per_second:.1} | {:.0} | {p50:.2} | {p99:.2} |",
        per_second * count as f64
    );
    Ok(())
}

fn sync_each(files: &[File], threads: usize) -> std::io::Result<()> {
    if threads == 1 {
        return files.iter().try_for_each(File::sync_data);
    }
    let share = files.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(|| files.iter().try_for_each(File::sync_data)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("a worker panicked")))
        })
    })
}
