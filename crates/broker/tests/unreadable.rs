//! What nobody can read is refused at produce; what is stored all the same, or
//! was damaged on the disk, is set apart by its offsets, and readers go on.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use bytes::{Bytes, BytesMut};
use millstream_broker::EmbeddedBus;
use millstream_core::ids::{LeaderEpoch, Offset, TopicPartition};
use millstream_core::limits::{MESSAGE_BYTES_MAX_DEFAULT, batch_uncompressed_bytes_max};
use millstream_core::ports::{Bus, BusReader, FetchedRecords, Isolation, conformance};
use millstream_log::AppendOrigin;
use millstream_wire::ErrorCode;
use millstream_wire::batch::{BatchBuilder, BatchOptions, HEADER_BYTES, set_max_timestamp};
use millstream_wire::compression::Compression;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::kafka::{batch, create_topic, produce};
use support::{PATIENCE, TestBroker};

const POLL: Duration = Duration::from_millis(200);
const MIB: usize = 1024 * 1024;

fn bus_of(broker: &TestBroker) -> Arc<EmbeddedBus> {
    Arc::new(EmbeddedBus::new(Arc::clone(broker.handle.state())))
}

/// The only segment of a partition.
fn segment(dir: &Path, partition: &TopicPartition) -> PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    let folder_name = format!("{}-{}", partition.topic, partition.partition);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if folder.ends_with(&folder_name) && path.extension().is_some_and(|e| e == "log")
            {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Where each batch of a segment begins.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        places.push(at);
        at += 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
    }
    places
}

/// Damages a byte of a stored batch, counted from where the batch begins.
fn flip(path: &Path, batch: usize, byte: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = places(&bytes)[batch] + byte;
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

/// Polls up to an offset.
async fn read_to(reader: &mut dyn BusReader, end: i64) -> Vec<FetchedRecords> {
    let began = Instant::now();
    let mut chunks: Vec<FetchedRecords> = Vec::new();
    while chunks.last().is_none_or(|chunk| chunk.next_offset.0 < end) {
        assert!(began.elapsed() < PATIENCE, "stands still: {chunks:?}");
        chunks.extend(reader.poll(POLL, MIB).await.unwrap());
    }
    chunks
}

async fn reader_of(bus: &EmbeddedBus, topic: &str) -> Box<dyn BusReader> {
    let start = [(TopicPartition::new(topic, 0), Offset(0))];
    bus.reader(&start, Isolation::ReadCommitted).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_set_apart_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let bus = bus_of(&broker);
    // In the length, the magic, the checksum, the attributes, the count, and
    // in a record.
    for byte in [9, 16, 17, 22, 59, HEADER_BYTES + 4] {
        conformance::what_cannot_be_read_is_set_apart(
            bus.as_ref(),
            &format!("byte-{byte}"),
            async |partition, _, _| flip(&segment(dir.path(), partition), 1, byte),
        )
        .await;
    }
    broker.stop().await;
}

fn built(compression: Compression, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        ..BatchOptions::default()
    });
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    for value in values {
        builder.append(now_ms, None, Some(value), &[]).unwrap();
    }
    builder.build().unwrap()
}

/// With another payload, and a checksum that holds.
fn resealed(batch: &Bytes, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..HEADER_BYTES]);
    bytes.extend_from_slice(payload);
    let length = (bytes.len() - 12) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let newest_ms = i64::from_be_bytes(bytes[35..43].try_into().unwrap());
    set_max_timestamp(&mut bytes, newest_ms).unwrap();
    bytes.freeze()
}

