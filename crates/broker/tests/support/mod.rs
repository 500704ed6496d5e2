//! A broker in a folder of its own, and a client that speaks frames.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

use bytes::{Bytes, BytesMut};
use millstream_broker::{Broker, BrokerDeps, BrokerHandle, BrokerOptions};
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_core::env::{Fs, RealFs, SystemClock, SystemRand};
use millstream_wire::Request;
use millstream_wire::frame::{decode_response, encode_request, split_frame};
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
        Self::with_fs(options, RealFs::shared()).await
    }

    pub async fn with_fs(options: BrokerOptions, fs: Arc<dyn Fs>) -> Self {
        let rand = SystemRand::shared();
        let metadata_dir: PathBuf = options
            .data_dir
            .join(millstream_cluster::service::METADATA_DIR);
        let metadata = MetadataService::start(MetadataOptions::new(
            options.node_id,
            metadata_dir,
            fs.clone(),
            rand.clone(),
        ))
        .await
        .unwrap();
        let deps = BrokerDeps {
            metadata: metadata.clone(),
            fs,
            clock: SystemClock::shared(),
            rand,
        };
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
    /// The client id that it gives.
    pub client_id: &'static str,
    buffer: BytesMut,
    next_id: i32,
}

impl Client {
    pub async fn connect(address: std::net::SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// A client over a connection of the test's own making.
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            client_id: "test",
            buffer: BytesMut::new(),
            next_id: 1,
        }
    }

    /// Sends a request and returns its correlation id.
    pub async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        let frame = encode_request(request, version, id, Some(self.client_id)).unwrap();
        self.stream
            .write_all(&frame.to_bytes().unwrap())
            .await
            .unwrap();
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
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("no answer in time")
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

/// What the tests say about topics and records, in few words.
pub mod kafka {
    use super::Client;
    use bytes::Bytes;
    use millstream_wire::batch::{BatchBuilder, BatchOptions, split_batches};
    use millstream_wire::codec::Payload;
    use millstream_wire::messages::create_topics::{
        CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
    };
    use millstream_wire::messages::fetch::{
        FetchPartition, FetchRequest, FetchTopic, FetchableTopicResponse, PartitionData,
    };
    use millstream_wire::messages::produce::{
        PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
    };
    use uuid::Uuid;

    /// Creates a topic and returns its id.
    pub async fn create_topic(
        client: &mut Client,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Uuid {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor: -1,
                configs: configs
                    .iter()
                    .map(|(name, value)| CreatableTopicConfig {
                        name: (*name).into(),
                        value: Some((*value).into()),
                    })
                    .collect(),
                ..Default::default()
            }],
            timeout_ms: 5_000,
            validate_only: false,
        };
        let response = client.call(&request, 7).await;
        assert_eq!(
            response.topics[0].error_code, 0,
            "{:?}",
            response.topics[0].error_message
        );
        response.topics[0].topic_id
    }

    pub fn batch_with(options: BatchOptions, values: &[&str]) -> Bytes {
        let mut builder = BatchBuilder::new(options);
        for (i, value) in values.iter().enumerate() {
            builder
                .append(1_000 + i as i64, None, Some(value.as_bytes()), &[])
                .unwrap();
        }
        builder.build().unwrap()
    }

    pub fn batch(values: &[&str]) -> Bytes {
        batch_with(BatchOptions::default(), values)
    }

    pub fn produce_request(
        topic: &str,
        partition: i32,
        acks: i16,
        records: Bytes,
    ) -> ProduceRequest {
        ProduceRequest {
            acks,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: topic.into(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(records),
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// Produces one batch with acks=all at version 9.
    pub async fn produce(
        client: &mut Client,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let response = client
            .call(&produce_request(topic, partition, -1, records), 9)
            .await;
        response.responses[0].partition_responses[0].clone()
    }

    /// A fetch of one partition that does not wait.
    pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
        FetchRequest {
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![fetch_topic(topic, Uuid::nil(), partition, offset)],
            ..Default::default()
        }
    }

    pub fn fetch_topic(topic: &str, id: Uuid, partition: i32, offset: i64) -> FetchTopic {
        FetchTopic {
            topic: topic.into(),
            topic_id: id,
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        }
    }

    /// The only partition of a fetch response.
    pub fn only(mut topics: Vec<FetchableTopicResponse>) -> PartitionData {
        assert_eq!(topics.len(), 1, "{topics:?}");
        let mut topic = topics.remove(0);
        assert_eq!(topic.partitions.len(), 1, "{topic:?}");
        topic.partitions.remove(0)
    }

    /// Offsets and values of what a reader of committed records sees, and where
    /// it reads on when there was anything.
    pub fn committed_records(fetched: PartitionData) -> (Vec<(i64, String)>, Option<i64>) {
        let mut aborted: Vec<(i64, i64)> = fetched
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| (aborted.first_offset, aborted.producer_id))
            .collect();
        let batches = fetched.records.unwrap_or_default().read().unwrap();
        // As clients do: a producer's records are skipped from the first offset
        // of an aborted transaction to its marker.
        let mut skipped = std::collections::BTreeSet::new();
        let (mut found, mut next_offset) = (Vec::new(), None);
        for batch in split_batches(batches).map(Result::unwrap) {
            let (producer, end) = (batch.header().producer_id, batch.header().next_offset());
            let begun = aborted.extract_if(.., |(first, _)| *first < end);
            skipped.extend(begun.map(|(_, id)| id));
            next_offset = Some(end);
            if batch.header().is_control() {
                skipped.remove(&producer);
            } else if !skipped.contains(&producer) {
                for record in batch.records().unwrap() {
                    let record = record.unwrap();
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    found.push((record.offset, value));
                }
            }
        }
        (found, next_offset)
    }

    /// Offsets and values of some batches.
    pub fn records(batches: Option<Payload>) -> Vec<(i64, String)> {
        split_batches(batches.unwrap_or_default().read().unwrap())
            .map(|batch| batch.unwrap())
            .filter(|batch| !batch.header().is_control())
            .flat_map(|batch| {
                batch
                    .records()
                    .unwrap()
                    .map(|r| r.unwrap())
                    .collect::<Vec<_>>()
            })
            .map(|r| {
                (
                    r.offset,
                    String::from_utf8_lossy(&r.value.unwrap_or_default()).into_owned(),
                )
            })
            .collect()
    }
}
