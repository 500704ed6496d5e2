//! A whole broker on a disk whose power goes between any two changes: of an
//! append, a commit of offsets, a step of a transaction or of a group, a
//! creation, or the start after the crash before. Then the same with I/O
//! errors and a full disk instead. What any answer promised, and what a reader
//! has seen since, holds in the next life.
//!
//! `MILLSTREAM_CRASH_POINTS` sets how many points, `MILLSTREAM_CRASH_SEED`
//! where it begins. The work is chosen by the seed; when the broker's threads
//! write is not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

#[path = "crash_points/client.rs"]
mod client;
#[path = "crash_points/disk.rs"]
mod disk;
#[path = "crash_points/known.rs"]
mod known;
#[path = "crash_points/work.rs"]
mod work;

use client::Asking;
use disk::{Disk, Kind};
use futures::FutureExt;
use known::{BROKEN, Known};
use millstream_broker::{Broker, BrokerDeps, BrokerHandle};
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_core::env::rand::SeededRand;
use millstream_core::env::{CrashFs, Fs, Keep, Rand, SyncCall, SystemClock};
use millstream_core::ids::BrokerId;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Points when nothing else is asked.
const POINTS_DEFAULT: usize = 200;
/// As many of errors.
const ERRORS_DEFAULT: usize = 100;
/// Never more: each takes a tenth of a second.
const POINTS_MAX: usize = 5_000;
/// And those of errors half a second, because clients try again.
const ERRORS_MAX: usize = 1_000;
/// Lives of one disk: after so many crashes the next seed begins anew.
const LIVES: usize = 8;
/// Steps of one life when nothing ends it before.
const STEPS_MAX: usize = 30;
/// Below this the test has not done what it says.
const ANSWERS_MIN: usize = 10;
const DATA_DIR: &str = "/data";

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_survives_at_any_crash_point() {
    until_enough(Kind::PowerLoss, POINTS_DEFAULT, POINTS_MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_survives_errors_at_any_crash_point() {
    until_enough(Kind::Errors, ERRORS_DEFAULT, ERRORS_MAX).await;
}

async fn until_enough(kind: Kind, points: usize, max: usize) {
    let wanted = number("MILLSTREAM_CRASH_POINTS", points).min(max);
    let first = number("MILLSTREAM_CRASH_SEED", 1) as u64;
    let (mut points, mut promises, began) = (0, 0, Instant::now());
    for seed in first.. {
        if points >= wanted {
            break;
        }
        let (crashed, promised) = lives(seed, kind, |_| false).await;
        assert!(crashed > 0, "seed {seed}: nothing happened");
        points += crashed;
        promises += promised;
    }
    println!(
        "{points} crash points, {promises} promises, {:.1?}",
        began.elapsed()
    );
    assert!(promises >= wanted * ANSWERS_MIN, "{promises} promises");
}

/// As many disks as it may take to notice that a sync is missing.
const DISKS_MAX: u64 = 30;

/// Without the syncs of any one of the logs somebody was told too much.
#[tokio::test]
async fn a_missing_sync_is_noticed() {
    let of_records: LeftOut = |call| call.path.to_string_lossy().contains("/t-");
    let of_groups: LeftOut = |call| call.path.to_string_lossy().contains("/__consumer_offsets-");
    let of_transactions: LeftOut = |call| {
        call.path
            .to_string_lossy()
            .contains("/__transaction_state-")
    };
    for (what, left_out) in [
        ("records", of_records),
        ("groups", of_groups),
        ("transactions", of_transactions),
    ] {
        let mut noticed = false;
        for seed in 1..=DISKS_MAX {
            let lived = AssertUnwindSafe(lives(seed, Kind::PowerLoss, left_out)).catch_unwind();
            if let Err(why) = lived.await {
                let why = why.downcast::<String>().unwrap();
                assert!(why.contains(BROKEN), "{what}: {why}");
                noticed = true;
                break;
            }
        }
        assert!(
            noticed,
            "the syncs of {what} were left out and nobody noticed"
        );
    }
}

type LeftOut = fn(&SyncCall) -> bool;

/// Lives of one disk; how many met with trouble, and what was promised.
async fn lives(seed: u64, kind: Kind, left_out: LeftOut) -> (usize, usize) {
    let chance = SeededRand::shared(seed);
    let below = |end: u64| chance.next_u64() % end;
    let mut fs = CrashFs::new();
    fs.create_dir_all(Path::new(DATA_DIR)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let (mut known, mut points) = (Known::default(), 0);
    for life in 0..LIVES {
        let at = format!("seed {seed} life {life}");
        // Few changes end within the start, many within the work.
        let changes = if below(3) == 0 { 40 } else { 400 };
        fs.ignore_syncs(left_out);
        let disk = Disk::new(&fs, kind, below(changes) as usize, &below);
        let broker = Life::start(&disk, &chance, &at).await;
        if let Some(broker) = &broker {
            let mut asking = Asking::connect(broker.handle.address(), &disk, &at).await;
            if known.holds(&mut asking).await.is_some() {
                for _ in 0..STEPS_MAX {
                    if work::step(&mut known, &mut asking, &chance).await.is_none() {
                        break;
                    }
                }
            }
        }
        points += usize::from(disk.is_troubled());
        let keep = match below(4) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            _ => Keep::Random(below(1 << 20)),
        };
        // After errors some end as they should, on a disk that is well again
        // or not.
        let ends_well = kind == Kind::Errors && below(3) == 0;
        if below(2) == 0 && kind == Kind::Errors {
            fs.heal();
        }
        let crashed = fs.crash(keep);
        if let Some(broker) = broker {
            broker.stop().await;
        }
        fs.heal();
        if ends_well {
            continue;
        }
        fs = crashed;
        if keep != Keep::Everything {
            restart_machine(&fs);
        }
    }
    // Whatever the last life did must hold too.
    let at = format!("seed {seed}, after all");
    let disk = Disk::well(&fs);
    let broker = Life::start(&disk, &chance, &at).await.expect("it starts");
    let mut asking = Asking::connect(broker.handle.address(), &disk, &at).await;
    assert!(known.holds(&mut asking).await.is_some());
    broker.stop().await;
    (points, known.promises)
}

/// The next start is of another boot, as after every loss of power.
fn restart_machine(fs: &CrashFs) {
    let path = Path::new(DATA_DIR).join(".boot-id");
    if fs.exists(&path) {
        fs.replace(&path, b"the boot before").unwrap();
    }
}

/// A broker from its start to its end.
struct Life {
    handle: BrokerHandle,
    metadata: Arc<MetadataService>,
}

impl Life {
    /// `None` when the trouble came meanwhile; anything else that keeps it from
    /// starting is a failure.
    async fn start(disk: &Disk, chance: &Arc<SeededRand>, at: &str) -> Option<Self> {
        let fs = &disk.fs;
        let mut options = support::options(Path::new(DATA_DIR));
        for (name, value) in [
            ("group.initial.rebalance.delay.ms", "0"),
            ("offsets.topic.num.partitions", "2"),
            ("transaction.state.log.num.partitions", "2"),
        ] {
            options.configs.insert(name.into(), value.into());
        }
        let folder: PathBuf = options
            .data_dir
            .join(millstream_cluster::service::METADATA_DIR);
        let rand: Arc<dyn Rand> = chance.clone();
        let metadata_options =
            MetadataOptions::new(BrokerId(1), folder, fs.shared(), Arc::clone(&rand));
        let metadata = match MetadataService::start(metadata_options).await {
            Ok(metadata) => metadata,
            Err(error) => {
                assert!(disk.is_troubled(), "{at}: {error}");
                return None;
            }
        };
        let deps = BrokerDeps {
            metadata: metadata.clone(),
            fs: fs.shared(),
            clock: SystemClock::shared(),
            rand,
        };
        match Broker::start(options, deps).await {
            Ok(handle) => Some(Self { handle, metadata }),
            Err(error) => {
                assert!(disk.is_troubled(), "{at}: {error}");
                metadata.shutdown().await;
                None
            }
        }
    }

    async fn stop(self) {
        // Its disk may be gone.
        let stopped = tokio::time::timeout(Duration::from_secs(20), self.handle.shutdown());
        drop(stopped.await.expect("it stops"));
        self.metadata.shutdown().await;
    }
}
