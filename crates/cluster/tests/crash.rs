//! The metadata on a disk that forgets what was not synced.
#![allow(clippy::unwrap_used, reason = "a test")]

use millstream_cluster::{
    ClusterError, Command, MetadataOptions, MetadataService, NewTopic, Refusal,
};
use millstream_core::env::{CrashFs, Fs, Keep, SyncKind, SystemRand};
use millstream_core::ids::BrokerId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DATA_DIR: &str = "/data";
const PATIENCE: Duration = Duration::from_secs(30);

fn metadata_dir() -> PathBuf {
    Path::new(DATA_DIR).join("__cluster_metadata")
}

/// A disk with an empty, durable data folder.
fn disk() -> CrashFs {
    let fs = CrashFs::new();
    fs.create_dir_all(Path::new(DATA_DIR)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

async fn start(fs: &CrashFs) -> Result<Arc<MetadataService>, ClusterError> {
    let options = MetadataOptions::new(
        BrokerId(1),
        metadata_dir(),
        fs.shared(),
        SystemRand::shared(),
    );
    MetadataService::start(MetadataOptions {
        snapshot_entries: 4,
        ..options
    })
    .await
}

async fn register(service: &MetadataService) {
    let command = Command::RegisterBroker {
        id: BrokerId(1),
        host: "localhost".into(),
        port: 9092,
        rack: None,
        incarnation: uuid::Uuid::from_u128(1),
    };
    assert!(service.propose(command).await.is_ok());
}

fn topic(name: String) -> NewTopic {
    NewTopic {
        name,
        id: uuid::Uuid::new_v4(),
        partitions: 1,
        replication_factor: 1,
        assignments: None,
        configs: Default::default(),
        internal: false,
        created_at_ms: 1,
    }
}

async fn create(service: &MetadataService, name: String) {
    match service.propose(Command::CreateTopic(topic(name))).await {
        Ok(_) | Err(ClusterError::Refused(Refusal::TopicExists(_))) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Waits until the log has been purged of its first topic.
async fn purged(fs: &CrashFs) {
    let began = Instant::now();
    loop {
        let log = fs.read_to_vec(&metadata_dir().join("log")).unwrap();
        if !String::from_utf8_lossy(&log).contains("\"topic-0\"") {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the log was not purged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_crash() {
    for seed in 0..20 {
        let mut fs = disk();
        let mut count = 0;
        for round in 0..4 {
            let service = start(&fs).await.unwrap();
            let image = service.image();
            for n in 0..count {
                let name = format!("topic-{n}");
                assert!(
                    image.topic(&name).is_some(),
                    "seed {seed} round {round} lost {name}"
                );
            }
            register(&service).await;
            for _ in 0..=(seed + round) % 7 {
                create(&service, format!("topic-{count}")).await;
                count += 1;
            }
            let keep = match round {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                _ => Keep::Random(seed * 10 + round),
            };
            fs = fs.crash(keep);
            service.shutdown().await;
        }
    }
}

/// Crash points, when `MILLSTREAM_CRASH_POINTS` does not say.
const POINTS_DEFAULT: usize = 300;

/// The power goes between any two changes of the disk: of an append, a vote,
/// a snapshot, a purge, or the start after the crash before.
#[tokio::test]
async fn what_was_acknowledged_survives_at_any_crash_point() {
    let number = |name: &str, otherwise| {
        std::env::var(name).map_or(otherwise, |n| n.parse::<usize>().unwrap())
    };
    let wanted = number("MILLSTREAM_CRASH_POINTS", POINTS_DEFAULT).min(20_000);
    let (mut points, mut seed) = (0, number("MILLSTREAM_CRASH_SEED", 1));
    while points < wanted {
        points += crash_again_and_again(seed).await;
        seed += 1;
        assert!(points > 0 || seed < 1_000_000, "nothing happens");
    }
}

/// Lives of one disk, and how many ended with the power.
async fn crash_again_and_again(seed: usize) -> usize {
    let mut fs = disk();
    let (mut points, mut promised, mut next) = (0, Vec::new(), 0);
    for life in 0..6 {
        // A fixed mixture of few and many changes.
        let changes = (seed * 31 + life * 17) % if life % 2 == 0 { 25 } else { 90 };
        fs.power_off_after_changes(changes);
        let started = start(&fs).await;
        let why = started.as_ref().err().map(ToString::to_string);
        if let Ok(service) = started {
            if !fs.is_off() {
                check(&service, &promised, seed, life);
            }
            for step in 0..12 {
                let done = match step % 5 {
                    4 => service.snapshot().await.is_ok(),
                    _ => {
                        next += 1;
                        let created = try_create(&service, format!("topic-{next}")).await;
                        if created {
                            promised.push(format!("topic-{next}"));
                        }
                        created
                    }
                };
                if !done {
                    break;
                }
            }
            points += usize::from(fs.is_off());
            let after = fs.crash(keep(seed, life));
            service.shutdown().await;
            fs = after;
        } else {
            assert!(
                fs.is_off(),
                "seed {seed} life {life}: it does not start, with the power on: {why:?}"
            );
            points += 1;
            fs = fs.crash(keep(seed, life));
        }
    }
    let service = start(&fs).await.unwrap();
    check(&service, &promised, seed, 6);
    service.shutdown().await;
    points
}

fn keep(seed: usize, life: usize) -> Keep {
    match (seed + life) % 4 {
        0 => Keep::Nothing,
        1 => Keep::Everything,
        _ => Keep::Random((seed * 100 + life) as u64),
    }
}

fn check(service: &MetadataService, promised: &[String], seed: usize, life: usize) {
    let image = service.image();
    for name in promised {
        assert!(
            image.topic(name).is_some(),
            "seed {seed} life {life} lost {name}"
        );
    }
}

async fn try_create(service: &MetadataService, name: String) -> bool {
    let register = Command::RegisterBroker {
        id: BrokerId(1),
        host: "localhost".into(),
        port: 9092,
        rack: None,
        incarnation: uuid::Uuid::from_u128(1),
    };
    service.propose(register).await.is_ok()
        && service
            .propose(Command::CreateTopic(topic(name)))
            .await
            .is_ok()
}

/// Does everything that writes, with some syncs left out, loses the power and
/// tells whether the next start finds all of it.
async fn survives_without(
    leave_out: impl Fn(SyncKind, &Path) -> bool + Send + Sync + 'static,
) -> bool {
    let fs = disk();
    fs.ignore_syncs(move |call| leave_out(call.kind, &call.path));
    let service = start(&fs).await.unwrap();
    register(&service).await;
    for n in 0..10 {
        create(&service, format!("topic-{n}")).await;
    }
    service.snapshot().await.unwrap();
    purged(&fs).await;
    let after = fs.crash(Keep::Nothing);
    service.shutdown().await;
    match start(&after).await {
        Ok(service) => {
            let found = service.image().topics().len() == 10;
            service.shutdown().await;
            found
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn every_sync_is_needed() {
    assert!(
        survives_without(|_, _| false).await,
        "with all of them nothing is lost"
    );
    for name in ["vote.tmp", "snapshot.tmp", "log.tmp"] {
        let lost =
            !survives_without(move |kind, path| kind == SyncKind::File && path.ends_with(name))
                .await;
        assert!(lost, "the sync of {name} was left out and nobody noticed");
    }
    for folder in [PathBuf::from(DATA_DIR), metadata_dir()] {
        let shown = folder.display().to_string();
        let lost =
            !survives_without(move |kind, path| kind == SyncKind::Folder && path == folder).await;
        assert!(
            lost,
            "the sync of the folder {shown} was left out and nobody noticed"
        );
    }
}

#[tokio::test]
async fn an_append_that_is_not_synced_is_noticed() {
    let fs = disk();
    fs.ignore_syncs(|call| call.kind == SyncKind::File && call.path.ends_with("log"));
    let service = start(&fs).await.unwrap();
    register(&service).await;
    // The members of the cluster are in the snapshot, or nobody could start
    // without the log; and no snapshot comes between the topic and the crash.
    service.snapshot().await.unwrap();
    create(&service, "topic-0".into()).await;
    let after = fs.crash(Keep::Nothing);
    service.shutdown().await;
    let service = start(&after).await.unwrap();
    assert!(service.image().topic("topic-0").is_none());
    service.shutdown().await;
}

#[tokio::test]
async fn a_failed_sync_stops_the_service_and_is_never_retried() {
    let fs = disk();
    let service = start(&fs).await.unwrap();
    register(&service).await;
    fs.fail_syncs(|call| call.path.ends_with("log"));
    let lost = service
        .propose(Command::InitCluster {
            cluster_id: "x".into(),
        })
        .await;
    assert!(matches!(lost, Err(ClusterError::Stopped(_))), "{lost:?}");
    fs.fail_syncs(|_| false);
    let after = service
        .propose(Command::InitCluster {
            cluster_id: "x".into(),
        })
        .await;
    assert!(matches!(after, Err(ClusterError::Stopped(_))), "{after:?}");
    service.shutdown().await;
}

/// A command whose sync failed may be there after the restart or not; once a
/// start has shown it, it stays, though the kernel wrote none of it.
#[tokio::test]
async fn what_a_failed_sync_dropped_and_a_start_shows_survives_power_loss() {
    let fs = disk();
    let service = start(&fs).await.unwrap();
    register(&service).await;
    create(&service, "topic-0".into()).await;
    fs.fail_syncs(|call| call.path.ends_with("log"));
    let lost = service
        .propose(Command::CreateTopic(topic("topic-1".into())))
        .await;
    assert!(matches!(lost, Err(ClusterError::Stopped(_))), "{lost:?}");
    let killed = fs.crash(Keep::Everything);
    service.shutdown().await;
    let service = start(&killed).await.unwrap();
    let shown = service.image().topic("topic-1").is_some();
    assert!(shown, "the page cache has it");
    create(&service, "topic-2".into()).await;
    let after = killed.crash(Keep::Nothing);
    service.shutdown().await;
    let service = start(&after).await.unwrap();
    for name in ["topic-0", "topic-1", "topic-2"] {
        assert!(service.image().topic(name).is_some(), "{name} is lost");
    }
    service.shutdown().await;
}
