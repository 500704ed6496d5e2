//! A process whose files are used up takes Kafka's clients in all the same. In
//! a binary of its own: the limit is the process's.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use millstream_wire::messages::metadata::MetadataRequest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::TestBroker;

/// Enough for the broker, few enough to use up.
const FILES_MAX: u64 = 1024;
/// Clients that come while there is nothing left: fewer than are kept for.
const CLIENTS: usize = 10;

#[tokio::test]
async fn clients_are_served_when_others_have_used_up_the_files() {
    let limit = getrlimit(Resource::Nofile);
    let lowered = Rlimit {
        current: Some(FILES_MAX.min(limit.maximum.unwrap_or(u64::MAX))),
        ..limit
    };
    setrlimit(Resource::Nofile, lowered).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    broker.client().await;
    let mut idle = Vec::new();
    while let Ok(socket) = std::net::UdpSocket::bind("127.0.0.1:0") {
        idle.push(socket);
    }
    assert!(!idle.is_empty());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        // One for the client's end: the broker's finds none.
        idle.pop();
        let mut client = broker.client().await;
        let answer = client.call(&MetadataRequest::default(), 12).await;
        assert_eq!(answer.brokers.len(), 1);
        clients.push(client);
    }
    drop((idle, clients));
    broker.stop().await;
}
