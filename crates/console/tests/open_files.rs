//! The listener outlives a process without a file left. A test of its own:
//! the limit is the process's.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use millstream_console::http::limits::HttpLimits;
use rustix::process::{Resource, getrlimit, setrlimit};
use support::{Stage, assert_status};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_listener_goes_on_once_there_are_files_again() {
    let stage = Stage::set(HttpLimits {
        connections_max: 10_000,
        ..Default::default()
    })
    .await;
    assert_status(&stage.get("/healthz").await, 200);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(open + 20);
    setrlimit(Resource::Nofile, limit).unwrap();
    // The clients are of this process too: they take what is left, the
    // server cannot accept the last ones.
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(stage.address).await {
        clients.push(client);
        assert!(clients.len() < 100, "the limit holds");
    }
    assert!(!clients.is_empty());
    clients.drain(..4);
    assert_status(&stage.get("/healthz").await, 200);
    drop(clients);
    stage.end().await;
}
