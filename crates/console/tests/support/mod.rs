//! A listener with an in-memory log behind it, and clients by hand: what is
//! tried here no HTTP library would send.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's support, of which each test uses a part"
)]

use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_console::documents::ClusterInfo;
use millstream_console::guard::Guard;
use millstream_console::http::{self, limits::HttpLimits};
use millstream_console::messages::Views;
use millstream_console::reads::LiveReads;
use millstream_console::routes::{App, InFlight, router};
use millstream_core::env::{RealFs, SystemClock, SystemRand};
use millstream_core::ids::BrokerId;
use millstream_core::ports::memory_bus::MemoryBus;
use millstream_core::ports::{Bus, TopicSpec};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Bound on everything that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Size of what `/metrics` answers here.
pub const METRICS_BYTES: usize = 8 << 20;

/// A server with one topic, `t`.
pub struct Stage {
    pub address: SocketAddr,
    pub bus: Arc<dyn Bus>,
    pub not_ready: watch::Sender<Option<String>>,
    pub stop: CancellationToken,
    pub close: CancellationToken,
    pub task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Stage {
    pub async fn set(limits: HttpLimits) -> Self {
        Self::with(limits, Views::default(), MemoryBus::shared()).await
    }

    pub async fn with(limits: HttpLimits, views: Views, bus: Arc<dyn Bus>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metadata = MetadataService::start(MetadataOptions::new(
            BrokerId(1),
            dir.path().to_owned(),
            RealFs::shared(),
            SystemRand::shared(),
        ))
        .await
        .unwrap();
        let topic = TopicSpec {
            name: "t".into(),
            partitions: 2,
            configs: BTreeMap::new(),
        };
        bus.create_topic(topic).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (not_ready, why_not) = watch::channel(None);
        let (stop, close) = (CancellationToken::new(), CancellationToken::new());
        let app = App {
            cluster: ClusterInfo {
                id: "c".into(),
                name: "test".into(),
                version: "0",
                node: 1,
                started_ms: 0,
                kafka: String::new(),
                http: address.to_string(),
                durability: "fsync",
            },
            bus: Arc::clone(&bus),
            engine: None,
            metadata,
            documents: watch::channel(None).1,
            live_reads: LiveReads::default(),
            not_ready: why_not,
            in_flight: InFlight::default(),
            limits: limits.clone(),
            views,
            metrics: Box::new(|| "m".repeat(METRICS_BYTES)),
            topic_configs: Box::new(|_| Vec::new()),
            clock: SystemClock::shared(),
            stop: stop.clone(),
            console: false,
        };
        let router = router(Arc::new(app), Guard::new(address, &[]));
        let task = tokio::spawn(http::serve(listener, router, limits, close.clone()));
        Self {
            address,
            bus,
            not_ready,
            stop,
            close,
            task,
            _dir: dir,
        }
    }

    /// Connects and sends these bytes.
    pub async fn sends(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // Whoever is cut off meanwhile finds out when it reads.
        let _ = stream.write_all(bytes.as_ref()).await;
        stream
    }

    /// A connection whose system takes as little as it can beyond what is
    /// read.
    pub async fn takes_little(&self, bytes: &[u8]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// The answer to a request on a connection of its own.
    pub async fn answer(&self, request: impl AsRef<[u8]>) -> String {
        all(&mut self.sends(request).await).await
    }

    pub async fn get(&self, path: &str) -> String {
        self.answer(get(path)).await
    }

    /// The honest client: reads, writes a small record and a large one.
    pub async fn serves(&self, large_bytes: usize) {
        assert_status(&self.get("/healthz").await, 200);
        for bytes in [10, large_bytes] {
            let body = format!("{{\"value\":\"{}\"}}", "x".repeat(bytes));
            let request = post("/api/v1/topics/t/produce", body.len(), &body);
            assert_status(&self.answer(request).await, 200);
        }
    }

    /// Stops, and waits for the listener's end.
    pub async fn end(self) {
        self.stop.cancel();
        self.close.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the listener ends")
            .unwrap();
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// A request that claims a body of `claimed` bytes and sends `body`.
pub fn post(path: &str, claimed: usize, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {claimed}\r\n\r\n{body}"
    )
}

/// Everything until the server closes; what came when it does so rudely.
pub async fn all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
    let _ = read.await.expect("the server answers or closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn assert_status(answer: &str, status: u16) {
    let start: String = answer.chars().take(300).collect();
    assert!(start.starts_with(&format!("HTTP/1.1 {status} ")), "{start}");
}

/// Opens the WebSocket.
pub async fn live(stage: &Stage) -> TcpStream {
    let mut stream = stage
        .sends(
            "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert_status(&String::from_utf8_lossy(&head), 101);
    stream
}

/// A masked frame (RFC 6455) with this first byte; the mask is zero.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
