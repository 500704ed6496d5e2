//! The lag of groups, read from a broker that runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use millstream_broker::bus::EmbeddedBus;
use millstream_broker::{Broker, BrokerDeps, BrokerHandle, BrokerOptions};
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_core::env::{RealFs, SystemClock, SystemRand};
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{Bus, ProduceRecord, TopicSpec, TransactionWriter};
use millstream_ops::collect;
use millstream_ops::groups::{GroupMonitor, GroupState, GroupView};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

async fn broker(dir: &Path) -> (BrokerHandle, Arc<MetadataService>) {
    let options = BrokerOptions::new(dir, "127.0.0.1:0".parse().unwrap());
    let metadata = MetadataService::start(MetadataOptions::new(
        options.node_id,
        dir.join(millstream_cluster::service::METADATA_DIR),
        RealFs::shared(),
        SystemRand::shared(),
    ));
    let metadata = metadata.await.unwrap();
    let deps = BrokerDeps {
        metadata: Arc::clone(&metadata),
        fs: RealFs::shared(),
        clock: SystemClock::shared(),
        rand: SystemRand::shared(),
    };
    (Broker::start(options, deps).await.unwrap(), metadata)
}

fn records(count: usize) -> Vec<ProduceRecord> {
    let record = ProduceRecord {
        timestamp_ms: Some(1_000),
        value: Some("row".into()),
        ..ProduceRecord::default()
    };
    vec![record; count]
}

async fn send(writer: &mut dyn TransactionWriter, partition: &TopicPartition, count: usize) {
    writer.begin().await.unwrap();
    writer.send(partition, records(count)).await.unwrap();
}

/// The group as it is an hour after it left.
async fn group(broker: &BrokerHandle) -> GroupView {
    let mut inputs = collect::broker(broker.state(), 0).await;
    let newest = inputs
        .groups
        .iter()
        .flat_map(|g| &g.offsets)
        .map(|o| o.commit_timestamp_ms)
        .max();
    inputs.now_ms = newest.unwrap() + HOUR_MS;
    let views = GroupMonitor::default().observe(&inputs);
    views.into_iter().find(|g| g.group == "reader").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_has_read_all_records_has_no_lag_behind_markers_and_aborted_records() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, metadata) = broker(dir.path()).await;
    let bus = EmbeddedBus::new(Arc::clone(broker.state()));
    let spec = TopicSpec {
        name: "results".into(),
        partitions: 1,
        configs: BTreeMap::new(),
    };
    bus.create_topic(spec).await.unwrap();
    let partition = TopicPartition::new("results", 0);
    let timeout = Duration::from_secs(60);
    let mut job = bus.transaction_writer("job", timeout).await.unwrap();
    let mut reader = bus.transaction_writer("reader", timeout).await.unwrap();

    // Records 0 and 1, the marker at 2.
    send(job.as_mut(), &partition, 2).await;
    job.commit().await.unwrap();
    reader.begin().await.unwrap();
    let read = [(partition.clone(), Offset(2))];
    reader.send_offsets("reader", &read).await.unwrap();
    reader.commit().await.unwrap();
    let view = group(&broker).await;
    assert_eq!(
        (view.lag_records, view.lag_ms, view.state),
        (0, 0, GroupState::Idle)
    );

    // An aborted record at 3, its marker at 4.
    send(job.as_mut(), &partition, 1).await;
    job.abort().await.unwrap();
    let view = group(&broker).await;
    assert_eq!((view.lag_records, view.state), (0, GroupState::Idle));

    send(job.as_mut(), &partition, 1).await;
    job.commit().await.unwrap();
    let view = group(&broker).await;
    assert!(view.lag_records > 0, "there is a record to read");
    assert_eq!(view.state, GroupState::Stopped);
    broker.shutdown().await.unwrap();
    metadata.shutdown().await;
}
