//! The bus over librdkafka, against the broker at `MILLSTREAM_TEST_KAFKA`
//! (`HOST:PORT`): Millstream's own and Apache Kafka.
#![allow(clippy::expect_used, reason = "a test")]

use millstream_connect::kafka::{KafkaBus, KafkaOptions};
use millstream_core::ports::{BusError, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn librdkafka_conforms() {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_KAFKA") else {
        println!("NOT RUN: set MILLSTREAM_TEST_KAFKA=HOST:PORT to test against a broker");
        return;
    };
    let options = KafkaOptions {
        bootstrap,
        ..KafkaOptions::default()
    };
    let bus = KafkaBus::connect(options)
        .await
        .expect("the broker answers");
    // Topics of earlier runs may still be there.
    let millis = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock")
        .as_millis();
    conformance::run_all(bus, &format!("conformance-{millis}")).await;
}

#[tokio::test]
async fn a_bus_without_brokers_is_refused() {
    let refused = KafkaBus::connect(KafkaOptions::default()).await;
    assert!(matches!(refused.err(), Some(BusError::Invalid(_))));
}
