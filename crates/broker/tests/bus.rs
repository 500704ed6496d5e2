//! The bus on the embedded broker, under the suite that every implementation
//! of the bus passes.

mod support;

use millstream_broker::EmbeddedBus;
use millstream_core::ports::conformance;
use std::sync::Arc;
use support::TestBroker;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_bus_passes_the_conformance_suite() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let bus = Arc::new(EmbeddedBus::new(Arc::clone(broker.handle.state())));
    conformance::run_all(bus, "suite").await;
    broker.stop().await;
}
