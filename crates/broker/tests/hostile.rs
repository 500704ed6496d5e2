//! Clients that mean harm, and one beside them that does not: it keeps its
//! service, and the memory that the others hold stays within its bounds.
//!
//! "Keeps its service" is progress, not speed: its requests are answered while
//! the others go on.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use bytes::{BufMut, BytesMut};
use millstream_broker::BrokerOptions;
use millstream_broker::connection::ConnectionLimits;
use millstream_wire::ErrorCode;
use millstream_wire::batch::{BatchBuilder, BatchOptions};
use millstream_wire::compression::Compression;
use millstream_wire::messages::fetch::FetchRequest;
use millstream_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_wire::messages::metadata::MetadataRequest;
use std::net::SocketAddr;
use std::time::Duration;
use support::kafka::{batch, create_topic, fetch_request, fetch_topic, only, produce, records};
use support::{Client, PATIENCE, TestBroker, eventually, options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

const MIB: usize = 1024 * 1024;

/// Bounds so small that a few clients reach them.
fn limits() -> ConnectionLimits {
    ConnectionLimits {
        request_bytes_max: MIB,
        requests_bytes_max: 4 * MIB,
        fetched_bytes_max: 8 * MIB,
        read_stall_pressed_max: Duration::from_millis(100),
        write_stall_pressed_max: Duration::from_millis(100),
        ..Default::default()
    }
}

struct Stage {
    broker: TestBroker,
    address: SocketAddr,
    honest: Client,
    produced: i64,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn set(limits: ConnectionLimits, configs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BrokerOptions {
            limits,
            ..options(dir.path())
        };
        for (name, value) in configs {
            options.configs.insert((*name).into(), (*value).into());
        }
        let broker = TestBroker::with(options).await;
        let mut honest = broker.client().await;
        create_topic(&mut honest, "t", 1, &[]).await;
        Self {
            address: broker.handle.address(),
            broker,
            honest,
            produced: 0,
            _dir: dir,
        }
    }

    /// The honest client writes a record of this size and reads it back.
    async fn serves(&mut self, bytes: usize) {
        let value = "x".repeat(bytes);
        let produced = produce(&mut self.honest, "t", 0, batch(&[&value])).await;
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (0, self.produced)
        );
        let fetch = FetchRequest {
            max_wait_ms: 10_000,
            ..fetch_request("t", 0, self.produced)
        };
        let fetched = only(self.honest.call(&fetch, 12).await.responses);
        assert_eq!(records(fetched.records), [(self.produced, value)]);
        self.produced += 1;
    }

    fn held(&self) -> millstream_broker::state::HeldMemory {
        self.broker.handle.state().held()
    }

    async fn end(self, hostile: impl Sized) {
        drop(hostile);
        let state = std::sync::Arc::clone(self.broker.handle.state());
        eventually("all that they held is given back", async || {
            let held = state.held();
            (held.request_bytes, held.unsent_bytes, held.fetched_bytes) == (0, 0, 0)
        })
        .await;
        drop(self.honest);
        self.broker.stop().await;
    }
}

/// Resident memory of this process, in bytes: the broker and all clients.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// A connection whose system takes as little as it can beyond what is read.
async fn takes_little(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(address).await.unwrap()
}

async fn claims(address: SocketAddr, claimed: usize, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = (claimed as i32).to_be_bytes();
    stream.write_all(&length).await.unwrap();
    stream.write_all(&vec![0; sent]).await.unwrap();
    stream
}

#[tokio::test]
async fn silent_claims_of_the_largest_frame_hold_nothing() {
    let mut stage = Stage::set(limits(), &[]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(claims(stage.address, MIB, 8).await);
    }
    for _ in 0..3 {
        stage.serves(700_000).await;
    }
    assert!(stage.held().request_bytes <= 4 * MIB);
    stage.end(silent).await;
}

#[tokio::test]
async fn half_sent_frames_let_others_by() {
    let mut stage = Stage::set(limits(), &[]).await;
    let mut half = Vec::new();
    for _ in 0..20 {
        half.push(claims(stage.address, MIB, MIB / 2).await);
    }
    for _ in 0..3 {
        stage.serves(700_000).await;
        assert!(stage.held().request_bytes <= 4 * MIB);
    }
    stage.end(half).await;
}

