//! A broker in a folder of its own, and a client that speaks frames.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

use bytes::{Bytes, BytesMut};
use millstream_broker::{Broker, BrokerDeps, BrokerHandle, BrokerOptions};
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_core::env::{RealFs, SystemClock, SystemRand};
use millstream_wire::frame::{decode_response, encode_request, split_frame};
use millstream_wire::Request;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running broker.
pub struct TestBroker {
    pub handle: BrokerHandle,
    pub metadata: Arc<MetadataService>,
}

pub fn options(dir: &Path) -> BrokerOptions {
    BrokerOptions::new(dir, "127.0.0.1:0".parse().unwrap())
}

impl TestBroker {
    pub async fn start(dir: &Path) -> Self {
        Self::with(options(dir)).await
    }

    pub async fn with(options: BrokerOptions) -> Self {
        let (fs, rand) = (RealFs::shared(), SystemRand::shared());
        let metadata_dir: PathBuf =
            options.data_dir.join(millstream_cluster::service::METADATA_DIR);
        let metadata = MetadataService::start(MetadataOptions::new(
            options.node_id,
            metadata_dir,
            fs.clone(),
            rand.clone(),
        ))
        .await
        .unwrap();
        let deps =
            BrokerDeps { metadata: metadata.clone(), fs, clock: SystemClock::shared(), rand };
        let handle = Broker::start(options, deps).await.unwrap();
        Self { handle, metadata }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.handle.address()).await
    }

    pub async fn stop(self) {
        self.handle.shutdown().await.unwrap();
        self.metadata.shutdown().await;
    }
}

/// A client that sends frames and reads answers in order.
pub struct Client {
    pub stream: TcpStream,
    buffer: BytesMut,
    next_id: i32,
}

impl Client {
    pub async fn connect(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, buffer: BytesMut::new(), next_id: 1 }
    }

    /// Sends a request and returns its correlation id.
    pub async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        let frame = encode_request(request, version, id, Some("test")).unwrap();
        self.stream.write_all(&frame.to_bytes()).await.unwrap();
        id
    }

    /// The next frame; `None` when the broker closed the connection.
    pub async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            loop {
                if let Some(frame) = split_frame(&mut self.buffer, 64 << 20).unwrap() {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("no answer in time")
    }

    /// The next answer, which must be that of the request with this id.
    pub async fn answer<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let frame = self.frame().await.expect("the connection was closed");
        let (correlation_id, response) = decode_response::<R>(frame, version).unwrap();
        assert_eq!(correlation_id, id);
        response
    }

    /// Sends a request and waits for its answer.
    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let id = self.send(request, version).await;
        self.answer::<R>(version, id).await
    }
}

/// Waits for a condition with a bound.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