#[tokio::test]
async fn a_batch_that_nobody_could_read_is_refused_at_produce() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    for codec in Compression::ALL {
        let whole = built(codec, &[b"one", b"two"]);
        let three = built(Compression::None, &[b"one", b"two", b"three"]);
        let records = three.slice(HEADER_BYTES..);
        let long = codec.compress(&records).unwrap();
        let mut wrong = vec![("more records than said", resealed(&whole, &long))];
        let trailing = codec.compress(&[&records[..], b"\0"].concat()).unwrap();
        let as_three = built(codec, &[b"one", b"two", b"three"]);
        wrong.push(("trailing bytes", resealed(&as_three, &trailing)));
        let swapped = {
            // The second record's offset is that of the first.
            let two = built(Compression::None, &[b"one", b"two"]);
            let mut records = two[HEADER_BYTES..].to_vec();
            let half = records.len() / 2;
            records[half + 3] = 0;
            codec.compress(&records).unwrap()
        };
        wrong.push(("an offset twice", resealed(&whole, &swapped)));
        if codec != Compression::None {
            wrong.push(("garbage", resealed(&whole, b"not compressed at all")));
        }
        for (what, batch) in wrong {
            let answer = produce(&mut client, "t", 0, batch).await;
            assert_eq!(
                ErrorCode::from(answer.error_code),
                ErrorCode::InvalidRecord,
                "{}: {what}",
                codec.name()
            );
            assert!(answer.error_message.is_some_and(|m| !m.is_empty()));
        }
        assert_eq!(produce(&mut client, "t", 0, whole).await.error_code, 0);
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_batch_may_expand_to_a_bound_and_producers_are_told_to_split_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let bound = batch_uncompressed_bytes_max(MESSAGE_BYTES_MAX_DEFAULT);
    let most = vec![b' '; bound - 1_000];
    let legal = built(Compression::Zstd, &[&most]);
    assert_eq!(produce(&mut client, "t", 0, legal).await.error_code, 0);
    let more = vec![b' '; bound + 1];
    let bomb = built(Compression::Zstd, &[&more]);
    let answer = produce(&mut client, "t", 0, bomb.clone()).await;
    assert_eq!(
        ErrorCode::from(answer.error_code),
        ErrorCode::MessageTooLarge
    );
    let message = answer.error_message.unwrap();
    assert!(message.contains("max.message.bytes"), "{message}");
    // A topic that takes larger batches takes what they expand to.
    let large = [("max.message.bytes", "4194304")];
    create_topic(&mut client, "large", 1, &large).await;
    assert_eq!(produce(&mut client, "large", 0, bomb).await.error_code, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_the_bounds_is_set_apart_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    assert_eq!(
        produce(&mut client, "t", 0, batch(&["a"])).await.error_code,
        0
    );
    let log = broker
        .handle
        .state()
        .logs()
        .get(&TopicPartition::new("t", 0))
        .unwrap();
    let bomb = built(
        Compression::Zstd,
        &[&vec![
            b' ';
            batch_uncompressed_bytes_max(MESSAGE_BYTES_MAX_DEFAULT)
                + 1
        ]],
    );
    let garbage = resealed(&built(Compression::Gzip, &[b"x"]), b"no gzip");
    for unreadable in [bomb, garbage] {
        // Coordinators' batches are not looked into.
        log.append_as_leader(unreadable, AppendOrigin::Coordinator, LeaderEpoch(0))
            .unwrap();
    }
    assert_eq!(
        produce(&mut client, "t", 0, batch(&["b"])).await.error_code,
        0
    );
    let bus = bus_of(&broker);
    let chunks = read_to(reader_of(&bus, "t").await.as_mut(), 4).await;
    let offsets: Vec<i64> = chunks
        .iter()
        .flat_map(|c| c.records.iter().map(|r| r.offset.0))
        .collect();
    assert_eq!(offsets, [0, 3]);
    let apart: Vec<_> = chunks.iter().flat_map(|c| &c.unreadable).collect();
    assert_eq!(apart.len(), 2, "{apart:?}");
    assert_eq!(
        (apart[0].first_offset, apart[1].last_offset),
        (Offset(1), Offset(2))
    );
    assert!(apart[0].reason.contains("max.message.bytes"), "{apart:?}");
    assert!(apart[1].reason.contains("gzip"), "{apart:?}");
    broker.stop().await;
}

/// A poll gives about what was asked for, however much a batch expands to, and
/// a reader that stands still takes nothing from others.
#[tokio::test(flavor = "multi_thread")]
async fn large_batches_are_read_in_pieces_by_many_readers_at_once() {
    const READERS: usize = 8;
    const RECORD_BYTES: usize = 64 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    create_topic(&mut client, "t", 1, &[]).await;
    let value = vec![b' '; RECORD_BYTES];
    let values = vec![&value[..]; 60 * MIB / RECORD_BYTES];
    let sent = produce(&mut client, "t", 0, built(Compression::Zstd, &values)).await;
    assert_eq!(sent.error_code, 0);
    let bus = bus_of(&broker);
    // Each has the batch expanded, or would: 480 MiB where 256 are the bound.
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = reader_of(&bus, "t").await;
        let mut first = Vec::new();
        let began = Instant::now();
        while first.is_empty() {
            assert!(began.elapsed() < PATIENCE, "no room");
            first = reader.poll(POLL, MIB).await.unwrap();
        }
        let bytes: usize = first.iter().flat_map(|c| &c.records).count() * RECORD_BYTES;
        assert!(bytes <= MIB + RECORD_BYTES, "{bytes} bytes in one poll");
        readers.push((reader, first.iter().map(|c| c.records.len()).sum::<usize>()));
    }
    for (reader, first) in &mut readers {
        let rest = read_to(reader.as_mut(), values.len() as i64).await;
        let count: usize = rest.iter().map(|c| c.records.len()).sum();
        assert_eq!(*first + count, values.len());
        assert!(rest.iter().all(|c| c.unreadable.is_empty()));
    }
    broker.stop().await;
}
