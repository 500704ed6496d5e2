//! What many partitions cost: to create, to open after a clean stop and after
//! a kill, to keep while nobody uses them, to delete.
//!
//! ```text
//! cargo run --release -p millstream-log --example partition_scale -- DIR PARTITIONS
//! ```

use bytes::Bytes;
use millstream_core::ids::{LeaderEpoch, TopicId, TopicPartition};
use millstream_log::{
    AppendOrigin, LogConfig, LogManager, LogManagerOptions, NewPartition, PartitionLog,
};
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// How long the idle partitions are watched.
const IDLE: Duration = Duration::from_secs(60);
/// Every so manieth partition has records.
const USED_EACH: usize = 10;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("which folder?")?;
    let partitions = args.next().map_or(Ok(10_000), |n| n.parse())?;
    let dir = Path::new(&dir);
    let base_kb = resident_kb();
    let manager = open(dir)?;

    let started = Started::now()?;
    let wanted = (0..partitions).map(|partition| NewPartition {
        topic_partition: TopicPartition::new("scale", partition),
        topic_id: TopicId::from_u128(42),
        config: LogConfig::default(),
    });
    let created = manager.create_all(wanted.collect());
    let logs = created.into_iter().collect::<Result<Vec<_>, _>>()?;
    started.told("create")?;
    memory("created", base_kb, logs.len());

    let started = Started::now()?;
    append(&logs, 200)?;
    started.told("append 200 KiB to every tenth, durably")?;
    drop(logs);
    let started = Started::now()?;
    manager.shutdown()?;
    started.told("stop")?;
    drop(manager);

    let started = Started::now()?;
    let manager = open(dir)?;
    started.told("open after a clean stop")?;
    memory("opened", base_kb, manager.all().len());

    append(&manager.all(), 20)?;
    drop(manager);
    let started = Started::now()?;
    let manager = open(dir)?;
    started.told("open after a kill, every tenth written to")?;
    manager.start()?;
    manager.checkpoint_logs(1);

    let before = cpu()?;
    std::thread::sleep(IDLE);
    let used = cpu()? - before;
    println!(
        "idle: {:.3} % of a core, {} files open",
        100.0 * used.as_secs_f64() / IDLE.as_secs_f64(),
        std::fs::read_dir("/proc/self/fd")?.count(),
    );

    let started = Started::now()?;
    let all = manager.all();
    let names = all.iter().map(|log| log.topic_partition().clone());
    for deleted in manager.delete_all(names.collect()) {
        deleted?;
    }
    started.told("delete")?;
    manager.shutdown()?;
    Ok(())
}

fn open(dir: &Path) -> Result<Arc<LogManager>, Failure> {
    Ok(LogManager::open(LogManagerOptions::new(dir, "scale", 1))?)
}

fn append(logs: &[Arc<PartitionLog>], kib: usize) -> Result<(), Failure> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1, None, Some(&[b'v'; 1000]), &[])?;
    let batch: Bytes = builder.build()?;
    let used = || logs.iter().step_by(USED_EACH);
    for log in used() {
        for _ in 0..kib {
            log.append_as_leader(batch.clone(), AppendOrigin::Client, LeaderEpoch(0))?;
        }
    }
    for log in used() {
        log.flush()?;
    }
    Ok(())
}

/// When a step began, on the wall and on the processor: the latter says more
/// on a machine that others use.
struct Started {
    at: Instant,
    cpu: Duration,
}

impl Started {
    fn now() -> Result<Self, Failure> {
        Ok(Self {
            at: Instant::now(),
            cpu: cpu()?,
        })
    }

    fn told(&self, what: &str) -> Result<(), Failure> {
        let (wall, cpu) = (self.at.elapsed(), cpu()? - self.cpu);
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
        println!("{what}: {wall:.3} s, {cpu:.3} s of processor");
        Ok(())
    }
}

fn memory(what: &str, base_kb: f64, partitions: usize) {
    let kb = resident_kb() - base_kb;
    println!("{what}: {:.1} KiB of memory each", kb / partitions as f64);
}

fn resident_kb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4.0
}

/// Processor time of this process.
fn cpu() -> Result<Duration, Failure> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(
        u64::try_from(time.tv_sec)?,
        u32::try_from(time.tv_nsec)?,
    ))
}