#[tokio::test]
async fn senders_of_a_byte_now_and_then_let_others_by() {
    let mut stage = Stage::set(limits(), &[]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut stream = claims(stage.address, MIB, MIB / 2).await;
        tasks.spawn(async move {
            // Slower than any rate that is let through, never silent.
            while stream.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    for _ in 0..3 {
        stage.serves(700_000).await;
        stage.serves(10).await;
    }
    tasks.shutdown().await;
    stage.end(()).await;
}

/// Asks for records and takes none of them.
async fn takes_nothing(address: SocketAddr, pipelined: usize) -> Client {
    let mut client = Client::over(takes_little(address).await);
    let fetch = FetchRequest {
        max_bytes: 4 * MIB as i32,
        topics: vec![{
            let mut topic = fetch_topic("big", Uuid::nil(), 0, 0);
            topic.partitions[0].partition_max_bytes = 4 * MIB as i32;
            topic
        }],
        ..fetch_request("big", 0, 0)
    };
    for _ in 0..pipelined {
        client.send(&fetch, 12).await;
    }
    client
}

/// Writes `count` batches of 900 KB into the topic "big".
async fn fill_big(stage: &mut Stage, count: usize) {
    create_topic(&mut stage.honest, "big", 1, &[]).await;
    for _ in 0..count {
        let value = "y".repeat(900_000);
        let produced = produce(&mut stage.honest, "big", 0, batch(&[&value])).await;
        assert_eq!(produced.error_code, 0);
    }
}

#[tokio::test]
async fn readers_that_take_nothing_hold_a_bounded_sum_and_others_read() {
    let mut stage = Stage::set(limits(), &[]).await;
    fill_big(&mut stage, 6).await;
    let mut slow = Vec::new();
    for _ in 0..12 {
        slow.push(takes_nothing(stage.address, 8).await);
    }
    let state = std::sync::Arc::clone(stage.broker.handle.state());
    eventually("the main budget is used up", async || {
        state.held().fetched_bytes > 5 * MIB
    })
    .await;
    for _ in 0..5 {
        stage.serves(20_000).await;
        assert!(stage.held().fetched_bytes <= 8 * MIB, "{:?}", stage.held());
    }
    stage.end(slow).await;
}

#[tokio::test]
async fn readers_that_are_never_silent_and_much_too_slow_are_cut_off() {
    let limits = ConnectionLimits {
        write_stall_max: Duration::from_millis(500),
        write_bytes_per_s_min: 64 * MIB,
        ..limits()
    };
    let mut stage = Stage::set(limits, &[]).await;
    fill_big(&mut stage, 6).await;
    let mut slow = takes_nothing(stage.address, 8).await;
    let state = std::sync::Arc::clone(stage.broker.handle.state());
    let trickle = tokio::spawn(async move {
        let mut some = vec![0; 64 * 1024];
        while !matches!(slow.stream.read(&mut some).await, Ok(0) | Err(_)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    eventually("it is cut off", async || {
        state.stats().snapshot().connections_open == 1
    })
    .await;
    trickle.abort();
    stage.serves(10).await;
    stage.end(()).await;
}

#[tokio::test]
async fn a_flood_of_requests_whose_answers_nobody_reads_is_held_back() {
    let limits = ConnectionLimits {
        unsent_bytes_max: MIB,
        connection_unsent_bytes_max: 256 * 1024,
        ..limits()
    };
    let mut stage = Stage::set(limits, &[]).await;
    // An answer of about 30 KB to a question of 20 bytes.
    for i in 0..100 {
        let name = format!("{i:0>249}");
        create_topic(&mut stage.honest, &name, 1, &[]).await;
    }
    let request = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let frame = millstream_wire::frame::encode_request(&request, 12, 1, None)
        .unwrap()
        .to_bytes()
        .unwrap();
    let many = frame.repeat(1000);
    let all_taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut stream = takes_little(stage.address).await;
        let (many, all_taken) = (many.clone(), std::sync::Arc::clone(&all_taken));
        floods.spawn(async move {
            // Until the broker takes no more or has cut it off.
            for _ in 0..2_000 {
                if stream.write_all(&many).await.is_err() {
                    return;
                }
            }
            all_taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
    }
    let state = std::sync::Arc::clone(stage.broker.handle.state());
    // One answer of each connection may be made when the bound is reached.
    let is_bounded = |held: usize| assert!(held <= MIB + 6 * 100_000, "{held}");
    eventually(
        "some are cut off because others are held back",
        async || {
            is_bounded(state.held().unsent_bytes);
            let stats = state.stats().snapshot();
            stats.connections_accepted == 7 && stats.connections_open < 7
        },
    )
    .await;
    for _ in 0..5 {
        stage.serves(10).await;
        is_bounded(stage.held().unsent_bytes);
    }
    assert_eq!(all_taken.load(std::sync::atomic::Ordering::Relaxed), 0);
    floods.shutdown().await;
    stage.end(()).await;
}

/// A request whose header says `key` and `version`, with this body.
fn frame(key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    if flexible {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.to_vec()
}

/// The connection is closed, and not by a crash.
async fn is_refused(address: SocketAddr, frame: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(frame).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // A reset is as good as an end.
    assert!(read.is_ok(), "the connection is kept");
    assert!(rest.is_empty(), "answered: {rest:?}");
}

#[tokio::test]
async fn huge_arrays_and_endless_tags_are_refused_before_they_take_memory() {
    let limits = ConnectionLimits {
        request_bytes_max: 8 * MIB,
        requests_bytes_max: 16 * MIB,
        ..limits()
    };
    let mut stage = Stage::set(limits, &[]).await;
    let before = resident();
    // Metadata: an array of 2^31-1 topics in 4 bytes.
    let claim = i32::MAX.to_be_bytes();
    is_refused(stage.address, &frame(3, 1, false, &claim)).await;
    // Fetch and Produce: the same in their places.
    let fetch = [&[0xff; 4][..], &[0; 12], &[0], &claim].concat();
    is_refused(stage.address, &frame(1, 4, false, &fetch)).await;
    let produce = [&[0xff, 0xff][..], &[0, 1], &[0; 4], &claim].concat();
    is_refused(stage.address, &frame(0, 3, false, &produce)).await;
    // An array that is there, of elements that take many times their bytes:
    // Metadata with topics of empty names.
    let topics = [&500_000i32.to_be_bytes()[..], &[0; 1_000_000]].concat();
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream
        .write_all(&frame(3, 1, false, &topics))
        .await
        .unwrap();
    // ApiVersions with 2^32-1 tags, with a tag of 4 GB, and with tags without
    // end in a frame of the largest size.
    let named = [2, b'a', 2, b'1'];
    for tags in [
        &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        let body = [&named[..], tags].concat();
        is_refused(stage.address, &frame(18, 3, true, &body)).await;
    }
    let mut many = BytesMut::new();
    many.put_slice(&named);
    many.put_slice(&[0xa0, 0x8d, 0x06]); // 100,000 tags.
    for tag in 0..100_000u32 {
        millstream_wire::codec::put_unsigned_varint(&mut many, tag);
        many.put_u8(0);
    }
    is_refused(stage.address, &frame(18, 3, true, &many)).await;
    // A fetch of more partitions than there can be.
    let mut greedy = Client::connect(stage.address).await;
    let mut fetch = fetch_request("t", 0, 0);
    let partition = fetch.topics[0].partitions[0].clone();
    fetch.topics[0].partitions = vec![partition; 100_001];
    fetch.max_wait_ms = 60_000;
    assert_eq!(
        ErrorCode::from(greedy.call(&fetch, 12).await.error_code),
        ErrorCode::InvalidRequest
    );
    stage.serves(10).await;
    assert!(resident().saturating_sub(before) < 512 * MIB);
    stage.end((stream, greedy)).await;
}

/// A batch of one record that expands to `bytes`.
fn bomb(bytes: usize) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: Compression::Gzip,
        ..Default::default()
    });
    builder
        .append(1_000, None, Some(&vec![0; bytes]), &[])
        .unwrap();
    builder.build().unwrap()
}

#[tokio::test]
async fn batches_that_expand_without_measure_take_no_memory_to_be_looked_at() {
    let mut stage = Stage::set(ConnectionLimits::default(), &[]).await;
    let compacted = [("cleanup.policy", "compact")];
    create_topic(&mut stage.honest, "compacted", 1, &compacted).await;
    // Its records are old, and its batches may expand to 256 MiB.
    let plain = [("retention.ms", "-1"), ("max.message.bytes", "4194304")];
    create_topic(&mut stage.honest, "plain", 8, &plain).await;
    let before = resident();
    let refused = produce(&mut stage.honest, "compacted", 0, bomb(300 * MIB)).await;
    assert_eq!(
        ErrorCode::from(refused.error_code),
        ErrorCode::MessageTooLarge
    );
    // What may be so large is walked over, here and by a search by time.
    let stored_bomb = bomb(100 * MIB);
    for partition in 0..8 {
        let stored = produce(&mut stage.honest, "plain", partition, stored_bomb.clone()).await;
        assert_eq!(stored.error_code, 0);
    }
    let mut searching = Vec::new();
    for partition in 0..8 {
        let search = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: "plain".into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition,
                    timestamp: 500,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let mut client = Client::connect(stage.address).await;
        let id = client.send(&search, 5).await;
        searching.push((client, id));
    }
    stage.serves(10).await;
    for (client, id) in &mut searching {
        let found = client.answer::<ListOffsetsRequest>(5, *id).await;
        let partition = &found.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.offset), (0, 0));
    }
    // One alone would be 100 MiB, eight at a time 800.
    assert!(
        resident().saturating_sub(before) < 300 * MIB,
        "{} MiB more",
        resident().saturating_sub(before) / MIB
    );
    stage.end(searching).await;
}

#[tokio::test]
async fn a_flood_of_connections_from_one_address_leaves_others_theirs() {
    let configs = [("max.connections.per.ip", "50"), ("max.connections", "100")];
    let mut stage = Stage::set(limits(), &configs).await;
    let mut flood = Vec::new();
    for _ in 0..300 {
        flood.push(TcpStream::connect(stage.address).await.unwrap());
    }
    let state = std::sync::Arc::clone(stage.broker.handle.state());
    eventually("the rest is refused", async || {
        state.stats().snapshot().connections_refused >= 251
    })
    .await;
    assert_eq!(state.stats().snapshot().connections_open, 50);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let elsewhere = socket.connect(stage.address).await.unwrap();
    let mut other = Client::over(elsewhere);
    let hello = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    assert_eq!(other.call(&hello, 4).await.topics.len(), 1);
    stage.serves(10).await;
    stage.end((flood, other)).await;
}
