//! The bus on the embedded broker, under the suite that every implementation
//! of the bus passes.

mod support;

use millstream_broker::EmbeddedBus;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, ENGINE_CLIENT_ID, ProduceRecord, TopicSpec, conformance,
};
use millstream_wire::ErrorCode;
use millstream_wire::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource};
use millstream_wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use millstream_wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use millstream_wire::messages::incremental_alter_configs::{
    AlterConfigsResource as AlteredResource, IncrementalAlterConfigsRequest,
};
use millstream_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{TestBroker, kafka};

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_bus_passes_the_conformance_suite() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let bus = Arc::new(EmbeddedBus::new(Arc::clone(broker.handle.state())));
    conformance::run_all(bus, "suite").await;
    broker.stop().await;
}

const CHANGELOG: &str = "__millstream_j_changelog";
const RESOURCE_TOPIC: i8 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_job_is_written_through_the_bus_only() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let bus = EmbeddedBus::new(Arc::clone(broker.handle.state()));
    let mut client = broker.client().await;
    let refused = ErrorCode::InvalidTopicException.code();

    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: CHANGELOG.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 5_000,
        validate_only: false,
    };
    let created = client.call(&create, 7).await;
    assert_eq!(created.topics[0].error_code, refused);

    let spec = TopicSpec {
        name: CHANGELOG.into(),
        partitions: 1,
        configs: BTreeMap::new(),
    };
    bus.create_topic(spec).await.unwrap();
    let partition = TopicPartition::new(CHANGELOG, 0);
    let record = ProduceRecord {
        value: Some("state".into()),
        ..ProduceRecord::default()
    };
    let mut writer = bus.writer().await.unwrap();
    for expected in 0..2 {
        let sent = writer.send(&partition, vec![record.clone()]).await.unwrap();
        assert_eq!(sent, Offset(expected));
    }

    let metadata = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(CHANGELOG.into()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let described = client.call(&metadata, 9).await;
    assert!(described.topics[0].is_internal);
    let produced = kafka::produce(&mut client, CHANGELOG, 0, kafka::batch(&["foreign"])).await;
    assert_eq!(produced.error_code, refused);
    let cut_to_one = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: CHANGELOG.into(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: 1,
            }],
        }],
        timeout_ms: 5_000,
    };
    let cut = client.call(&cut_to_one, 2).await;
    assert_eq!(cut.topics[0].partitions[0].error_code, refused);
    let altered = IncrementalAlterConfigsRequest {
        resources: vec![AlteredResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: CHANGELOG.into(),
            ..Default::default()
        }],
        validate_only: false,
    };
    let altered = client.call(&altered, 1).await;
    assert_eq!(altered.responses[0].error_code, refused);
    let replaced = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: CHANGELOG.into(),
            ..Default::default()
        }],
        validate_only: false,
    };
    let replaced = client.call(&replaced, 2).await;
    assert_eq!(replaced.responses[0].error_code, refused);
    let message = replaced.responses[0].error_message.clone().unwrap();
    assert!(message.contains("state of a job"), "{message}");
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(CHANGELOG.into()),
            ..Default::default()
        }],
        timeout_ms: 5_000,
        ..Default::default()
    };
    let deleted = client.call(&delete, 6).await;
    assert_eq!(deleted.responses[0].error_code, refused);

    // The engine may do all of it.
    bus.delete_records(&[(partition, Offset(1))]).await.unwrap();
    bus.delete_topic(CHANGELOG).await.unwrap();
    let gone = bus.topic(CHANGELOG).await;
    assert!(matches!(gone, Err(BusError::UnknownTopic(_))));

    // So may an engine that has this broker as its bus.
    client.client_id = ENGINE_CLIENT_ID;
    let created = client.call(&create, 7).await;
    assert_eq!(created.topics[0].error_code, 0);
    let produced = kafka::produce(&mut client, CHANGELOG, 0, kafka::batch(&["state"])).await;
    assert_eq!(produced.error_code, 0);
    let cut = client.call(&cut_to_one, 2).await;
    assert_eq!(cut.topics[0].partitions[0].error_code, 0);
    let deleted = client.call(&delete, 6).await;
    assert_eq!(deleted.responses[0].error_code, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_as_large_as_the_topic_takes_is_taken_and_a_byte_more_is_not() {
    const BYTES_MAX: usize = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let bus = EmbeddedBus::new(Arc::clone(broker.handle.state()));
    let spec = TopicSpec {
        name: "small".into(),
        partitions: 1,
        configs: BTreeMap::from([("max.message.bytes".to_owned(), BYTES_MAX.to_string())]),
    };
    bus.create_topic(spec).await.unwrap();
    assert_eq!(bus.batch_bytes_max("small").await.unwrap(), BYTES_MAX);
    let record = |bytes: usize| ProduceRecord {
        value: Some(vec![b'x'; bytes].into()),
        key: Some("key".into()),
        ..ProduceRecord::default()
    };
    let fitting = (0..BYTES_MAX)
        .rev()
        .find(|bytes| record(*bytes).batch_bytes() <= BYTES_MAX)
        .unwrap();
    assert_eq!(record(fitting).batch_bytes(), BYTES_MAX);
    let partition = TopicPartition::new("small", 0);
    let mut writer = bus.writer().await.unwrap();
    writer
        .send(&partition, vec![record(fitting)])
        .await
        .unwrap();
    let larger = writer.send(&partition, vec![record(fitting + 1)]).await;
    assert!(matches!(larger, Err(BusError::TooLarge(_))), "{larger:?}");
    broker.stop().await;
}
